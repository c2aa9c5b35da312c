"""Whom a bad run can hurt: what lies below it by success on the same date, and what its gates let through.

A red upstream under a gate that others open hurts nobody, nor does one whose downstream waits for its end alone, runs
on its failure, or reads data that a check found good. One that is read by another period hurts that other date.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

from console.control.gates import seen
from console.control.graph import Gate, Read
from console.control.mapping import Look, look_of, meant
from console.control.moments import began_after
from console.control.picture import Picture
from console.model.values import RunFacts
from console.model.wants import Condition, Period

Place = tuple[int, date]
"""A job on a business date."""


def below(picture: Picture, job_ids: Iterable[int], bd: date) -> set[Place]:
    """What bad runs of these jobs on that date can hurt, without the jobs themselves unless they hurt themselves."""
    graph = picture.graph
    found: set[int] = set()
    roots = list(job_ids)
    for job_id in roots:
        if job_id not in found:
            found |= graph.descendants(job_id)
    if found.isdisjoint(graph.gated) and not graph.has_loops:
        return {(job_id, bd) for job_id in found}
    return _walk(picture, [(job_id, bd) for job_id in roots])


def _walk(picture: Picture, roots: list[Place]) -> set[Place]:
    found: set[Place] = set()
    ahead = list(roots)
    while ahead:
        job_id, bd = ahead.pop()
        for downstream in _readers(picture, job_id):
            for day in _dates_hurt(picture, job_id, bd, downstream):
                if (downstream, day) not in found:
                    found.add((downstream, day))
                    ahead.append((downstream, day))
    return found


def _readers(picture: Picture, job_id: int) -> list[int]:
    graph = picture.graph
    return [*(edge.downstream for edge in graph.out_of(job_id)), *graph.looped_out_of(job_id)]


def _dates_hurt(picture: Picture, job_id: int, bd: date, downstream: int) -> Iterable[date]:
    gates = picture.graph.gates(downstream)
    if gates is None:
        return (bd,)
    found: dict[date, None] = {}
    for gate in gates:
        for read in gate.reads:
            if read.unit == job_id and read.wants.condition is not Condition.FAILURE:
                found |= dict.fromkeys(_dates_of(picture, gate, read, bd, downstream))
    return found


def _dates_of(picture: Picture, gate: Gate, read: Read, bd: date, downstream: int) -> Iterable[date]:
    """The dates of the downstream on which this gate stays shut for want of the upstream's run of that date."""
    runs: Sequence[RunFacts] = picture.runs.get(downstream, ())
    if read.wants.period is Period.SAME:
        runs = picture.of_day(downstream, bd)
        if not runs:
            return () if _is_open(picture, gate, Look(bd, picture.now, picture.now, picture.now)) else (bd,)
    hurt = []
    for run in runs:
        look = look_of(run, picture.now)
        if _reads(picture, read, look, bd) and not _is_open(picture, gate, look, run.started_at):
            hurt.append(run.bd)
    return hurt


def _reads(picture: Picture, read: Read, look: Look, bd: date) -> bool:
    run = meant(picture, read.upstream, read.wants, look, read.loops)
    return run is not None and run.bd == bd if read.wants.period is not Period.SAME else True


def _is_open(picture: Picture, gate: Gate, look: Look, started: datetime | None = None) -> bool:
    """True where enough of the gate was as wanted by the start; before it: is, or may still come."""
    found = [seen(picture, read, look) for read in gate.reads]
    there = [(read, each) for read, each in zip(gate.reads, found, strict=True) if each is not None]
    good = sum(began_after(look.by, each.good) for _, each in there)
    need = min(gate.need, len(there))
    if started is None and gate.need < len(gate.reads):
        good += sum(_may_come(picture, read, look) for read, each in there if not began_after(look.by, each.good))
    return good >= need


def _may_come(picture: Picture, read: Read, look: Look) -> bool:
    """True for an alternative that is still to run, or runs."""
    run = meant(picture, read.upstream, read.wants, look, read.loops)
    return run is not None and run.state.is_open and not picture.is_stale(run)


def reads_elsewhere(picture: Picture, run: RunFacts) -> Iterator[RunFacts]:
    """The runs of other periods that it reads."""
    look = look_of(run, picture.now)
    for gate in picture.graph.gates(picture.graph.unit(run.job_id)) or ():
        for read in gate.reads:
            if read.wants.period is not Period.SAME:
                found = meant(picture, read.unit, read.wants, look, read.loops)
                if found is not None:
                    yield found


def misread(picture: Picture, run: RunFacts, causes: set[int]) -> bool:
    """True when a run that has started read one of these jobs before that was as wanted, and needed it."""
    unit = picture.graph.unit(run.job_id)
    gates = picture.graph.gates(unit)
    if gates is None:
        return any(
            not picture.read_good(run, read)
            for edge in picture.graph.into(unit)
            if edge.upstream in causes
            for read in edge.reads
        )
    look = look_of(run, picture.now)
    return any(
        not _is_open(picture, gate, look, run.started_at) and _bad_cause(picture, gate, look, causes) for gate in gates
    )


def _bad_cause(picture: Picture, gate: Gate, look: Look, causes: set[int]) -> bool:
    bad = (seen(picture, read, look) for read in gate.reads if read.unit in causes)
    return any(each is not None and not began_after(look.by, each.good) for each in bad)
