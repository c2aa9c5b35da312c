"""Which dependencies the clock contradicts."""

from __future__ import annotations

from dataclasses import replace
from datetime import time

import pytest

from connectors.sdk.records import Schedule
from console.control.holds.warnings import (
    contradicting_clocks,
    contradicting_deadlines,
    dependency_faults,
    unenforceable_holds,
    with_settings,
)
from console.domain.dependency import DependencyMode
from console.domain.estate import JobFacts
from console.domain.promise import DeadlineRule
from console.domain.settings import DependencySetting, EstateSettings, ServiceSetting, SystemSetting
from tests.control.stage import hold_edge
from tests.factories import at, estate, feeds, job, service
from tests.rows import each_row

EXTRACT = job(1, "hosts/extract", "03:10")


@each_row("starts, count", [("04:00", 0), ("03:10", 0), ("02:00", 1), ("14:00", 1)])
def test_a_downstream_that_starts_before_its_upstream_is_reported(starts: str, count: int) -> None:
    load = job(2, "warehouse/load", starts)
    assert count == len(list(contradicting_clocks(estate(EXTRACT, load, feeds=feeds(EXTRACT, load)), at("03:00"))))


def test_the_text_names_both_starts_and_the_cutoff() -> None:
    load = job(2, "warehouse/load", "14:00")
    [text] = contradicting_clocks(estate(EXTRACT, load, feeds=feeds(EXTRACT, load)), at("03:00"))
    assert (
        "warehouse/load starts 14:00, before hosts/extract of the same business date (03:10): each of its runs counts"
        " as a stale read. Move the cutoff of warehouse and hosts (now 12:00), so that both belong to one date in this"
        " order, or remove the dependency."
    ) == text


def test_a_cutoff_that_puts_both_into_one_date_is_silent() -> None:
    early = job(1, "hosts/extract", "03:10", cutoff=time(0))
    load = job(2, "warehouse/load", "14:00", cutoff=time(0))
    assert [] == list(contradicting_clocks(estate(early, load, feeds=feeds(early, load)), at("03:00")))


def test_one_system_is_named_once() -> None:
    extract, load = job(1, "batch/extract", "03:10"), job(2, "batch/load", "14:00")
    [text] = contradicting_clocks(estate(extract, load, feeds=feeds(extract, load)), at("03:00"))
    assert "Move the cutoff of batch (now" in text


def test_what_does_not_start_by_the_clock_is_not_judged() -> None:
    load = job(2, "warehouse/load")
    assert [] == list(contradicting_clocks(estate(EXTRACT, load, feeds=feeds(EXTRACT, load)), at("03:00")))


RATE = Schedule("none", text="EventBridge Scheduler: rate(1 hour)")


def hold_warnings(load: JobFacts, mode: DependencyMode) -> list[str]:
    return list(unenforceable_holds(estate(EXTRACT, load, feeds=[hold_edge(mode, EXTRACT, load)])))


@pytest.mark.parametrize("mode", [DependencyMode.HOLD, DependencyMode.TRIGGER])
@pytest.mark.parametrize(
    "load",
    [
        job(2, "aws/mart", "04:00"),
        job(2, "aws/mart", replace(RATE, next_at=at("04:00"))),
        replace(job(2, "aws/mart", RATE), paused_since=at("01:00")),
        replace(job(2, "aws/mart", RATE), gone_since=at("01:00")),
    ],
    ids=["a clock", "a clock that names its next start", "paused by a person", "gone"],
)
def test_a_job_that_can_be_held_or_never_starts_is_not_reported(load: JobFacts, mode: DependencyMode) -> None:
    assert [] == hold_warnings(load, mode)


def test_a_schedule_without_a_start_time_cannot_be_held_and_the_fix_is_named() -> None:
    [text] = hold_warnings(job(2, "aws/mart", RATE), DependencyMode.HOLD)
    assert (
        "aws/mart cannot be held until hosts/extract is good: EventBridge Scheduler: rate(1 hour), and its next start"
        " is not known. Hold it by hand, or give it a clock that names its starts."
    ) == text


def test_a_job_without_a_clock_is_triggered_but_not_held() -> None:
    bare = job(2, "aws/mart")
    assert [] == hold_warnings(bare, DependencyMode.TRIGGER)
    [text] = hold_warnings(bare, DependencyMode.HOLD)
    assert "aws/mart cannot be held until hosts/extract is good: it has no clock. Its mode can be trigger." == text


@pytest.mark.parametrize("text", ["Never, external triggers only", "Triggered by assets", ""])
def test_what_only_people_or_events_start_has_no_clock(text: str) -> None:
    bare = job(2, "airflow/load", Schedule("none", text=text))
    assert [] == hold_warnings(bare, DependencyMode.TRIGGER)
    [result] = hold_warnings(bare, DependencyMode.HOLD)
    assert (
        "airflow/load cannot be held until hosts/extract is good: it has no clock. Its mode can be trigger." == result
    )


