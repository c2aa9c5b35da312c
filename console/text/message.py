"""The body of a notification, as plain text that is read back as blocks: written as HTML for mail, or for a chat.

Plain text is the stored form. Blank lines part its blocks; a table is lines of cells with two blanks between them, its
header in capitals; text from outside is behind a bar; one line of dashes begins the details.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby

BAR = "  | "
"""Prefix of external text."""
RULE = "-" * 40
DIVIDER = "=" * 40
"""Line above the title of each incident of a group."""
CHAT_DIVIDER = "─" * 12
LINK = re.compile(r"https?://\S+$")
LINK_LABELS = ("Open", "Runbook", "Do", "Acknowledge")
"""Rows whose link is from config."""
_COMMAND = "headway "
"""Prefix of a cell that is a command."""
_HEADER = re.compile(r"^[^(]*")
"""A header without the zone in brackets."""
_COUNTDOWN = re.compile(r"( by (?:(?:[A-Z]\w\w )?\d{1,2} \w{3} (?:\d{4} )?)?\d\d:\d\d(?: [\w+-]{1,6})?) \(in [\w ]+\)")
_GAP = re.compile(r" {2,}")


@dataclass(frozen=True, slots=True)
class MessageText:
    """Title and body; in the plain ones only names come from outside."""

    title: str
    body: str
    plain_title: str
    plain_body: str
    zone_label: str = field(default="", kw_only=True)
    """Label of the zone of its times: "CET"."""
    commands: tuple[str, ...] = field(default=(), kw_only=True)
    """The commands that it asks for."""


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table. Each row has the same number of cells; an empty one becomes a dash."""
    cleaned = [[_GAP.sub(" ", cell).strip() or "–" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cleaned, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cleaned]


def zoned_column(name: str, times: Sequence[str]) -> list[str]:
    """A column of times like "06:30 CET": its header has the zone, where all have the same."""
    zones = {time.rpartition(" ")[2] for time in times}
    if len(zones) != 1:
        return [name, *times]
    return [f"{name} ({zones.pop()})", *(time.rpartition(" ")[0] for time in times)]


def quote(lines: Iterable[str]) -> list[str]:
    """Lines of external text, behind a bar."""
    return [BAR + line for line in lines]


def text_of(blocks: Iterable[Sequence[str]]) -> str:
    """The body of these blocks of lines; empty ones are left out."""
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def without_countdown(text: str) -> str:
    """The text for a later time: "restart extract by 07:29" of "restart extract by 07:29 (in 8 min)"."""
    return _COUNTDOWN.sub(r"\1", text)


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a message between two blank lines."""

    kind: str
    """ "text", "quote", "rule", "title" or "table"."""
    rows: Sequence[Sequence[str]]
    """A line is a row of one cell."""

    @property
    def has_header(self) -> bool:
        names = [cell.partition(" (")[0] for cell in self.rows[0]]
        return all(name.upper() == name and name[:1].isalpha() for name in names)

    @property
    def header(self) -> list[str]:
        """The names of its columns: "Due (CET)" of "DUE (CET)"."""
        return [_HEADER.sub(lambda name: name[0].capitalize(), cell) for cell in self.rows[0]]

    @property
    def zoned_rows(self) -> list[list[str]]:
        """The rows below its header, each time with the zone that the header has: "06:30 CET"."""
        zones = [cell.partition(" (")[2].rstrip(")") for cell in self.rows[0]]
        return [[f"{cell} {zone}".rstrip() for cell, zone in zip(row, zones, strict=True)] for row in self.rows[1:]]


_RULE = Block("rule", [])


def read_blocks(body: str) -> Iterator[Block]:
    """The blocks of a body that `text_of` made."""
    for is_outside, lines in groupby(body.rstrip("\n").split("\n"), lambda line: line.startswith(BAR)):
        if is_outside:
            yield Block("quote", [[line.removeprefix(BAR)] for line in lines])
            continue
        for is_blank, group in groupby(lines, lambda line: not line.strip()):
            if not is_blank:
                yield _read(list(group))


ALL_INCIDENTS = "All incidents"
"""Title of the details that all messages of a group share."""


def group_text(titles: Sequence[str], bodies: Sequence[str]) -> str:
    """One body for several messages, each below its title. Tables and rows that all of them have are written once:
    first those above the rule, last those of the details."""
    messages = [[part for block in read_blocks(body) for part in _rows_of(block)] for body in bodies]
    shared = [part for part in messages[0] if part.kind == "table" and all(part in parts for parts in messages)]
    details = messages[0][messages[0].index(_RULE) :] if _RULE in messages[0] else []
    blocks = _blocks_of(part for part in shared if part not in details)
    for title, parts in zip(titles, messages, strict=True):
        own = _blocks_of(part for part in parts if part not in shared)
        blocks += [_title_lines(title), *(own[:-1] if own[-1:] == [[RULE]] else own)]
    if last := _blocks_of(part for part in shared if part in details):
        blocks += [_title_lines(ALL_INCIDENTS), *last]
    return text_of(blocks)


def _title_lines(title: str) -> list[str]:
    return [DIVIDER, *table([[title]])]


def _blocks_of(parts: Iterable[Block]) -> list[list[str]]:
    """The lines of each block; neighboring rows are one table again."""
    blocks: list[list[str]] = []
    for is_row, group in groupby(parts, lambda part: part.kind == "table" and not part.has_header):
        neighbors = list(group)
        blocks += [table(part.rows[0] for part in neighbors)] if is_row else map(_lines_of, neighbors)
    return blocks


def _rows_of(block: Block) -> list[Block]:
    """The rows of a table without a header; any other block as it is."""
    is_split = block.kind == "table" and not block.has_header
    return [Block("table", [row]) for row in block.rows] if is_split else [block]


def _lines_of(block: Block) -> list[str]:
    if block.kind == "table":
        return table(block.rows)
    lines = [row[0] for row in block.rows]
    return [RULE] if block == _RULE else quote(lines) if block.kind == "quote" else lines


def _read(lines: list[str]) -> Block:
    if len(lines) == 1 and len(lines[0]) >= len(RULE) and not lines[0].strip("-"):
        return Block("rule", [])
    if lines[0] == DIVIDER and len(lines) == 2:
        return Block("title", [[lines[1]]])
    rows = [_GAP.split(line) for line in lines]
    if len(rows[0]) > 1 and len({len(row) for row in rows}) == 1 and all(row[0] for row in rows):
        return Block("table", rows)
    return Block("text", [[line] for line in lines])


def is_command(cell: str) -> bool:
    """True for a command of Headway."""
    return cell.startswith(_COMMAND)


def is_own_link(label: str, cell: str) -> bool:
    """True for a link that is from config: a template's own line, or the cell of a row for links."""
    return bool(LINK.match(cell)) and label in ("", *LINK_LABELS)


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


def as_chat(markup: ChatMarkup, title: str, body: str) -> tuple[str, str]:
    """Title and body for a chat: a table is a list, as a phone has no room for columns."""
    parts = [_chat(markup, block) for block in read_blocks(body) if block.kind != "rule"]
    title = markup.escape(title)
    parts = parts if markup.has_title else [markup.bold.format(title), *parts]
    return title if markup.has_title else "", "\n\n".join(parts) + "\n"


def _chat(markup: ChatMarkup, block: Block) -> str:
    if block.kind == "quote":
        return markup.as_block([row[0] for row in block.rows])
    if block.kind == "title":
        return markup.joined([CHAT_DIVIDER, markup.bold.format(markup.escape(block.rows[0][0]))])
    if block.kind == "text":
        return markup.joined(_chat_cell(markup, "", row[0]) for row in block.rows)
    if block.has_header:
        return markup.joined(_chat_row(markup, "", row, ", ") for row in block.zoned_rows)
    return markup.joined(_chat_row(markup, row[0], row, " ") for row in block.rows)


def _chat_row(markup: ChatMarkup, label: str, row: Sequence[str], between: str) -> str:
    name, *cells = row
    texts = (_chat_cell(markup, label, cell) if label else markup.escape(cell) for cell in cells)
    return f"{markup.bold.format(markup.escape(name))}  {between.join(texts)}"


def _chat_cell(markup: ChatMarkup, label: str, cell: str) -> str:
    if is_own_link(label, cell):
        return markup.link.format(markup.escape(cell) if markup.is_html else cell)
    return markup.as_code(cell) if is_command(cell) else markup.escape(cell)
