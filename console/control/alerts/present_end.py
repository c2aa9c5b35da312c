"""The end of an incident that leaves later than it was decided, with the service days as they are then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from console.control.alerts.business_message import MARGIN
from console.control.alerts.headline import WORST_FIRST, dated_title
from console.control.alerts.services_table import (
    COLUMNS,
    NOT_YET,
    ServiceLine,
    StatusLabel,
    business_status_text,
    clock_time,
    service_columns,
    status_text,
    still_text,
)
from console.control.incidents.verdict.text import passed_text
from console.domain.alert import BUSINESS, CAUSE_RESOLVED_LABEL, KIND_LABELS, AlertKind, PresentDay
from console.domain.message import DO, Block, Columns, Facts, Headline, Label, Message
from console.domain.service import SAFE, Timeliness
from console.text.cleaning import clean_line
from console.timing.formats import local_time

_END_LABELS = (KIND_LABELS[AlertKind.RECOVERED], CAUSE_RESOLVED_LABEL)
_PAST = (DO, MARGIN)
"""Rows about the state in which the end was decided."""


def present_end(message: Message, days: Sequence[PresentDay], now: datetime) -> Message:
    """The end with the present state of its service days, if that of one has changed: its title and its table, without
    the commands and the margin of then."""
    if not any(day.has_changed(now) for day in days):
        return message
    return replace(message, title=_title(message.title, days, now), blocks=tuple(_blocks(message.blocks, days, now)))


def _title(title: Headline, days: Sequence[PresentDay], now: datetime) -> Headline:
    """ "Resolved: pack 08:58 breached and 1 more (INC-0002, 2 min)"."""
    unsafe = [day for day in days if day.timeliness not in SAFE]
    worst = min(unsafe or days, key=lambda day: (_rank(day.timeliness), day.deadline))
    is_over = not unsafe or worst.timeliness is Timeliness.MET_LATE
    label = _END_LABELS[0] if is_over else CAUSE_RESOLVED_LABEL
    status = (
        _status(worst) if is_over or _is_only_unknown(worst) else still_text(worst.timeliness, _status_label(worst))
    )
    due = f" {local_time(worst.deadline, worst.zone, now)}"
    number = sum(_status(day) == _status(worst) for day in days)
    promise = dated_title(clean_line(worst.title), due, number, f"{label} {status}")
    before = tuple(part for part in title if isinstance(part, Label) and part.label not in _END_LABELS)
    return (*before, Label(label), f"{promise} {status}{_at(worst, now)}", title[-1])


def _rank(timeliness: Timeliness) -> int:
    return WORST_FIRST.index(timeliness) if timeliness in WORST_FIRST else len(WORST_FIRST)


def _blocks(blocks: Sequence[Block], days: Sequence[PresentDay], now: datetime) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Columns) and block.columns == COLUMNS:
            yield service_columns(_line(day, now) for day in days)
        elif isinstance(block, Facts):
            rows = tuple(row for row in block.rows if row[0] not in _PAST)
            yield from [Facts(rows)] if rows else []
        else:
            yield block


def _line(day: PresentDay, now: datetime) -> ServiceLine:
    due = clock_time(day.deadline, day.zone, now)
    return ServiceLine(clean_line(day.title), due, f"{_status(day)}{_at(day, now)}")


def _status(day: PresentDay) -> str:
    return NOT_YET if _is_only_unknown(day) else _status_label(day)(day.timeliness)


def _status_label(day: PresentDay) -> StatusLabel:
    return business_status_text if day.style == BUSINESS else status_text


def _is_only_unknown(day: PresentDay) -> bool:
    return day.timeliness is Timeliness.NO_ESTIMATE and not day.is_affected


def _at(day: PresentDay, now: datetime) -> str:
    """ " at 05:10" once it is delivered; ", act by 07:29", ", act-by 07:29 has passed", else ", expected 05:10"."""
    clock = partial(local_time, zone=day.zone, near=now)
    if day.delivered is not None:
        return f" at {clock(day.delivered)}"
    if day.timeliness in SAFE or day.act_by is None:
        return f", expected {clock(day.expected)}" if day.expected is not None and day.expected > now else ""
    return passed_text(day.act_by, now, clock) or f", act by {clock(day.act_by)}"
