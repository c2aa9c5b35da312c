"""What a shift hands to the next one."""

from __future__ import annotations

from datetime import datetime

from console.model.frozen import dataclass
from console.model.views.acts import ActionView, HoldView
from console.model.views.estate import DriftView
from console.model.views.incidents import IncidentRow, in_doubt


@dataclass(frozen=True, slots=True)
class NoteView:
    """What a person wrote, or did, at an incident."""

    at: datetime
    incident_id: int
    kind: str
    words: str
    actor: str


@dataclass(frozen=True, slots=True)
class ServiceNight:
    """One service on one business date, as it ended or stands."""

    name: str
    title: str
    tier: int
    zone: str
    bd: str
    deadline: datetime
    timeliness: str
    delivered: datetime | None
    act_by: datetime | None
    cause: str
    incident_id: int | None
    was_hurt: bool
    """An incident had threatened it."""

    @property
    def is_in_doubt(self) -> bool:
        """An open incident hurts it, and nobody can tell by how much."""
        return in_doubt(self.timeliness, self.incident_id)

    @property
    def is_missed(self) -> bool:
        return self.timeliness in ("breached", "met_late")

    @property
    def is_saved(self) -> bool:
        return self.was_hurt and self.timeliness == "met"


@dataclass(frozen=True, slots=True)
class Standing:
    """Something that a person put in place and that is so still."""

    kind: str
    """"freeze", "shadow", "silence", "extension"."""
    about: str
    by: str
    why: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Turned:
    """A switch that somebody turned, as it may be told though it stands otherwise by now."""

    at: datetime
    by: str
    verb: str
    """As the audit calls it: "freeze", "thaw", "turn live", "pause polling"."""
    about: str
    """What it is of; empty for the freeze, which is of all."""
    why: str


@dataclass(frozen=True, slots=True)
class Handover:
    """Since a time, in the order in which a person reads it."""

    since: datetime
    at: datetime
    open: tuple[IncidentRow, ...]
    opened: tuple[IncidentRow, ...]
    closed: tuple[IncidentRow, ...]
    notes: tuple[NoteView, ...]
    """Notes and acknowledgements, oldest first."""
    services: tuple[ServiceNight, ...]
    """Due since then, or within twelve hours from now; by deadline."""
    actions: tuple[ActionView, ...]
    holds: tuple[HoldView, ...]
    standing: tuple[Standing, ...]
    turned: tuple[Turned, ...]
    """Since then, oldest first, whoever has turned it back."""
    drift: tuple[DriftView, ...]
    """Not accepted."""
    stale: tuple[tuple[str, datetime | None, str], ...]
    """Targets that are not seen: name, last seen, why."""
