"""What is written down about a service against what is observed of it: the gaps, the worst first.

Written down: owner, runbook, routes, calendar, checks, objective, expected durations, rerun safety, dependencies.
Observed: the latest successes of each member (durations, output), and the runs of the lookback (order, evidence, who
ran).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.contract import Proof
from console.clean import clean_line
from console.control.estimate import ENOUGH_RUNS, quantile
from console.control.expected import expects_nothing, has_started
from console.control.graph import Edge
from console.control.harm import misread
from console.control.picture import Picture
from console.control.schedule import last_instant, next_instant
from console.durations import duration_words
from console.model.decisions import Estimate
from console.model.values import JobFacts, ServiceFacts
from console.model.words import BY_PEOPLE, Safety

IMPORTANT_TIERS = (1, 2)
OFF_BY = 0.5
"""What was declared and the observed median may differ by this share of the larger."""
THIN_BUFFER = timedelta(minutes=10)
OFTEN = timedelta(hours=12)
_TICK = timedelta(microseconds=1)
LEVELS = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that is missing, or is not as it was written down."""

    level: str
    """"high": tonight nobody would know what to do or be told; "medium": it costs time; "low": it would be good."""
    about: str
    """A job's name, or the service's."""
    what: str
    """One word: "owner", "runbook", "duration", "order", …"""
    written: str
    observed: str
    mend: str


def review(picture: Picture, service: ServiceFacts) -> tuple[Gap, ...]:
    """All gaps of a service, by level, the service's own before its jobs', upstreams before downstreams."""
    members = picture.graph.members(each for each in service.terminals if each in picture.estate.jobs)
    order = list(picture.graph.ordered(each for each in members if each in picture.estate.jobs))
    found = [*_of_service(service, order)]
    for job_id in order:
        found += _of_job(picture, picture.job(job_id), service)
        for edge in picture.graph.into(job_id):
            if edge.upstream in members:
                found += _of_edge(picture, edge)
    return tuple(sorted(found, key=lambda gap: LEVELS.index(gap.level)))


def _of_service(service: ServiceFacts, order: list[int]) -> Iterator[Gap]:
    name, table = service.name, f"[services.{service.name}]"
    high = "high" if service.tier in IMPORTANT_TIERS else "medium"
    if not order:
        yield Gap(
            "high", name, "members", "delivered_by", "no such job is known", "mend delivered_by, or add its system"
        )
    if not service.owner:
        yield Gap(high, name, "owner", "–", "nobody answers for it", f"{table} owner")
    if not service.notify:
        yield Gap(
            high, name, "route", "–", "only the default route is told", f"{table} notify, or a route of its owner"
        )
    if not service.runbook:
        yield Gap(high, name, "runbook", "–", "nobody is told what to do first", f"{table} runbook")
    if not service.ready:
        words = "delivered means that its jobs ended; nothing looks at what they wrote"
        yield Gap("medium", name, "checks", "–", words, f"{table} ready")
    if not service.calendar:
        yield Gap("low", name, "calendar", "–", "promised on every date on which it runs", f"{table} calendar")
    if service.promise.slo is None:
        yield Gap("low", name, "objective", "–", "no error budget is kept", f"{table} slo")


def _of_job(picture: Picture, job: JobFacts, service: ServiceFacts) -> Iterator[Gap]:
    name = clean_line(job.name)
    table = f'[jobs."{name}"]'
    runs = [run for run in picture.runs.get(job.id, ()) if has_started(run)]
    red = sum(run.state.is_red for run in runs)
    if job.gone_since is not None:
        yield Gap(
            "high", name, "job", "member", "gone from its scheduler", f"headway drift accept {name}, or bring it back"
        )
    elif job.paused_since is not None:
        yield Gap("high", name, "job", "member", "paused at its scheduler", "enable it there")
    if not runs and not picture.estate.durations.get(job.id):
        yield Gap("high", name, "runs", "member", "has never been seen to run", "run it once, or take it out")
    yield from _duration(picture, job, name, table)
    if job.proof is Proof.START:
        yield Gap("medium", name, "evidence", "–", "its source proves starts, not how they end", "see docs/connectors")
    if not job.owner:
        yield Gap("medium", name, "owner", "–", "nobody answers for it", f"{table} owner")
    if not job.runbook and not service.runbook:
        level = "medium" if red else "low"
        yield Gap(level, name, "runbook", "–", f"{red} of {len(runs)} runs lately were red", f"{table} runbook")
    if job.rerun is Safety.ASK and job.kind != BY_PEOPLE:
        words = "nobody has said whether running it twice does harm"
        yield Gap("medium" if red else "low", name, "rerun", "ask", words, f'{table} rerun = "safe" or "never"')
    delivers = job.id in {picture.graph.unit(each) for each in service.terminals}
    if delivers and not service.ready and job.kind != BY_PEOPLE and not _tells_output(picture, job):
        words = "its runs tell neither rows nor bytes: half of the data looks like all of it"
        yield Gap("low", name, "output", "–", words, "rows or bytes in its runs' context, or a check of what it writes")
    if not picture.graph.into(job.id) and expects_nothing(job):
        words = "starts neither by a clock that is known nor after another job"
        yield Gap("medium", name, "inputs", "–", words, "add what it reads: [[dependencies]]")


