"""Business calendars: whether a date counts, when a calendar is open, and why a date is excluded.

Decided from the calendar's own declaration, so the same date always has the same answer.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise

from console.domain.calendar import WEEKDAYS, Calendar, CalendarWindow, DayRule
from console.timing.zones import after_gap, local_readings, zone_of

_DAY = timedelta(days=1)
FURTHEST = 366 * 5
"""Days that one question looks ahead or back: a calendar of which no day counts ends it."""


@lru_cache(maxsize=65536)
def counts(calendar: Calendar, day: date) -> bool:
    """True where something is expected on that date."""
    if day in calendar.opened:
        return True
    if day in calendar.closed:
        return False
    return _is_own(calendar, day)


def is_business_day(calendar: Calendar, day: date) -> bool:
    """True for a weekday of the calendar that is neither a holiday nor closed, whatever its rules pick among them."""
    return day in calendar.opened or (day.weekday() in calendar.weekdays and not _is_off(calendar, day))


def no_days_fault(start: date) -> str:
    """The fault of a calendar that counts no day, and its fix."""
    fix = "check its weekdays, on and closed, or name dates in open"
    return f"no day counts within five years from {start}, so nothing is ever expected on it. Fix: {fix}"


def next_days(calendar: Calendar, after: date, n: int) -> tuple[date, ...]:
    """The first `n` dates after `after` that count, in order; fewer where there are no more within five years of the
    one before."""
    days: list[date] = []
    while len(days) < n:
        day = _nearest(after, _DAY, lambda candidate: counts(calendar, candidate))
        if day is None:
            break
        days.append(day)
        after = day
    return tuple(days)


def next_day(calendar: Calendar, after: date) -> date | None:
    """The first date after `after` that counts; None without one within five years."""
    return next(iter(next_days(calendar, after, 1)), None)


def previous_day(calendar: Calendar, before: date) -> date | None:
    """The last date before `before` that counts ("the previous business day"); None without one within five years."""
    return _nearest(before, -_DAY, lambda candidate: counts(calendar, candidate))


def days_in(calendar: Calendar, first: date, last: date) -> tuple[date, ...]:
    """Every date that counts from `first` to `last`, both included."""
    return tuple(day for day in _days(first, last) if counts(calendar, day))


def is_open(calendar: Calendar, at: datetime) -> bool:
    """True at an instant (aware) inside a window of a date that counts, by the calendar's own zone."""
    local = at.astimezone(zone_of(calendar.zone))
    if not calendar.windows:
        return counts(calendar, local.date())
    today, yesterday = local.date(), local.date() - _DAY
    return any(
        (_has(window, local) and counts(calendar, today))
        or (window.closes <= window.opens and local.time() < window.closes and counts(calendar, yesterday))
        for window in calendar.windows
    )


@dataclass(frozen=True, slots=True)
class OpenHours:
    """One window of one date, as it really is open there."""

    window: CalendarWindow
    spans: tuple[tuple[datetime, datetime], ...]
    """Instants (UTC) from which on and until just before which it is open; two where the clock is set back within it;
    none where the clock jumps over all of it."""
    odd: tuple[tuple[datetime, bool], ...]
    """Its ends (local) that the clock does not show on that date (False), or shows twice (True)."""


def open_hours(calendar: Calendar, day: date) -> tuple[OpenHours, ...]:
    """When it is open by each of its windows on that date, which counts; the same instants as `is_open`."""
    return tuple(_hours(window, day, zone_of(calendar.zone)) for window in calendar.windows)


def is_start_expected(calendar: Calendar | None, at: datetime, business_date: date) -> bool:
    """True where a start at that instant is expected: always without a calendar; within its windows, where it has
    some; else on a business date that counts."""
    if calendar is None:
        return True
    return is_open(calendar, at) if calendar.windows else counts(calendar, business_date)


def exclusion_reason(calendar: Calendar, day: date) -> str:
    """Why nothing is promised for a date that does not count, and for which it is next."""
    following = next_day(calendar, day)
    after = f"; the next is for {following}" if following else "; none within five years"
    return f"no promise for {day}: calendar {calendar.name}, {day_reason(calendar, day)}{after}"


def holiday(calendar: Calendar, day: date) -> str:
    """Name of the public holiday; empty without one, or if the calendar has no country."""
    if not calendar.country:
        return ""
    return _holidays(calendar.country, calendar.subdivision, day.year).get(day, "")


def day_reason(calendar: Calendar, day: date) -> str:
    """Why the date counts or does not, in a few words: "closed", "Christmas Day", "a Saturday", "open"."""
    if day in calendar.opened:
        return "named open"
    if day in calendar.closed:
        return "named closed"
    if _is_own(calendar, day):
        return "counts"
    named = holiday(calendar, day)
    return named or ("not the day of its rule" if calendar.on else f"a {WEEKDAYS[day.weekday()].capitalize()}")


