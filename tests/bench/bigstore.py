"""A store of any size, made by SQL alone and cached in a temporary folder between benchmarks.

It has the shape of an estate of 100,000 jobs; `tests.bench.ingest` measures how fast one is written."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

from console.domain.run import CALM_RANK
from console.store.db.database import open_database
from console.store.db.schema_objects import SQLITE_DIGEST
from console.store.db.schema_version import SCHEMA

SYSTEMS = ("etl-hosts", "warehouse-airflow", "pg-dwh", "cloud")
KINDS = ("cron", "airflow", "pg_cron", "step_functions")
DAY_US = 86_400_000_000
FORM = 2
"""Counted up when what is made here changes, so that an older file is not taken for it."""


def schema_version() -> str:
    """The schema's number and the digest of its objects: within one version the tables may still change."""
    return f"{SCHEMA}-{SQLITE_DIGEST[:8]}"


def big_store(jobs: int, runs: int) -> Path:
    """The path of a store with so many jobs and runs; made when it is not there yet."""
    path = bench_folder() / f"store-{schema_version()}-{FORM}-{jobs}-{runs}.db"
    made_once(path, lambda making: make_store(making, jobs, runs))
    beat(path)
    return path


def bench_folder() -> Path:
    """The user's folder of temporary stores."""
    folder = Path(tempfile.gettempdir()) / f"headway-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def made_once(path: Path, make: Callable[[Path], None]) -> None:
    """Lets `make` write the file unless it is there; by one process while others wait for it."""
    with path.with_suffix(".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not path.exists():
            making = path.with_suffix(".making")
            for old in path.parent.glob(f"{making.name}*"):
                old.unlink()
            make(making)
            making.rename(path)


def make_store(path: Path, jobs: int, runs: int, services: int = 12) -> None:
    """Makes a store with so many jobs, runs and services, and an engine that seems alive."""
    open_database(str(path)).close()
    now_us = time.time_ns() // 1_000
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode=OFF")  # a log would take as much again
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA cache_size=-200000")
        indexes = drop_indexes(db, ("run", "job", "latest_run", "schedule"))
        _systems(db, now_us)
        _jobs(db, jobs, now_us)
        _runs(db, jobs, runs, now_us)
        _services(db, services, now_us)
        for sql in indexes:
            db.execute(sql)
        db.execute("ANALYZE")
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    beat(path)


def drop_indexes(db: sqlite3.Connection, tables: Iterable[str]) -> list[str]:
    """Drops the indexes that can be made again afterwards, which is quicker; the statements that make them."""
    marks = ", ".join("?" for _ in tables)
    rows = db.execute(
        f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({marks})",
        tuple(tables),
    ).fetchall()
    for name, _ in rows:
        db.execute(f'DROP INDEX "{name}"')
    return [sql for _, sql in rows]


def insert(
    db: sqlite3.Connection, table: str, values: Mapping[str, str], source: str, given: Mapping[str, Any]
) -> None:
    """INSERT … SELECT of SQL expressions; every other column that may not be empty gets 0 or ''."""
    columns = dict(values)
    for _, name, kind, not_null, default, key in db.execute(f"PRAGMA table_info({table})").fetchall():
        if name not in columns and not_null and default is None and not key:
            columns[name] = "''" if "TEXT" in kind.upper() or "CHAR" in kind.upper() else "0"
    sql = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM {source}"
    db.execute(f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :count - 1) {sql}", given)


def _systems(db: sqlite3.Connection, now_us: int) -> None:
    for number, (name, kind) in enumerate(zip(SYSTEMS, KINDS, strict=True), start=1):
        given = {"count": 1, "id": number, "name": name, "kind": kind, "now": now_us + 3_650 * DAY_US}
        system = {
            "id": ":id",
            "name": ":name",
            "kind": ":kind",
            "zone": "'UTC'",
            "cutoff": "'12:00'",
            "poll_every_s": "15",
            "capabilities": "'rerun,log'",
            "missing": "'{}'",
            "removed": "0",
        }
        insert(db, "system", system, "n", given)
        target = {
            "id": ":id",
            "system_id": ":id",
            "name": ":name",
            "last_ok_us": ":now",
            "first_ok_us": ":now",
            "skipped_text": "'[]'",
            "warnings": "'[]'",
            "rights": "'[]'",
            "removed": "0",
        }
        insert(db, "target", target, "n", given)


def _jobs(db: sqlite3.Connection, jobs: int, now_us: int) -> None:
    given = {"count": jobs, "now": now_us}
    native = "printf('host%02d:job_%06d', i % 50, i)"
    system = "CASE i % 4 WHEN 0 THEN 'etl-hosts' WHEN 1 THEN 'warehouse-airflow' WHEN 2 THEN 'pg-dwh' ELSE 'cloud' END"
    job = {
        "id": "i + 1",
        "system_id": "i % 4 + 1",
        "target_id": "i % 4 + 1",
        "native_id": native,
        "source_id": native,
        "name": f"{system} || '/' || {native}",
        "match_keys": "'[]'",
        "proof": "'full'",
        "owner": "'team-' || (i % 9)",
        "notify": "'[]'",
        "rerun": "'ask'",
        "grace_s": "300",
        "changed_seq": "1",
    }
    insert(db, "job", job, "n", given)
    schedule = {
        "id": "i + 1",
        "job_id": "i + 1",
        "dialect": "'debian-cron'",
        "expression": "'10 3 * * *'",
        "zone": "'UTC'",
        "text": "'daily at 03:10'",
        "accepted_us": ":now",
        "accepted_by": "'first sight'",
    }
    insert(db, "schedule", schedule, "n", given)


def _runs(db: sqlite3.Connection, jobs: int, runs: int, now_us: int) -> None:
    """Run i is of job i mod jobs, one night after the other; the last of each job is its latest."""
    given = {"count": runs, "jobs": jobs, "nights": max(1, runs // jobs), "now": now_us, "day": DAY_US}
    started = "(:now - (:nights - i / :jobs) * :day + (i % :jobs) * 100000)"
    state = "CASE WHEN i % 1009 = 0 THEN 'failed' WHEN i % 5003 = 0 THEN 'running' ELSE 'succeeded' END"
    run = {
        "id": "i + 1",
        "job_id": "i % :jobs + 1",
        "period_key": "printf('night-%06d', i / :jobs)",
        "period_us": started,
        "sort_us": started,
        "business_date": "'2026-11-19'",
        "state": state,
        "evidence": "'native'",
        "native_state": "'exit 0'",
        "attempts": "1",
        "first_started_us": started,
        "started_us": started,
        "ended_us": f"{started} + 60000000",
        "exit_code": "0",
        "expected": "1",
        "timeliness": "'no_estimate'",
        "stale_read": "0",
        "observed_us": started,
        "changed_seq": "1",
    }
    insert(db, "run", run, "n", given)
    rank = f"CASE state WHEN 'failed' THEN 0 WHEN 'running' THEN 5 ELSE {CALM_RANK} END"
    latest = {
        "job_id": "job_id",
        "run_id": "id",
        "sort_us": "sort_us",
        "state": "state",
        "attention": rank,
        "changed_seq": "1",
    }
    insert(db, "latest_run", latest, "run WHERE id > :count - :jobs", given)
    counts = {"system_id": "j.system_id", "state": "l.state", "n": "count(*)"}
    insert(db, "job_counts", counts, "latest_run l JOIN job j ON j.id = l.job_id GROUP BY j.system_id, l.state", given)


def _services(db: sqlite3.Connection, services: int, now_us: int) -> None:
    for number in range(1, services + 1):
        given = {
            "count": 1,
            "id": number,
            "name": f"service-{number:02d}",
            "terminals": json.dumps([number]),
            "deadline": now_us + (number % 24 or 24) * 3_600_000_000,
        }
        service = {
            "id": ":id",
            "name": ":name",
            "title": "'Service ' || :id",
            "terminals": ":terminals",
            "deadline": "'06:30'",
            "zone": "'UTC'",
            "cutoff": "'12:00'",
            "tier": "2",
            "notify": "'[]'",
            "removed": "0",
        }
        insert(db, "service", service, "n", given)
        day = {
            "service_id": ":id",
            "business_date": "date('now', '-12 hours')",
            "deadline_us": ":deadline",
            "timeliness": "'on_time'",
            "data_state": "'open'",
            "sources": "'[]'",
            "path": "'[]'",
        }
        insert(db, "service_day", day, "n", given)


def beat(path: Path) -> None:
    """An engine seems alive for the next hour, so that no banner changes what is measured."""
    now_us = time.time_ns() // 1_000
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM lease")
        db.execute(
            "INSERT INTO lease (name, holder, fence, until_us, since_us, heartbeat_us)"
            " VALUES ('engine', 'bench', 1, ?, ?, ?)",
            (now_us + 3_600_000_000, now_us, now_us + 3_600_000_000),
        )


def storm(path: Path, per_second: int, seconds: float) -> int:
    """Commits so many run changes a second from this process, in ten transactions a second; how many there were."""
    db = sqlite3.connect(path, isolation_level=None, timeout=30)
    db.execute("PRAGMA synchronous=NORMAL")
    jobs = db.execute("SELECT count(*) FROM latest_run").fetchone()[0]
    batch, done = per_second // 10, 0
    begun = time.monotonic()
    while (now := time.monotonic() - begun) < seconds:
        if done > now * per_second:
            time.sleep(0.005)
            continue
        state = "running" if (done // batch) % 2 else "succeeded"
        ids = [((done + step) * 7919 % jobs + 1,) for step in range(batch)]
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'changed_seq'")
        db.executemany(
            f"UPDATE run SET state = '{state}', changed_seq = changed_seq + 1"
            " WHERE id = (SELECT run_id FROM latest_run WHERE job_id = ?)",
            ids,
        )
        db.executemany(f"UPDATE latest_run SET state = '{state}', changed_seq = changed_seq + 1 WHERE job_id = ?", ids)
        db.execute("COMMIT")
        done += batch
    db.close()
    return done
