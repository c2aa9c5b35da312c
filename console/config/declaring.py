"""The tables of config that become `Declared`: each has a settings class of its own, whose `declared` is the value."""

from __future__ import annotations

from console.config.calendars import CalendarSettings, calendars
from console.config.checking import named
from console.config.reading import Reading, Table
from console.model.declared import Declared

DECLARING = ("calendars",)
"""Names of these tables."""


def declared(document: Table, reading: Reading) -> Declared:
    """What the document declares; faults go into the reading."""
    known = calendars(document, named(CalendarSettings, document, "calendars", reading), reading)
    return Declared(calendars=known)
