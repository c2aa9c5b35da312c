"""A host, database or credential that many failures have in common, and a target on which nearly everything fails.

At least SHARED_JOBS jobs close together (SHARED_WITHIN) whose failures blame the same resource while they have no
common upstream cause. Later failures that blame it join; a job leaves when it is good, or fails with another.
Only recognized messages that name a resource count, so "exit 1" or "no such table" never groups anything.

Failing target: it answers, its jobs name no common cause, and nearly all fail at once. Conservative: at least five of
its jobs turned red close together, they are most of the runs that ended there in that time, and next to nothing was
red there before, over enough runs to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from connectors.sdk.records import instant_key
from console.control.incidents.causes.cause import Cause, Ended, Evidence, unambiguous_name
from console.control.incidents.causes.failed_run import out_of_view, settled
from console.control.incidents.run_effects import affected_runs, failed_tasks, runs_on_target, stale_runs
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.failing_targets import BURST_JOBS, MOST, SHARED_WITHIN
from console.control.snapshot.failures import (
    Blame,
    BlamedResource,
    identity_blame,
    identity_business_text,
    identity_name,
    identity_titles,
    resource_of_run,
    run_identity,
    target_label,
)
from console.control.snapshot.runs import red_since
from console.domain.estate import IncidentFacts, RunFacts
from console.domain.incident_record import CauseKind
from console.domain.reason import ResourceRecovered
from console.domain.text import Part, Tense, Text
from console.timing.durations import format_duration
from console.timing.maintenance import ActiveMaintenance, maintenance_of_jobs

MAX_RED = 3
"""Jobs that are still red, as a reason names them."""
USUAL = 0.05
"""Share of the runs that ended there before that may be red."""
SHARED_JOBS = 3
"""Least jobs that name the same host, database or credential for it to be their cause."""
KNOWN = 20
"""Runs that must have ended there before: fewer do not show what is usual."""


@dataclass(frozen=True, slots=True)
class SharedResource(Cause):
    """A resource that many red runs blame; the others are downstream of them."""

    kind = CauseKind.SHARED
    identity: str = ""
    """The host, database or credential, as `snapshot.failures` identifies it."""
    blaming: tuple[RunFacts, ...] = ()
    """Runs that blame it."""
    evidence: str = ""
    """Why it is one."""
    incident_id: int | None = None
    """Its open incident."""

    @property
    def subject(self) -> str:
        return self.identity

    @property
    def can_close_itself(self) -> bool:
        return True

    @classmethod
    def find(cls, evidence: Evidence, known: Sequence[Cause]) -> list[Cause]:
        return sorted(_merged(evidence.index, known), key=lambda cause: cause.since)

    @classmethod
    def of_incident(cls, index: EstateIndex, incident: IncidentFacts, red: tuple[RunFacts, ...]) -> SharedResource:
        runs = tuple(run for run in affected_runs(index, incident) if not index.is_red_now(run))
        return SharedResource(
            incident.cause.business_date, incident.failed_since, identity=incident.cause.subject, blaming=runs
        )

    def roots(self) -> list[RunFacts]:
        return list(self.blaming)

    def name(self, index: EstateIndex) -> str:
        return identity_name(self.identity)

    def key(self, index: EstateIndex) -> str:
        return f"shared:{unambiguous_name(self.identity)}@{instant_key(self.since)}"

    def title(self, index: EstateIndex) -> tuple[Part, ...]:
        return (Tense(*identity_titles(self.identity)),)

    def plain_title(self, index: EstateIndex) -> str:
        return f"many jobs fail for the same reason ({identity_blame(self.identity)})"

    def problem(self, index: EstateIndex) -> str:
        return identity_titles(self.identity)[0]

    def business_text(self, index: EstateIndex, services: Sequence[str]) -> str:
        return identity_business_text(self.identity)

    def reason(self, index: EstateIndex) -> Text:
        return (self.evidence,) if self.evidence else ()

    def is_same(self, index: EstateIndex, incident: IncidentFacts) -> bool:
        return self.incident_id == incident.id

    def maintenance(self, index: EstateIndex) -> ActiveMaintenance | None:
        return maintenance_of_jobs(index.estate, [run.job_id for run in self.blaming], index.now)

    def ended(self, index: EstateIndex, incident: IncidentFacts) -> Ended | None:
        """Once its runs are good. A run that is red now has a cause of its own."""
        if not self.blaming:
            return Ended(out_of_view(index, incident))
        if not all(settled(index, run) for run in self.blaming) or stale_runs(index, self, incident):
            return None
        runs = affected_runs(index, incident)
        red = list(dict.fromkeys(index.name(run.job_id) for run in runs if index.is_red_now(run)))
        return Ended(ResourceRecovered(tuple(red[:MAX_RED]), max(len(red) - MAX_RED, 0)), is_recovered=True)


class _TargetBurst(NamedTuple):
    """Causes of one target that belong together, and the evidence."""

    target_id: int
    causes: list[Cause]
    evidence: str


def _merged(index: EstateIndex, causes: Sequence[Cause]) -> list[Cause]:
    """The causes, with each shared root as one; the others unchanged, in their order."""
    remaining = list(causes)
    merged: list[Cause] = []
    for incident in index.estate.incidents:
        if incident.cause.shared and (members := [cause for cause in remaining if _belongs(index, incident, cause)]):
            remaining = [cause for cause in remaining if cause not in members]
            merged.append(_joined(index, members, incident.cause.shared, incident.id))
    for shared in sorted(_blamed_by_many(index, causes)):
        if ones := [cause for cause in remaining if blamed_identity(index, cause) == shared]:
            remaining = [cause for cause in remaining if cause not in ones]
            merged.append(_joined(index, ones, shared, None))
    for burst in _target_bursts(index, remaining):
        remaining = [cause for cause in remaining if cause not in burst.causes]
        shared = f"{Blame.TARGET}:{target_label(index.estate, burst.target_id)}"
        merged.append(_joined(index, burst.causes, shared, None, burst.evidence))
    return [*merged, *remaining]


def _target_bursts(index: EstateIndex, causes: Sequence[Cause]) -> list[_TargetBurst]:
    """Bursts in the order of the targets' ids."""
    by_target: dict[int, list[Cause]] = {}
    for cause in causes:
        if cause.root is not None and cause.root.ended_at is not None:
            by_target.setdefault(index.job(cause.root.job_id).target_id, []).append(cause)
    if index.estate.failing is not None:
        by_target = {target_id: known for target_id, known in by_target.items() if target_id in index.estate.failing}
    bursts = (_burst(index, target_id, by_target[target_id]) for target_id in sorted(by_target))
    return [burst for burst in bursts if burst is not None]


