"""What was asked for, what is held, and what a gate looks at."""

from __future__ import annotations

from datetime import datetime

from console.model.checks import CheckFacts
from console.model.frozen import dataclass
from console.model.wants import PLAINLY, Wants
from console.model.words import NOT_LET_GO


@dataclass(frozen=True, slots=True)
class ActionView:
    """What a person asked for, and how far it has come."""

    key: str
    verb: str
    job: str
    job_id: int
    run_id: int | None
    """None where a verb is about the job (hold, release)."""
    incident_id: int | None
    state: str
    requested_by: str
    requested: datetime
    sent: datetime | None
    ended: datetime | None
    words: str
    preview: dict[str, object]


@dataclass(frozen=True, slots=True)
class HoldView:
    """A job that is held, is about to be, or was."""

    key: str
    """Also the id of its mark at the source."""
    job_id: int
    job: str
    system: str
    state: str
    kind: str
    """"reactive", "standing", "person", "trigger" (started on completion), "found" (a mark that we did not make)."""
    mode: str
    upstream: str
    """The job that it waits for; empty where a person holds it."""
    held_by: str
    why: str
    words: str
    """Why it is where it is."""
    placed: datetime | None
    until: datetime
    due: datetime | None
    """The start that it keeps back."""
    period_key: str
    ended: datetime | None
    release_key: str | None = None
    start_key: str | None = None
    seen: datetime | None = None
    """Of what is held: when it was last seen so at its source, which is looked at about once a minute."""

    @property
    def told(self) -> str:
        """Why it is held, in the words of whoever holds it, then why it is where it is."""
        if not self.why or (self.kind != "person" and self.words.startswith(NOT_LET_GO)):
            return self.words  # what a policy waited for is there
        is_said = self.why.startswith(self.words) or self.words == f"by {self.held_by}"
        return self.why if is_said else f"{self.why}; {self.words}"

    @property
    def stands(self) -> str:
        """ "etl/load was let go: its start is awaited"."""
        return f"{self.job} {_STANDS.get(self.state, self.state)}"


_STANDS = {
    "placing": "is about to be held",
    "held": "is held",
    "releasing": "is being let go",
    "watching": "was let go: whether its own start comes is watched",
    "starting": "was let go: its start is awaited",
    "clearing": "was enabled at its source: our mark there is taken away",
    "found": "is held under a mark that this store did not make",
    "released": "is not held any more",
    "failed": "was not held",
    "shadow": "is in shadow: it would have been held",
}
"""What each state of a hold is in a sentence."""


@dataclass(frozen=True, slots=True)
class ClockView:
    """The accepted schedule of a job that runs by the clock, and what its dates are counted in."""

    dialect: str
    expression: str
    schedule_zone: str
    next_at: datetime | None
    accepted_at: datetime
    """Nothing before it is expected."""
    zone: str
    """The system's, for business dates."""
    cutoff: str


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run of an upstream of which another period than the same date is read."""

    run_id: int
    period_key: str
    bd: str
    at: datetime
    """Its place in time: the period's instant, else the first start."""
    state: str
    evidence: str
    reason: str
    stale_read: bool
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class UpstreamView:
    """One upstream of a job, as its run of one business date stands."""

    job_id: int
    job: str
    mode: str
    clock: ClockView | None
    """None where only events or people start it: without a run one must be waited for."""
    run_id: int | None
    period_key: str
    state: str
    """Of the run that is read; empty where there is none."""
    evidence: str
    reason: str
    stale_read: bool
    stale_since: datetime | None
    """When its source was last seen, where that is too long ago."""
    unseen: bool = False
    wants: Wants = PLAINLY
    past: tuple[PastRun, ...] = ()
    """With another period than the same date: its latest runs before the gate's instant, oldest first."""
    loops: bool = False
    """With "previous": True where it waits for the gate's job itself, or is it."""
    looks: CheckFacts | None = None
    """With "ready": what the looks at its check came to on the gate's date."""


@dataclass(frozen=True, slots=True)
class GateView:
    """What a gate looks at: a job, the run it is asked for, and its upstreams."""

    job_id: int
    job: str
    bd: str
    at: datetime
    """The instant from which it looks back at its upstreams."""
    period_key: str
    upstreams: tuple[UpstreamView, ...]
