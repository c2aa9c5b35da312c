"""Tables of incidents and alerting: members, affected services, the timeline, alerts, deliveries, silences, rotas."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from console.domain.schema.columns import big, string


class Incident(SQLModel, table=True):
    """One root cause and everything it affects, with two clocks."""

    __table_args__ = (
        Index("incident_open", "closed_us"),
        Index("incident_changed", "changed_seq"),
        Index("incident_merged", "merged_into"),
        Index("incident_root_run", "root_run_id"),
    )
    id: int | None = big(default=None, primary_key=True)
    key: str = Field(unique=True, sa_type=Text)
    title: str = string()
    """JSON of `domain.text.Title`: its parts are cleaned."""
    cause: str = string()
    """A `domain.incident_record.CauseKind`."""
    cause_subject: str = string()
    """The part of the cause that is not a job or target: the rule of a finding, a check, the host, database or
    credential of "shared", as "credential:user etl"."""
    root_job_id: int | None = Field(default=None)
    root_run_id: int | None = big(default=None)
    root_period_key: str = string()
    root_target_id: int | None = Field(default=None)
    business_date: str = string()
    reason: str = string()
    owner: str = string()
    runbook: str = string()
    failed_since_us: int = big()
    opened_us: int = big()
    act_by_us: int | None = big(default=None)
    """The earliest act-by of its services that is ahead, else the latest passed."""
    repetition: str = string()
    """JSON of a `domain.reason.Repetition`: of the job to restart; empty without one."""
    closed_us: int | None = big(default=None)
    close_reason: str = string()
    merged_into: int | None = big(default=None)
    split_from: int | None = big(default=None)
    reopened: int = 0
    """Times it was reopened; `flaps`: since it was last steady."""
    flaps: int = 0
    flaps_since_us: int | None = big(default=None)
    changes: str = string("[]")
    """JSON: changes since its root was last good, one line each, as last notified."""
    fingerprint: str = string()
    failure: str = string()
    """JSON of the `domain.failure.FailureSignature` of its present cause; empty for an unknown one."""
    policy: str = string()
    """The policy that repairs its run at `policy_us` unless a person comes first; empty: none."""
    policy_us: int | None = big(default=None)
    version: int = 1
    changed_seq: int = big(default=0)


class IncidentFailure(SQLModel, table=True):
    """A failure that an incident is or was about, until the next one of the incident: another run may become its cause
    before it closes."""

    __tablename__: ClassVar[str] = "incident_failure"
    __table_args__ = (Index("incident_failure_signature", "signature", "incident_id"),)
    incident_id: int = big(primary_key=True, foreign_key="incident.id")
    since_us: int = big(primary_key=True)
    job_id: int | None = Field(default=None)
    run_id: int | None = big(default=None)
    failure: str = string()
    """As in `incident`, and in `signature` its id."""
    signature: str = string()


class IncidentMember(SQLModel, table=True):
    """A run of an incident: its root, the red or stale, the threatened."""

    __tablename__: ClassVar[str] = "incident_member"
    __table_args__ = (Index("incident_member_job", "job_id", "period_key"),)
    incident_id: int = big(primary_key=True, foreign_key="incident.id")
    job_id: int = Field(primary_key=True)
    period_key: str = Field(primary_key=True, sa_type=Text)
    role: str = string()
    """ "root", "red", "stale", "threatened", "repaired", "closing", "awaited"."""
    place: int = 0
    """Order of members: the root, then upstreams before their downstreams."""
    run_id: int | None = big(default=None)


class IncidentService(SQLModel, table=True):
    """A service affected by an incident, with its clocks when last evaluated."""

    __tablename__: ClassVar[str] = "incident_service"
    incident_id: int = big(primary_key=True, foreign_key="incident.id")
    service_id: int = Field(primary_key=True)
    business_date: str = Field(primary_key=True, sa_type=Text)
    deadline_us: int = big()
    act_by_us: int | None = big(default=None)
    green_by_us: int | None = big(default=None)
    expected_us: int | None = big(default=None)
    timeliness: str = string()
    basis: str = string()
    """JSON: kind and count of the basis of its act-by (`domain.history.EstimateBasis`); empty without an act-by."""
    reasons: str = string("[]")
    """JSON, as in service_day."""
    needs_restart: bool = False
    """As `domain.decision.AffectedServiceVerdict.needs_restart`."""


class Event(SQLModel, table=True):
    """The timeline of incidents, systems and the estate. Append only."""

    __table_args__ = (Index("event_incident", "incident_id", "id"),)
    id: int | None = big(default=None, primary_key=True)
    at_us: int = big()
    kind: str = string()
    text: str = string()
    incident_id: int | None = big(default=None)
    job_id: int | None = Field(default=None)
    system_id: int | None = Field(default=None)
    actor: str = string()


class Alert(SQLModel, table=True):
    """One notification to one route, about an incident or Headway itself, created with the change it reports.

    `kind`: opened, updated, recovered; person (one is needed); fallback (no URL of another route accepted it), digest,
    headway, test.
    """

    __table_args__ = (
        UniqueConstraint("incident_id", "route", "kind", "version"),
        Index("alert_waits", "waits"),
        Index("alert_let", "route", "let_us"),
        Index("alert_digest", "digest_id"),
        Index("alert_fallback", "fallback_of"),
        Index("alert_made", "made_us"),
    )
    id: int | None = big(default=None, primary_key=True)
    incident_id: int | None = big(default=None, foreign_key="incident.id")
    dedup_key: str = string()
    kind: str = string()
    version: int = 1
    route: str = string()
    message: str = string()
    """JSON of its `Message`."""
    plain: str = string()
    """The same without names from outside, for routes with body = "link"."""
    commands: str = string("[]")
    """JSON: the commands that it asks for."""
    made_us: int = big()
    urgent: bool = False
    """The first alert about a tier-1 service: no rate limit delays it."""
    waits: bool = False
    """Not yet decided whether it is sent on its own or in a digest."""
    let_us: int = big(default=0)
    """When it was released on its own or as a digest; 0 before, and for alerts in a digest."""
    digest_id: int | None = big(default=None)
    """The digest that includes it."""
    fallback_of: int | None = big(default=None)
    """The alert that no URL of its own route accepted."""
    handed_us: int | None = big(default=None)
    """When it was forwarded to the fallback route."""


class Delivery(SQLModel, table=True):
    """Alert × URL of its route. `wire_us` is committed before sending.

    `state`: pending, claimed, sent, parked (abandoned, reported elsewhere), digested (sent in another alert), dropped
    (obsolete before it was sent), shadow (would have been sent).
    """

    __table_args__ = (UniqueConstraint("alert_id", "url_index"), Index("delivery_due", "state", "next_us"))
    id: int | None = big(default=None, primary_key=True)
    alert_id: int = big(foreign_key="alert.id")
    url_index: int = 0
    receiver: str = string()
    """Text of the reference ("env ONCALL_MAIL"), never the URL."""
    state: str = string("pending")
    tries: int = 0
    next_us: int = big(default=0)
    wire_us: int | None = big(default=None)
    sent_us: int | None = big(default=None)
    repeats: int = 0
    """Sent again where a crash or a lost reply fell between sending and recording."""
    error: str = string()
    since_us: int = big(default=0)
    """Start of its retry period: when it was created, or retried by a person."""
    refusals: int = 0
    """Consecutive permanent refusals by its receiver."""
    parked_us: int | None = big(default=None)


class AlertNotified(SQLModel, table=True):
    """A route's last notification of an incident: only a different one is sent."""

    __tablename__: ClassVar[str] = "alert_notified"
    incident_id: int = big(primary_key=True, foreign_key="incident.id")
    route: str = Field(primary_key=True, sa_type=Text)
    style: str = Field(primary_key=True, sa_type=Text)
    """ "technical", "business", "shadow"."""
    cause: str = string()
    phase: str = string()
    """ "open", "heals", "repaired", "closed"."""
    errors: str = string("[]")
    """JSON: job, number of its failures, whether it had succeeded before the last, whether that is a known one."""
    causes: str = string("[]")
    """JSON: further causes after the first."""
    first_us: int = big()
    last_us: int = big()
    times: int = 1


