"""Why a service is late, in words with figures: what its critical path's jobs do tonight against their own past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from console.clean import clean_line
from console.control.forecast.points import Point, instant_of
from console.control.forecast.simulation.look import Look
from console.control.forecast.simulation.slack import Slack
from console.control.forecast.simulation.start_rules import Rerun
from console.control.forecast.simulation.values import AT_ONCE, Floats, Past, Stand
from console.control.forecast.slot_waits import WORTH, slot_waits
from console.control.level_shift import level_shift, shift_words
from console.control.picture import Picture
from console.control.usual import usual
from console.control.words import clock
from console.durations import duration_words
from console.model.forecasts import percent
from console.model.history import NO_HISTORY

MOST = 2
"""Reasons that are told, the weightiest first."""
OWN_NIGHTS = 5
"""Nights of tonight's kind, from which on only they are compared with."""
DECIDES = 0.5
"""Probability of deciding the finish from which on a job's new level is told of a service that is in no danger."""
OFTEN = 0.2
"""Share of the columns from which on a rerun is told."""


class Why(NamedTuple):
    """Empty where nothing stands out."""

    words: str = ""
    job_id: int | None = None
    """The job that costs most of it: that of the first reason."""


def why_late(picture: Picture, seen: Look, points: Sequence[Point], past: Past, kind: str, slack: Slack) -> Why:
    """`points`: the jobs of the simulation; `kind`: of night, as in "Thursday"."""
    found: dict[str, float] = {}
    by: dict[str, int] = {}
    for job in sorted(slack.jobs[slack.critical[slack.jobs] > 0].tolist()):
        probability = float(slack.critical[job])
        for each in (job, *_let_start(points, seen, job)):
            for words, costs in _of(picture, seen, points, past, kind, slack.weights, each):
                found[words] = max(found.get(words, 0.0), probability * costs)
                by[words] = points[each].job_id
    worst = sorted(found, key=lambda words: (-found[words], words))[:MOST]
    return Why(" and ".join(worst), by[worst[0]] if worst else None)


def why_moved(picture: Picture, points: Sequence[Point], past: Past, slack: Slack) -> str:
    """Which jobs that decide are slower since some night, where nothing else is worth a word: the forecast goes by
    their new level."""
    found: dict[str, float] = {}
    for job in slack.jobs[slack.critical[slack.jobs] >= DECIDES].tolist():
        name = clean_line(picture.job(points[job].job_id).name)
        if points[job].stand != Stand.DONE and points[job].takes:
            found |= dict(_moved(picture, points[job], name, past.takes[:, job]))
    return " and ".join(sorted(found, key=lambda words: (-found[words], words))[:MOST])


def _let_start(points: Sequence[Point], seen: Look, job: int) -> Iterator[int]:
    """What a job that has begun waited for tonight, back to the first: it is done and decides nothing any more, but the
    minutes that it lost are lost."""
    tonight = seen.tonight
    while np.isfinite(tonight.start[job]):
        above = [each for each in points[job].upstreams if tonight.stand[each] == Stand.DONE]
        last = max(above, key=lambda each: float(tonight.end[each]), default=None)
        if last is None or not tonight.ready[job] - AT_ONCE <= tonight.end[last] <= tonight.start[job] + AT_ONCE:
            return
        yield last
        job = last


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
    takes = _over_declared if picture.estimate(point.job_id).source == "declared" else _takes
    for_a_slot = list(slot_waits(picture, seen, points, weights, job))
    yield from for_a_slot
    match tonight.stand[job]:
        case Stand.RUNS:
            yield from takes(name, "has run", seen.now - tonight.start[job], past.takes[:, job], past, kind)
        case Stand.DONE if point.says and np.isfinite(tonight.start[job]):
            yield from takes(name, "took", tonight.end[job] - tonight.start[job], past.takes[:, job], past, kind)
        case Stand.READY if not for_a_slot:
            yield from _takes(name, "has waited", seen.now - tonight.ready[job], past.waits[:, job], past, kind)
        case Stand.FAILED:
            left = float(np.median(_done(seen, job))) - seen.now
            yield f"{name} is red and, as repairs go here, green in {duration_words(left)}", max(left, WORTH)
    if tonight.stand[job] in (Stand.WAITS, Stand.READY, Stand.RUNS) and not point.failed:
        yield from _may_fail(seen, name, past, job)
    yield from _guess(picture, point, name)
    yield from _moved(picture, point, name, past.takes[:, job])
    if isinstance(point.rule, Rerun):
        yield from _reruns(picture, seen, point, name, weights, job)


