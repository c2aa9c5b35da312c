"""Rows of runs, repairs, tasks and schedules to records. Pure.

A repair keeps the run's id and start and has an id of its own: attempts are `run` and `run.repair`. A task's run has
an id for each attempt. API 2.2 reports a run's state twice: `status`, with a termination code, and the older `state`,
which alone has time-outs and upstream failures; if the two disagree the run is not a success.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.sdk import fields
from connectors.sdk.contract import ACTION_KEY
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import masked_head
from connectors.sdk.records import RunRecord, RunRef, Schedule
from connectors.sdk.states import PeriodKind, RunEvidence, RunState
from connectors.sdk.vanished_runs import no_longer_listed, state_past_retention

RETENTION = timedelta(days=60)  # "Runs are automatically removed after 60 days", jobs/runs/get-output
KEY_PARAMETER = "headway_key"  # a parameter of the job that gets our key, where the job has it
PERIOD_PARAMETER = "headway_period"  # a parameter of the job that gets the period's instant, where the job has it
TASK_TYPES = (
    ("notebook_task", "notebook_path"), ("spark_jar_task", "main_class_name"), ("spark_python_task", "python_file"),
    ("spark_submit_task", "parameters"), ("python_wheel_task", "entry_point"), ("sql_task", "warehouse_id"),
    ("dbt_task", "commands"), ("pipeline_task", "pipeline_id"), ("run_job_task", "job_id"),
    ("condition_task", "op"), ("for_each_task", "inputs"), ("dashboard_task", "dashboard_id"),
    ("alert_task", "alert_id"), ("dbt_cloud_task", "dbt_cloud_job_id"), ("power_bi_task", "warehouse_id"),
)  # fmt: skip
"""A task's type is the setting it has; the value names its most useful field."""


def parse_millis(row: fields.Row, name: str) -> datetime | None:
    """An instant from milliseconds since 1970; None for 0, which means "not yet". Raises RecordUnreadable."""
    milliseconds = fields.number(row, name, 0)
    if milliseconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        raise RecordUnreadable(f"{name} is {milliseconds}, not an instant") from None


def run_ref(run: int, repair: int = 0, task: str = "", task_run: int = 0) -> str:
    optional = {"repair": repair, "task": task, "task_run": task_run}
    return json.dumps({"run": run, **{name: value for name, value in optional.items() if value}})


def attempt_key(run: int, repair: int = 0) -> str:
    """Attempt key: "455644833", and "455644833.734650698524280" of a repair."""
    return f"{run}.{repair}" if repair else str(run)


def task_type(task: fields.Row) -> tuple[str, str]:
    """A task's type as Databricks names it, and its target: "notebook", "/Shared/load"."""
    for name, best in TASK_TYPES:
        row = task.get(name)
        if isinstance(row, dict):
            value = row.get(best)
            text = value if isinstance(value, str) else fields.clean_json(value) if value is not None else ""
            return name.removesuffix("_task"), masked_head(fields.clean(text), 300)
    return "task", ""


def task_rows(row: fields.Row) -> list[fields.Row]:
    """The task runs of a run's row that can be read: each key's latest attempt."""
    latest: dict[str, fields.Row] = {}
    for task in fields.tables(row.get("tasks")):
        if isinstance(task.get("task_key"), str):
            before = latest.get(task["task_key"])
            if before is None or _attempt_number(task, "attempt_number") >= _attempt_number(before, "attempt_number"):
                latest[task["task_key"]] = task
    return list(latest.values())


def run_records(row: Any) -> list[RunRecord]:
    """The attempts that a run's row shows, oldest first: one, or with a history of repairs one for each. Raises
    RecordUnreadable."""
    row = fields.table(row)
    whole = _run_record(row, parse_state(row))
    history = [fields.table(entry) for entry in fields.rows(row.get("repair_history"))]
    repairs = sorted(
        (entry for entry in history if entry.get("type") == "REPAIR"),
        key=lambda entry: _attempt_number(entry, "start_time"),
    )
    if not repairs:
        return [whole]
    original = next((entry for entry in history if entry.get("type") == "ORIGINAL"), None)
    records = [_attempt_record(whole, original, 0)] if original is not None else []
    return records + [_attempt_record(whole, repair, fields.positive(repair, "id")) for repair in repairs]


