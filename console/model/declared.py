"""What config declares besides systems, jobs, dependencies and services: one value, kept whole in the store.

It is written with the config (`store.declared`), so that every engine and screen on a store decides by the
same words. A field has a default that means "nothing is declared", so that a store of before knows it too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from console.model.alerting import NO_ALERTING, Alerting
from console.model.calendars import Calendar
from console.model.checks import Check
from console.model.grouping import Grouping
from console.model.maintenance import Maintenance, PlannedException
from console.model.pools import DeclaredPool
from console.model.rules import RuleSetting


@dataclass(frozen=True, slots=True)
class Declared:
    """Everything in the order of its file; names are unique within a field."""

    calendars: tuple[Calendar, ...] = ()
    incidents: Grouping = field(default_factory=Grouping)
    checks: tuple[Check, ...] = ()
    rules: tuple[RuleSetting, ...] = ()
    alerting: Alerting = NO_ALERTING

    maintenance: tuple[Maintenance, ...] = ()
    exceptions: tuple[PlannedException, ...] = ()
    pools: tuple[DeclaredPool, ...] = ()

    def calendar(self, name: str) -> Calendar | None:
        """The calendar of that name; None where none is declared."""
        return next((each for each in self.calendars if each.name == name), None)

    def check(self, name: str) -> Check | None:
        """The check of that name; None where none is declared."""
        return next((each for each in self.checks if each.name == name), None)


NOTHING = Declared()
