"""The joint simulation: what must hold whatever the estate, on small generated nights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from console.control.forecast.calibration.facts import facts
from console.control.forecast.calibration.learned import learned
from console.control.forecast.calibration.recalibrate import PRIOR, ServiceNight, learn, recalibrated
from console.control.forecast.calibration.tell import tell
from console.control.forecast.simulation.alike import alike
from console.control.forecast.simulation.critical_path import critical_path
from console.control.forecast.simulation.layers import plan
from console.control.forecast.simulation.look import Look, answer, look, night
from console.control.forecast.simulation.outcome import quantiles
from console.control.forecast.simulation.repair import repair, restarts
from console.control.forecast.simulation.residual import beyond
from console.control.forecast.simulation.restart import restart
from console.control.forecast.simulation.slack import slack_of
from console.control.forecast.simulation.stand_ins import stand_ins
from console.control.forecast.simulation.tilt import UNSEEN
from console.control.forecast.simulation.values import Floats, Graph, Past, Promise, Stand, Tonight

NIGHTS, JOBS = 40, 12
UPSTREAMS = [[], [], [0], [0, 1], [2], [2, 3], [3], [4, 5], [6], [7, 8], [8], [9, 10]]
LAST = JOBS - 1


def a_past(seed: int, jobs: int = JOBS, nights: int = NIGHTS) -> Past:
    """Every night has a factor that all of its jobs share; one job in ten did not run."""
    random = np.random.default_rng(seed)
    slow = np.exp(0.2 * random.standard_normal((nights, 1)))
    takes = 300 * slow * np.exp(0.1 * random.standard_normal((nights, jobs)))
    takes[random.random(takes.shape) < 0.1] = np.nan
    return Past(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))


def tonight_after(now: float, starts: Floats, takes: Floats) -> Tonight:
    """As seen at `now` of a night whose jobs start and take this."""
    ends = starts + takes
    stand = np.select([ends <= now, starts <= now], [Stand.DONE, Stand.RUNS], Stand.WAITS)
    return Tonight(stand, starts, np.where(starts <= now, starts, np.nan), np.where(ends <= now, ends, np.nan))


def starts_of(takes: Floats) -> Floats:
    starts = np.zeros(JOBS)
    for job, upstreams in enumerate(UPSTREAMS):
        starts[job] = max((starts[each] + takes[each] for each in upstreams), default=0.0)
    return starts


def seen_at(now: float, seed: int, factor: float = 1.0) -> Look:
    takes = np.full(JOBS, 300.0 * factor)
    return look(tonight_after(now, starts_of(takes), takes), now, night(a_past(seed), GRAPH, [LAST]))


GRAPH = Graph(UPSTREAMS, np.zeros(JOBS))
PROMISE = Promise("payments", np.array([LAST]), 2000.0)


@pytest.mark.parametrize("seed", range(4))
def test_more_elapsed_time_never_makes_a_finish_earlier(seed: int) -> None:
    random = np.random.default_rng(seed)
    times, weights = random.gamma(2.0, 100.0, 60), 0.5 ** (np.arange(60) / 9)
    told = [
        beyond(times[None], weights, np.array([elapsed]), np.array([80.0]))[0] for elapsed in np.linspace(0, 1500, 90)
    ]
    assert np.all(np.diff(np.stack(told), axis=0) >= -1e-6)
    assert np.array_equal(times, told[0])
    assert told[-1].min() >= 1500


def test_a_job_that_overtook_all_of_its_past_ends_a_part_of_its_spread_later_and_of_what_it_is_beyond() -> None:
    times = np.linspace(100, 200, 30)
    soon, long_after = (
        beyond(times[None], np.ones(30), np.array([gone]), np.array([50.0]), 1.0)[0] - gone for gone in (201.0, 400.0)
    )
    assert 0 <= min(soon.min(), long_after.min())
    assert 5.0 < soon.mean() < 50.0
    assert 0.5 * 235.0 < long_after.mean() < 1.5 * 235.0, "0.7 of the spread, and the 200 s that it is beyond"


@pytest.mark.parametrize("seed", range(4))
def test_a_removed_job_never_makes_a_finish_later(seed: int) -> None:
    past, nothing = a_past(seed), np.full(JOBS, np.nan)
    waiting = Tonight(np.full(JOBS, Stand.WAITS), nothing, nothing, nothing)

    def done(upstreams: list[list[int]]) -> Floats:
        seen = look(waiting, 0.0, night(past, Graph(upstreams, np.zeros(JOBS)), [LAST]))
        return seen.samples(LAST).finish

    whole = done(UPSTREAMS)
    for gone in range(LAST):
        fewer = [[] if job == gone else [one for one in each if one != gone] for job, each in enumerate(UPSTREAMS)]
        assert np.all(done(fewer) <= whole)


@pytest.mark.parametrize("now", [0.0, 450.0, 1100.0])
def test_quantiles_are_ordered_and_not_before_now(now: float) -> None:
    told = answer(seen_at(now, 3), PROMISE)
    assert np.all(np.diff(told.quantiles) >= 0)
    assert told.quantiles[0] >= now
    assert 0 <= told.late <= 1


def test_the_same_question_has_the_same_answer() -> None:
    first, again = (answer(seen_at(450.0, 1), PROMISE) for _ in range(2))
    assert first.late == again.late
    assert np.array_equal(first.quantiles, again.quantiles)


def test_other_numbers_for_the_jobs_change_nothing() -> None:
    order = np.random.default_rng(5).permutation(JOBS)
    place = np.argsort(order)
    takes = np.full(JOBS, 310.0)
    tonight, past = tonight_after(700.0, starts_of(takes), takes), a_past(2)
    turned = Tonight(*(getattr(tonight, each)[order] for each in ("stand", "ready", "start", "end")))
    graph = Graph([[int(place[one]) for one in UPSTREAMS[job]] for job in order], np.zeros(JOBS))
    other = Past(past.takes[:, order], past.waits[:, order], past.repairs[:, order])
    seen = look(turned, 700.0, night(other, graph, [int(place[LAST])]))
    told = answer(seen, replace(PROMISE, ends=place[[LAST]]))
    same = answer(look(tonight, 700.0, night(past, GRAPH, [LAST])), PROMISE)
    assert same.late == pytest.approx(told.late)
    assert np.allclose(same.quantiles, told.quantiles)


def test_a_slow_night_makes_what_is_still_to_come_later() -> None:
    usual, slow = (answer(seen_at(300.0 * factor + 1, 7, factor), PROMISE) for factor in (1.0, 1.4))
    later = slow.quantiles[3] - usual.quantiles[3]
    assert later > 120 + 100, "two jobs were 120 s late, and four are still to come"
    assert slow.late > usual.late


def test_a_job_without_history_takes_what_its_like_take() -> None:
    past = a_past(1)
    past.takes[:, 5] = np.nan
    seen = look(tonight_after(0.0, np.full(JOBS, 1.0), np.ones(JOBS)), 0.0, night(past, GRAPH, [LAST]))
    assert np.median(seen.samples(5).finish - seen.samples(3).finish) == pytest.approx(300.0, rel=0.3)
    assert np.isfinite(answer(seen, PROMISE).quantiles).all()


def test_nothing_at_all_is_known_on_the_first_night() -> None:
    empty = np.empty((0, JOBS))
    with pytest.raises(ValueError, match="no earlier night"):
        night(Past(empty, empty, empty), GRAPH, [LAST])


def test_a_loop_is_named() -> None:
    with pytest.raises(ValueError, match="job 0 waits for itself"):
        plan([[1], [0]], [0])


def test_only_what_a_service_waits_for_is_computed() -> None:
    assert [0, 1, 3, 6, 8] == sorted(plan(UPSTREAMS, [8]).jobs)
    seen = look(tonight_after(0.0, np.full(JOBS, 1.0), np.ones(JOBS)), 0.0, night(a_past(1), GRAPH, [8]))
    assert seen.finish.shape[1] == 5


def test_a_thursday_is_measured_by_thursdays_once_there_are_enough() -> None:
    """Every seventh night takes twice as long."""
    takes = np.where(np.arange(70)[:, None] % 7 == 6, 600.0, 300.0) * np.exp(0.02 * np.sin(np.arange(70))[:, None])
    classes = ["thu" if night % 7 == 6 else "other" for night in range(69)]
    past = Past(takes[:69], np.zeros((69, 1)), np.full((69, 1), np.nan))
    nothing = np.array([np.nan])
    unseen = Tonight(np.array([Stand.WAITS]), nothing, nothing, nothing)
    one = Graph([[]], np.zeros(1))
    late = Promise("payments", np.array([0]), 500.0)
    plain, thursday, other = (
        answer(look(unseen, 0.0, night(replace(past, alike=each), one, [0])), late).late
        for each in (None, alike(classes, "thu"), alike(classes, "other"))
    )
    assert other < plain < thursday
    assert list(alike(["a", "b"], "c")) == [1.0, 1.0], "no night of its own class yet: all count"


def test_what_is_learned_moves_the_columns_and_a_passed_deadline_is_late() -> None:
    count = len(facts(seen_at(450.0, 1), PROMISE))
    tree = {"fact": [[0]], "bound": [[0.0]], "leaves": [[-1.0, 1.0]], "start": -1.0}
    line = {"mean": [0.0] * count, "scale": [1.0] * count, "slopes": [2.0] + [0.0] * (count - 1), "constant": -1.0}
    seen, model = seen_at(450.0, 1), learned(tree | line)
    promises = [replace(PROMISE, deadline=each) for each in (9000.0, 1000.0, 450.0)]
    told = [tell(seen, each, model, PRIOR) for each in promises]
    sure, doubtful, over = (answer(one.look, each).late for one, each in zip(told, promises, strict=True))
    assert sure < 0.01 < 0.5 < doubtful
    assert (1.0, 1.0) == (over, told[-1].own)


def test_where_something_is_broken_the_samples_are_told_as_they_are() -> None:
    """Hardly a night was like that where the model was learned."""
    count = len(facts(seen_at(450.0, 1), PROMISE))
    tree = {"fact": [[0]], "bound": [[0.0]], "leaves": [[0.0, 0.0]], "start": -6.0}
    never_late = learned(
        tree | {"mean": [0.0] * count, "scale": [1.0] * count, "slopes": [0.0] * count, "constant": -6.0}
    )
    usual = tonight_after(450.0, starts_of(np.full(JOBS, 300.0)), np.full(JOBS, 300.0))
    running = int(np.flatnonzero(usual.stand == Stand.RUNS)[0])
    red, late = (
        Tonight(*(getattr(usual, each).copy() for each in ("stand", "ready", "start", "end"))) for _ in range(2)
    )
    red.stand[running] = Stand.FAILED
    red.end[running] = 440.0
    late.ready[running] = usual.start[running] - 1200.0
    soon = replace(PROMISE, deadline=1100.0)
    for tonight, is_learned in ((usual, True), (red, False), (late, False)):
        seen = look(tonight, 450.0, night(a_past(1), GRAPH, [LAST]))
        own = tell(seen, soon, never_late, PRIOR).own
        assert (own < 0.01) == is_learned
        assert is_learned or own == answer(seen, soon).late > 0.9


@pytest.mark.parametrize("says", [-6.0, 0.0])
def test_what_fails_later_tonight_is_told_by_the_samples_and_the_rest_by_what_was_learned(says: float) -> None:
    """One job of 600 s that failed on every third night and took 20 minutes to repair; due after a thousand seconds.
    Where it was learned, next to nothing failed."""
    takes, repairs = np.full((30, 1), 600.0), np.full((30, 1), np.nan)
    repairs[::3] = 1200.0
    nothing = np.array([np.nan])
    waiting = Tonight(np.array([Stand.WAITS]), nothing, nothing, nothing)
    promise = Promise("payments", np.array([0]), 1000.0)
    seen = look(waiting, 0.0, night(Past(takes, np.zeros_like(takes), repairs), Graph([[]], np.zeros(1)), [0]))
    count = len(facts(seen, promise))
    line = {"mean": [0.0] * count, "scale": [1.0] * count, "slopes": [0.0] * count, "constant": says}
    same = learned(line | {"fact": [[0]], "bound": [[0.0]], "leaves": [[0.0, 0.0]], "start": says})
    rest = 1 / (1 + np.exp(-says))
    assert tell(seen, promise, same, PRIOR).own == pytest.approx(1 / 3 + 2 / 3 * rest, abs=0.02)
    at = [tell(seen, replace(promise, deadline=due), same, PRIOR).own for due in range(300, 6000, 100)]
    assert at == sorted(at, reverse=True), "an extended deadline never raises it"


def test_what_was_learned_makes_no_failure_likelier_that_is_still_to_come() -> None:
    """A job of 600 s that failed once in fifty nights, due after a thousand: the model fears more than the samples
    show, and a repair is what none of it is about."""
    takes, repairs = np.full((50, 1), 600.0), np.full((50, 1), np.nan)
    repairs[10] = 1200.0
    nothing = np.array([np.nan])
    waiting = Tonight(np.array([Stand.WAITS]), nothing, nothing, nothing)
    promise = Promise("payments", np.array([0]), 1000.0)
    seen = look(waiting, 0.0, night(Past(takes, np.zeros_like(takes), repairs), Graph([[]], np.zeros(1)), [0]))
    count = len(facts(seen, promise))
    line = {"mean": [0.0] * count, "scale": [1.0] * count, "slopes": [0.0] * count, "constant": -2.0}
    afraid = learned(line | {"fact": [[0]], "bound": [[0.0]], "leaves": [[0.0, 0.0]], "start": -2.0})
    told = tell(seen, promise, afraid, PRIOR).look
    assert answer(told, promise).late == pytest.approx(0.02 + UNSEEN, abs=0.01)
    both = told.outcome(promise)
    assert both.weights @ (both.finish > 1000.0) == pytest.approx(0.02, abs=0.01)
    assert quantiles(both.finish, both.weights, np.array([0.95]))[0] < 700.0


def test_few_own_forecasts_change_little_and_many_wrong_ones_much() -> None:
    wrong = ServiceNight(np.array([0.8, 0.8]), was_late=False)
    at = [recalibrated(0.8, learn([wrong] * count)) for count in (0, 1, 60)]
    assert at[0] == pytest.approx(0.8)
    assert at[1] > 0.65
    assert at[2] < 0.4
    assert recalibrated(0.9, learn([wrong] * 60)) > at[2], "what was more likely stays so"


def test_one_night_on_which_everything_was_late_does_not_turn_forecasts_round() -> None:
    """A whole step of Newton's leads far away there: what was likely late was told as never late."""
    calm, lost = (ServiceNight(np.append(np.full(10, 0.02), [ends] * 2), ends > 0.5) for ends in (0.02, 0.9))
    slopes = learn([calm] * 150 + [lost] * 50)
    at = [recalibrated(late, slopes) for late in (0.02, 0.1, 0.5, 0.9)]
    assert at == sorted(at)
    assert 0.02 < at[0] < 0.5 < at[2] < at[3] < 0.95


