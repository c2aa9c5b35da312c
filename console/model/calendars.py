"""Which days count: working days, holidays, closings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calendar:
    """One `[calendars.NAME]`: the business dates on which something is expected."""

    name: str
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4)
    """0 is Monday."""
