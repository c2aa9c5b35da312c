"""Correlation: which root cause or finding belongs to which open incident, and what was last notified of it.

One incident per cause; if two turn out to be one, the older stays. An open incident continues with the cause that
it was opened for; with the cause of which its root is a symptom after all; or, its root repaired, with the
followers that the root left red or stale. It is resolved when all of them are green. A follower that was tried
again on the repaired data and failed has a cause of its own: it is split off. A root that is red again soon after
its incident closed reopens it.

Findings that notify, and that no red run, failing target or upstream's finding explains, are causes of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from connectors.sdk.states import RunEvidence, RunState
from console.control.detection.rule_input import run_for_finding
from console.control.detection.rules import current_findings
from console.control.incidents.root_cause import RootCause, stale_below
from console.control.snapshot.checks import ENOUGH
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import CLOCK_SKEW
from console.domain.estate import IncidentFacts, RunFacts
from console.domain.finding import DetectionRule, Finding, FindingSeverity
from console.domain.service import UNMET_PROMISE


def causes_from_findings(
    index: EstateIndex, groups: Sequence[RootCause], found: Sequence[Finding] | None = None
) -> list[RootCause]:
    """The groups, and after them one for each job whose finding must be told; upstreams before their downstreams.
    `found`: what holds, where it is known already."""
    holds = current_findings(index).findings if found is None else found
    alerts = _alerts(index, holds)
    broken = _broken(index, groups)
    explained = _explained(index, groups, broken)
    told_already = {one.root_job_id for one in index.estate.incidents if one.rule not in ("", UNMET_PROMISE)}
    causes = list(groups)
    for unit in index.graph.ordered(alerts):
        goes_on = alerts[unit].job_id in told_already and unit not in broken
        if unit not in explained or goes_on:
            causes.append(_group(index, alerts[unit]))
        explained |= index.graph.descendants(unit)
    return causes


def _alerts(index: EstateIndex, found: Sequence[Finding]) -> dict[int, Finding]:
    """By job the finding that tells it: that of its open incident while it holds, else the first. Otherwise a second
    rule would end the incident of what the first one still finds."""
    told = {(one.root_job_id, one.rule) for one in index.estate.incidents}
    alerts: dict[int, Finding] = {}
    for one in found:
        if one.severity is FindingSeverity.ALERT:
            unit = index.graph.unit(one.job_id)
            before = alerts.setdefault(unit, one)
            if (one.job_id, one.rule) in told and (before.job_id, before.rule) not in told:
                alerts[unit] = one
    return alerts


def add_evidence(index: EstateIndex, cases: Sequence[IncidentMatch], found: Sequence[Finding]) -> None:
    """Each case gets what else was found of the jobs that are broken in it; its cause and missed starts apart, which it
    tells itself. One whose cause is a finding gets the services that it feeds: they may be hurt by no clock yet."""
    for match in cases:
        match.feeds = _fed(index, match)
    by_job: dict[int, list[Finding]] = {}
    for one in found:
        if one.rule is not DetectionRule.NOT_STARTED:
            by_job.setdefault(one.job_id, []).append(one)
    for match in cases if by_job else ():
        periods = {run.job_id: {""} for run in match.broken()}
        for run in match.broken():
            periods[run.job_id].add(run.period_key)
        mine = (one for job_id in periods for one in by_job.get(job_id, ()) if one.period_key in periods[job_id])
        match.evidence = tuple(one for one in mine if one != match.group.finding)


def _fed(index: EstateIndex, match: IncidentMatch) -> tuple[str, ...]:
    if match.group.finding is None:
        return ()
    unit = index.graph.unit(match.group.finding.job_id)
    below = index.graph.descendants(unit) | {unit}
    return tuple(
        service.name
        for service in index.estate.services
        if any(index.graph.unit(each) in below for each in service.terminals)
    )


def _group(index: EstateIndex, finding: Finding) -> RootCause:
    runs = index.runs.get(finding.job_id, ())
    root = next((run for run in runs if run.period_key == finding.period_key and finding.period_key), None)
    return RootCause(finding.business_date, finding.since, root or run_for_finding(finding), None, finding=finding)


def _broken(index: EstateIndex, groups: Sequence[RootCause]) -> set[int]:
    """What is a root, or red below one: its incident tells of it itself."""
    jobs = {run.job_id for group in groups for run in group.red}
    jobs |= {group.root.job_id for group in groups if group.root is not None}
    return {index.graph.unit(each) for each in jobs}


def _explained(index: EstateIndex, groups: Sequence[RootCause], broken: set[int]) -> set[int]:
    """Jobs whose trouble an incident explains: what is broken, or runs on a target that is the cause, and all below."""
    sick = {group.target.id for group in groups if group.target is not None}
    units = {job.id for job in index.estate.jobs.values() if job.target_id in sick} if sick else set()
    units = {index.graph.unit(each) for each in units} | broken
    return units.union(*(index.graph.descendants(each) for each in units))


UNWATCHED = "it is watched no more: the config names it no longer"


@dataclass(slots=True)
class IncidentMatch:
    """One cause with the incident that tells it; without one it is new."""

    incident: IncidentFacts | None
    group: RootCause
    stale: list[RunFacts] = field(default_factory=list)
    merges: tuple[int, ...] = ()
    close_reason: str = ""
    """Not empty: it is over."""
    reopened: bool = False
    """Its incident had closed, and comes back."""
    split_from: int | None = None
    """Of a new cause: the incident that it was a part of, until it was tried anew and failed by itself."""
    evidence: tuple[Finding, ...] = ()
    """What else the rules found of its root and of what it left red."""
    feeds: tuple[str, ...] = ()
    """Names of the services below it, where a finding is its cause."""
    recovered: bool = False
    """True when it is over because it is green again, not because it is out of view."""
    awaits: tuple[tuple[str, date], ...] = ()
    """Service days that it made late: its cause is over, and they are not delivered yet. Until they are, it goes on."""
    awaits_words: str = ""

    def broken(self) -> list[RunFacts]:
        """The root and everything red or stale, each once."""
        runs = [*([self.group.root] if self.group.root is not None else []), *self.group.red, *self.stale]
        return list({(run.job_id, run.period_key): run for run in runs}.values())


def match_incidents(index: EstateIndex, groups: Sequence[RootCause]) -> list[IncidentMatch]:
    """Every open incident and every new cause, once each; open incidents first, oldest first."""
    owners: dict[int, list[IncidentFacts]] = {place: [] for place in range(len(groups))}
    free: list[IncidentFacts] = []
    parents: dict[int, int] = {}
    for incident in sorted(index.estate.incidents, key=lambda each: (each.opened_at, each.id)):
        parents |= _parted(index, incident, groups)
        place = _same_cause(incident, groups)
        (free if place is None else owners[place]).append(incident)
    found: list[IncidentMatch] = []
    for incident in free:
        unclaimed = {
            place: groups[place] for place, held in owners.items() if not held and groups[place].finding is None
        }
        followers = _followers(index, incident, unclaimed)
        anew = [place for place in followers if _tried_anew(index, incident, groups[place])]
        parents |= dict.fromkeys(anew, incident.id)
        followers = [place for place in followers if place not in anew]
        known = {place: groups[place] for place in owners if place not in parents}
        other = None if followers or anew else _explained_by(index, incident, known)
        for place in followers:
            del owners[place]
        if other is not None:
            owners[other].append(incident)
        else:
            found.append(_going_on(index, incident, [run for place in followers for run in groups[place].red]))
    before = _ClosedIncidents(index)
    found += [_incident_match(groups[place], held, parents.get(place), before) for place, held in owners.items()]
    for match in found:
        match.stale = _stale(index, match)
    return sorted(found, key=_age)


class _ClosedIncidents:
    """Incidents that closed lately, each of which one cause may reopen."""

    def __init__(self, index: EstateIndex) -> None:
        self._within = index.estate.declared.incidents.reopen_within
        self._left = sorted(index.estate.closed, key=lambda each: (each.closed_at or index.now, each.id))

    def reopened_by(self, group: RootCause) -> IncidentFacts | None:
        """The one that closed last with the same root, not long before the cause; it is given once."""
        found = [each for each in self._left if _same_root(each, group) and self._is_soon(each, group)]
        if found:
            self._left.remove(found[-1])
        return found[-1] if found else None

    def parent_of(self, group: RootCause) -> int | None:
        """The one that closed last of those that had hurt the very run."""
        found = [each for each in self._left if group.root is not None and self._is_soon(each, group)]
        found = [each for each in found if group.root and group.root.id in (each.hurt_run_ids or ())]
        return found[-1].id if found else None

    def _is_soon(self, incident: IncidentFacts, group: RootCause) -> bool:
        return incident.closed_at is not None and group.since - incident.closed_at < self._within


def _same_root(incident: IncidentFacts, group: RootCause) -> bool:
    if group.target is not None:
        return group.target.id == incident.root_target_id
    if group.shared or group.check:
        return (group.shared, group.check) == (
            incident.shared,
            incident.root_check,
        ) and group.business_date == incident.business_date
    return group.root is not None and (group.root.job_id, group.rule) == (incident.root_job_id, incident.rule)


def _incident_match(
    group: RootCause, owners: Sequence[IncidentFacts], split_from: int | None, before: _ClosedIncidents
) -> IncidentMatch:
    """The oldest of the incidents goes on with the cause, the others are merged into it; without one it is that which
    the cause reopens, or a new one."""
    ordered = sorted(owners, key=lambda each: (each.opened_at, each.id))
    if ordered:
        return IncidentMatch(ordered[0], group, merges=tuple(each.id for each in ordered[1:]))
    incident = before.reopened_by(group)
    if incident is not None:
        return IncidentMatch(incident, group, reopened=True)
    return IncidentMatch(None, group, split_from=before.parent_of(group) if split_from is None else split_from)


def root_run_of(index: EstateIndex, incident: IncidentFacts) -> RunFacts | None:
    """The incident's root run; None for a target, and for what the estate shows no more."""
    runs = index.runs.get(incident.root_job_id or 0, ())
    return next((run for run in runs if run.period_key == incident.root_period_key), None)


