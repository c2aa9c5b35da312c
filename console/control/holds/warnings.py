"""Warnings about dependencies and deadlines: modes that cannot be enforced, and clocks that contradict them.

A mode cannot be enforced if the next start of its downstream is unknown. A clock contradicts a dependency if the
downstream starts before its upstream of the same business date; usually the cut-off is meant otherwise: with noon,
a job at 14:00 belongs to the night that follows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from console.control.holds.conditions import condition_text
from console.control.snapshot.deadlines import (
    clock_starts,
    delivering_start,
    has_one_zone,
    latest_deadline,
    next_start,
)
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.graph import DependencyGraph
from console.control.snapshot.runs import has_no_clock
from console.domain.dependency import DependencyMode, DependencyOrigin, UpstreamCondition, UpstreamPeriod
from console.domain.estate import DependencyFacts, Estate, ServiceFacts
from console.domain.hold import HoldState
from console.domain.job_lookup import JobLookup
from console.domain.settings import EstateSettings
from console.domain.text import At, Text
from console.text.cleaning import clean_line
from console.timing.formats import local_time
from console.timing.schedule import schedule_text
from console.timing.zones import date_in_window, zone_of


def dependency_faults(estate: Estate, now: datetime) -> list[str]:
    """One sentence for each dependency and deadline that contradicts the schedules or cannot be enforced, sorted."""
    clocks = (*contradicting_clocks(estate, now), *contradicting_deadlines(estate, now))
    return sorted([*clocks, *unenforceable_holds(estate)])


def with_settings(estate: Estate, settings: EstateSettings, former_names: Mapping[str, int]) -> Estate:
    """The estate's jobs with the zones, cutoffs, dependencies and services of a config that is not yet in effect, which
    may name a job by its title or a former name."""
    systems = {system.name: system for system in settings.systems}
    jobs = {
        job.id: replace(job, zone=systems[job.system].zone, cutoff=systems[job.system].cutoff)
        for job in estate.jobs.values()
        if job.system in systems
    }
    lookup = JobLookup.of(((job.name, job.title, job.id) for job in jobs.values()), former_names)
    ends = [(lookup.named(edge.upstream), lookup.named(edge.downstream), edge) for edge in settings.dependencies]
    declared = tuple(
        DependencyFacts(upstream, downstream, DependencyOrigin.DECLARED, edge.mode, wants=edge.wants)
        for upstream, downstream, edge in ends
        if upstream is not None and downstream is not None
    )
    listed = tuple(
        edge
        for edge in estate.dependencies
        if edge.origin is not DependencyOrigin.DECLARED and {edge.upstream_id, edge.downstream_id} <= jobs.keys()
    )
    services = tuple(
        ServiceFacts(
            name=service.name,
            title=service.title,
            terminals=tuple(job for name in service.delivered_by if (job := lookup.named(name)) is not None),
            deadline=service.deadline,
            zone=service.zone,
            cutoff=service.cutoff,
            tier=service.tier,
            owner=service.owner,
            notify=service.notify,
            runbook=service.runbook,
            promise=service.promise,
        )
        for service in settings.services
    )
    return replace(estate, jobs=jobs, dependencies=(*listed, *declared), services=services)


def unenforceable_holds(estate: Estate) -> Iterator[str]:
    """One sentence for each downstream in mode hold, or in mode trigger beside its own clock, of which no next start is
    known."""
    graph = DependencyGraph(estate.jobs, estate.dependencies)
    for edge in estate.dependencies:
        job = estate.jobs.get(graph.unit(edge.downstream_id)) if edge.downstream_id in estate.jobs else None
        if job is None or edge.mode is DependencyMode.OBSERVE or job.gone_since or job.paused_since:
            continue
        if not has_no_clock(job) or job.schedule.next_at is not None:
            continue
        until = condition_text(estate.jobs, [edge]) or "its upstream is good"
        clock = clean_line(schedule_text(job.schedule)) if job.schedule.has_clock else ""
        if warning := _unenforceable_text(edge.mode, clean_line(job.name), until, clock):
            yield warning


def hold_refusal(estate: Estate, job_id: int, due: datetime | None, now: datetime) -> Text:
    """Why the last attempt to hold that start failed; empty if there was none, or a later one holds. `due`: None if
    only its source names it."""
    tries = [
        hold
        for hold in estate.holds
        if hold.job_id == job_id and hold.due_at is not None and hold.place is not None
        if hold.due_at == due or (due is None and hold.due_at > now)
    ]
    failed = [attempt for attempt in tries if attempt.state is HoldState.FAILED]
    if not failed or any(attempt.state not in (HoldState.FAILED, HoldState.PLACING) for attempt in tries):
        return ()
    return max(failed, key=lambda attempt: attempt.ended_at or now).text


def empty_hold_warning(estate: Estate, job_id: int, until: datetime, now: datetime) -> list[Text]:
    """That a hold of that job from now until then ends before its next start; nothing if a start falls within it, or
    none is known."""
    job = estate.jobs.get(DependencyGraph(estate.jobs, estate.dependencies).unit(job_id))
    if job is None:
        return []
    at = next_start(EstateIndex(estate, now), job, now)
    if at is None or at < until:
        return []
    before = f"the hold ends before the next start of {clean_line(job.name)}, "
    return [(before, At(at), ": it holds no start")]


def _unenforceable_text(mode: DependencyMode, name: str, until: str, clock: str) -> str:
    unknown = f"{clock}, and its next start is not known" if clock else "it has no clock"
    if mode is DependencyMode.HOLD:
        fix = "Hold it by hand, or give it a clock that names its starts." if clock else "Its mode can be trigger."
        return f"{name} cannot be held until {until}: {unknown}. {fix}"
    if not clock:
        return ""
    return (
        f"{name} is started when {until}, and by its schedule as well: {unknown}, so that start is not suppressed."
        " Take its clock away, or the mode trigger."
    )


def contradicting_clocks(estate: Estate, now: datetime) -> Iterator[str]:
    """One sentence for each dependency of which every start of the upstream lies after every start of the downstream,
    on the business date of `now`."""
    for edge in estate.dependencies:
        if edge.wants.period is not UpstreamPeriod.SAME or edge.wants.condition is UpstreamCondition.FAILURE:
            continue
        upstream, downstream = estate.jobs.get(edge.upstream_id), estate.jobs.get(edge.downstream_id)
        if upstream is None or downstream is None or has_no_clock(upstream) or has_no_clock(downstream):
            continue
        day = date_in_window(now, zone_of(downstream.zone), downstream.cutoff)
        feeds, reads = clock_starts(upstream, day), clock_starts(downstream, day)
        if feeds and reads and min(feeds) > max(reads):
            systems = dict.fromkeys(clean_line(job.system) for job in (downstream, upstream))
            starts, due = local_time(max(reads), downstream.zone), local_time(min(feeds), upstream.zone)
            yield (
                f"{clean_line(downstream.name)} starts {starts}, before {clean_line(upstream.name)} of the same"
                f" business date ({due}): each of its runs counts as a stale read. Move the cutoff of"
                f" {' and '.join(systems)} (now {downstream.cutoff:%H:%M}),"
                " so that both belong to one date in this order, or remove the dependency."
            )


def contradicting_deadlines(estate: Estate, now: datetime) -> Iterator[str]:
    """One sentence for each service whose jobs start after its deadline of the same business date, or on a later
    day."""
    index = EstateIndex(estate, now)
    for service in estate.services:
        day = date_in_window(now, zone_of(service.zone), service.cutoff)
        is_by_clock = service.promise.deadline.after_start is None
        start = delivering_start(index, service, index.members(service), day) if is_by_clock else None
        if start is None:
            continue
        due, fixed = f"{service.deadline:%H:%M}", service.promise.deadline.day + 1
        starts_at = f"{clean_line(start.job.name)} starts {local_time(start.at, service.zone)}"
        fix = f'Fix: deadline = {{ time = "{due}", day = {fixed} }}'
        if start.is_later and has_one_zone(index, service):
            yield (
                f"services.{clean_line(service.name)}: {starts_at}, on the day after the deadline {due} of the same"
                f" business date (cutoff {service.cutoff:%H:%M}): {due} of that day counts. {fix}"
            )
        elif start.at >= latest_deadline(service, start.service_day):
            yield (
                f"services.{clean_line(service.name)}: {starts_at}, after the deadline {due} of the same business date:"
                f" it is always late. {fix}"
            )
