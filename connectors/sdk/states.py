"""The enums of the contract: run states, evidence, capabilities, verbs and proofs.

They are apart from `records` because screens need them before their first paint, and building a record class costs
half a millisecond. `connectors.sdk.contract` exports them too; import from there unless start-up time matters.
"""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """The state of a run, mapped from the source's; the native state is always stored with it."""

    PLANNED = "planned"
    WAITING = "waiting"
    HELD = "held"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    BLOCKED = "blocked"
    MISSED = "missed"
    LOST = "lost"
    UNKNOWN = "unknown"

    @property
    def is_open(self) -> bool:
        """True while the run may still change; UNKNOWN is neither open nor proved to have ended."""
        return self in OPEN_STATES

    @property
    def is_red(self) -> bool:
        """True for ends that need repair. PARTIAL, SKIPPED and UNKNOWN are not red; neither are they green."""
        return self in RED_STATES


def is_open(state: str) -> bool:
    """Whether a run in this state may still change; False for an unknown state."""
    return state in OPEN_STATES


OPEN_STATES = frozenset({
    RunState.PLANNED, RunState.WAITING, RunState.HELD, RunState.QUEUED, RunState.RUNNING, RunState.RETRYING,
    RunState.CANCELLING,
})  # fmt: skip
RED_STATES = frozenset(
    {RunState.FAILED, RunState.TIMED_OUT, RunState.CANCELLED, RunState.BLOCKED, RunState.MISSED, RunState.LOST}
)


class RunEvidence(StrEnum):
    """How we know a state. STALE and ASSERTED are ours; a connector reports NATIVE, INFERRED or CONFLICT."""

    NATIVE = "native"
    INFERRED = "inferred"
    ASSERTED = "asserted"
    CONFLICT = "conflict"
    STALE = "stale"


class PeriodKind(StrEnum):
    """The meaning of the period key of a run: a success repairs the failures of its own period, and of those before it
    where periods have an order (`control.snapshot.runs.covers_period`)."""

    INSTANT = "instant"
    """An instant: a later one covers an earlier one."""
    RUN = "run"
    """The run itself, by its id or start: it has no period, and every later run of its job without a name covers it."""
    DATE = "date"
    """The business date that its source records, not the key: a later run of that or a later date without a name covers
    it."""
    NAME = "name"
    """A partition, range, branch or date that its source names: no other name covers it, and it covers no other."""
    ALL = "all"
    """Every period, as of a full load: it covers all runs before it; only another one covers it."""


class Capability(StrEnum):
    """A capability of a kind. A missing one disables its key, with the reason."""

    RERUN = "rerun"
    START = "start"
    """Start a job once for a period that it has not run."""
    CANCEL = "cancel"
    """End what runs now."""
    MARK = "mark"
    """Set a run's native state to success or skipped. Where it is missing, Headway asserts it in its own store."""
    HOLD = "hold"
    """Prevent a job from starting, under a mark at the source, and release it."""
    LOG = "log"
    TASKS = "tasks"
    NATIVE_DEPENDENCIES = "native_dependencies"
    PERIODS = "periods"
    """A run works for a period or input of its own, and so does its rerun; without it every run works for "now"."""


class Verb(StrEnum):
    """An action on a run or job; each kind has a native verb for it."""

    RERUN = "rerun"
    """The same period again: a new attempt of the run."""
    START = "start"
    """Once now, for a period that has not run."""
    CANCEL = "cancel"
    MARK_OK = "mark_ok"
    SKIP = "skip"
    HOLD = "hold"
    RELEASE = "release"
    """Undo a hold. It only re-enables the job; a missed start is handled afterwards."""
    BACKFILL = "backfill"
    """A backfill of the source's own, of kinds whose `verbs` name it: made, paused, resumed, cancelled."""

    @property
    def needs(self) -> Capability:
        """The capability that a kind must have for it."""
        return _NEEDS[self]


STARTING = (Verb.RERUN, Verb.START)
"""Verbs that start a run: overlap, safety and followers are checked."""
_NEEDS = {
    Verb.RERUN: Capability.RERUN,
    Verb.START: Capability.START,
    Verb.CANCEL: Capability.CANCEL,
    Verb.MARK_OK: Capability.MARK,
    Verb.SKIP: Capability.MARK,
    Verb.HOLD: Capability.HOLD,
    Verb.RELEASE: Capability.HOLD,
    Verb.BACKFILL: Capability.PERIODS,
}


SOURCE_SCHEDULE = "EventBridge Scheduler: "
"""Prefix of the text of a schedule with a clock but without a dialect that we read. Other texts of "none" mean no clock
("Never, external triggers only", "Triggered by assets")."""
GLUE_TRIGGERS = "Glue trigger: "
"""The same for a trigger of AWS Glue."""
STOPPED = "stopped"
"""The kind of problem of a target that answers while its scheduler starts no job (`Poll.stopped`)."""
SCHEDULE_UNREADABLE = "its schedules cannot be read: "


class ProofLevel(StrEnum):
    """How much the source of a job can prove about a run."""

    START = "start"
    """Only that it started; its end is UNKNOWN/INFERRED."""
    EXIT = "exit"
    """Start, end and exit status."""
    FULL = "full"
    """Start, end, exit status and output."""
