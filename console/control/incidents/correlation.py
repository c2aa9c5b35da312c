"""Correlation: which root cause or finding belongs to which open incident, and what was last notified of it.

One incident per cause; if two turn out to be one, the older stays. An open incident continues with the cause that
it was opened for; with the cause of which its root is a symptom after all; or, its root repaired, with the
followers that the root left red or stale: then the first of them is what people repair. It is resolved when all of them
are green, not while one is queued or running again. A follower that was tried again on the repaired data and failed has
a cause of its own: it is split off. It stays open while its plan runs, which verifies what it affected.
A root that is red again soon after its incident closed reopens it.

Findings that notify, and that no red run, failing target or upstream's finding explains, are causes of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from connectors.sdk.states import RunEvidence, RunState
from console.control.detection.rule_input import run_for_finding
from console.control.detection.rules import current_findings
from console.control.incidents.repair import repair_length, requested_repair
from console.control.incidents.root_cause import RootCause, runs_on_target, stale_below
from console.control.snapshot.checks import ENOUGH
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.reachability import endpoint_key
from console.control.snapshot.runs import CLOCK_SKEW, red_since, run_time
from console.domain.estate import IncidentFacts, PlanFacts, RunFacts, TargetFacts
from console.domain.finding import DetectionRule, Finding, FindingSeverity
from console.domain.incident import GREEN_AGAIN, LATER_RUN_GOOD, FailureError
from console.domain.service import UNMET_PROMISE
from console.timing.formats import rough_duration


def causes_from_findings(
    index: EstateIndex, groups: Sequence[RootCause], known_findings: Sequence[Finding] | None = None
) -> list[RootCause]:
    """The groups, and after them one for each job with a finding to notify of; upstreams first. `known_findings`: the
    current findings, if known."""
    findings = current_findings(index).findings if known_findings is None else known_findings
    alerts = _alerts(index, findings)
    jobs = {run.job_id for group in groups for run in group.red}
    jobs |= {group.root.job_id for group in groups if group.root is not None}
    broken = {index.graph.unit(job) for job in jobs}
    sick = {target.id for group in groups for target in group.targets}
    units = {job.id for job in index.estate.jobs.values() if job.target_id in sick} if sick else set()
    units = {index.graph.unit(unit) for unit in units} | broken
    explained = units.union(*(index.graph.descendants(unit) for unit in units))
    notified = {incident.root_job_id for incident in index.estate.incidents if incident.rule not in ("", UNMET_PROMISE)}
    causes = list(groups)
    for unit in index.graph.ordered(alerts):
        is_continued = alerts[unit].job_id in notified and unit not in broken
        if unit not in explained or is_continued:
            finding = alerts[unit]
            runs = index.runs.get(finding.job_id, ())
            root = next((run for run in runs if run.period_key == finding.period_key and finding.period_key), None)
            root = root or run_for_finding(finding)
            causes.append(RootCause(finding.business_date, finding.since, root, None, finding=finding))
        explained |= index.graph.descendants(unit)
    return causes


def _alerts(index: EstateIndex, findings: Sequence[Finding]) -> dict[int, Finding]:
    """The finding to notify of, by job: that of its open incident while it holds, else the first. Otherwise a second
    rule would close the incident of a finding that still holds."""
    notified = {(incident.root_job_id, incident.rule) for incident in index.estate.incidents}
    alerts: dict[int, Finding] = {}
    for finding in findings:
        if finding.severity is FindingSeverity.ALERT:
            unit = index.graph.unit(finding.job_id)
            before = alerts.setdefault(unit, finding)
            if (finding.job_id, finding.rule) in notified and (before.job_id, before.rule) not in notified:
                alerts[unit] = finding
    return alerts


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
            if finding.period_key in periods[job_id] and finding != match.group.finding
        )


def _fed(index: EstateIndex, match: IncidentMatch) -> tuple[str, ...]:
    if match.group.finding is None:
        return ()
    unit = index.graph.unit(match.group.finding.job_id)
    downstream = index.graph.descendants(unit) | {unit}
    return tuple(
        service.name
        for service in index.estate.services
        if any(index.graph.unit(terminal) in downstream for terminal in service.terminals)
    )


UNWATCHED = "it is watched no more: the config names it no longer"


@dataclass(slots=True)
class IncidentMatch:
    """A cause with its incident; without one it is new."""

    incident: IncidentFacts | None
    group: RootCause
    stale: list[RunFacts] = field(default_factory=list)
    merges: tuple[IncidentFacts, ...] = ()
    close_reason: str = ""
    """Empty while it is open."""
    reopened: bool = False
    """Its incident was closed."""
    split_from: int | None = None
    """Incident that a new cause was a part of, until it was tried again and failed by itself."""
    evidence: tuple[Finding, ...] = ()
    """Other findings about its root and the runs that it left red."""
    feeds: tuple[str, ...] = ()
    """Names of the services downstream of it, if its cause is a finding."""
    recovered: bool = False
    """True if it closes because it is green again, not because it is out of view."""
    awaits: tuple[tuple[str, date], ...] = ()
    """Service days that it made late: its cause is resolved, and it stays open until they are delivered."""
    awaited_plan: PlanFacts | None = None
    """Its running plan: its cause is resolved, and it stays open until that is done."""
    superseded: list[RunFacts] = field(default_factory=list)
    """Runs that failed on its target while that was unreachable, and were superseded before it was seen again."""
    unrepaired: RunFacts | None = None
    """The first red or stale run, once its root is repaired."""
    cause_moved_at: datetime | None = None
    """Since when that run is the cause; None without one, and while it is queued or running again."""
    closing: list[RunFacts] = field(default_factory=list)
    """The next starts that close it without a repair, upstreams first; empty if it needs one."""

    @property
    def to_repair(self) -> RunFacts | None:
        """The root, or what it left broken, if it is repaired; None if its cause is not a run."""
        return self.unrepaired or self.group.root

    @property
    def stays_with_endpoint(self) -> bool:
        """True if its incident is about a target already: about this one, or another at its endpoint."""
        return self.group.target is not None and self.incident is not None and self.incident.root_target_id is not None

    @property
    def is_repaired(self) -> bool:
        """True if its cause is resolved and it only waits, for a late service or for its plan."""
        return bool(self.awaits) or self.awaited_plan is not None

    def roots(self) -> list[RunFacts]:
        """Runs that nothing upstream explains any more."""
        return [self.unrepaired] if self.unrepaired is not None else self.group.roots()

    def is_root_since(self, job_id: int, at: datetime) -> bool:
        """True if the job is a root, and the incident began before that instant."""
        is_root = any(root.job_id == job_id for root in self.group.roots())
        return is_root and self.incident is not None and self.incident.failed_since < at

    def broken(self) -> list[RunFacts]:
        """The root and every red or stale run, each once."""
        runs = [*([self.group.root] if self.group.root is not None else []), *self.group.red, *self.stale]
        return list({(run.job_id, run.period_key): run for run in runs}.values())


def match_incidents(index: EstateIndex, groups: Sequence[RootCause]) -> list[IncidentMatch]:
    """Every open incident and every new cause, once each; open incidents first, oldest first."""
    owners: dict[int, list[IncidentFacts]] = {place: [] for place in range(len(groups))}
    free: list[IncidentFacts] = []
    split_from: dict[int, int] = {}
    for incident in sorted(index.estate.incidents, key=lambda known: (known.opened_at, known.id)):
        split_from |= _parted(index, incident, groups)
        place = _same_cause(index, incident, groups)
        (free if place is None else owners[place]).append(incident)
    matches: list[IncidentMatch] = []
    for incident in free:
        unclaimed = {place: groups[place] for place, owned in owners.items() if not owned}
        unclaimed = {place: group for place, group in unclaimed.items() if group.finding is None}
        followers = _followers(index, incident, unclaimed)
        retried = [place for place in followers if _was_retried(index, incident, groups[place])]
        split_from |= dict.fromkeys(retried, incident.id)
        followers = [place for place in followers if place not in retried]
        known = {place: groups[place] for place in owners if place not in split_from}
        explaining = None if followers or retried else _explained_by(index, incident, known)
        for place in followers:
            del owners[place]
        if explaining is not None:
            owners[explaining].append(incident)
        else:
            matches.append(_going_on(index, incident, [run for place in followers for run in groups[place].red]))
    before = _ClosedIncidents(index)
    matches += [
        _incident_match(index, groups[place], held, split_from.get(place), before) for place, held in owners.items()
    ]
    for match in matches:
        _await_plan(index, match)
        match.stale = _stale(index, match)
        _set_unrepaired(index, match)
    return sorted(matches, key=_age)


PLAN_WAIT = timedelta(hours=12)


def _await_plan(index: EstateIndex, match: IncidentMatch) -> None:
    """Keeps a resolved one about a run open while its plan runs, at most for `PLAN_WAIT`. A plan that a person has to
    resume is named at its end."""
    plan = index.estate.plans_by_incident.get(match.incident.id) if match.incident is not None else None
    root = match.group.root if match.group.target is None and not match.group.check else None
    if not match.recovered or plan is None or root is None or plan.state != "running" or plan.is_outdated:
        return
    if root.ended_at is None or index.now < root.ended_at + PLAN_WAIT:
        match.awaited_plan, match.close_reason, match.recovered = plan, "", False


def _set_unrepaired(index: EstateIndex, match: IncidentMatch) -> None:
    """Sets the first run that its roots left red or stale and that is not good yet, upstreams first, if all of them
    are repaired."""
    roots, incident = match.group.roots(), match.incident
    if incident is None or match.close_reason or match.group.rule or incident.rule:
        return
    if not roots or not all(_settled(index, root) for root in roots):
        return
    affected = affected_runs(index, incident)
    repaired = {run.job_id: at for run in [*affected, *roots] if (at := index.repaired_at(run)) is not None}
    stale = (run for run in match.stale if _read_before(index, run, repaired))
    broken = {run.job_id: run for run in [*_retried(index, incident), *stale, *match.group.red]}
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


class _ClosedIncidents:
    """Recently closed incidents, each of which one cause may reopen."""

    def __init__(self, index: EstateIndex) -> None:
        self._within = index.estate.declared.incidents.reopen_within
        self._targets = index.estate.targets
        self._left = sorted(index.estate.closed, key=lambda incident: (incident.closed_at or index.now, incident.id))

    def reopened_by(self, group: RootCause) -> IncidentFacts | None:
        """The incident that closed last with the same root, shortly before the cause; returned once."""
        soon = (incident for incident in self._left if self._is_soon(incident, group))
        incidents = [incident for incident in soon if _same_root(self._targets, incident, group)]
        if incidents:
            self._left.remove(incidents[-1])
        return incidents[-1] if incidents else None

    def split_origin_of(self, group: RootCause) -> int | None:
        """The incident that closed last of those that affected this run."""
        incidents = [incident for incident in self._left if group.root is not None and self._is_soon(incident, group)]
        incidents = [
            incident for incident in incidents if group.root and group.root.id in (incident.affected_run_ids or ())
        ]
        return incidents[-1].id if incidents else None

    def _is_soon(self, incident: IncidentFacts, group: RootCause) -> bool:
        return incident.closed_at is not None and group.since - incident.closed_at < self._within


def _same_root(targets: Mapping[int, TargetFacts], incident: IncidentFacts, group: RootCause) -> bool:
    if group.target is not None:
        return group.is_about(targets.get(incident.root_target_id or 0))
    if group.shared or group.check:
        known = (incident.shared, incident.root_check, incident.business_date)
        return (group.shared, group.check, group.business_date) == known
    return group.root is not None and (group.root.job_id, group.rule) == (incident.root_job_id, incident.rule)


def _retried_root(index: EstateIndex, incident: IncidentFacts, root: RunFacts | None) -> RunFacts | None:
    """The root of an open incident: while its later run is tried again, not an older failure of that job."""
    later = root_run_of(index, incident)
    if later is None or root is None or later.job_id != root.job_id or not later.state.is_open:
        return root
    return later if run_time(later) > run_time(root) else root


def _incident_match(
    index: EstateIndex,
    group: RootCause,
    owners: Sequence[IncidentFacts],
    split_from: int | None,
    before: _ClosedIncidents,
) -> IncidentMatch:
    """The oldest of the incidents continues with the cause, the others are merged into it; without one it is the
    incident that the cause reopens, or a new one."""
    ordered = sorted(owners, key=lambda owner: (owner.opened_at, owner.id))
    if ordered:
        group.root = _retried_root(index, ordered[0], group.root)
        return IncidentMatch(ordered[0], group, merges=tuple(ordered[1:]))
    incident = before.reopened_by(group)
    if incident is not None:
        return IncidentMatch(incident, group, reopened=True)
    return IncidentMatch(None, group, split_from=before.split_origin_of(group) if split_from is None else split_from)


def root_run_of(index: EstateIndex, incident: IncidentFacts) -> RunFacts | None:
    """The incident's root run; None for a target, or if it is out of view."""
    runs = index.runs.get(incident.root_job_id or 0, ())
    return next((run for run in runs if run.period_key == incident.root_period_key), None)


