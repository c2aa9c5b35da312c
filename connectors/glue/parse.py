"""Replies of Glue to records. Pure: whatever a reply holds, only RecordUnreadable is raised."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.aws.values import instant, reference, texts
from connectors.contract import (
    ACTION_KEY,
    JobRecord,
    Proof,
    RecordUnreadable,
    RunRecord,
    RunRef,
    Schedule,
    State,
)
from connectors.fields import digest
from connectors.glue import triggers
from connectors.gone import no_longer_listed, unless_kept

STATES = {  # JobRunState, Glue API reference, "Job runs"
    "STARTING": State.QUEUED,
    "WAITING": State.QUEUED,
    "RUNNING": State.RUNNING,
    "STOPPING": State.CANCELLING,
    "STOPPED": State.CANCELLED,
    "SUCCEEDED": State.SUCCEEDED,
    "FAILED": State.FAILED,
    "ERROR": State.FAILED,
    "TIMEOUT": State.TIMED_OUT,
    "EXPIRED": State.FAILED,
}
KEPT = timedelta(days=90)
KEY_ARGUMENT = "--headway-action"
"""The argument of a run that carries our key; a script that does not ask for it never sees it."""
TEXT_CHARACTERS = 4000
RETRY = re.compile(r"(jr_\w+?)_attempt_\d+")
"""Glue's own retry of a run has the run's id and a number."""


def job(found: Mapping[str, Any], started_by: Sequence[Mapping[str, Any]], region: str) -> JobRecord:
    """One job and the triggers that start it."""
    name = found.get("Name")
    if not isinstance(name, str) or not name:
        raise RecordUnreadable("a job without a name")
    command = found.get("Command") or {}
    what = {word: found[word] for word in DEFINES if word in found}
    return JobRecord(
        native_id=name,
        title=name,
        schedule=Schedule("none"),
        paused=triggers.is_paused(started_by),
        upstreams=triggers.upstreams(started_by),
        definition=_definition(found, command)[:TEXT_CHARACTERS],
        definition_hash=digest(what),
        proof=Proof.FULL,
        run_as=str(found.get("Role") or ""),
        native_url=f"https://{region}.console.aws.amazon.com/gluestudio/home?region={region}#/editor/job/{name}/runs",
    )


DEFINES = (
    "Command", "Role", "DefaultArguments", "NonOverridableArguments", "Connections", "MaxRetries", "Timeout",
    "MaxCapacity", "WorkerType", "NumberOfWorkers", "GlueVersion", "ExecutionClass", "ExecutionProperty",
)  # fmt: skip
"""What makes it the job that it is. Arguments may hold anything: they are in its hash alone."""


def _definition(found: Mapping[str, Any], command: Mapping[str, Any]) -> str:
    workers = f"{found['NumberOfWorkers']} × {found.get('WorkerType')}" if found.get("NumberOfWorkers") else ""
    version = f"Glue {found['GlueVersion']}" if found.get("GlueVersion") else ""
    parts = [str(command.get("Name") or ""), str(command.get("ScriptLocation") or ""), version, workers]
    return " ".join(part for part in parts if part)


def run(found: Mapping[str, Any], job_id: str, region: str) -> RunRecord:
    """One run as GetJobRuns or GetJobRun tells it: one attempt, of which Glue's retries and ours are further ones."""
    try:
        return _run(found, job_id, region)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RecordUnreadable(f"a run of {job_id}: {type(error).__name__}: {error}") from None


def _run(found: Mapping[str, Any], job_id: str, region: str) -> RunRecord:
    run_id, native = str(found["Id"]), str(found["JobRunState"])
    state = STATES.get(native, State.UNKNOWN)
    began, ended = instant(found.get("StartedOn")), instant(found.get("CompletedOn"))
    retried = RETRY.fullmatch(run_id)
    again_of = str(found.get("PreviousRunId") or "")
    key = texts(found.get("Arguments")).get(KEY_ARGUMENT, "")
    return RunRecord(
        job=job_id,
        attempt_key=run_id,
        state=state,
        native_state=native,
        period_key=retried[1] if retried else None if again_of else run_id,
        period_at=None if retried or again_of else began,
        again_of=again_of,
        started_at=began,
        ended_at=None if state.is_open or ended is None else max(ended, began or ended),
        message=str(found.get("ErrorMessage") or found.get("StateDetail") or "")[:TEXT_CHARACTERS],
        reason="resource" if state == State.QUEUED else "",
        native_ref=json.dumps({"job": job_id, "run": run_id}),
        native_url=f"https://{region}.console.aws.amazon.com/gluestudio/home?region={region}#/job/{job_id}/run/{run_id}",
        action_key=key if ACTION_KEY.fullmatch(key) else None,
        context=_context(found),
    )


def _context(found: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "Attempt": "attempt", "TriggerName": "trigger", "GlueVersion": "glue", "WorkerType": "worker",
        "NumberOfWorkers": "workers", "ExecutionTime": "seconds", "DPUSeconds": "dpu_seconds",
    }  # fmt: skip
    told: dict[str, Any] = {word: found[name] for name, word in names.items() if found.get(name)}
    inputs = [
        {"job": str(one["JobName"]), "period_key": period_of(str(one["RunId"]))}
        for one in found.get("PredecessorRuns") or ()
        if one.get("JobName") and one.get("RunId")
    ]
    return told | ({"inputs": inputs} if inputs else {})


def period_of(run_id: str) -> str:
    """The run that Glue's own retry belongs to; a run that is none is its own."""
    retried = RETRY.fullmatch(run_id)
    return retried[1] if retried else run_id


def gone(known: RunRef, now: datetime) -> RunRecord:
    """Glue keeps runs for 90 days, and forgets those of a deleted job."""
    words = "Glue no longer has this run: its job was deleted, or it is too old"
    return no_longer_listed(known, "(run deleted)", words, unless_kept(known, KEPT, now))


def place(ref: RunRef) -> tuple[str, str]:
    """Job and run id of a run that Glue has; ("", "") for what is none of ours."""
    found = reference(ref, "job", "run")
    return (found["job"], found["run"]) if found else ("", "")
