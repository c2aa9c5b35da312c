"""A service's forecast finish, and its status against the deadline. EXTRACT 03:10 feeds LOAD feeds MART."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule
from connectors.sdk.states import ProofLevel, RunState
from console.control.evaluate import evaluate
from console.control.snapshot.estate_index import EstateIndex
from console.domain.decision import ServiceDayVerdict
from console.domain.dependency import DependencyOrigin
from console.domain.estate import JobFacts, RunFacts, ServiceFacts
from console.domain.ids import utc_minute
from console.domain.promise import DeadlineRule, Promise
from console.domain.reason import NoEstimate
from console.domain.service import Timeliness
from console.domain.text import render
from console.forecast.finish_times import FinishTimes, forecast
from tests.control.ledger import ended
from tests.factories import NIGHT, at, daily, estate, feeds, job, minutes, run, service
from tests.reasons import reason_of
from tests.rows import each_row

EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20))
LOAD = job(2, "warehouse/load", "04:00", expected=minutes(30))
MART = job(3, "dwh/mart", expected=minutes(60))
CHAIN = [*feeds(EXTRACT, LOAD), *feeds(LOAD, MART)]
PROMISE = service("daily", "06:30", MART)


def day(
    now: str, *runs: RunFacts, jobs: tuple[JobFacts, ...] = (EXTRACT, LOAD, MART), promise: ServiceFacts = PROMISE,
    deps: Any = CHAIN, **more: Any,
) -> ServiceDayVerdict:  # fmt: skip
    decisions = evaluate(estate(*jobs, runs=runs, feeds=deps, services=[promise], **more), at(now))
    return next(service_day for service_day in decisions.service_days if service_day.business_date == NIGHT)


def done(of: JobFacts, clock: str, takes: float = 10, **more: Any) -> RunFacts:
    return run(of.id, of, clock, RunState.SUCCEEDED, **ended(clock, takes), **more)


def verdict_text(verdict: ServiceDayVerdict) -> tuple[str, Timeliness]:
    return f"{verdict.expected_at:%H:%M}" if verdict.expected_at else "", verdict.timeliness


def test_a_quiet_night_is_the_clock_start_that_decides_and_all_after_it() -> None:
    verdict = day("02:00")
    assert ("05:30", Timeliness.ON_TIME) == verdict_text(verdict)
    assert ("open", (1, 2, 3), "expected 05:30 UTC") == (verdict.data_state, verdict.path, reason_of(verdict))
    assert at("06:30") == verdict.deadline


@pytest.mark.parametrize("planned", [(), (run(1, LOAD, "04:00", RunState.PLANNED),)], ids=["no run yet", "planned"])
def test_a_start_that_was_moved_at_the_source_is_forecast_by_the_schedule_there(planned: tuple[RunFacts, ...]) -> None:
    """Not accepted: the period stays 04:00, its clock starts it at 06:00."""
    moved = replace(LOAD, seen_schedule=daily("06:00"))
    assert ("07:30", Timeliness.WILL_MISS) == verdict_text(day("02:00", *planned, jobs=(EXTRACT, moved, MART)))
    earlier = replace(LOAD, seen_schedule=daily("03:40"))
    assert "05:10" == verdict_text(day("02:00", *planned, jobs=(EXTRACT, earlier, MART)))[0]


@each_row(
    "now, extract, expected",
    [
        ("03:20", run(1, EXTRACT, "03:10", RunState.RUNNING), "05:30"),
        ("03:50", run(1, EXTRACT, "03:10", RunState.RUNNING), "05:30"),
        ("03:55", run(1, EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:45")), "06:00"),
        ("03:45", done(EXTRACT, "03:10"), "05:30"),
    ],
)
def test_a_late_upstream_costs_the_rerun_of_what_started_by_the_clock(
    now: str, extract: RunFacts, expected: str
) -> None:
    """Started 03:45, extract is done 04:05: load reads stale at 04:00, is rerun at 04:30 when it is through."""
    assert expected == verdict_text(day(now, extract))[0]


def test_a_job_that_its_scheduler_makes_wait_is_not_rerun() -> None:
    native = [*feeds(EXTRACT, LOAD, origin=DependencyOrigin.NATIVE), *feeds(LOAD, MART)]
    extract = run(1, EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:45"))
    assert "05:35" == verdict_text(day("03:55", extract, deps=native))[0]


def test_what_reads_stale_data_now_is_counted_with_its_rerun() -> None:
    runs = [run(1, EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:55")), run(2, LOAD, "04:00", RunState.RUNNING)]
    assert "06:00" == verdict_text(day("04:05", *runs))[0]


def test_a_running_job_is_measured_by_its_history() -> None:
    mart = run(3, MART, "05:00", RunState.RUNNING, period_at=None)
    runs = [done(EXTRACT, "03:10"), done(LOAD, "04:00"), mart]
    history = {3: (1800.0, 2400.0, 3000.0, 3600.0, 5400.0)}
    verdict = day("05:55", *runs, durations=history)
    assert ("06:15", Timeliness.ON_TIME) == verdict_text(verdict)
    assert ["declared", "declared", "history"] == [estimate.source for estimate in verdict.sources]
    assert ("06:30", Timeliness.ON_TIME) == verdict_text(day("06:29:30", *runs, durations=history))


def test_a_finish_after_the_deadline_will_miss() -> None:
    slow = job(3, "dwh/mart", expected=minutes(180))
    verdict = day("02:00", jobs=(EXTRACT, LOAD, slow))
    assert ("07:30", Timeliness.WILL_MISS) == verdict_text(verdict)
    assert "expected 07:30 UTC, after its deadline" == reason_of(verdict)


def test_a_job_without_a_figure_on_the_way_gives_no_estimate_and_is_named() -> None:
    verdict = day("02:00", jobs=(EXTRACT, job(2, "warehouse/load", "04:00"), MART), durations={2: (60.0,) * 4})
    assert ("", Timeliness.NO_ESTIMATE) == verdict_text(verdict)
    fix = 'declare its duration: expected = "…" in [jobs."warehouse/load"]'
    assert f"{render(NoEstimate('warehouse/load', 4, 5).text, utc_minute)}; {fix}" == reason_of(verdict)


def test_a_job_without_a_figure_that_is_done_is_not_missed() -> None:
    bare = job(1, "hosts/extract", "03:10")
    assert ("05:30", Timeliness.ON_TIME) == verdict_text(day("03:30", done(bare, "03:10"), jobs=(bare, LOAD, MART)))


def test_a_job_that_nothing_starts_gives_no_estimate() -> None:
    verdict = day("02:00", jobs=(EXTRACT, LOAD, MART, job(4, "hosts/by_hand", expected=minutes(1))),
                  deps=[*CHAIN, *feeds(job(4, "x/y"), MART)])  # fmt: skip
    assert "no estimate: hosts/by_hand starts neither by the clock nor after another job" == reason_of(verdict)


@pytest.mark.parametrize(
    "began, expected",
    [("05:00", (Timeliness.MET, "delivered 06:00 UTC")),
     ("05:45", (Timeliness.MET_LATE, "delivered 06:45 UTC, after its deadline"))],
)  # fmt: skip
def test_a_delivered_service_has_met_its_deadline_or_met_it_late(began: str, expected: tuple[Timeliness, str]) -> None:
    runs = [done(EXTRACT, "03:10"), done(LOAD, "04:00"), done(MART, began, 60, period_at=None)]
    verdict = day("07:00", *runs)
    assert (*expected, "complete") == (verdict.timeliness, reason_of(verdict), verdict.data_state)
    assert verdict.expected_at is None


def test_a_terminal_that_read_stale_data_has_not_delivered() -> None:
    runs = [run(1, EXTRACT, "03:10", RunState.FAILED), done(LOAD, "04:00"), done(MART, "05:00", 30, period_at=None)]
    verdict = day("05:40", *runs)
    assert ("stale", None) == (verdict.data_state, verdict.delivered_at)


def test_a_deadline_that_has_passed_is_breached() -> None:
    verdict = day("06:31", done(EXTRACT, "03:10"), done(LOAD, "04:00"))
    assert (Timeliness.BREACHED, "not delivered by 06:30 UTC; cause: dwh/mart") == (
        verdict.timeliness,
        reason_of(verdict),
    )


def test_a_terminal_whose_end_cannot_be_proved_is_neither_delivered_nor_breached() -> None:
    blind = job(3, "hosts/mart", proof=ProofLevel.START)
    runs = [done(EXTRACT, "03:10"), done(LOAD, "04:00"), run(3, blind, "05:00", RunState.UNKNOWN)]
    verdict = day("06:31", *runs, jobs=(EXTRACT, LOAD, blind))
    assert Timeliness.NO_ESTIMATE == verdict.timeliness
    assert "hosts/mart has run; its source does not prove how it ended" == reason_of(verdict)


def test_an_unknown_upstream_is_no_hindrance_and_no_incident() -> None:
    blind = job(1, "hosts/extract", "03:10", proof=ProofLevel.START)
    service_day = day("03:40", run(1, blind, "03:10", RunState.UNKNOWN), jobs=(blind, LOAD, MART))
    assert ("05:30", Timeliness.ON_TIME) == verdict_text(service_day)


def test_an_hourly_terminal_delivers_with_the_last_run_before_the_deadline() -> None:
    hourly = job(1, "dwh/hourly", Schedule("pg_cron", "0 * * * *"), expected=minutes(5))
    promise = service("hourly", "06:30", hourly)
    runs = [run(number, hourly, f"0{number}:00") for number in (3, 4, 5)]
    before = day("05:30", *runs, jobs=(hourly,), promise=promise, deps=[])
    assert ("06:05", Timeliness.ON_TIME) == verdict_text(before)
    after = day("06:20", *runs, run(6, hourly, "06:00"), jobs=(hourly,), promise=promise, deps=[])
    assert (at("06:10"), Timeliness.MET) == (after.delivered_at, after.timeliness)


LONG_HOURLY = job(1, "dwh/hourly", Schedule("pg_cron", "0 * * * *"), expected=minutes(40), accepted_at=at("02:30"))
GREEN, RED, RUNNING = RunState.SUCCEEDED, RunState.FAILED, RunState.RUNNING


@each_row(
    "now, states, expected",
    [
        ("04:50", [GREEN, GREEN], ("05:40", Timeliness.ON_TIME, None)),
        ("05:20", [GREEN, GREEN, RUNNING], ("05:40", Timeliness.ON_TIME, None)),
        ("05:20", [GREEN, GREEN, GREEN], ("", Timeliness.MET, "05:10")),
        ("06:20", [GREEN, GREEN, GREEN, RUNNING], ("", Timeliness.MET, "05:10")),
        ("06:40", [GREEN, GREEN, GREEN, RED], ("", Timeliness.MET, "05:10")),
        ("04:20", [GREEN, RED], ("05:00", Timeliness.AT_RISK, None)),
        ("05:20", [GREEN, RED, RUNNING], ("05:40", Timeliness.AT_RISK, None)),
        ("05:20", [GREEN, RED, GREEN], ("", Timeliness.MET, "05:10")),
        ("05:20", [GREEN, GREEN, RED], ("06:00", Timeliness.AT_RISK, None)),
        ("05:55", [GREEN, GREEN, RED], ("06:35", Timeliness.WILL_MISS, None)),
        ("06:20", [GREEN, GREEN, RED, GREEN], ("", Timeliness.MET, "06:10")),
    ],
)
def test_of_a_job_of_many_runs_the_last_that_can_be_done_counts_and_a_red_one_until_the_next_is_green(
    now: str, states: list[RunState], expected: tuple[str, Timeliness, str | None]
) -> None:
    """It takes 40 minutes: what starts 06:00 cannot be done by 06:30, so 05:00 delivers."""
    runs = [run(number, LONG_HOURLY, f"0{number}:00", state) for number, state in enumerate(states, 3)]
    promise = service("hourly", "06:30", LONG_HOURLY)
    verdict = day(now, *runs, jobs=(LONG_HOURLY,), promise=promise, deps=[])
    shown = f"{verdict.delivered_at:%H:%M}" if verdict.delivered_at else None
    assert expected == (*verdict_text(verdict), shown)


def test_what_starts_seconds_before_the_deadline_is_not_waited_for() -> None:
    """Promised so long after a start that had run a second late: 03:00:01 + 20 minutes."""
    feed = job(1, "hosts/extract", "03:00", expected=minutes(5))
    often = job(2, "hosts/often", Schedule("debian-cron", "*/2 * * * *"), expected=minutes(1 / 12),
                accepted_at=at("03:11"))  # fmt: skip
    rule = DeadlineRule(after_start=minutes(20), of=feed.name, of_id=feed.id)
    promise = service("flap", "06:30", often, promise=Promise(rule))
    first, second = (run(2, often, f"03:{minute}", ended_at=at(f"03:{minute}:05")) for minute in (12, 14))
    runs = [run(1, feed, "03:00", started_at=at("03:00:01")), first, second]
    verdict = day("03:15", *runs, jobs=(feed, often), promise=promise, deps=[])
    assert (at("03:20:01"), "03:19", Timeliness.ON_TIME) == (verdict.deadline, *verdict_text(verdict))


@each_row(
    "schedule, takes, expected",
    [
        ("* * * * *", (50, 70), "06:29"),
        ("* * * * *", (50, 55), "06:30"),  # all of them end in time
        ("*/5 * * * *", (200, 320), "06:24"),
        ("0 * * * *", (1500, 2000), "06:25"),  # an hour older is not nearly the same
    ],
)
def test_of_runs_that_are_close_together_the_last_that_surely_ends_in_time_counts(
    schedule: str, takes: tuple[int, int], expected: str
) -> None:
    """Else a service is at risk all night because the last of its runs might take a few seconds more."""
    often = job(1, "hosts/often", Schedule("debian-cron", schedule), accepted_at=at("04:00"))
    history = {1: tuple(float(takes[number % 3 == 0]) for number in range(40))}
    verdict = day("04:00:10", jobs=(often,), promise=service("often", "06:30", often), deps=[], durations=history)
    assert verdict.expected_at is not None
    assert (expected, Timeliness.ON_TIME) == (f"{verdict.expected_at:%H:%M}", verdict.timeliness)


def test_a_run_of_another_business_date_is_not_waited_for_again() -> None:
    """A data interval may give its run another date than its instant has."""
    hourly = job(1, "warehouse/hourly", daily("05:00", "airflow"), expected=minutes(5))
    runs = [run(1, hourly, "05:00", business_date=date(2026, 11, 20))]
    verdict = day("06:00", *runs, jobs=(hourly,), promise=service("hourly", "06:30", hourly), deps=[])
    assert verdict.expected_at is None


def test_a_service_has_no_day_where_its_terminal_does_not_run() -> None:
    weekdays = job(
        1, "dwh/weekdays", Schedule("pg_cron", "0 4 * * 1-5"), expected=minutes(5), accepted_at=at("12:00", -9)
    )
    decisions = evaluate(estate(weekdays, services=[service("weekly", "06:30", weekdays)]), at("12:30", day=1))
    assert {18, 19} == {
        service_day.business_date.day for service_day in decisions.service_days
    }  # the nights to Thursday and Friday, none after it


def test_nothing_is_promised_for_the_time_before_anything_was_watched() -> None:
    late = job(1, "dwh/late", "04:00", accepted_at=at("05:00"), expected=minutes(5))
    decisions = evaluate(estate(late, services=[service("late", "06:30", late)]), at("05:30"))
    assert [date(2026, 11, 20)] == [service_day.business_date for service_day in decisions.service_days]


@pytest.mark.parametrize(
    "zone, business_date, expected",
    [
        ("Europe/Berlin", date(2026, 3, 28), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        ("Europe/Berlin", date(2026, 10, 24), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("Asia/Kathmandu", date(2026, 11, 19), datetime(2026, 11, 19, 20, 45, tzinfo=UTC)),
    ],
)
def test_a_deadline_is_computed_in_its_own_zone_and_strictly_over_clock_changes(
    zone: str, business_date: date, expected: datetime
) -> None:
    """02:30 that never is: the jump; 02:30 that is twice: the first."""
    from console.control.snapshot.deadlines import latest_deadline

    assert expected == latest_deadline(service("x", "02:30", MART, zone=zone), business_date)


def test_a_deadline_in_the_evening_is_on_the_business_date_itself() -> None:
    from console.control.snapshot.deadlines import latest_deadline

    assert at("18:00") == latest_deadline(service("x", "18:00", MART), NIGHT)
    assert at("06:30") == latest_deadline(service("x", "06:30", MART, cutoff=time(7)), NIGHT)


HOW = st.sampled_from(["planned", "running", "failed", "done", "waits"])


@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(0, 300), HOW), min_size=2, max_size=7),
    st.data(),
)
def test_a_longer_job_never_makes_a_service_end_earlier(shape: list[tuple[int, int, str]], data: st.DataObject) -> None:
    """Any acyclic estate, any state: more minutes declared for one job never pull the finish forward."""
    places = range(len(shape))
    edges = [(up, down) for down in places for up in range(down) if data.draw(st.booleans())]
    native = data.draw(st.sampled_from([DependencyOrigin.NATIVE, DependencyOrigin.DECLARED]))
    slower, more = data.draw(st.sampled_from(list(places))), data.draw(st.integers(1, 120))
    now = at("03:00")

    def finish(longer: int) -> FinishTimes | None:
        jobs = []
        for number, (takes, due, how) in enumerate(shape):
            clock = at("00:00") + minutes(due)
            schedule = daily(f"{clock:%H:%M}") if how != "waits" or number == 0 else Schedule("none")
            whole = minutes(takes + (longer if number == slower else 0))
            jobs.append(job(number + 1, f"s/{number}", schedule, expected=whole))
        runs = [_run(jobs[number], minutes(due), how) for number, (_, due, how) in enumerate(shape) if how not in
                ("planned", "waits")]  # fmt: skip
        deps = [dependency for up, down in edges for dependency in feeds(jobs[up], jobs[down], origin=native)]
        promise = service("s", "11:00", *jobs)
        index = EstateIndex(estate(*jobs, runs=runs, feeds=deps, services=[promise]), now)
        return forecast(index, promise, index.graph.members(promise.terminals), NIGHT).finish

    short, long = finish(0), finish(more)
    assert (short is None) == (long is None)
    if short is None or long is None:
        return  # somewhere a job waits for nobody: no estimate, with either duration
    assert short.p50 <= long.p50
    assert short.p90 <= long.p90
    assert short.p50 <= short.p90


def _run(of: JobFacts, due: timedelta, how: str) -> RunFacts:
    state = {"running": RunState.RUNNING, "failed": RunState.FAILED, "done": RunState.SUCCEEDED}[how]
    return run(of.id, of, at("00:00") + due, state)
