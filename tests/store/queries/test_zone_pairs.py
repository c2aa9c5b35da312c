"""A service in one zone on a job of a scheduler in another: its status is the one that its incident's alerts name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

import pytest

from connectors.sdk.records import JobRecord, RunRecord, Schedule, instant_key
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.estate import EvaluationSettings
from console.domain.inventory import InventoryChanges
from console.domain.service import ENDANGERED, Timeliness
from console.domain.settings import EstateSettings, JobSetting, ServiceSetting, SystemSetting
from console.store.config_sync import sync_config
from console.store.db.database import Database
from console.store.decisions import apply_decisions
from console.store.ingest.inventory import write_inventory
from console.store.ingest.records import ingest_batch
from console.store.queries import open_queries
from console.store.snapshot.estate import load_estate
from console.timing.business_dates import business_date_of
from console.timing.schedule import instants
from tests.store.estate import Estate, poll, set_clock, target_id
from tests.store.test_decisions import ROUTES

BEGIN = datetime(2026, 11, 20, 0, 0, tzinfo=UTC)


def _date(record: RunRecord, zone: str) -> date:
    assert record.period_at is not None
    return business_date_of(record.period_at, None, zone, time(12))


@pytest.mark.parametrize("deadline", ["09:00", "03:00"])
@pytest.mark.parametrize("every", ["0 14 * * *", "*/30 * * * *"])
@pytest.mark.parametrize(
    "zone, scheduler_zone",
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("America/New_York", "Europe/Berlin"),
        ("Asia/Tokyo", "America/New_York"),
        ("Pacific/Pago_Pago", "Pacific/Kiritimati"),
        ("Pacific/Kiritimati", "Pacific/Pago_Pago"),
    ],
)
def test_status_names_the_day_and_the_danger_that_alerts_name(
    store: Database, store_url: str, zone: str, scheduler_zone: str, every: str, deadline: str
) -> None:
    """The one was "at risk" in the mail, and "no estimate: not judged yet" for the day before on the screen."""
    system = SystemSetting("hosts", "cron", ("a",), zone=scheduler_zone)
    sync_config(store, EstateSettings(systems=(system,)), BEGIN, None)
    target, dated = target_id(store, "hosts"), partial(_date, zone=scheduler_zone)
    record = JobRecord("close", schedule=Schedule("debian-cron", every, scheduler_zone, every))
    write_inventory(store, target, InventoryChanges(new=(record,), hash="h"), BEGIN, None)
    jobs = (JobSetting("hosts/close", expected=timedelta(minutes=10)),)
    close = ServiceSetting("close", "Close", ("hosts/close",), time.fromisoformat(deadline), zone)
    sync_config(store, EstateSettings(systems=(system,), jobs=jobs, services=(close,)), BEGIN, None)
    for hour in range(1, 52, 2):
        now = BEGIN + timedelta(hours=hour, minutes=7)
        red = [
            RunRecord(
                job="close", attempt_key=instant_key(at), state=RunState.FAILED, native_state="exit 1",
                started_at=at, ended_at=at + timedelta(minutes=1), exit_code=1,
                period_key=instant_key(at), period_at=at,
            )
            for at in instants(record.schedule, BEGIN, now)
        ]  # fmt: skip
        batch = replace(poll(*red), now=now, seen_until=now, business_date=dated)
        ingest_batch(store, target, batch, None)
        decisions = evaluate(load_estate(store, now, EvaluationSettings()), now)
        apply_decisions(store, decisions, now, hour, None, ROUTES)
        affected = [day for incident in decisions.incidents if not incident.closed for day in incident.services]
        set_clock(Estate(store, target, target), f"{hour}:07")
        with open_queries(store_url) as reads:
            view = reads.services.service("close")
        open_days = [day for day in affected if day.timeliness in ENDANGERED and day.deadline > now]
        notified = {(f"{day.business_date}", day.deadline, day.timeliness) for day in open_days}
        if notified:
            is_missed = view.timeliness == Timeliness.BREACHED  # shown while its own window lasts
            assert is_missed or (view.business_date, view.deadline, view.timeliness) in notified, now
