"""Why a service is late, in words with figures: what its critical path's jobs do tonight against their own past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from console.clean import clean_line
from console.control.forecast.laid import Point, instant_of
from console.control.forecast.look import Look
from console.control.forecast.shift import shift
from console.control.forecast.slack import Room
from console.control.forecast.starts import Rerun
from console.control.forecast.values import Floats, Past, Stand
from console.control.picture import Picture
from console.control.words import clock
from console.durations import duration_words

MOST = 2
"""Reasons that are told, the weightiest first."""
OWN_NIGHTS = 5
"""Nights of tonight's kind, from which on only they are compared with."""
WORTH = 60.0
"""Seconds below which nothing is told."""
OFTEN = 0.2
"""Share of the columns from which on a rerun is told."""


def why_late(picture: Picture, seen: Look, points: Sequence[Point], past: Past, kind: str, left: Room) -> str:
    """`points`: the jobs of the simulation; `kind`: of night, as in "Thursday". Empty where nothing stands out."""
    found: dict[str, float] = {}
    for job in sorted(left.jobs[left.critical[left.jobs] > 0].tolist()):
        probability = float(left.critical[job])
        for words, costs in _of(picture, seen, points, past, kind, left.weights, job):
            found[words] = max(found.get(words, 0.0), probability * costs)
    worst = sorted(found, key=lambda words: (-found[words], words))[:MOST]
    return " and ".join(worst)


def _of(
    picture: Picture,
    seen: Look,
    points: Sequence[Point],
    past: Past,
    kind: str,
    weights: Floats,
    job: int,
) -> Iterator[tuple[str, float]]:
    """Words, and the seconds that it costs."""
    point, tonight = points[job], seen.tonight
    name = clean_line(picture.job(point.job_id).name)
    match tonight.stand[job]:
        case Stand.RUNS:
            yield from _takes(name, "has run", seen.now - tonight.start[job], past.takes[:, job], past, kind)
        case Stand.DONE if point.says and np.isfinite(tonight.start[job]):
            yield from _takes(name, "took", tonight.end[job] - tonight.start[job], past.takes[:, job], past, kind)
        case Stand.READY:
            yield from _takes(name, "has waited", seen.now - tonight.ready[job], past.waits[:, job], past, kind)
        case Stand.FAILED:
            left = float(np.median(_done(seen, job))) - seen.now
            yield f"{name} is red and, as repairs go here, green in {duration_words(left)}", max(left, WORTH)
    yield from _moved(name, past.takes[:, job])
    if isinstance(point.rule, Rerun):
        yield from _reruns(picture, seen, point, name, weights, job)


def _done(seen: Look, job: int) -> Floats:
    """When it is done, by sample."""
    return np.asarray(seen.finish[0, seen.night.plan.place[job]])


def _takes(name: str, did: str, took: float, times: Floats, past: Past, kind: str) -> Iterator[tuple[str, float]]:
    known = np.isfinite(times)
    own = known & (past.alike == 1.0) if past.alike is not None else known
    is_own = own.sum() >= OWN_NIGHTS and own.sum() < known.sum()
    used = times[own] if is_own else times[known]
    if len(used) < OWN_NIGHTS:
        return
    usual, rare = (float(each) for each in np.quantile(used, (0.5, 0.9)))
    over, against = (took - rare, f"over its {f'{kind} ' if is_own else ''}p90") if took > rare else (took - usual, "")
    if over < WORTH:
        return
    runs = f"({len(used)} run{'s' * (len(used) != 1)})"
    than = against or "more than usual"
    yield f"{name} {did} {duration_words(took)}, {duration_words(over)} {than} {runs}", took - usual


def _moved(name: str, times: Floats) -> Iterator[tuple[str, float]]:
    """What takes longer since some nights: the forecast goes by the new level."""
    moved = shift(times)
    if moved is not None and moved.since - moved.before >= WORTH:
        since, before = duration_words(moved.since), duration_words(moved.before)
        yield f"{name} takes {since} since {moved.nights} nights, {before} before", moved.since - moved.before


def _reruns(
    picture: Picture, seen: Look, point: Point, name: str, weights: Floats, job: int
) -> Iterator[tuple[str, float]]:
    """What starts by the clock before its upstreams are good."""
    rule = point.rule
    assert isinstance(rule, Rerun)
    costs = _done(seen, job) - _done(seen, rule.first)
    share = float(weights @ (costs > 1.0))
    if share < OFTEN:
        return
    due = instant_of(point.due)
    starts = f"{name} starts {clock(due, picture.job(point.job_id).zone, picture.now)} by the clock"
    yield f"{starts}, in {round(share * 100)} % before its upstreams are good", float(weights @ costs)
