"""The repair of a failed run: its requester in Headway, its time and the length of its run."""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.sdk.states import RunEvidence, Verb
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import CLOCK_SKEW
from console.domain.estate import RepairFacts, RunFacts
from console.text.cleaning import clean_line

_REPAIRS = {Verb.RERUN: "rerun", Verb.START: "started", Verb.MARK_OK: "marked OK", Verb.SKIP: "skipped"}


def resolved_at(index: EstateIndex, root: RunFacts | None) -> datetime:
    """When it was good again; now if that is unknown."""
    at = index.repaired_at(root) if root is not None else None
    return min(at, index.now) if at is not None else index.now


def requested_repair(index: EstateIndex, root: RunFacts | None) -> str:
    """ "rerun by anna": the repair that was requested through Headway; empty without one, or if another run did it."""
    run = _repairing_run(index, root)
    repair = index.estate.repairs.get(root.id) if root is not None else None
    if root is None or run is None or repair is None:
        return ""
    if run.evidence is not RunEvidence.ASSERTED and not _is_run_of(index, repair, root, run):
        return ""
    return f"{_REPAIRS[repair.verb]} by {clean_line(repair.by)}"


def repair_text(index: EstateIndex, root: RunFacts | None) -> str:
    """The requested repair, else "attempt 2"; empty if neither repaired it."""
    run = _repairing_run(index, root)
    attempt = f"attempt {run.attempt}" if run is not None and run.attempt > 1 else ""
    return requested_repair(index, root) or attempt


def repair_length(index: EstateIndex, root: RunFacts | None) -> timedelta | None:
    """How long the run took that repaired it; None if no run did."""
    run = _repairing_run(index, root)
    if run is None or run.started_at is None or run.ended_at is None or run.evidence is RunEvidence.ASSERTED:
        return None
    return run.ended_at - run.started_at


def _is_run_of(index: EstateIndex, repair: RepairFacts, root: RunFacts, run: RunFacts) -> bool:
    """True if it is the job's first run, after a red root, that started since the repair was sent."""
    starts = [
        (candidate.started_at, candidate.id)
        for candidate in index.runs.get(root.job_id, ())
        if candidate.started_at is not None and not (candidate.id == root.id and root.state.is_red)
    ]
    return min((start for start in starts if start[0] + CLOCK_SKEW >= repair.sent_at), default=(None, 0))[1] == run.id


def _repairing_run(index: EstateIndex, root: RunFacts | None) -> RunFacts | None:
    return index.repairing_run(root) if root is not None and not root.state.is_open else None