def affected_runs(index: EstateIndex, incident: IncidentFacts) -> list[RunFacts]:
    """Current state of the runs that were notified as root, red, stale or repaired."""
    runs = map(index.run_by_id, sorted(_known_run_ids(incident)))
    return [run for run in runs if run is not None]


def _retried(index: EstateIndex, incident: IncidentFacts) -> list[RunFacts]:
    """Its affected runs that are queued or running again."""
    return [run for run in affected_runs(index, incident) if run.state.is_open]


def _is_unproven(index: EstateIndex, incident: IncidentFacts) -> bool:
    """True while an open run that affected runs read is out of reach. An unseen run makes no downstream stale."""
    affected = affected_runs(index, incident)
    units = {index.graph.unit(run.job_id) for run in affected}
    last = max((run.business_date for run in affected), default=incident.business_date)
    return any(
        index.is_unseen(index.job(job_id))
        and any(run.state.is_open and run.business_date <= last for run in index.runs.get(job_id, ()))
        for job_id in units.union(*map(index.graph.ancestors, units))
    )


def _known_run_ids(incident: IncidentFacts) -> frozenset[int]:
    return incident.member_run_ids if incident.affected_run_ids is None else incident.affected_run_ids


def _same_cause(index: EstateIndex, incident: IncidentFacts, groups: Sequence[RootCause]) -> int | None:
    """Position of the group with the incident's own root, else of the one in which its root is a symptom."""
    if incident.shared:
        return next((place for place, group in enumerate(groups) if group.incident_id == incident.id), None)
    root_target = index.estate.targets.get(incident.root_target_id or 0)
    for place, group in enumerate(groups):
        if incident.id in group.explains:
            return place
        if group.is_about(root_target):
            return place
        if group.check and (group.check, group.business_date) == (incident.root_check, incident.business_date):
            return place
        is_same = group.business_date == incident.business_date
        is_same = is_same or (group.finding is not None and group.finding.rule == incident.rule)
        if group.root is not None and group.root.job_id == incident.root_job_id and is_same:
            return place
    if incident.root_target_id is not None:
        return None
    root = incident.root_job_id, incident.business_date
    return next((place for place, group in enumerate(groups) if group.holds(*root)), None)


