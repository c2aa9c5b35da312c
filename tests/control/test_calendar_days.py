"""A job or service with a calendar: on a date that does not count nothing is expected, missed or promised."""

from __future__ import annotations

from datetime import date, time

from connectors.contract import Schedule, State
from console.control.evaluate import evaluate
from console.control.expected import expectations
from console.control.touched import changed_jobs
from console.model.calendars import Calendar, Window
from console.model.declared import Declared
from console.model.values import JobFacts
from tests.factories import at, estate, job, run, service, target

WEEKENDS = Calendar("weekends", weekdays=(5, 6))
NIGHT_CLOSED = Calendar("closed", weekdays=tuple(range(7)), closed=(date(2026, 11, 19),))
OFFICE = Calendar("office", weekdays=tuple(range(7)), windows=(Window(time(2), time(4)),))
DECLARED = Declared(calendars=(WEEKENDS, NIGHT_CLOSED, OFFICE))


def due(extract: JobFacts, now: str) -> list[tuple[str, State]]:
    host = target(last_ok_at=at(now), seen_until=at(now))
    found = expectations(estate(extract, targets=[host], declared=DECLARED), at(now))
    return [(each.period_key[5:16], each.state) for each in found.runs]


def test_a_run_of_a_date_that_does_not_count_is_neither_expected_nor_missed() -> None:
    """The run of 03:10 on the 20th is of the 19th, a Thursday, by its business date."""
    plain, on_weekends = (job(1, "etl-hosts/db07:x", "03:10", calendar=name) for name in ("", "weekends"))
    assert ("11-20T03:10", State.MISSED) in due(plain, "04:00")
    assert [] == due(on_weekends, "04:00")


def test_the_business_date_counts_and_not_the_day_of_the_start() -> None:
    """The night after the closed 19th is the 20th's, and counts."""
    closed = job(1, "etl-hosts/db07:x", "03:10", calendar="closed")
    assert [("11-21T03:10", State.PLANNED)] == due(closed, "04:00")


def test_of_a_calendar_with_hours_only_starts_within_them_are_expected() -> None:
    hourly = job(1, "etl-hosts/db07:x", Schedule("debian-cron", "30 * * * *"), calendar="office")
    keys = [key for key, _ in due(hourly, "04:40")]
    assert {"11-20T02:30", "11-20T03:30"} == {key for key in keys if key.startswith("11-20T0")}


def test_a_planned_run_is_withdrawn_when_its_day_does_not_count_any_more() -> None:
    """A changed calendar is a changed config: what was planned by the one before goes."""
    extract = job(1, "etl-hosts/db07:x", "03:10", calendar="closed")
    planned = run(7, extract, "03:10", State.PLANNED)
    found = expectations(estate(extract, runs=[planned], declared=DECLARED), at("02:00"))
    assert (7,) == found.withdrawn


def test_a_service_has_no_promise_on_a_date_that_does_not_count() -> None:
    extract = job(1, "etl-hosts/db07:x", "03:10", accepted_at=at("12:00", day=-2))
    promised = service("supply", "06:30", extract, calendar="closed")
    days = evaluate(estate(extract, services=[promised], declared=DECLARED), at("05:00")).service_days
    assert ["2026-11-18", "2026-11-20"] == [str(each.bd) for each in days]


def test_a_changed_calendar_is_a_change_without_bounds() -> None:
    """Else it would show only when something else changes."""
    extract = job(1, "etl-hosts/db07:x", "03:10")
    assert None is changed_jobs(estate(extract), estate(extract, declared=DECLARED))
