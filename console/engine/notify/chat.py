"""Notifications in the markup of a chat."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from console.domain.message import (
    Block,
    Cell,
    Columns,
    CommandRef,
    Details,
    Facts,
    Lines,
    Link,
    Message,
    Quote,
    Section,
    cell_text,
    title_text,
)

CHAT_DIVIDER = "─" * 12
"""Line above the title of each incident of a group."""


@dataclass(frozen=True, slots=True)
class ChatMarkup:
    """Forms of bold text, code, a block of code and a link in a chat."""

    bold: str
    code: str
    block: str
    link: str
    escaped: str = ""
    """Characters that need a backslash."""
    has_title: bool = True
    """False if the body begins with the title: the chat shows none, or one line of it."""
    is_html: bool = False

    def escape(self, text: str) -> str:
        if self.is_html:
            return escape(text, quote=False)
        return "".join(f"\\{letter}" if letter in self.escaped else letter for letter in text)

    def as_code(self, text: str) -> str:
        """The text as code; a backquote, which would end it, is replaced."""
        return self.code.format(text.replace("`", "'") if "`" in self.code else self.escape(text))

    def as_block(self, lines: Sequence[str]) -> str:
        if "`" in self.block:
            return self.block.format("\n".join(lines).replace("`", "'"))
        return self.block.format(self.joined(map(self.escape, lines)))

    def joined(self, lines: Iterable[str]) -> str:
        """Lines that stay lines: two blanks end one in Markdown."""
        return ("\n" if self.is_html else "  \n").join(lines)


_PUNCTUATION = "\\`*_[]~|#>"
SLACK = ChatMarkup("**{}**", "`{}`", "```\n{}\n```", "<{}>")
DISCORD = ChatMarkup("**{}**", "`{}`", "```\n{}\n```", "{}", _PUNCTUATION, has_title=False)
TEAMS = ChatMarkup("**{}**", "{}", "{}", "[{0}]({0})", _PUNCTUATION, has_title=False)
"""An adaptive card has no code."""
TELEGRAM = ChatMarkup("<b>{}</b>", "<code>{}</code>", "<pre>{}</pre>", "{}", is_html=True)


def as_chat(markup: ChatMarkup, message: Message) -> tuple[str, str]:
    """Title and body for a chat: a table is a list, as a phone has no room for columns."""
    parts = [_chat(markup, block) for block in message.blocks if not isinstance(block, Details)]
    title = markup.escape(title_text(message.title))
    parts = parts if markup.has_title else [markup.bold.format(title), *parts]
    return title if markup.has_title else "", "\n\n".join(parts) + "\n"


def _chat(markup: ChatMarkup, block: Block) -> str:
    match block:
        case Quote(rows):
            return markup.as_block(rows)
        case Section(title):
            return markup.joined([CHAT_DIVIDER, markup.bold.format(markup.escape(cell_text(title_text(title))))])
        case Lines(rows):
            return markup.joined(map(markup.escape, rows))
        case Facts(facts):
            return markup.joined(_chat_row(markup, label, _chat_cell(markup, cell)) for label, cell in facts)
        case Columns(rows=lines):
            texts = ((name, ", ".join(markup.escape(cell_text(cell)) for cell in cells)) for name, *cells in lines)
            return markup.joined(_chat_row(markup, name, text) for name, text in texts)
    return ""


def _chat_row(markup: ChatMarkup, name: Cell, text: str) -> str:
    return f"{markup.bold.format(markup.escape(cell_text(name)))}  {text}"


def _chat_cell(markup: ChatMarkup, cell: Cell) -> str:
    match cell:
        case Link(url):
            return markup.link.format(markup.escape(url) if markup.is_html else url)
        case CommandRef():
            return markup.as_code(cell_text(cell))
    return markup.escape(cell_text(cell))


def shortened_chat(
    markup: ChatMarkup, message: Message, fits: Callable[[tuple[str, str]], bool], ending: str
) -> tuple[str, str]:
    """Title and body for a chat with as many rows of the message, in their order, as fit; a shortened one has the
    ending."""
    whole = as_chat(markup, message)
    if fits(whole):
        return whole
    size = sum(len(block.rows) for block in message.blocks if not isinstance(block, Details | Section))

    def beginning(count: int) -> tuple[str, str]:
        return as_chat(markup, replace(message, blocks=(*_first_rows(message.blocks, count), Lines((ending,)))))

    return beginning(max(0, bisect(range(size), False, key=lambda count: not fits(beginning(count))) - 1))


def _first_rows(blocks: Iterable[Block], count: int) -> Iterator[Block]:
    """The blocks up to that many of their rows."""
    for block in blocks:
        if count <= 0:
            return
        if isinstance(block, Details | Section):
            yield block
            continue
        beginning: Any = {"rows": block.rows[:count]}
        yield replace(block, **beginning)
        count -= len(block.rows)