def test_a_trigger_beside_a_schedule_without_a_start_time_is_reported_to_start_it_twice() -> None:
    [text] = hold_warnings(job(2, "aws/mart", RATE), DependencyMode.TRIGGER)
    assert "by its schedule as well: EventBridge Scheduler: rate(1 hour)" in text


def test_a_watch_only_job_is_not_reported() -> None:
    assert [] == hold_warnings(job(2, "aws/mart", RATE), DependencyMode.OBSERVE)


MORNING = job(1, "dwh/mart", "11:00")


@each_row("deadline, cutoff, count", [("13:00", 12, 1), ("13:00", 0, 0), ("11:30", 12, 0), ("23:00", 12, 1)])
def test_a_deadline_on_the_day_before_its_jobs_start_is_reported(deadline: str, cutoff: int, count: int) -> None:
    mart = replace(MORNING, cutoff=time(cutoff))
    daily = service("daily", deadline, mart, cutoff=time(cutoff))
    assert count == len(list(contradicting_deadlines(estate(mart, services=[daily]), at("03:00"))))


def test_the_warning_of_a_deadline_names_the_start_and_a_fix_that_ends_it() -> None:
    daily = service("daily", "13:00", MORNING)
    [text] = contradicting_deadlines(estate(MORNING, services=[daily]), at("03:00"))
    assert (
        "services.daily: dwh/mart starts 11:00, on the day after the deadline 13:00 of the same business date"
        ' (cutoff 12:00): 13:00 of that day counts. Fix: deadline = { time = "13:00", day = 1 }'
    ) == text
    fixed = replace(daily, promise=replace(daily.promise, deadline=DeadlineRule(day=1)))
    assert [] == list(contradicting_deadlines(estate(MORNING, services=[fixed]), at("03:00")))


def test_a_deadline_between_the_cutoffs_of_two_zones_is_not_reported() -> None:
    """It is evaluated: the first after the date begins counts."""
    daily = service("daily", "12:55", MORNING, zone="Europe/Berlin")
    often = replace(MORNING, schedule=Schedule("debian-cron", "* * * * *", "UTC"))
    assert [] == list(contradicting_deadlines(estate(often, services=[daily]), at("03:00")))


@pytest.mark.parametrize("cutoff, count", [(12, 1), (0, 0)])
def test_an_edited_config_is_judged_by_the_stored_schedules(cutoff: int, count: int) -> None:
    """The stored deadlines, dependencies and cutoffs are those of the config that the engine still uses."""
    stored = estate(MORNING, services=[service("daily", "23:00", MORNING)])
    edited = EstateSettings(
        systems=(SystemSetting("dwh", "cron", ("db",), cutoff=time(cutoff)),),
        services=(ServiceSetting("daily", "Daily", ("dwh/mart",), time(13), "UTC", cutoff=time(cutoff)),),
    )
    assert count == len(dependency_faults(with_settings(stored, edited, {}), at("03:00")))


def test_a_dependency_of_an_edited_config_is_judged_and_a_removed_one_is_not() -> None:
    load = job(2, "hosts/load", "02:00")
    systems = (SystemSetting("hosts", "cron", ("db",)),)
    edited = EstateSettings(systems=systems, dependencies=(DependencySetting(EXTRACT.name, load.name),))
    assert 1 == len(dependency_faults(with_settings(estate(EXTRACT, load), edited, {}), at("03:00")))
    stored = estate(EXTRACT, load, feeds=feeds(EXTRACT, load))
    assert [] == dependency_faults(with_settings(stored, EstateSettings(systems=systems), {}), at("03:00"))


def test_a_former_name_in_an_edited_config_is_its_job_unless_another_job_has_that_name() -> None:
    load = job(2, "hosts/load", "02:00")
    edited = EstateSettings(
        systems=(SystemSetting("hosts", "cron", ("db",)),),
        dependencies=(DependencySetting("hosts/dump", load.name),),
    )
    stored, former = estate(EXTRACT, load), {"hosts/dump": EXTRACT.id, "hosts/load": EXTRACT.id, "hosts/gone": 9}
    judged = with_settings(stored, edited, former)
    assert [(EXTRACT.id, load.id)] == [(edge.upstream_id, edge.downstream_id) for edge in judged.dependencies]
    assert () == with_settings(stored, edited, {}).dependencies


def test_a_title_in_an_edited_config_is_its_job() -> None:
    """`headway check` left such a dependency out, so its contradiction with the clocks went unreported."""
    mart = replace(job(2, "hosts/fl_drc6j", "02:00"), title="retail/mart")
    edited = EstateSettings(
        systems=(SystemSetting("hosts", "cron", ("db",)),),
        dependencies=(DependencySetting(EXTRACT.name, "hosts/retail/mart"),),
        services=(ServiceSetting("daily", "Daily", ("hosts/retail/mart",), time(13), "UTC"),),
    )
    judged = with_settings(estate(EXTRACT, mart), edited, {})
    assert [(EXTRACT.id, mart.id)] == [(edge.upstream_id, edge.downstream_id) for edge in judged.dependencies]
    assert (mart.id,) == judged.services[0].terminals
