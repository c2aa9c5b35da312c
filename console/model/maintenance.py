"""What is known beforehand: times in which nothing is told, and days on which something takes longer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Maintenance:
    """One `[[maintenance]]`: while it lasts nothing about these is missed and nothing is told of them."""

    why: str
    systems: tuple[str, ...] = ()
    """Patterns of names, `*` for any text; so are the next two."""
    targets: tuple[str, ...] = ()
    """ "etl-hosts/db07"."""
    jobs: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    calendar: str = ""
    """Whose windows, or whole days, it lasts; between `since` and `until`, where they are given."""


@dataclass(frozen=True, slots=True)
class PlannedException:
    """One `[[exceptions]]`: on these business dates services have more time, or jobs start later or take longer."""

    why: str
    dates: tuple[date, ...] = ()
    calendar: str = ""
    services: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    """Patterns of names."""
    more_time: timedelta = timedelta(0)
    """Of a service: its deadline is so much later."""
    starts_later: timedelta = timedelta(0)
    """Of a job: so much later than by its clock it counts as missed."""
    takes_longer: timedelta = timedelta(0)
    """Of a job: so much is added to what it usually takes."""
