"""What waits for a slot of a pool, in words with figures: who has the slots now, or will when it is ready."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from console.clean import clean_line
from console.control.forecast.points import Point
from console.control.forecast.simulation.look import Look
from console.control.forecast.simulation.sweep import CHUNK
from console.control.forecast.simulation.values import Floats, Stand, Whole
from console.control.picture import Picture
from console.control.pools import slot_words
from console.durations import duration_words
from console.model.pools import Pool

WORTH = 60.0
"""Seconds below which nothing is told."""


def slot_waits(
    picture: Picture, seen: Look, points: Sequence[Point], weights: Floats, job: int
) -> Iterator[tuple[str, float]]:
    """Words, and the seconds that it costs; nothing for a job that waits for no slot. `points`: of the simulation."""
    point = points[job]
    if point.pool is None:
        return
    name, pool = clean_line(picture.job(point.job_id).name), _pool(point, point.pool)
    ahead, since = _ahead(seen, weights, job), _ready(seen, job)
    if since is not None:
        holders = picture.slot_holders(point.pool)
        if len(holders) >= pool.slots and seen.now - since + ahead >= WORTH:
            words = f"{name} has waited {duration_words(seen.now - since)} for {slot_words(pool, holders)}"
            yield words, seen.now - since + ahead
            return
    if ahead >= WORTH:
        holders = [clean_line(picture.job(each).name) for each in _holders(seen, points, weights, job, pool.slots)]
        yield f"{name} will wait {duration_words(ahead)} for {slot_words(pool, holders)}", ahead


def _ready(seen: Look, job: int) -> float | None:
    """Since when nothing but a slot is missing; None for what has begun, or waits for something else."""
    tonight, above = seen.tonight, list(seen.night.graph.upstreams[job])
    if tonight.stand[job] == Stand.READY:
        return float(tonight.ready[job])
    since = max([float(seen.night.graph.earliest[job]), *tonight.end[above].tolist()])
    is_ready = tonight.stand[job] == Stand.WAITS and bool((tonight.stand[above] == Stand.DONE).all())
    return since if is_ready and since <= seen.now else None


def _pool(point: Point, pool: Pool) -> Pool:
    """With as many slots as it has here."""
    return pool if point.slots is None else Pool(pool.name, point.slots)


def _row(seen: Look, job: int) -> int | None:
    row = np.flatnonzero(seen.queued.places == seen.night.plan.place[job])
    return int(row[0]) if len(row) else None


def _ahead(seen: Look, weights: Floats, job: int) -> float:
    """What it will wait for a slot in the mean, s."""
    row = _row(seen, job)
    return 0.0 if row is None else float(weights @ seen.queued.waits[row])


def _holders(seen: Look, points: Sequence[Point], weights: Floats, job: int, slots: int) -> list[int]:
    """The jobs that most likely have the slots where it is ready and has to wait, as they are numbered elsewhere."""
    row, place = _row(seen, job), seen.night.plan.place
    assert row is not None
    pool = (each for each, point in enumerate(points) if point.pool == points[job].pool and each != job)
    others = np.array([each for each in pool if place[each] < seen.night.plan.size])
    begun, waits = _begun(seen, place[np.append(others, job)]), seen.queued.waits[row]
    ready = begun[-1] - waits
    has_one = (begun[:-1] <= ready) & (seen.finish[0, place[others]] > ready)
    share = has_one @ (weights * (seen.queued.freed_by[row] >= 0))
    most = np.argsort(-share, kind="stable")[:slots]
    return [points[each].job_id for each in others[most[share[most] > 0]].tolist()]


def _begun(seen: Look, places: Whole) -> Floats:
    """When each of them begins, these x samples."""
    jobs = seen.night.plan.order[places]
    takes = np.tile(seen.draws.takes(places), (1, CHUNK // seen.draws.columns))
    runs = (seen.tonight.stand[jobs] == Stand.RUNS)[:, None]
    return np.asarray(np.where(runs, seen.tonight.start[jobs][:, None], seen.finish[0, places] - takes))
