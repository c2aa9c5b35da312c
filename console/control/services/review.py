"""Review of what is declared about a service against what is observed: the gaps, worst first.

Declared: owner, runbook, routes, calendar, checks, objective, expected durations, rerun safety, dependencies.
Observed: the latest successes of each member (durations, output), and the runs of the lookback (order, evidence,
who ran).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from connectors.sdk.states import ProofLevel
from console.control.snapshot.downstream import read_bad_input
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.estimates import quantile
from console.control.snapshot.graph import DependencyEdge
from console.control.snapshot.runs import has_no_clock, has_started
from console.domain.action import MANUAL_KIND
from console.domain.estate import JobFacts, ServiceFacts
from console.domain.finding import drift_fix
from console.domain.history import MIN_RUNS, EstimateKind, timed_runs_text
from console.domain.job import Safety
from console.text.cleaning import clean_line
from console.timing.durations import TICK, format_duration
from console.timing.schedule import comes_again_within, last_instant, next_instant

IMPORTANT_TIERS = (1, 2)
OFF_BY = 0.5
"""Share of the larger by which the declared duration and the observed median may differ."""
THIN_BUFFER = timedelta(minutes=10)
OFTEN = timedelta(hours=12)
"""The next run of what runs more often reads what this one missed."""
LEVELS = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class ReviewGap:
    """One thing that is missing, or is not as it was written down."""

    level: str
    """ "high": no response or notification tonight; "medium": it costs time; "low": nice to have."""
    about: str
    """A job's name, or the service's."""
    what: str
    """One word: "owner", "runbook", "duration", "order", …"""
    written: str
    observed: str
    fix: str


def review_services(index: EstateIndex, service: ServiceFacts) -> tuple[ReviewGap, ...]:
    """All gaps of a service, by level, the service's own before its jobs', upstreams before downstreams."""
    members = index.members(service)
    order = list(index.graph.ordered(member for member in members if member in index.estate.jobs))
    gaps = [*_of_service(service, order)]
    for job_id in order:
        gaps += _of_job(index, index.job(job_id), service)
        for edge in index.graph.into(job_id):
            if edge.upstream in members:
                gaps += _of_edge(index, edge)
    return tuple(sorted(gaps, key=lambda gap: LEVELS.index(gap.level)))


def _of_service(service: ServiceFacts, order: list[int]) -> Iterator[ReviewGap]:
    name, table = service.name, f"[services.{service.name}]"
    high = "high" if service.tier in IMPORTANT_TIERS else "medium"
    if not order:
        yield ReviewGap(
            "high", name, "members", "delivered_by", "no such job is known", "fix delivered_by, or add its system"
        )
    if not service.owner:
        yield ReviewGap(high, name, "owner", "–", "it has no owner", f"{table} owner")
    if not service.notify:
        yield ReviewGap(
            high, name, "route", "–", "only the default route is notified", f"{table} notify, or a route of its owner"
        )
    if not service.runbook:
        yield ReviewGap(high, name, "runbook", "–", "the first step is unknown", f"{table} runbook")
    if not service.ready:
        text = "delivered means that its jobs ended; their output is not checked"
        yield ReviewGap("medium", name, "checks", "–", text, f"{table} ready")
    if not service.calendar:
        text = "no calendar: a delivery is expected on every date its jobs run"
        yield ReviewGap("low", name, "calendar", "–", text, f"{table} calendar")
    if service.promise.slo is None:
        yield ReviewGap("low", name, "objective", "–", "no error budget is kept", f"{table} slo")


def _of_job(index: EstateIndex, job: JobFacts, service: ServiceFacts) -> Iterator[ReviewGap]:
    name = clean_line(job.name)
    table = f'[jobs."{name}"]'
    runs = [run for run in index.runs.get(job.id, ()) if has_started(run)]
    red = sum(run.state.is_red for run in runs)
    if job.gone_since is not None:
        yield ReviewGap("high", name, "job", "member", "gone from its scheduler", drift_fix(name, job.drift_change))
    elif job.paused_since is not None:
        yield ReviewGap("high", name, "job", "member", "paused at its scheduler", "enable it there")
    if not runs and not index.estate.durations.get(job.id):
        yield ReviewGap("high", name, "runs", "member", "has never been seen to run", "run it once, or take it out")
    yield from _duration(index, job, name, table)
    if job.proof is ProofLevel.START:
        yield ReviewGap(
            "medium", name, "evidence", "–", "its source proves starts, not how they end", "see docs/connectors"
        )
    if not job.owner:
        yield ReviewGap("medium", name, "owner", "–", "it has no owner", f"{table} owner")
    if not job.runbook and not service.runbook:
        level = "medium" if red else "low"
        yield ReviewGap(level, name, "runbook", "–", f"{red} of {len(runs)} runs lately were red", f"{table} runbook")
    if job.rerun is Safety.ASK and job.kind != MANUAL_KIND:
        text = "it is unknown whether running it twice is safe"
        yield ReviewGap("medium" if red else "low", name, "rerun", "ask", text, f'{table} rerun = "safe" or "never"')
    delivers = job.id in {index.graph.unit(terminal) for terminal in service.terminals}
    if delivers and not service.ready and job.kind != MANUAL_KIND and not _reports_output(index, job):
        text = "its runs report neither rows nor bytes: partial output goes unnoticed"
        yield ReviewGap(
            "low", name, "output", "–", text, "rows or bytes in its runs' context, or a check of what it writes"
        )
    if not index.graph.into(job.id) and has_no_clock(job):
        text = "starts neither by a clock that is known nor after another job"
        yield ReviewGap("medium", name, "inputs", "–", text, "add what it reads: [[dependencies]]")


def _reports_output(index: EstateIndex, job: JobFacts) -> bool:
    history = index.estate.history.get(job.id)
    return history is not None and any(wrote >= 0 for wrote in history.output)


def _duration(index: EstateIndex, job: JobFacts, name: str, table: str) -> Iterator[ReviewGap]:
    taken = index.estate.durations.get(job.id, ())
    declared = "–" if job.expected is None else format_duration(job.expected)
    if len(taken) < MIN_RUNS:
        if job.expected is None:
            text = f"{timed_runs_text(len(taken))}, an estimate needs {MIN_RUNS}: no forecast, no act-by"
            yield ReviewGap("high", name, "duration", declared, text, f"{table} expected")
        return
    p50, p90 = quantile(taken, 0.5), quantile(taken, 0.9)
    observed = f"p50 {format_duration(p50)}, p90 {format_duration(p90)} ({len(taken)} runs)"
    if job.expected is not None and _is_off(job.expected.total_seconds(), p50):
        yield ReviewGap(
            "medium", name, "duration", declared, observed, f"{table} expected: history counts, the text misleads"
        )


def _is_off(declared: float, p50: float) -> bool:
    return abs(declared - p50) > OFF_BY * max(declared, p50)


def _of_edge(index: EstateIndex, edge: DependencyEdge) -> Iterator[ReviewGap]:
    up, down = index.name(edge.upstream), index.name(edge.downstream)
    fix = 'mode = "hold" on this dependency, or a later start'
    runs = [run for run in index.runs.get(edge.downstream, ()) if run.started_at is not None]
    if index.graph.gates(edge.downstream) is not None:
        early = sum(read_bad_input(index, run, {edge.upstream}) for run in runs)
    else:
        early = sum(not index.read_good(run, upstream) for run in runs for upstream in edge.reads[:1])
    if early:
        text = f"{early} of {len(runs)} runs lately started before it was good"
        yield ReviewGap("high", down, "order", f"after {up}", text, fix)
    if not edge.native:
        yield from _buffer(index, edge, up, down, fix)


def _buffer(index: EstateIndex, edge: DependencyEdge, up: str, down: str, fix: str) -> Iterator[ReviewGap]:
    upstream, downstream = index.job(edge.upstream), index.job(edge.downstream)
    duration = index.estimate(edge.upstream).p90
    if duration is None or has_no_clock(upstream) or has_no_clock(downstream):
        return
    began = last_instant(upstream.schedule, index.now)
    starts = next_instant(downstream.schedule, began - TICK) if began else None
    if began is None or starts is None or comes_again_within(downstream.schedule, starts, OFTEN):
        return
    buffer = starts - (began + duration)
    if buffer < THIN_BUFFER:
        seconds = round(buffer.total_seconds())
        offset = f"{format_duration(abs(seconds))} {'after' if seconds >= 0 else 'before'}"
        known = index.estimate(edge.upstream)
        if known.source is EstimateKind.PEERS:
            basis = f"in nine of ten of {known.peers} peer jobs"
        else:
            is_history = known.source is EstimateKind.HISTORY
            basis = f"in nine of ten of {known.runs} runs" if is_history else "by its declared duration"
        text = f"starts {offset} {up} is done ({basis})"
        yield ReviewGap(
            "high" if buffer < timedelta(0) else "medium", down, "buffer", f"by the clock, after {up}", text, fix
        )
