"""Compares every run and task instance of Airflow's metadata database with the rows of Headway's store.

States are judged by the table of docs/connectors/airflow.md, written down here once more, so that a fault of the
connector's own table shows.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

RUN_STATES = {"queued": "QUEUED", "running": "RUNNING", "success": "SUCCEEDED", "failed": "FAILED"}
TASK_STATES = {
    "none": "WAITING", "scheduled": "WAITING", "queued": "QUEUED", "running": "RUNNING", "restarting": "RETRYING",
    "up_for_retry": "RETRYING", "up_for_reschedule": "WAITING", "deferred": "WAITING", "awaiting_input": "WAITING",
    "success": "SUCCEEDED", "failed": "FAILED", "upstream_failed": "BLOCKED", "skipped": "SKIPPED",
    "removed": "SKIPPED",
}  # fmt: skip
OUR_ENDS = {"cancel": "CANCELLED", "skip": "SKIPPED", "mark_ok": "SUCCEEDED"}
MAPPED_WORST_FIRST = (
    "RUNNING", "RETRYING", "QUEUED", "WAITING", "FAILED", "BLOCKED", "SUCCEEDED", "SKIPPED",
)  # fmt: skip
STARTED = {"running", "success", "failed", "skipped", "deferred", "up_for_reschedule", "awaiting_input"}
FORGOTTEN = ("UNKNOWN", "", "")
"""A try that Airflow counted and has no row of: it never began, or its end was not recorded."""
Row = dict[str, Any]
Key = tuple[str, str, str]
"""DAG, run, task; the task of a DAG run is ""."""


class Seen(NamedTuple):
    """What either side has of one run or task, for the comparison."""

    state: str
    started: str
    ended: str
    attempts: tuple[tuple[str, str, str], ...]
    """State, start and end of each attempt, the oldest first; () where it is not compared."""


@dataclass(frozen=True, slots=True)
class RowComparison:
    """Counts of one kind of row, and the differences."""

    compared: int = 0
    different: Mapping[Key, tuple[Seen | None, Seen | None]] = field(default_factory=dict)
    """Airflow's and Headway's; None where one side has no such row."""

    def text(self, title: str) -> str:
        equal = self.compared - len(self.different)
        lines = [f"{title}: {self.compared} compared, {equal} equal, {len(self.different)} different"]
        lines += [
            f"  {'/'.join(key)}\n    airflow {ours}\n    headway {theirs}"
            for key, (ours, theirs) in self.different.items()
        ]
        return "\n".join(lines)


def compare(metadata: Path, store: Path) -> tuple[RowComparison, RowComparison]:
    """DAG runs, and tasks of DAG runs (the instances of a mapped task are one)."""
    airflow, headway = dict(airflow_rows(metadata)), dict(headway_rows(store))

    def of_kind(is_task: bool) -> RowComparison:
        ours, theirs = (
            {key: events for key, events in side.items() if bool(key[2]) == is_task} for side in (airflow, headway)
        )
        return _compared(ours, theirs)

    return of_kind(False), of_kind(True)


def _compared(airflow: Mapping[Key, Seen], headway: Mapping[Key, Seen]) -> RowComparison:
    different = {}
    for key in sorted(airflow.keys() | headway.keys()):
        ours, theirs = airflow.get(key), headway.get(key)
        if ours is not None and theirs is not None and not ours.attempts:
            theirs = theirs._replace(attempts=())
        if ours != theirs:
            different[key] = ours, theirs
    return RowComparison(len(airflow.keys() | headway.keys()), different)


def _rows(path: Path, query: str) -> list[Row]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def headway_rows(store: Path) -> Iterator[tuple[Key, Seen]]:
    """Each run of the store that Airflow has (a MISSED run has no reference), by the names in its reference."""
    attempts = _rows(
        store,
        "SELECT a.run_id, a.state, a.started_us, a.ended_us, a.native_ref FROM attempt a ORDER BY a.run_id, a.number",
    )
    by_key: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for attempt in attempts:
        if attempt["native_ref"]:
            at = json.loads(attempt["native_ref"])
            by_key[at["dag"], at["run"], at.get("task", "")].append(attempt)
    for key, group in by_key.items():
        tries = tuple((row["state"].upper(), _instant(row["started_us"]), _instant(row["ended_us"])) for row in group)
        yield key, Seen(*tries[-1], tuple(pair if pair[0] != "UNKNOWN" else FORGOTTEN for pair in tries))


def _instant(micros: int | None) -> str:
    if micros is None:
        return ""
    return datetime.fromtimestamp(micros // 1_000_000, UTC).strftime("%m-%dT%H:%M:%S") + f".{micros % 1_000_000:06}"


def _airflow_instant(text: str | None) -> str:
    if not text:
        return ""
    at = datetime.fromisoformat(text)
    return at.strftime("%m-%dT%H:%M:%S.%f")


def airflow_rows(metadata: Path) -> Iterator[tuple[Key, Seen]]:
    """Each DAG run and each task of one, as docs/connectors/airflow.md says that Headway shows it."""
    tasks, history = defaultdict[Key, list[Row]](list), defaultdict[Key, list[Row]](list)
    for row in _rows(metadata, "SELECT * FROM task_instance ORDER BY map_index"):
        tasks[row["dag_id"], row["run_id"], row["task_id"]].append(row)
    for row in _rows(metadata, "SELECT * FROM task_instance_history ORDER BY try_number"):
        history[row["dag_id"], row["run_id"], row["task_id"]].append(row)
    notes = {row["dag_run_id"]: row["content"] or "" for row in _rows(metadata, "SELECT * FROM dag_run_note")}
    red = {key[:2] for key, group in tasks.items() if {row["state"] for row in group} & {"failed", "upstream_failed"}}
    subdags = {row["dag_id"] for row in _rows(metadata, "SELECT * FROM dag") if row.get("is_subdag")}
    for row in _rows(metadata, "SELECT * FROM dag_run"):
        if row["dag_id"] not in subdags:
            is_red = (row["dag_id"], row["run_id"]) in red
            yield (row["dag_id"], row["run_id"], ""), _run(row, is_red, notes.get(row["id"], ""))
    for key, group in tasks.items():
        if key[0] not in subdags:
            yield key, _task(group, history[key])


def _run(row: Row, is_red: bool, note: str) -> Seen:
    state, is_over = RUN_STATES[row["state"]], row["state"] in ("success", "failed")
    if state == "SUCCEEDED" and is_red:
        state = "PARTIAL"
    if is_over:
        state = next((ours for verb, ours in OUR_ENDS.items() if f" {verb}" in note), state)
    return Seen(state, _airflow_instant(row["start_date"]), _airflow_instant(row["end_date"]) if is_over else "", ())


def _task(group: list[Row], history: Iterable[Row]) -> Seen:
    shown = [_shown(row) for row in group]
    state = min((pair[0] for pair in shown), key=MAPPED_WORST_FIRST.index)
    started = min((pair[1] for pair in shown if pair[1]), default="")
    ended = max((pair[2] for pair in shown if pair[2]), default="")
    ended = "" if state in ("RUNNING", "RETRYING", "QUEUED", "WAITING") else ended
    if len(group) > 1 or group[0]["map_index"] >= 0:
        return Seen(state, started, ended, ())
    present, native = group[0]["try_number"], group[0]["state"]
    is_blocked = native == "upstream_failed" or (native == "skipped" and started == ended)
    tried = present if native in (None, "up_for_retry") or is_blocked else present - 1
    ended_tries = {row["try_number"]: _shown(row) for row in history if row["state"]}
    earlier = [ended_tries.get(number, FORGOTTEN) for number in range(1, tried + 1)]
    return Seen(state, started, ended, (*earlier, (state, started, ended)))


def _shown(row: Row) -> tuple[str, str, str]:
    native = row["state"] or "none"
    started = _airflow_instant(row["start_date"]) if native in STARTED else ""
    is_over = native in ("success", "failed", "upstream_failed", "skipped", "removed")
    return TASK_STATES[native], started, _airflow_instant(row["end_date"]) if is_over else ""
