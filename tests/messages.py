"""Notifications in tests: written as plain text, and read as such."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from console.domain.decision import Notice
from console.domain.message import (
    BAR,
    DIVIDER,
    RULE,
    Block,
    Cell,
    ClockTime,
    Columns,
    CommandRef,
    Countdown,
    Details,
    Facts,
    Label,
    Lines,
    Link,
    Message,
    Quote,
    Reference,
    Section,
    body_text,
    is_url,
    title_text,
)
from console.engine.notify.outbox import REPEAT

REPEAT_TEXT = f"{body_text([REPEAT])}\n"
"""Begins the body of a repeat."""
_TITLE = re.compile(r"((?:[A-Z][a-z]+(?: resolved)?: )*)(.*?)(: .*?)?(?: \(in ([\w ]+)\))?(?: \[([^]]*)\])?", re.DOTALL)
_COUNTDOWN = re.compile(r"( by (?:(?:[A-Z]\w\w )?\d{1,2} \w{3} (?:\d{4} )?)?\d\d:\d\d(?: [\w+-]{1,6})?) \(in [\w ]+\)")
_LINK_LABELS = ("Open", "Runbook", "Do", "Acknowledge")


def message_of(title: str, body: str = "", zone_label: str = "") -> Message:
    """The notification with this plain text."""
    match = _TITLE.fullmatch(title)
    assert match is not None
    labels, problem, rest, left, incident = match.groups(default="")
    parts: list[str | Countdown | Label | Reference] = [*map(Label, re.findall(r"[^:]+: ", labels)), problem, rest]
    parts += [Countdown(left)] if left else []
    parts += [Reference(incident)] if incident else []
    return Message(tuple(part for part in parts if part), tuple(_blocks(body)), zone_label)


def _blocks(body: str) -> Iterator[Block]:
    for is_outside, lines in groupby(body.rstrip("\n").split("\n"), lambda line: line.startswith(BAR)):
        if is_outside:
            yield Quote(tuple(line.removeprefix(BAR) for line in lines))
            continue
        for is_blank, rows in groupby(lines, lambda line: not line.strip()):
            if not is_blank:
                yield _block(list(rows))


def _block(lines: list[str]) -> Block:
    if lines == [RULE]:
        return Details()
    if lines[0] == DIVIDER and len(lines) == 2:
        return Section((lines[1],))
    rows = [re.split(" {2,}", line) for line in lines]
    if len(rows[0]) == 1 or len({len(row) for row in rows}) > 1:
        return Lines(tuple(lines))
    if lines[0].partition(" (")[0].isupper():
        names = [cell.partition(" (") for cell in rows[0]]
        zones = [zone.rstrip(")") for _, _, zone in names]
        times = (
            tuple(ClockTime(cell, zone) if zone else cell for cell, zone in zip(row, zones, strict=True))
            for row in rows[1:]
        )
        return Columns(tuple(name.capitalize() for name, _, _ in names), tuple(times))
    return Facts(tuple((label, _cell(label, cell)) for label, cell in rows))


def _cell(label: str, text: str) -> Cell:
    if label in _LINK_LABELS and is_url(text):
        return Link(text)
    if text.startswith("headway ack "):
        return CommandRef(text, text.removeprefix("headway ack "))
    return CommandRef(text) if text.startswith("headway ") else text


def title_of(stored: str) -> str:
    """The title of a stored notification."""
    return title_text(Message.from_json(stored).title)


class WrittenNotice(NamedTuple):
    title: str
    body: str
    plain_title: str
    plain_body: str


def written(notice: Notice) -> WrittenNotice:
    """The notice as plain text."""
    texts = (
        text for part in (notice.message, notice.plain) for text in (title_text(part.title), body_text(part.blocks))
    )
    return WrittenNotice(*texts)


def without_countdown(text: str) -> str:
    """The text as a later alert has it."""
    return _COUNTDOWN.sub(r"\1", text)
