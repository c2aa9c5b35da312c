"""A service is delivered by the run that it reads, also by a task of a job that runs many times a day."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.decision import Decisions, ServiceDayVerdict
from console.domain.estate import JobFacts, RunFacts, TargetFacts
from console.domain.reason import OutOfReach
from console.domain.service import Timeliness
from tests.control.ledger import ended
from tests.factories import at, estate, feeds, job, minutes, run, service, target
from tests.reasons import reason_of

DAG = job(1, "dwh/often", Schedule("debian-cron", "*/15 * * * *"), expected=minutes(10))
TASK = job(2, "dwh/often.publish", parent_id=DAG.id, expected=minutes(2))
BOARD = service("board", "06:30", TASK)


def judged(now: str, *runs: RunFacts) -> ServiceDayVerdict:
    host = target(1, last_ok_at=at(now), seen_until=at(now))
    service_days = evaluate(estate(DAG, TASK, runs=runs, services=[BOARD], targets=[host]), at(now)).service_days
    return next(service_day for service_day in service_days if service_day.deadline == at("06:30"))


def both(number: int, due: str, state: RunState = RunState.SUCCEEDED) -> list[RunFacts]:
    """A run of the job and of its task."""
    fields = ended(due, 5) if not state.is_open else {"started_at": at(due), "first_started_at": at(due)}
    return [run(number, DAG, due, state, **fields), run(number + 1, TASK, due, state, **fields)]


def test_a_task_of_a_run_that_cannot_be_done_in_time_is_not_waited_for() -> None:
    """The job's run of 06:15 is what the service reads; its next one, 06:25 by hand, goes beyond the deadline."""
    service_day = judged("06:28", *both(1, "06:15"), *both(3, "06:25", RunState.RUNNING))
    assert (Timeliness.MET, at("06:20")) == (service_day.timeliness, service_day.delivered_at)


def test_a_task_of_an_earlier_run_delivers_nothing_while_the_run_that_counts_is_ahead() -> None:
    service_day = judged("06:10", *both(1, "05:45"), *both(3, "06:00"))
    assert (Timeliness.ON_TIME, None) == (service_day.timeliness, service_day.delivered_at)


def test_a_task_delivers_once_the_run_that_counts_has_it() -> None:
    started = {"started_at": at("06:15"), "first_started_at": at("06:15")}
    going = run(3, DAG, "06:15", RunState.RUNNING, **started)
    assert judged("06:18", *both(1, "06:00"), going).delivered_at is None
    done = run(4, TASK, "06:15", RunState.SUCCEEDED, **ended("06:15", 2))
    assert at("06:17") == judged("06:18", *both(1, "06:00"), going, done).delivered_at


NIGHTLY = job(3, "dwh/nightly", "05:00", expected=minutes(10))


def nightly(now: str, host: TargetFacts) -> ServiceDayVerdict:
    report = service("report", "06:30", NIGHTLY)
    service_days = evaluate(estate(NIGHTLY, services=[report], targets=[host]), at(now)).service_days
    return next(day for day in service_days if day.deadline == at("06:30"))


def test_a_forecast_is_unverified_while_a_target_that_it_needs_is_out_of_reach() -> None:
    """Hours before its work is due the service is not at risk, and not known to be on time either."""
    host = target(1, last_ok_at=at("03:09"), seen_until=at("03:09"), failing_since=at("03:10"))
    service_day = nightly("03:30", host)
    assert Timeliness.ON_TIME is service_day.timeliness
    assert OutOfReach("etl-hosts/db07", "unreachable", at("03:10"), needed_from=at("05:00")) == service_day.reasons[0]
    assert reason_of(service_day).startswith(
        "etl-hosts/db07 unreachable since 03:10 UTC, needed from 05:00 UTC: forecast unverified"
    )
    assert Timeliness.AT_RISK is nightly("04:30", host).timeliness
    assert "forecast unverified" not in reason_of(nightly("04:30", host))


def test_a_forecast_is_verified_while_its_targets_answer() -> None:
    service_day = nightly("03:30", target(1, last_ok_at=at("03:30"), seen_until=at("03:30")))
    assert not any(isinstance(reason, OutOfReach) for reason in service_day.reasons)


