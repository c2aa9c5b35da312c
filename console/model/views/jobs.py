"""Jobs, their runs and attempts."""

from __future__ import annotations

from datetime import datetime

from connectors.words import State
from console.model.frozen import dataclass
from console.model.views.acts import ActionView
from console.model.views.estate import DriftView
from console.model.views.findings import FindingView


@dataclass(frozen=True, slots=True)
class JobRow:
    """One line of the big table."""

    id: int
    name: str
    system: str
    kind: str
    state: str
    evidence: str
    native_state: str
    timeliness: str
    bd: str
    run_id: int | None
    started: datetime | None
    ended: datetime | None
    next: datetime | None
    schedule: str
    owner: str
    paused: bool
    gone: bool
    is_task: bool
    stale_since: datetime | None
    """Its target's last good poll, when that target is out of reach; None when fresh."""
    stale_read: bool = False
    attempts: int = 0
    held_by: str = ""
    """Who holds it through Headway, "headway" for a policy; empty where nobody does. What is held is not `paused`, and
    has no `next`."""
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    """One line of a job's runs."""

    id: int
    job_id: int
    job: str
    period_key: str
    bd: str
    state: str
    evidence: str
    native_state: str
    timeliness: str
    attempts: int
    period: datetime | None
    first_started: datetime | None
    started: datetime | None
    ended: datetime | None
    exit_code: int | None
    message: str
    expected: bool
    stale_read: bool
    stale_since: datetime | None
    reason: str = ""
    partial_input: str = ""
    """What it read that was partial; empty where nothing was."""

    def lasted_s(self, now: datetime) -> float | None:
        """Seconds that it took, or has run; None where it has not begun or nobody knows its end."""
        if self.started is None or (self.ended is None and self.state != State.RUNNING):
            return None
        return max(0.0, ((self.ended or now) - self.started).total_seconds())

    @property
    def is_red(self) -> bool:
        return self.state in set(State) and State(self.state).is_red

    @property
    def flags(self) -> str:
        """ "stale read", "partial input": what its state does not say; empty where there is nothing."""
        return "stale read" if self.stale_read else "partial input" if self.partial_input else ""


@dataclass(frozen=True, slots=True)
class HourCount:
    """The runs that were due in one hour."""

    at: datetime
    runs: int
    red: int
    """Failed, missed, timed out or lost."""


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One try of a run."""

    id: int
    number: int
    state: str
    evidence: str
    native_state: str
    started: datetime | None
    ended: datetime | None
    exit_code: int | None
    message: str
    action_key: str | None
    native_ref: str
    native_url: str


@dataclass(frozen=True, slots=True)
class RunView:
    """One run with its attempts and the kept end of its log."""

    row: RunRow
    attempts: tuple[AttemptView, ...]
    log: str
    log_error: str
    log_cut: bool
    zone: str
    rerun: str
    capabilities: tuple[str, ...]
    missing: dict[str, str]
    incident_id: int | None
    actions: tuple[ActionView, ...] = ()
    proof: str = "full"
    tasks: tuple[RunRow, ...] = ()
    findings: tuple[FindingView, ...] = ()
    """Of all its time, oldest first."""
    runs: tuple[RunRow, ...] = ()
    """This one and those of its job before it, newest first, at most 60."""


@dataclass(frozen=True, slots=True)
class CardView:
    """One word of a job's card: owner, runbook, or how safe a rerun is."""

    field: str
    value: str
    said_by: str = ""
    """Who says it, where a person does; else empty."""
    said_at: datetime | None = None
    why_not: str = ""
    """Why people may not say it; empty where they may."""


@dataclass(frozen=True, slots=True)
class JobView:
    """One job with its surroundings."""

    row: JobRow
    title: str
    definition: str
    run_as: str
    proof: str
    runbook: str
    rerun: str
    expected_s: float | None
    history_runs: int
    p50_s: float | None
    p90_s: float | None
    native_url: str
    upstreams: tuple[tuple[str, str], ...]
    """(job name, origin)."""
    downstreams: tuple[tuple[str, str], ...]
    services: tuple[str, ...]
    drift: tuple[DriftView, ...] = ()
    runs: tuple[RunRow, ...] = ()
    """Newest first, at most 60."""
    findings: tuple[FindingView, ...] = ()
    """The open ones of the job and its runs, newest first."""
    coming: tuple[datetime, ...] = ()
    """When its next runs are expected, at most three."""
    waits: tuple[str, ...] = ()
    """What it waits for, gate by gate: "2 of etl/a, etl/b, etl/c", "etl/d (completion)"; empty where that is no more
    than each of its upstreams good on the same date."""
    card: tuple[CardView, ...] = ()
    """In the order of `model.cards.FIELDS`."""
    left_out: str = ""
    """Why it is watched no more, in words; empty where it is."""
