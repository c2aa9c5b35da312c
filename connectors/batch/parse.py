"""Replies of Batch to records. Pure: whatever a reply holds, only RecordUnreadable is raised."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.aws.values import from_milliseconds, reference
from connectors.contract import (
    JobRecord,
    Proof,
    RecordUnreadable,
    RunRecord,
    RunRef,
    Schedule,
    State,
)
from connectors.fields import digest
from connectors.gone import no_longer_listed, unless_kept

STATES = {  # JobStatus, Batch User Guide, "Job states"
    "SUBMITTED": State.QUEUED,
    "PENDING": State.WAITING,
    "RUNNABLE": State.QUEUED,
    "STARTING": State.QUEUED,
    "RUNNING": State.RUNNING,
    "SUCCEEDED": State.SUCCEEDED,
    "FAILED": State.FAILED,
}
REASONS = {"PENDING": "upstream", "RUNNABLE": "resource", "STARTING": "resource", "SUBMITTED": "slot"}
KEPT = timedelta(days=7)
TIMED_OUT = "Job attempt duration exceeded timeout"
"""The statusReason of a job that ran longer than it may; Batch has no status for it."""
OUR_NAME = re.compile(r"(headway-[0-9a-z]{10,40})_(.*)")
"""The name of a job that we submitted: our key, and the name that it would have."""
TEXT_CHARACTERS = 4000


def job(found: Mapping[str, Any], region: str) -> JobRecord:
    """One job definition, by its newest active revision."""
    name = found.get("jobDefinitionName")
    if not isinstance(name, str) or not name:
        raise RecordUnreadable("a job definition without a name")
    container = found.get("containerProperties") or {}
    what = {word: value for word, value in found.items() if word not in ("jobDefinitionArn", "revision", "tags")}
    words = [str(found.get("type") or ""), str(container.get("image") or ""), *map(str, container.get("command") or ())]
    return JobRecord(
        native_id=name,
        title=name,
        schedule=Schedule("none"),
        definition=" ".join(word for word in words if word)[:TEXT_CHARACTERS],
        definition_hash=digest(what),
        proof=Proof.FULL,
        run_as=str(container.get("jobRoleArn") or ""),
        native_url=f"https://{region}.console.aws.amazon.com/batch/home?region={region}#job-definition/detail/"
        f"{found.get('jobDefinitionArn') or name}",
    )


def is_part(found: Mapping[str, Any]) -> bool:
    """Whether it is a child of an array ("id:3") or a node of a job ("id#0"): they are counted, not told."""
    return bool(set(str(found.get("jobId") or "")) & {":", "#"})


def definition_of(found: Mapping[str, Any]) -> str:
    """Name of the job definition, without revision: "arn:…:job-definition/mart:7" -> "mart"."""
    return str(found.get("jobDefinition") or "").rpartition("/")[2].partition(":")[0]


def name_of(found: Mapping[str, Any]) -> str:
    """The job's name, without our key."""
    name = str(found.get("jobName") or "")
    ours = OUR_NAME.fullmatch(name)
    return ours[2] if ours else name


def state_of(found: Mapping[str, Any]) -> State:
    """Of a job as ListJobs or DescribeJobs tells it."""
    state = STATES.get(str(found.get("status")), State.UNKNOWN)
    is_ended_by_hand = bool(found.get("isTerminated") or found.get("isCancelled"))
    if state == State.FAILED and is_ended_by_hand:
        return State.CANCELLED
    if state == State.FAILED and found.get("statusReason") == TIMED_OUT:
        return State.TIMED_OUT
    return State.CANCELLING if state.is_open and is_ended_by_hand else state


def runs(found: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]], region: str) -> list[RunRecord]:
    """The attempts of one described job, oldest first. `inputs`: jobs that it waited for."""
    try:
        past, last = _attempts(found)
        earlier = [_past(found, one, number, region) for number, one in enumerate(past, 1)]
        return [*earlier, _last(found, last, len(past) + 1, inputs, region)]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RecordUnreadable(f"a job: {type(error).__name__}: {error}") from None


