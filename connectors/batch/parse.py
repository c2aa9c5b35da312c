"""Batch replies read as records. Pure: whatever a reply holds, only RecordUnreadable is raised."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from connectors.sdk.aws.values import from_milliseconds, reference
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import digest, masked_head, reading
from connectors.sdk.records import JobRecord, RunRecord, RunRef, Schedule
from connectors.sdk.states import PeriodKind, ProofLevel, RunState

STATES = {  # JobStatus, Batch User Guide, "Job states"
    "SUBMITTED": RunState.QUEUED,
    "PENDING": RunState.WAITING,
    "RUNNABLE": RunState.QUEUED,
    "STARTING": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "SUCCEEDED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
}
REASONS = {"PENDING": "upstream", "RUNNABLE": "resource", "STARTING": "resource", "SUBMITTED": "slot"}
TIMED_OUT = "Job attempt duration exceeded timeout"
"""The statusReason of a job that ran longer than it may; Batch has no status for it."""
OUR_NAME = re.compile(r"(headway-[0-9a-z]{10,40})_(.*)")
"""The name of a job that we submitted: our key, and the name that it would have."""
TEXT_CHARACTERS = 4000


def job(row: Mapping[str, Any], region: str) -> JobRecord:
    name = row.get("jobDefinitionName")
    if not isinstance(name, str) or not name:
        raise RecordUnreadable("a job definition without a name")
    container = row.get("containerProperties") or {}
    what = {name: value for name, value in row.items() if name not in ("jobDefinitionArn", "revision", "tags")}
    parts = [str(row.get("type") or ""), str(container.get("image") or ""), *map(str, container.get("command") or ())]
    return JobRecord(
        native_id=name,
        title=name,
        schedule=Schedule("none"),
        definition=masked_head(" ".join(filter(None, parts)), TEXT_CHARACTERS),
        definition_hash=digest(what),
        proof=ProofLevel.FULL,
        run_as=str(container.get("jobRoleArn") or ""),
        native_url=f"https://{region}.console.aws.amazon.com/batch/home?region={region}#job-definition/detail/"
        f"{row.get('jobDefinitionArn') or name}",
    )


def is_part(row: Mapping[str, Any]) -> bool:
    """Whether it is a child of an array ("id:3") or a node of a job ("id#0"): they are counted, not reported."""
    return bool(set(str(row.get("jobId") or "")) & {":", "#"})


def definition_of(row: Mapping[str, Any]) -> str:
    """Name of the job definition, without revision: "arn:…:job-definition/mart:7" -> "mart"."""
    return str(row.get("jobDefinition") or "").rpartition("/")[2].partition(":")[0]


def name_of(row: Mapping[str, Any]) -> str:
    """The job's name, without our key."""
    name = str(row.get("jobName") or "")
    match = OUR_NAME.fullmatch(name)
    return match[2] if match else name


def state_of(row: Mapping[str, Any]) -> RunState:
    state = STATES.get(str(row.get("status")), RunState.UNKNOWN)
    is_ended_by_hand = bool(row.get("isTerminated") or row.get("isCancelled"))
    if state == RunState.FAILED and is_ended_by_hand:
        return RunState.CANCELLED
    if state == RunState.FAILED and row.get("statusReason") == TIMED_OUT:
        return RunState.TIMED_OUT
    return RunState.CANCELLING if state.is_open and is_ended_by_hand else state


@reading("a job")
def runs(row: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]], region: str) -> list[RunRecord]:
    """The attempts of one described job, oldest first. `inputs`: jobs that it waited for."""
    past = [attempt for attempt in row.get("attempts") or () if attempt.get("stoppedAt")]
    is_open = STATES.get(str(row["status"]), RunState.UNKNOWN).is_open
    last = past.pop() if past and not is_open else {}  # {}: it has not begun
    earlier = [_past(row, item, number, region) for number, item in enumerate(past, 1)]
    queued = from_milliseconds((past[-1] if past else {}).get("stoppedAt") or row.get("createdAt"))
    return [*earlier, replace(_last(row, last, len(past) + 1, inputs, region), queued_at=queued)]