def _is_own(calendar: Calendar, day: date) -> bool:
    if not calendar.on:
        return is_business_day(calendar, day)
    return any(
        _day_of(calendar, rule, *_span(day, rule.span)) == day and not _is_off(calendar, day) for rule in calendar.on
    )


def _is_off(calendar: Calendar, day: date) -> bool:
    return day in calendar.closed or bool(holiday(calendar, day))


@lru_cache(maxsize=4096)
def _day_of(calendar: Calendar, rule: DayRule, first: date, last: date) -> date | None:
    fitting = [
        day
        for day in _days(first, last)
        if (
            is_business_day(calendar, day)
            if rule.kind == "business day"
            else rule.kind == "day" or WEEKDAYS[day.weekday()] == rule.kind
        )
    ]
    place = rule.number - 1 if rule.number > 0 else rule.number
    return fitting[place] if -len(fitting) <= place < len(fitting) else None


def _span(day: date, span: str) -> tuple[date, date]:
    first, last = {
        "month": (day.month, day.month),
        "quarter": (day.month - (day.month - 1) % 3, day.month - (day.month - 1) % 3 + 2),
        "year": (1, 12),
    }[span]
    return date(day.year, first, 1), date(day.year, last, monthrange(day.year, last)[1])


def _days(first: date, last: date) -> Iterator[date]:
    return (first + number * _DAY for number in range((last - first).days + 1))


def _nearest(start: date, step: timedelta, fits: Callable[[date], bool]) -> date | None:
    for number in range(1, FURTHEST + 1):
        try:
            day = start + number * step
        except OverflowError:
            return None
        if fits(day):
            return day
    return None


@lru_cache(maxsize=4096)
def _hours(window: CalendarWindow, day: date, zone: tzinfo) -> OpenHours:
    opens = datetime.combine(day, window.opens)
    closes = datetime.combine(day if window.closes > window.opens else day + _DAY, window.closes)
    shown = {at: local_readings(at, zone) for at in (opens, closes)}
    odd = tuple((at, len(readings) > 1) for at, readings in shown.items() if len(readings) != 1)
    edges = {at for readings in shown.values() for at in readings}
    edges |= {after_gap(at, zone) for at, readings in shown.items() if not readings}
    edges |= set(_moves(min(edges), max(edges), zone))
    spans: list[tuple[datetime, datetime]] = []
    for begins, ends in pairwise(sorted(edges)):
        if not opens <= begins.astimezone(zone).replace(tzinfo=None) < closes:
            continue
        first = spans.pop()[0] if spans and spans[-1][1] == begins else begins
        spans.append((first, ends))
    return OpenHours(window, tuple(spans), odd)


def _moves(begins: datetime, ends: datetime, zone: tzinfo) -> Iterator[datetime]:
    """The instant between at which the clock is set forward or back; at most one within a day."""
    before = begins.astimezone(zone).utcoffset()
    if before == ends.astimezone(zone).utcoffset():
        return
    while ends - begins > timedelta(seconds=1):
        middle = begins + (ends - begins) / 2
        begins, ends = (middle, ends) if middle.astimezone(zone).utcoffset() == before else (begins, middle)
    yield ends.replace(microsecond=0)


def _has(window: CalendarWindow, local: datetime) -> bool:
    clock = local.time()
    return clock >= window.opens and (clock < window.closes or window.closes <= window.opens)


@lru_cache(maxsize=256)
def _holidays(country: str, subdivision: str, year: int) -> dict[date, str]:
    from holidays import country_holidays  # noqa: PLC0415  it takes a tenth of a second, and most name no country

    return dict(country_holidays(country, subdiv=subdivision or None, years=year).items())


WEEKDAYS_ONLY = Calendar("")
_EVERY_DAY = Calendar("", weekdays=tuple(range(7)))


def month_end_dates(business_date: date, calendar: Calendar | None) -> tuple[date, date]:
    """The dates whose last run is read: of the month that ends with `business_date`, else of the one before. With a
    calendar the last date that counts there, twice."""
    counted = calendar or _EVERY_DAY
    month = business_date
    while True:
        first, last = month.replace(day=1), month.replace(day=monthrange(month.year, month.month)[1])
        days = days_in(counted, first, last)
        if days and days[-1] <= business_date:
            return (days[-1], days[-1]) if calendar is not None else (first, last)
        if month < business_date.replace(day=1) - 12 * _DAY * 31:
            return first, last  # a calendar without days: nothing is found there
        month = first - _DAY