def _attempts(found: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
    """Attempts that are over before the last, and the last; {} where that has not begun."""
    ended = [one for one in found.get("attempts") or () if one.get("stoppedAt")]
    if STATES.get(str(found["status"]), State.UNKNOWN).is_open or not ended:
        return ended, {}
    return ended[:-1], ended[-1]


def _past(found: Mapping[str, Any], attempt: Mapping[str, Any], number: int, region: str) -> RunRecord:
    """An attempt after which Batch tried again: it did not end well."""
    container = attempt.get("container") or {}
    began, ended = from_milliseconds(attempt.get("startedAt")), from_milliseconds(attempt.get("stoppedAt"))
    told = (attempt.get("statusReason"), container.get("reason"))
    return RunRecord(
        **_identity(found, number, region),
        state=State.FAILED,
        native_state="FAILED (tried again)",
        **_times(began, ended),
        exit_code=_exit_code(container),
        message=": ".join(str(one) for one in told if one)[:TEXT_CHARACTERS],
    )


def _last(
    found: Mapping[str, Any], attempt: Mapping[str, Any], number: int, inputs: Sequence[Mapping[str, Any]], region: str
) -> RunRecord:
    state, native = state_of(found), str(found["status"])
    container = attempt.get("container") or found.get("container") or {}
    began = from_milliseconds(attempt.get("startedAt") or found.get("startedAt"))
    ended = None if state.is_open else from_milliseconds(attempt.get("stoppedAt") or found.get("stoppedAt"))
    if state.is_open and native != "RUNNING":
        began = None
    told = (_children(found), found.get("statusReason"), container.get("reason"))
    return RunRecord(
        **_identity(found, number, region),
        state=state,
        native_state=native,
        queued_at=from_milliseconds(found.get("createdAt")),
        **_times(began, ended),
        exit_code=None if state.is_open else _exit_code(container),
        message=": ".join(dict.fromkeys(str(one) for one in told if one))[:TEXT_CHARACTERS],
        reason=REASONS.get(native, "") if state.is_open else "",
        context=_context(found, inputs),
    )


def _identity(found: Mapping[str, Any], number: int, region: str) -> dict[str, Any]:
    job_id, ours = str(found["jobId"]), OUR_NAME.fullmatch(str(found.get("jobName") or ""))
    name = definition_of(found)
    if not name:
        raise ValueError(f"{job_id} names no job definition")
    return {
        "job": name,
        "attempt_key": f"{job_id}#{number}",
        "period_key": job_id,
        "period_at": from_milliseconds(found.get("createdAt")),
        "native_ref": json.dumps({"job": job_id, "attempt": number}),
        "native_url": f"https://{region}.console.aws.amazon.com/batch/home?region={region}#jobs/detail/{job_id}",
        "action_key": ours[1] if ours else None,
    }


def _times(began: datetime | None, ended: datetime | None) -> dict[str, Any]:
    return {"started_at": began, "ended_at": max(ended, began) if ended and began else ended}


def _exit_code(container: Mapping[str, Any]) -> int | None:
    code = container.get("exitCode")
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _children(found: Mapping[str, Any]) -> str:
    """ "2 of 10 children FAILED"; empty for what is no array."""
    array = found.get("arrayProperties") or {}
    failed, size = (array.get("statusSummary") or {}).get("FAILED"), array.get("size")
    return f"{failed} of {size} children FAILED" if failed and size else ""


def _context(found: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    array = found.get("arrayProperties") or {}
    told: dict[str, Any] = {
        "name": name_of(found),
        "queue": str(found.get("jobQueue") or "").rpartition("/")[2],
        "revision": str(found.get("jobDefinition") or "").rpartition(":")[2],
        "children": array.get("size"),
        "by_status": dict(array["statusSummary"]) if array.get("statusSummary") else None,
    }
    told["inputs"] = [
        {"job": definition_of(one), "period_key": str(one.get("jobId"))} for one in inputs if definition_of(one)
    ]
    return {name: value for name, value in told.items() if value}


def gone(known: RunRef, now: datetime) -> RunRecord:
    """Batch keeps what has ended for a week, and nobody can delete it before."""
    words = "Batch no longer has this job: it ended, and how was not seen"
    return no_longer_listed(known, "(job deleted)", words, unless_kept(known, KEPT, now))


def place(ref: RunRef) -> tuple[str, int]:
    """Job id and number of the attempt; ("", 0) for what is none of ours."""
    found = reference(ref, "job", "attempt")
    number = found.get("attempt", "")
    return (found["job"], int(number)) if number.isascii() and number.isdigit() else ("", 0)
