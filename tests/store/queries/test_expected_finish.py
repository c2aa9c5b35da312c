"""`headway why SERVICE` explains the finish that `headway service SERVICE` shows, at any time of the night."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest

from connectors.sdk.records import JobRecord, RunRecord, Schedule, instant_key
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.explain.lateness import break_down_lateness, path_steps_of
from console.domain.estate import EvaluationSettings
from console.domain.inventory import InventoryChanges
from console.domain.settings import DependencySetting, EstateSettings, JobSetting, ServiceSetting, SystemSetting
from console.store.config_sync import sync_config
from console.store.db.database import Database
from console.store.decisions import apply_decisions
from console.store.ingest.inventory import write_inventory
from console.store.ingest.records import ingest_batch
from console.store.queries import open_queries
from console.store.snapshot.estate import load_estate
from console.timing.schedule import instants
from tests.reasons import reason_of
from tests.store.estate import MIDNIGHT, Estate, at, date_of_run, poll, set_clock, target_id
from tests.store.test_decisions import ROUTES

TAKES = timedelta(minutes=8)


def runs(record: JobRecord, now: datetime, red: frozenset[datetime]) -> list[RunRecord]:
    """Its starts until now, each of which lasts TAKES; those of `red` fail."""
    return [
        RunRecord(
            job=record.native_id,
            attempt_key=instant_key(due),
            state=RunState.RUNNING if due + TAKES > now else RunState.FAILED if due in red else RunState.SUCCEEDED,
            native_state="",
            started_at=due,
            ended_at=due + TAKES if due + TAKES <= now else None,
            period_key=instant_key(due),
            period_at=due,
        )
        for due in instants(record.schedule, MIDNIGHT, now)
    ]


@pytest.mark.parametrize("red", [(), ("05:00",), ("06:00",)], ids=["good", "one fails", "the last fails"])
@pytest.mark.parametrize("every", ["0 5 * * *", "*/5 * * * *"], ids=["daily", "often"])
def test_both_show_one_expected_time(store: Database, store_url: str, every: str, red: tuple[str, ...]) -> None:
    system = SystemSetting("hosts", "cron", ("a",), zone="UTC")
    sync_config(store, EstateSettings(systems=(system,)), MIDNIGHT, None)
    target = target_id(store, "hosts")
    feed, mart = (
        JobRecord(name, schedule=Schedule("debian-cron", clock, "UTC", clock))
        for name, clock in (("feed", "30 3 * * *"), ("mart", every))
    )
    write_inventory(store, target, InventoryChanges(new=(feed, mart), hash="h"), MIDNIGHT, None)
    settings = EstateSettings(
        systems=(system,),
        jobs=tuple(JobSetting(f"hosts/{name}", expected=TAKES) for name in ("feed", "mart")),
        dependencies=(DependencySetting("hosts/feed", "hosts/mart"),),
        services=(ServiceSetting("daily", "Daily", ("hosts/mart",), time(6, 30), "UTC"),),
    )
    sync_config(store, settings, MIDNIGHT, None)
    failed = frozenset(map(at, red))
    compared = 0
    for minutes in range(200, 420, 11):
        clock = f"{minutes // 60:02}:{minutes % 60:02}"
        now = at(clock)
        batch = replace(
            poll(*runs(feed, now, frozenset()), *runs(mart, now, failed), now=clock),
            seen_until=now,
            business_date=date_of_run,
        )
        ingest_batch(store, target, batch, None)
        decisions = evaluate(load_estate(store, now, EvaluationSettings()), now)
        apply_decisions(store, decisions, now, minutes, None, ROUTES)
        set_clock(Estate(store, target, target), clock)
        with open_queries(store_url) as reads:
            view = reads.services.service("daily")
            path = reads.service_days.critical_path(view.name, view.business_date)
        steps = path_steps_of(path, view.deadline, (), view.delivered)
        breakdown = break_down_lateness(steps, now, view.delivered is not None, view.expected)
        finish = view.delivered or view.expected
        if finish is not None and breakdown.parts:
            compared += 1
            assert finish == breakdown.parts[-1].end, (clock, view.timeliness, reason_of(view))
            assert breakdown.parts[-1].is_over is (view.delivered is not None), clock
    assert compared
