"""The tables of config that become `Declared`: each has a settings class of its own, whose `declared` is the value."""

from __future__ import annotations

from collections.abc import Mapping

from console.config.calendars import CalendarSettings, calendars
from console.config.check_settings import CheckSettings
from console.config.checking import check, listed, named
from console.config.checks import declared_checks
from console.config.grouping import IncidentSettings
from console.config.maintenance import ExceptionSettings, MaintenanceSettings, check_known
from console.config.pools import PoolSettings
from console.config.reading import Reading, Table
from console.config.rules import rules
from console.model.declared import Declared

DECLARING = (
    "calendars",
    "checks",
    "incidents",
    "maintenance",
    "exceptions",
    "pools",
    "rules",
)
"""Names of these tables."""


def declared(document: Table, reading: Reading, checks: Mapping[str, CheckSettings]) -> Declared:
    """What the document declares; faults go into the reading. `checks`: those without faults."""
    known = calendars(document, named(CalendarSettings, document, "calendars", reading), reading)
    incidents = check(IncidentSettings, document.get("incidents", {}), ("incidents",), reading) or IncidentSettings()
    check_known(document, reading)
    maintenance = listed(MaintenanceSettings, document, "maintenance", reading).values()
    exceptions = listed(ExceptionSettings, document, "exceptions", reading).values()
    return Declared(
        calendars=known,
        checks=declared_checks(checks, document),
        incidents=incidents.declared(),
        maintenance=tuple(one.declared() for one in maintenance),
        exceptions=tuple(one.declared() for one in exceptions),
        pools=tuple(one.declared(name) for name, one in named(PoolSettings, document, "pools", reading).items()),
        rules=rules(document, reading),
    )
