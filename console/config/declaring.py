"""The tables of config that become `Declared`: each has a settings class of its own, whose `declared` is the value."""

from __future__ import annotations

from console.config.calendars import CalendarSettings
from console.config.checking import named
from console.config.reading import Reading, Table
from console.model.declared import Declared

DECLARING = ("calendars",)
"""Names of these tables."""


def declared(document: Table, reading: Reading) -> Declared:
    """What the document declares; faults go into the reading."""
    calendars = named(CalendarSettings, document, "calendars", reading)
    return Declared(calendars=tuple(one.declared(name) for name, one in calendars.items()))
