"""A job without a schedule that nothing else reads: its latest successes are cached, and every run in another state."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.sdk.records import JobRecord
from connectors.sdk.states import RunState
from console.domain.estate import EvaluationSettings
from console.domain.inventory import InventoryChanges
from console.domain.settings import DependencySetting
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
    found = refresh_estate(served.store, NOW, EvaluationSettings()).estate.runs
    return [f"{one.period_at:%H:%M}" for one in found if one.job_id == served.job_id("ping")]


def test_the_latest_successes_and_every_failure_are_cached(reports: Estate) -> None:
    assert [PERIODS[1], *PERIODS[-2:]] == cached(reports)


def test_each_further_success_replaces_the_oldest(reports: Estate) -> None:
    cached(reports)
    report(reports, "09:00")
    assert [PERIODS[1], PERIODS[-1], "09:00"] == cached(reports)


def test_all_are_cached_once_another_job_depends_on_it(reports: Estate) -> None:
    cached(reports)
    depends = (*SERVED.dependencies, DependencySetting("airflow/ping", LOAD))
    sync_config(reports.store, replace(SERVED, dependencies=depends), MIDNIGHT, None)
    assert PERIODS == cached(reports)
