"""`[[maintenance]]` and `[[exceptions]]`: planned maintenance and known exceptions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

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
_INVALID = "reported"
"""In place of a value that was refused, so that no fault follows from it."""


class MaintenanceSettings(StrictOptions):
    why: Why
    """Shown as the reason wherever something is suppressed by it."""
    systems: tuple[str, ...] = ()
    """Names of systems, * for any text."""
    targets: tuple[str, ...] = ()
    """Names of targets: "etl-hosts/db07"."""
    jobs: Annotated[tuple[str, ...], Field(validate_default=True)] = ()
    """Names of jobs: "dwh/*"."""
    since: Annotated[Instant | None, Field(alias="from")] = None
    """When it begins."""
    until: Annotated[Instant | None, Field(alias="to")] = None
    """When it ends."""
    timezone: Zone = "UTC"
    """Of `from` and `to`, where they have no offset."""
    calendar: Annotated[str, Field(validate_default=True)] = ""
    """It recurs: in the windows of this calendar, or on its whole days."""

    @field_validator("jobs")
    @classmethod
    def matches_something(cls, jobs: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not (jobs or info.data.get("systems", _INVALID) or info.data.get("targets", _INVALID)):
            raise ValueError('is missing; add systems = ["…"], targets or jobs; "*" is everything')
        return jobs

    @field_validator("calendar")
    @classmethod
    def has_end(cls, calendar: str, info: ValidationInfo) -> str:
        if not calendar and None in (info.data.get("since", _INVALID), info.data.get("until", _INVALID)):
            raise ValueError("is missing; write from and to, or the calendar by which it recurs")
        return calendar

    @model_validator(mode="after")
    def has_length(self) -> MaintenanceSettings:
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
    calendar: Annotated[str, Field(validate_default=True)] = ""
    """Or every date of this calendar."""
    more_time: Duration = timedelta(0)
    """Of these services: so much later is their deadline."""
    starts_later: Duration = timedelta(0)
    """Of these jobs: so much later than by its clock a start counts as missed."""
    takes_longer: Duration = timedelta(0)
    """Of these jobs: so much is added to what they usually take."""
    services: Annotated[tuple[str, ...], Field(validate_default=True)] = ()
    """Names of services, * for any text."""
    jobs: Annotated[tuple[str, ...], Field(validate_default=True)] = ()
    """Names of jobs, * for any text."""

    @field_validator("calendar")
    @classmethod
    def has_days(cls, calendar: str, info: ValidationInfo) -> str:
        if not (calendar or info.data.get("dates", _INVALID)):
            raise ValueError("is missing; write dates = [2026-12-31], or a calendar")
        return calendar

    @field_validator("services", "jobs")
    @classmethod
    def are_moved(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        moved = [key for key in ("more_time", "starts_later", "takes_longer") if info.data.get(key, _INVALID)]
        if info.field_name == "jobs" and not moved:
            raise ValueError('nothing is moved; write more_time = "90m", starts_later or takes_longer')
        needed_by = [key for key in moved if (key == "more_time") is (info.field_name == "services")]
        if needed_by and not names:
            raise ValueError(f'is missing; needed by {" and ".join(needed_by)}: {info.field_name} = ["…"]')
        return names

    def declared(self) -> PlannedException:
        return PlannedException(**self.model_dump())
