"""The handover from one shift to the next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from console.domain.action import ActionView
from console.domain.hold import HoldView
from console.domain.incident import EventView, IncidentRow
from console.domain.service import is_in_doubt
from console.domain.system import DriftView


@dataclass(frozen=True, slots=True)
class ServiceNight:
    """One service on one business date, with its result or status."""

    name: str
    title: str
    tier: int
    zone: str
    business_date: str
    deadline: datetime
    timeliness: str
    delivered: datetime | None
    act_by: datetime | None
    cause: str
    incident_id: int | None
    was_threatened: bool
    """True if an incident threatened it."""

    @property
    def is_in_doubt(self) -> bool:
        return is_in_doubt(self.timeliness, self.incident_id)

    @property
    def is_late(self) -> bool:
        return self.timeliness in ("breached", "met_late")

    @property
    def is_saved(self) -> bool:
        return self.was_threatened and self.timeliness == "met"

    @property
    def is_pending(self) -> bool:
        """Neither delivered nor late, which may still change."""
        return self.delivered is None and not self.is_late


@dataclass(frozen=True, slots=True)
class ActiveOverride:
    """A switch, pause, silence or extension that is still in effect."""

    kind: str
    """"freeze", "shadow", "pause", "silence", "extension"."""
    about: str
    """Its scope; empty for the freeze."""
    by: str
    why: str
    until: datetime | None
    since: datetime | None = None
    """The start of a freeze, if known."""


@dataclass(frozen=True, slots=True)
class SwitchChange:
    """A change of a switch or silence; it may have been changed again since."""

    at: datetime
    by: str
    verb: str
    """The verb of the audit: "freeze", "thaw", "shadow off", "pause polling", "add silence"."""
    about: str
    """Its scope, or the number of the silence; empty for the freeze."""
    why: str


@dataclass(frozen=True, slots=True)
class HandoverView:
    """The handover since a time, in reading order."""

    since: datetime
    at: datetime
    open: tuple[IncidentRow, ...]
    opened: tuple[IncidentRow, ...]
    closed: tuple[IncidentRow, ...]
    notes: tuple[EventView, ...]
    """Notes and acknowledgements, oldest first."""
    services: tuple[ServiceNight, ...]
    """Due since then, or within twelve hours from now; by deadline."""
    actions: tuple[ActionView, ...]
    holds: tuple[HoldView, ...]
    active_overrides: tuple[ActiveOverride, ...]
    mode_changes: tuple[SwitchChange, ...]
    """Since then, oldest first, reverted ones included."""
    drift: tuple[DriftView, ...]
    """Not accepted."""
    stale: tuple[tuple[str, datetime | None, str], ...]
    """Unreachable targets: name, last poll, reason."""