def _followers(index: EstateIndex, incident: IncidentFacts, groups: Mapping[int, RootCause]) -> list[int]:
    root = root_run_of(index, incident)
    if root is None:
        return []
    affected = {run.id for run in affected_runs(index, incident)}
    downstream = index.graph.descendants(root.job_id)
    return [
        place
        for place, group in groups.items()
        if group.root is not None
        and group.business_date == incident.business_date
        and (group.root.id in affected or (group.root.job_id in downstream and index.is_stale(group.root)))
    ]


def _was_retried(index: EstateIndex, incident: IncidentFacts, group: RootCause) -> bool:
    """True for a follower that failed after it started again when all its inputs were good, the incident's root too."""
    root, red = root_run_of(index, incident), group.root
    good_at = index.freshness(root).good_at if root is not None else None
    if red is None or red.started_at is None or good_at is None or index.is_stale(red):
        return False
    return red.started_at + CLOCK_SKEW >= good_at


def _explained_by(index: EstateIndex, incident: IncidentFacts, groups: Mapping[int, RootCause]) -> int | None:
    if incident.root_target_id is not None:
        return None
    affected = {run.id for run in affected_runs(index, incident)}
    return next((place for place, group in groups.items() if affected & {run.id for run in group.red}), None)


def _going_on(index: EstateIndex, incident: IncidentFacts, red: list[RunFacts]) -> IncidentMatch:
    if incident.root_target_id is not None:
        target = index.estate.targets.get(incident.root_target_id or 0)
        match = IncidentMatch(incident, RootCause(incident.business_date, incident.failed_since, None, target))
        if target is None:
            match.close_reason = UNWATCHED
        elif target.failing_since is None:
            match.close_reason, match.recovered = "it works again", True
            match.superseded = _superseded_unseen(index, incident, target)
        return match
    if incident.root_check:
        group = RootCause(incident.business_date, incident.failed_since, None, None, [], incident.root_check)
        known = index.estate.checks.get((incident.root_check, incident.business_date))
        if known is not None and known.last.state in ENOUGH:
            return IncidentMatch(incident, group, close_reason=f"it passes: {known.last.text}", recovered=True)
        return IncidentMatch(incident, group, close_reason="no service waits for it")
    if incident.shared:
        return _shared_over(index, incident)
    root = root_run_of(index, incident)
    match = IncidentMatch(incident, RootCause(incident.business_date, incident.failed_since, root, None, red))
    if incident.rule and not red and not _stale(index, match) and not (root is not None and root.state.is_red):
        match.close_reason, match.recovered = "the finding no longer holds", True
    elif root is None:
        match.close_reason = _out_of_view(index, incident)
    elif not red and not _stale(index, match) and not _retried(index, incident) and not _is_unproven(index, incident):
        match.close_reason = _settled(index, root)
        match.recovered = bool(match.close_reason)
        if match.close_reason == LATER_RUN_GOOD:
            symptoms = (run for run in affected_runs(index, incident) if run.job_id != root.job_id)
            if repairs := {requested_repair(index, run, is_verified=True) for run in symptoms} - {""}:
                match.close_reason += f"; affected runs {', '.join(sorted(repairs))}"
    return match


