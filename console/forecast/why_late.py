"""Why a service is late: its critical path tonight against the past, and what waits for a slot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.pools import slot_text
from console.domain.history import NO_HISTORY
from console.domain.service import format_percent
from console.domain.settings import JobPool
from console.forecast.night_graph import NightPoint, instant_of
from console.forecast.simulation.critical_path import ServiceSlack
from console.forecast.simulation.simulator import SimulationRun
from console.forecast.simulation.sweep import CHUNK
from console.forecast.simulation.values import AT_ONCE, Floats, Integers, JobPhase, NightHistory, RerunRule
from console.forecast.usual import level_shift, shift_text, usual_values
from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.timing.formats import local_time

WORTH = 60.0
"""Seconds below which nothing is told."""


def slot_waits(
    index: EstateIndex, sim: SimulationRun, points: Sequence[NightPoint], weights: Floats, job: int
) -> Iterator[tuple[str, float]]:
    """Words, and the seconds that it costs; nothing for a job that waits for no slot. `points`: of the simulation."""
    point = points[job]
    if point.pool is None:
        return
    name, pool = clean_line(index.job(point.job_id).name), _pool(point, point.pool)
    ahead, since = _ahead(sim, weights, job), _ready(sim, job)
    if since is not None:
        holders = index.slot_holders(point.pool)
        if len(holders) >= pool.slots and sim.now - since + ahead >= WORTH:
            words = f"{name} has waited {format_duration(sim.now - since)} for {slot_text(pool, holders)}"
            yield words, sim.now - since + ahead
            return
    if ahead >= WORTH:
        holders = [clean_line(index.job(each).name) for each in _holders(sim, points, weights, job, pool.slots)]
        yield f"{name} will wait {format_duration(ahead)} for {slot_text(pool, holders)}", ahead


def _ready(sim: SimulationRun, job: int) -> float | None:
    """Since when nothing but a slot is missing; None for what has begun, or waits for something else."""
    tonight, above = sim.tonight, list(sim.night.graph.upstreams[job])
    if tonight.stand[job] == JobPhase.READY:
        return float(tonight.ready[job])
    since = max([float(sim.night.graph.earliest[job]), *tonight.end[above].tolist()])
    is_ready = tonight.stand[job] == JobPhase.WAITS and bool((tonight.stand[above] == JobPhase.DONE).all())
    return since if is_ready and since <= sim.now else None


def _pool(point: NightPoint, pool: JobPool) -> JobPool:
    """With as many slots as it has here."""
    return pool if point.slots is None else JobPool(pool.name, point.slots)


def _row(sim: SimulationRun, job: int) -> int | None:
    row = np.flatnonzero(sim.queued.places == sim.night.plan.place[job])
    return int(row[0]) if len(row) else None


def _ahead(sim: SimulationRun, weights: Floats, job: int) -> float:
    """What it will wait for a slot in the mean, s."""
    row = _row(sim, job)
    return 0.0 if row is None else float(weights @ sim.queued.waits[row])


def _holders(sim: SimulationRun, points: Sequence[NightPoint], weights: Floats, job: int, slots: int) -> list[int]:
    """The jobs that most likely have the slots where it is ready and has to wait, as they are numbered elsewhere."""
    row, place = _row(sim, job), sim.night.plan.place
    assert row is not None
    pool = (each for each, point in enumerate(points) if point.pool == points[job].pool and each != job)
    others = np.array([each for each in pool if place[each] < sim.night.plan.size])
    begun, waits = _begun(sim, place[np.append(others, job)]), sim.queued.waits[row]
    ready = begun[-1] - waits
    has_one = (begun[:-1] <= ready) & (sim.finish[0, place[others]] > ready)
    share = has_one @ (weights * (sim.queued.freed_by[row] >= 0))
    most = np.argsort(-share, kind="stable")[:slots]
    return [points[each].job_id for each in others[most[share[most] > 0]].tolist()]


def _begun(sim: SimulationRun, places: Integers) -> Floats:
    """When each of them begins, these x samples."""
    jobs = sim.night.plan.order[places]
    takes = np.tile(sim.draws.takes(places), (1, CHUNK // sim.draws.columns))
    runs = (sim.tonight.stand[jobs] == JobPhase.RUNS)[:, None]
    return np.asarray(np.where(runs, sim.tonight.start[jobs][:, None], sim.finish[0, places] - takes))


MOST = 2
"""Reasons that are told, the weightiest first."""
OWN_NIGHTS = 5
"""Nights of tonight's kind, from which on only they are compared with."""
DECIDES = 0.5
"""Probability of deciding the finish from which on a job's new level is told of a service that is in no danger."""
OFTEN = 0.2
"""Share of the columns from which on a rerun is told."""