def affected_runs(index: EstateIndex, incident: IncidentFacts) -> list[RunFacts]:
    """The runs that it has told as root, red, stale or repaired, as they are now."""
    hurt = incident.member_run_ids if incident.hurt_run_ids is None else incident.hurt_run_ids
    return [run for number in sorted(hurt) if (run := index.run_by_id(number)) is not None]


def _same_cause(incident: IncidentFacts, groups: Sequence[RootCause]) -> int | None:
    """The place of the group with the incident's own root, else of the one in which its root is a symptom."""
    if incident.shared:
        return next((place for place, each in enumerate(groups) if each.told_by == incident.id), None)
    for place, group in enumerate(groups):
        if incident.id in group.explains:
            return place
        if group.target is not None and group.target.id == incident.root_target_id:
            return place
        if group.check and (group.check, group.business_date) == (incident.root_check, incident.business_date):
            return place
        if group.root is not None and group.root.job_id == incident.root_job_id and _same_day(incident, group):
            return place
    if incident.root_target_id is not None:
        return None
    return next(
        (place for place, each in enumerate(groups) if each.holds(incident.root_job_id, incident.business_date)), None
    )


def _same_day(incident: IncidentFacts, group: RootCause) -> bool:
    """A finding about a job goes on over the days."""
    return group.business_date == incident.business_date or (
        group.finding is not None and group.finding.rule == incident.rule
    )