def _superseded_unseen(index: EstateIndex, incident: IncidentFacts, target: TargetFacts) -> list[RunFacts]:
    """Red runs at the endpoint of the target since the incident began that no incident has had, and that a later run
    superseded."""
    known = frozenset[int]().union(
        *(_known_run_ids(facts) for facts in (*index.estate.incidents, *index.estate.closed))
    )
    return [
        run
        for near in index.estate.targets.values()
        if endpoint_key(near) == endpoint_key(target)
        for run in runs_on_target(index, near.id)
        if run.state.is_red
        and red_since(run) >= incident.failed_since
        and run.id not in known
        and index.is_superseded(run)
    ]


def _settled(index: EstateIndex, root: RunFacts) -> str:
    """Why the run is settled; empty if it is not."""
    if index.is_excused(root):
        return "the new schedule is accepted: no run is missing"
    by, took = requested_repair(index, root), repair_length(index, root)
    how = f" ({by}{f', ran {rough_duration(took)}' if took is not None else ''})" if by else ""
    if index.is_green(root):
        if root.evidence is RunEvidence.ASSERTED:
            return f"{by or 'marked OK by a person'}, and no affected run is red or stale"
        return f"{GREEN_AGAIN}{how}, with all affected runs"
    if root.state is RunState.SKIPPED and root.evidence is RunEvidence.ASSERTED:
        return f"{by or 'skipped by a person'}, and no affected run is red or stale"
    if not index.is_superseded(root):
        return ""
    return f"{GREEN_AGAIN}{how}, with all affected runs" if by else LATER_RUN_GOOD


