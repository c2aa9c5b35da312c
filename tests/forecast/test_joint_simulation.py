"""The joint simulation: what must hold whatever the estate, on small generated nights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.domain.forecast import PastForecasts
from console.forecast.calibration import PRIOR, fit_slopes, publish_odds, recalibrated
from console.forecast.past_nights import night_similarity
from console.forecast.simulation.critical_path import act_by_times, critical_path, slack_of
from console.forecast.simulation.draws import fit_repair_times, residual_times, restarts
from console.forecast.simulation.layers import plan_layers
from console.forecast.simulation.past_views import find_stand_ins
from console.forecast.simulation.simulator import SimulationRun, p_late, prepare_night, quantiles, run_simulation
from console.forecast.simulation.values import Floats, JobPhase, NightHistory, ServicePromise, SimulationGraph, Tonight
from tests.rows import each_row

NIGHTS, JOBS = 40, 12
UPSTREAMS = [[], [], [0], [0, 1], [2], [2, 3], [3], [4, 5], [6], [7, 8], [8], [9, 10]]
LAST = JOBS - 1


def a_past(seed: int, jobs: int = JOBS, nights: int = NIGHTS) -> NightHistory:
    """Every night has a factor that all of its jobs share; one job in ten did not run."""
    random = np.random.default_rng(seed)
    slow = np.exp(0.2 * random.standard_normal((nights, 1)))
    takes = 300 * slow * np.exp(0.1 * random.standard_normal((nights, jobs)))
    takes[random.random(takes.shape) < 0.1] = np.nan
    return NightHistory(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))


def tonight_after(now: float, starts: Floats, takes: Floats) -> Tonight:
    """As seen at `now` of a night whose jobs start and take this."""
    ends = starts + takes
    phase = np.select([ends <= now, starts <= now], [JobPhase.DONE, JobPhase.RUNS], JobPhase.WAITS)
    return Tonight(phase, starts, np.where(starts <= now, starts, np.nan), np.where(ends <= now, ends, np.nan))


def starts_of(takes: Floats) -> Floats:
    starts = np.zeros(JOBS)
    for job, upstreams in enumerate(UPSTREAMS):
        starts[job] = max((starts[upstream] + takes[upstream] for upstream in upstreams), default=0.0)
    return starts


def seen_at(now: float, seed: int, factor: float = 1.0) -> SimulationRun:
    takes = np.full(JOBS, 300.0 * factor)
    return run_simulation(tonight_after(now, starts_of(takes), takes), now, prepare_night(a_past(seed), GRAPH, [LAST]))


GRAPH = SimulationGraph(UPSTREAMS, np.zeros(JOBS))
PROMISE = ServicePromise("payments", np.array([LAST]), 2000.0)


@each_row("seed", range(4))
def test_more_elapsed_time_never_makes_a_finish_earlier(seed: int) -> None:
    random = np.random.default_rng(seed)
    times, weights = random.gamma(2.0, 100.0, 60), 0.5 ** (np.arange(60) / 9)
    results = [
        residual_times(times[None], weights, np.array([elapsed]), np.array([80.0]))[0]
        for elapsed in np.linspace(0, 1500, 90)
    ]
    assert np.all(np.diff(np.stack(results), axis=0) >= -1e-6)
    assert np.array_equal(times, results[0])
    assert results[-1].min() >= 1500


def test_a_job_that_overtook_all_of_its_past_ends_a_part_of_its_spread_later_and_of_what_it_is_beyond() -> None:
    times = np.linspace(100, 200, 30)
    soon, long_after = (
        residual_times(times[None], np.ones(30), np.array([number]), np.array([50.0]), 1.0)[0] - number
        for number in (201.0, 400.0)
    )
    assert 0 <= min(soon.min(), long_after.min())
    assert 5.0 < soon.mean() < 50.0
    assert 0.5 * 235.0 < long_after.mean() < 1.5 * 235.0, "0.7 of the spread, and the 200 s that it is beyond"


@each_row("seed", range(4))
def test_a_removed_job_never_makes_a_finish_later(seed: int) -> None:
    past, nothing = a_past(seed), np.full(JOBS, np.nan)
    waiting = Tonight(np.full(JOBS, JobPhase.WAITS), nothing, nothing, nothing)

    def done(upstreams: list[list[int]]) -> Floats:
        seen = run_simulation(waiting, 0.0, prepare_night(past, SimulationGraph(upstreams, np.zeros(JOBS)), [LAST]))
        return seen.samples(LAST).finish

    whole = done(UPSTREAMS)
    for number in range(LAST):
        fewer = [
            [] if job == number else [index for index in upstream if index != number]
            for job, upstream in enumerate(UPSTREAMS)
        ]
        assert np.all(done(fewer) <= whole)


def finish_quantiles(sim: SimulationRun, promise: ServicePromise = PROMISE) -> Floats:
    outcome = sim.outcome(promise)
    return quantiles(outcome.finish, outcome.weights, np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]))


@pytest.mark.parametrize("now", [0.0, 450.0, 1100.0])
def test_quantiles_are_ordered_and_not_before_now(now: float) -> None:
    sim = seen_at(now, 3)
    finishes = finish_quantiles(sim)
    assert np.all(np.diff(finishes) >= 0)
    assert finishes[0] >= now
    assert 0 <= p_late(sim, PROMISE) <= 1


def test_the_same_question_has_the_same_answer() -> None:
    first, again = (seen_at(450.0, 1) for _ in range(2))
    assert p_late(first, PROMISE) == p_late(again, PROMISE)
    assert np.array_equal(finish_quantiles(first), finish_quantiles(again))


def test_other_numbers_for_the_jobs_change_nothing() -> None:
    order = np.random.default_rng(5).permutation(JOBS)
    place = np.argsort(order)
    takes = np.full(JOBS, 310.0)
    tonight, past = tonight_after(700.0, starts_of(takes), takes), a_past(2)
    turned = Tonight(*(getattr(tonight, text)[order] for text in ("phase", "ready", "start", "end")))
    graph = SimulationGraph([[int(place[upstream]) for upstream in UPSTREAMS[job]] for job in order], np.zeros(JOBS))
    other = NightHistory(past.takes[:, order], past.waits[:, order], past.repairs[:, order])
    seen = run_simulation(turned, 700.0, prepare_night(other, graph, [int(place[LAST])]))
    turned_promise = replace(PROMISE, ends=place[[LAST]])
    same = run_simulation(tonight, 700.0, prepare_night(past, GRAPH, [LAST]))
    assert p_late(same, PROMISE) == pytest.approx(p_late(seen, turned_promise))
    assert np.allclose(finish_quantiles(same), finish_quantiles(seen, turned_promise))


def test_a_slow_night_makes_what_is_still_to_come_later() -> None:
    usual, slow = (seen_at(300.0 * factor + 1, 7, factor) for factor in (1.0, 1.4))
    later = finish_quantiles(slow)[3] - finish_quantiles(usual)[3]
    assert later > 120 + 100, "two jobs were 120 s late, and four are still to come"
    assert p_late(slow, PROMISE) > p_late(usual, PROMISE)


def test_a_job_without_history_takes_what_its_like_take() -> None:
    past = a_past(1)
    past.takes[:, 5] = np.nan
    seen = run_simulation(
        tonight_after(0.0, np.full(JOBS, 1.0), np.ones(JOBS)), 0.0, prepare_night(past, GRAPH, [LAST])
    )
    assert np.median(seen.samples(5).finish - seen.samples(3).finish) == pytest.approx(300.0, rel=0.3)
    assert np.isfinite(finish_quantiles(seen)).all()


def test_nothing_at_all_is_known_on_the_first_night() -> None:
    empty = np.empty((0, JOBS))
    with pytest.raises(ValueError, match="no earlier night"):
        prepare_night(NightHistory(empty, empty, empty), GRAPH, [LAST])


def test_a_loop_is_named() -> None:
    with pytest.raises(ValueError, match="job 0 waits for itself"):
        plan_layers([[1], [0]], [0])


def test_only_what_a_service_waits_for_is_computed() -> None:
    assert [0, 1, 3, 6, 8] == sorted(plan_layers(UPSTREAMS, [8]).jobs)
    seen = run_simulation(
        tonight_after(0.0, np.full(JOBS, 1.0), np.ones(JOBS)), 0.0, prepare_night(a_past(1), GRAPH, [8])
    )
    assert seen.finish.shape[1] == 5


def test_a_thursday_is_measured_by_thursdays_once_there_are_enough() -> None:
    """Every seventh night takes twice as long."""
    takes = np.where(np.arange(70)[:, None] % 7 == 6, 600.0, 300.0) * np.exp(0.02 * np.sin(np.arange(70))[:, None])
    classes = ["thu" if night % 7 == 6 else "other" for night in range(69)]
    past = NightHistory(takes[:69], np.zeros((69, 1)), np.full((69, 1), np.nan))
    nothing = np.array([np.nan])
    unseen = Tonight(np.array([JobPhase.WAITS]), nothing, nothing, nothing)
    simulation_graph = SimulationGraph([[]], np.zeros(1))
    late = ServicePromise("payments", np.array([0]), 500.0)
    plain, thursday, other = (
        p_late(
            run_simulation(unseen, 0.0, prepare_night(replace(past, similarity=values), simulation_graph, [0])), late
        )
        for values in (None, night_similarity(classes, "thu"), night_similarity(classes, "other"))
    )
    assert other < plain < thursday
    assert list(night_similarity(["a", "b"], "c")) == [1.0, 1.0], "no night of its own class yet: all count"


def test_the_samples_own_share_is_published_and_a_passed_deadline_is_late() -> None:
    seen = seen_at(450.0, 1)
    soon, over = (replace(PROMISE, deadline=number) for number in (1900.0, 450.0))
    odds = publish_odds(seen, soon, PRIOR)
    assert 0.0 < odds.own == p_late(seen, soon) == p_late(odds.sim, soon) < 1.0
    late = publish_odds(seen, over, PRIOR)
    assert (1.0, 1.0) == (late.own, p_late(late.sim, over))


def test_a_failure_later_tonight_is_as_likely_as_on_earlier_nights() -> None:
    """One job of 600 s that failed on every third night and took 20 minutes to repair; due after a thousand seconds."""
    takes, repairs = np.full((30, 1), 600.0), np.full((30, 1), np.nan)
    repairs[::3] = 1200.0
    nothing = np.array([np.nan])
    waiting = Tonight(np.array([JobPhase.WAITS]), nothing, nothing, nothing)
    promise = ServicePromise("payments", np.array([0]), 1000.0)
    seen = run_simulation(
        waiting,
        0.0,
        prepare_night(NightHistory(takes, np.zeros_like(takes), repairs), SimulationGraph([[]], np.zeros(1)), [0]),
    )
    assert publish_odds(seen, promise, PRIOR).own == pytest.approx(1 / 3, abs=0.02)


@given(
    seed=st.integers(0, 40),
    now=st.floats(1.0, 1100.0),
    deadlines=st.lists(st.floats(5.0, 4000.0), min_size=2, max_size=6),
    lost=st.booleans(),
)
def test_an_extended_deadline_never_raises_p_late(seed: int, now: float, deadlines: list[float], lost: bool) -> None:
    """Whatever the recalibration."""
    slopes = fit_slopes([PastForecasts([0.3, 0.6], lost, night) for night in range(30)])
    seen = seen_at(now, seed, factor=1.0 + seed / 40)
    promises = [replace(PROMISE, deadline=now + deadline) for deadline in sorted(deadlines)]
    results = [p_late(publish_odds(seen, promise, slopes).sim, promise) for promise in promises]
    assert results == sorted(results, reverse=True)


def test_few_own_forecasts_change_little_and_many_wrong_ones_much() -> None:
    wrong = [PastForecasts([0.8, 0.8], False, night) for night in range(60)]
    at = [recalibrated(0.8, fit_slopes(wrong[:count])) for count in (0, 1, 60)]
    assert at[0] == pytest.approx(0.8)
    assert at[1] > 0.65
    assert at[2] < 0.4
    assert recalibrated(0.9, fit_slopes(wrong)) > at[2], "what was more likely stays so"


def test_one_night_on_which_everything_was_late_does_not_turn_forecasts_round() -> None:
    """One very late night keeps the calibrated risks in order and away from the extremes."""
    ends = [0.02] * 150 + [0.9] * 50
    slopes = fit_slopes([PastForecasts([0.02] * 10 + [end] * 2, end > 0.5, night) for night, end in enumerate(ends)])
    at = [recalibrated(late, slopes) for late in (0.02, 0.1, 0.5, 0.9)]
    assert at == sorted(at)
    assert 0.02 < at[0] < 0.5 < at[2] < at[3] < 0.95


def test_an_outage_that_affected_every_service_of_a_night_is_one_outage() -> None:
    """Else the next night, of which next to nothing is feared, is at risk for all of them."""
    lost = [PastForecasts([0.02] * 10 + [0.9] * 2, True, night=6)] * 50
    calm = [PastForecasts([0.02] * 12, False, night) for night in range(6) for _ in range(50)]
    assert 0.02 < recalibrated(0.02, fit_slopes(calm + lost)) < 0.1
    apart = [night._replace(night=number) for number, night in enumerate(lost, 100)]
    assert recalibrated(0.02, fit_slopes(calm + apart)) > 0.25, "fifty nights of that are another matter"


def test_what_was_more_likely_stays_so_whatever_was_learned() -> None:
    low, high = (recalibrated(late, np.array([0.0, -1.0])) for late in (0.1, 0.9))
    assert low < high


def test_a_repair_is_the_priors_until_the_estate_has_its_own() -> None:
    assert 1500.0 == pytest.approx(np.exp(fit_repair_times(np.full((5, 2), np.nan)).center))
    own = fit_repair_times(np.array([[300.0, np.nan]] * 60))
    assert 300.0 == pytest.approx(np.exp(own.center), rel=0.1)
    values = restarts(own, np.ones(80), np.zeros(1))
    assert 300.0 == pytest.approx(np.median(values), rel=0.15)
    assert restarts(own, np.ones(80), np.full(1, 900.0)).min() >= 900.0


def test_act_by_leaves_what_the_path_after_the_job_takes() -> None:
    """Every night has the same figures: 0 and 1 take 100 s each, in sequence, and 1 delivers at 1000 s."""
    takes = np.full((20, 2), 100.0)
    past = NightHistory(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))
    nothing = np.full(2, np.nan)
    red = Tonight(
        np.array([JobPhase.FAILED, JobPhase.WAITS]), nothing, np.array([0.0, np.nan]), np.array([50.0, np.nan])
    )
    promise = ServicePromise("payments", np.array([1]), 1000.0)
    seen = run_simulation(red, 60.0, prepare_night(past, SimulationGraph([[], [0]], np.zeros(2)), [1]))
    assert act_by_times(seen, promise, slack_of(seen, promise), [0], 0.1) == pytest.approx((800.0, 900.0), abs=25.0)
    soon = replace(promise, deadline=150.0)
    assert act_by_times(seen, soon, slack_of(seen, soon), [0], 0.1) is None, "1 alone takes longer"


def test_criticality_and_slack_come_from_the_same_columns() -> None:
    """0 and 1 begin at once, 2 waits for both; 0 takes four times as long as 1."""
    takes = np.tile([400.0, 100.0, 50.0], (20, 1))
    past = NightHistory(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))
    nothing = np.full(3, np.nan)
    seen = run_simulation(
        Tonight(np.full(3, JobPhase.WAITS), nothing, nothing, nothing),
        0.0,
        prepare_night(past, SimulationGraph([[], [], [0, 1]], np.zeros(3)), [2]),
    )
    slack = slack_of(seen, ServicePromise("payments", np.array([2]), 1000.0))
    assert list(slack.critical) == pytest.approx([1.0, 0.0, 1.0])
    assert list(slack.seconds) == pytest.approx([550.0, 850.0, 550.0], abs=30.0)


def test_the_way_goes_by_who_decides_most_often_not_by_who_is_done_last_on_a_usual_night() -> None:
    """0 is done last on a usual night; on two of five 1 is very late, on two others 2; 3 waits for all of them."""
    takes = np.tile([600.0, 500.0, 500.0, 50.0], (60, 1))
    for job in (1, 2):
        takes[np.arange(60) % 5 // 2 == job - 1, job] = 1500.0
    past = NightHistory(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))
    nothing = np.full(4, np.nan)
    tonight = Tonight(np.full(4, JobPhase.WAITS), nothing, nothing, nothing)
    seen = run_simulation(tonight, 0.0, prepare_night(past, SimulationGraph([[], [], [], [0, 1, 2]], np.zeros(4)), [3]))
    promise = ServicePromise("payments", np.array([3]), 2000.0)
    assert np.argmax([np.median(seen.samples(job).finish) for job in range(3)]) == 0
    first, last = critical_path(seen, promise, slack_of(seen, promise), range(4))
    assert (first in (1, 2), last) == (True, 3)


def test_a_gap_is_filled_by_a_comparable_night_or_where_these_are_few_by_any_night_of_the_job() -> None:
    ran, night_of = np.ones((12, 2), bool), np.arange(11, 3, -1)
    ran[[6, 9], 0] = False
    ran[[3, 4, 6, 7, 8, 9, 11], 1] = False
    stand_ins = find_stand_ins(ran, np.arange(2), night_of)
    assert [(0, 9), (0, 6)] == [
        (place, night_of[item]) for place, item in zip(stand_ins.place, stand_ins.column, strict=True)
    ]
    assert ran[night_of[stand_ins.of], 0].all()
    assert [1] == list(stand_ins.rare), "it ran on two of the eight"
    assert {0, 1, 5, 10} == set(stand_ins.nights[0].tolist()), "older ones too"


def test_no_job_is_drawn_to_wait_longer_than_twice_its_longest_wait() -> None:
    """Since four nights it waits: another such leap, in logarithms, would be hours."""
    takes, waits = np.full((60, 1), 100.0), np.zeros((60, 1))
    waits[-4:] = 300.0
    nothing = np.array([np.nan])
    past = NightHistory(takes, waits, np.full(takes.shape, np.nan))
    ready = Tonight(np.array([JobPhase.WAITS]), nothing, nothing, nothing)
    finish = run_simulation(ready, 0.0, prepare_night(past, SimulationGraph([[]], np.zeros(1)), [0])).samples(0).finish
    assert 300.0 < finish.max() <= 600.0 + 110.0
