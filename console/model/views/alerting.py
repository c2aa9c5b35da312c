"""What was told to whom, what was held back of it, and who is on call."""

from __future__ import annotations

from datetime import datetime

from console.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One notice to one address."""

    route: str
    kind: str
    url_words: str
    state: str
    tries: int
    repeats: int
    sent: datetime | None
    error: str
    made: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlertDelivery:
    """One alert to one address, with the number by which `headway alert` knows it."""

    id: int
    route: str
    kind: str
    title: str
    url_words: str
    state: str
    tries: int
    repeats: int
    made: datetime
    sent: datetime | None
    error: str

    @property
    def is_over(self) -> bool:
        """True where nothing more becomes of it by itself."""
        return self.state in ("sent", "parked", "digested", "dropped", "shadow")


@dataclass(frozen=True, slots=True)
class HeldView:
    """A notice that is, or was, held back on its way out."""

    incident_id: int
    route: str
    words: str
    kind: str
    stage: str
    why: str
    since: datetime
    until: datetime | None
    ended: datetime | None
    ended_why: str
    """"told", or why it was not; empty while it is held, and where it turned into another."""


@dataclass(frozen=True, slots=True)
class RotaView:
    """A rota at one instant."""

    name: str
    source: str
    person: str
    """On call then; empty: nobody."""
    until: datetime | None
    """When that shift ends."""
    then: tuple[tuple[str, datetime, datetime], ...]
    """(person, begins, ends) of the shifts after that instant."""
    read: datetime | None
    known_until: datetime
    error: str
    """Why the last try to read it failed."""


@dataclass(frozen=True, slots=True)
class SilenceView:
    """What a person mutes."""

    id: int
    matchers: dict[str, str]
    begins: datetime
    until: datetime
    why: str
    by: str
    ended: datetime | None
    ended_by: str
