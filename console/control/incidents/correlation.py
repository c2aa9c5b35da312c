"""Correlation: which root cause or finding belongs to which open incident, and what was last notified of it.

One incident per cause; if two turn out to be one, the older stays, or that of a stopped scheduler. An open incident
continues with the cause that it was opened for; with the cause of which its root is a symptom after all; or, its root
repaired, with the followers that the root left red or stale: then the first of them is what people repair. It is
resolved when all of them are green, not while one is queued or running again. A follower that was tried again on the
repaired data and failed has a cause of its own: it is split off. It stays open while its plan runs, which verifies what
it affected.
A root that is red again soon after its incident closed reopens it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from console.control.incidents.causes import Cause, RuleFinding, cause_of_incident
from console.control.incidents.causes.cause import Ended
from console.control.incidents.causes.failed_run import settled
from console.control.incidents.run_effects import affected_runs, retried_runs, root_run_of, stale_runs
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import red_since, run_time
from console.domain.estate import IncidentFacts, PlanFacts, RunFacts
from console.domain.finding import DetectionRule, Finding
from console.domain.incident_record import IncidentFingerprint
from console.domain.policy import PendingRepair
from console.domain.run import CLOCK_SKEW


def add_evidence(index: EstateIndex, cases: Sequence[IncidentMatch], findings: Sequence[Finding]) -> None:
    """Adds the other findings of its broken jobs to each match, without missed starts and the finding that is its
    cause. A match whose cause is a finding gets the services that it feeds: they may have no deadline at risk yet."""
    for match in cases:
        match.feeds = _fed(index, match)
    by_job: dict[int, list[Finding]] = {}
    for finding in findings:
        if finding.rule is not DetectionRule.NOT_STARTED:
            by_job.setdefault(finding.job_id, []).append(finding)
    for match in cases if by_job else ():
        periods = {run.job_id: {""} for run in match.broken()}
        for run in match.broken():
            periods[run.job_id].add(run.period_key)
        match.evidence = tuple(
            finding
            for job_id in periods
            for finding in by_job.get(job_id, ())
            if finding.period_key in periods[job_id] and finding != cause_finding(match)
        )


def cause_finding(match: IncidentMatch) -> Finding | None:
    """The finding that is its cause."""
    return match.cause.finding if isinstance(match.cause, RuleFinding) else None


def _fed(index: EstateIndex, match: IncidentMatch) -> tuple[str, ...]:
    finding = cause_finding(match)
    if finding is None:
        return ()
    unit = index.graph.unit(finding.job_id)
    downstream = index.graph.descendants(unit) | {unit}
    return tuple(
        service.name
        for service in index.estate.services
        if any(index.graph.unit(terminal) in downstream for terminal in service.terminals)
    )


@dataclass(slots=True)
class IncidentMatch:
    """A cause with its incident; without one it is new."""

    incident: IncidentFacts | None
    cause: Cause
    place: int | None = None
    """Position of the cause among those found; None for one that was not found again."""
    stale: list[RunFacts] = field(default_factory=list)
    merges: tuple[IncidentFacts, ...] = ()
    ended: Ended | None = None
    """None while it is open."""
    reopened: bool = False
    """Its incident was closed."""
    split_from: int | None = None
    """Incident that a new cause was a part of, until it was tried again and failed by itself."""
    evidence: tuple[Finding, ...] = ()
    """Other findings about its root and the runs that it left red."""
    feeds: tuple[str, ...] = ()
    """Names of the services downstream of it, if its cause is a finding."""
    awaits: tuple[tuple[str, date], ...] = ()
    """Service days that it made late: its cause is resolved, and it stays open until they are delivered."""
    awaited_plan: PlanFacts | None = None
    """Its running plan: its cause is resolved, and it stays open until that is done."""
    unrepaired: RunFacts | None = None
    """The first red or stale run, once its root is repaired."""
    cause_moved_at: datetime | None = None
    """Since when that run is the cause; None without one, and while it is queued or running again."""
    closing: list[RunFacts] = field(default_factory=list)
    """The next starts that close it without a repair, upstreams first; empty if it needs one."""
    pending_repair: PendingRepair | None = None
    """The repair by a policy that is to come or in flight."""
    awaited_repair: PendingRepair | None = None
    """The repair by a policy whose outcome its notifications wait for."""

    @property
    def to_repair(self) -> RunFacts | None:
        """The root, or what it left broken, if it is repaired; None if its cause is not a run."""
        return self.unrepaired or self.cause.root

    @property
    def stays_with_endpoint(self) -> bool:
        """True if its incident is about a target already: about this one, or another at its endpoint."""
        return bool(self.cause.targets) and self.incident is not None and self.incident.cause.target_id is not None

    @property
    def recovered(self) -> bool:
        """True if it closes because it is green again, not because it is out of view."""
        return self.ended is not None and self.ended.is_recovered

    @property
    def is_repaired(self) -> bool:
        """True if its cause is resolved and it only waits, for a late service or for its plan."""
        return bool(self.awaits) or self.awaited_plan is not None

    @property
    def before(self) -> IncidentFingerprint | None:
        """Its incident as last notified; None for a new cause."""
        return self.incident.fingerprint if self.incident is not None else None

    @property
    def continued(self) -> IncidentFingerprint | None:
        """Its incident as last notified; None also for a reopened one, of which all is news again."""
        return self.before if not self.reopened else None

    def plan(self, index: EstateIndex) -> PlanFacts | None:
        """The recovery plan of its incident; None without one."""
        return index.estate.plans_by_incident.get(self.incident.id) if self.incident is not None else None

    def roots(self) -> list[RunFacts]:
        """Runs that nothing upstream explains any more."""
        return [self.unrepaired] if self.unrepaired is not None else self.cause.roots()

    def is_root_since(self, job_id: int, at: datetime) -> bool:
        """True if the job is a root, and the incident began before that instant."""
        is_root = any(root.job_id == job_id for root in self.cause.roots())
        return is_root and self.incident is not None and self.incident.failed_since < at

    def broken(self) -> list[RunFacts]:
        """The root and every red or stale run, each once."""
        runs = [*([self.cause.root] if self.cause.root is not None else []), *self.cause.red, *self.stale]
        return list({(run.job_id, run.period_key): run for run in runs}.values())


def match_incidents(
    index: EstateIndex, causes: Sequence[Cause], explained: Mapping[int, int] | None = None
) -> list[IncidentMatch]:
    """Every open incident and every new cause, once each; open incidents first, oldest first. `explained`: incidents
    about lost service days -> the position of the cause that explains them."""
    owners: dict[int, list[IncidentFacts]] = {place: [] for place in range(len(causes))}
    free: list[IncidentFacts] = []
    split_from: dict[int, int] = {}
    for incident in sorted(index.estate.incidents, key=lambda known: (known.opened_at, known.id)):
        split_from |= _parted(index, incident, causes)
        place = _same_cause(index, incident, causes, explained or {})
        (free if place is None else owners[place]).append(incident)
    matches: list[IncidentMatch] = []
    for incident in free:
        unclaimed = {place: causes[place] for place, owned in owners.items() if not owned}
        unclaimed = {place: cause for place, cause in unclaimed.items() if not isinstance(cause, RuleFinding)}
        followers = _followers(index, incident, unclaimed)
        retried = [place for place in followers if _was_retried(index, incident, causes[place])]
        split_from |= dict.fromkeys(retried, incident.id)
        followers = [place for place in followers if place not in retried]
        known = {place: causes[place] for place in owners if place not in split_from}
        explaining = None if followers or retried else _explained_by(index, incident, known)
        for place in followers:
            del owners[place]
        if explaining is not None:
            owners[explaining].append(incident)
        else:
            cause = cause_of_incident(index, incident, [run for place in followers for run in causes[place].red])
            matches.append(IncidentMatch(incident, cause, ended=cause.ended(index, incident)))
    before = _ClosedIncidents(index)
    matches += [
        _incident_match(index, causes[place], place, held, split_from.get(place), before)
        for place, held in owners.items()
    ]
    for match in matches:
        _await_plan(index, match)
        match.stale = stale_runs(index, match.cause, match.incident)
        _set_unrepaired(index, match)
    return sorted(matches, key=_age)


PLAN_WAIT = timedelta(hours=12)


def _await_plan(index: EstateIndex, match: IncidentMatch) -> None:
    """Keeps a resolved one about a run open while its plan runs, at most for `PLAN_WAIT`. A plan that a person has to
    resume is named at its end."""
    plan, root = match.plan(index), match.cause.root
    if not match.recovered or plan is None or root is None or plan.state != "running" or plan.is_outdated:
        return
    if root.ended_at is None or index.now < root.ended_at + PLAN_WAIT:
        match.awaited_plan, match.ended = plan, None


def _set_unrepaired(index: EstateIndex, match: IncidentMatch) -> None:
    """Sets the first run that its roots left red or stale and that is not good yet, upstreams first, if all of them
    are repaired."""
    roots, incident = match.cause.roots(), match.incident
    if incident is None or match.ended or match.cause.rule or incident.cause.rule:
        return
    if not roots or not all(settled(index, root) for root in roots):
        return
    affected = affected_runs(index, incident)
    repaired = {run.job_id: at for run in [*affected, *roots] if (at := index.repaired_at(run)) is not None}
    stale = (run for run in match.stale if _read_before(index, run, repaired))
    broken = {run.job_id: run for run in [*retried_runs(index, incident), *stale, *match.cause.red]}
    run = next((broken[job_id] for job_id in index.graph.ordered(broken)), None)
    if run is not None and not run.state.is_open:
        above = index.graph.ancestors(index.graph.unit(run.job_id)) & repaired.keys()
        times = [repaired[job_id] for job_id in above] + ([red_since(run)] if run.state.is_red else [])
        match.cause_moved_at = max(times, default=None)
    match.unrepaired = run


def _read_before(index: EstateIndex, run: RunFacts, repaired: Mapping[int, datetime]) -> bool:
    """True if the run started before one of these upstreams was repaired. `repaired`: job id -> when. Clock skew is not
    accepted: the run is known to have read old data."""
    upstream = index.graph.ancestors(index.graph.unit(run.job_id)) & repaired.keys()
    return any(run.started_at is None or run.started_at < repaired[job_id] for job_id in upstream)


REOPEN_WITHIN = timedelta(hours=2)
"""The same root red again this soon after its incident closed reopens it."""


class _ClosedIncidents:
    """Recently closed incidents, each of which one cause may reopen."""

    def __init__(self, index: EstateIndex) -> None:
        self._index = index
        self._left = sorted(index.estate.closed, key=lambda incident: (incident.closed_at or index.now, incident.id))

    def reopened_by(self, cause: Cause) -> IncidentFacts | None:
        """The incident that closed last with the same root, shortly before the cause; returned once."""
        soon = (incident for incident in self._left if self._is_soon(incident, cause))
        incidents = [incident for incident in soon if cause.reopens(self._index, incident)]
        if incidents:
            self._left.remove(incidents[-1])
        return incidents[-1] if incidents else None

    def split_origin_of(self, cause: Cause) -> int | None:
        """The incident that closed last of those that affected this run."""
        incidents = [incident for incident in self._left if cause.root is not None and self._is_soon(incident, cause)]
        incidents = [incident for incident in incidents if cause.root and cause.root.id in incident.affected_run_ids]
        return incidents[-1].id if incidents else None

    def _is_soon(self, incident: IncidentFacts, cause: Cause) -> bool:
        return incident.closed_at is not None and cause.since - incident.closed_at < REOPEN_WITHIN


def _with_retried_root(index: EstateIndex, incident: IncidentFacts, cause: Cause) -> Cause:
    """The cause of an open incident: while a later run of its job is tried again, not an older failure."""
    later, root = root_run_of(index, incident), cause.root
    if later is None or root is None or later.job_id != root.job_id or not later.state.is_open:
        return cause
    return replace(cause, root=later) if run_time(later) > run_time(root) else cause


def _incident_match(
    index: EstateIndex,
    cause: Cause,
    place: int,
    owners: Sequence[IncidentFacts],
    split_from: int | None,
    before: _ClosedIncidents,
) -> IncidentMatch:
    """The oldest of the incidents continues with the cause, of a stopped scheduler that of the scheduler; the others
    are merged into it. Without one it is the incident that the cause reopens, or a new one."""
    ordered = sorted(owners, key=lambda owner: (_is_of_missed_start(cause, owner), owner.opened_at, owner.id))
    if ordered:
        cause = _with_retried_root(index, ordered[0], cause)
        return IncidentMatch(ordered[0], cause, place, merges=tuple(ordered[1:]))
    incident = before.reopened_by(cause)
    if incident is not None:
        return IncidentMatch(incident, cause, place, reopened=True)
    split_from = before.split_origin_of(cause) if split_from is None else split_from
    return IncidentMatch(None, cause, place, split_from=split_from)


def _is_of_missed_start(cause: Cause, incident: IncidentFacts) -> bool:
    """True for the incident of a job whose later starts a stopped scheduler misses: its symptom."""
    return cause.starts_nothing and incident.cause.target_id is None


def _same_cause(
    index: EstateIndex, incident: IncidentFacts, causes: Sequence[Cause], explained: Mapping[int, int]
) -> int | None:
    """Position of the cause with the incident's own root, else of the one in which its root is a symptom."""
    for place, cause in enumerate(causes):
        if explained.get(incident.id) == place or cause.is_same(index, incident):
            return place
    root = incident.cause.job_id, incident.cause.business_date
    return next((place for place, cause in enumerate(causes) if cause.holds(*root)), None)


