"""Nights that are over, forecast by what was known then: EXTRACT 03:10 feeds LOAD and that MART; of 40 nights."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.snapshot.incremental import build_cache
from console.domain.estate import Estate, RunFacts
from console.domain.history import UNKNOWN, RunHistory, SuccessfulRun, build_history
from console.domain.settings import Declared, DeclaredPool
from console.forecast.back_test import (
    FEWEST_NIGHTS,
    MAX_INSTANTS,
    BackTest,
    BackTestedNight,
    history_known_by,
    past_shape_of,
)
from console.forecast.forecaster import Forecaster
from tests.factories import NIGHT, at, estate, feeds, job, run, service

NIGHTS = 40
EXTRACT = job(1, "etl/extract", "03:10", accepted_at=at("12:00", day=-3))
LOAD, MART = job(2, "dwh/load"), job(3, "dwh/mart")
DAILY = service("daily", "06:30", MART)
CHAIN = [*feeds(EXTRACT, LOAD), *feeds(LOAD, MART)]
Takes = Sequence[tuple[float, float, float]]
"""Minutes of the three, by night, oldest first; the last is the night before this one."""


def slow(back: int, minutes: float = 110.0) -> Takes:
    """Nights that vary a little, one of which the extraction took that long."""
    drawn = random.Random(7)
    nights = [tuple(usual * drawn.uniform(0.8, 1.25) for usual in (30.0, 40.0, 50.0)) for _ in range(NIGHTS)]
    nights[-back] = (minutes, *nights[-back][1:])
    return nights  # type: ignore[return-value]


def ran(number: int, back: int, began: datetime, minutes: float, due: bool = False, **changes: Any) -> SuccessfulRun:
    day = (NIGHT - timedelta(days=back)).toordinal()
    ended = began + timedelta(minutes=minutes)
    past = SuccessfulRun(number, int(began.timestamp()), int(ended.timestamp()), minutes * 60, 0.0 if due else UNKNOWN,
                   UNKNOWN, 1, UNKNOWN, "", day)  # fmt: skip
    return replace(past, **changes)


def pasts(nights: Takes) -> dict[int, RunHistory]:
    successful_runs: dict[int, list[SuccessfulRun]] = {1: [], 2: [], 3: []}
    for back, takes in enumerate(reversed(nights), 1):
        begins = at("03:10") - timedelta(days=back)
        for job_id, minutes in enumerate(takes, 1):
            successful_runs[job_id].append(ran(back * 10 + job_id, back, begins, minutes, due=job_id == 1))
            begins += timedelta(minutes=minutes)
    return {job_id: build_history(runs) for job_id, runs in successful_runs.items()}


def estate_of(history: dict[int, RunHistory]) -> Estate:
    durations = {job_id: tuple(of.takes) for job_id, of in history.items()}
    seen = estate(EXTRACT, LOAD, MART, feeds=CHAIN, services=[DAILY], durations=durations)
    return replace(seen, history=history)


def back_test(history: dict[int, RunHistory]) -> BackTest:
    seen = estate_of(history)
    return BackTest(seen, build_cache(seen), DAILY, Forecaster())


def night(back: int) -> date:
    return NIGHT - timedelta(days=back)


def back_tested(test: BackTest, back: int) -> BackTestedNight:
    *steps, last = test.steps(night(back))
    assert last is not None
    assert len(steps) <= MAX_INSTANTS
    return last


def test_a_slow_night_peaks_and_a_plain_one_does_not() -> None:
    test = back_test(pasts(slow(5, 150.0)))
    calm, wild = back_tested(test, 8), back_tested(test, 5)
    assert (night(8), False) == (calm.business_date, calm.was_late)
    assert wild.was_late
    assert calm.peak is not None
    assert wild.peak is not None
    assert calm.peak < 0.3 < 0.8 < wild.peak


def test_a_night_that_came_near_its_deadline_is_known_by_its_worst_moment() -> None:
    near = back_tested(back_test(pasts(slow(5, 110.0))), 5)
    assert not near.was_late
    assert near.peak is not None
    assert near.peak > 0.5


def test_month_ends_older_than_all_runs_were_known_on_each_night() -> None:
    past = replace(pasts(slow(5))[LOAD.id], month_ends=array("d", [3.0]))
    assert past.month_ends == history_known_by(past, night(8).toordinal(), at("02:00")).month_ends


def test_dates_are_those_with_enough_before_them_latest_first() -> None:
    dates = back_test(pasts(slow(5))).dates()
    assert [night(back) for back in range(1, NIGHTS - FEWEST_NIGHTS + 1)] == dates


@pytest.mark.parametrize("clock", ["03:00", "03:20", "03:50", "04:30", "05:10"])
@pytest.mark.parametrize("otherwise", [0.3, 3.0])
def test_nothing_that_came_later_moves_a_figure(clock: str, otherwise: float) -> None:
    """Whatever had not begun or ended by then goes otherwise, that night and on all later ones."""
    back = 6
    known, instant = pasts(slow(back, 45.0)), at(clock) - timedelta(days=back)
    first = back_test(known).late(night(back), instant)
    assert first is not None
    changed = pasts([later(nights, instant, number, otherwise) for number, nights in enumerate(slow(back, 45.0))])
    assert any(list(changed[number].ended) != list(known[number].ended) for number in changed)
    assert first == back_test(changed).late(night(back), instant)


def later(
    takes: tuple[float, float, float], instant: datetime, number: int, factor: float
) -> tuple[float, float, float]:
    """A night of which all goes otherwise that is not over by then: what runs ends later than that all the same."""
    begins, results = at("03:10") - timedelta(days=NIGHTS - number), []
    for lasts in takes:
        if begins + timedelta(minutes=lasts) > instant:
            lasts = max(lasts * factor, (instant - begins) / timedelta(minutes=1) + 1)  # noqa: PLW2901
        results.append(lasts)
        begins += timedelta(minutes=lasts)
    return results[0], results[1], results[2]


@pytest.mark.parametrize("clock, running", [("03:00", 0), ("03:30", 1), ("04:10", 2), ("05:00", 3)])
def test_a_back_test_is_what_the_engine_would_have_forecast_then(clock: str, running: int) -> None:
    """The same night as an evaluation sees it that has polled until then."""
    back = 1
    takes = slow(back, 45.0)
    history = pasts(takes)
    instant = at(clock) - timedelta(days=back)
    test = back_test(history)
    runs: list[RunFacts] = []
    begins = at("03:10") - timedelta(days=back)
    for job_id, of in enumerate((EXTRACT, LOAD, MART), 1):
        ends = begins + timedelta(minutes=takes[-back][job_id - 1])
        if begins <= instant:
            over = ends <= instant
            runs.append(
                run(job_id, of, begins, RunState.SUCCEEDED if over else RunState.RUNNING, business_date=night(back),
                    ended_at=ends if over else None, period_at=begins if job_id == 1 else None)
            )  # fmt: skip
        begins = ends
    assert running == len(runs)
    earlier = {job_id: _older(of) for job_id, of in history.items()}
    seen = replace(estate_of(earlier), runs=tuple(runs))
    (day,) = (
        service_day
        for service_day in evaluate(seen, instant, foresee=Forecaster()).service_days
        if service_day.business_date == night(back)
    )
    assert day.p_late == test.late(night(back), instant)


def _older(history: RunHistory) -> RunHistory:
    return build_history([_run(history, place) for place in range(1, len(history))])


def test_back_tests_hold_while_the_promise_stays_and_hardly_a_job_is_another() -> None:
    seen = estate_of(pasts(slow(5)))
    shape = past_shape_of(DAILY, seen.jobs)
    assert not past_shape_of(replace(DAILY, risk=0.2, title="Otherwise", tier=3), seen.jobs).is_another(shape)
    assert past_shape_of(replace(DAILY, deadline=time(6, 31)), seen.jobs).is_another(shape)
    assert past_shape_of(replace(DAILY, calendar="workdays"), seen.jobs).is_another(shape)
    assert past_shape_of(replace(DAILY, terminals=(2,)), seen.jobs).is_another(shape)
    many = {number: job(number, f"etl/j{number}", "03:10") for number in range(10)}
    whole = past_shape_of(DAILY, many)
    two = many | {number: job(number, f"etl/j{number}", "03:40") for number in (0, 1)}
    assert not past_shape_of(DAILY, two).is_another(whole)
    assert past_shape_of(DAILY, two | {2: job(2, "etl/j2", "03:40")}).is_another(whole)
    assert not past_shape_of(DAILY, {number: many[number] for number in range(8)}).is_another(whole)
    assert past_shape_of(DAILY, {number: many[number] for number in range(7)}).is_another(whole)


def test_a_task_is_read_as_its_dag_and_what_shares_a_pool_is_forecast_with_it() -> None:
    """LOAD reads a task of EXTRACT; another service's job takes the only slot of the load's pool while that waits."""
    history = pasts(slow(5, 30.0))
    task = job(4, "etl/extract.rows", parent_id=1)
    rival = job(5, "dwh/rival", "03:20")
    begun = [at("03:20") - timedelta(days=back) for back in range(1, NIGHTS + 1)]
    history |= {
        5: build_history([ran(900 + back, back, instant, 90.0, due=True) for back, instant in enumerate(begun, 1)])
    }
    edges = [*feeds(task, LOAD), *feeds(LOAD, MART)]
    instant = at("03:30") - timedelta(days=3)
    late = []
    for pools in ((), (DeclaredPool("slots", ("dwh/load", "dwh/rival"), 1),)):
        seen = estate(
            EXTRACT, LOAD, MART, task, rival, feeds=edges, declared=Declared(pools=pools),
            services=[replace(DAILY, deadline=time(6, 0)), service("rival", "07:00", rival)],
            durations={job_id: tuple(of.takes) for job_id, of in history.items()},
        )  # fmt: skip
        seen = replace(seen, history=history)
        test = BackTest(seen, build_cache(seen), seen.services[0], Forecaster())
        assert [1, 2, 3] == list(test.jobs)
        late.append(test.late(night(3), instant))
    alone, beside = late
    assert alone is not None
    assert beside is not None
    assert alone + 0.3 < beside


def test_an_attempt_that_failed_is_red_from_when_it_failed_until_its_repair_begins() -> None:
    """On one night the extraction failed after five minutes, and was restarted 40 minutes later."""
    back, history = 4, pasts(slow(5, 45.0))
    runs = [_run(history[1], place) for place in range(len(history[1]))]
    begun = at("03:10") - timedelta(days=back)
    fixed = ran(runs[back - 1].run_id, back, begun + timedelta(minutes=45), runs[back - 1].takes / 60)
    runs[back - 1] = replace(fixed, at=runs[back - 1].at, delay=0.0, repair=40 * 60.0)
    shifted = {2: 45.0, 3: 45.0}
    others = {number: [_run(history[number], place) for place in range(len(history[number]))] for number in shifted}
    for number, by in shifted.items():
        successful_run = others[number][back - 1]
        others[number][back - 1] = replace(
            successful_run, at=int(successful_run.at + by * 60), ended=int(successful_run.ended + by * 60)
        )
    test = back_test({1: build_history(runs), **{number: build_history(of) for number, of in others.items()}})
    states = [test.states(night(back), begun + timedelta(minutes=minutes)) for minutes in (-1, 3, 20, 50, 200)]
    assert [None, RunState.RUNNING, RunState.FAILED, RunState.RUNNING, RunState.SUCCEEDED] == [
        state.get(1) for state in states
    ]
    assert back_tested(test, back).peak is not None


def _run(history: RunHistory, place: int) -> SuccessfulRun:
    return SuccessfulRun(history.run_ids[place], history.at[place], history.ended[place], history.takes[place],
                   history.delays[place], UNKNOWN, 1, UNKNOWN, "", history.days[place])  # fmt: skip


def test_a_night_without_history_is_unknown() -> None:
    """One on which a job failed for good, one without a run of it, one on which its clock was another."""
    others: tuple[Callable[[list[SuccessfulRun], int], tuple[list[SuccessfulRun], list[int]]], ...] = (
        lambda runs, at_: (runs, [runs[at_].day]),
        lambda runs, at_: (runs[:at_] + runs[at_ + 1 :], []),
        lambda runs, at_: ([*runs[:at_], replace(runs[at_], at=runs[at_].at - 3600), *runs[at_ + 1 :]], []),
    )
    for changes in others:
        history = pasts(slow(5, 45.0))
        runs, unrepaired = changes([_run(history[1], place) for place in range(NIGHTS)], 6)
        test = back_test(history | {1: build_history(runs, unrepaired=unrepaired)})
        assert BackTestedNight(night(7), None) == back_tested(test, 7)
        assert back_tested(test, 8).peak is not None
