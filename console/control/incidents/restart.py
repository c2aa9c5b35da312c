"""The restart that an incident needs: its run failed or read bad data, and nothing repeats it yet."""

from __future__ import annotations

from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.run_titles import cancelled_by
from console.control.incidents.verdict.decision import Rerun
from console.control.snapshot.downstream import bad_inputs
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import is_repeated
from console.domain.estate import RunFacts


def rerun_of(index: EstateIndex, run: RunFacts) -> Rerun | None:
    """The open run that repeats this one, or the rerun that was sent; None if nothing repeats it."""
    if run.state.is_open:
        return Rerun(run.started_at)
    later = list(index.later_of_day(run))[::-1]
    started = next((known.started_at for known in later if known.state.is_open and known.started_at), None)
    repair = index.estate.repairs.get(run.id)
    if repair is not None and is_repeated(run, repair):
        return Rerun(started, repair.sent_at, repair.unknown, repair.policy)
    return Rerun(started) if started is not None else None


def needs_restart(index: EstateIndex, match: IncidentMatch) -> bool:
    """True if its cause is a run that failed, did not start or read data finished since, and is not running again or
    about to, nor started again by its schedule in time."""
    run = match.to_repair
    if run is None or run.state.is_open or rerun_of(index, run) or match.cause.rule or match.closing:
        return False
    return not match.is_repaired and (run.state.is_red or (index.is_stale(run) and bad_inputs(index, run)[1]))


def is_restartable(index: EstateIndex, match: IncidentMatch) -> bool:
    """True if it needs a restart and its run was not cancelled through Headway."""
    return needs_restart(index, match) and match.to_repair is not None and not cancelled_by(index, match.to_repair)