def _burst(index: EstateIndex, target_id: int, causes: Sequence[Cause]) -> _TargetBurst | None:
    last = max(cause.since for cause in causes)
    near = [cause for cause in causes if last - cause.since <= SHARED_WITHIN]
    if len({cause.root.job_id for cause in near if cause.root is not None}) < BURST_JOBS:
        return None
    first = min(cause.since for cause in near)
    ended = [run for run in runs_on_target(index, target_id) if run.ended_at is not None and not run.state.is_open]
    meanwhile = [run for run in ended if first <= red_since(run) <= last]
    before = [run for run in ended if red_since(run) < first]
    red, red_before = _red(meanwhile), _red(before)
    if red < MOST * len(meanwhile) or len(before) < KNOWN or red_before > USUAL * len(before):
        return None
    span = format_duration(max(last - first, timedelta(seconds=1)).total_seconds())
    evidence = f"{red} of the {len(meanwhile)} runs that ended on it within {span} failed"
    return _TargetBurst(target_id, near, f"{evidence}; of the {len(before)} runs before, {red_before} had failed")


def _red(runs: Sequence[RunFacts]) -> int:
    return sum(run.state.is_red for run in runs)


def _blamed_by_many(index: EstateIndex, causes: Sequence[Cause]) -> set[str]:
    """Identities that enough red jobs blame, causes and symptoms: a symptom that reports it counts as well."""
    blamed: dict[str, set[tuple[int, datetime]]] = {}
    for run in (run for cause in causes for run in cause.red):
        resource = _resource(index, run)
        shared = run_identity(index.estate, run, resource) if resource is not None else ""
        if shared:
            blamed.setdefault(shared, set()).add((run.job_id, red_since(run)))
    return {shared for shared, red in blamed.items() if _is_burst(red)}


def blamed_identity(index: EstateIndex, cause: Cause) -> str:
    """Identity that the cause's root blames; empty if it blames none."""
    resource = _resource(index, cause.root)
    return run_identity(index.estate, cause.root, resource) if resource is not None and cause.root is not None else ""