MAX_RED = 3
"""Jobs that are still red, as a reason names them."""


def _shared_over(index: EstateIndex, incident: IncidentFacts) -> IncidentMatch:
    """Match of a shared root without red runs: closed once its runs are good. A run that is red now has a cause of
    its own."""
    runs = affected_runs(index, incident)
    affected = [run for run in runs if not index.is_red_now(run)]
    red = list(dict.fromkeys(index.name(run.job_id) for run in runs if index.is_red_now(run)))
    group = RootCause(
        incident.business_date, incident.failed_since, None, None, shared=incident.shared, causes=affected
    )
    match = IncidentMatch(incident, group)
    if not affected:
        match.close_reason = _out_of_view(index, incident)
    elif all(_settled(index, run) for run in affected) and not _stale(index, match):
        names = f"{', '.join(red[:MAX_RED])}{f' and {len(red) - MAX_RED} more' if len(red) > MAX_RED else ''}"
        match.close_reason = f"its other jobs recovered; still red: {names}" if red else "all its jobs recovered"
        match.recovered = True
    return match


def _parted(index: EstateIndex, incident: IncidentFacts, groups: Sequence[RootCause]) -> dict[int, int]:
    affected = incident.affected_run_ids or frozenset()
    if not incident.shared:
        return {}
    places = (place for place, group in enumerate(groups) if group.root is not None and group.root.id in affected)
    return dict.fromkeys(places, incident.id)


