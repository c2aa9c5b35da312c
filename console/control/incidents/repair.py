"""The repair of a failed run: its requester in Headway, its time and the length of its run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.sdk.states import RunEvidence, Verb
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import red_since, run_time
from console.domain.estate import RepairFacts, RunFacts
from console.domain.run import CLOCK_SKEW
from console.text.cleaning import clean_line

_REPAIRS = {Verb.RERUN: "rerun", Verb.START: "started", Verb.MARK_OK: "marked OK", Verb.SKIP: "skipped"}


def resolved_at(index: EstateIndex, root: RunFacts | None) -> datetime:
    """When it was good again; now if that is unknown."""
    at = index.repaired_at(root) if root is not None else None
    return min(at, index.now) if at is not None else index.now


@dataclass(frozen=True, slots=True)
class RunRepair:
    """The repair of a failed run."""

    requested: RepairFacts | None = None
    """None if it was not requested through Headway, or if another run did it."""
    run: RunFacts | None = None
    """The run that repaired it; None if none has."""

    @property
    def request(self) -> str:
        """ "rerun by anna", "repaired by policy retry-refused"; empty without a request."""
        if self.requested is None:
            return ""
        by = clean_line(self.requested.by)
        return f"repaired by policy {self.policy}" if self.policy else f"{_REPAIRS[self.requested.verb]} by {by}"

    @property
    def policy(self) -> str:
        """The policy that requested it; empty for a person, and without one."""
        return self.requested.policy if self.requested is not None else ""

    @property
    def text(self) -> str:
        """The request, else "attempt 2"; empty if neither repaired it."""
        attempt = self.run.attempt if self.run is not None else 1
        return self.request or (f"attempt {attempt}" if attempt > 1 else "")

    @property
    def length(self) -> timedelta | None:
        """How long the run took that repaired it; None if no run did."""
        run = self.run
        if run is None or run.started_at is None or run.ended_at is None or run.evidence is RunEvidence.ASSERTED:
            return None
        return run.ended_at - run.started_at


def repair_of(index: EstateIndex, root: RunFacts | None) -> RunRepair:
    """Its request may be that of an earlier failure of the job, even if its run is the earlier one that was tried
    again, and beside a scheduled run that was good as early."""
    first = index.repairing_run(root) if root is not None and not root.state.is_open else None
    if root is None or first is None:
        return RunRepair()
    own = index.estate.repairs.get(root.id)
    if own is not None and first.evidence is RunEvidence.ASSERTED:
        return RunRepair(own, first)
    repairs = index.repairing_runs(root) if first is not root else ()
    good = [first, *(run for run in repairs if run_time(run) > run_time(root))]
    of_job = {run_id: repair for run_id, repair in index.estate.repairs.items() if repair.job_id == root.job_id}
    for run_id, repair in ({root.id: own} if own is not None else of_job).items():
        run = _run_of(index, repair, run_id)
        if run is not None and (run in good or _is_good_by(index, run, red_since(root), first.ended_at)):
            return RunRepair(repair, run)
    return RunRepair(None, first)


def _is_good_by(index: EstateIndex, run: RunFacts, since: datetime, by: datetime | None) -> bool:
    """True if it started after `since` and succeeded by then."""
    if run.started_at is None or run.ended_at is None or by is None:
        return False
    return since <= run.started_at and run.ended_at <= by and index.is_green(run)


def _run_of(index: EstateIndex, repair: RepairFacts, run_id: int) -> RunFacts | None:
    """The job's first run that started since the repair was sent, without the run to repair while that is red, and once
    the repair is verified without red runs."""
    starts = [
        run
        for run in index.runs.get(repair.job_id, ())
        if run.started_at is not None
        and run.started_at + CLOCK_SKEW >= repair.sent_at
        and not (run.state.is_red and (run.id == run_id or not repair.in_flight))
    ]
    return min(starts, key=lambda run: (run.started_at or index.now, run.id), default=None)