def _followers(index: EstateIndex, incident: IncidentFacts, groups: Mapping[int, RootCause]) -> list[int]:
    """The places of groups that are no causes: what the incident's root, not red any more, had left red."""
    root = root_run_of(index, incident)
    if root is None:
        return []
    hurt = {run.id for run in affected_runs(index, incident)}
    below = index.graph.descendants(root.job_id)
    return [
        place
        for place, group in groups.items()
        if group.root is not None
        and group.business_date == incident.business_date
        and (group.root.id in hurt or (group.root.job_id in below and index.is_stale(group.root)))
    ]


def _tried_anew(index: EstateIndex, incident: IncidentFacts, group: RootCause) -> bool:
    """True for a follower that started again when all that it reads was good, the incident's root too, and failed."""
    root, red = root_run_of(index, incident), group.root
    good_at = index.freshness(root).good_at if root is not None else None
    if red is None or red.started_at is None or good_at is None or index.is_stale(red):
        return False
    return red.started_at + CLOCK_SKEW >= good_at


def _explained_by(index: EstateIndex, incident: IncidentFacts, groups: Mapping[int, RootCause]) -> int | None:
    """The place of another cause that explains what the incident had hurt."""
    if incident.root_target_id is not None:
        return None
    hurt = {run.id for run in affected_runs(index, incident)}
    return next((place for place, group in groups.items() if hurt & {run.id for run in group.red}), None)


