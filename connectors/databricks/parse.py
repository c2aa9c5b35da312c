"""Rows of runs, their repairs and their tasks -> records. Pure.

A repair keeps the run's id and start, and has an id of its own: attempts are `run`, `run.repair`. A task's run has an
id for each attempt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import fields
from connectors.contract import ACTION_KEY, RecordUnreadable, RunRecord, RunRef, State
from connectors.databricks.states import Word, word_of
from connectors.gone import no_longer_listed, unless_kept

KEPT = timedelta(days=60)  # "Runs are automatically removed after 60 days", jobs/runs/get-output
KEY_PARAMETER = "headway_key"
"""A parameter of the job that gets our key, where the job has it."""
PERIOD_PARAMETER = "headway_period"
"""A parameter of the job that gets the period's instant, where the job has it."""
TYPES = (
    ("notebook_task", "notebook_path"), ("spark_jar_task", "main_class_name"), ("spark_python_task", "python_file"),
    ("spark_submit_task", "parameters"), ("python_wheel_task", "entry_point"), ("sql_task", "warehouse_id"),
    ("dbt_task", "commands"), ("pipeline_task", "pipeline_id"), ("run_job_task", "job_id"),
    ("condition_task", "op"), ("for_each_task", "inputs"), ("dashboard_task", "dashboard_id"),
    ("alert_task", "alert_id"), ("dbt_cloud_task", "dbt_cloud_job_id"), ("power_bi_task", "warehouse_id"),
)  # fmt: skip
"""A task's type is the setting that it has, and what names it best there."""
WORST_FIRST = (
    State.RUNNING, State.RETRYING, State.QUEUED, State.WAITING, State.UNKNOWN, State.FAILED, State.TIMED_OUT,
    State.CANCELLED, State.BLOCKED, State.PARTIAL, State.SUCCEEDED, State.SKIPPED,
)  # fmt: skip


def id_of(row: fields.Row, name: str) -> int:
    """A whole number above 0. Raises RecordUnreadable."""
    found = fields.number(row, name, 0)
    if found <= 0:
        raise RecordUnreadable(f"{name} is {found}, not an id")
    return found


def instant(row: fields.Row, name: str) -> datetime | None:
    """Milliseconds since 1970; None for 0, which stands for "not yet". Raises RecordUnreadable."""
    milliseconds = fields.number(row, name, 0)
    if milliseconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        raise RecordUnreadable(f"{name} is {milliseconds}, not an instant") from None


def ref_of(run: int, repair: int = 0, task: str = "", task_run: int = 0) -> str:
    """What `RunRecord.native_ref` holds."""
    more = {"repair": repair, "task": task, "task_run": task_run}
    return json.dumps({"run": run, **{name: value for name, value in more.items() if value}})


def key_of(run: int, repair: int = 0) -> str:
    """Attempt key: "455644833", and "455644833.734650698524280" of a repair."""
    return f"{run}.{repair}" if repair else str(run)


def type_of(task: fields.Row) -> tuple[str, str]:
    """A task's type in Databricks' word, and what it runs: "notebook", "/Shared/load"."""
    for name, best in TYPES:
        row = task.get(name)
        if isinstance(row, dict):
            value = row.get(best)
            shown = value if isinstance(value, str) else fields.clean_json(value) if value is not None else ""
            return name.removesuffix("_task"), fields.clean(shown)[:300]
    return "task", ""


def tasks_of(row: fields.Row) -> list[fields.Row]:
    """The task runs of a run's row that can be read: each key's latest attempt."""
    latest: dict[str, fields.Row] = {}
    for one in fields.rows(row.get("tasks")):
        if isinstance(one, dict) and isinstance(one.get("task_key"), str):
            before = latest.get(one["task_key"])
            if before is None or _number(one, "attempt_number") >= _number(before, "attempt_number"):
                latest[one["task_key"]] = one
    return list(latest.values())


def runs(row: Any) -> list[RunRecord]:
    """The attempts that a run's row shows, oldest first: one, or with a history of repairs one for each. Raises
    RecordUnreadable."""
    row = fields.table(row)
    whole = _run(row, word_of(row))
    history = [fields.table(one) for one in fields.rows(row.get("repair_history"))]
    repairs = sorted(
        (one for one in history if one.get("type") == "REPAIR"), key=lambda one: _number(one, "start_time")
    )
    if not repairs:
        return [whole]
    original = next((one for one in history if one.get("type") == "ORIGINAL"), None)
    told = [_attempt(whole, original, 0)] if original is not None else []
    return told + [_attempt(whole, one, id_of(one, "id")) for one in repairs]


def _attempt(whole: RunRecord, row: fields.Row, repair: int) -> RunRecord:
    """An attempt from the history, which tells its times and its state."""
    word, number = word_of(row), int(whole.attempt_key)
    started = instant(row, "start_time") or whole.started_at
    return replace(
        whole,
        attempt_key=key_of(number, repair),
        state=word.state,
        native_state=word.native,
        evidence=word.evidence,
        reason=word.reason,
        message=word.message,
        again_of=key_of(number) if repair else "",
        queued_at=started if repair else whole.queued_at,
        started_at=started if _has_begun(word) else None,
        ended_at=_end(instant(row, "end_time"), started, word),
        native_ref=ref_of(number, repair),
        action_key=None if repair else whole.action_key,
    )