FEED = job(4, "hosts/feed", "04:00", expected=minutes(10))
REPORT = service("report", "06:30", NIGHTLY)


def delivered(now: str, *runs: RunFacts) -> ServiceDayVerdict:
    """The day of REPORT, whose job reads FEED."""
    return next(day for day in report_night(now, *runs).service_days if day.deadline == at("06:30"))


def report_night(now: str, *runs: RunFacts) -> Decisions:
    host = target(1, last_ok_at=at(now), seen_until=at(now))
    known = estate(FEED, NIGHTLY, runs=runs, feeds=feeds(FEED, NIGHTLY), services=[REPORT], targets=[host])
    return evaluate(known, at(now))


def by_hand(number: int, of: JobFacts, clock: str) -> RunFacts:
    """A run that the schedule does not have, failed."""
    failed = run(number, of, clock, RunState.FAILED, **ended(clock, 2))
    return replace(failed, period_key=f"start:{failed.period_key}", period_at=None, expected=False)


def repeated(good: RunFacts, clock: str) -> RunFacts:
    """The run, after a rerun of its date that failed."""
    assert good.started_at is not None
    assert good.ended_at is not None
    again, over = at(clock), at(clock) + minutes(2)
    ends = ((good.ended_at, RunState.SUCCEEDED), (over, RunState.FAILED))
    return replace(
        good, state=RunState.FAILED, attempt=2, started_at=again, ended_at=over,
        successes=((good.started_at, good.ended_at),), ends=ends,
    )  # fmt: skip


GOOD_FEED = run(1, FEED, "04:00", RunState.SUCCEEDED, **ended("04:00", 5))
GOOD = run(2, NIGHTLY, "05:00", RunState.SUCCEEDED, **ended("05:00", 8))


@pytest.mark.parametrize("now", ["05:40", "06:40"])
@pytest.mark.parametrize(
    "runs",
    [
        (GOOD_FEED, GOOD, by_hand(3, NIGHTLY, "05:30")),
        (GOOD_FEED, repeated(GOOD, "05:30")),
        (GOOD_FEED, GOOD, by_hand(3, FEED, "05:30")),
        (repeated(GOOD_FEED, "05:30"), GOOD),
    ],
    ids=["test run", "rerun", "test run of an upstream", "rerun of an upstream"],
)
def test_a_delivered_day_stays_delivered_when_a_later_run_by_hand_fails(now: str, runs: tuple[RunFacts, ...]) -> None:
    """The promise was kept; the failure is an incident of its own."""
    day = delivered(now, *runs)
    assert (Timeliness.MET, at("05:08"), "complete") == (day.timeliness, day.delivered_at, day.data_state)
    assert [()] == [incident.services for incident in report_night(now, *runs).incidents]


def test_a_day_is_not_delivered_by_a_run_that_a_person_marked_as_failed() -> None:
    """No later attempt failed: its own end is what it is now."""
    assert delivered("05:40", GOOD_FEED, replace(GOOD, state=RunState.FAILED)).delivered_at is None


def test_a_day_that_read_a_red_upstream_is_not_delivered() -> None:
    red = run(1, FEED, "04:00", RunState.FAILED, **ended("04:00", 5))
    assert delivered("05:40", red, GOOD).delivered_at is None
    repaired = replace(red, state=RunState.SUCCEEDED, started_at=at("05:20"), ended_at=at("05:25"))
    assert delivered("05:40", repaired, GOOD).delivered_at is None


def test_a_later_good_run_does_not_make_a_kept_promise_late() -> None:
    good = run(4, NIGHTLY, "05:50", RunState.SUCCEEDED, **ended("07:00", 5))
    hand = replace(good, period_key="start:07:00", period_at=None, expected=False)
    day = delivered("07:30", GOOD_FEED, repeated(GOOD, "05:30"), hand)
    assert (Timeliness.MET, at("05:08")) == (day.timeliness, day.delivered_at)