class AlertNotifiedDay(SQLModel, table=True):
    """A service day, as a route was last notified of it by an incident: only a change of it is sent."""

    __tablename__: ClassVar[str] = "alert_notified_day"
    __table_args__ = (Index("alert_notified_day_of", "service", "business_date", "route"),)
    incident_id: int = big(primary_key=True, foreign_key="incident.id")
    route: str = Field(primary_key=True, sa_type=Text)
    style: str = Field(primary_key=True, sa_type=Text)
    service: str = Field(primary_key=True, sa_type=Text)
    """Its name."""
    business_date: str = Field(primary_key=True, sa_type=Text)
    status: str = string()
    """A timeliness; empty for a day out of view."""
    expected_us: int | None = big(default=None)
    act_by_us: int | None = big(default=None)


class AlertSuppressed(SQLModel, table=True):
    """A notification suppressed by a stage, why and until when; ended once it is sent or obsolete."""

    __tablename__: ClassVar[str] = "alert_suppressed"
    __table_args__ = (
        Index("alert_suppressed_incident", "incident_id", "id"),
        Index("alert_suppressed_open", "ended_us"),
    )
    id: int | None = big(default=None, primary_key=True)
    incident_id: int = big(foreign_key="incident.id")
    route: str = string()
    style: str = string()
    kind: str = string()
    """As of an alert."""
    stage: str = string()
    why: str = string()
    since_us: int = big()
    until_us: int | None = big(default=None)
    """When time alone ends it; None: when its reason ends."""
    ended_us: int | None = big(default=None)
    ended_why: str = string()


class Acknowledgement(SQLModel, table=True):
    """Until it ends, nothing is repeated or escalated. The newest of an incident counts."""

    __table_args__ = (
        Index("acknowledgement_incident", "incident_id", "id"),
        Index("acknowledgement_key", "key"),
    )
    id: int | None = big(default=None, primary_key=True)
    incident_id: int = big(foreign_key="incident.id")
    made_by: str = string()
    why: str = string()
    made_us: int = big()
    until_us: int = big()
    ended_us: int | None = big(default=None)
    ended_by: str = string()
    key: str = string()
    """Of the request, so that it is made once; empty for one without."""


class Silence(SQLModel, table=True):
    """Suppresses alerts that match all of its matchers, in its window."""

    __table_args__ = (Index("silence_until", "until_us"),)
    id: int | None = big(default=None, primary_key=True)
    matchers: str = string("{}")
    """JSON: matcher name -> pattern."""
    from_us: int = big()
    until_us: int = big()
    why: str = string()
    made_by: str = string()
    made_us: int = big()
    ended_us: int | None = big(default=None)
    ended_by: str = string()


class Rota(SQLModel, table=True):
    """On-call shifts, as last read from a calendar."""

    name: str = Field(primary_key=True, sa_type=Text)
    source: str = string()
    """Text of its reference; never a URL."""
    text: str = string()
    """iCalendar."""
    shifts: str = string("[]")
    """JSON: [person, begins µs, ends µs], in order of their begin."""
    until_us: int = big(default=0)
    """How far ahead the shifts reach."""
    read_us: int = big(default=0)
    """When it was last read; 0: never."""
    tried_us: int = big(default=0)
    error: str = string()
    """Of the last try; empty on success."""
