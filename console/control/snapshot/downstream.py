"""Runs affected by a bad run: everything downstream by success on the same date that no gate protects.

A red upstream under a gate that others open affects nothing, nor does one whose downstream waits for its end only,
runs on its failure, or reads data that a check found good. One that is read by another period affects that other
date.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime

from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.freshness import ReadPoint, input_freshness, read_point_of, run_to_read
from console.control.snapshot.graph import UpstreamGate, UpstreamRead
from console.control.snapshot.runs import began_after
from console.domain.dependency import UpstreamCondition, UpstreamPeriod
from console.domain.estate import RunFacts

JobDate = tuple[int, date]
"""A job on a business date."""


def affected_below(index: EstateIndex, job_ids: Iterable[int], business_date: date) -> set[JobDate]:
    """Job dates that bad runs of these jobs on that date affect; the jobs themselves only through a loop."""
    graph, roots = index.graph, list(job_ids)
    affected: set[int] = set()
    for job_id in roots:
        if job_id not in affected:
            affected |= graph.descendants(job_id)
    if affected.isdisjoint(graph.gated) and not graph.has_loops:
        return {(job_id, business_date) for job_id in affected}
    return _walk(index, [(job_id, business_date) for job_id in roots])


def _walk(index: EstateIndex, roots: list[JobDate]) -> set[JobDate]:
    affected: set[JobDate] = set()
    ahead, graph = list(roots), index.graph
    while ahead:
        job_id, business_date = ahead.pop()
        readers = [*(edge.downstream for edge in graph.out_of(job_id)), *graph.looped_out_of(job_id)]
        for downstream in readers:
            for day in _affected_dates(index, job_id, business_date, downstream):
                if (downstream, day) not in affected:
                    affected.add((downstream, day))
                    ahead.append((downstream, day))
    return affected


def _affected_dates(index: EstateIndex, job_id: int, business_date: date, downstream: int) -> Iterable[date]:
    gates = index.graph.gates(downstream)
    if gates is None:
        return (business_date,)
    dates: dict[date, None] = {}
    for gate in gates:
        for read in gate.reads:
            if read.unit == job_id and read.wants.condition is not UpstreamCondition.FAILURE:
                dates |= dict.fromkeys(_dates_of(index, gate, read, business_date, downstream))
    return dates


def _dates_of(
    index: EstateIndex, gate: UpstreamGate, read: UpstreamRead, business_date: date, downstream: int
) -> Iterable[date]:
    """The dates of the downstream on which this gate stays shut for want of the upstream's run of that date."""
    runs: Sequence[RunFacts] = index.runs.get(downstream, ())
    if read.wants.period is UpstreamPeriod.SAME:
        runs = index.of_day(downstream, business_date)
        if not runs:
            now = ReadPoint(business_date, index.now, index.now, index.now)
            return () if _is_open(index, gate, now) else (business_date,)
    dates = []
    for run in runs:
        read_point = read_point_of(run, index.now)
        known = run_to_read(index, read.upstream, read.wants, read_point, read.loops)
        reads = read.wants.period is UpstreamPeriod.SAME or (known is not None and known.business_date == business_date)
        if reads and not _is_open(index, gate, read_point, run.started_at):
            dates.append(run.business_date)
    return dates


def _is_open(index: EstateIndex, gate: UpstreamGate, read_point: ReadPoint, started: datetime | None = None) -> bool:
    inputs = [input_freshness(index, read, read_point) for read in gate.reads]
    present = [(read, freshness) for read, freshness in zip(gate.reads, inputs, strict=True) if freshness is not None]
    good = sum(began_after(read_point.by, freshness.good) for _, freshness in present)
    need = min(gate.need, len(present))
    if started is None and gate.need < len(gate.reads):
        missing = [read for read, freshness in present if not began_after(read_point.by, freshness.good)]
        good += sum(_may_come(index, read, read_point) for read in missing)
    return good >= need


def _may_come(index: EstateIndex, read: UpstreamRead, read_point: ReadPoint) -> bool:
    run = run_to_read(index, read.upstream, read.wants, read_point, read.loops)
    return run is not None and run.state.is_open and not index.is_stale(run)


def reads_of_other_periods(index: EstateIndex, run: RunFacts) -> Iterator[RunFacts]:
    """The runs of other periods that it reads."""
    read_point = read_point_of(run, index.now)
    for gate in index.graph.gates(index.graph.unit(run.job_id)) or ():
        for read in gate.reads:
            if read.wants.period is not UpstreamPeriod.SAME:
                upstream_run = run_to_read(index, read.unit, read.wants, read_point, read.loops)
                if upstream_run is not None:
                    yield upstream_run


def read_bad_input(index: EstateIndex, run: RunFacts, causes: set[int]) -> bool:
    """True when a run that has started read one of these jobs before that was as wanted, and needed it."""
    unit = index.graph.unit(run.job_id)
    gates = index.graph.gates(unit)
    if gates is None:
        edges = (edge for edge in index.graph.into(unit) if edge.upstream in causes)
        return any(not index.read_good(run, read) for edge in edges for read in edge.reads)
    point = read_point_of(run, index.now)
    shut = (gate for gate in gates if not _is_open(index, gate, point, run.started_at))
    return any(_bad_cause(index, gate, point, causes) for gate in shut)


def bad_inputs(index: EstateIndex, run: RunFacts) -> tuple[list[int], bool]:
    """The upstreams that a stale run read before they were as wanted, and whether all of them are now."""
    key = run.job_id, run.period_key
    if key not in index.bad_inputs:
        upstreams = [edge.upstream for edge in index.graph.into(index.graph.unit(run.job_id))]
        bad = [upstream for upstream in upstreams if read_bad_input(index, run, {upstream})]
        started_now = replace(run, started_at=index.now)
        index.bad_inputs[key] = bad, not any(read_bad_input(index, started_now, {upstream}) for upstream in bad)
    return index.bad_inputs[key]


def _bad_cause(index: EstateIndex, gate: UpstreamGate, read_point: ReadPoint, causes: set[int]) -> bool:
    bad = (input_freshness(index, read, read_point) for read in gate.reads if read.unit in causes)
    return any(freshness is not None and not began_after(read_point.by, freshness.good) for freshness in bad)
