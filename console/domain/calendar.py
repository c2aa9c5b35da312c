"""Calendars of business dates, maintenance windows and planned exceptions, as config declares them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SPANS = ("month", "quarter", "year")
_RULE = re.compile(
    rf"(?:(?P<nth>[1-9]\d?)(?:st|nd|rd|th)|(?P<first>first))?(?: ?(?P<last>last))? "
    rf"(?P<kind>business day|day|{'|'.join(WEEKDAYS)})(?: of (?P<span>{'|'.join(SPANS)}))?"
)


def _max_occurrences(kind: str, span: str) -> int:
    days = {"month": 31, "quarter": 92, "year": 366}[span]
    return -(-days // 7) if kind in WEEKDAYS else days


@dataclass(frozen=True, slots=True)
class DayRule:
    """ "first business day", "2nd last business day of quarter", "3rd tuesday": one day of each of its spans."""

    number: int
    """1: the first; -1: the last; -2: the one before it."""
    kind: str
    """"business day" (a weekday of the calendar that is neither holiday nor closed), "day", or a weekday's name."""
    span: str = "month"

    @property
    def text(self) -> str:
        """ "last business day", "2nd last friday of quarter"."""
        count = abs(self.number)
        nth = {1: "", 2: "2nd", 3: "3rd"}.get(count, f"{count}th")
        ends = "last" if self.number < 0 else "first" if count == 1 else ""
        of_span = "" if self.span == "month" else f"of {self.span}"
        return " ".join(filter(None, (nth, ends, self.kind, of_span)))

    @classmethod
    def read(cls, text: str) -> DayRule:
        """Raises ValueError for any other text."""
        match = _RULE.fullmatch(" ".join(text.lower().split()))
        if match is None or not (match["nth"] or match["first"] or match["last"]):
            raise ValueError(
                f'"{text}" names no day; write "first business day", "last friday", "2nd tuesday of month"'
            )
        number, most = int(match["nth"] or 1), _max_occurrences(match["kind"], match["span"] or "month")
        if number > most:
            raise ValueError(f'"{text}" is never: there are at most {most} in a {match["span"] or "month"}; write less')
        return cls(-number if match["last"] else number, match["kind"], match["span"] or "month")


@dataclass(frozen=True, slots=True)
class CalendarWindow:
    """Hours of a day, local time: from `opens` to just before `closes`; past midnight if it closes before it opens.
    Equal: the whole day."""

    opens: time
    closes: time


@dataclass(frozen=True, slots=True)
class Calendar:
    """One `[calendars.NAME]`: the business dates on which something is expected."""

    name: str
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Days of the week that count; 0 is Monday."""
    country: str = ""
    """Its public holidays do not count: "DE", "US"; by the `holidays` library. Empty: no holidays."""
    subdivision: str = ""
    """The public holidays of this region do not count either: "BY", "CA"."""
    closed: tuple[date, ...] = ()
    """Dates that never count: a company's own closings."""
    opened: tuple[date, ...] = ()
    """Dates that always count."""
    on: tuple[DayRule, ...] = ()
    """Restricts the days; empty: all of them."""
    windows: tuple[CalendarWindow, ...] = ()
    """Hours on the days that count, the day being the one on which a window opens; empty: all day."""
    zone: str = "UTC"
    """Zone of the windows."""


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """One `[[maintenance]]`: while it lasts, these jobs are not missed and send no alerts."""

    why: str
    """Displayed as the reason wherever something is suppressed by it."""
    systems: tuple[str, ...] = ()
    """Patterns of names, `*` for any text; so are the next two."""
    targets: tuple[str, ...] = ()
    """ "etl-hosts/db07"."""
    jobs: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    calendar: str = ""
    """Calendar of its windows or whole days, between `since` and `until` if given."""


@dataclass(frozen=True, slots=True)
class PlannedException:
    """One `[[exceptions]]`: on these business dates services have more time, or jobs start later or take longer."""

    why: str
    dates: tuple[date, ...] = ()
    calendar: str = ""
    """Every date of this calendar instead."""
    more_time: timedelta = timedelta(0)
    """Added to the deadline of a service."""
    starts_later: timedelta = timedelta(0)
    """Added to the grace of a job."""
    takes_longer: timedelta = timedelta(0)
    """Added to the usual duration of a job."""
    services: tuple[str, ...] = ()
    """Patterns of names, `*` for any text; so are those of jobs."""
    jobs: tuple[str, ...] = ()