def _attempt_record(whole: RunRecord, row: fields.Row, repair: int) -> RunRecord:
    status, number = parse_state(row), int(whole.attempt_key)
    started = parse_millis(row, "start_time") or whole.started_at
    return replace(
        whole,
        attempt_key=attempt_key(number, repair),
        **asdict(status),
        again_of=attempt_key(number) if repair else "",
        queued_at=started if repair else whole.queued_at,
        started_at=started if _has_begun(status) else None,
        ended_at=_run_end(row, started, status),
        native_ref=run_ref(number, repair),
        action_key=None if repair else whole.action_key,
    )


def _run_record(row: fields.Row, status: DatabricksState) -> RunRecord:
    number, started = fields.positive(row, "run_id"), parse_millis(row, "start_time")
    first = fields.number(row, "original_attempt_run_id", number) or number
    queued = started if status.state is RunState.QUEUED or fields.number(row, "queue_duration", 0) else None
    tasks = fields.readable(task_rows(row), lambda task: (task["task_key"], parse_state(task)))
    red = [f"{key} ({state.native_state})" for key, state in tasks if state.state.is_red]
    message = fields.clean(f"tasks not green: {fields.listed(red, 10)}") if red else status.message
    if red and status.message and status.message not in message:
        message = f"{message}; {status.message}"
    by_clock = row.get("trigger") in ("PERIODIC", "CONTINUOUS") or first != number
    return RunRecord(
        job=str(fields.positive(row, "job_id")),
        attempt_key=attempt_key(number),
        **{**asdict(status), "message": masked_head(message, 1000)},
        period_key=None if by_clock else str(first),
        period_kind=PeriodKind.RUN,
        again_of=attempt_key(first) if first != number else "",
        queued_at=queued,
        started_at=started if _has_begun(status) else None,
        ended_at=_run_end(row, started, status),
        native_ref=run_ref(number),
        native_url=_run_url(row),
        action_key=key if ACTION_KEY.fullmatch(key := job_parameters(row).get(KEY_PARAMETER, "")) else None,
        context=fields.bounded_context(_run_context(row), "parameters"),
    )


def task_records(row: fields.Row, attempts: Sequence[RunRecord]) -> list[RunRecord]:
    return [_task_record(attempts[-1], fields.positive(row, "run_id"), task_row) for task_row in task_rows(row)]


def _task_record(whole: RunRecord, run: int, row: fields.Row) -> RunRecord:
    status, key = parse_state(row), fields.clean(fields.text(row, "task_key"))
    started, task_run = parse_millis(row, "start_time"), fields.positive(row, "run_id")
    return RunRecord(
        job=f"{whole.job}.{key}",
        attempt_key=str(task_run),
        **asdict(status),
        period_key=whole.period_key or str(run),
        period_kind=PeriodKind.RUN,
        started_at=started if _has_begun(status) else None,
        ended_at=_run_end(row, started, status),
        native_ref=run_ref(run, 0, key, task_run),
        native_url=_run_url(row),
        context={"type": task_type(row)[0], "try": _attempt_number(row, "attempt_number") + 1},
    )


def _has_begun(status: DatabricksState) -> bool:
    return status.state not in (RunState.QUEUED, RunState.WAITING)


def _run_end(row: fields.Row, started: datetime | None, status: DatabricksState) -> datetime | None:
    at = None if status.state.is_open else parse_millis(row, "end_time")
    return max(at, started) if at is not None and started is not None else at


def _attempt_number(row: fields.Row, name: str) -> int:
    value = row.get(name)
    return value if type(value) is int else 0


def _run_url(row: fields.Row) -> str:
    url = row.get("run_page_url")
    return fields.clean(url) if isinstance(url, str) and url.startswith("https://") else ""


def job_parameters(row: fields.Row) -> dict[str, str]:
    values = {}
    for parameter in fields.tables(row.get("job_parameters")):
        if isinstance(parameter.get("name"), str):
            value = parameter.get("value") if parameter.get("value") is not None else parameter.get("default")
            values[fields.clean(parameter["name"])] = fields.clean(str(value)) if value is not None else ""
    return values


