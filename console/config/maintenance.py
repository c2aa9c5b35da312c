"""`[[maintenance]]` and `[[exceptions]]`: planned maintenance and known exceptions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from connectors.sdk.option_errors import Zone
from console.config.validation import table_of
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


def _aware(at: datetime | None, table: ValidationInfo) -> datetime | None:
    if at is None or "timezone" not in table.data:
        return at
    return at.astimezone(UTC) if at.tzinfo else _time_shown_once(at, table.data["timezone"])


Instant = Annotated[datetime | None, BeforeValidator(_instant), AfterValidator(_aware)]
Why = Annotated[str, Field(min_length=1)]
_INVALID = "reported"
"""In place of a value that was refused, so that no fault follows from it."""


def _require_scope(jobs: tuple[str, ...], table: ValidationInfo) -> tuple[str, ...]:
    if not (jobs or table.data.get("systems", _INVALID) or table.data.get("targets", _INVALID)):
        raise ValueError('is missing; add systems = ["…"], targets or jobs; "*" is everything')
    return jobs


def _require_end(calendar: str, table: ValidationInfo) -> str:
    if not calendar and None in (table.data.get("since", _INVALID), table.data.get("until", _INVALID)):
        raise ValueError("is missing; write from and to, or the calendar by which it recurs")
    return calendar


def _require_length(window: MaintenanceWindow) -> None:
    if window.since is not None and window.until is not None and window.since >= window.until:
        raise ValueError("ends before it begins; its to lies after its from")


MAINTENANCE = table_of(
    MaintenanceWindow,
    _require_length,
    why=Why,
    timezone=(Zone, "UTC"),
    jobs=Annotated[tuple[str, ...], Field(validate_default=True), AfterValidator(_require_scope)],
    since=Annotated[Instant, Field(alias="from")],
    until=Annotated[Instant, Field(alias="to")],
    calendar=Annotated[str, Field(validate_default=True), AfterValidator(_require_end)],
)


def _require_days(calendar: str, table: ValidationInfo) -> str:
    if not (calendar or table.data.get("dates", _INVALID)):
        raise ValueError("is missing; write dates = [2026-12-31], or a calendar")
    return calendar


def _require_moved(names: tuple[str, ...], table: ValidationInfo) -> tuple[str, ...]:
    changes = [key for key in ("more_time", "starts_later", "takes_longer") if table.data.get(key, _INVALID)]
    if table.field_name == "jobs" and not changes:
        raise ValueError('nothing is moved; write more_time = "90m", starts_later or takes_longer')
    needed_by = [key for key in changes if (key == "more_time") is (table.field_name == "services")]
    if needed_by and not names:
        raise ValueError(f'is missing; needed by {" and ".join(needed_by)}: {table.field_name} = ["…"]')
    return names


_Moved = Annotated[tuple[str, ...], Field(validate_default=True), AfterValidator(_require_moved)]
EXCEPTION = table_of(
    PlannedException,
    why=Why,
    calendar=Annotated[str, Field(validate_default=True), AfterValidator(_require_days)],
    services=_Moved,
    jobs=_Moved,
)
