"""What a gate makes of an upstream that has no run on the date it is requested."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.sdk.states import RunState
from console.control.holds.gate import GateStatus, GateVerdict, judge_gate
from console.domain.check import Check, CheckHistory, CheckState, ResultSpan
from console.domain.dependency import (
    GateView,
    Requirement,
    ScheduleView,
    UpstreamCondition,
    UpstreamPeriod,
    UpstreamRun,
    UpstreamView,
)
from console.domain.settings import NOTHING_DECLARED, Declared
from tests.rows import each_row

ACCEPTED = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
DAILY = ScheduleView("debian-cron", "17 16 * * *", "UTC", None, ACCEPTED, "UTC", "12:00")
SATURDAYS = replace(DAILY, expression="17 16 * * 6")
"""The 21st and the 28th."""


def gate_verdict(business_date: str, clock: ScheduleView | None, now: datetime = NOW) -> GateVerdict:
    upstream = UpstreamView(1, "etl/extract", clock, "", "", (), False)
    return judge_gate(GateView(2, business_date, now, (upstream,)), True, now)


def gate_status(business_date: str, clock: ScheduleView | None, now: datetime = NOW) -> GateStatus:
    return gate_verdict(business_date, clock, now).status


def test_a_date_on_which_a_known_schedule_has_no_instant_is_good() -> None:
    assert GateVerdict(GateStatus.SATISFIED, "etl/extract has no run on that date") == gate_verdict(
        "2026-11-22", SATURDAYS
    )
    assert GateStatus.SATISFIED == gate_status("2026-11-20", SATURDAYS)
    assert GateStatus.SATISFIED == gate_status("2026-11-23", SATURDAYS)


@each_row("business_date", ["0001-01-01", "2020-01-01", "2026-11-18"])
@each_row("clock", [DAILY, SATURDAYS])
def test_a_date_before_the_schedule_was_known_is_unknown(business_date: str, clock: ScheduleView) -> None:
    assert GateStatus.UNKNOWN == gate_status(business_date, clock)
    assert "before its schedule was known" in gate_verdict(business_date, clock).text


def test_what_is_due_on_that_date_is_waited_for() -> None:
    assert GateVerdict(GateStatus.WAITING, "etl/extract is still to come") == gate_verdict("2026-11-22", DAILY)
    assert GateStatus.WAITING == gate_status("2026-11-23", DAILY)
    every = replace(DAILY, dialect="pg_cron", expression="30 seconds")
    assert GateStatus.WAITING == gate_status("2026-11-22", every)


def test_a_due_start_without_a_run_is_unknown() -> None:
    assert GateStatus.UNKNOWN == gate_status("2026-11-21", DAILY)
    late = replace(DAILY, accepted_at=datetime(2026, 11, 22, 18, tzinfo=UTC))
    assert GateStatus.UNKNOWN == gate_status("2026-11-22", late)


@each_row("business_date", ["2026-11-25", "2027-02-28", "9999-12-31"])
@each_row("clock", [DAILY, SATURDAYS])
def test_a_date_further_ahead_than_is_expected_is_waited_for(business_date: str, clock: ScheduleView) -> None:
    assert GateVerdict(GateStatus.WAITING, "etl/extract is not expected so far ahead") == gate_verdict(
        business_date, clock
    )


def test_a_source_that_names_its_next_run_has_run_before_it_too() -> None:
    """Airflow: past starts follow from the expression, the next one from the run that it names."""
    tomorrow = datetime(2026, 11, 23, 16, 17, tzinfo=UTC)
    dag = replace(DAILY, dialect="airflow", next_at=tomorrow)
    assert GateStatus.UNKNOWN == gate_status("2026-11-21", dag)
    assert GateStatus.WAITING == gate_status("2026-11-22", dag)
    assert GateStatus.SATISFIED == gate_status("2026-11-22", dag, NOW.replace(hour=14))
    assert GateStatus.WAITING == gate_status("2026-11-23", dag)


def test_a_schedule_that_cannot_be_read_proves_nothing() -> None:
    assert GateStatus.UNKNOWN == gate_status("2026-11-22", replace(DAILY, expression="17 16 * *"))
    unnamed = replace(DAILY, dialect="airflow", expression="")
    assert GateStatus.UNKNOWN == gate_status("2026-11-22", unnamed)
    next_week = replace(unnamed, next_at=datetime(2026, 11, 28, 4, tzinfo=UTC))
    assert GateStatus.SATISFIED == gate_status("2026-11-22", next_week)


def test_what_only_events_start_is_waited_for() -> None:
    assert GateStatus.WAITING == gate_status("2026-11-22", None)


def test_a_run_that_is_seen_counts_whatever_its_date() -> None:
    good = UpstreamView(1, "etl/extract", DAILY, "p", RunState.SUCCEEDED, (), False)
    assert GateStatus.SATISFIED == judge_gate(GateView(2, "2020-01-01", NOW, (good,)), False, NOW).status


def test_a_run_that_closes_the_gate_is_named() -> None:
    red = UpstreamView(1, "etl/extract", DAILY, "p1", RunState.MISSED, ("no run by 16:22",), False)
    view = GateView(2, "2026-11-22", NOW, (red,))
    assert GateVerdict(GateStatus.RED, "etl/extract is missed (run p1: no run by 16:22)") == judge_gate(view, True, NOW)
    going = replace(view, upstreams=(replace(red, state=RunState.RUNNING, reason=()),))
    assert GateVerdict(GateStatus.WAITING, "etl/extract is running (run p1)") == judge_gate(going, True, NOW)


EXTRACT = UpstreamView(1, "etl/extract", DAILY, "p1", RunState.SUCCEEDED, (), False)
STOCK = replace(EXTRACT, job_id=2, job="etl/stock", state=RunState.FAILED)
DATE = "2026-11-22"


def judged(*upstreams: UpstreamView, declared: Declared = NOTHING_DECLARED) -> GateVerdict:
    return judge_gate(GateView(9, DATE, NOW, upstreams), True, NOW, declared)


def wants(upstream: UpstreamView, **what: Any) -> UpstreamView:
    return replace(upstream, wants=Requirement(**what))


def test_a_gate_of_several_is_open_with_so_many_of_them() -> None:
    both = [wants(upstream, gate="1", need=1) for upstream in (EXTRACT, STOCK)]
    assert GateVerdict(GateStatus.SATISFIED, "any of 2: etl/extract is good, etl/stock is failed (run p1)") == judged(
        *both
    )
    red = [wants(replace(upstream, state=RunState.FAILED), gate="1", need=1) for upstream in (EXTRACT, STOCK)]
    assert GateStatus.RED == judged(*red).status
    one_comes = [red[0], wants(replace(STOCK, state=RunState.RUNNING), gate="1", need=1)]
    assert GateStatus.WAITING == judged(*one_comes).status


@each_row(
    "upstream, condition, expected",
    [
        (STOCK, UpstreamCondition.COMPLETION, GateVerdict(GateStatus.SATISFIED, "etl/stock has ended: it is failed")),
        (STOCK, UpstreamCondition.FAILURE, GateVerdict(GateStatus.SATISFIED, "etl/stock has failed: it is failed")),
        (EXTRACT, UpstreamCondition.FAILURE, GateVerdict(GateStatus.RED, "etl/extract has not failed")),
        (
            replace(STOCK, state=RunState.RUNNING),
            UpstreamCondition.COMPLETION,
            GateVerdict(GateStatus.WAITING, "etl/stock is running (run p1)"),
        ),
    ],
)
def test_a_gate_goes_by_the_condition(
    upstream: UpstreamView, condition: UpstreamCondition, expected: GateVerdict
) -> None:
    assert expected == judged(wants(upstream, condition=condition))


def past(day: int, state: RunState = RunState.SUCCEEDED) -> UpstreamRun:
    at = datetime(2026, 11, day, 16, 17, tzinfo=UTC)
    return UpstreamRun(f"p{day}", f"2026-11-{day:02}", at, state, (), False)


def test_a_gate_reads_the_run_of_the_period_that_is_meant() -> None:
    runs = (past(20), past(21, RunState.FAILED), past(22))
    previous = replace(wants(STOCK, period=UpstreamPeriod.PREVIOUS), past=runs)
    assert GateVerdict(GateStatus.RED, "etl/stock is failed (run p21)") == judged(previous)
    assert GateStatus.SATISFIED == judged(replace(previous, loops=True)).status
    day = replace(wants(STOCK, period=UpstreamPeriod.BUSINESS_DAY), past=runs)  # the 22nd is a Sunday
    assert GateStatus.SATISFIED == judged(day).status
    window = replace(wants(STOCK, period=UpstreamPeriod.WINDOW, within=timedelta(hours=2)), past=runs[:2])
    assert GateVerdict(GateStatus.WAITING, "etl/stock is still to come") == judged(window)
    assert GateVerdict(GateStatus.SATISFIED, "etl/stock has no run before") == judged(replace(previous, past=()))


def test_a_gate_on_a_check_is_shut_until_it_was_seen_to_pass() -> None:
    known = Declared(checks=(Check("file", "file", "the file"),))
    upstream = wants(STOCK, condition=UpstreamCondition.READY, check="file")
    assert GateVerdict(GateStatus.WAITING, "etl/stock (check file: not run for 2026-11-22 yet)") == judged(
        upstream, declared=known
    )
    passed = CheckHistory("file", NOW.date(), (ResultSpan(CheckState.PASSED, NOW, NOW, "is there"),))
    assert GateStatus.SATISFIED == judged(replace(upstream, check_history=passed), declared=known).status
    failed = CheckHistory("file", NOW.date(), (ResultSpan(CheckState.FAILED, NOW, NOW, "is missing"),))
    assert GateStatus.WAITING == judged(replace(upstream, check_history=failed), declared=known).status
