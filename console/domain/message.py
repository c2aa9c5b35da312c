"""A notification as blocks.

In its plain text blank lines part the blocks; a table is lines of cells with two blanks between them, its header in
capitals; text from outside is behind a bar; a line of dashes begins the details. Its forms for chats and for mail are
`console.engine.notify.chat` and `mail`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar

from console.domain.stored import stored_text, stored_value


@dataclass(frozen=True, slots=True)
class Countdown:
    """The time left behind an act-by: " (in 8 min)"; a title for a later reader has none."""

    time_left: str

    def __str__(self) -> str:
        return f" (in {self.time_left})"


@dataclass(frozen=True, slots=True)
class CommandRef:
    """A command of Headway."""

    command: str
    acknowledges: str = ""
    """The incident that it acknowledges: a mail or a chat may get a link instead."""
    approves: str = ""
    """The key of the action that it approves, likewise."""

    def __str__(self) -> str:
        return self.command


@dataclass(frozen=True, slots=True)
class Link:
    """An address from config."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class ClockTime:
    """A time with the label of its zone: a column of plain text writes the label once."""

    time: str
    zone: str

    def __str__(self) -> str:
        return f"{self.time} {self.zone}"


@dataclass(frozen=True, slots=True)
class Label:
    """The kind of the notification, before the problem: "Update: "."""

    label: str

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, slots=True)
class Reference:
    """The incident that it is about, at the end: " [INC-0001]"."""

    incident: str

    def __str__(self) -> str:
        return f" [{self.incident}]"


Headline = tuple[str | Countdown | Label | Reference, ...]
"""Labels, then the problem, as its first text."""
Cell = str | CommandRef | Link | ClockTime
_URL = re.compile(r"https?://(?!\S*@(?:channel|here|everyone|all)\b)[^\s<>|]+$", re.IGNORECASE)


def is_url(text: str) -> bool:
    """True for an address that may be a link, without a part that a chat reads as a mention."""
    return _URL.match(text) is not None


@dataclass(frozen=True, slots=True)
class Lines:
    kind: ClassVar[str] = "lines"
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """Lines of external text."""

    kind: ClassVar[str] = "quote"
    rows: tuple[str, ...]


DO = "Do"
"""Label of a command that a message asks for."""
BY_HAND = "By hand"
"""Label of a repair without a command."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Rows of a label and its value."""

    kind: ClassVar[str] = "facts"
    rows: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows below the names of their columns."""

    kind: ClassVar[str] = "table"
    columns: tuple[str, ...]
    """Each with a capital: "Due"."""
    rows: tuple[tuple[str | ClockTime, ...], ...]


@dataclass(frozen=True, slots=True)
class Details:
    """Begins the details: all blocks up to the next section."""

    kind: ClassVar[str] = "details"


@dataclass(frozen=True, slots=True)
class Section:
    """Begins the message about one incident of several."""

    kind: ClassVar[str] = "section"
    title: Headline


Block = Lines | Quote | Facts | Columns | Details | Section


@dataclass(frozen=True, slots=True)
class Message:
    """A notification: its title, and blocks without empty ones."""

    title: Headline = ()
    blocks: tuple[Block, ...] = ()
    zone_label: str = ""
    """Label of the zone of its times: "CET"."""

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that it asks for."""
        return tuple(command.command for command in self._actions)

    @property
    def approvals(self) -> tuple[str, ...]:
        """The keys of the actions whose approval it asks for."""
        return tuple(command.approves for command in self._actions if command.approves)

    @property
    def _actions(self) -> Iterator[CommandRef]:
        rows = (row for block in self.blocks if isinstance(block, Facts) for row in block.rows)
        return (cell for label, cell in rows if label == DO and isinstance(cell, CommandRef))

    def below(self, *blocks: Block) -> Message:
        """The message with these blocks above its own."""
        return replace(self, blocks=(*blocks, *self.blocks))

    def titled(self, before: str = "", after: str = "") -> Message:
        """The message with a longer title."""
        return replace(self, title=(Label(before), *self.title, *((after,) if after else ())))

    def without_countdown(self) -> Message:
        """The message for a later time: "restart extract by 07:29" of "restart extract by 07:29 (in 8 min)"."""
        return self.changed(lambda part: "" if isinstance(part, Countdown) else part)

    def mapped(self, write: Callable[[str], str]) -> Message:
        """The message with each of its texts, but for its links, as `write` returns it."""
        return self.changed(lambda part: write(part) if isinstance(part, str) else part)

    def changed(self, change: Callable[[Any], Any]) -> Message:
        """The message with each part, cell and text as `change` returns it."""
        return replace(self, title=_changed(self.title, change), blocks=_changed(self.blocks, change))

    def to_json(self) -> str:
        """As an alert stores it."""
        return stored_text(self)

    @classmethod
    def from_json(cls, text: str) -> Message:
        """The stored message; a text of another form is its own title."""
        return stored_value(cls, text, Message((text,) if text else ()))


def filled_blocks(*blocks: Block) -> tuple[Block, ...]:
    """The blocks without empty ones."""
    return tuple(block for block in blocks if isinstance(block, Details | Section) or block.rows)


NO_MESSAGE = Message()


def _changed(value: Any, change: Callable[[Any], Any]) -> Any:
    value = change(value)
    if isinstance(value, tuple):
        return tuple(_changed(part, change) for part in value)
    if not is_dataclass(value) or isinstance(value, type | Link):
        return value
    texts = {field.name: getattr(value, field.name) for field in fields(value)}
    return replace(value, **{name: _changed(text, change) for name, text in texts.items()})


# -- as plain text ----------------------------------------------------------------------------------------------------
BAR = "  | "
"""Prefix of external text."""
RULE = "-" * 40
DIVIDER = "=" * 40
"""Line above the title of each incident of a group."""
_GAP = re.compile(r" {2,}")


def title_text(title: Headline) -> str:
    return "".join(map(str, title))


def cell_text(cell: Cell) -> str:
    """The cell without gaps, which part cells; a dash for an empty one."""
    return _GAP.sub(" ", str(cell)).strip() or "–"


def body_text(blocks: Iterable[Block]) -> str:
    """The blocks as plain text."""
    return "\n\n".join("\n".join(_lines(block)) for block in blocks) + "\n"


def _lines(block: Block) -> Sequence[str]:
    match block:
        case Lines(rows):
            return rows
        case Quote(rows):
            return [BAR + line for line in rows]
        case Facts(rows):
            return _aligned([(cell_text(label), cell_text(cell)) for label, cell in rows])
        case Columns():
            return _aligned(table_rows(block, str.upper))
        case Details():
            return [RULE]
        case Section(title):
            return [DIVIDER, cell_text(title_text(title))]


def table_rows(table: Columns, write: Callable[[str], str] = str) -> list[list[str]]:
    """The names of its columns, as `write` returns them, and its rows. A column has the zone of its times, where all
    have the same: "DUE (CET)", then "06:30"."""
    columns = []
    for name, *cells in zip(table.columns, *table.rows, strict=True):
        zones = {cell.zone for cell in cells if isinstance(cell, ClockTime)}
        zone = zones.pop() if len(zones) == 1 else ""
        times = (cell.time if zone and isinstance(cell, ClockTime) else cell_text(cell) for cell in cells)
        columns.append([f"{write(name)} ({zone})" if zone else write(name), *times])
    return [list(row) for row in zip(*columns, strict=True)]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table. Each row has the same number of cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
