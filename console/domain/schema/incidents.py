"""Tables of incidents and alerting: members, affected services, the timeline, alerts, deliveries, silences, rotas."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from console.domain.schema.columns import big, string


class Incident(SQLModel, table=True):
    """One root cause and everything it hurts, with two clocks."""

    __table_args__ = (
        Index("incident_open", "closed_us"),
        Index("incident_changed", "changed_seq"),
        Index("incident_merged", "merged_into"),
        Index("incident_root_run", "root_run_id"),
    )
    id: int | None = big(default=None, primary_key=True)
    key: str = Field(unique=True, sa_type=Text)
    title: str = string()
    """Cleaned: "etl-hosts/db07:extract_orders failed: exit 1"."""
    cause: str = string()
    """"run", "target", "shared", "check" or "rule"."""
    rule: str = string()
    """Of the finding that is its cause."""
    root_job_id: int | None = Field(default=None)
    root_run_id: int | None = big(default=None)
    root_period_key: str = string()
    root_target_id: int | None = Field(default=None)
    root_check: str = string()
    """Name of the check that is the cause; empty for a run or a target."""
    bd: str = string()
    reason: str = string()
    owner: str = string()
    runbook: str = string()
    failed_since_us: int = big()
    opened_us: int = big()
    act_by_us: int | None = big(default=None)
    """The earliest act-by of its services that is still ahead, else the latest passed."""
    closed_us: int | None = big(default=None)
    close_reason: str = string()
    merged_into: int | None = big(default=None)
    root_shared: str = string()
    """Of "shared": the host, database or credential, as "credential:user etl"."""
    split_from: int | None = big(default=None)
    reopened: int = 0
    """How often it came back after it had closed."""
    flaps: int = 0
    """The same, since it was last steady."""
    flaps_since_us: int | None = big(default=None)
    changes: str = string("[]")
    """JSON: what changed since its root was last good, a line each, as last told."""
    fingerprint: str = string()
    version: int = 1
    changed_seq: int = big(default=0)


class IncidentMember(SQLModel, table=True):
    """A run that belongs to an incident: its root, what it left red or stale, what it threatens."""

    __tablename__: ClassVar[str] = "incident_member"
    incident_id: int = big(primary_key=True, foreign_key="incident.id")
    job_id: int = Field(primary_key=True)
    period_key: str = Field(primary_key=True, sa_type=Text)
    role: str = string()
    """"root", "red", "stale", "threatened", "repaired"."""
    place: int = 0
    """Its place among the members: the root, then upstreams before their downstreams."""
    run_id: int | None = big(default=None)


class IncidentService(SQLModel, table=True):
    """A service that an incident hurts, with the clocks it had when last judged."""

    __tablename__: ClassVar[str] = "incident_service"
    incident_id: int = big(primary_key=True, foreign_key="incident.id")
    service_id: int = Field(primary_key=True)
    bd: str = Field(primary_key=True, sa_type=Text)
    submission: str = Field(default="", primary_key=True, sa_type=Text, sa_column_kwargs={"server_default": ""})
    """Of an instance of a service that is promised end to end: as in service_day; else empty."""
    deadline_us: int = big()
    act_by_us: int | None = big(default=None)
    green_by_us: int | None = big(default=None)
    expected_us: int | None = big(default=None)
    timeliness: str = string()
    source: str = string()
    """"history (14 runs)", "declared", "no estimate"."""
    reason: str = string()


class Event(SQLModel, table=True):
    """The timeline: what happened to an incident, a system or the estate, in order. Append only."""

    __table_args__ = (Index("event_incident", "incident_id", "id"),)
    id: int | None = big(default=None, primary_key=True)
    at_us: int = big()
    kind: str = string()
    words: str = string()
    incident_id: int | None = big(default=None)
    job_id: int | None = Field(default=None)
    system_id: int | None = Field(default=None)
    actor: str = string()


class Alert(SQLModel, table=True):
    """One notice to one route, about an incident or about Headway itself: made in the transaction that changed it.

    `kind`: opened, updated, recovered; person (something waits for one); fallback (another route accepted none of it),
    digest, headway, test."""

    __table_args__ = (
        UniqueConstraint("incident_id", "route", "kind", "version"),
        Index("alert_waits", "waits"),
        Index("alert_let", "route", "let_us"),
        Index("alert_digest", "digest_id"),
        Index("alert_made", "made_us"),
    )
    id: int | None = big(default=None, primary_key=True)
    incident_id: int | None = big(default=None, foreign_key="incident.id")
    dedup_key: str = string()
    kind: str = string()
    version: int = 1
    route: str = string()
    title: str = string()
    body: str = string()
    plain_title: str = string()
    """Title and body without a word from outside, for routes with body = "link"."""
    plain_body: str = string()
    made_us: int = big()
    urgent: bool = False
    """The first word about a tier-1 service: no rate limit delays it."""
    waits: bool = False
    """Whether it leaves alone or in a digest is not decided yet."""
    let_us: int = big(default=0)
    """When it was let out, alone or as a digest; 0 before, and for what left in a digest."""
    digest_id: int | None = big(default=None)
    """The alert in which it left."""
    fallback_of: int | None = big(default=None)
    """The alert that no URL of its own route accepted."""
    handed_us: int | None = big(default=None)
    """When it was handed to the fallback route."""


class Delivery(SQLModel, table=True):
    """Alert × URL of its route: pending, claimed, sent, parked (given up, told elsewhere), digested (left in another
    alert's), dropped (true no more before it could leave), shadow (would have left). `wire_us` is committed before the
    wire is touched."""

    __table_args__ = (UniqueConstraint("alert_id", "url_index"), Index("delivery_due", "state", "next_us"))
    id: int | None = big(default=None, primary_key=True)
    alert_id: int = big(foreign_key="alert.id")
    url_index: int = 0
    url_words: str = string()
    """The reference's words ("env ONCALL_MAIL"), never the URL."""
    state: str = string("pending")
    tries: int = 0
    next_us: int = big(default=0)
    wire_us: int | None = big(default=None)
    sent_us: int | None = big(default=None)
    repeats: int = 0
    """Sent again where a crash or a lost answer fell between the wire and the record."""
    error: str = string()
    since_us: int = big(default=0)
    """Given up is counted from here: when it was made, or asked for again."""
    refusals: int = 0
    """How often in a row its receiver refused it for good."""
    parked_us: int | None = big(default=None)


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
