"""The next start of a job: one answer for the tables, `headway why`, verdicts and warnings."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.explain.why_not_running import explain_job
from console.control.snapshot.deadlines import next_start
from console.control.snapshot.estate_index import EstateIndex
from console.domain.calendar import Calendar
from console.domain.estate import JobFacts, RunFacts
from console.domain.settings import Declared
from tests.factories import at, daily, estate, job, run
from tests.rows import each_row

LOAD = job(1, "warehouse/load", "04:00")
NAMED = Schedule("none", text="when the queue is due", next_at=at("07:00"))
OPEN_TOMORROW = Calendar("own", tuple(range(7)), closed=(date(2026, 11, 19),))


def index_of(load: JobFacts, *runs: RunFacts) -> EstateIndex:
    return EstateIndex(replace(estate(load, runs=runs), declared=Declared(calendars=(OPEN_TOMORROW,))), at("03:00"))


@each_row(
    "changes, expected",
    [
        ({}, at("04:00")),
        ({"seen_schedule": daily("05:00")}, at("05:00")),
        ({"seen_schedule": NAMED}, at("07:00")),
        ({"schedule": NAMED}, at("07:00")),
        ({"schedule": Schedule("pg_cron", "30 seconds", "UTC", "")}, None),
        ({"schedule": Schedule("pg_cron", "30 seconds", "UTC", "", at("03:01"))}, at("03:01")),
        ({"calendar": "own"}, at("04:00", 1)),
        ({"calendar": "own", "seen_schedule": daily("05:00")}, at("05:00", 1)),
        ({"paused_since": at("02:00")}, None),
        ({"gone_since": at("02:00")}, None),
        ({"accepted_at": None}, None),
    ],
)
def test_the_next_start_is_that_of_the_source_which_the_calendar_expects(
    changes: dict[str, object], expected: datetime | None
) -> None:
    load = replace(LOAD, **changes)  # type: ignore[arg-type]
    index = index_of(load)
    assert expected == next_start(index, load, index.now)
    if expected is not None:
        assert [expected] == [step.until for step in explain_job(index, load.id)]


def test_a_start_whose_run_has_begun_before_it_is_not_the_next() -> None:
    begun = replace(run(1, LOAD, "04:00", RunState.RUNNING), started_at=at("02:30"), first_started_at=at("02:30"))
    assert at("04:00", 1) == next_start(index_of(LOAD, begun), LOAD, at("03:00"))


def test_no_start_is_expected_by_a_calendar_that_is_closed_for_weeks() -> None:
    closed = Calendar("own", tuple(range(7)), closed=tuple(date(2026, 11, 19) + timedelta(days=n) for n in range(30)))
    often = replace(LOAD, schedule=Schedule("debian-cron", "* * * * *", "UTC", ""), calendar="own")
    seen = replace(estate(often), declared=Declared(calendars=(closed,)))
    assert None is next_start(EstateIndex(seen, at("03:00")), often, at("03:00"))
