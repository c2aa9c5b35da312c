"""Which run of an upstream a downstream reads: that of the same business date, or the one of another period.

What is read of a time before the lookback stands in `Estate.earlier`: it is good or not as it was last judged.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from console.control.calendars import days_in, previous_day
from console.control.moments import anchor, when
from console.model.calendars import Calendar
from console.model.values import RunFacts
from console.model.wants import Period, Wants

if TYPE_CHECKING:
    from console.control.picture import Picture

_DAY = timedelta(days=1)
WEEKDAYS_ONLY = Calendar("")
_EVERY_DAY = Calendar("", weekdays=tuple(range(7)))


@dataclass(frozen=True, slots=True)
class Look:
    """From where a downstream looks at its upstreams."""

    bd: date
    at: datetime
    """It looks back from here; what is due later is not read, where there is a choice."""
    due: datetime
    """The instant of its own period."""
    by: datetime
    """What is good after this comes too late."""


def look_of(run: RunFacts, now: datetime) -> Look:
    """That of a run: as it started, or as it would start now."""
    return Look(run.bd, anchor(run), when(run), run.started_at or now)


def meant(picture: Picture, upstream_id: int, wants: Wants, look: Look, loops: bool) -> RunFacts | None:
    """The upstream's run that is read; None where it has none of that period."""
    match wants.period:
        case Period.SAME:
            return picture.read_by(upstream_id, look.bd, look.at)
        case Period.PREVIOUS:
            return _previous(picture, upstream_id, look, loops)
        case Period.BUSINESS_DAY:
            day = previous_day(picture.estate.declared.calendar(wants.calendar) or WEEKDAYS_ONLY, look.bd)
            return _last(_between(picture, upstream_id, day, day)) if day is not None else None
        case Period.MONTH_END:
            calendar = picture.estate.declared.calendar(wants.calendar)
            return _last(_between(picture, upstream_id, *month_end(look.bd, calendar)))
        case Period.LATEST:
            return _last(_before(picture, upstream_id, look.at))
        case Period.WINDOW:
            return _in_window(picture, upstream_id, wants.within or timedelta(0), look)


def month_end(bd: date, calendar: Calendar | None) -> tuple[date, date]:
    """The dates of which the last run is read: of the month that ends with `bd`, else of the one before. With a
    calendar the last date that counts there, twice."""
    counted = calendar or _EVERY_DAY
    month = bd
    while True:
        first, last = month.replace(day=1), month.replace(day=monthrange(month.year, month.month)[1])
        days = days_in(counted, first, last)
        if days and days[-1] <= bd:
            return (days[-1], days[-1]) if calendar is not None else (first, last)
        if month < bd.replace(day=1) - 12 * _DAY * 31:
            return first, last  # a calendar without days: nothing is found there
        month = first - _DAY


def _previous(picture: Picture, upstream_id: int, look: Look, loops: bool) -> RunFacts | None:
    if loops:
        return _last(_before(picture, upstream_id, look.due))
    same = picture.read_by(upstream_id, look.bd, look.due)
    if same is not None:
        return _last(_before(picture, upstream_id, when(same)))
    return _last([run for run in picture.all_of(upstream_id) if run.bd < look.bd])


def _in_window(picture: Picture, upstream_id: int, within: timedelta, look: Look) -> RunFacts | None:
    """The last that is good by then; else the last one. A rerun of the downstream looks from where it was due."""
    found = [run for run in _before(picture, upstream_id, look.due) if when(run) >= look.due - within]
    good = (run for run in reversed(found) if (since := picture.good_since(run)) is not None and since <= look.by)
    return next(good, _last(found))


def _before(picture: Picture, upstream_id: int, at: datetime) -> Sequence[RunFacts]:
    runs = picture.all_of(upstream_id)
    return runs[: bisect_left(runs, at, key=when)]


def _between(picture: Picture, upstream_id: int, first: date, last: date) -> list[RunFacts]:
    return [run for run in picture.all_of(upstream_id) if first <= run.bd <= last]


def _last(runs: Sequence[RunFacts]) -> RunFacts | None:
    return runs[-1] if runs else None