def _out_of_view(index: EstateIndex, incident: IncidentFacts) -> str:
    if incident.root_job_id not in index.estate.jobs and not incident.shared:
        return UNWATCHED
    hours = index.estate.settings.lookback.total_seconds() / 3600
    return f"out of view: its root is older than {hours:.0f} h and was not seen green"


def _stale(index: EstateIndex, match: IncidentMatch) -> list[RunFacts]:
    """Runs that the cause left stale and that still are; upstreams first."""
    job_ids = [run.job_id for run in match.group.red]
    job_ids += [match.group.root.job_id] if match.group.root is not None else []
    notified = affected_runs(index, match.incident) if match.incident is not None else []
    # A red run has a cause of its own; a stale one is a cause only where its own cause is part of this incident.
    job_ids += [run.job_id for run in notified if not index.is_red_now(run) and not index.is_stale(run)]
    days = sorted({match.group.business_date, *(run.business_date for run in match.group.causes)})
    while True:
        stale = [run for business_date in days for run in stale_below(index, job_ids, business_date)]
        looped = {run.job_id for run in stale}.difference(job_ids)
        if not looped:
            return stale
        job_ids += sorted(looped)  # a loop leads back to its first jobs


def _age(match: IncidentMatch) -> tuple[bool, datetime, int]:
    if match.incident is None:
        return True, match.group.since, 0
    return False, match.incident.opened_at, match.incident.id


NEW, KNOWN = "new", "known"
MAX_ERRORS = 3
"""Different errors of one job, and further causes, that an incident notifies of: more are not news, else messages that
always differ would notify without end."""
MOVE_WAIT = timedelta(minutes=5)
"""How long another job is the cause before that is notified: a plan, or the user who repaired the root, restarts it
sooner."""
ServiceDayKey = tuple[str, date]
"""A service day: service name and business date."""


class KnownFailure(NamedTuple):
    """A way in which a job of an incident failed."""

    job: str
    state: str
    exit_code: int | None
    message: str
    succeeded_at: str
    """The last success of the job before it failed; empty if unknown."""

    @property
    def error(self) -> FailureError:
        return FailureError(self.exit_code, self.message)

    def differs_from(self, failure: KnownFailure) -> bool:
        return self.state != failure.state or self.error.differs_from(failure.error)


