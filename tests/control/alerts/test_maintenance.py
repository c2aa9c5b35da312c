"""Maintenance and planned exceptions: nothing is missed or notified while it lasts; what outlives it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from connectors.sdk.states import RunState
from console.control.expectations.expected_runs import expect_runs
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import AlertKind
from console.domain.calendar import Calendar, CalendarWindow, DayRule, MaintenanceWindow, PlannedException
from console.domain.check import Check, CheckCriteria, CheckHistory, CheckState, ResultSpan
from console.domain.estate import JobFacts, ServiceFacts
from console.domain.settings import Declared
from console.forecast.finish_times import forecast
from console.timing import maintenance
from tests.control.ledger import Ledger
from tests.factories import NIGHT, at, estate, job, minutes, run, service, target
from tests.reasons import why_of, zoned
from tests.rows import each_row

EXTRACT = job(1, "etl-hosts/db07:extract", "03:10", notify=("oncall",))
LOAD = job(2, "warehouse/load", "04:00", target_id=2)
NIGHTLY = Calendar("nightly", weekdays=tuple(range(7)), windows=(CalendarWindow(time(22), time(4)),))


def until_four(**who: tuple[str, ...]) -> Declared:
    who = who or {"targets": ("etl-hosts/db07",)}
    return Declared(maintenance=(MaintenanceWindow("kernel patches", since=at("03:00"), until=at("04:00"), **who),))  # type: ignore[arg-type]


def state_in_maintenance(declared: Declared, now: str, of: JobFacts = EXTRACT) -> tuple[RunState, str]:
    host = target(last_ok_at=at(now), seen_until=at(now))
    expected_run = expect_runs(estate(of, targets=[host], declared=declared), at(now)).runs[0]
    return expected_run.state, why_of(expected_run, at(now))


@each_row(
    "who",
    [
        {"targets": ("etl-hosts/db07",)},
        {"systems": ("etl-*",)},
        {"jobs": ("etl-hosts/*:extract",)},
        {"jobs": ("*",)},
    ],
)
def test_a_start_that_is_due_in_maintenance_is_not_missed_while_it_lasts(who: dict[str, tuple[str, ...]]) -> None:
    assert (RunState.PLANNED, "in maintenance until 04:00 UTC: kernel patches") == state_in_maintenance(
        until_four(**who), "03:30"
    )


def test_an_end_on_another_day_is_shown_with_its_date() -> None:
    patches = MaintenanceWindow("kernel patches", targets=("etl-hosts/db07",), since=at("03:00"), until=at("00:00", 1))
    text = "in maintenance until 21 Nov 00:00 UTC: kernel patches"
    assert (RunState.PLANNED, text) == state_in_maintenance(Declared(maintenance=(patches,)), "03:30")


def test_it_is_missed_once_the_maintenance_and_its_grace_are_over() -> None:
    assert RunState.PLANNED == state_in_maintenance(until_four(), "04:04")[0]
    text = "no start in the log by 04:05 UTC; in maintenance until 04:00 UTC: kernel patches"
    assert (RunState.MISSED, text) == state_in_maintenance(until_four(), "04:06")


@pytest.mark.parametrize("who", [{"targets": ("etl-hosts/db08",)}, {"systems": ("etl",)}, {"jobs": ("warehouse/*",)}])
def test_what_it_does_not_name_is_missed_as_ever(who: dict[str, tuple[str, ...]]) -> None:
    assert (RunState.MISSED, "no start in the log by 03:15 UTC") == state_in_maintenance(until_four(**who), "03:30")


@each_row("clock, until", [("21:59", None), ("22:00", "04:00"), ("03:59", "04:00"), ("04:00", None)])
def test_a_maintenance_recurs_in_the_windows_of_its_calendar(clock: str, until: str | None) -> None:
    recurring = Declared(
        calendars=(NIGHTLY,), maintenance=(MaintenanceWindow("backup", jobs=("*",), calendar="nightly"),)
    )
    active_maintenance = maintenance.maintenance_of_job(estate(EXTRACT, declared=recurring), EXTRACT, at(clock))
    assert until == (f"{active_maintenance.until:%H:%M}" if active_maintenance else None)


def test_windows_that_touch_end_together() -> None:
    twice = replace(NIGHTLY, windows=(CalendarWindow(time(22), time(2)), CalendarWindow(time(2), time(4))))
    recurring = Declared(
        calendars=(twice,), maintenance=(MaintenanceWindow("backup", jobs=("*",), calendar="nightly"),)
    )
    active_maintenance = maintenance.maintenance_of_job(estate(EXTRACT, declared=recurring), EXTRACT, at("23:00"))
    assert active_maintenance is not None
    assert at("04:00") == active_maintenance.until


def test_a_maintenance_by_whole_days_ends_at_midnight_of_its_zone() -> None:
    days = Calendar("days", on=(DayRule.read("20th day"),), zone="Europe/Berlin")
    recurring = Declared(calendars=(days,), maintenance=(MaintenanceWindow("move", jobs=("*",), calendar="days"),))
    active_maintenance = maintenance.maintenance_of_job(estate(EXTRACT, declared=recurring), EXTRACT, at("05:00"))
    assert active_maintenance is not None
    assert datetime(2026, 11, 20, 23, tzinfo=UTC) == active_maintenance.until


def ledger(declared: Declared) -> Ledger:
    result = Ledger(estate(EXTRACT, declared=declared))
    result.target(1, last_ok_at=at("03:09"), failing_since=at("03:10"), error="no route", error_kind="unreachable")
    return result


def test_an_incident_in_maintenance_is_recorded_and_not_notified() -> None:
    night = ledger(until_four())
    first = night.evaluate("03:30")
    assert 1 == len(first.incidents)
    assert () == first.incidents[0].notices
    assert zoned(first.incidents[0].event).endswith("; suppressed: in maintenance until 04:00 UTC: kernel patches")
    again = night.evaluate("03:40")
    assert ([()], [""]) == (
        [incident.notices for incident in again.incidents],
        [zoned(incident.event) for incident in again.incidents],
    )


def test_the_timeline_has_the_date_of_a_maintenance_that_ends_on_another_day() -> None:
    patches = MaintenanceWindow("kernel patches", targets=("etl-hosts/db07",), since=at("03:00"), until=at("00:00", 1))
    incident = ledger(Declared(maintenance=(patches,))).evaluate("03:30").incidents[0]
    assert zoned(incident.event, at("03:30")).endswith(
        "; suppressed: in maintenance until 21 Nov 00:00 UTC: kernel patches"
    )
    assert ["in maintenance until 21 Nov 00:00 UTC: kernel patches"] == [
        notice.why for notice in incident.suppressions.notices
    ]


def test_an_incident_that_outlives_its_maintenance_is_notified_then() -> None:
    night = ledger(until_four())
    night.evaluate("03:30")
    after = night.evaluate("04:01").incidents[0]
    assert [AlertKind.OPENED] == [notice.kind for notice in after.notices]
    assert "notified now: its maintenance has ended" == zoned(after.event)
    assert [()] == [incident.notices for incident in night.evaluate("04:02").incidents]


def test_an_incident_that_ends_within_its_maintenance_is_never_notified() -> None:
    night = ledger(until_four())
    night.evaluate("03:30")
    night.target(1, last_ok_at=at("03:45"), failing_since=None, error="", error_kind="", seen_until=at("03:45"))
    closed = night.evaluate("03:45").incidents[0]
    assert (True, ()) == (closed.closed, closed.notices)


def test_routes_notified_before_a_maintenance_are_notified_of_the_end_within_it() -> None:
    night = ledger(Declared())
    assert 1 == len(night.evaluate("03:15").incidents[0].notices)
    night.estate = replace(night.estate, declared=until_four())
    assert () == night.evaluate("03:20").incidents[0].notices
    night.target(1, last_ok_at=at("03:45"), failing_since=None, error="", error_kind="", seen_until=at("03:45"))
    assert [AlertKind.RECOVERED] == [notice.kind for notice in night.evaluate("03:45").incidents[0].notices]


def test_the_timeline_of_a_notified_incident_has_the_maintenance_that_begins_and_that_nothing_was_new() -> None:
    night = ledger(Declared())
    night.evaluate("03:15")
    night.estate = replace(night.estate, declared=until_four())
    covered = night.evaluate("03:20").incidents[0]
    assert ((), "suppressed: in maintenance until 04:00 UTC: kernel patches") == (covered.notices, zoned(covered.event))
    assert "" == zoned(night.evaluate("03:40").incidents[0].event)
    after = night.evaluate("04:01").incidents[0]
    assert ((), "nothing to notify: its maintenance has ended") == (after.notices, zoned(after.event))
    assert "" == zoned(night.evaluate("04:02").incidents[0].event)


CLOSE = PlannedException(
    "quarter close", dates=(NIGHT,), services=("supply",), jobs=("etl-hosts/*",),
    more_time=minutes(90), starts_later=minutes(30), takes_longer=minutes(20),
)  # fmt: skip


def test_a_planned_exception_gives_a_service_more_time_with_its_reason() -> None:
    supply = service("supply", "06:30", EXTRACT)
    seen = EstateIndex(estate(EXTRACT, services=[supply], declared=Declared(exceptions=(CLOSE,))), at("02:00"))
    day = forecast(seen, supply, (1,), NIGHT)
    assert (at("08:00"), at("06:30")) == (day.deadline, day.promised)
    assert day.extended is not None
    assert "by config: quarter close: +1h30m" == day.extended.text
    assert at("06:30", 1) == forecast(seen, supply, (1,), date(2026, 11, 20)).deadline


def test_a_planned_exception_lets_a_job_start_later_and_take_longer() -> None:
    declared = Declared(exceptions=(CLOSE,))
    assert (RunState.PLANNED, "may start 30m later: quarter close") == state_in_maintenance(declared, "03:30")
    assert RunState.MISSED == state_in_maintenance(declared, "03:46")[0]
    supply = service("supply", "06:30", EXTRACT)
    plain, planned = (
        forecast(
            EstateIndex(estate(EXTRACT, durations={1: (600.0,) * 9}, declared=candidate), at("02:00")),
            supply,
            (1,),
            NIGHT,
        )
        for candidate in (Declared(), declared)
    )
    assert plain.finish is not None
    assert planned.finish is not None
    assert timedelta(minutes=20) == planned.finish.p50 - plain.finish.p50


def test_an_exception_by_calendar_is_for_its_days_only() -> None:
    calendar = Calendar("close", on=(DayRule.read("last business day"),))
    declared = Declared(calendars=(calendar,), exceptions=(replace(CLOSE, dates=(), calendar="close"),))
    assert timedelta(0) == maintenance.takes_longer(declared, "etl-hosts/db07:x", NIGHT)[0]
    assert minutes(20) == maintenance.takes_longer(declared, "etl-hosts/db07:x", date(2026, 11, 30))[0]


def test_a_running_job_that_takes_longer_is_awaited_so_much_longer() -> None:
    supply = service("supply", "06:30", EXTRACT)
    running = run(1, EXTRACT, "03:10", RunState.RUNNING)
    seen = estate(EXTRACT, runs=[running], durations={1: (600.0,) * 9}, declared=Declared(exceptions=(CLOSE,)))
    day = forecast(EstateIndex(seen, at("03:15")), supply, (1,), NIGHT)
    assert day.finish is not None
    assert at("03:40") == day.finish.p50


def test_the_end_of_a_maintenance_in_the_hour_that_comes_twice_is_that_of_its_own_pass() -> None:
    """02:30-02:45 in Berlin on 25 October, the second time."""
    windows = (CalendarWindow(time(2, 30), time(2, 45)),)
    odd = Calendar("odd", tuple(range(7)), windows=windows, zone="Europe/Berlin")
    recurring = Declared(calendars=(odd,), maintenance=(MaintenanceWindow("backup", jobs=("*",), calendar="odd"),))
    ends = [
        maintenance.active_maintenances(recurring, datetime(2026, 10, 25, hour, 35, tzinfo=UTC))[0][1]
        for hour in (0, 1)
    ]
    assert ["00:45", "01:45"] == [f"{instant:%H:%M}" for instant in ends]


ROWS = Check("rows", "sql", "table supply.rows", CheckCriteria(rows_min=100), system="dwh")
PLAN = service("supply", "06:30", EXTRACT, ready=("rows",), notify=("oncall",))
OTHER = service("other", "06:30", LOAD, ready=("rows",))


@each_row(
    "services, who, is_quiet",
    [
        ([PLAN], {"systems": ("dwh",)}, True),
        ([PLAN], {"targets": ("dwh/database",)}, True),
        ([PLAN], {"systems": ("etl-hosts",)}, True),
        ([PLAN], {"jobs": ("etl-hosts/db07:extract",)}, True),
        ([PLAN, OTHER], {"jobs": ("etl-hosts/db07:extract",)}, False),
        ([PLAN], {"systems": ("warehouse",)}, False),
    ],
)
def test_a_failed_check_in_maintenance_is_not_notified_while_it_lasts(
    services: list[ServiceFacts], who: dict[str, tuple[str, ...]], is_quiet: bool
) -> None:
    """Of the requested system, or of one that every waiting service needs; notified afterwards."""
    ledger = Ledger(estate(EXTRACT, LOAD, services=services, declared=replace(until_four(**who), checks=(ROWS,))))
    for job_facts in (EXTRACT, LOAD):
        ledger.run(job_facts, "03:10", RunState.SUCCEEDED, started_at=at("03:10"), ended_at=at("03:20"), attempt=1)
    result_span = ResultSpan(CheckState.FAILED, at("03:22"), at("03:59"), "12 rows, fewer than 100")
    ledger.estate = replace(ledger.estate, checks={("rows", NIGHT): CheckHistory("rows", NIGHT, (result_span,))})
    ledger.evaluate("03:23")
    incident = ledger.incident()
    assert ("check", not is_quiet) == (incident.cause.kind, bool(incident.notices))
    assert is_quiet == zoned(incident.event).endswith("suppressed: in maintenance until 04:00 UTC: kernel patches")
    ledger.evaluate("04:01")
    assert is_quiet == bool(ledger.incident().notices)


def test_a_shared_root_is_not_notified_while_all_its_jobs_are_in_maintenance() -> None:
    """One of them outside of it is enough to notify."""
    jobs = [job(number, f"etl-hosts/db07:j{number}", "03:10", notify=("oncall",)) for number in (1, 2, 3)]
    missing = 'connection to server at "db09", port 5432 failed: Connection refused'
    for who, is_notified in (({"targets": ("etl-hosts/db07",)}, False), ({"jobs": ("*:j1", "*:j2")}, True)):
        ledger = Ledger(estate(*jobs, declared=until_four(**who)))
        for job_facts in jobs:
            ledger.run(
                job_facts,
                "03:10",
                RunState.FAILED,
                message=missing,
                started_at=at("03:10"),
                ended_at=at("03:12"),
                attempt=1,
            )
        ledger.evaluate("03:13")
        incident = ledger.incident()
        assert (True, is_notified) == (incident.cause.kind == "shared", bool(incident.notices)), incident
