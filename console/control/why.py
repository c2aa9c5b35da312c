"""Why a job is not running, or runs so late: its own reasons, then those of the upstreams that it waits for, across all
systems, down to the first thing that a person can act on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime

from console.clean import clean_line
from console.control.conditions import awaited
from console.control.expected import has_started
from console.control.periods import business_date
from console.control.picture import Picture, anchor
from console.control.waits import met
from console.control.why_one import latest, reasons
from console.model.reasons import Reason
from console.model.values import DependencyFacts
from console.model.words import Mode, Origin

_ENDS = ("unreachable", "gone", "pause", "approval", "running", "slot", "done")
"""Where one of these stands first, its upstreams explain nothing."""


def why(picture: Picture, job_id: int, approvals: Iterable[Reason] = ()) -> tuple[Reason, ...]:
    """Every reason of the chain: first those of the job, then of each upstream that it waits for, nearest first, each
    job once. `approvals`: what waits for another person's approval, by job. A task is asked as its DAG."""
    asked = picture.graph.unit(job_id)
    asleep: dict[str, list[Reason]] = {}
    for one in approvals:
        asleep.setdefault(one.job, []).append(one)
    into: dict[int, list[DependencyFacts]] = {}
    for edge in picture.estate.dependencies:
        into.setdefault(picture.graph.unit(edge.downstream_id), []).append(edge)
    found: list[Reason] = []
    todo, seen = [(asked, 0)], {asked}
    for current, depth in todo:
        own = [*asleep.get(clean_line(picture.job(current).name), ()), *reasons(picture, current)]
        above = list(_waits_for(picture, current, into.get(current, ()))) if own[0].kind not in _ENDS else []
        own += [_waits(picture, each) for each in above]
        found += [replace(each, depth=depth) for each in own]
        for each in above:
            upstream = picture.graph.unit(each.upstream_id)
            if upstream not in seen:
                seen.add(upstream)
                todo.append((upstream, depth + 1))
    return tuple(found)


def to_act_on(chain: Sequence[Reason]) -> Reason | None:
    """The deepest reason that a person can do something about: what lies nearest to the root. None: time alone."""
    return max((each for each in chain if each.act and each.kind != "event"), key=lambda each: each.depth, default=None)


def _waits_for(picture: Picture, job_id: int, edges: Sequence[DependencyFacts]) -> Iterator[DependencyFacts]:
    """Of the edges into it those that keep it from starting, or from being good, and whose upstream is not good; each
    upstream once."""
    run = latest(picture, job_id)
    if run is not None and has_started(run) and run.state.is_open and run.started_at is not None:
        return
    bd, at = _looks_from(picture, job_id)
    known: set[int] = set()
    for each in awaited(picture, edges, bd, at):
        upstream = picture.graph.unit(each.upstream_id)
        if upstream not in known and upstream != job_id and upstream in picture.estate.jobs:
            known.add(upstream)
            yield each


def _looks_from(picture: Picture, job_id: int) -> tuple[date, datetime]:
    """Business date and moment of the run that the question is about; today's where there is none."""
    run, job = latest(picture, job_id), picture.job(job_id)
    if run is None:
        return business_date(picture.now, None, job.zone, job.cutoff), picture.now
    return run.bd, anchor(run)


def _waits(picture: Picture, edge: DependencyFacts) -> Reason:
    """What the edge makes of an upstream that is not good: only a scheduler or a hold waits for it."""
    job, upstream = picture.job(picture.graph.unit(edge.downstream_id)), picture.job(edge.upstream_id)
    name = clean_line(upstream.name)
    what = f"waits for {name}, which is not good yet"
    if not edge.wants.is_plain:
        what = f"waits until {met(picture.estate.jobs, [edge])}"
    if edge.origin is Origin.NATIVE or edge.mode is not Mode.OBSERVE:
        by = "its scheduler" if edge.origin is Origin.NATIVE else f"Headway, mode {edge.mode}"
        return Reason(clean_line(job.name), "upstream", what, by=by)
    words = f"reads {name}, which is not good yet; it does not wait for it (mode observe)"
    return Reason(clean_line(job.name), "upstream", words)