def _going_on(index: EstateIndex, incident: IncidentFacts, red: list[RunFacts]) -> IncidentMatch:
    """The case of an incident whose root is not red any more."""
    if incident.root_target_id is not None:
        return _answered(index, incident)
    if incident.root_check:
        return _passed(index, incident)
    if incident.shared:
        return _shared_over(index, incident)
    root = root_run_of(index, incident)
    match = IncidentMatch(incident, RootCause(incident.business_date, incident.failed_since, root, None, red))
    if incident.rule and not red and not _stale(index, match) and not (root is not None and root.state.is_red):
        match.close_reason, match.recovered = "the finding no longer holds", True
    elif root is None:
        match.close_reason = _out_of_view(index, incident)
    elif not red and not _stale(index, match):
        match.close_reason = _settled(index, root)
        match.recovered = bool(match.close_reason)
    return match


def _settled(index: EstateIndex, root: RunFacts) -> str:
    """Why the incident is over; empty while its root is neither good nor given up by a person."""
    if index.is_excused(root):
        return "the new schedule is accepted: no run is missing"
    if index.is_green(root):
        if root.evidence is RunEvidence.ASSERTED:
            return "marked OK by a person, and no affected run is red or stale"
        return "green again, with all affected runs"
    if root.state is RunState.SKIPPED and root.evidence is RunEvidence.ASSERTED:
        return "skipped by a person, and no affected run is red or stale"
    return "superseded: a later run of the same job went well" if index.is_superseded(root) else ""


def _answered(index: EstateIndex, incident: IncidentFacts) -> IncidentMatch:
    target = index.estate.targets.get(incident.root_target_id or 0)
    match = IncidentMatch(incident, RootCause(incident.business_date, incident.failed_since, None, target))
    if target is None:
        match.close_reason = UNWATCHED
    elif target.failing_since is None:
        match.close_reason, match.recovered = "it answers again", True
    return match


def _passed(index: EstateIndex, incident: IncidentFacts) -> IncidentMatch:
    """The case of a check that no service waits for any more."""
    group = RootCause(incident.business_date, incident.failed_since, None, None, [], incident.root_check)
    known = index.estate.checks.get((incident.root_check, incident.business_date))
    if known is not None and known.last.state in ENOUGH:
        return IncidentMatch(incident, group, close_reason=f"it passes: {known.last.words}", recovered=True)
    return IncidentMatch(incident, group, close_reason="no service waits for it")


def _shared_over(index: EstateIndex, incident: IncidentFacts) -> IncidentMatch:
    """Of a shared root of which nothing is red: over when all that had failed for it is good. What is red by now has a
    cause of its own."""
    hurt = [run for run in affected_runs(index, incident) if not index.is_red_now(run)]
    group = RootCause(incident.business_date, incident.failed_since, None, None, shared=incident.shared, causes=hurt)
    match = IncidentMatch(incident, group)
    if not hurt:
        match.close_reason = _out_of_view(index, incident)
    elif all(_settled(index, run) for run in hurt) and not _stale(index, match):
        match.close_reason, match.recovered = "all that had failed for it are good again", True
    return match