class LatenessReason(NamedTuple):
    """Empty where nothing stands out."""

    words: str = ""
    job_id: int | None = None
    """The job that costs most of it: that of the first reason."""


def explain_lateness(
    index: EstateIndex,
    sim: SimulationRun,
    points: Sequence[NightPoint],
    past: NightHistory,
    kind: str,
    slack: ServiceSlack,
) -> LatenessReason:
    """`points`: the jobs of the simulation; `kind`: of night, as in "Thursday"."""
    found: dict[str, float] = {}
    by: dict[str, int] = {}
    for job in sorted(slack.jobs[slack.critical[slack.jobs] > 0].tolist()):
        probability = float(slack.critical[job])
        for each in (job, *_let_start(points, sim, job)):
            for words, costs in _of(index, sim, points, past, kind, slack.weights, each):
                found[words] = max(found.get(words, 0.0), probability * costs)
                by[words] = points[each].job_id
    worst = sorted(found, key=lambda words: (-found[words], words))[:MOST]
    return LatenessReason(" and ".join(worst), by[worst[0]] if worst else None)


def explain_slowdown(index: EstateIndex, points: Sequence[NightPoint], past: NightHistory, slack: ServiceSlack) -> str:
    """Which jobs that decide are slower since some night, where nothing else is worth a word: the forecast goes by
    their new level."""
    found: dict[str, float] = {}
    for job in slack.jobs[slack.critical[slack.jobs] >= DECIDES].tolist():
        name = clean_line(index.job(points[job].job_id).name)
        if points[job].stand != JobPhase.DONE and points[job].takes:
            found |= dict(_moved(index, points[job], name, past.takes[:, job]))
    return " and ".join(sorted(found, key=lambda words: (-found[words], words))[:MOST])


def _let_start(points: Sequence[NightPoint], sim: SimulationRun, job: int) -> Iterator[int]:
    """What a job that has begun waited for tonight, back to the first: it is done and decides nothing any more, but the
    minutes that it lost are lost."""
    tonight = sim.tonight
    while np.isfinite(tonight.start[job]):
        above = [each for each in points[job].upstreams if tonight.stand[each] == JobPhase.DONE]
        last = max(above, key=lambda each: float(tonight.end[each]), default=None)
        if last is None or not tonight.ready[job] - AT_ONCE <= tonight.end[last] <= tonight.start[job] + AT_ONCE:
            return
        yield last
        job = last


def _of(
    index: EstateIndex,
    sim: SimulationRun,
    points: Sequence[NightPoint],
    past: NightHistory,
    kind: str,
    weights: Floats,
    job: int,
) -> Iterator[tuple[str, float]]:
    """Words, and the seconds that it costs."""
    point, tonight = points[job], sim.tonight
    name = clean_line(index.job(point.job_id).name)
    takes = _over_declared if index.estimate(point.job_id).source == "declared" else _takes
    for_a_slot = list(slot_waits(index, sim, points, weights, job))
    yield from for_a_slot
    match tonight.stand[job]:
        case JobPhase.RUNS:
            yield from takes(name, "has run", sim.now - tonight.start[job], past.takes[:, job], past, kind)
        case JobPhase.DONE if point.says and np.isfinite(tonight.start[job]):
            yield from takes(name, "took", tonight.end[job] - tonight.start[job], past.takes[:, job], past, kind)
        case JobPhase.READY if not for_a_slot:
            yield from _takes(name, "has waited", sim.now - tonight.ready[job], past.waits[:, job], past, kind)
        case JobPhase.FAILED:
            left = float(np.median(_done(sim, job))) - sim.now
            yield f"{name} is red and, as repairs go here, green in {format_duration(left)}", max(left, WORTH)
    if tonight.stand[job] in (JobPhase.WAITS, JobPhase.READY, JobPhase.RUNS) and not point.failed:
        yield from _may_fail(sim, name, past, job)
    yield from _guess(index, point, name)
    yield from _moved(index, point, name, past.takes[:, job])
    if isinstance(point.rule, RerunRule):
        yield from _reruns(index, sim, point, name, weights, job)


