"""`[calendars.NAME]`: the days on which runs are expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from connectors.sdk.option_errors import Zone
from console.config.document import ConfigDocument, Table, suggestion
from console.config.validation import TableOf, table_of
from console.domain.calendar import WEEKDAYS, Calendar, CalendarWindow, DayRule

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
    only_in=tuple[str, ...],
)
"""`only_in` has names of calendars here."""


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


def calendars(
    document: Table, settings: Mapping[str, TableOf[Calendar]], reading: ConfigDocument
) -> tuple[Calendar, ...]:
    """Every calendar that can be made, in the order of the document; one that names an unknown calendar, or itself by a
    detour, is a fault."""
    made: dict[str, Calendar] = {}
    for name in settings:
        _make(name, settings, made, (), document, reading)
    return tuple(made[name] for name in settings if name in made)


def _make(
    name: str,
    settings: Mapping[str, TableOf[Calendar]],
    made: dict[str, Calendar],
    path: tuple[str, ...],
    document: Table,
    reading: ConfigDocument,
) -> bool:
    if name in made:
        return True
    references, is_whole = settings[name].values()["only_in"], True
    for reference in references:
        if reference in (*path, name):
            cycle = " → ".join([*(*path, name)[(*path, name).index(reference) :], reference])
            reading.fault(("calendars", name, "only_in"), f"calendar cycle: {cycle}. Remove one of them.")
            return False
        if reference not in document.get("calendars", {}):
            text = f'no calendar "{reference}". {suggestion(reference, document["calendars"])}'
            reading.fault(("calendars", name, "only_in"), text)
        is_whole &= reference in settings and _make(reference, settings, made, (*path, name), document, reading)
    if is_whole:
        made[name] = settings[name].domain_value(name=name, only_in=tuple(made[key] for key in references))
    return is_whole