def _run_context(row: fields.Row) -> dict[str, Any]:
    seconds = {
        f"{name}_seconds": _attempt_number(row, f"{name}_duration") / 1000
        for name in ("queue", "setup", "execution", "cleanup", "run")
        if _attempt_number(row, f"{name}_duration") > 0
    }
    return {
        "trigger": fields.optional_text(row, "trigger") or None,
        "parameters": job_parameters(row) or None,
        "number": _attempt_number(row, "number_in_job") or None,
        "by": fields.optional_text(row, "creator_user_name") or None,
        "cluster": fields.subtable(row, "cluster_instance").get("cluster_id"),
        **seconds,
    }


def vanished_run(run: RunRef, now: datetime) -> RunRecord:
    message = "Databricks no longer has this run: it was deleted, and its end was not seen"
    return no_longer_listed(run, "deleted", message, state_past_retention(run, RETENTION, now))


LIFECYCLE_STATES: dict[str, tuple[RunState, str]] = {
    "BLOCKED": (RunState.WAITING, "upstream"),
    "QUEUED": (RunState.QUEUED, "slot"),
    "PENDING": (RunState.QUEUED, "resource"),
    "RUNNING": (RunState.RUNNING, ""),
    "TERMINATING": (RunState.RUNNING, ""),
    "WAITING": (RunState.RETRYING, ""),
    "WAITING_FOR_RETRY": (RunState.RETRYING, ""),
}
"""Open states. PENDING: its cluster is being created."""
RESULT_STATES: dict[str, RunState] = {
    "SUCCESS": RunState.SUCCEEDED,
    "SUCCESS_WITH_FAILURES": RunState.PARTIAL,
    "FAILED": RunState.FAILED,
    "TIMEDOUT": RunState.TIMED_OUT,
    "CANCELED": RunState.CANCELLED,
    "UPSTREAM_FAILED": RunState.BLOCKED,
    "UPSTREAM_CANCELED": RunState.BLOCKED,
    "EXCLUDED": RunState.SKIPPED,
    "DISABLED": RunState.SKIPPED,
    "MAXIMUM_CONCURRENT_RUNS_REACHED": RunState.SKIPPED,
}
TERMINATION_CODES: dict[str, RunState] = {
    "SUCCESS": RunState.SUCCEEDED,
    "SUCCESS_WITH_FAILURES": RunState.PARTIAL,
    "USER_CANCELED": RunState.CANCELLED,
    "CANCELED": RunState.CANCELLED,
    "SKIPPED": RunState.SKIPPED,
    "DISABLED": RunState.SKIPPED,
    "MAX_CONCURRENT_RUNS_EXCEEDED": RunState.SKIPPED,
    **dict.fromkeys(
        (
            "BREAKING_CHANGE", "BUDGET_POLICY_LIMIT_EXCEEDED", "CLOUD_FAILURE", "CLUSTER_ERROR",
            "CLUSTER_REQUEST_LIMIT_EXCEEDED", "DRIVER_ERROR", "FEATURE_DISABLED", "INTERNAL_ERROR",
            "INVALID_CLUSTER_REQUEST", "INVALID_RUN_CONFIGURATION", "LIBRARY_INSTALLATION_ERROR",
            "MAX_JOB_QUEUE_SIZE_EXCEEDED", "MAX_SPARK_CONTEXTS_EXCEEDED", "REPOSITORY_CHECKOUT_FAILED",
            "RESOURCE_NOT_FOUND", "RUN_EXECUTION_ERROR", "STORAGE_ACCESS_ERROR", "UNAUTHORIZED_ERROR",
            "WORKSPACE_RUN_LIMIT_EXCEEDED",
        ), RunState.FAILED,
    ),
}  # fmt: skip
"""Termination codes. MAX_CONCURRENT_RUNS_EXCEEDED: the previous run was still active, so Databricks skipped this
one."""
STATE_ONLY_RESULTS = ("TIMEDOUT", "UPSTREAM_FAILED", "UPSTREAM_CANCELED", "EXCLUDED")
"""Results that are more specific than the code beside them."""


