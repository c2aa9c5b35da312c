"""A job without a schedule that nothing else reads: its latest successes are cached, those that repair or were retried,
and every run in another state."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.sdk.records import JobRecord
from connectors.sdk.states import RunState
from console.domain.estate import EvaluationSettings
from console.domain.inventory import InventoryChanges
from console.domain.settings import Declared, DeclaredPool, DependencySetting
from console.store.config_sync import sync_config
from console.store.ingest.inventory import write_inventory
from console.store.ingest.records import ingest_batch
from console.store.snapshot import runs
from console.store.snapshot.estate import refresh_estate
from tests.store.estate import LOAD, MIDNIGHT, SERVED, Estate, at, poll, run

PERIODS = [f"{hour:02}:00" for hour in range(1, 9)]
NOW = at("10:00")


@pytest.fixture
def reports(served: Estate, monkeypatch: pytest.MonkeyPatch) -> Estate:
    """`ping` reported eight runs, of which the second failed; two successes are cached."""
    monkeypatch.setattr(runs, "MAX_ISOLATED_SUCCESSES", 2)
    write_inventory(served.store, served.airflow, InventoryChanges(new=(JobRecord("ping"),)), MIDNIGHT, None)
    assert [] == cached(served)  # before its first run
    for period in PERIODS:
        report(served, period)
    return served


def report(served: Estate, period: str) -> None:
    state = RunState.FAILED if period == PERIODS[1] else RunState.SUCCEEDED
    record = replace(run("ping", period, period), state=state, ended_at=at(period) + timedelta(minutes=1))
    ingest_batch(served.store, served.airflow, poll(record, now=period), None)


def cached(served: Estate) -> list[str]:
    results = refresh_estate(served.store, NOW, EvaluationSettings()).estate.runs
    return [f"{run.period_at:%H:%M}" for run in results if run.job_id == served.job_id("ping")]


def test_the_latest_successes_every_failure_and_its_repair_are_cached(reports: Estate) -> None:
    assert [*PERIODS[1:3], *PERIODS[-2:]] == cached(reports)


def test_a_success_after_a_retry_is_cached(reports: Estate) -> None:
    cached(reports)
    again = replace(run("ping", PERIODS[4], "again"), ended_at=at(PERIODS[4]) + timedelta(minutes=2))
    ingest_batch(reports.store, reports.airflow, poll(again, now="09:00"), None)
    report(reports, "09:00")
    assert [*PERIODS[1:3], PERIODS[4], PERIODS[-1], "09:00"] == cached(reports)


def test_each_further_success_replaces_the_oldest(reports: Estate) -> None:
    cached(reports)
    report(reports, "09:00")
    assert [*PERIODS[1:3], PERIODS[-1], "09:00"] == cached(reports)


def test_all_are_cached_once_another_job_depends_on_it(reports: Estate) -> None:
    cached(reports)
    depends = (*SERVED.dependencies, DependencySetting("airflow/ping", LOAD))
    sync_config(reports.store, replace(SERVED, dependencies=depends), MIDNIGHT, None)
    assert PERIODS == cached(reports)


def test_all_are_cached_of_a_job_in_a_pool_because_others_wait_for_its_slots(reports: Estate) -> None:
    cached(reports)
    declared = Declared(pools=(DeclaredPool("lic", ("airflow/p*",), 1),))
    sync_config(reports.store, replace(SERVED, declared=declared), MIDNIGHT, None)
    assert PERIODS == cached(reports)


def test_all_are_cached_of_a_job_whose_source_names_its_pool(reports: Estate) -> None:
    cached(reports)
    with reports.store.write(None) as session:
        pool = "pool = 'etl_pool', slots = 3, changed_seq = changed_seq + 1000"
        session.rows(f"UPDATE job SET {pool} WHERE native_id = 'ping'")
    assert PERIODS == cached(reports)
