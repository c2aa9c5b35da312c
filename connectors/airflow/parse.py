"""Raw replies of Airflow -> records. Pure; a row that cannot be read raises RecordUnreadable and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from connectors import fields
from connectors.airflow.marks import TRIGGERED, end_of, run_action
from connectors.contract import Evidence, RunRecord, State, instant_key
from connectors.fields import Row

RUN_STATES: dict[str, State] = {
    "queued": State.QUEUED,
    "running": State.RUNNING,
    "success": State.SUCCEEDED,
    "failed": State.FAILED,
}

ENDED_BY_US: dict[tuple[str, str], tuple[State, str]] = {
    ("failed", "cancel"): (State.CANCELLED, "cancelled by Headway"),
    ("success", "mark_ok"): (State.SUCCEEDED, "marked OK by Headway"),
    ("success", "skip"): (State.SKIPPED, "skipped by Headway"),
}
"""By the native state and the word of our mark."""

NOT_YET = "none"
"""Our word for a task instance whose native state is null: Airflow has not looked at it yet."""

TASK_STATES: dict[str, tuple[State, str]] = {
    NOT_YET: (State.WAITING, "upstream"),
    "scheduled": (State.WAITING, "slot"),
    "queued": (State.QUEUED, ""),
    "running": (State.RUNNING, ""),
    "restarting": (State.RETRYING, ""),
    "up_for_retry": (State.RETRYING, "time"),
    "up_for_reschedule": (State.WAITING, "event"),
    "deferred": (State.WAITING, "event"),
    "awaiting_input": (State.WAITING, "approval"),
    "success": (State.SUCCEEDED, ""),
    "failed": (State.FAILED, ""),
    "upstream_failed": (State.BLOCKED, ""),
    "skipped": (State.SKIPPED, ""),
    "removed": (State.SKIPPED, ""),
}

HAS_RUN = frozenset({"running", "success", "failed", "skipped", "deferred", "up_for_reschedule", "awaiting_input"})
"""Task states in which start_date is of this attempt; in the others it still holds the attempt before (measured)."""

BY_CLOCK = frozenset({"scheduled", "backfill"})
NAMED_TASKS = 12


@dataclass(frozen=True, slots=True)
class Period:
    """Which run of its DAG this is; its tasks share it."""

    key: str
    at: datetime | None
    interval_start: datetime | None


def attempt_key(run_id: str, queued_at: str) -> str:
    """An attempt of a DAG run: a clear keeps the run's id and overwrites queued_at."""
    return f"{run_id}@{queued_at or '-'}"


def run_ref(dag: str, run: str) -> str:
    return json.dumps({"dag": dag, "run": run})


def period_of(row: Row) -> Period:
    """By the instant for runs that the clock made (and for ours in their place), else by the run's own id."""
    run_id, run_after = fields.text(row, "dag_run_id"), fields.instant(row, "run_after")
    start, end = fields.instant(row, "data_interval_start"), fields.instant(row, "data_interval_end")
    interval_start = start if start is not None and end is not None and start < end else None
    kind = fields.words(row, "run_type") or run_id.partition("__")[0]
    at = run_after if kind in BY_CLOCK else None
    if TRIGGERED.fullmatch(run_id):  # ours may be started before or after their time: the period is what they are for
        logical = fields.instant(row, "logical_date")
        at = end if interval_start is not None else logical
    return Period(instant_key(at) if at else run_id, at or run_after, interval_start)


def run(row: Any, base_url: str, failed_tasks: Sequence[str] = ()) -> RunRecord:
    """One DAG run in its present attempt; `failed_tasks` are its failed and blocked tasks, "load (failed)"."""
    row = fields.table(row)
    dag, run_id, native = fields.text(row, "dag_id"), fields.text(row, "dag_run_id"), fields.text(row, "state")
    queued, period = fields.words(row, "queued_at"), period_of(row)
    state, ours = _state(native, fields.words(row, "note"), queued, failed_tasks)
    started, ended = ended_after_start(fields.instant(row, "start_date"), fields.instant(row, "end_date"), state)
    return RunRecord(
        job=dag,
        attempt_key=attempt_key(run_id, queued),
        formerly=attempt_key(run_id, "") if queued and row.get("no_queue_time") else "",
        state=state,
        native_state=native,
        evidence=Evidence.INFERRED if state is State.UNKNOWN else Evidence.NATIVE,
        period_key=period.key,
        period_at=period.at,
        interval_start=period.interval_start,
        queued_at=None if row.get("no_queue_time") else fields.instant(row, "queued_at"),
        started_at=started,
        ended_at=ended,
        message="; ".join(one for one in (ours, _not_green(failed_tasks)) if one),
        reason="slot" if state is State.QUEUED else "",
        native_ref=run_ref(dag, run_id),
        native_url=f"{base_url}/dags/{quote(dag, safe='')}/runs/{quote(run_id, safe='')}",
        action_key=run_action(run_id, fields.words(row, "note"), queued),
        context=_context(row),
    )


def _state(native: str, note: str, queued: str, failed_tasks: Sequence[str]) -> tuple[State, str]:
    """The state of a run, and our words where Headway itself ended this attempt: Airflow has no word of its own for a
    run that was cancelled or skipped, and keeps the failed tasks of one that was marked OK."""
    ended = ENDED_BY_US.get((native, end_of(note, queued)))
    if ended is not None:
        return ended
    state = RUN_STATES.get(native, State.UNKNOWN)
    return (State.PARTIAL if state is State.SUCCEEDED and failed_tasks else state), ""


def _not_green(failed_tasks: Sequence[str]) -> str:
    if not failed_tasks:
        return ""
    more = len(failed_tasks) - NAMED_TASKS
    return f"tasks not green: {', '.join(failed_tasks[:NAMED_TASKS])}" + (f" and {more} more" if more > 0 else "")


def ended_after_start(
    started: datetime | None, ended: datetime | None, state: State
) -> tuple[datetime | None, datetime | None]:
    """Start and end without contradiction: what is open has no end, and no end lies before its start."""
    if state.is_open:
        return started, None
    return started, (max(ended, started) if ended is not None and started is not None else ended)


def _context(row: Row) -> Mapping[str, Any]:
    """How the run came to be, small and JSON-safe."""
    versions = [one.get("version_number") for one in fields.rows(row.get("dag_versions")) if isinstance(one, dict)]
    found = {
        "run_id": row.get("dag_run_id"),
        "run_type": row.get("run_type"),
        "triggered_by": row.get("triggered_by"),
        "user": row.get("triggering_user_name"),
        "version": versions[-1] if versions else None,
        "conf": row.get("conf") or None,
    }
    kept = {name: value for name, value in found.items() if value is not None}
    return fields.small(kept, "conf")


def created_at(uuid: str) -> datetime | None:
    """When this attempt of a task was made: task instance ids are UUIDv7, whose first 48 bits are milliseconds."""
    digits = uuid.replace("-", "")
    if len(digits) != 32 or digits[12] != "7":
        return None
    try:
        return datetime.fromtimestamp(int(digits[:12], 16) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
