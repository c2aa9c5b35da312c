"""`[calendars.NAME]`: the days on which runs are expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, model_validator

from connectors.sdk.option_errors import StrictOptions, Zone
from console.config.document import ConfigDocument, Table, suggestion
from console.domain.calendar import WEEKDAYS, Calendar, CalendarWindow, DayRule

_DAYS = tuple(day[:3] for day in WEEKDAYS)
_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_OTHERS = ("include", "only_in", "exclude")


def window_of(text: str) -> CalendarWindow:
    """ "22:00-06:00", "18:00-24:00". Raises ValueError with the fix."""
    match = _WINDOW.fullmatch(text.replace(" ", ""))
    if match is None or (match[3] == "24" and match[4] != "00"):
        raise ValueError(f'"{text}" is not a window of a day; write "22:00-06:00"')
    return CalendarWindow(time(int(match[1]), int(match[2])), time(int(match[3]) % 24, int(match[4])))


def _weekday(text: str) -> str:
    if text.lower() not in (*_DAYS, *WEEKDAYS):
        raise ValueError(f'"{text}" is not a day of the week; write "mon" to "sun"')
    return text.lower()[:3]


def _window(text: str) -> str:
    window_of(text)
    return text


def _rule(text: str) -> str:
    DayRule.read(text)
    return text


def _listed(value: Any) -> Any:
    """A single value may be written without brackets."""
    return [value] if isinstance(value, str) else value


Rules = Annotated[tuple[Annotated[str, AfterValidator(_rule)], ...], BeforeValidator(_listed)]
Windows = Annotated[tuple[Annotated[str, AfterValidator(_window)], ...], BeforeValidator(_listed)]
Weekdays = tuple[Annotated[str, AfterValidator(_weekday)], ...]


class CalendarSettings(StrictOptions):
    weekdays: Weekdays | None = None
    """Days of the week that count: Monday to Friday; none, where the calendar is made of others (`include`)."""
    country: str = ""
    """Its public holidays do not count: "DE", "US"; by the `holidays` library."""
    subdivision: str = ""
    """And those of this part of it: "BY", "CA"."""
    closed: tuple[date, ...] = ()
    """Dates that never count: a company's own closings."""
    open: tuple[date, ...] = ()
    """Dates that always count."""
    on: Rules = ()
    """Only these: "first business day", "last friday", "2nd tuesday", "last business day of quarter"."""
    windows: Windows = ()
    """Hours of such a day: "22:00-06:00"; the day is the one on which a window opens."""
    timezone: Zone = "UTC"
    """Of the windows."""
    include: tuple[str, ...] = ()
    """Other calendars whose days count too."""
    only_in: tuple[str, ...] = ()
    """Only days that count in each of these calendars as well."""
    exclude: tuple[str, ...] = ()
    """Calendars whose days do not count."""

    @model_validator(mode="after")
    def holidays_are_known(self) -> CalendarSettings:
        if self.country or self.subdivision:
            _check_country(self.country, self.subdivision)
        both = sorted(set(self.closed) & set(self.open))
        if both:
            raise ValueError(f"{both[0]} is closed and open at once; write it in one of them")
        if self._is_empty():
            raise ValueError('no day of it ever counts; name weekdays = ["mon", "tue"], on, open or include')
        return self

    def _is_empty(self) -> bool:
        """True if no day of any year counts."""
        if self.weekdays is None or self.weekdays or self.open or self.include:
            return False
        return all(DayRule.read(rule).kind == "business day" for rule in self.on)

    def declared(self, name: str, named_calendars: Mapping[str, Calendar]) -> Calendar:
        """`named_calendars`: every calendar that this one names."""
        is_made_of_others = bool(self.include) and not (self.on or self.country)
        days = self.weekdays if self.weekdays is not None else () if is_made_of_others else _DAYS[:5]
        return Calendar(
            name=name,
            weekdays=tuple(sorted({_DAYS.index(day) for day in days})),
            country=self.country,
            subdivision=self.subdivision,
            closed=self.closed,
            opened=self.open,
            on=tuple(map(DayRule.read, self.on)),
            windows=tuple(map(window_of, self.windows)),
            zone=self.timezone,
            include=tuple(named_calendars[key] for key in self.include),
            only_in=tuple(named_calendars[key] for key in self.only_in),
            exclude=tuple(named_calendars[key] for key in self.exclude),
        )

    @property
    def named(self) -> tuple[str, ...]:
        return (*self.include, *self.only_in, *self.exclude)


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
    document: Table, settings: Mapping[str, CalendarSettings], reading: ConfigDocument
) -> tuple[Calendar, ...]:
    """Every calendar that can be made, in the order of the document; one that names an unknown calendar, or itself by a
    detour, is a fault."""
    made: dict[str, Calendar] = {}
    for name in settings:
        _make(name, settings, made, (), document, reading)
    return tuple(made[name] for name in settings if name in made)


def _make(
    name: str,
    settings: Mapping[str, CalendarSettings],
    made: dict[str, Calendar],
    path: tuple[str, ...],
    document: Table,
    reading: ConfigDocument,
) -> bool:
    if name in made:
        return True
    calendar, is_whole = settings[name], True
    for key in _OTHERS:
        for reference in getattr(calendar, key):
            if reference in (*path, name):
                cycle = " → ".join([*(*path, name)[(*path, name).index(reference) :], reference])
                reading.fault(("calendars", name, key), f"calendar cycle: {cycle}. Remove one of them.")
                return False
            if reference not in document.get("calendars", {}):
                text = f'no calendar "{reference}". {suggestion(reference, document["calendars"])}'
                reading.fault(("calendars", name, key), text)
            is_whole &= reference in settings and _make(reference, settings, made, (*path, name), document, reading)
    if is_whole:
        made[name] = calendar.declared(name, made)
    return is_whole
