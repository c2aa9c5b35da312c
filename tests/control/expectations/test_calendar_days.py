"""A job or service with a calendar: on a date that does not count nothing is expected, missed or promised."""

from __future__ import annotations

from datetime import date, time

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.expectations.expected_runs import expect_runs
from console.control.snapshot.incremental import changed_jobs
from console.domain.calendar import Calendar, CalendarWindow
from console.domain.estate import JobFacts
from console.domain.service import Timeliness
from console.domain.settings import Declared
from tests.factories import at, estate, job, run, service, target
from tests.reasons import reason_of

WEEKENDS = Calendar("weekends", weekdays=(5, 6))
NIGHT_CLOSED = Calendar("closed", weekdays=tuple(range(7)), closed=(date(2026, 11, 19),))
OFFICE = Calendar("office", weekdays=tuple(range(7)), windows=(CalendarWindow(time(2), time(4)),))
DECLARED = Declared(calendars=(WEEKENDS, NIGHT_CLOSED, OFFICE))


def due(extract: JobFacts, now: str) -> list[tuple[str, RunState]]:
    host = target(last_ok_at=at(now), seen_until=at(now))
    expectations = expect_runs(estate(extract, targets=[host], declared=DECLARED), at(now))
    return [(run.period_key[5:16], run.state) for run in expectations.runs]


def test_a_run_of_a_date_that_does_not_count_is_neither_expected_nor_missed() -> None:
    """The run of 03:10 on the 20th is of the 19th, a Thursday, by its business date."""
    plain, on_weekends = (job(1, "etl-hosts/db07:x", "03:10", calendar=name) for name in ("", "weekends"))
    assert ("11-20T03:10", RunState.MISSED) in due(plain, "04:00")
    assert [] == due(on_weekends, "04:00")


def test_the_business_date_counts_and_not_the_day_of_the_start() -> None:
    """The night after the closed 19th is the 20th's, and counts."""
    closed = job(1, "etl-hosts/db07:x", "03:10", calendar="closed")
    assert [("11-21T03:10", RunState.PLANNED)] == due(closed, "04:00")


def test_of_a_calendar_with_hours_only_starts_within_them_are_expected() -> None:
    hourly = job(1, "etl-hosts/db07:x", Schedule("debian-cron", "30 * * * *"), calendar="office")
    keys = [key for key, _ in due(hourly, "04:40")]
    assert {"11-20T02:30", "11-20T03:30"} == {key for key in keys if key.startswith("11-20T0")}


def test_a_planned_run_is_withdrawn_when_its_day_does_not_count_any_more() -> None:
    """A changed calendar is a changed config: what was planned by the one before goes."""
    extract = job(1, "etl-hosts/db07:x", "03:10", calendar="closed")
    planned = run(7, extract, "03:10", RunState.PLANNED)
    expectations = expect_runs(estate(extract, runs=[planned], declared=DECLARED), at("02:00"))
    assert (7,) == expectations.withdrawn


def test_a_service_has_no_promise_on_a_date_that_does_not_count() -> None:
    extract = job(1, "etl-hosts/db07:x", "03:10", accepted_at=at("12:00", day=-2))
    promised = service("supply", "06:30", extract, calendar="closed")
    decisions = evaluate(estate(extract, services=[promised], declared=DECLARED), at("05:00"))
    assert [("2026-11-18", True), ("2026-11-20", True), ("2026-11-19", False)] == [
        (str(service_day.business_date), service_day.timeliness is not Timeliness.NO_PROMISE)
        for service_day in decisions.service_days
    ]
    left_out = decisions.service_days[-1]
    assert "no promise for 2026-11-19: calendar closed, named closed; the next is for 2026-11-20" == reason_of(left_out)
    assert (None, None, None, "", ()) == (
        left_out.expected_at, left_out.act_by, left_out.incident_key, left_out.cause, left_out.awaits,
    )  # fmt: skip


def test_a_service_whose_calendar_has_no_more_days_says_so() -> None:
    extract = job(1, "etl-hosts/db07:x", "03:10", accepted_at=at("12:00", day=-2))
    promised = service("supply", "06:30", extract, calendar="past")
    past = Calendar("past", weekdays=(), opened=(date(2020, 1, 1),))
    days = evaluate(estate(extract, services=[promised], declared=Declared(calendars=(past,))), at("05:00"))
    assert {Timeliness.NO_PROMISE} == {service_day.timeliness for service_day in days.service_days}
    assert reason_of(days.service_days[0]).endswith("none within five years")


def test_a_failure_on_a_date_without_a_promise_affects_no_service() -> None:
    """The job's own incident is there, and names nobody's promise."""
    extract = job(1, "etl-hosts/db07:x", "03:10", accepted_at=at("12:00", day=-2))
    promised = service("supply", "06:30", extract, calendar="closed", notify=("oncall",))
    red = run(7, extract, "03:10", RunState.FAILED, ended_at=at("03:12"))
    decisions = evaluate(estate(extract, services=[promised], runs=[red], declared=DECLARED), at("03:20"))
    [mine] = [incident for incident in decisions.incidents if incident.members[0].run_id == 7]
    assert ((), Timeliness.NO_PROMISE) == (mine.services, decisions.service_days[-1].timeliness)


def test_a_changed_calendar_is_a_change_without_bounds() -> None:
    """Else it would show only when something else changes."""
    extract = job(1, "etl-hosts/db07:x", "03:10")
    assert None is changed_jobs(estate(extract), estate(extract, declared=DECLARED))
