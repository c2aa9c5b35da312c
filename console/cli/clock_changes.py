"""What the change of clocks makes of the times that config names, told before the night."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.config import Config

AHEAD = timedelta(days=366)


def clock_changes(config: Config, today: date) -> Iterator[str]:
    """Each time that a clock jumps over, or shows twice, within a year, and what counts then."""
    from console.control.zones import odd_dates, zone_of

    for key, at, name in _times(config):
        zone = zone_of(name)
        for day, counts, twice in odd_dates(at, zone, today, AHEAD.days):
            what = "comes twice" if twice else "does not exist"
            rule = "the first counts" if twice else "the jump over it counts"
            shown = f"{counts.astimezone(zone):%H:%M %Z}"
            yield f"{key}: {at:%H:%M} {what} on {day} in {name}: {rule}, {shown}"


def _times(config: Config) -> Iterator[tuple[str, time, str]]:
    """(where it stands, the time of day, its zone)."""
    for name, service in config.services.items():
        if service.deadline.time is not None:
            yield f"services.{name}.deadline", service.deadline.time, service.timezone
        if service.sla is not None and service.sla.time is not None:
            yield f"services.{name}.sla", service.sla.time, service.timezone
    for name, route in config.routes.items():
        if (quiet := route.quiet_hours) is not None:
            yield f"routes.{name}.quiet_hours.to", quiet.ends, quiet.timezone
    for system in config.systems.values():
        for step, options in getattr(system.options, "steps", {}).items():
            yield f"systems.{system.name}.steps.{step}.at", options.at, system.options.zone