@dataclass(frozen=True, slots=True)
class DatabricksState:
    """Fields of a `RunRecord`."""

    state: RunState
    native_state: str
    reason: str = ""
    message: str = ""
    evidence: RunEvidence = RunEvidence.NATIVE


def parse_state(row: fields.Row) -> DatabricksState:
    status, state = fields.subtable(row, "status"), fields.subtable(row, "state")
    life = fields.optional_text(status, "state") or fields.optional_text(state, "life_cycle_state")
    message = masked_head(fields.optional_text(state, "state_message"), 1000)
    if life in LIFECYCLE_STATES:
        run_state, reason = LIFECYCLE_STATES[life]
        queue_message = masked_head(fields.optional_text(fields.subtable(status, "queue_details"), "message"), 1000)
        return DatabricksState(run_state, life, reason, queue_message or message)
    if life == "INTERNAL_ERROR":
        return DatabricksState(RunState.FAILED, life, "", message)
    if life == "SKIPPED":
        return DatabricksState(RunState.SKIPPED, life, "", message)
    if life != "TERMINATED":
        return DatabricksState(RunState.UNKNOWN, life or "(no state)", "", message, RunEvidence.INFERRED)
    details = fields.subtable(status, "termination_details")
    code, result = fields.optional_text(details, "code"), fields.optional_text(state, "result_state")
    return _end_state(code, result, masked_head(fields.optional_text(details, "message"), 1000) or message)


def _end_state(code: str, result: str, message: str) -> DatabricksState:
    by_code = TERMINATION_CODES.get(code, RunState.UNKNOWN) if code else None
    by_result = RESULT_STATES.get(result, RunState.UNKNOWN) if result else None
    states = [state for state in (by_code, by_result) if state is not None]
    if RunState.UNKNOWN in states and (known := next((state for state in states if state.is_red), None)):
        return DatabricksState(known, f"{code}, {result}", "", message)
    if not states or RunState.UNKNOWN in states:
        unknown = code if by_code is RunState.UNKNOWN else result
        return DatabricksState(RunState.UNKNOWN, unknown or "TERMINATED", "", message, RunEvidence.INFERRED)
    if by_result is not None and (by_code is None or result in STATE_ONLY_RESULTS):
        return DatabricksState(by_result, result, "", message)
    if by_code is None:
        return DatabricksState(RunState.UNKNOWN, "TERMINATED", "", message, RunEvidence.INFERRED)
    if by_result is not None and RunState.SUCCEEDED in states and by_code is not by_result:
        not_green = by_result if by_code is RunState.SUCCEEDED else by_code
        return DatabricksState(not_green, f"{code}, {result}", "", message, RunEvidence.CONFLICT)
    return DatabricksState(by_code, code, "", message)


PAUSED_STATUS = "PAUSED"
TRIGGER_KINDS = ("schedule", "trigger", "continuous")
"""Settings that start a job by themselves; each has its own pause_status."""


def trigger_kind(settings: fields.Row) -> str:
    """Which of TRIGGER_KINDS a job has; "" for one that is only started by hand or by another."""
    return next((name for name in TRIGGER_KINDS if isinstance(settings.get(name), dict)), "")


def is_paused(settings: fields.Row) -> bool:
    trigger = settings.get(trigger_kind(settings))
    return isinstance(trigger, dict) and trigger.get("pause_status") == PAUSED_STATUS


def parse_schedule(settings: fields.Row) -> Schedule:
    name = trigger_kind(settings)
    if not name:
        return Schedule("none", text="started by hand or by another job")
    row = fields.table(settings[name])
    if name == "continuous":
        return Schedule("none", text="continuous: a new run begins when one ends")
    if name == "trigger":
        texts = {"file_arrival": "when files arrive", "table_update": "when tables change"}
        text = next((text for kind, text in texts.items() if isinstance(row.get(kind), dict)), "by a trigger")
        periodic = row.get("periodic")
        if isinstance(periodic, dict):
            text = fields.clean(f"every {periodic.get('interval')} {str(periodic.get('unit')).lower()}")
        return Schedule("none", text=text)
    quartz = fields.text(row, "quartz_cron_expression")
    return Schedule("databricks", quartz, fields.optional_text(row, "timezone_id") or "UTC", text=quartz)
