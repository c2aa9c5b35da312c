"""Replies of Step Functions to records. Pure: whatever a reply holds, only RecordUnreadable is raised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from connectors.aws import values
from connectors.aws.values import instant
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
from connectors.gone import no_longer_listed, unless_kept

STATES = {  # ExecutionStatus, Step Functions API reference
    "RUNNING": State.RUNNING,
    "SUCCEEDED": State.SUCCEEDED,
    "FAILED": State.FAILED,
    "TIMED_OUT": State.TIMED_OUT,
    "ABORTED": State.CANCELLED,
    "PENDING_REDRIVE": State.QUEUED,
}
FAILURES = frozenset({"FAILED", "TIMED_OUT", "ABORTED"})
DEFINITION_CHARACTERS = 4000
MESSAGE_CHARACTERS = 4000
KEPT = timedelta(days=90)
EXPRESS = "EXPRESS"


def job(machine: Mapping[str, Any], region: str) -> JobRecord:
    """One described state machine."""
    try:
        arn, name = str(machine["stateMachineArn"]), str(machine["name"])
    except KeyError as error:
        raise RecordUnreadable(f"a state machine without {error}") from None
    definition = str(machine.get("definition") or "")
    what = (definition, machine.get("roleArn"), machine.get("type"))
    return JobRecord(
        native_id=name,
        title=name,
        schedule=Schedule("none"),
        definition=definition[:DEFINITION_CHARACTERS],
        definition_hash=digest(what),
        match_keys=(arn,),
        proof=Proof.START if machine.get("type") == EXPRESS else Proof.FULL,
        run_as=str(machine.get("roleArn") or ""),
        native_url=f"https://{region}.console.aws.amazon.com/states/home?region={region}#/statemachines/view/{arn}",
    )


def run(execution: Mapping[str, Any], job_id: str, region: str) -> RunRecord:
    """One listed or described execution: its latest attempt, which a redrive makes a further one of."""
    try:
        return _run(execution, job_id, region)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RecordUnreadable(f"an execution of {job_id}: {type(error).__name__}: {error}") from None


def _run(execution: Mapping[str, Any], job_id: str, region: str) -> RunRecord:
    arn, name, native = str(execution["executionArn"]), str(execution["name"]), str(execution["status"])
    redrives = int(execution.get("redriveCount") or 0)
    state = STATES.get(native, State.UNKNOWN)
    created = instant(execution["startDate"])
    started = instant(execution.get("redriveDate")) if redrives else created
    return RunRecord(
        job=job_id,
        attempt_key=f"{arn}#{redrives}",
        state=state,
        native_state=native,
        period_key=name,
        period_at=created,
        started_at=started or created,
        ended_at=None if state.is_open else instant(execution.get("stopDate")),
        message=message(execution),
        native_ref=json.dumps({"arn": arn, "machine": str(execution["stateMachineArn"]), "redrives": redrives}),
        native_url=f"https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{arn}",
        action_key=name if ACTION_KEY.fullmatch(name) else None,
        context=_context(execution),
    )


def message(execution: Mapping[str, Any]) -> str:
    """Error and cause in one line: "Orders.Late: orders.csv is not there"."""
    parts = [str(execution[name]) for name in ("error", "cause") if execution.get(name)]
    return ": ".join(parts)[:MESSAGE_CHARACTERS]


def _context(execution: Mapping[str, Any]) -> dict[str, Any]:
    names = {"stateMachineVersionArn": "version", "stateMachineAliasArn": "alias", "redriveStatus": "redrive"}
    return {word: str(execution[name]) for name, word in names.items() if execution.get(name)}


def gone(known: RunRef, now: datetime) -> RunRecord:
    """Executions are kept for 90 days after their end, and go with their state machine."""
    words = "Step Functions no longer has this execution: its state machine was deleted, or it is too old"
    return no_longer_listed(known, "(execution deleted)", words, unless_kept(known, KEPT, now))


def reference(ref: RunRef) -> dict[str, str]:
    """What `native_ref` of a record holds: arn, machine, redrives; {} for what is none of ours."""
    return values.reference(ref, "arn", "machine", "redrives")


def execution_arn(machine: str, name: str) -> str:
    """ARN of the execution that a start under `name` makes, as AWS forms it. `machine` may carry a version or alias."""
    parts = machine.split(":")
    return ":".join([*parts[:5], "execution", *parts[6:7], name])
