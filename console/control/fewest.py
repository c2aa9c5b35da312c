"""The fewest steps: which run of a job stands for its others, and which steps wait for which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date

from connectors.contract import Capability
from console.clean import clean_line
from console.control.harm import reads_elsewhere
from console.control.picture import Key, Picture, key_of, when
from console.control.words import clock, moment
from console.model.plans import LeftOut
from console.model.values import JobFacts, RunFacts

Can = Callable[[JobFacts, Capability], bool]
"""Whether the kind of a job's system has this capability."""
_NAMED = 3
"""Superseded runs that are named one by one."""


def stand_ins(picture: Picture, runs: Iterable[RunFacts], can: Can) -> dict[Key, RunFacts]:
    """Each run -> the one whose rerun does for it: the newest of its job and business date, because every rerun of a
    job without periods of its own does the same work; itself where its kind gives a run its own period or input."""
    newest: dict[tuple[int, date], RunFacts] = {}
    found = list(runs)
    for run in found:
        known = newest.get((run.job_id, run.bd))
        if known is None or when(known) < when(run):
            newest[run.job_id, run.bd] = run
    return {
        key_of(run): run if can(picture.job(run.job_id), Capability.PERIODS) else newest[run.job_id, run.bd]
        for run in found
    }


def superseded(
    picture: Picture, runs: Mapping[Key, RunFacts], instead: Mapping[Key, RunFacts], steps: Iterable[Key]
) -> list[LeftOut]:
    """One line for each step that does for other runs of its job, too. `instead`: as of `stand_ins`."""
    lines = []
    for step in steps:
        others = sorted((runs[key] for key, one in instead.items() if key_of(one) == step != key), key=when)
        if others:
            job = picture.job(step[0])
            shown = [clock(when(run), job.zone, picture.now) for run in others]
            which = " and ".join(shown) if len(shown) < _NAMED else f"{shown[0]} to {shown[-1]} ({len(shown)} runs)"
            by = moment(when(instead[step]), job.zone, picture.now)
            words = f"{which}: superseded by the rerun of {by}"
            lines.append(LeftOut(clean_line(job.name), others[-1].id or None, words))
    return lines


def waits_for(picture: Picture, runs: Sequence[RunFacts]) -> dict[int, tuple[int, ...]]:
    """Place -> the places that it waits for: of the steps upstream of it, on its date or on another that it reads,
    those that none of the others stands for, and the run of its own job before it.
    `runs`: upstreams before their downstreams."""
    after: dict[int, tuple[int, ...]] = {}
    above: dict[int, set[int]] = {}
    placed: dict[date, dict[int, list[int]]] = {}
    last: dict[int, int] = {}
    places: dict[Key, int] = {}
    for place, run in enumerate(runs, 1):
        jobs = placed.setdefault(run.bd, {})
        read = picture.graph.ancestors(run.job_id) & jobs.keys()
        found = {each for job_id in read for each in jobs[job_id]}
        found |= {places[key_of(each)] for each in reads_elsewhere(picture, run) if key_of(each) in places}
        if run.job_id in last:
            found.add(last[run.job_id])
        after[place], above[place] = _nearest(found, above)
        jobs.setdefault(run.job_id, []).append(place)
        places[key_of(run)] = place
        last[run.job_id] = place
    return after


def _nearest(found: set[int], above: Mapping[int, set[int]]) -> tuple[tuple[int, ...], set[int]]:
    """Of these places those that no other of them waits for; and all that they wait for, with themselves."""
    nearest: list[int] = []
    covered: set[int] = set()
    for each in sorted(found, reverse=True):
        if each not in covered:
            nearest.append(each)
            covered |= above[each] | {each}
    return tuple(sorted(nearest)), covered