def has_own_error(index: EstateIndex, cause: Cause, run: RunFacts) -> bool:
    """True for a symptom whose message or log names a cause, and another one than its root's. A further run of a
    root's job is not one."""
    is_symptom = run.job_id not in {root.job_id for root in cause.roots()}
    resource = _resource(index, run) if run.state.is_red and is_symptom else None
    identity = run_identity(index.estate, run, resource) if resource is not None else ""
    return bool(identity) and identity not in (cause.subject, blamed_identity(index, cause))


def _was_retried(index: EstateIndex, affected: Iterable[RunFacts], cause: Cause, shared: str) -> bool:
    """True if it started on good data and failed with another message; on a failing target, with any message, if it
    started after another job had recovered."""
    root = cause.root
    if root is None or root.started_at is None or index.is_stale(root):
        return False
    if identity_blame(shared) is not Blame.TARGET:
        return bool(root.message or root.tail) and blamed_identity(index, cause) != shared
    good = [at for run in affected if (at := index.freshness(run).good_at) is not None and not run.state.is_red]
    return bool(good) and root.started_at >= min(good)


def _is_burst(red: Iterable[tuple[int, datetime]]) -> bool:
    """True if enough different jobs turned red close together. `red`: job and since when."""
    ordered = sorted((since, job_id) for job_id, since in red)
    return any(
        len({job_id for since, job_id in ordered[place:] if since - start <= SHARED_WITHIN}) >= SHARED_JOBS
        for place, (start, _) in enumerate(ordered)
    )


def _belongs(index: EstateIndex, incident: IncidentFacts, cause: Cause) -> bool:
    if cause.root is None:
        return False
    if blamed_identity(index, cause) == incident.cause.shared or _fails_with(index, incident, cause):
        return True
    own = {run.id for run in cause.red if run.job_id == cause.root.job_id}
    affected = incident.affected_run_ids
    if not own & affected:
        return False
    runs = [run for run_id in affected if (run := index.run_by_id(run_id)) is not None]
    return not _was_retried(index, runs, cause, incident.cause.shared)


def _fails_with(index: EstateIndex, incident: IncidentFacts, cause: Cause) -> bool:
    root = cause.root
    if root is None or identity_blame(incident.cause.shared) is not Blame.TARGET:
        return False
    is_there = identity_name(incident.cause.shared) == target_label(index.estate, index.job(root.job_id).target_id)
    return is_there and abs(cause.since - incident.failed_since) <= SHARED_WITHIN


def _joined(
    index: EstateIndex, causes: Sequence[Cause], shared: str, incident_id: int | None, evidence: str = ""
) -> Cause:
    first = min(causes, key=lambda cause: cause.since)
    red = {(run.job_id, run.period_key): run for cause in causes for run in cause.red}
    evidence = evidence or _evidence(index, [cause for cause in causes if blamed_identity(index, cause) == shared])
    return SharedResource(
        first.business_date,
        first.since,
        tuple(red.values()),
        identity=shared,
        blaming=tuple(cause.root for cause in causes if cause.root is not None),
        evidence=evidence,
        incident_id=incident_id,
    )


def _evidence(index: EstateIndex, causes: Sequence[Cause]) -> str:
    """ "6 jobs on 2 systems failed within 4m with the same message: …"; empty for fewer than two."""
    roots = [cause.root for cause in causes if cause.root is not None]
    if len({run.job_id for run in roots}) < 2:
        return ""
    systems = {index.job(run.job_id).system for run in roots}
    span = max(map(red_since, roots)) - min(map(red_since, roots))
    first = min(causes, key=lambda cause: (cause.since, cause.root.job_id if cause.root else 0))
    resource = _resource(index, first.root)
    where = f"on {len(systems)} systems" if len(systems) > 1 else f"of {next(iter(systems))}"
    within = format_duration(max(span, timedelta(seconds=1)).total_seconds())
    text = resource.text if resource is not None else ""
    return f"{len({run.job_id for run in roots})} jobs {where} failed within {within} with the same message: {text}"


def _resource(index: EstateIndex, root: RunFacts | None) -> BlamedResource | None:
    if root is None:
        return None
    if (resource := resource_of_run(root)) is not None:
        return resource
    tasks = (run for task in failed_tasks(index, root) for run in index.runs.get(task.id, ()))
    resources = (resource_of_run(run) for run in tasks if run.period_key == root.period_key and run.state.is_red)
    return next(filter(None, resources), None)
