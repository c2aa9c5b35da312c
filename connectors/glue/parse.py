"""Glue replies read as records, and triggers: schedules of jobs, and the jobs that they wait for.

Pure: whatever a reply holds, only RecordUnreadable is raised. Facts: Glue API reference, "Triggers". A schedule is a
cron expression of AWS's own dialect, always in UTC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.sdk.aws import schedules
from connectors.sdk.aws.values import instant, reference, texts
from connectors.sdk.contract import ACTION_KEY
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import digest, masked_head, reading
from connectors.sdk.records import JobRecord, RunRecord, RunRef, Schedule
from connectors.sdk.states import GLUE_TRIGGERS, PeriodKind, ProofLevel, RunState

Trigger = Mapping[str, Any]


def by_job(triggers: Sequence[Trigger]) -> dict[str, list[Trigger]]:
    starting: dict[str, list[Trigger]] = {}
    for item in sorted(triggers, key=lambda trigger: str(trigger.get("Name"))):
        for name in {str(action.get("JobName")) for action in item.get("Actions") or () if action.get("JobName")}:
            starting.setdefault(name, []).append(item)
    return starting


def is_active(trigger: Trigger) -> bool:
    return str(trigger.get("State")) in ("ACTIVATED", "ACTIVATING")


def scheduled(triggers: Sequence[Trigger]) -> list[Trigger]:
    """Those that a clock fires."""
    return [trigger for trigger in triggers if trigger.get("Type") == "SCHEDULED"]


def is_paused(triggers: Sequence[Trigger]) -> bool:
    """True when something would start the job by itself, and all of that is deactivated."""
    starting = [trigger for trigger in triggers if trigger.get("Type") in ("SCHEDULED", "CONDITIONAL", "EVENT")]
    return bool(starting) and not any(map(is_active, starting))


def upstreams(triggers: Sequence[Trigger]) -> tuple[str, ...]:
    """Jobs whose end the active conditional triggers wait for."""
    conditions = [
        str(condition["JobName"])
        for trigger in triggers
        if trigger.get("Type") == "CONDITIONAL" and is_active(trigger)
        for condition in (trigger.get("Predicate") or {}).get("Conditions") or ()
        if condition.get("JobName")
    ]
    return tuple(dict.fromkeys(conditions))


def schedule_text(triggers: Sequence[Trigger]) -> str:
    """ "Glue trigger: nightly cron(15 4 * * ? *) UTC"."""
    parts = [
        f"{item.get('Name')} {item.get('Schedule')} UTC{'' if is_active(item) else ' (not active)'}"
        for item in scheduled(triggers)
    ]
    return f"{GLUE_TRIGGERS}{'; '.join(parts)}" if parts else ""


def next_instant(triggers: Sequence[Trigger], now: datetime) -> datetime | None:
    """When the first active one fires after `now`. None without one, and where any of them cannot be read."""
    try:
        result = [
            schedules.next_start({"ScheduleExpression": item.get("Schedule")}, now)
            for item in scheduled(triggers)
            if is_active(item)
        ]
    except (ValueError, KeyError, OSError):
        return None
    return min((at for at in result if at is not None), default=None)


def arguments_for(trigger: Trigger, job: str) -> Mapping[str, str]:
    for action in trigger.get("Actions") or ():
        if action.get("JobName") == job:
            return texts(action.get("Arguments"))
    return {}


STATES = {  # JobRunState, Glue API reference, "Job runs"
    "STARTING": RunState.QUEUED,
    "WAITING": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "STOPPING": RunState.CANCELLING,
    "STOPPED": RunState.CANCELLED,
    "SUCCEEDED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "ERROR": RunState.FAILED,
    "TIMEOUT": RunState.TIMED_OUT,
    "EXPIRED": RunState.FAILED,
}
KEY_ARGUMENT = "--headway-action"
"""The argument of a run that carries our key; a script that does not ask for it never sees it."""
TEXT_CHARACTERS = 4000
RETRY = re.compile(r"(jr_\w+?)_attempt_(\d{1,4})")
"""Glue's own retry of a run has the run's id and a number."""
RETRY_WITHIN = timedelta(hours=1)
"""How long after its end a failed run waits for Glue's retry."""


def is_open(run: Mapping[str, Any]) -> bool:
    return STATES.get(str(run.get("JobRunState")), RunState.UNKNOWN).is_open


