"""Who read what was not good: U feeds D feeds E, in the night's business date."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunEvidence, RunState
from console.control.snapshot.estate_index import EstateIndex
from console.domain.estate import JobFacts, RunFacts
from tests.control.ledger import ended
from tests.factories import at, estate, feeds, job, minutes, run, target
from tests.rows import each_row

U, D, E = job(1, "s/u", "03:10"), job(2, "s/d", "04:00"), job(3, "s/e", "05:00", target_id=2)
TASK = job(4, "s/u.publish", parent_id=1)
OFTEN = job(5, "s/often", Schedule("debian-cron", "*/15 * * * *"))
CHAIN = [*feeds(U, D), *feeds(D, E)]


def stale(
    *runs: RunFacts, deps: Any = CHAIN, jobs: tuple[JobFacts, ...] = (U, D, E, TASK, OFTEN), **more: Any
) -> set[int]:
    """Ids of the jobs that have a stale run."""
    index = EstateIndex(estate(*jobs, runs=runs, feeds=deps, **more), at("06:00"))
    reads = {job_id for job_id in index.runs if index.graph.into(index.graph.unit(job_id))}
    return {job_id for job_id in reads if any(map(index.is_stale, index.runs[job_id]))}


def good(of: JobFacts, clock: str, began: str = "", takes: float = 10, **more: Any) -> RunFacts:
    return run(of.id, of, clock, RunState.SUCCEEDED, **ended(began or clock, takes), **more)


@each_row(
    "upstream, expected",
    [
        (good(U, "03:10"), set()),
        (good(U, "03:10", takes=50), set()),
        (good(U, "03:10", takes=51), {2}),
        (run(1, U, "03:10", RunState.FAILED), {2}),
        (run(1, U, "03:10", RunState.MISSED), {2}),
        (run(1, U, "03:10", RunState.RUNNING), {2}),
        (run(1, U, "03:10", RunState.PLANNED), {2}),
        (run(1, U, "03:10", RunState.UNKNOWN), set()),
        (run(1, U, "03:10", RunState.SKIPPED), set()),
        (run(1, U, "03:10", RunState.PARTIAL), set()),
        (run(1, U, "03:10", RunState.PLANNED, evidence=RunEvidence.STALE), set()),
        (good(U, "03:10", began="05:00", attempt=2), {2}),
    ],
)
def test_a_run_is_stale_that_started_before_its_upstream_was_good(upstream: RunFacts, expected: set[int]) -> None:
    assert expected == stale(upstream, good(D, "04:00"))


def test_what_has_not_started_has_read_nothing() -> None:
    assert set() == stale(run(1, U, "03:10", RunState.FAILED), run(2, D, "04:00", RunState.PLANNED))


def test_an_upstream_without_a_run_of_that_date_makes_nothing_stale() -> None:
    assert set() == stale(good(D, "04:00"))


def test_an_open_upstream_on_an_unreachable_target_makes_nothing_stale() -> None:
    targets = [target(1, last_ok_at=at("03:00"), failing_since=at("03:00")), target(2)]
    assert set() == stale(run(1, U, "03:10", RunState.RUNNING), good(D, "04:00"), targets=targets)


def test_staleness_is_carried_down_until_everything_was_rerun_in_order() -> None:
    failed = run(1, U, "03:10", RunState.FAILED)
    assert {2, 3} == stale(failed, good(D, "04:00"), good(E, "05:00"))
    repaired = good(U, "03:10", began="05:20", attempt=2)
    assert {2, 3} == stale(repaired, good(D, "04:00"), good(E, "05:00"))
    wrong_order = good(E, "05:00", began="05:35", attempt=2)
    assert {3} == stale(repaired, good(D, "04:00", began="05:40", attempt=2), wrong_order)
    assert {2, 3} == stale(repaired, good(D, "04:00", began="05:25", attempt=2), wrong_order)
    assert set() == stale(
        repaired, good(D, "04:00", began="05:31", attempt=2), good(E, "05:00", began="05:45", attempt=2)
    )


def test_a_rerun_of_a_successful_run_makes_nothing_stale_unless_it_fails() -> None:
    first, second = (at("03:10"), at("03:20")), (at("05:10"), at("05:20"))
    again = good(U, "03:10", began="05:10", attempt=2, successes=(first, second))
    assert set() == stale(again, good(D, "04:00"))
    running = run(1, U, "03:10", RunState.RUNNING, started_at=at("05:10"), attempt=2, successes=(first,))
    assert set() == stale(running, good(D, "04:00"))
    failed = run(1, U, "03:10", RunState.FAILED, started_at=at("05:10"), attempt=2, successes=(first,))
    assert {2} == stale(failed, good(D, "04:00"))


def test_a_success_that_was_stale_itself_does_not_count_after_its_rerun() -> None:
    cause = good(U, "03:10", began="05:00", attempt=2)
    spans = ((at("04:00"), at("04:10")), (at("05:15"), at("05:25")))
    middle = good(D, "04:00", began="05:15", attempt=2, successes=spans)
    assert {3} == stale(cause, middle, good(E, "05:00"))


def test_the_last_run_before_it_counts_of_an_upstream_that_runs_often() -> None:
    deps = feeds(OFTEN, D)
    before = good(OFTEN, "03:45", takes=1)
    at_the_same_time = run(9, OFTEN, "04:00", RunState.RUNNING)
    assert set() == stale(before, at_the_same_time, good(D, "04:00"), deps=deps)
    assert {2} == stale(run(5, OFTEN, "03:45", RunState.FAILED), good(OFTEN, "04:00"), good(D, "04:00"), deps=deps)


def test_a_rerun_reads_upstreams_as_of_its_own_start() -> None:
    deps = feeds(OFTEN, D)
    runs = [run(5, OFTEN, "03:45", RunState.FAILED), good(OFTEN, "04:30", takes=1)]
    assert set() == stale(*runs, good(D, "04:00", began="04:40", attempt=2), deps=deps)


def test_an_upstream_that_is_due_later_is_read_too_early() -> None:
    assert {2} == stale(run(3, E, "05:00", RunState.PLANNED), good(D, "04:00"), deps=feeds(E, D))


def test_only_the_task_that_is_read_counts() -> None:
    deps = feeds(TASK, D)
    published = run(4, TASK, "03:10", RunState.SUCCEEDED, **ended("03:10", 5))
    assert set() == stale(run(1, U, "03:10", RunState.FAILED), published, good(D, "04:00"), deps=deps)
    assert {2} == stale(
        run(1, U, "03:10", RunState.FAILED), run(4, TASK, "03:10", RunState.FAILED), good(D, "04:00"), deps=deps
    )


def test_another_night_is_another_matter() -> None:
    yesterday = run(1, U, at("03:10", day=-1), RunState.FAILED)
    assert set() == stale(yesterday, good(U, "03:10"), good(D, "04:00"))


def test_clocks_that_differ_by_a_second_make_nothing_stale() -> None:
    early = good(D, "04:00", began="03:19:59")
    assert set() == stale(good(U, "03:10"), early)
    assert {2} == stale(good(U, "03:10"), good(D, "04:00", began="03:19:50"))


def test_a_chain_of_thousands_is_judged_without_recursion() -> None:
    jobs = [job(number, f"s/{number}", "03:10") for number in range(1, 5001)]
    deps = [dependency for up, down in pairwise(jobs) for dependency in feeds(up, down)]
    runs = [run(1, jobs[0], "03:10", RunState.FAILED)]
    runs += [good(job, "03:10", began="03:30", takes=1) for job in jobs[1:]]
    assert set(range(2, 5001)) == stale(*runs, deps=deps, jobs=tuple(jobs))
    assert minutes(1) == runs[1].ended_at - runs[1].started_at  # type: ignore[operator]


HOURLY = job(6, "s/hourly", Schedule("debian-cron", "10 * * * *"))


@each_row(
    "later, began, expected",
    [
        (good(HOURLY, "04:10"), "04:20", set()),
        (good(HOURLY, "04:10"), "04:19", {2}),  # it was not over yet
        (good(HOURLY, "04:10"), "04:00", {2}),
        (run(6, HOURLY, "04:10", RunState.FAILED), "04:30", {2}),
        (run(6, HOURLY, "04:10", RunState.RUNNING), "04:30", {2}),
        (good(HOURLY, "04:10", evidence=RunEvidence.ASSERTED), "04:30", {2}),
        (run(6, HOURLY, "04:10", RunState.SKIPPED), "04:30", {2}),
    ],
)
def test_a_run_that_started_late_reads_the_latest_that_was_over_where_its_own_was_red(
    later: RunFacts, began: str, expected: set[int]
) -> None:
    """A start held at 04:00 because the run of 03:10 failed."""
    red = run(5, HOURLY, "03:10", RunState.FAILED)
    assert expected == stale(red, later, good(D, "04:00", began), deps=feeds(HOURLY, D), jobs=(HOURLY, D))


def test_of_those_that_were_over_the_latest_decides() -> None:
    """The green one of 04:10 was followed by a red one before it started."""
    runs = [
        run(5, HOURLY, "03:10", RunState.FAILED),
        good(HOURLY, "04:10"),
        run(7, HOURLY, "05:10", RunState.FAILED),
    ]
    assert {2} == stale(*runs, good(D, "04:00", "05:30"), deps=feeds(HOURLY, D), jobs=(HOURLY, D))
    assert set() == stale(*runs, good(D, "04:00", "05:15"), deps=feeds(HOURLY, D), jobs=(HOURLY, D))


def test_a_green_run_that_it_reads_is_not_undone_by_a_later_red_one() -> None:
    runs = [good(HOURLY, "03:10"), run(7, HOURLY, "04:10", RunState.FAILED), good(D, "04:00", "04:30")]
    assert set() == stale(*runs, deps=feeds(HOURLY, D), jobs=(HOURLY, D))