class JobErrors(NamedTuple):
    """A job that failed with more than one error, or again after a success, or a symptom with an error of its own."""

    job: str
    notified: int
    """Number of failures, at most `MAX_ERRORS`; 1 for the own error of a symptom."""
    after_success: bool
    """True if the job had succeeded before the last of them."""
    is_known: bool = False
    """True if the last of them has an error that was notified before."""

    @property
    def is_own(self) -> bool:
        return self.notified == 1

    @property
    def kind(self) -> tuple[bool, bool, bool]:
        return self.after_success, self.is_known, self.is_own


class ServiceActBy(NamedTuple):
    """Until when a restart saves a service."""

    service: str
    business_date: date
    act_by: datetime


@dataclass(frozen=True, slots=True)
class LastNotification:
    """Content of an incident's fingerprint."""

    root: str
    services: frozenset[ServiceDayKey]
    closed: bool
    in_shadow: tuple[str, ...] = ()
    """Routes in shadow: they are notified once it ends."""
    quiet: str = ""
    """Suppressed by a maintenance: "new", if nothing was notified; "known", if only later changes were not."""
    errors: tuple[JobErrors, ...] = ()
    failures: tuple[KnownFailure, ...] = ()
    """Failures of each job, different or after a success, oldest first: those notified, and the first that is not."""
    causes: tuple[str, ...] = ()
    """Jobs left to repair after the root, in the order in which they became the cause; at most `MAX_ERRORS`."""
    act_bys: tuple[ServiceActBy, ...] = ()
    """Until when the restart saves each service, as the route was notified of it."""
    repaired: bool = False
    """Its plan has repaired the cause, and goes on with all services safe."""
    heals: bool = False
    """It needed no repair so far: its next starts close it."""

    def text(self) -> str:
        days = sorted((name, business_date.isoformat()) for name, business_date in self.services)
        act_bys = [(name, business_date.isoformat(), at.isoformat()) for name, business_date, at in self.act_bys]
        known = [self.errors, self.failures, self.causes, act_bys, self.repaired, self.heals]
        optional = [sorted(self.in_shadow), self.quiet, *known]
        while optional and not optional[-1]:
            optional.pop()
        return json.dumps([self.root, days, self.closed, *optional], separators=(",", ":"))

    def news(self) -> LastNotification:
        """The content without routes in shadow, known failures and act-bys: they alone cause no notification."""
        return LastNotification(
            self.root,
            self.services,
            self.closed,
            errors=self.errors,
            causes=self.causes,
            repaired=self.repaired,
            heals=self.heals,
        )

    def new_errors(self, before: LastNotification) -> list[JobErrors]:
        return [error for error in self.errors if error not in before.errors]


def last_notification_of(match: IncidentMatch) -> LastNotification | None:
    """Content of the last notification; None for a new cause."""
    return notified_content(match.incident.fingerprint) if match.incident is not None else None


def notified_content(fingerprint: str) -> LastNotification:
    """The content; empty for an unreadable fingerprint, as that of business text."""
    try:
        return parse_last_notification(fingerprint)
    except (ValueError, TypeError):
        return LastNotification("", frozenset(), False)


def parse_last_notification(fingerprint: str) -> LastNotification:
    """Reads the result of `LastNotification.text`. Raises ValueError or TypeError for anything else."""
    root, days, closed, *rest = json.loads(fingerprint)
    notified = frozenset((name, date.fromisoformat(business_date)) for name, business_date in days)
    optional: list[Any] = [[], "", [], [], [], [], False, False]
    optional[: len(rest)] = rest
    shadow, quiet, errors, failures, causes, act_bys, repaired, heals = optional
    return LastNotification(
        root,
        notified,
        bool(closed),
        tuple(shadow),
        str(quiet),
        tuple(JobErrors(*error) for error in errors),
        tuple(KnownFailure(*failure) for failure in failures),
        tuple(causes),
        tuple(
            ServiceActBy(name, date.fromisoformat(business_date), datetime.fromisoformat(at))
            for name, business_date, at in act_bys
        ),
        bool(repaired),
        bool(heals),
    )
