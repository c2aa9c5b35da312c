"""Small nights for the tests of the replay: one chain of each kind, a few nights of history."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connectors.replay import parse
from connectors.replay.client import SentAction
from connectors.replay.parse import ReplayNight
from connectors.sdk.records import instant_key

BEGINS = datetime(2026, 11, 17, 12, tzinfo=UTC)
HOUR = 3600
DAY = 24 * HOUR
EXTRACT, LOAD, CHECK, SETTLE, CALM = (
    ("hosts", "db07:extract"),
    ("flow", "load"),
    ("flow", "check"),
    ("aws", "settle"),
    ("hosts", "db07:calm"),
)


def at(hours: float) -> datetime:
    """So many hours after the last night's noon, two days after the beginning."""
    return BEGINS + timedelta(days=2, hours=hours)


def document() -> dict[str, Any]:
    """extract fails 15 h after noon; load reads it at 16 h, check follows load, settle reads load at 18 h."""
    last = 2 * DAY
    return {
        "format": 1,
        "name": "small",
        "zone": "UTC",
        "begins": BEGINS.isoformat(),
        "starts": at(15).isoformat(),
        "until": at(24).isoformat(),
        "endings": [
            {},
            {"state": "failed", "exit": 3, "message": "disk full", "log": "writing\nmönch\nOSError: disk full"},
            {"fresh": False},
            {"state": "failed", "task": "compare", "message": "no rows"},
            {"state": "failed", "message": "no rows"},
        ],
        "systems": {
            "hosts": {"as": "cron", "targets": {"db07": {"jobs": [
                {"id": "db07:extract", "definition": "/bin/extract", "run_as": "etl",
                 "schedule": {"dialect": "debian-cron", "expression": "0 3 * * *", "zone": "UTC"}},
                {"id": "db07:calm", "definition": "/bin/calm"},
            ]}, "old1": {"jobs": [{"id": "old1:backup", "proof": "start", "definition": "/bin/backup"}]}}},
            "flow": {"as": "airflow", "targets": {"airflow": {"jobs": [
                {"id": "load", "tasks": [["stage", 0.5], ["publish", 0.5]],
                 "schedule": {"dialect": "airflow", "expression": "0 4 * * *", "zone": "UTC"}},
                {"id": "check", "tasks": [["count", 0.5], ["compare", 0.3], ["tell", 0.2]], "upstreams": ["load"]},
            ]}}},
            "aws": {"as": "step_functions", "targets": {"eu": {"jobs": [{"id": "settle"}]}}},
        },
        "recorded": {
            "hosts/db07:extract": [[15 * HOUR, 1, 600, 0], [DAY + 15 * HOUR, 1, 700, 0]],
            "hosts/db07:calm": [[14 * HOUR, 1, 60, 0], [DAY + 14 * HOUR, 1, 30, 1], [last + 14.9 * HOUR, 1, 1800, 0]],
            "hosts/old1:backup": [[13 * HOUR, 1, 600, 0]],
            "flow/load": [[16 * HOUR, 3, 300, 0]],
        },
        "scripts": [
            {"job": "hosts/db07:extract", "due": last + 15 * HOUR, "wait": 1, "first": [120, 1], "good": [840, 0]},
            {"job": "flow/load", "due": last + 16 * HOUR, "wait": 3, "reads": ["hosts/db07:extract"],
             "good": [1200, 0], "stale": [600, 2]},
            {"job": "flow/check", "due": last + 16 * HOUR, "after": "flow/load", "wait": 1, "reads": ["flow/load"],
             "good": [100, 0], "stale": [50, 3]},
            {"job": "aws/settle", "due": last + 18 * HOUR, "reads": ["flow/load"], "good": [300, 0], "stale": [60, 4]},
        ],
    }  # fmt: skip


def night() -> ReplayNight:
    return parse.night(document())


def rerun(job: tuple[str, str], hours: float, number: int = 1) -> SentAction:
    """An action on the last night's run of this job, sent so many hours after noon."""
    due = {EXTRACT: 15.0, LOAD: 16.0, CHECK: 16.0, SETTLE: 18.0, CALM: 14.9}[job]
    return SentAction(f"headway-{number:010d}", job, instant_key(at(due)), at(hours))


def files(folder: Path, now: datetime) -> dict[str, Any]:
    """The options of a replay of the small night, without its system; the clock is fixed at `now`."""
    night_file = folder / "night.json"
    if not night_file.exists():
        night_file.write_text(json.dumps(document()))
    set_clock(folder, now)
    return {"night": night_file, "actions": folder / "actions.jsonl", "clock_file": folder / "clock.json"}


def set_clock(folder: Path, now: datetime) -> None:
    row = {"origin": now.isoformat(), "started": BEGINS.isoformat(), "rate": 1.0, "paused": True}
    (folder / "clock.json").write_text(json.dumps(row))