def test_a_failed_run_by_hand_after_the_last_start_in_time_does_not_undo_a_delivery() -> None:
    """Of a job that runs many times a day, too; while a start is ahead, its latest run decides."""
    runs = [
        run(number, DAG, clock, RunState.SUCCEEDED, **ended(clock, 5)) for number, clock in ((1, "06:00"), (2, "06:15"))
    ]
    board = service("board", "06:30", DAG)
    host = target(1, last_ok_at=at("06:28"), seen_until=at("06:28"))
    known = estate(DAG, runs=[*runs, by_hand(3, DAG, "06:17")], services=[board], targets=[host])
    [day] = [day for day in evaluate(known, at("06:28")).service_days if day.deadline == at("06:30")]
    assert (Timeliness.MET, at("06:20")) == (day.timeliness, day.delivered_at)


MART = job(5, "etl/mart", expected=minutes(10))


def mart(now: str, *runs: RunFacts, feed: JobFacts = FEED) -> ServiceDayVerdict:
    """The day of a service whose job has no clock: FEED triggers it."""
    host = target(1, last_ok_at=at(now), seen_until=at(now))
    stock = service("stock", "06:30", MART)
    known = estate(feed, MART, runs=runs, feeds=feeds(feed, MART), services=[stock], targets=[host])
    return next(day for day in evaluate(known, at(now)).service_days if day.deadline == at("06:30"))


GOOD_MART = run(2, MART, "04:06", RunState.SUCCEEDED, **ended("04:06", 8))
FAILED_MART = run(3, MART, "05:30", RunState.FAILED, **ended("05:30", 2))


def test_a_delivered_day_of_a_triggered_job_stays_delivered() -> None:
    """A run after the one that its upstream triggered is by hand: going, failed or good too late."""
    going = run(3, MART, "05:30", RunState.RUNNING)
    late = run(3, MART, "06:25", RunState.SUCCEEDED, **ended("06:25", 10))
    for now, by_hand_run in (("05:31", going), ("05:40", FAILED_MART), ("06:40", FAILED_MART), ("06:40", late)):
        day = mart(now, GOOD_FEED, GOOD_MART, by_hand_run)
        assert (Timeliness.MET, at("04:14")) == (day.timeliness, day.delivered_at)


def test_a_run_of_a_triggered_job_before_the_last_start_of_its_upstream_does_not_deliver_for_good() -> None:
    """Its upstream starts twice a day: the run of the first start is no delivery once that of the second fails."""
    twice = replace(FEED, schedule=Schedule("debian-cron", "0 4,5 * * *"))
    feeds_ran = (GOOD_FEED, run(4, twice, "05:00", RunState.SUCCEEDED, **ended("05:00", 5)))
    failed = run(3, MART, "05:06", RunState.FAILED, **ended("05:06", 2))
    assert mart("05:40", *feeds_ran, GOOD_MART, failed, feed=twice).delivered_at is None
    final = run(5, MART, "05:20", RunState.SUCCEEDED, **ended("05:20", 8))
    assert mart("05:40", *feeds_ran, GOOD_MART, failed, final, FAILED_MART, feed=twice).delivered_at == at("05:28")


def test_a_run_of_a_triggered_job_before_its_input_was_good_does_not_deliver() -> None:
    early = run(2, MART, "04:02", RunState.SUCCEEDED, **ended("04:02", 8))
    assert mart("05:40", GOOD_FEED, early, FAILED_MART).delivered_at is None
    again = run(4, MART, "04:20", RunState.SUCCEEDED, **ended("04:20", 8))
    assert mart("05:40", GOOD_FEED, early, again, FAILED_MART).delivered_at == at("04:28")


def test_a_later_run_of_an_upstream_without_a_clock_is_a_new_input_of_a_triggered_job() -> None:
    """Nothing says which run of it is the last of the date."""
    source = job(4, "hosts/feed", expected=minutes(10))
    first, failed = run(1, source, "04:00", RunState.SUCCEEDED, **ended("04:00", 5)), FAILED_MART
    assert mart("05:40", first, GOOD_MART, failed, feed=source).delivered_at == at("04:14")
    second = run(4, source, "05:20", RunState.SUCCEEDED, **ended("05:20", 5))
    assert mart("05:40", first, second, GOOD_MART, failed, feed=source).delivered_at is None
