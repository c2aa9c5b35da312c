"""What a job is taken to vary that ran on few nights: as the others do that ran on many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.forecast.simulation import past_views
from console.forecast.simulation.past_views import (
    FEWEST_JOBS,
    LEAST_SPREAD,
    OFTEN,
    UNKNOWN_SPREAD,
    doubt,
    followed,
    peer_spread,
    recent,
    usual_durations,
)
from console.forecast.simulation.simulator import prepare_night, run_simulation
from console.forecast.simulation.values import Floats, JobPhase, NightHistory, SimulationGraph, Tonight

NIGHTS = 40


def nights(jobs: int, spread: float, few: int = 0, seed: int = 1) -> Floats:
    """Nights x jobs, s; the last job ran on the `few` last nights alone, 0: on all."""
    takes = 600 * np.exp(spread * np.random.default_rng(seed).standard_normal((NIGHTS, jobs)))
    if few:
        takes[:-few, -1] = np.nan
    return takes


def drawn(takes: Floats, job: int, declared: Floats | None = None) -> float:
    """How far the middle nine tenths of what the job takes tonight lie apart, in logarithms."""
    jobs = takes.shape[1]
    never = np.full(jobs, np.nan)
    past = NightHistory(takes, np.zeros_like(takes), np.full(takes.shape, np.nan), declared=declared)
    seen = run_simulation(
        Tonight(np.full(jobs, JobPhase.WAITS), never, never, never), 0.0,
        prepare_night(past, SimulationGraph([[] for _ in range(jobs)], np.zeros(jobs)), list(range(jobs))),
    )  # fmt: skip
    low, high = np.quantile(np.log(seen.samples(job).finish), [0.05, 0.95])
    return float(high - low)


def test_others_are_the_middle_of_the_jobs_that_ran_often() -> None:
    spreads, runs = np.array([0.1, 0.2, 0.3, 0.9, 0.9]), np.array([OFTEN, 40, 80, OFTEN - 1, 1])
    assert (0.2, 3) == peer_spread(spreads, runs)
    assert (UNKNOWN_SPREAD, 0) == peer_spread(spreads[1:], runs[1:]), f"fewer than {FEWEST_JOBS} ran often"
    assert (UNKNOWN_SPREAD, 0) == peer_spread(np.empty(0), np.empty(0, int))


def test_what_never_varies_is_a_mark_and_says_nothing_about_a_job() -> None:
    marks = np.zeros(50)
    assert (0.2, 3) == peer_spread(np.append([0.1, 0.2, 0.3], marks), np.full(53, 40))
    assert (UNKNOWN_SPREAD, 0) == peer_spread(marks, np.full(50, 40))


@pytest.mark.parametrize("spread, value", [(1e-6, LEAST_SPREAD), (3.0, UNKNOWN_SPREAD)])
def test_peers_never_vary_less_than_any_job_or_more_than_an_unknown_one(spread: float, value: float) -> None:
    assert (value, 5) == peer_spread(np.full(5, spread), np.full(5, 40))


varies = st.floats(LEAST_SPREAD, UNKNOWN_SPREAD)


@given(st.integers(0, 200), st.integers(0, 200), varies, varies)
def test_more_nights_or_calmer_others_never_make_a_job_more_doubtful(
    runs: int, more: int, calm: float, wild: float
) -> None:
    calm, wild = min(calm, wild), max(calm, wild)
    few, many = doubt(np.array([runs, runs + more]), calm)
    assert many <= few <= UNKNOWN_SPREAD
    assert few <= doubt(np.array([runs]), wild)[0] + 1e-12


@given(varies)
def test_a_job_that_never_ran_may_take_anything_however_calm_the_others_are(calm: float) -> None:
    assert UNKNOWN_SPREAD == pytest.approx(doubt(np.array([0]), calm)[0])


@pytest.mark.parametrize("few", [1, 2, 4])
def test_a_job_of_few_nights_is_drawn_as_wide_as_the_others_vary(few: int) -> None:
    calm, wild = (drawn(nights(8, spread, few), 7) for spread in (0.03, 0.4))
    assert calm < 0.25, "nobody around it varies by more than a tenth"
    assert wild > 2 * calm


def test_where_no_job_ran_often_everything_of_few_nights_is_wide() -> None:
    assert drawn(nights(8, 0.03)[-2:], 7) > 0.5


def test_a_job_of_many_nights_is_its_own_whatever_the_others_do() -> None:
    beside_calm, beside_wild = (nights(8, spread, seed=4) for spread in (0.03, 0.4))
    beside_calm[:, 7] = beside_wild[:, 7] = nights(1, 0.1, seed=9)[:, 0]
    results = [usual_durations(of(values), peer_spread(of(values).spread, of(values).runs).spread).spread[7]
            for of in (recent, followed) for values in (beside_calm, beside_wild)]  # fmt: skip
    assert results[0] == pytest.approx(results[1], rel=0.02)
    assert results[2] == pytest.approx(results[3], rel=0.02)


def test_others_are_those_of_the_whole_night_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last job is alone in its component."""
    takes = nights(9, 0.1, few=2)
    whole = drawn(takes, 8)
    monkeypatch.setattr(past_views, "PART", 4)
    assert whole == drawn(takes, 8)


@pytest.mark.parametrize("known", [600.0, np.nan], ids=["every night as declared", "never ran"])
def test_what_is_declared_varies_as_the_jobs_do_that_ran_often(known: float) -> None:
    declared = np.append(np.full(5, np.nan), 600.0)
    calm, wild = (nights(6, spread) for spread in (0.03, 0.2))
    calm[:, 5] = wild[:, 5] = known
    assert drawn(calm, 5, declared) < 0.2
    assert drawn(wild, 5, declared) == pytest.approx(3.3 * 0.2, rel=0.3), "nine tenths of a normal distribution"


def test_a_declared_duration_is_trusted_where_hardly_a_job_shows_how_nights_vary() -> None:
    takes = nights(FEWEST_JOBS, 0.2)
    takes[:, -1] = 600.0
    assert 0.0 == drawn(takes, FEWEST_JOBS - 1, np.append(np.full(FEWEST_JOBS - 1, np.nan), 600.0))


def test_what_ran_on_few_nights_is_not_what_was_declared_of_it() -> None:
    takes = nights(6, 0.2)
    takes[:-4, 5] = np.nan
    assert drawn(takes, 5, np.full(6, 600.0)) == drawn(takes, 5)
