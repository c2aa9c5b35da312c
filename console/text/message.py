"""The body of a notification, as plain text that is read back as blocks: written as HTML for mail, or for a chat.

Plain text is the stored form. Blank lines part its blocks; a table is lines of cells with two blanks between them, its
header in capitals; text from outside is behind a bar; one line of dashes begins the details.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

BAR = "  | "
"""Prefix of external text."""
RULE = "-" * 40
LINK = re.compile(r"https?://\S+$")
LINK_LABELS = ("Open", "Runbook", "Do", "Acknowledge")
"""Rows whose link is from config."""
_COMMAND = "headway "
"""Prefix of a cell that is a command."""
_HEADER = re.compile(r"^[^(]*")
"""A header without the zone in brackets."""
_GAP = re.compile(r" {2,}")


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table. Each row has the same number of cells; an empty one becomes a dash."""
    cleaned = [[_GAP.sub(" ", cell).strip() or "–" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cleaned, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cleaned]


def quote(lines: Iterable[str]) -> list[str]:
    """Lines of external text, behind a bar."""
    return [BAR + line for line in lines]


def text_of(blocks: Iterable[Sequence[str]]) -> str:
    """The body of these blocks of lines; empty ones are left out."""
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


@dataclass(frozen=True, slots=True)
class _Block:
    kind: str
    """ "text", "quote", "rule" or "table"."""
    rows: Sequence[Sequence[str]]
    """A line is a row of one cell."""

    @property
    def has_header(self) -> bool:
        names = [cell.partition(" (")[0] for cell in self.rows[0]]
        return all(name.upper() == name and name[:1].isalpha() for name in names)


def _blocks(body: str) -> Iterator[_Block]:
    for is_outside, lines in groupby(body.rstrip("\n").split("\n"), lambda line: line.startswith(BAR)):
        if is_outside:
            yield _Block("quote", [[line.removeprefix(BAR)] for line in lines])
            continue
        for is_blank, group in groupby(lines, lambda line: not line.strip()):
            if not is_blank:
                yield _read(list(group))


def _read(lines: list[str]) -> _Block:
    if len(lines) == 1 and len(lines[0]) >= len(RULE) and not lines[0].strip("-"):
        return _Block("rule", [])
    rows = [_GAP.split(line) for line in lines]
    if len(rows[0]) > 1 and len({len(row) for row in rows}) == 1 and all(row[0] for row in rows):
        return _Block("table", rows)
    return _Block("text", [[line] for line in lines])


_STYLE = """:root{color-scheme:light dark}
body{margin:0;padding:16px;max-width:640px;font:16px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;\
color:#1a1a1a;background:#fff}
h1{font-size:20px;line-height:1.3;margin:0 0 12px}
p{margin:0 0 12px;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;margin:0 0 14px}
th,td{text-align:left;vertical-align:top;padding:6px 12px 6px 0;border-bottom:1px solid #ddd;overflow-wrap:anywhere}
th{font-weight:600;color:#555}
td:first-child,th:first-child{min-width:88px}
.rows th{white-space:nowrap;font-weight:400;width:1%}
pre,code{font:14px/1.4 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
pre{margin:0 0 14px;padding:8px 10px;background:#f2f2f2;border-left:4px solid #999}
hr{border:0;border-top:1px solid #bbb;margin:18px 0}
a{color:#0b57d0}
@media (prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}th,td{border-color:#3a3a3a}th{color:#aaa}
pre{background:#262626}hr{border-color:#555}a{color:#8ab4f8}}"""


def as_html(title: str, body: str) -> str:
    """The message as a page for a phone: tables are tables, external text is in a block of its own, all is escaped."""
    parts = [f"<h1>{escape(title)}</h1>", *map(_html, _blocks(body))]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return (
        f"<!DOCTYPE html>\n<html><head>{head}\n<style>{_STYLE}</style></head>\n<body>\n{_lines(parts)}</body></html>\n"
    )


def _html(block: _Block) -> str:
    if block.kind == "rule":
        return "<hr>"
    if block.kind == "quote":
        return f"<pre>{escape(_lines(row[0] for row in block.rows)).rstrip()}</pre>"
    if block.kind == "text":
        return f"<p>{'<br>'.join(_html_cell('', row[0]) for row in block.rows)}</p>"
    if block.has_header:
        head = "".join(
            f"<th>{escape(_HEADER.sub(lambda name: name[0].capitalize(), cell))}</th>" for cell in block.rows[0]
        )
        rows = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in block.rows[1:]]
        return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
    rows = [
        f"<th>{escape(row[0])}</th>{''.join(f'<td>{_html_cell(row[0], cell)}</td>' for cell in row[1:])}"
        for row in block.rows
    ]
    return f'<table class="rows">{"".join(f"<tr>{row}</tr>" for row in rows)}</table>'


def _html_cell(label: str, cell: str) -> str:
    if is_own_link(label, cell):
        return f'<a href="{escape(cell)}">{escape(cell)}</a>'
    return f"<code>{escape(cell)}</code>" if cell.startswith(_COMMAND) else escape(cell)


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
DISCORD = ChatMarkup("**{}**", "`{}`", "```\n{}\n```", "{}", _PUNCTUATION)
TEAMS = ChatMarkup("**{}**", "{}", "{}", "[{0}]({0})", _PUNCTUATION)
"""An adaptive card has no code."""
TELEGRAM = ChatMarkup("<b>{}</b>", "<code>{}</code>", "<pre>{}</pre>", "{}", is_html=True)


def as_chat(markup: ChatMarkup, body: str) -> str:
    """The message for a chat: a table is a list, as a phone has no room for columns."""
    return "\n\n".join(_chat(markup, block) for block in _blocks(body) if block.kind != "rule") + "\n"


def _chat(markup: ChatMarkup, block: _Block) -> str:
    if block.kind == "quote":
        return markup.as_block([row[0] for row in block.rows])
    if block.kind == "text":
        return markup.joined(_chat_cell(markup, "", row[0]) for row in block.rows)
    if block.has_header:
        return markup.joined(_chat_row(markup, "", row, ", ") for row in block.rows[1:])
    return markup.joined(_chat_row(markup, row[0], row, " ") for row in block.rows)


def _chat_row(markup: ChatMarkup, label: str, row: Sequence[str], between: str) -> str:
    name, *cells = row
    texts = (_chat_cell(markup, label, cell) if label else markup.escape(cell) for cell in cells)
    return f"{markup.bold.format(markup.escape(name))}  {between.join(texts)}"


def _chat_cell(markup: ChatMarkup, label: str, cell: str) -> str:
    if is_own_link(label, cell):
        return markup.link.format(markup.escape(cell) if markup.is_html else cell)
    return markup.as_code(cell) if cell.startswith(_COMMAND) else markup.escape(cell)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
