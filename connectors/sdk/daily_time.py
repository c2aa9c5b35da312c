"""A time of day on days of the week, in a zone: the schedule of what people and partners deliver."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator

from connectors.sdk.option_errors import Duration, StrictOptions
from connectors.sdk.records import Schedule

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _time(value: Any) -> time:
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a time of day; write "05:00"')
    return time(int(match[1]), int(match[2]))


def _days(names: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [name for name in names if name not in DAYS]
    if wrong or not names:
        text = f'"{wrong[0]}" is not a day' if wrong else "no day at all is never"
        raise ValueError(f'{text}; days are some of {", ".join(DAYS)}, as in days = ["mon", "tue"]')
    return names


def _half_a_day(early: timedelta) -> timedelta:
    if early > timedelta(hours=12):
        raise ValueError('a delivery more than half a day ahead may be a late one; write at most "12h"')
    return early


def _name(name: str) -> str:
    if not name.isprintable() or name != name.strip() or not name:
        raise ValueError(f"{name!a} holds what cannot be shown or typed. Rename it")
    return name


JobName = Annotated[str, AfterValidator(_name)]
"""A name of the config that is a job's id: people see it in lists, and type it."""


class DailyTime(StrictOptions):
    """When something is expected."""

    at: Annotated[time, BeforeValidator(_time)]
    """Time of day at which it is expected."""
    days: Annotated[tuple[str, ...], AfterValidator(_days)] = DAYS
    """On these days of the week."""

    def schedule(self, zone: str) -> Schedule:
        every = ",".join(str((DAYS.index(day) + 1) % 7) for day in self.days) if len(self.days) < len(DAYS) else "*"
        text = f"{', '.join(self.days) if every != '*' else 'daily'} at {self.at:%H:%M}"
        return Schedule("debian-cron", f"{self.at.minute} {self.at.hour} * * {every}", zone, text)

    def instants(self, first: date, last: date, zone: str) -> Iterator[tuple[date, datetime]]:
        """Each expected day from `first` to `last`, and its instant."""
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            if DAYS[day.weekday()] in self.days:
                yield day, instant_of(day, self.at, zone)


class ExpectedDelivery(DailyTime):
    """When new data is expected."""

    early: Annotated[Duration, AfterValidator(_half_a_day)] = timedelta(hours=2)
    """A delivery at most so long before an expected time belongs to that time, an earlier one to the time before."""

    def time_of(self, delivered: datetime, zone: str) -> datetime:
        """The expected instant that a delivery belongs to, however late it is."""
        latest = delivered + self.early
        day = latest.astimezone(ZoneInfo(zone)).date()
        return max(at for _, at in self.instants(day - timedelta(days=8), day, zone) if at <= latest)


def instant_of(day: date, clock: time, zone: str) -> datetime:
    """The earlier of two; for a time that a change of the clocks skips, the change itself."""
    local = datetime.combine(day, clock, ZoneInfo(zone))
    at = local.astimezone(UTC)
    if at.astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None):
        return at
    after = local.replace(fold=1)
    at = after.astimezone(UTC)  # by the offset after the change: an instant before it
    while at.astimezone(local.tzinfo).utcoffset() != after.utcoffset():
        at += timedelta(minutes=1)
    return at
