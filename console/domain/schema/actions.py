"""Tables of actions, plans, holds, permissions, switches and the audit, and the store's own bookkeeping."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from console.domain.schema.columns import big, string


class Action(SQLModel, table=True):
    """An action requested by a person or a policy. Its intent is committed under its key before it is sent."""

    __table_args__ = (
        Index("action_state", "state"),
        Index("action_run", "run_id"),
        Index("action_incident", "incident_id"),
        Index("action_requested", "requested_us"),
    )
    key: str = Field(primary_key=True, sa_type=Text)
    verb: str = string()
    """Value of `connectors.sdk.states.Verb`."""
    job_id: int = Field()
    """Without a foreign key, as in every row that clients insert: it would lock the job, which the engine renames."""
    run_id: int | None = big(default=None)
    """None for verbs on a job (hold, release)."""
    incident_id: int | None = big(default=None)
    state: str = string("requested")
    """requested (approved where required), sending (intent committed), sent, verified, refused, failed, unknown."""
    preview: str = string("{}")
    """JSON of the preview shown; "{}": requested right before sending."""
    parameters: str = string("{}")
    """JSON of `ActionSpec.parameters`."""
    origin: str = string("person")
    """ "person", "plan", "policy", or the mode of a dependency: "hold", "trigger"."""
    requested_by: str = string()
    requested_from: str = string()
    why: str = string()
    overlap: str = string("refuse")
    """If the job is running: "refuse", or "queue" until it is not."""
    needs_approval: bool = False
    approved_by: str = string()
    """Its approver; of two persons, the second."""
    first_approver: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    """Of two persons the first, also while it waits for the second."""
    approved_us: int | None = big(default=None)
    requested_us: int = big()
    sent_us: int | None = big(default=None)
    ended_us: int | None = big(default=None)
    native_ref: str = string()
    attempt_id: int | None = big(default=None)
    text: str = string()
    """The reply, or why it was refused."""
    unsent: bool = False
    """True if it failed and is proved not to have reached its scheduler: only such an action may be sent again."""
    next_us: int = big(default=0)
    looked_up: int = 0
    changed_seq: int = big(default=0)


class Plan(SQLModel, table=True):
    """A recovery plan, backfill or bulk of actions: a state machine whose transitions are rows."""

    __table_args__ = (Index("plan_state", "state"), Index("plan_incident", "incident_id"))
    id: int | None = big(default=None, primary_key=True)
    key: str = Field(unique=True, sa_type=Text)
    """Created before the request, so that a repeated request is one plan."""
    kind: str = string("recovery")
    """ "recovery", "backfill", "bulk"."""
    title: str = string()
    incident_id: int | None = big(default=None)
    state: str = string("running")
    """running, paused, stopped (a step failed), done, aborted."""
    requested_by: str = string()
    requested_from: str = string()
    why: str = string()
    requested_us: int = big()
    ended_us: int | None = big(default=None)
    at_once: int = 1
    """Most writes in flight per system."""
    text: str = string()
    """Why it is in this state."""
    go_on: str = string()
    """The commands that continue it, while it is stopped."""
    resumed_by: str = string()
    """The person who last resumed it, whose rights count for each step that is sent since."""
    changed_seq: int = big(default=0)


class PlanStep(SQLModel, table=True):
    """One step of a plan: its conditions, its action, its outcome."""

    __tablename__: ClassVar[str] = "plan_step"
    __table_args__ = (UniqueConstraint("plan_id", "place"), Index("plan_step_action", "action_key"))
    id: int | None = big(default=None, primary_key=True)
    plan_id: int = big(foreign_key="plan.id")
    place: int = 0
    """From 1, in the order shown; unique in its plan."""
    verb: str = string()
    """Value of `connectors.sdk.states.Verb`, or "wait"."""
    job_id: int | None = None
    run_id: int | None = big(default=None)
    period_key: str = string()
    parameters: str = string("{}")
    after: str = string("[]")
    """JSON: places of the steps that must be verified first."""
    wait_s: float = 0.0
    """Seconds to wait after those; `due_us`: when that wait ends."""
    due_us: int | None = big(default=None)
    safety: str = string("ask")
    expected_s: float | None = None
    saves: str = string("[]")
    """JSON: [{"service", "business_date", "saved": true

    false

    null}].
    """
    preview: str = string("{}")
    state: str = string("planned")
    """planned, requested (its action exists), verified, failed, abandoned (its plan ended first)."""
    action_key: str | None = Field(default=None, sa_type=Text)
    text: str = string()
    started_us: int | None = big(default=None)
    ended_us: int | None = big(default=None)


class PolicyRepairRow(SQLModel, table=True):
    """A repair that a policy requested, or would have in shadow."""

    __tablename__: ClassVar[str] = "policy_repair"
    __table_args__ = (
        Index("policy_repair_at", "at_us"),
        Index("policy_repair_incident", "incident_id"),
        Index("policy_repair_action", "action_key"),
    )
    run_id: int = big(primary_key=True)
    attempt: int = Field(primary_key=True)
    policy: str = string()
    method: str = string()
    job_id: int = Field()
    business_date: str = string()
    incident_id: int = big()
    at_us: int = big()
    action_key: str | None = Field(default=None, sa_type=Text)
    """None in shadow."""


class Hold(SQLModel, table=True):
    """A job kept from starting by Headway: planned, active or ended."""

    __table_args__ = (
        Index("hold_state", "state"),
        Index("hold_job", "job_id"),
        Index("hold_ended", "ended_us"),
        Index("hold_due", "due_us"),
        Index("hold_start", "start_key"),
        Index("hold_release", "release_key"),
    )
    key: str = Field(primary_key=True, sa_type=Text)
    """Key of the action that places it: the mark's id at the source."""
    job_id: int = Field(foreign_key="job.id")
    upstream_id: int | None = Field(default=None)
    """The job that it waits for; None: held by a person."""
    business_date: str = string()
    """Its business date; empty for a standing or a person's hold."""
    kind: str = string("reactive")
    """ "reactive", "standing", "person", "trigger", "foreign" (a mark that this store did not make)."""
    mode: str = string("hold")
    """ "hold", or "trigger": started on completion."""
    state: str = string("placing")
    """placing, held, releasing, watching (enabled again; is the native start coming?), starting, clearing (a person
    enabled it, and the hold mark is being removed), released, failed, shadow, foreign."""
    held_by: str = string()
    why: str = string()
    placed_us: int | None = big(default=None)
    seen_us: int | None = big(default=None)
    """When its mark was last seen at its source, its job disabled."""
    until_us: int = big(default=0)
    """Released then at the latest."""
    due_us: int | None = big(default=None)
    """The native start that it prevents; `period_key`: of that start."""
    period_key: str = string()
    release_key: str | None = Field(default=None, sa_type=Text)
    start_key: str | None = Field(default=None, sa_type=Text)
    """The one start by Headway, if the native one did not come."""
    released_us: int | None = big(default=None)
    """When it was released; while still held, when a release was first refused."""
    ended_us: int | None = big(default=None)
    reason: str = string("other")
    """A HoldReason, which decisions read; `detail` completes its text."""
    detail: str = string()
    changed_seq: int = big(default=0)


