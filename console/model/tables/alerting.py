"""Who was told what, what was held back and why, and what people said: silences, acknowledgements, "was it useful?"."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel

from console.model.tables.columns import big, string


class AlertTold(SQLModel, table=True):
    """What a route was last told of an incident: it is told again where that is not so any more."""

    __tablename__: ClassVar[str] = "alert_told"
    incident_id: int = big(primary_key=True, foreign_key="incident.id")
    route: str = Field(primary_key=True, sa_type=Text)
    words: str = Field(primary_key=True, sa_type=Text)
    """"technical", "business", "shadow"."""
    fingerprint: str = string()
    first_us: int = big()
    last_us: int = big()
    times: int = 1


class AlertHeld(SQLModel, table=True):
    """A notice that a stage holds back, why and until when; ended once it was told, or is not to be told any more."""

    __tablename__: ClassVar[str] = "alert_held"
    __table_args__ = (
        Index("alert_held_incident", "incident_id", "id"),
        Index("alert_held_open", "ended_us"),
        Index("alert_held_since", "since_us"),
    )
    id: int | None = big(default=None, primary_key=True)
    incident_id: int = big(foreign_key="incident.id")
    route: str = string()
    words: str = string()
    kind: str = string()
    """As an alert's."""
    stage: str = string()
    why: str = string()
    since_us: int = big()
    until_us: int | None = big(default=None)
    """When it is looked at again by time alone; None: when what holds it is over."""
    ended_us: int | None = big(default=None)
    ended_why: str = string()


class Acknowledgement(SQLModel, table=True):
    """Somebody is on an incident until then: nothing is repeated or escalated. The newest counts."""

    __table_args__ = (Index("acknowledgement_incident", "incident_id", "id"),)
    id: int | None = big(default=None, primary_key=True)
    incident_id: int = big(foreign_key="incident.id")
    made_by: str = string()
    why: str = string()
    made_us: int = big()
    until_us: int = big()
    ended_us: int | None = big(default=None)
    ended_by: str = string()


class Silence(SQLModel, table=True):
    """What a person mutes: what fits all of its matchers, from then until then."""

    __table_args__ = (Index("silence_until", "until_us"),)
    id: int | None = big(default=None, primary_key=True)
    matchers: str = string("{}")
    """JSON: name of a matcher -> its pattern."""
    from_us: int = big()
    until_us: int = big()
    why: str = string()
    made_by: str = string()
    made_us: int = big()
    ended_us: int | None = big(default=None)
    ended_by: str = string()


class AlertUseful(SQLModel, table=True):
    """What a person said of an alert: whether it was useful. The last word counts."""

    __tablename__: ClassVar[str] = "alert_useful"
    alert_id: int = big(primary_key=True, foreign_key="alert.id")
    useful: bool
    said_by: str = string()
    why: str = string()
    said_us: int = big()


class Rota(SQLModel, table=True):
    """Who is on call, as a calendar said when it was last read."""

    name: str = Field(primary_key=True, sa_type=Text)
    source: str = string()
    """Where it comes from, in words; never a URL."""
    text: str = string()
    """iCalendar, as it was read."""
    shifts: str = string("[]")
    """JSON: [person, begins µs, ends µs], in order of their beginning."""
    until_us: int = big(default=0)
    """How far ahead the shifts reach."""
    read_us: int = big(default=0)
    """When the text was last read; 0: never."""
    tried_us: int = big(default=0)
    error: str = string()
    """Why the last try failed; empty when it did not."""