def _parted(index: EstateIndex, incident: IncidentFacts, groups: Sequence[RootCause]) -> dict[int, int]:
    """Place -> incident of the causes that were told as a part of a shared root, and failed by themselves since."""
    hurt = incident.hurt_run_ids or frozenset()
    if not incident.shared:
        return {}
    parted = (place for place, each in enumerate(groups) if each.root is not None and each.root.id in hurt)
    return dict.fromkeys(parted, incident.id)


def _out_of_view(index: EstateIndex, incident: IncidentFacts) -> str:
    if incident.root_job_id not in index.estate.jobs and not incident.shared:
        return UNWATCHED
    hours = index.estate.settings.lookback.total_seconds() / 3600
    return f"out of view: its root is older than {hours:.0f} h and was not seen green"


def _stale(index: EstateIndex, match: IncidentMatch) -> list[RunFacts]:
    """What the cause left stale and is so still; upstreams first."""
    hurt = [run.job_id for run in match.group.red]
    hurt += [match.group.root.job_id] if match.group.root is not None else []
    told = affected_runs(index, match.incident) if match.incident is not None else []
    # What is red by itself is another's cause; what is stale is one below only where its own cause is here.
    hurt += [run.job_id for run in told if not index.is_red_now(run) and not index.is_stale(run)]
    days = sorted({match.group.business_date, *(run.business_date for run in match.group.causes)})
    while True:
        found = [run for business_date in days for run in stale_below(index, hurt, business_date)]
        looped = {run.job_id for run in found}.difference(hurt)
        if not looped:
            return found
        hurt += sorted(looped)  # through a loop it comes back to the jobs that it came from


def _age(match: IncidentMatch) -> tuple[bool, datetime, int]:
    if match.incident is None:
        return True, match.group.since, 0
    return False, match.incident.opened_at, match.incident.id


NEW, KNOWN = "new", "known"
ServiceDayKey = tuple[str, date]
"""A service day: service name and business date."""


@dataclass(frozen=True, slots=True)
class LastNotification:
    """What the fingerprint remembers of an incident."""

    root: str
    services: frozenset[ServiceDayKey]
    closed: bool
    in_shadow: tuple[str, ...] = ()
    """Routes that were not told because of a shadow: once it is gone, they are."""
    quiet: str = ""
    """Not told because of a maintenance: "new", nobody has heard of it; "known", of what is new since."""

    @property
    def heard(self) -> frozenset[ServiceDayKey]:
        """The service days that somebody was told of."""
        return frozenset() if self.quiet == NEW else self.services

    def text(self) -> str:
        days = sorted((name, business_date.isoformat()) for name, business_date in self.services)
        shadow = [sorted(self.in_shadow)] if self.in_shadow or self.quiet else []
        quiet = [self.quiet] if self.quiet else []
        return json.dumps([self.root, days, self.closed, *shadow, *quiet], separators=(",", ":"))


def last_notification_of(match: IncidentMatch) -> LastNotification | None:
    """What was told last; None for a new cause. A fingerprint that cannot be read has told nothing."""
    if match.incident is None:
        return None
    try:
        return parse_last_notification(match.incident.fingerprint)
    except (ValueError, TypeError):
        return LastNotification("", frozenset(), False)


def notified_as_resolved(fingerprint: str) -> bool:
    """Whether it was last told that it is over; False for a fingerprint of other words."""
    try:
        return parse_last_notification(fingerprint).closed
    except (ValueError, TypeError):
        return False


def parse_last_notification(fingerprint: str) -> LastNotification:
    """What `Told.text` wrote. ValueError or TypeError where it is anything else."""
    root, days, closed, *more = json.loads(fingerprint)
    told = frozenset((name, date.fromisoformat(business_date)) for name, business_date in days)
    shadow = tuple(more[0]) if more else ()
    return LastNotification(root, told, bool(closed), shadow, str(more[1]) if len(more) > 1 else "")