class Permission(SQLModel, table=True):
    """A permission of the config. Without any row, every user who can write the store has all permissions."""

    id: int | None = Field(default=None, primary_key=True)
    who: str = string()
    """A login, "group:NAME", or "*"."""
    role: str = string("view")
    """view < act < approve < admin."""
    systems: str = string("[]")
    """JSON: patterns; empty: all."""
    services: str = string("[]")
    tiers: str = string("[]")


class Switch(SQLModel, table=True):
    """A switch that survives a restart, of the estate or a scope: "freeze", "mode", "system NAME", "polling NAME" …"""

    name: str = Field(primary_key=True, sa_type=Text)
    value: str = string()
    set_by: str = string()
    why: str = string()
    at_us: int = big(default=0)
    until_us: int | None = big(default=None)
    """End of a pause of polling; None: not paused."""


class Audit(SQLModel, table=True):
    """An audit entry: actor, verb, time, origin, reason and result. Append only; each row seals the one before."""

    seq: int | None = big(default=None, primary_key=True)
    at_us: int = big()
    actor: str = string()
    origin: str = string()
    """A host, an SSH client, or the engine."""
    verb: str = string()
    object: str = string()
    detail: str = string("{}")
    """JSON: before, after, calls sent, reply."""
    why: str = string()
    prev_hash: str = string()
    hash: str = string()


class Request(SQLModel, table=True):
    """A request of a screen or command to the engine: a preview, a log."""

    __table_args__ = (Index("request_state", "state", "id"),)
    id: int | None = big(default=None, primary_key=True)
    kind: str = string()
    arguments: str = string("{}")
    requested_by: str = string()
    requested_us: int = big()
    state: str = string("pending")
    """pending, answering, answered, refused; unchained: an audit entry that the engine has not chained yet."""
    answer: str = string("{}")
    answered_us: int | None = big(default=None)


class Lease(SQLModel, table=True):
    """The engine that works on this store. `fence` grows with every holder; a write with an old fence is refused."""

    name: str = Field(primary_key=True, sa_type=Text)
    holder: str = string()
    fence: int = big(default=0)
    until_us: int = big(default=0)
    since_us: int = big(default=0)
    heartbeat_us: int = big(default=0)


class EngineRow(SQLModel, table=True):
    """An engine that runs on a shared store. Until `until_us` it counts for the spread of the shards; 0: it polls
    nothing, as its config is not the one in effect."""

    __tablename__: ClassVar[str] = "engine"
    holder: str = Field(primary_key=True, sa_type=Text)
    since_us: int = big(default=0)
    heartbeat_us: int = big(default=0)
    until_us: int = big(default=0)
    trouble: str = string()
    """Why it polls nothing, or what fails in its polling; empty if all is well."""
    hand_overs: int = 0
    """How many shards it has claimed that were held before, the last at `handed_over_us`."""
    handed_over_us: int | None = big(default=None)


class Shard(SQLModel, table=True):
    """A part of the systems of a shared store, polled by the engine that holds it. `fence` grows with every holder; a
    write with an old fence is refused."""

    id: int = Field(primary_key=True)
    holder: str = string()
    fence: int = big(default=0)


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
