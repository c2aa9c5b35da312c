"""`[[maintenance]]` and `[[exceptions]]`: planned maintenance and known exceptions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from connectors.sdk.option_errors import StrictOptions, Zone
from console.config.value_types import Duration
from console.domain.calendar import MaintenanceWindow, PlannedException


def _instant(value: Any) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime):
        raise ValueError("is not an instant; write 2026-11-21T22:00:00+01:00, or 2026-11-21T22:00:00 with a timezone")
    if not 1970 <= value.year <= 2999:
        raise ValueError(f"lies in the year {value.year}; write one from 1970 to 2999, or leave it out for no limit")
    return value


def _time_shown_once(local: datetime, zone: str) -> datetime:
    """The instant (UTC) at which a clock of the zone shows this. Raises ValueError for a skipped or repeated time."""
    first, second = (local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return first
    what = "does not exist" if second < first else "comes twice"
    shown = [at.astimezone(ZoneInfo(zone)).isoformat() for at in sorted((first, second))]
    raise ValueError(f"{local:%H:%M} {what} on {local:%Y-%m-%d} in {zone}; write {shown[0]} or {shown[1]}")


Instant = Annotated[datetime, BeforeValidator(_instant)]
Why = Annotated[str, Field(min_length=1)]


class MaintenanceSettings(StrictOptions):
    why: Why
    """Shown as the reason wherever something is suppressed by it."""
    systems: tuple[str, ...] = ()
    """Names of systems, * for any text."""
    targets: tuple[str, ...] = ()
    """Names of targets: "etl-hosts/db07"."""
    jobs: tuple[str, ...] = ()
    """Names of jobs: "dwh/*"."""
    since: Annotated[Instant | None, Field(alias="from")] = None
    """When it begins."""
    until: Annotated[Instant | None, Field(alias="to")] = None
    """When it ends."""
    timezone: Zone = "UTC"
    """Of `from` and `to`, where they have no offset."""
    calendar: str = ""
    """It recurs: in the windows of this calendar, or on its whole days."""

    @model_validator(mode="after")
    def has_bounds(self) -> MaintenanceSettings:
        if not (self.systems or self.targets or self.jobs):
            raise ValueError('matches nothing; add systems = ["…"], targets or jobs; "*" is everything')
        if not self.calendar and (self.since is None or self.until is None):
            raise ValueError("has no end; write from and to, or the calendar by which it recurs")
        since, until = self._aware(self.since), self._aware(self.until)
        if since is not None and until is not None and since >= until:
            raise ValueError("ends before it begins; its to lies after its from")
        return self

    def _aware(self, at: datetime | None) -> datetime | None:
        if at is None:
            return None
        return at.astimezone(UTC) if at.tzinfo else _time_shown_once(at, self.timezone)

    def declared(self) -> MaintenanceWindow:
        since, until = self._aware(self.since), self._aware(self.until)
        return MaintenanceWindow(self.why, self.systems, self.targets, self.jobs, since, until, self.calendar)


class ExceptionSettings(StrictOptions):
    why: Why
    """Shown with what it moves."""
    dates: tuple[date, ...] = ()
    """The business dates that it is for."""
    calendar: str = ""
    """Or every date of this calendar."""
    services: tuple[str, ...] = ()
    """Names of services, * for any text."""
    jobs: tuple[str, ...] = ()
    """Names of jobs, * for any text."""
    more_time: Duration = timedelta(0)
    """Of these services: so much later is their deadline."""
    starts_later: Duration = timedelta(0)
    """Of these jobs: so much later than by its clock a start counts as missed."""
    takes_longer: Duration = timedelta(0)
    """Of these jobs: so much is added to what they usually take."""

    @model_validator(mode="after")
    def moves_something(self) -> ExceptionSettings:
        if not (self.dates or self.calendar):
            raise ValueError("has no days; write dates = [2026-12-31], or a calendar")
        if self.more_time and not self.services:
            raise ValueError('more_time is for services; name them: services = ["…"]')
        if (self.starts_later or self.takes_longer) and not self.jobs:
            raise ValueError('starts_later and takes_longer are for jobs; name them: jobs = ["…"]')
        if not (self.more_time or self.starts_later or self.takes_longer):
            raise ValueError('moves nothing; write more_time = "90m", starts_later or takes_longer')
        return self

    def declared(self) -> PlannedException:
        return PlannedException(**self.model_dump())
