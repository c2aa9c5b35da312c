"""Step Functions replies read as records. Pure: whatever a reply holds, only RecordUnreadable is raised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connectors.sdk.aws import values
from connectors.sdk.aws.values import instant
from connectors.sdk.contract import ACTION_KEY
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import digest, masked_head, reading
from connectors.sdk.records import JobRecord, RunRecord, RunRef, Schedule
from connectors.sdk.states import PeriodKind, ProofLevel, RunState

STATES = {  # ExecutionStatus, Step Functions API reference
    "RUNNING": RunState.RUNNING,
    "SUCCEEDED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "TIMED_OUT": RunState.TIMED_OUT,
    "ABORTED": RunState.CANCELLED,
    "PENDING_REDRIVE": RunState.QUEUED,
}
FAILURES = frozenset({"FAILED", "TIMED_OUT", "ABORTED"})
DEFINITION_CHARACTERS = 4000
MESSAGE_CHARACTERS = 4000
EXPRESS = "EXPRESS"
CONTEXT = {"stateMachineVersionArn": "version", "stateMachineAliasArn": "alias", "redriveStatus": "redrive"}
"""Field of an execution -> its name in the context of the run."""


def is_open(execution: Mapping[str, Any]) -> bool:
    return STATES.get(str(execution.get("status")), RunState.UNKNOWN).is_open


def job(machine: Mapping[str, Any], region: str) -> JobRecord:
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
        definition=masked_head(definition, DEFINITION_CHARACTERS),
        definition_hash=digest(what),
        match_keys=(arn,),
        proof=ProofLevel.START if machine.get("type") == EXPRESS else ProofLevel.FULL,
        run_as=str(machine.get("roleArn") or ""),
        native_url=f"https://{region}.console.aws.amazon.com/states/home?region={region}#/statemachines/view/{arn}",
    )


@reading("an execution")
def run(execution: Mapping[str, Any], job_id: str, region: str) -> RunRecord:
    """One listed or described execution: its latest attempt, which a redrive makes a further one of."""
    arn, name, native = str(execution["executionArn"]), str(execution["name"]), str(execution["status"])
    redrives = int(execution.get("redriveCount") or 0)
    state = STATES.get(native, RunState.UNKNOWN)
    created = instant(execution["startDate"])
    started = instant(execution.get("redriveDate")) if redrives else created
    return RunRecord(
        job=job_id,
        attempt_key=f"{arn}#{redrives}",
        state=state,
        native_state=native,
        period_key=name,
        period_kind=PeriodKind.RUN,
        period_at=created,
        started_at=started or created,
        ended_at=None if state.is_open else instant(execution.get("stopDate")),
        message=message(execution),
        native_ref=json.dumps({"arn": arn, "machine": str(execution["stateMachineArn"]), "redrives": redrives}),
        native_url=f"https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{arn}",
        action_key=name if ACTION_KEY.fullmatch(name) else None,
        context={key: str(execution[name]) for name, key in CONTEXT.items() if execution.get(name)},
    )


def message(execution: Mapping[str, Any]) -> str:
    """Error and cause in one line: "Orders.Late: orders.csv is not there"."""
    parts = [str(execution[name]) for name in ("error", "cause") if execution.get(name)]
    return masked_head(": ".join(parts), MESSAGE_CHARACTERS)


def reference(ref: RunRef) -> dict[str, str]:
    """Fields of a `native_ref`: arn, machine, redrives; {} for any other text."""
    return values.reference(ref, "arn", "machine", "redrives")


def execution_arn(machine: str, name: str) -> str:
    """ARN of the execution that a start under `name` makes, as AWS forms it. `machine` may carry a version or alias."""
    parts = machine.split(":")
    return ":".join([*parts[:5], "execution", *parts[6:7], name])