def _tells_output(picture: Picture, job: JobFacts) -> bool:
    history = picture.estate.history.get(job.id)
    return history is not None and any(wrote >= 0 for wrote in history.output)


def _duration(picture: Picture, job: JobFacts, name: str, table: str) -> Iterator[Gap]:
    taken = picture.estate.durations.get(job.id, ())
    declared = "–" if job.expected is None else duration_words(job.expected.total_seconds())
    if len(taken) < ENOUGH_RUNS:
        if job.expected is None:
            words = f"{len(taken)} of {ENOUGH_RUNS} runs that an estimate needs: no forecast, no act-by"
            yield Gap("high", name, "duration", declared, words, f"{table} expected")
        return
    p50, p90 = quantile(taken, 0.5), quantile(taken, 0.9)
    observed = f"p50 {duration_words(p50)}, p90 {duration_words(p90)} ({len(taken)} runs)"
    if job.expected is not None and _is_off(job.expected.total_seconds(), p50):
        yield Gap(
            "medium", name, "duration", declared, observed, f"{table} expected: history counts, the text misleads"
        )


def _is_off(declared: float, p50: float) -> bool:
    return abs(declared - p50) > OFF_BY * max(declared, p50)


def _of_edge(picture: Picture, edge: Edge) -> Iterator[Gap]:
    up, down = clean_line(picture.job(edge.upstream).name), clean_line(picture.job(edge.downstream).name)
    mend = 'mode = "hold" on this dependency, or a later start'
    runs = [run for run in picture.runs.get(edge.downstream, ()) if run.started_at is not None]
    if picture.graph.gates(edge.downstream) is not None:
        early = sum(misread(picture, run, {edge.upstream}) for run in runs)
    else:
        early = sum(not picture.read_good(run, each) for run in runs for each in edge.reads[:1])
    if early:
        words = f"{early} of {len(runs)} runs lately started before it was good"
        yield Gap("high", down, "order", f"after {up}", words, mend)
    if not edge.native:
        yield from _buffer(picture, edge, up, down, mend)


def _buffer(picture: Picture, edge: Edge, up: str, down: str, mend: str) -> Iterator[Gap]:
    """Both start by the clock, and the downstream waits for nobody: how much time lies between."""
    upstream, downstream = picture.job(edge.upstream), picture.job(edge.downstream)
    takes = picture.estimate(edge.upstream).p90
    if takes is None or expects_nothing(upstream) or expects_nothing(downstream):
        return
    began = last_instant(upstream.schedule, picture.now)
    starts = next_instant(downstream.schedule, began - _TICK) if began else None
    if began is None or starts is None or _comes_again(downstream, starts):
        return
    buffer = starts - (began + takes)
    if buffer < THIN_BUFFER:
        words = f"starts {_apart(buffer)} {up} is done ({_rests(picture.estimate(edge.upstream))})"
        yield Gap(
            "high" if buffer < timedelta(0) else "medium", down, "buffer", f"by the clock, after {up}", words, mend
        )


def _comes_again(job: JobFacts, starts: datetime) -> bool:
    """True for what runs many times a day: its next run reads what this one missed."""
    following = next_instant(job.schedule, starts)
    return following is not None and following - starts < OFTEN


def _apart(buffer: timedelta) -> str:
    seconds = round(buffer.total_seconds())
    return f"{duration_words(abs(seconds))} {'after' if seconds >= 0 else 'before'}"


def _rests(known: Estimate) -> str:
    if known.source == "like":
        return f"as nine of ten of {known.like} jobs like it take"
    return f"in nine of ten of {known.runs} runs" if known.source == "history" else "by its declared duration"