def job(row: Mapping[str, Any], started_by: Sequence[Trigger], schedule: Schedule, region: str) -> JobRecord:
    name = row.get("Name")
    if not isinstance(name, str) or not name:
        raise RecordUnreadable("a job without a name")
    command = row.get("Command") or {}
    workers = f"{row['NumberOfWorkers']} × {row.get('WorkerType')}" if row.get("NumberOfWorkers") else ""
    version = f"Glue {row['GlueVersion']}" if row.get("GlueVersion") else ""
    parts = [str(command.get("Name") or ""), str(command.get("ScriptLocation") or ""), version, workers]
    return JobRecord(
        native_id=name,
        title=name,
        schedule=schedule,
        paused=is_paused(started_by),
        upstreams=upstreams(started_by),
        definition=masked_head(" ".join(part for part in parts if part), TEXT_CHARACTERS),
        definition_hash=digest({name: row[name] for name in DEFINES if name in row}),
        proof=ProofLevel.FULL,
        run_as=str(row.get("Role") or ""),
        native_url=f"https://{region}.console.aws.amazon.com/gluestudio/home?region={region}#/editor/job/{name}/runs",
    )


DEFINES = (
    "Command", "Role", "DefaultArguments", "NonOverridableArguments", "Connections", "MaxRetries", "Timeout",
    "MaxCapacity", "WorkerType", "NumberOfWorkers", "GlueVersion", "ExecutionClass", "ExecutionProperty",
)  # fmt: skip
"""Fields in the hash of a job. Arguments may hold secrets: they are shown nowhere else."""


def retries_of(row: Mapping[str, Any]) -> int:
    """How often Glue tries a failed run of this job again."""
    number = row.get("MaxRetries")
    return number if isinstance(number, int) and not isinstance(number, bool) else 0


def next_try(run_id: str) -> str:
    """The id of Glue's own retry of a run."""
    retried = RETRY.fullmatch(run_id)
    return f"{run_id}_attempt_1" if retried is None else f"{retried[1]}_attempt_{int(retried[2]) + 1}"


def will_retry(row: Mapping[str, Any], retries: int) -> bool:
    """Whether Glue is about to try a failed run again. One that exceeded its time limit is not retried."""
    ended, retried = instant(row.get("CompletedOn")), RETRY.fullmatch(str(row["Id"]))
    number = int(retried[2]) if retried else 0
    is_recent = ended is not None and datetime.now(UTC) - ended < RETRY_WITHIN
    return row["JobRunState"] == "FAILED" and number < retries and is_recent


@reading("a run")
def run(row: Mapping[str, Any], job_id: str, region: str, retries: int = 0) -> RunRecord:
    """One run from GetJobRuns or GetJobRun: one attempt; Glue's retries and ours are further ones. `retries`:
    how often Glue tries it again; 0 where its next try is there."""
    run_id, native = str(row["Id"]), str(row["JobRunState"])
    state = STATES.get(native, RunState.UNKNOWN)
    state = RunState.RETRYING if will_retry(row, retries) else state
    began, ended = instant(row.get("StartedOn")), instant(row.get("CompletedOn"))
    retried = RETRY.fullmatch(run_id)
    again_of = str(row.get("PreviousRunId") or "")
    key = texts(row.get("Arguments")).get(KEY_ARGUMENT, "")
    return RunRecord(
        job=job_id,
        attempt_key=run_id,
        state=state,
        native_state=native,
        period_key=retried[1] if retried else None if again_of else run_id,
        period_kind=PeriodKind.RUN,
        period_at=None if retried or again_of else began,
        again_of=again_of,
        started_at=began,
        ended_at=None if state.is_open or ended is None else max(ended, began or ended),
        message=masked_head(str(row.get("ErrorMessage") or row.get("StateDetail") or ""), TEXT_CHARACTERS),
        reason={RunState.QUEUED: "resource", RunState.RETRYING: "time"}.get(state, ""),
        native_ref=json.dumps({"job": job_id, "run": run_id}),
        native_url=f"https://{region}.console.aws.amazon.com/gluestudio/home?region={region}#/job/{job_id}/run/{run_id}",
        action_key=key if ACTION_KEY.fullmatch(key) else None,
        context=_context(row),
    )


def _context(row: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "Attempt": "attempt", "TriggerName": "trigger", "GlueVersion": "glue", "WorkerType": "worker",
        "NumberOfWorkers": "workers", "ExecutionTime": "seconds", "DPUSeconds": "dpu_seconds",
    }  # fmt: skip
    table: dict[str, Any] = {key: row[name] for name, key in names.items() if row.get(name)}
    inputs = [
        {"job": str(item["JobName"]), "period_key": period_of(str(item["RunId"]))}
        for item in row.get("PredecessorRuns") or ()
        if item.get("JobName") and item.get("RunId")
    ]
    return table | ({"inputs": inputs} if inputs else {})


def period_of(run_id: str) -> str:
    """The run that Glue's own retry belongs to; any other run is its own."""
    retried = RETRY.fullmatch(run_id)
    return retried[1] if retried else run_id


def place(ref: RunRef) -> tuple[str, str]:
    """Job and run id of a run that Glue has; ("", "") for any other reference."""
    result = reference(ref, "job", "run")
    return (result["job"], result["run"]) if result else ("", "")