def test_an_outage_that_hurt_every_service_of_a_night_is_one_outage() -> None:
    """Else the next night, of which next to nothing is feared, is at risk for all of them."""
    lost = [ServiceNight(np.append(np.full(10, 0.02), [0.9] * 2), True, night=6)] * 50
    calm = [ServiceNight(np.full(12, 0.02), False, night) for night in range(6) for _ in range(50)]
    assert 0.02 < recalibrated(0.02, learn(calm + lost)) < 0.1
    apart = [ServiceNight(each.late, each.was_late) for each in lost]
    assert recalibrated(0.02, learn(calm + apart)) > 0.25, "fifty nights of that are another matter"


def test_what_was_more_likely_stays_so_whatever_was_learned() -> None:
    low, high = (recalibrated(late, np.array([0.0, -1.0])) for late in (0.1, 0.9))
    assert low < high


def test_a_repair_is_the_priors_until_the_estate_has_its_own() -> None:
    assert 1500.0 == pytest.approx(np.exp(repair(np.full((5, 2), np.nan)).center))
    own = repair(np.array([[300.0, np.nan]] * 60))
    assert 300.0 == pytest.approx(np.exp(own.center), rel=0.1)
    mended = restarts(own, np.ones(80), np.zeros(1))
    assert 300.0 == pytest.approx(np.median(mended), rel=0.15)
    assert restarts(own, np.ones(80), np.full(1, 900.0)).min() >= 900.0


