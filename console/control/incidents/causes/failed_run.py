"""A run that failed, did not start or was cancelled.

A red run is a symptom of another if that one is upstream on the same business date and was due or started before the
symptom was red: its first run that failed with the same error as its latest. A failed task is reported with its DAG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import takewhile

from connectors.sdk.states import RunEvidence, RunState
from console.control.incidents.causes.cause import Cause, Ended, Evidence, unambiguous_name
from console.control.incidents.repair import repair_of
from console.control.incidents.run_effects import (
    affected_runs,
    red_units,
    retried_runs,
    root_run_of,
    run_error,
    run_failure,
    stale_runs,
)
from console.control.snapshot.downstream import JobDate, affected_below
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import red_since, run_time
from console.domain.estate import IncidentFacts, RunFacts
from console.domain.failure import FailureSignature
from console.domain.incident_record import CauseKind
from console.domain.reason import (
    FindingOver,
    GreenAgain,
    LaterRunGood,
    NoLongerWatched,
    OutOfView,
    Reason,
    ResultAsserted,
    ScheduleAccepted,
)


@dataclass(frozen=True, slots=True)
class RunCause(Cause):
    """A cause whose root is a run: its incidents are those of its job."""

    @classmethod
    def of_incident(cls, index: EstateIndex, incident: IncidentFacts, red: tuple[RunFacts, ...]) -> Cause:
        return FailedRun(incident.cause.business_date, incident.failed_since, red, root_run_of(index, incident))

    def is_same(self, index: EstateIndex, incident: IncidentFacts) -> bool:
        return self._is_about_job(incident) and self.business_date == incident.cause.business_date

    def reopens(self, index: EstateIndex, incident: IncidentFacts) -> bool:
        return self._is_about_job(incident) and self.rule == incident.cause.rule

    def _is_about_job(self, incident: IncidentFacts) -> bool:
        return self.root is not None and self.root.job_id == incident.cause.job_id


@dataclass(frozen=True, slots=True)
class FailedRun(RunCause):
    """One red run; good again while its followers are red or stale. Also the run of a finding or of a late day that
    holds no longer."""

    kind = CauseKind.RUN

    @property
    def can_close_itself(self) -> bool:
        return True

    @classmethod
    def find(cls, evidence: Evidence, known: Sequence[Cause]) -> list[Cause]:
        index, explained = evidence.index, {(run.job_id, run.business_date) for cause in known for run in cause.red}
        red = {
            business_date: {job_id: runs for job_id, runs in jobs.items() if (job_id, business_date) not in explained}
            for business_date, jobs in red_units(index).items()
        }
        return sorted([*known, *_roots(index, red)], key=lambda cause: (cause.since, cause.name(index)))

    def key(self, index: EstateIndex) -> str:
        run = self.root
        if run is None:
            return ""
        attempt = f"#{run.attempt}" if run.attempt > 1 else ""
        return f"run:{unambiguous_name(index.job(run.job_id).name)}@{unambiguous_name(run.period_key)}{attempt}"

    def failure(self, index: EstateIndex) -> FailureSignature | None:
        return run_failure(index, self.root) if self.root is not None and self.root.state.is_red else None

    def ended(self, index: EstateIndex, incident: IncidentFacts) -> Ended | None:
        is_left = bool(self.red or stale_runs(index, self, incident))
        if incident.cause.rule and not is_left and not (self.root is not None and self.root.state.is_red):
            return Ended(FindingOver(), is_recovered=True)
        if self.root is None:
            return Ended(out_of_view(index, incident))
        if is_left or retried_runs(index, incident) or _is_unproven(index, incident):
            return None
        reason = settled(index, self.root)
        if isinstance(reason, LaterRunGood):
            symptoms = (run for run in affected_runs(index, incident) if run.job_id != self.root.job_id)
            repairs = (repair_of(index, run) for run in symptoms)
            known = {repair.request for repair in repairs if repair.requested and not repair.requested.in_flight}
            reason = LaterRunGood(tuple(sorted(known)))
        return Ended(reason, is_recovered=True) if reason is not None else None


def settled(index: EstateIndex, root: RunFacts) -> Reason | None:
    """Why the run is settled; None if it is not."""
    if index.is_excused(root):
        return ScheduleAccepted()
    repair = repair_of(index, root)
    by, took = repair.request, repair.length
    took_s = took.total_seconds() if by and took is not None else None
    green = GreenAgain(by, took_s, repair.policy)
    if index.is_green(root):
        return ResultAsserted(by or "marked OK by a person") if root.evidence is RunEvidence.ASSERTED else green
    if root.state is RunState.SKIPPED and root.evidence is RunEvidence.ASSERTED:
        return ResultAsserted(by or "skipped by a person")
    if not index.is_superseded(root):
        return None
    return green if by else LaterRunGood()


def out_of_view(index: EstateIndex, incident: IncidentFacts) -> Reason:
    """Why an incident ends whose runs are not seen any more."""
    if incident.cause.job_id not in index.estate.jobs and not incident.cause.shared:
        return NoLongerWatched()
    return OutOfView(round(index.estate.settings.lookback.total_seconds() / 3600))


def _is_unproven(index: EstateIndex, incident: IncidentFacts) -> bool:
    """True while an open run that affected runs read is out of reach. An unseen run makes no downstream stale."""
    affected = affected_runs(index, incident)
    units = {index.graph.unit(run.job_id) for run in affected}
    last = max((run.business_date for run in affected), default=incident.cause.business_date)
    return any(
        index.is_unseen(index.job(job_id))
        and any(run.state.is_open and run.business_date <= last for run in index.runs.get(job_id, ()))
        for job_id in units.union(*map(index.graph.ancestors, units))
    )


def _roots(index: EstateIndex, red: Mapping[date, Mapping[int, list[RunFacts]]]) -> list[FailedRun]:
    """Causes among the red jobs of each date, the oldest date first and from the sources down: a cause is found
    before its symptoms, also before those that read it on a later date."""
    explained: dict[JobDate, list[RunFacts]] = {}
    """Each root with all runs that it explains."""
    owners: dict[JobDate, list[JobDate]] = {}
    for business_date in sorted(red):
        for job_id in index.graph.ordered(red[business_date]):
            place, runs = (job_id, business_date), red[business_date][job_id]
            for owner in owners.get(place, ()):
                explained[owner].extend(runs)
            if place in owners:
                continue
            explained[place] = list(runs)
            begun = min(run_time(run) for run in runs)
            below = affected_below(index, [job_id], business_date) - {place}
            for lower in sorted(lower for lower in below if lower[0] in red.get(lower[1], ())):
                if _fails_since(index, red[lower[1]][lower[0]]) >= begun:
                    owners.setdefault(lower, []).append(place)
    own = {(job_id, business_date): red[business_date][job_id] for job_id, business_date in explained}
    return [
        FailedRun(place[1], min(map(red_since, own[place])), tuple(runs), own[place][-1])
        for place, runs in explained.items()
    ]


def _fails_since(index: EstateIndex, runs: Sequence[RunFacts]) -> datetime:
    """When the job first failed with the error that its latest red run has."""
    if len(runs) == 1:
        return red_since(runs[0])
    error = run_error(index, runs[-1])
    streak = takewhile(lambda run: not run_error(index, run).differs_from(error), reversed(runs))
    return min(map(red_since, streak))