def _done(seen: Look, job: int) -> Floats:
    """When it is done, by sample."""
    return np.asarray(seen.finish[0, seen.night.plan.place[job]])


def _takes(name: str, did: str, took: float, times: Floats, past: Past, kind: str) -> Iterator[tuple[str, float]]:
    ran = np.isfinite(times)
    same = past.alike == 1.0 if past.alike is not None else np.ones(len(times), bool)
    known = usual(times[ran].tolist(), [kind if each else "" for each in same[ran]], kind, OWN_NIGHTS)
    if known is None:
        return
    middle, rare, of = known.most(0.5), known.most(0.9), "" if known.what == "runs" else f"{kind} "
    over, than = (took - rare, f"over its {of}p90") if took > rare else (took - middle, "more than usual")
    if over >= WORTH:
        runs = f"({len(known.values)} runs)"
        yield f"{name} {did} {duration_words(took)}, {duration_words(over)} {than} {runs}", took - middle


def _may_fail(seen: Look, name: str, past: Past, job: int) -> Iterator[tuple[str, float]]:
    """What has not failed tonight, and often does."""
    repairs = past.repairs[:, job]
    failed, nights = ~np.isnan(repairs), np.isfinite(past.takes[:, job]) | ~np.isnan(repairs)
    mended = repairs[np.isfinite(repairs)]
    repair = float(np.median(mended)) if len(mended) else float(np.exp(seen.night.repair.center))
    costs = repair * failed.sum() / max(nights.sum(), 1)
    if costs >= WORTH:
        after = f"restarted after {duration_words(repair)}" if len(mended) else "not restarted that night"
        yield f"{name} failed on {failed.sum()} of {nights.sum()} nights, and was {after}", float(costs)


def _over_declared(
    name: str, did: str, took: float, times: Floats, past: Past, kind: str
) -> Iterator[tuple[str, float]]:
    """Of a job that has no past but what is declared of it, night by night."""
    over = took - float(times[-1])
    if over >= WORTH:
        yield f"{name} {did} {duration_words(took)}, {duration_words(over)} over what is declared", over


def _guess(picture: Picture, point: Point, name: str) -> Iterator[tuple[str, float]]:
    """What nobody knows of a job that hardly ever ran."""
    known = picture.estimate(point.job_id)
    if known.source == "like" and known.takes is not None and point.stand is not Stand.DONE and point.takes:
        usual, ran = duration_words(known.takes.p50.total_seconds()), f"{known.runs} run{'s' * (known.runs != 1)}"
        words = f"{name} has {ran}, and {known.like} jobs like it take {usual}"
        yield words, (known.takes.p95 - known.takes.p50).total_seconds() + WORTH


def _moved(picture: Picture, point: Point, name: str, times: Floats) -> Iterator[tuple[str, float]]:
    """What takes longer since some night: the forecast goes by the new level."""
    moved = level_shift(times.tolist())
    if moved is not None and moved.since - moved.before >= WORTH:
        days = picture.estate.history.get(point.job_id, NO_HISTORY).days
        yield shift_words(name, moved, days, picture.now.date()), moved.since - moved.before


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
    yield f"{starts}, in {percent(share)} before its upstreams are good", float(weights @ costs)
