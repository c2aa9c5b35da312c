"""Findings as causes: those that tell, and that no red run, no sick target and no upstream's finding explains."""

from __future__ import annotations

from collections.abc import Sequence

from console.control.cases import Case
from console.control.causes import Group
from console.control.picture import Picture
from console.control.rules.judging import findings
from console.control.rules.look import as_root
from console.model.findings import Finding, Rule, Severity
from console.model.words import UNDELIVERED


def causes_of(picture: Picture, groups: Sequence[Group], found: Sequence[Finding] | None = None) -> list[Group]:
    """The groups, and after them one for each job whose finding must be told; upstreams before their downstreams.
    `found`: what holds, where it is known already."""
    holds = findings(picture).findings if found is None else found
    alerts = _alerts(picture, holds)
    broken = _broken(picture, groups)
    explained = _explained(picture, groups, broken)
    told_already = {one.root_job_id for one in picture.estate.incidents if one.rule not in ("", UNDELIVERED)}
    causes = list(groups)
    for unit in picture.graph.ordered(alerts):
        goes_on = alerts[unit].job_id in told_already and unit not in broken
        if unit not in explained or goes_on:
            causes.append(_group(picture, alerts[unit]))
        explained |= picture.graph.descendants(unit)
    return causes


def _alerts(picture: Picture, found: Sequence[Finding]) -> dict[int, Finding]:
    """By job the finding that tells it: that of its open incident while it holds, else the first. Otherwise a second
    rule would end the incident of what the first one still finds."""
    told = {(one.root_job_id, one.rule) for one in picture.estate.incidents}
    alerts: dict[int, Finding] = {}
    for one in found:
        if one.severity is Severity.ALERT:
            unit = picture.graph.unit(one.job_id)
            before = alerts.setdefault(unit, one)
            if (one.job_id, one.rule) in told and (before.job_id, before.rule) not in told:
                alerts[unit] = one
    return alerts


def add_evidence(picture: Picture, cases: Sequence[Case], found: Sequence[Finding]) -> None:
    """Each case gets what else was found of the jobs that are broken in it; its cause and missed starts apart, which it
    tells itself. One whose cause is a finding gets the services that it feeds: they may be hurt by no clock yet."""
    for case in cases:
        case.feeds = _fed(picture, case)
    by_job: dict[int, list[Finding]] = {}
    for one in found:
        if one.rule is not Rule.NOT_STARTED:
            by_job.setdefault(one.job_id, []).append(one)
    for case in cases if by_job else ():
        periods = {run.job_id: {""} for run in case.broken()}
        for run in case.broken():
            periods[run.job_id].add(run.period_key)
        mine = (one for job_id in periods for one in by_job.get(job_id, ()) if one.period_key in periods[job_id])
        case.evidence = tuple(one for one in mine if one != case.group.finding)


def _fed(picture: Picture, case: Case) -> tuple[str, ...]:
    if case.group.finding is None:
        return ()
    unit = picture.graph.unit(case.group.finding.job_id)
    below = picture.graph.descendants(unit) | {unit}
    return tuple(
        service.name
        for service in picture.estate.services
        if any(picture.graph.unit(each) in below for each in service.terminals)
    )


def _group(picture: Picture, finding: Finding) -> Group:
    runs = picture.runs.get(finding.job_id, ())
    root = next((run for run in runs if run.period_key == finding.period_key and finding.period_key), None)
    return Group(finding.bd, finding.since, root or as_root(finding), None, finding=finding)


def _broken(picture: Picture, groups: Sequence[Group]) -> set[int]:
    """What is a root, or red below one: its incident tells of it itself."""
    jobs = {run.job_id for group in groups for run in group.red}
    jobs |= {group.root.job_id for group in groups if group.root is not None}
    return {picture.graph.unit(each) for each in jobs}


def _explained(picture: Picture, groups: Sequence[Group], broken: set[int]) -> set[int]:
    """Jobs whose trouble an incident explains: what is broken, or runs on a target that is the cause, and all below."""
    sick = {group.target.id for group in groups if group.target is not None}
    units = {job.id for job in picture.estate.jobs.values() if job.target_id in sick} if sick else set()
    units = {picture.graph.unit(each) for each in units} | broken
    return units.union(*(picture.graph.descendants(each) for each in units))