def test_act_by_leaves_what_the_path_after_the_job_takes() -> None:
    """Every night alike: 0 and 1 take 100 s each, one after the other, and 1 delivers at 1000 s."""
    takes = np.full((20, 2), 100.0)
    past = Past(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))
    nothing = np.full(2, np.nan)
    red = Tonight(np.array([Stand.FAILED, Stand.WAITS]), nothing, np.array([0.0, np.nan]), np.array([50.0, np.nan]))
    promise = Promise("payments", np.array([1]), 1000.0)
    seen = look(red, 60.0, night(past, Graph([[], [0]], np.zeros(2)), [1]))
    assert restart(seen, promise, slack_of(seen, promise), [0], 0.1) == pytest.approx((800.0, 900.0), abs=25.0)
    soon = replace(promise, deadline=150.0)
    assert restart(seen, soon, slack_of(seen, soon), [0], 0.1) is None, "1 alone takes longer"


def test_criticality_and_slack_come_from_the_same_columns() -> None:
    """0 and 1 begin at once, 2 waits for both; 0 takes four times as long as 1."""
    takes = np.tile([400.0, 100.0, 50.0], (20, 1))
    past = Past(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))
    nothing = np.full(3, np.nan)
    seen = look(
        Tonight(np.full(3, Stand.WAITS), nothing, nothing, nothing),
        0.0,
        night(past, Graph([[], [], [0, 1]], np.zeros(3)), [2]),
    )
    slack = slack_of(seen, Promise("payments", np.array([2]), 1000.0))
    assert list(slack.critical) == pytest.approx([1.0, 0.0, 1.0])
    assert list(slack.seconds) == pytest.approx([550.0, 850.0, 550.0], abs=30.0)


