"""`[calendars.NAME]`, `[[maintenance]]`, `[[exceptions]]`: the days on which runs are expected, and planned changes."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from connectors.sdk.option_errors import Zone
from console.config.validation import table_of
from console.domain.calendar import (
    WEEKDAYS,
    Calendar,
    CalendarWindow,
    DayRule,
    MaintenanceWindow,
    PlannedException,
)

_DAYS = tuple(day[:3] for day in WEEKDAYS)
_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


def window_of(text: str) -> CalendarWindow:
    """ "22:00-06:00", "18:00-24:00". Raises ValueError with the fix."""
    match = _WINDOW.fullmatch(text.replace(" ", ""))
    if match is None or (match[3] == "24" and match[4] != "00"):
        raise ValueError(f'"{text}" is not a window of a day; write "22:00-06:00"')
    return CalendarWindow(time(int(match[1]), int(match[2])), time(int(match[3]) % 24, int(match[4])))


def _weekday(text: str) -> int:
    if text.lower() not in (*_DAYS, *WEEKDAYS):
        raise ValueError(f'"{text}" is not a day of the week; write "mon" to "sun"')
    return _DAYS.index(text.lower()[:3])


def _in_order(weekdays: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(weekdays)))


def _listed(value: Any) -> Any:
    """A single value may be written without brackets."""
    return [value] if isinstance(value, str) else value


def _check_days(calendar: Calendar) -> None:
    if calendar.country or calendar.subdivision:
        _check_country(calendar.country, calendar.subdivision)
    both = sorted(set(calendar.closed) & set(calendar.opened))
    if both:
        raise ValueError(f"{both[0]} is closed and open at once; write it in one of them")
    if not (calendar.weekdays or calendar.opened) and all(rule.kind == "business day" for rule in calendar.on):
        raise ValueError('no day of it ever counts; name weekdays = ["mon", "tue"], on or open')


CALENDAR = table_of(
    Calendar,
    _check_days,
    weekdays=Annotated[tuple[Annotated[str, AfterValidator(_weekday)], ...], AfterValidator(_in_order)],
    opened=Annotated[tuple[date, ...], Field(alias="open")],
    on=Annotated[tuple[Annotated[str, AfterValidator(DayRule.read)], ...], BeforeValidator(_listed)],
    windows=Annotated[tuple[Annotated[str, AfterValidator(window_of)], ...], BeforeValidator(_listed)],
    zone=Annotated[Zone, Field(alias="timezone")],
)


def _check_country(country: str, subdivision: str) -> None:
    from holidays import list_supported_countries  # noqa: PLC0415  a tenth of a second, and most name no country

    known = list_supported_countries()
    if country not in known:
        subject = f'"{country}"' if country else "a subdivision without a country"
        meant = country.upper()
        fix = f'did you mean "{meant}"?' if meant in known else 'write its two letters: country = "DE"'
        raise ValueError(f"{subject} is not a country with known holidays; {fix}")
    if subdivision and subdivision not in known[country]:
        parts = ", ".join(known[country]) or "none"
        raise ValueError(f'"{subdivision}" is not a subdivision of {country} with known holidays; known: {parts}')


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
