"""What a downstream wants of its upstreams: conditions, n of several, other periods, and what reading partial data
makes of it. A, B and C feed D, D feeds E, in the night's business date."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.holds.conditions import awaited_edges, condition_text, unmet_condition_text
from console.control.snapshot.downstream import affected_below
from console.control.snapshot.estate_index import EstateIndex
from console.domain.calendar import Calendar
from console.domain.dependency import UpstreamCondition, UpstreamPeriod
from console.domain.estate import DependencyFacts, Estate, JobFacts, RunFacts
from console.domain.settings import Declared
from console.timing.calendars import counts, month_end_dates
from tests.control.ledger import ended
from tests.factories import NIGHT, at, estate, feeds, gate, job, minutes, run, wanting
from tests.rows import each_row

A, B, C = job(1, "s/a", "03:00"), job(2, "s/b", "03:10"), job(3, "s/c", "03:20")
D, E = job(4, "s/d", "04:00"), job(5, "s/e", "05:00")
JOBS = (A, B, C, D, E)
FAILED, DONE = RunState.FAILED, RunState.SUCCEEDED


def good(of: JobFacts, clock: str, began: str = "", takes: float = 10, **more: Any) -> RunFacts:
    return run(of.id, of, clock, RunState.SUCCEEDED, **ended(began or clock, takes), **more)


def red(of: JobFacts, clock: str, **more: Any) -> RunFacts:
    return run(of.id, of, clock, RunState.FAILED, **more)


def index(*runs: RunFacts, deps: list[DependencyFacts], clock: str = "06:00", **more: Any) -> EstateIndex:
    return EstateIndex(replace(estate(*JOBS, runs=runs, feeds=deps), **more), at(clock))


def stale(of: EstateIndex) -> set[int]:
    return {job_id for job_id in of.runs if any(map(of.is_stale, of.runs[job_id]))}


ANY, TWO = gate(1, D, A, B, C), gate(2, D, A, B, C)


@each_row(
    "deps, runs, expected",
    [
        (ANY, [red(A, "03:00"), red(B, "03:10"), good(C, "03:20")], set()),
        (ANY, [red(A, "03:00"), red(B, "03:10"), good(C, "03:20", takes=50)], {4}),
        (ANY, [red(A, "03:00"), red(B, "03:10"), red(C, "03:20")], {4}),
        (TWO, [red(A, "03:00"), good(B, "03:10"), good(C, "03:20")], set()),
        (TWO, [red(A, "03:00"), good(B, "03:10"), good(C, "03:20", takes=50)], {4}),
        (ANY, [red(A, "03:00")], {4}),  # the others have no run to read
        (ANY, [red(A, "03:00"), run(2, B, "03:10", RunState.UNKNOWN)], set()),  # b is unknown
        ([*ANY, *feeds(E, D)], [good(A, "03:00"), red(E, "03:30")], {4}),  # a gate beside another dependency
        (feeds(A, D), [red(A, "03:00"), run(2, A, "03:30", RunState.SKIPPED)], {4}),  # a skipped run makes no data
        (feeds(A, D), [good(A, "03:00"), run(2, A, "03:30", RunState.SKIPPED)], set()),
        (feeds(A, D), [run(1, A, "03:00", RunState.SKIPPED), red(A, "05:00")], set()),
    ],
)
def test_a_gate_of_several_is_good_with_so_many_of_them(
    deps: list[DependencyFacts], runs: list[RunFacts], expected: set[int]
) -> None:
    assert expected == stale(index(*runs, good(D, "04:00"), deps=deps))


@each_row(
    "condition, upstream, expected",
    [
        (UpstreamCondition.COMPLETION, red(A, "03:00"), set()),
        (UpstreamCondition.COMPLETION, good(A, "03:00", takes=70), {4}),
        (UpstreamCondition.COMPLETION, run(1, A, "03:00", RunState.RUNNING), {4}),
        (UpstreamCondition.COMPLETION, run(1, A, "03:00", RunState.MISSED), {4}),
        (UpstreamCondition.FAILURE, red(A, "03:00"), set()),
        (UpstreamCondition.FAILURE, good(A, "03:00"), set()),
        (UpstreamCondition.SUCCESS, red(A, "03:00"), {4}),
    ],
)
def test_what_waits_for_an_end_or_a_failure_is_not_stale_by_a_red_upstream(
    condition: UpstreamCondition, upstream: RunFacts, expected: set[int]
) -> None:
    assert expected == stale(index(upstream, good(D, "04:00"), deps=wanting(A, D, condition=condition)))


def test_a_rerun_of_what_had_ended_does_not_make_stale_what_waited_for_its_end() -> None:
    again = run(1, A, "03:00", RunState.RUNNING, started_at=at("05:00"), attempt=2, ends=((at("03:10"), FAILED),))
    deps = wanting(A, D, condition=UpstreamCondition.COMPLETION)
    assert set() == stale(index(again, good(D, "04:00"), deps=deps))


@each_row(
    "deps, runs, remaining, text",
    [
        (ANY, [red(A, "03:00"), red(B, "03:10"), good(C, "03:20")], [], ""),
        (ANY, [red(A, "03:00"), red(B, "03:10")], [1, 2, 3], "any of s/a and s/b and s/c is not good"),
        (TWO, [good(A, "03:00"), red(B, "03:10")], [2, 3], "any of s/b and s/c is not good"),
        (wanting(A, D, condition=UpstreamCondition.COMPLETION), [red(A, "03:00")], [], ""),
        (
            wanting(A, D, condition=UpstreamCondition.COMPLETION),
            [run(1, A, "03:00", RunState.RUNNING)],
            [1],
            "s/a has not ended",
        ),
        (wanting(A, D, condition=UpstreamCondition.FAILURE), [good(A, "03:00")], [1], "s/a has not failed"),
        (wanting(A, D, condition=UpstreamCondition.FAILURE), [red(A, "03:00")], [], ""),
        (
            wanting(A, D, condition=UpstreamCondition.READY, check="file"),
            [good(A, "03:00")],
            [1],
            "check file does not pass",
        ),
        (feeds(A, D) + feeds(B, D), [red(A, "03:00"), red(B, "03:10")], [1, 2], "s/a and s/b is not good"),
    ],
)
def test_what_is_awaited_is_what_is_left_of_the_gates_that_are_shut(
    deps: list[DependencyFacts], runs: list[RunFacts], remaining: list[int], text: str
) -> None:
    seen = index(*runs, deps=deps, clock="03:50")
    dependencies = awaited_edges(seen, deps, NIGHT, at("04:00"))
    assert (remaining, text) == (
        [dependency.upstream_id for dependency in dependencies],
        unmet_condition_text(seen.estate.jobs, dependencies),
    )


def test_a_gate_is_described_with_how_many_it_needs() -> None:
    seen = index(deps=[])
    assert "2 of s/a and s/b and s/c is good" == condition_text(seen.estate.jobs, TWO)
    ended_before = wanting(A, D, condition=UpstreamCondition.COMPLETION, period=UpstreamPeriod.PREVIOUS)
    assert "s/a (the previous) has ended and s/b is good" == condition_text(
        seen.estate.jobs, ended_before + feeds(B, D)
    )


# ── other periods
HOURLY = job(6, "s/hourly", Schedule("debian-cron", "10 * * * *"))


def yesterday(of: JobFacts, clock: str, state: RunState = DONE, **more: Any) -> RunFacts:
    return run(of.id + 100, of, at(clock, day=-1), state, **more)


def reads(period: UpstreamPeriod, **more: Any) -> list[DependencyFacts]:
    return wanting(A, D, period=period, **more)


def test_the_previous_run_is_that_of_the_date_before_and_not_of_this_one() -> None:
    deps = reads(UpstreamPeriod.PREVIOUS)
    assert set() == stale(index(yesterday(A, "03:00"), red(A, "03:00"), good(D, "04:00"), deps=deps))
    assert {4} == stale(index(yesterday(A, "03:00", FAILED), good(A, "03:00"), good(D, "04:00"), deps=deps))


def test_a_job_that_reads_its_own_run_before_is_stale_after_a_red_one_until_it_was_rerun() -> None:
    jobs, deps = (HOURLY,), wanting(HOURLY, HOURLY, period=UpstreamPeriod.PREVIOUS)
    runs = [good(HOURLY, "01:10"), red(HOURLY, "02:10"), good(HOURLY, "03:10"), good(HOURLY, "04:10")]
    runs = [replace(run, id=number) for number, run in enumerate(runs, 1)]
    estate_index = EstateIndex(estate(*jobs, runs=runs, feeds=deps), at("06:00"))
    assert [False, True, True] == [estate_index.is_stale(run) for run in estate_index.runs[6] if run.state is DONE]
    repaired = [*runs[:1], *(
        replace(good(HOURLY, f"0{hour}:10", began=f"05:{hour}0", takes=1, attempt=2), id=hour)
        for hour in (2, 3, 4)
    )]  # fmt: skip
    again = EstateIndex(estate(*jobs, runs=repaired, feeds=deps), at("06:00"))
    assert [False] * 4 == [again.is_stale(run) for run in again.runs[6]]
    assert ([], False) == (again.graph.cycles, bool(again.graph.into(6)))


def test_an_intraday_loop_of_two_reads_the_period_before_and_is_no_cycle() -> None:
    load = job(7, "s/load", Schedule("debian-cron", "20 * * * *"))
    deps = [*feeds(HOURLY, load), *wanting(load, HOURLY, period=UpstreamPeriod.PREVIOUS)]
    runs = [good(HOURLY, "01:10", takes=1), red(load, "01:20"), good(HOURLY, "02:10", takes=1), good(load, "02:20")]
    estate_index = EstateIndex(estate(HOURLY, load, runs=runs, feeds=deps), at("06:00"))
    assert [] == estate_index.graph.cycles
    assert ([False, True], [True, True]) == (
        [estate_index.is_stale(run) for run in estate_index.runs[6]], [estate_index.is_stale(run) or run.state is FAILED
                                                           for run in estate_index.runs[7]])  # fmt: skip


BANK = Calendar("bank", weekdays=(0, 1, 2, 3, 4), closed=(date(2026, 11, 18),))


def test_the_previous_business_day_is_that_of_the_calendar() -> None:
    deps = reads(UpstreamPeriod.BUSINESS_DAY, calendar="bank")
    known = Declared(calendars=(BANK,))
    older = run(101, A, at("03:00", day=-2), RunState.SUCCEEDED)
    closed = run(102, A, at("03:00", day=-1), RunState.FAILED)
    estate_index = index(older, closed, red(A, "03:00"), good(D, "04:00"), deps=deps, declared=known)
    assert set() == stale(estate_index)
    assert {4} == stale(index(replace(older, state=FAILED), good(D, "04:00"), deps=deps, declared=known))
    assert not counts(BANK, date(2026, 11, 18))


@pytest.mark.parametrize(
    "business_date, expected",
    [
        (date(2026, 11, 19), (date(2026, 10, 1), date(2026, 10, 31))),
        (date(2026, 11, 30), (date(2026, 11, 1), date(2026, 11, 30))),
        (date(2026, 1, 2), (date(2025, 12, 1), date(2025, 12, 31))),
    ],
)
def test_the_last_of_the_month_is_of_the_month_that_is_over_by_that_date(
    business_date: date, expected: tuple[date, date]
) -> None:
    assert expected == month_end_dates(business_date, None)


def test_the_last_business_day_of_a_month_is_a_day_that_counts() -> None:
    assert (date(2026, 10, 30), date(2026, 10, 30)) == month_end_dates(date(2026, 11, 19), Calendar("bank"))


def test_a_run_of_before_the_lookback_counts_as_it_was_judged() -> None:
    deps = reads(UpstreamPeriod.MONTH_END)
    end = run(101, A, at("03:00", day=-19), RunState.SUCCEEDED)
    assert date(2026, 10, 31) == end.business_date
    assert set() == stale(index(good(D, "04:00"), deps=deps, earlier=(end,)))
    assert {4} == stale(index(good(D, "04:00"), deps=deps, earlier=(replace(end, stale_read=True),)))


def test_the_latest_before_is_read_whatever_its_date_and_a_window_wants_a_good_one_in_time() -> None:
    latest, window = reads(UpstreamPeriod.LATEST), reads(UpstreamPeriod.WINDOW, within=timedelta(hours=2))
    before = [yesterday(A, "03:00")]
    assert set() == stale(index(*before, good(D, "04:00"), deps=latest))
    long_known = replace(A, accepted_at=at("12:00", day=-9))
    known = {job.id: job for job in (long_known, B, C, D, E)}
    assert {4} == stale(index(*before, good(D, "04:00"), deps=window, jobs=known))
    assert set() == stale(index(*before, good(A, "03:00"), good(D, "04:00"), deps=window, jobs=known))


@pytest.mark.parametrize("deps", [feeds(A, D), reads(UpstreamPeriod.LATEST)])
def test_a_slot_of_the_former_schedule_that_was_missed_hides_no_failure(deps: list[DependencyFacts]) -> None:
    """Once the changed schedule was accepted, the slot was the run to read, and stale data became complete."""
    missed = run(50, A, "03:01", RunState.MISSED)
    runs = [red(A, "03:00"), missed, good(D, "04:00")]
    assert {4} == stale(index(*runs, deps=deps))
    accepted = {job.id: job for job in (replace(A, accepted_at=at("05:30")), B, C, D, E)}
    assert {4} == stale(index(*runs, deps=deps, jobs=accepted))
    assert set() == stale(index(missed, good(D, "04:00"), deps=deps, jobs=accepted)), "that is all there is to read"


# ── affected services of a failed job
def test_a_failed_upstream_under_a_gate_opened_by_others_affects_nothing() -> None:
    runs = [red(A, "03:00"), good(B, "03:10"), good(D, "04:00"), good(E, "05:00")]
    assert set() == affected_below(index(*runs, deps=ANY + feeds(D, E)), [1], NIGHT)
    assert {(4, NIGHT), (5, NIGHT)} == affected_below(index(*runs, deps=feeds(A, D) + feeds(D, E)), [1], NIGHT)


def test_while_an_alternative_may_still_come_a_failed_one_affects_nothing() -> None:
    still = index(red(A, "03:00"), run(2, B, "03:10", RunState.RUNNING), deps=ANY, clock="03:30")
    assert set() == affected_below(still, [1], NIGHT)
    estate_index = index(red(A, "03:00"), red(B, "03:10"), deps=gate(1, D, A, B), clock="03:30")
    assert {(4, NIGHT)} == affected_below(estate_index, [1], NIGHT)


def test_a_failed_run_affects_the_later_date_that_reads_it() -> None:
    estate_index = index(yesterday(A, "03:00", FAILED), good(D, "04:00"), deps=reads(UpstreamPeriod.PREVIOUS))
    assert {(4, NIGHT)} == affected_below(estate_index, [1], NIGHT - timedelta(days=1))
    assert set() == affected_below(estate_index, [1], NIGHT)


# ── partial inputs
def partial_of(of: EstateIndex) -> dict[int, str]:
    return {job_id: text for job_id in of.runs for run in of.runs[job_id] if (text := of.freshness(run).partial)}


PARTIAL_READ = "read s/a of 2026-11-19, which was partial"
CHAIN = feeds(A, D) + feeds(D, E)


def test_what_reads_a_partial_run_is_partial_and_so_is_what_reads_that() -> None:
    part = run(1, A, "03:00", RunState.PARTIAL)
    estate_index = index(part, good(D, "04:00"), good(E, "05:00"), deps=CHAIN)
    assert ({4: PARTIAL_READ, 5: PARTIAL_READ}, set()) == (partial_of(estate_index), stale(estate_index))


def test_a_rerun_of_the_reader_alone_stays_partial_and_after_that_of_the_source_it_is_whole() -> None:
    part = run(1, A, "03:00", RunState.PARTIAL)
    again = good(D, "04:00", began="05:30", attempt=2)
    assert {4: PARTIAL_READ} == partial_of(index(part, again, deps=CHAIN))
    run_facts = good(A, "03:00", began="05:00", attempt=2, ends=((at("03:10"), RunState.PARTIAL), (at("05:10"), DONE)))
    assert ({}, set()) == (lambda index: (partial_of(index), stale(index)))(index(run_facts, again, deps=CHAIN))
    assert {4} == stale(index(run_facts, good(D, "04:00"), deps=CHAIN))  # and without its own rerun it is stale


def test_the_reader_of_a_reader_is_partial_until_it_has_read_the_whole_one() -> None:
    run_facts = good(A, "03:00")
    spans = ((at("04:00"), at("04:10")), (at("05:30"), at("05:40")))
    middle = good(D, "04:00", began="05:30", attempt=2, successes=spans)
    shrunk = index(run_facts, middle, good(E, "05:00"), deps=CHAIN)
    assert {} == partial_of(shrunk)


def test_a_partial_run_under_a_gate_opened_by_complete_ones_makes_nothing_partial() -> None:
    part = run(1, A, "03:00", RunState.PARTIAL)
    assert {} == partial_of(index(part, good(B, "03:10"), good(D, "04:00"), deps=ANY))
    assert {4: PARTIAL_READ} == partial_of(index(part, red(B, "03:10"), good(D, "04:00"), deps=ANY))


# ── properties
STATES = st.sampled_from(
    [DONE, FAILED, RunState.RUNNING, RunState.UNKNOWN, RunState.PARTIAL, RunState.PLANNED, RunState.SKIPPED]
)
WANTS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"condition": UpstreamCondition.COMPLETION},
        {"condition": UpstreamCondition.FAILURE},
        {"period": UpstreamPeriod.PREVIOUS},
        {"period": UpstreamPeriod.LATEST},
        {"period": UpstreamPeriod.WINDOW, "within": timedelta(hours=6)},
        {"gate": "1", "need": 1},
        {"gate": "1", "need": 2},
    ]
)
LINKS = [(up, down) for up in range(1, 6) for down in range(1, 6) if up < down]


@st.composite
def estates(draw: st.DrawFn) -> Estate:
    deps = [
        dependency
        for up, down in draw(st.lists(st.sampled_from(LINKS), unique=True, max_size=6))
        for dependency in wanting(JOBS[up - 1], JOBS[down - 1], **draw(WANTS))
    ]
    if draw(st.booleans()):
        deps += wanting(E, A, period=UpstreamPeriod.PREVIOUS)
    runs = []
    for number, (of, clock) in enumerate(zip(JOBS, ("03:00", "03:10", "03:20", "04:00", "05:00"), strict=True)):
        for day in (-1, 0):
            state, late = draw(STATES), draw(st.integers(0, 90))
            begun = at(clock, day=day) + minutes(late)
            more = {"started_at": begun} if state is not RunState.PLANNED else {}
            runs.append(run(2 * number + day + 2, of, at(clock, day=day), state, **more))
    return estate(*JOBS, runs=runs, feeds=deps)


def judged(estate_index: EstateIndex) -> dict[tuple[int, str], object]:
    return {
        (run.job_id, run.period_key): estate_index.freshness(run) for runs in estate_index.runs.values() for run in runs
    }


@given(estates(), st.randoms())
def test_the_index_does_not_depend_on_the_order_of_runs_and_dependencies(whole: Estate, order: Any) -> None:
    runs, deps = list(whole.runs), list(whole.dependencies)
    order.shuffle(runs)
    order.shuffle(deps)
    shuffled = replace(whole, runs=tuple(runs), dependencies=tuple(deps))
    assert judged(EstateIndex(whole, at("06:00"))) == judged(EstateIndex(shuffled, at("06:00")))


@given(estates())
def test_after_clean_reruns_in_order_nothing_is_stale_or_partial(whole: Estate) -> None:
    clock = {job_id: at("06:10") + minutes(20 * job_id) for job_id in range(1, 6)}
    runs = [
        replace(run, state=DONE, attempt=2, started_at=begun, ended_at=begun + minutes(5))
        for run in whole.runs
        for begun in [clock[run.job_id] - (timedelta(hours=10) if run.business_date < NIGHT else timedelta(0))]
    ]
    estate_index = EstateIndex(replace(whole, runs=tuple(runs)), at("11:00"))
    assert (set(), {}) == (stale(estate_index), partial_of(estate_index))
