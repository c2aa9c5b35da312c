"""Which days count: working days, holidays, closings, the n-th of a month; and the hours of such a day."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, time

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SPANS = ("month", "quarter", "year")
_RULE = re.compile(
    rf"(?:(?P<nth>[1-9]\d?)(?:st|nd|rd|th)|(?P<first>first))?(?: ?(?P<last>last))? "
    rf"(?P<kind>business day|day|{'|'.join(WEEKDAYS)})(?: of (?P<span>{'|'.join(SPANS)}))?"
)


def _most(kind: str, span: str) -> int:
    """The most days of that kind that a span can have."""
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
    def words(self) -> str:
        """ "last business day", "2nd last friday of quarter"."""
        count = abs(self.number)
        nth = {1: "", 2: "2nd", 3: "3rd"}.get(count, f"{count}th")
        ends = "last" if self.number < 0 else "first" if count == 1 else ""
        of_span = "" if self.span == "month" else f"of {self.span}"
        return " ".join(filter(None, (nth, ends, self.kind, of_span)))

    @classmethod
    def read(cls, text: str) -> DayRule:
        """Raises ValueError, in words, for what names no such day."""
        found = _RULE.fullmatch(" ".join(text.lower().split()))
        if found is None or not (found["nth"] or found["first"] or found["last"]):
            raise ValueError(
                f'"{text}" names no day; write "first business day", "last friday", "2nd tuesday of month"'
            )
        number, most = int(found["nth"] or 1), _most(found["kind"], found["span"] or "month")
        if number > most:
            raise ValueError(f'"{text}" is never: there are at most {most} in a {found["span"] or "month"}; write less')
        return cls(-number if found["last"] else number, found["kind"], found["span"] or "month")


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of a day, local time: from `opens` to just before `closes`; over midnight where it closes before it opens.
    Both alike: the whole day."""

    opens: time
    closes: time


@dataclass(frozen=True, slots=True)
class Calendar:
    """One `[calendars.NAME]`: the business dates on which something is expected. `control.calendars` reads it."""

    name: str
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4)
    """0 is Monday."""
    country: str = ""
    """Two letters; its public holidays do not count. Empty: there are none."""
    subdivision: str = ""
    closed: tuple[date, ...] = ()
    """Never count."""
    opened: tuple[date, ...] = ()
    """Always count."""
    on: tuple[DayRule, ...] = ()
    """Only these of its days; empty: all of them."""
    windows: tuple[Window, ...] = ()
    """Hours of the days that count; empty: all day."""
    zone: str = "UTC"
    """Of the windows."""
    include: tuple[Calendar, ...] = ()
    """Days of these count too."""
    only_in: tuple[Calendar, ...] = ()
    """Only days that count in each of these too."""
    exclude: tuple[Calendar, ...] = ()
    """Days of these do not count."""
