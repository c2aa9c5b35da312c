"""Questions to the engine, and the store's own bookkeeping: who works on it, by which clock."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel

from console.model.tables.columns import big, string


class Request(SQLModel, table=True):
    """A question of a screen or command that only the engine can answer: a preview, a log."""

    __table_args__ = (Index("request_state", "state", "id"),)
    id: int | None = big(default=None, primary_key=True)
    kind: str = string()
    arguments: str = string("{}")
    asked_by: str = string()
    asked_us: int = big()
    state: str = string("asked")
    """asked, answering, answered, refused."""
    answer: str = string("{}")
    answered_us: int | None = big(default=None)


class Lease(SQLModel, table=True):
    """Who works on this store. `fence` grows with every holder; a write with an old fence is refused."""

    name: str = Field(primary_key=True, sa_type=Text)
    holder: str = string()
    fence: int = big(default=0)
    until_us: int = big(default=0)
    since_us: int = big(default=0)
    heartbeat_us: int = big(default=0)


class Presence(SQLModel, table=True):
    """Who has an incident open: one row a console, told anew while it shows it; what is not for a minute is over.
    Times are real ones."""

    console: str = Field(primary_key=True, sa_type=Text)
    incident_id: int | None = big(default=None)
    """None: it shows none any more."""
    person: str = string()
    came_from: str = string()
    since_us: int = big()
    seen_us: int = big()


class ClockRow(SQLModel, table=True):
    """The clock of a replay: now = origin + (real - started) × rate. Without a row the clock is the real one."""

    __tablename__: ClassVar[str] = "clock"
    id: int = Field(primary_key=True)
    origin_us: int = big()
    started_us: int = big()
    rate: float = 1.0
    paused: bool = False


class Meta(SQLModel, table=True):
    """One value per name: schema, config digest, evaluated_seq, changed_seq, estate name."""

    name: str = Field(primary_key=True, sa_type=Text)
    value: str = string()
