"""A small estate in a store, and the records of its nights."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import text

from connectors.sdk.records import JobRecord, RunRecord, Schedule, instant_key
from connectors.sdk.states import RunEvidence, RunState
from console.domain.ids import micros
from console.domain.inventory import InventoryChanges
from console.domain.settings import DependencySetting, EstateSettings, JobSetting, ServiceSetting, SystemSetting
from console.store.config_sync import sync_config
from console.store.db.database import Database
from console.store.ingest.batch import IngestBatch, IngestResult
from console.store.ingest.inventory import write_inventory
from console.store.ingest.records import ingest_batch

MIDNIGHT = datetime(2026, 11, 20, 0, 0, tzinfo=UTC)
SYSTEMS = (
    SystemSetting("etl-hosts", "cron", ("db07",), zone="Europe/Berlin", capabilities=("rerun", "log")),
    SystemSetting("airflow", "airflow", ("airflow",), missing={"tasks": "not asked for"}),
)
JOBS = ("db07:extract_orders", "db07:load_stock", "db07:clean_up")


def at(clock: str) -> datetime:
    """ "03:10" or "03:10:05" on the night of the tests, UTC."""
    hours, minutes, *seconds = map(int, clock.split(":"))
    return MIDNIGHT + timedelta(hours=hours, minutes=minutes, seconds=sum(seconds))


def date_of_run(record: RunRecord) -> date:
    """Noon to noon in UTC."""
    instant = record.period_at or record.started_at or record.queued_at or MIDNIGHT
    return (instant - timedelta(hours=12)).date()


def run(job: str = JOBS[0], period: str = "03:10", attempt: str = "1", **fields: Any) -> RunRecord:
    """A record of the night: succeeded from `period` for five minutes, unless `fields` say otherwise."""
    period_at = at(period)
    details: dict[str, Any] = {
        "state": RunState.SUCCEEDED,
        "native_state": "exit 0",
        "evidence": RunEvidence.NATIVE,
        "period_key": instant_key(period_at),
        "period_at": period_at,
        "started_at": period_at,
        "ended_at": period_at + timedelta(minutes=5),
        "exit_code": 0,
        "native_ref": f"ref:{attempt}",
    }
    return RunRecord(job=job, attempt_key=attempt, **{**details, **fields})


def failed(job: str = JOBS[0], period: str = "03:10", attempt: str = "1", **fields: Any) -> RunRecord:
    details = {"state": RunState.FAILED, "native_state": "exit 1", "exit_code": 1, "message": "disk full", **fields}
    return run(job, period, attempt, **details)


def running(job: str = JOBS[0], period: str = "03:10", attempt: str = "1", **fields: Any) -> RunRecord:
    details = {"state": RunState.RUNNING, "native_state": "running", "ended_at": None, "exit_code": None, **fields}
    return run(job, period, attempt, **details)


def poll(*runs: RunRecord, now: str = "03:20", **fields: Any) -> IngestBatch:
    return IngestBatch(**{"runs": runs, "cursor": "{}", "now": at(now), "business_date": date_of_run, **fields})


@dataclass(frozen=True)
class Estate:
    store: Database
    host: int
    """Target id of etl-hosts/db07."""
    airflow: int

    def ingest(self, *runs: RunRecord, now: str = "03:20", **fields: Any) -> IngestResult:
        return ingest_batch(self.store, self.host, poll(*runs, now=now, **fields), None)

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.store.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]

    def fetch_one(self, sql: str, **values: Any) -> Any:
        """The one row of a query, or the one value of that row."""
        [row] = self.rows(sql, **values)
        return row[0] if len(row) == 1 else row

    def job_id(self, native_id: str = JOBS[0]) -> int:
        return int(self.fetch_one("SELECT id FROM job WHERE native_id = :name", name=native_id))


def target_id(store: Database, system: str, target: str = "") -> int:
    """`target`: not needed if it is the only one of the system."""
    query = text(
        "SELECT t.id FROM target t JOIN system s ON s.id = t.system_id WHERE s.name = :name AND :target IN ('', t.name)"
    )
    with store.engine.connect() as connection:
        return int(connection.execute(query, {"name": system, "target": target}).scalar_one())


def record(native_id: str, expression: str = "10 3 * * *", **fields: Any) -> JobRecord:
    """A job with a crontab's schedule."""
    details = {"schedule": Schedule("debian-cron", expression, "Europe/Berlin", f"at {expression}"), **fields}
    return JobRecord(native_id, **details)


def build(store: Database) -> Estate:
    sync_config(store, EstateSettings(systems=SYSTEMS, name="test"), MIDNIGHT, None)
    night = estate_of(store)
    write_inventory(store, night.host, InventoryChanges(new=tuple(map(record, JOBS)), hash="h1"), MIDNIGHT, None)
    write_inventory(
        store, night.airflow, InventoryChanges(new=(JobRecord("load_orders", title="Load orders"),)), MIDNIGHT, None
    )
    return night


def estate_of(store: Database) -> Estate:
    """The estate that is in the store."""
    return Estate(store, target_id(store, "etl-hosts"), target_id(store, "airflow"))


DATE = date(2026, 11, 19)
LOAD = "airflow/load_orders"
EXTRACT = f"etl-hosts/{JOBS[0]}"
SUPPLY = ServiceSetting("supply", "Supply plan", (LOAD,), time(6, 30), "Europe/Berlin", notify=("oncall",))
SERVED = EstateSettings(
    systems=SYSTEMS,
    jobs=(JobSetting(EXTRACT, expected=timedelta(minutes=14), owner="platform"),),
    dependencies=(DependencySetting(EXTRACT, LOAD),),
    services=(SUPPLY,),
)
"""A service on load_orders, which depends on extract_orders."""


def serve(store: Database) -> Estate:
    """The same estate as `build`'s with a service and a declared dependency."""
    night = build(store)
    sync_config(store, SERVED, MIDNIGHT, None)
    return night


def set_clock(night: Estate, now: str) -> None:
    """The store's time is fixed at this moment, so that every row in a test has a known age."""
    with night.store.write(None) as connection:
        connection.rows("DELETE FROM clock")
        connection.rows(
            "INSERT INTO clock (id, origin_us, started_us, rate, paused) VALUES (1, ?, 0, 1, TRUE)", (micros(at(now)),)
        )