def _past(row: Mapping[str, Any], attempt: Mapping[str, Any], number: int, region: str) -> RunRecord:
    """An attempt after which Batch tried again: it did not end well."""
    container = attempt.get("container") or {}
    began, ended = from_milliseconds(attempt.get("startedAt")), from_milliseconds(attempt.get("stoppedAt"))
    reported = (attempt.get("statusReason"), container.get("reason"))
    return RunRecord(
        **_identity(row, number, region),
        state=RunState.FAILED,
        native_state="FAILED (tried again)",
        **_times(began, ended),
        exit_code=_exit_code(container),
        message=masked_head(": ".join(str(item) for item in reported if item), TEXT_CHARACTERS),
    )


def _last(
    row: Mapping[str, Any], attempt: Mapping[str, Any], number: int, inputs: Sequence[Mapping[str, Any]], region: str
) -> RunRecord:
    state, native = state_of(row), str(row["status"])
    state = RunState.RETRYING if number > 1 and state in (RunState.QUEUED, RunState.WAITING) else state
    container = attempt.get("container") or row.get("container") or {}
    began = from_milliseconds(attempt.get("startedAt") or row.get("startedAt"))
    ended = None if state.is_open else from_milliseconds(attempt.get("stoppedAt") or row.get("stoppedAt"))
    if state.is_open and native != "RUNNING":
        began = None
    array = row.get("arrayProperties") or {}
    failed, size = (array.get("statusSummary") or {}).get("FAILED"), array.get("size")
    children = f"{failed} of {size} children FAILED" if failed and size else ""
    reported = (children, row.get("statusReason"), container.get("reason"))
    return RunRecord(
        **_identity(row, number, region),
        state=state,
        native_state=native,
        **_times(began, ended),
        exit_code=None if state.is_open else _exit_code(container),
        message=masked_head(": ".join(dict.fromkeys(str(item) for item in reported if item)), TEXT_CHARACTERS),
        reason=REASONS.get(native, "") if state.is_open else "",
        context=_context(row, inputs),
    )


def _identity(row: Mapping[str, Any], number: int, region: str) -> dict[str, Any]:
    job_id, match = str(row["jobId"]), OUR_NAME.fullmatch(str(row.get("jobName") or ""))
    name = definition_of(row)
    if not name:
        raise ValueError(f"{job_id} names no job definition")
    return {
        "job": name,
        "attempt_key": f"{job_id}#{number}",
        "period_key": job_id,
        "period_kind": PeriodKind.RUN,
        "period_at": from_milliseconds(row.get("createdAt")),
        "native_ref": json.dumps({"job": job_id, "attempt": number}),
        "native_url": f"https://{region}.console.aws.amazon.com/batch/home?region={region}#jobs/detail/{job_id}",
        "action_key": match[1] if match else None,
    }


def _times(began: datetime | None, ended: datetime | None) -> dict[str, Any]:
    return {"started_at": began, "ended_at": max(ended, began) if ended and began else ended}


def _exit_code(container: Mapping[str, Any]) -> int | None:
    code = container.get("exitCode")
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _context(row: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    array = row.get("arrayProperties") or {}
    table: dict[str, Any] = {
        "name": name_of(row),
        "queue": str(row.get("jobQueue") or "").rpartition("/")[2],
        "revision": str(row.get("jobDefinition") or "").rpartition(":")[2],
        "children": array.get("size"),
        "by_status": dict(array["statusSummary"]) if array.get("statusSummary") else None,
    }
    table["inputs"] = [
        {"job": definition_of(item), "period_key": str(item.get("jobId"))} for item in inputs if definition_of(item)
    ]
    return {name: value for name, value in table.items() if value}


def place(ref: RunRef) -> tuple[str, int]:
    """Job id and number of the attempt; ("", 0) for any other reference."""
    result = reference(ref, "job", "attempt")
    number = result.get("attempt", "")
    return (result["job"], int(number)) if number.isascii() and number.isdigit() else ("", 0)