def _followers(index: EstateIndex, incident: IncidentFacts, causes: Mapping[int, Cause]) -> list[int]:
    root = root_run_of(index, incident)
    if root is None:
        return []
    affected = {run.id for run in affected_runs(index, incident)}
    downstream = index.graph.descendants(root.job_id)
    return [
        place
        for place, cause in causes.items()
        if cause.root is not None
        and cause.business_date == incident.cause.business_date
        and (cause.root.id in affected or (cause.root.job_id in downstream and index.is_stale(cause.root)))
    ]


def _was_retried(index: EstateIndex, incident: IncidentFacts, cause: Cause) -> bool:
    """True for a follower that failed after it started again when all its inputs were good, the incident's root too."""
    root, red = root_run_of(index, incident), cause.root
    good_at = index.freshness(root).good_at if root is not None else None
    if red is None or red.started_at is None or good_at is None or index.is_stale(red):
        return False
    return red.started_at + CLOCK_SKEW >= good_at


def _explained_by(index: EstateIndex, incident: IncidentFacts, causes: Mapping[int, Cause]) -> int | None:
    if incident.cause.target_id is not None:
        return None
    affected = {run.id for run in affected_runs(index, incident)}
    return next((place for place, cause in causes.items() if affected & {run.id for run in cause.red}), None)


def _parted(index: EstateIndex, incident: IncidentFacts, causes: Sequence[Cause]) -> dict[int, int]:
    affected = incident.affected_run_ids
    if not incident.cause.shared:
        return {}
    places = (place for place, cause in enumerate(causes) if cause.root is not None and cause.root.id in affected)
    return dict.fromkeys(places, incident.id)


def _age(match: IncidentMatch) -> tuple[bool, datetime, int]:
    if match.incident is None:
        return True, match.cause.since, 0
    return False, match.incident.opened_at, match.incident.id


MAX_ERRORS = 3
"""Different errors of one job, and further causes, that an incident notifies of: more are not news, else messages that
always differ would notify without end."""
MOVE_WAIT = timedelta(minutes=5)
"""How long another job is the cause before that is notified: a plan, or the user who repaired the root, restarts it
sooner."""