def _run(row: fields.Row, word: Word) -> RunRecord:
    number, started = id_of(row, "run_id"), instant(row, "start_time")
    first = fields.number(row, "original_attempt_run_id", number) or number
    queued = started if word.state is State.QUEUED or fields.number(row, "queue_duration", 0) else None
    red = [one for one in tasks_of(row) if _state(one).is_red]
    message = _red_words(red) or word.message
    if red and word.message and word.message not in message:
        message = f"{message}; {word.message}"
    by_clock = row.get("trigger") in ("PERIODIC", "CONTINUOUS") or first != number
    return RunRecord(
        job=str(id_of(row, "job_id")),
        attempt_key=key_of(number),
        state=word.state,
        native_state=word.native,
        evidence=word.evidence,
        period_key=None if by_clock else str(first),
        again_of=key_of(first) if first != number else "",
        queued_at=queued,
        started_at=started if _has_begun(word) else None,
        ended_at=_end(instant(row, "end_time"), started, word),
        message=message[:1000],
        reason=word.reason,
        native_ref=ref_of(number),
        native_url=_url(row),
        action_key=_action_of(row),
        context=fields.small(_context(row), "parameters"),
    )


def task_runs(row: fields.Row, attempts: Sequence[RunRecord]) -> list[RunRecord]:
    """The tasks of a run at their latest. Raises RecordUnreadable."""
    whole, told = attempts[-1], []
    for one in tasks_of(row):
        word, key = word_of(one), fields.text(one, "task_key")
        kind, _ = type_of(one)
        started, task_run = instant(one, "start_time"), id_of(one, "run_id")
        period = whole.period_key or str(id_of(row, "run_id"))
        told.append(
            RunRecord(
                job=f"{whole.job}.{fields.clean(key)}",
                attempt_key=str(task_run),
                state=word.state,
                native_state=word.native,
                evidence=word.evidence,
                period_key=period,
                started_at=started if _has_begun(word) else None,
                ended_at=_end(instant(one, "end_time"), started, word),
                message=word.message,
                reason=word.reason,
                native_ref=ref_of(id_of(row, "run_id"), 0, fields.clean(key), task_run),
                native_url=_url(one),
                context={"type": kind, "try": _number(one, "attempt_number") + 1},
            )
        )
    return told


def _has_begun(word: Word) -> bool:
    return word.state not in (State.QUEUED, State.WAITING)


def _end(at: datetime | None, started: datetime | None, word: Word) -> datetime | None:
    if word.state.is_open:
        return None
    return max(at, started) if at is not None and started is not None else at


def _red_words(red: Sequence[fields.Row]) -> str:
    if not red:
        return ""
    named = [f"{one['task_key']} ({word_of(one).native})" for one in red]
    return fields.clean(
        f"tasks not green: {', '.join(named[:10])}" + (f" and {len(named) - 10} more" * (len(named) > 10))
    )


def _state(row: fields.Row) -> State:
    try:
        return word_of(row).state
    except RecordUnreadable:
        return State.UNKNOWN


def _number(row: fields.Row, name: str) -> int:
    found = row.get(name)
    return found if type(found) is int else 0


def _url(row: fields.Row) -> str:
    found = row.get("run_page_url")
    return fields.clean(found) if isinstance(found, str) and found.startswith("https://") else ""


def parameters_of(row: fields.Row) -> dict[str, str]:
    """A run's job parameters, as they were."""
    found = {}
    for one in fields.rows(row.get("job_parameters")):
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            value = one.get("value") if one.get("value") is not None else one.get("default")
            found[fields.clean(one["name"])] = fields.clean(str(value)) if value is not None else ""
    return found


def _action_of(row: fields.Row) -> str | None:
    found = ACTION_KEY.fullmatch(parameters_of(row).get(KEY_PARAMETER, ""))
    return found[0] if found else None


def _context(row: fields.Row) -> dict[str, Any]:
    seconds = {
        f"{name}_seconds": _number(row, f"{name}_duration") / 1000
        for name in ("queue", "setup", "execution", "cleanup", "run")
        if _number(row, f"{name}_duration") > 0
    }
    cluster = row.get("cluster_instance")
    found = {
        "trigger": fields.words(row, "trigger") or None,
        "parameters": parameters_of(row) or None,
        "number": _number(row, "number_in_job") or None,
        "by": fields.words(row, "creator_user_name") or None,
        "cluster": cluster.get("cluster_id") if isinstance(cluster, dict) else None,
    }
    return {**{name: value for name, value in found.items() if value is not None}, **seconds}


def gone(known: RunRef, now: datetime) -> RunRecord:
    """Runs are deleted by hand, and after 60 days."""
    words = "Databricks no longer has this run: it was deleted, and its end was not seen"
    return no_longer_listed(known, "deleted", words, unless_kept(known, KEPT, now))