def _done(sim: SimulationRun, job: int) -> Floats:
    """When it is done, by sample."""
    return np.asarray(sim.finish[0, sim.night.plan.place[job]])


def _takes(
    name: str, did: str, took: float, times: Floats, past: NightHistory, kind: str
) -> Iterator[tuple[str, float]]:
    ran = np.isfinite(times)
    same = past.alike == 1.0 if past.alike is not None else np.ones(len(times), bool)
    known = usual_values(times[ran].tolist(), [kind if each else "" for each in same[ran]], kind, OWN_NIGHTS)
    if known is None:
        return
    middle, rare, of = known.most(0.5), known.most(0.9), "" if known.what == "runs" else f"{kind} "
    over, than = (took - rare, f"over its {of}p90") if took > rare else (took - middle, "more than usual")
    if over >= WORTH:
        runs = f"({len(known.values)} runs)"
        yield f"{name} {did} {format_duration(took)}, {format_duration(over)} {than} {runs}", took - middle


def _may_fail(sim: SimulationRun, name: str, past: NightHistory, job: int) -> Iterator[tuple[str, float]]:
    """What has not failed tonight, and often does."""
    repairs = past.repairs[:, job]
    failed, nights = ~np.isnan(repairs), np.isfinite(past.takes[:, job]) | ~np.isnan(repairs)
    mended = repairs[np.isfinite(repairs)]
    repair = float(np.median(mended)) if len(mended) else float(np.exp(sim.night.repair.center))
    costs = repair * failed.sum() / max(nights.sum(), 1)
    if costs >= WORTH:
        after = f"restarted after {format_duration(repair)}" if len(mended) else "not restarted that night"
        yield f"{name} failed on {failed.sum()} of {nights.sum()} nights, and was {after}", float(costs)


def _over_declared(
    name: str, did: str, took: float, times: Floats, past: NightHistory, kind: str
) -> Iterator[tuple[str, float]]:
    """Of a job that has no past but what is declared of it, night by night."""
    over = took - float(times[-1])
    if over >= WORTH:
        yield f"{name} {did} {format_duration(took)}, {format_duration(over)} over what is declared", over


def _guess(index: EstateIndex, point: NightPoint, name: str) -> Iterator[tuple[str, float]]:
    """What nobody knows of a job that hardly ever ran."""
    known = index.estimate(point.job_id)
    if known.source == "like" and known.takes is not None and point.stand is not JobPhase.DONE and point.takes:
        usual, ran = format_duration(known.takes.p50.total_seconds()), f"{known.runs} run{'s' * (known.runs != 1)}"
        words = f"{name} has {ran}, and {known.like} jobs like it take {usual}"
        yield words, (known.takes.p95 - known.takes.p50).total_seconds() + WORTH


def _moved(index: EstateIndex, point: NightPoint, name: str, times: Floats) -> Iterator[tuple[str, float]]:
    """What takes longer since some night: the forecast goes by the new level."""
    moved = level_shift(times.tolist())
    if moved is not None and moved.since - moved.before >= WORTH:
        days = index.estate.history.get(point.job_id, NO_HISTORY).days
        yield shift_text(name, moved, days, index.now.date()), moved.since - moved.before


def _reruns(
    index: EstateIndex, sim: SimulationRun, point: NightPoint, name: str, weights: Floats, job: int
) -> Iterator[tuple[str, float]]:
    """What starts by the clock before its upstreams are good."""
    rule = point.rule
    assert isinstance(rule, RerunRule)
    costs = _done(sim, job) - _done(sim, rule.first)
    share = float(weights @ (costs > 1.0))
    if share < OFTEN:
        return
    due = instant_of(point.due)
    starts = f"{name} starts {local_time(due, index.job(point.job_id).zone, index.now)} by the clock"
    yield f"{starts}, in {format_percent(share)} before its upstreams are good", float(weights @ costs)
