"""Only what lies below a change is computed anew, and comes out to the last bit as if all were; what nothing touched
stays as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from console.control.forecast import look as looks
from console.control.forecast.look import Look, Night, changed, look, night
from console.control.forecast.starts import Gate, Opens, Rerun
from console.control.forecast.sweep import CHUNK
from console.control.forecast.values import Graph, Past, Rule, Stand, Tonight

JOBS, NIGHTS, NOW = 300, 30, 2000.0


def an_estate(seed: int, order: np.random.Generator | None = None) -> Night:
    """Jobs of all kinds: they queue, fail, start by the clock, stand behind a gate."""
    random = np.random.default_rng(seed)
    upstreams = [
        sorted({int(each) for each in random.integers(0, job, 3)} if job > 20 else set()) for job in range(JOBS)
    ]
    takes = np.exp(random.normal(5, 1, JOBS) + 0.2 * random.standard_normal((NIGHTS, JOBS)))
    takes[random.random(takes.shape) < 0.05] = np.nan
    takes[:, 33] = np.nan
    repairs = np.where(random.random(takes.shape) < 0.03, 900.0, np.nan)
    upstreams[60], upstreams[61] = [], [58, 60]
    rules: dict[int, Rule] = {61: Rerun(60, (58,)), 90: Gate([Opens(1, tuple(upstreams[90]), (5000.0,))])}
    past = Past(takes.astype(np.float32), random.exponential(20, takes.shape), repairs)
    earliest = np.where(random.random(JOBS) < 0.1, random.uniform(0, 6000, JOBS), 0.0)
    return night(past, Graph(upstreams, earliest, rules, [f"job{each}" for each in range(JOBS)]), range(250, JOBS))


def as_it_stands(of: Night, seed: int) -> Tonight:
    """Upstreams of what runs are done."""
    random = np.random.default_rng(seed)
    stand, ready = np.full(JOBS, Stand.WAITS), np.full(JOBS, np.nan)
    start, end = np.full(JOBS, np.nan), np.full(JOBS, np.nan)
    for job, upstreams in enumerate(of.graph.upstreams):
        if all(stand[each] == Stand.DONE for each in upstreams):
            stand[job] = random.choice([Stand.DONE, Stand.DONE, Stand.RUNS, Stand.READY, Stand.FAILED])
            ready[job] = max((end[each] for each in upstreams), default=0.0)
            start[job] = ready[job] + 5 if stand[job] != Stand.READY else np.nan
            end[job] = start[job] + random.uniform(1, 300) if stand[job] in (Stand.DONE, Stand.FAILED) else np.nan
    return Tonight(stand, ready, start, end)


def next_step(seen: Tonight, seed: int) -> tuple[Tonight, int]:
    """One job that is on is done, or red."""
    random = np.random.default_rng(seed)
    job = int(random.choice(np.flatnonzero(np.isin(seen.stand, (Stand.RUNS, Stand.READY, Stand.FAILED)))))
    stand, start, end = seen.stand.copy(), seen.start.copy(), seen.end.copy()
    start[job] = seen.ready[job] + 5 if np.isnan(start[job]) else start[job]
    stand[job] = Stand.FAILED if stand[job] == Stand.RUNS and random.random() < 0.3 else Stand.DONE
    end[job] = NOW - 1
    return replace(seen, stand=stand, start=start, end=end), job


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """No buffer is read before it is written."""
    monkeypatch.setattr(looks, "room", lambda *shape: np.full(shape, np.nan, np.float32))


def same(one: Look, other: Look) -> bool:
    return one.finish.tobytes() == other.finish.tobytes() and one.ends.tobytes() == other.ends.tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_what_is_computed_below_a_change_is_what_a_whole_look_finds(seed: int) -> None:
    of_night = an_estate(seed)
    tonight = as_it_stands(of_night, seed)
    seen = first = look(tonight, NOW, of_night)
    assert of_night.chunks > 1, "failures are drawn"
    for step in range(8):
        tonight, job = next_step(tonight, 100 * seed + step)
        seen = changed(seen, tonight, [job])
        assert same(seen, look(tonight, NOW, of_night, held=first))
    assert np.isfinite(seen.finish).all()


def test_the_same_night_has_the_same_samples_and_nothing_jitters() -> None:
    of_night, again = an_estate(1), an_estate(1)
    tonight = as_it_stands(of_night, 1)
    seen = look(tonight, NOW, of_night)
    assert same(seen, look(tonight, NOW, again))
    before = seen.finish.copy()
    assert (
        changed(seen, tonight, np.flatnonzero(tonight.stand != Stand.WAITS).tolist()).finish.tobytes()
        == before.tobytes()
    )


def test_what_does_not_lie_below_keeps_every_sample() -> None:
    of_night = an_estate(2)
    tonight = as_it_stands(of_night, 2)
    seen = look(tonight, NOW, of_night)
    before = seen.finish.copy()
    after, job = next_step(tonight, 5)
    below, ahead = {job}, [job]
    while ahead:
        here = ahead.pop()
        new = {each for each, of in enumerate(of_night.graph.upstreams) if here in of} - below
        below |= new
        ahead += new
    moved = np.flatnonzero((changed(seen, after, [job]).finish != before).any(axis=(0, 2)))
    assert {int(of_night.plan.order[place]) for place in moved} <= below


def test_a_look_that_keeps_one_chunk_says_the_same_of_services_and_cannot_be_changed() -> None:
    of_night = an_estate(0)
    tonight = as_it_stands(of_night, 0)
    whole, part = look(tonight, NOW, of_night), look(tonight, NOW, of_night, kept=1)
    assert whole.ends.tobytes() == part.ends.tobytes()
    assert whole.finish[:1].tobytes() == part.finish.tobytes()
    assert part.finish.shape[0] * CHUNK < part.ends.shape[0] * CHUNK
    with pytest.raises(ValueError, match="kept some chunks only"):
        changed(part, tonight, [0])
