"""Runs and attempts as lists and pages show them, and how urgently a run needs a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from connectors.sdk.states import ProofLevel, RunEvidence, RunState
from console.domain.text import Clock, Text, render

if TYPE_CHECKING:
    from console.domain.action import ActionView
    from console.domain.finding import FindingView


@dataclass(frozen=True, slots=True)
class RunRow:
    """One line of a job's runs."""

    id: int
    job_id: int
    job: str
    period_key: str
    business_date: str
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
    reason: Text = ()
    partial_input: str = ""
    """Its partial input; empty if none was."""
    period_name: str = ""
    """The partition or region that it runs; empty without one."""

    def report(self, clock: Clock) -> str:
        """The message of its scheduler, else its reason."""
        return self.message or render(self.reason, clock)

    def lasted_s(self, now: datetime) -> float | None:
        """Its duration so far; None if it has not begun, or its end is unknown."""
        if self.started is None or (self.ended is None and self.state != RunState.RUNNING):
            return None
        return max(0.0, ((self.ended or now) - self.started).total_seconds())

    @property
    def planned(self) -> datetime | None:
        """The instant of its period; its start if it had ended by then, because its schedule was changed."""
        is_moved = self.period is not None and self.ended is not None and self.ended < self.period
        return self.started if is_moved else self.period

    def period_text(self, stamp: Callable[[datetime], str], key: Callable[[str], str]) -> str:
        """Its planned start and its partition, if any; the period key of a run without a planned start."""
        return f"{stamp(self.planned)} {self.period_name}".rstrip() if self.planned else key(self.period_key)

    @property
    def is_red(self) -> bool:
        return self.state in set(RunState) and RunState(self.state).is_red

    @property
    def flags(self) -> str:
        """ "stale read", "partial input"; empty for neither."""
        return "stale read" if self.stale_read else "partial input" if self.partial_input else ""


class HourlyRunCount(NamedTuple):
    """The runs that were due in one hour."""

    at: datetime
    runs: int
    red: int
    """Failed, missed, timed out or lost."""


@dataclass(frozen=True, slots=True)
class AttemptView:
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
    """One run with its attempts and the stored end of its log."""

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
    """Open and closed, oldest first."""
    runs: tuple[RunRow, ...] = ()
    """This one and those of its job before it, newest first, at most 60."""


def evidence_text(evidence: str) -> str:
    """ "native", "inferred" …; "outdated" for the last known state of a run whose system was not polled lately."""
    return "outdated" if evidence == RunEvidence.STALE else evidence


_PROOFS: dict[str, str] = {
    ProofLevel.START: "only the start",
    ProofLevel.EXIT: "start, end and exit code",
    ProofLevel.FULL: "start, end, exit code and output",
}


def proof_text(proof: str) -> str:
    """ "source reports start, end and exit code"."""
    return f"source reports {_PROOFS.get(proof, proof)}"


CLOCK_SKEW = timedelta(seconds=2)
"""Accepted clock skew between two systems."""
CALM_RANK = 9
PROBLEM_RANK = 3
"""Ranks up to this one are problems."""

ATTENTION_RANKS: dict[str, int] = {
    RunState.FAILED: 0,
    RunState.TIMED_OUT: 0,
    RunState.LOST: 0,
    RunState.MISSED: 0,
    RunState.BLOCKED: 1,
    RunState.CANCELLED: 1,
    RunState.PARTIAL: 2,
    RunState.UNKNOWN: 3,
    RunState.RETRYING: 4,
    RunState.CANCELLING: 4,
    RunState.RUNNING: 5,
    RunState.QUEUED: 6,
    RunState.WAITING: 6,
    RunState.HELD: 7,
    RunState.PLANNED: 8,
    RunState.SKIPPED: 8,
    RunState.SUCCEEDED: CALM_RANK,
}


def attention_rank(state: str, evidence: str, stale_read: bool) -> int:
    """The rank of the state, or a worse one for stale data, conflicting or stale evidence."""
    rank = ATTENTION_RANKS.get(state, CALM_RANK)
    if stale_read or evidence == RunEvidence.CONFLICT:
        rank = min(rank, 2)
    elif evidence == RunEvidence.STALE:
        rank = min(rank, 3)
    return rank
