"""The words of the contract: what a run's state, its evidence, a capability and a proof are called.

Apart from the records, because screens need the words before their first paint and making a record's class costs half
a millisecond. `connectors.contract` has them all; import from there unless start-up time counts. Standard library only.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """What the source says about a run, mapped. The native word is always kept beside it."""

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
        """True while more is to come from the source; UNKNOWN is neither open nor proved over."""
        return self in OPEN_STATES

    @property
    def is_red(self) -> bool:
        """True for ends that need repair. PARTIAL, SKIPPED and UNKNOWN are not red; neither are they green."""
        return self in RED_STATES


def is_open(word: str) -> bool:
    """Whether a state's word says that more is to come from the source; False for a word that is none of ours."""
    return word in OPEN_STATES


OPEN_STATES = frozenset(
    {
        State.PLANNED,
        State.WAITING,
        State.HELD,
        State.QUEUED,
        State.RUNNING,
        State.RETRYING,
        State.CANCELLING,
    }
)
RED_STATES = frozenset({State.FAILED, State.TIMED_OUT, State.CANCELLED, State.BLOCKED, State.MISSED, State.LOST})


class Evidence(StrEnum):
    """How we know a state. STALE and ASSERTED are ours; a connector reports NATIVE, INFERRED or CONFLICT."""

    NATIVE = "native"
    INFERRED = "inferred"
    ASSERTED = "asserted"
    CONFLICT = "conflict"
    STALE = "stale"


class Capability(StrEnum):
    """What a kind can do. A missing one disables the key and says why."""

    RERUN = "rerun"
    START = "start"
    """Start a job once for a period that it has not run."""
    CANCEL = "cancel"
    """End what runs now."""
    MARK = "mark"
    """Set a run's native state to success or skipped. Where it is missing, Headway asserts it in its own store."""
    HOLD = "hold"
    """Keep a job from starting, under a mark that is found at the source, and let it go again."""
    LOG = "log"
    TASKS = "tasks"
    NATIVE_DEPENDENCIES = "native_dependencies"
    PERIODS = "periods"
    """A run works for a period or input of its own, and so does its rerun; without it every run works for "now"."""


class Verb(StrEnum):
    """What may be asked of a run or job; each kind has its own native verb for it."""

    RERUN = "rerun"
    """The same period again: a new attempt of the run."""
    START = "start"
    """Once now, for a period that has not run."""
    CANCEL = "cancel"
    MARK_OK = "mark_ok"
    SKIP = "skip"
    HOLD = "hold"
    RELEASE = "release"
    """Undo a hold. It only re-enables: whether the native start came is looked at afterwards."""
    BACKFILL = "backfill"
    """A backfill of the source's own, of kinds whose `verbs` name it: made, paused, resumed, cancelled."""

    @property
    def needs(self) -> Capability:
        """The capability that a kind must have for it."""
        return _NEEDS[self]


STARTING = (Verb.RERUN, Verb.START)
"""What makes something run: of these overlap, safety and followers count."""
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


CLOCK_OF_ITS_SOURCE = "EventBridge Scheduler: "
"""How a schedule's words begin that tell a clock which no dialect of ours reads: all others of "none" tell of no clock
("Never, external triggers only", "Triggered by assets")."""
GLUE_TRIGGERS = "Glue trigger: "
"""The same for a trigger of AWS Glue."""
NOTHING_STARTS = "nothing starts here: "
"""How a warning of a poll begins that tells why no job of the target will start, whatever its schedules say: the source
answers, and its scheduler does not run."""
CLOCK_UNREAD = "its schedules cannot be read: "


class Proof(StrEnum):
    """The rungs of the evidence ladder: what this job's source can prove about a run."""

    START = "start"
    """Only that it started; its end is UNKNOWN/INFERRED."""
    EXIT = "exit"
    """Start, end and exit status."""
    FULL = "full"
    """Start, end, exit status and output."""
