"""A service is delivered by the run that it reads, also by a task of a job that runs many times a day."""

from __future__ import annotations

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.decision import ServiceDayVerdict
from console.domain.estate import RunFacts, TargetFacts
from console.domain.reason import OutOfReach
from console.domain.service import Timeliness
from tests.control.ledger import ended
from tests.factories import at, estate, job, minutes, run, service, target
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