def test_the_way_goes_by_who_decides_most_often_not_by_who_is_done_last_on_a_usual_night() -> None:
    """0 is done last on a usual night; on two of five 1 is very late, on two others 2; 3 waits for all of them."""
    takes = np.tile([600.0, 500.0, 500.0, 50.0], (60, 1))
    for job in (1, 2):
        takes[np.arange(60) % 5 // 2 == job - 1, job] = 1500.0
    past = Past(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))
    nothing = np.full(4, np.nan)
    tonight = Tonight(np.full(4, Stand.WAITS), nothing, nothing, nothing)
    seen = look(tonight, 0.0, night(past, Graph([[], [], [], [0, 1, 2]], np.zeros(4)), [3]))
    promise = Promise("payments", np.array([3]), 2000.0)
    assert np.argmax([np.median(seen.samples(job).finish) for job in range(3)]) == 0
    first, last = critical_path(seen, promise, slack_of(seen, promise), range(4))
    assert (first in (1, 2), last) == (True, 3)


def test_a_gap_takes_a_night_that_stands_for_tonight_and_where_these_are_few_any_night_of_the_job() -> None:
    ran, night_of = np.ones((12, 2), bool), np.arange(11, 3, -1)
    ran[[6, 9], 0] = False
    ran[[3, 4, 6, 7, 8, 9, 11], 1] = False
    found = stand_ins(ran, np.arange(2), night_of)
    assert [(0, 9), (0, 6)] == [(place, night_of[each]) for place, each in zip(found.place, found.column, strict=True)]
    assert ran[night_of[found.of], 0].all()
    assert [1] == list(found.rare), "it ran on two of the eight"
    assert {0, 1, 5, 10} == set(found.nights[0].tolist()), "older ones too"


def test_no_job_is_drawn_to_wait_longer_than_twice_its_longest_wait() -> None:
    """Since four nights it waits: another such leap, in logarithms, would be hours."""
    takes, waits = np.full((60, 1), 100.0), np.zeros((60, 1))
    waits[-4:] = 300.0
    nothing = np.array([np.nan])
    past = Past(takes, waits, np.full(takes.shape, np.nan))
    ready = Tonight(np.array([Stand.WAITS]), nothing, nothing, nothing)
    finish = look(ready, 0.0, night(past, Graph([[]], np.zeros(1)), [0])).samples(0).finish
    assert 300.0 < finish.max() <= 600.0 + 110.0
