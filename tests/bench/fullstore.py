"""A store whose short tables are long: thousands of services, their incidents, and what was requested."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.bench.bigstore import FORM, beat, bench_folder, insert, made_once, make_store, schema_version


def full_store(count: int, jobs: int = 0, runs: int = 0) -> Path:
    """The path of a store with so many services and actions, an open incident of every other, and so many jobs and
    runs (as many as services, if not given); made when it is not there yet."""
    jobs, runs = jobs or count, runs or count
    path = bench_folder() / f"full-{schema_version()}-{FORM}-{count}-{jobs}-{runs}.db"

    def make(making: Path) -> None:
        make_store(making, jobs, runs, services=count)
        with closing(sqlite3.connect(making)) as db, db:
            _incidents_and_actions(db, count, time.time_ns() // 1_000)
            db.execute("ANALYZE")

    made_once(path, make)
    beat(path)
    return path


def _incidents_and_actions(db: sqlite3.Connection, count: int, now_us: int) -> None:
    given = {"count": count // 2, "now": now_us}
    incident = {
        "id": "i + 1",
        "key": "'incident-' || i",
        "title": "printf('job_%06d failed: exit 1', i)",
        "cause": "'run'",
        "root_job_id": "i + 1",
        "root_run_id": "i + 1",
        "business_date": "'2026-11-19'",
        "reason": "'exit 1'",
        "owner": "'team-' || (i % 9)",
        "failed_since_us": ":now - i * 1000000",
        "opened_us": ":now - i * 1000000",
        "act_by_us": ":now + i * 1000000",
        "changes": "'[]'",
    }
    insert(db, "incident", incident, "n", given)
    action = {
        "key": "printf('action-%06d', i)",
        "verb": "'rerun'",
        "job_id": "i + 1",
        "run_id": "i + 1",
        "state": "CASE i % 5 WHEN 0 THEN 'failed' ELSE 'verified' END",
        "preview": "'{}'",
        "parameters": "'{}'",
        "origin": "'person'",
        "requested_by": "'mara'",
        "requested_us": ":now - i * 60000000",
        "sent_us": ":now - i * 60000000",
        "ended_us": ":now - i * 60000000",
    }
    insert(db, "action", action, "n", {**given, "count": count})
