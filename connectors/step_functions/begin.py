"""Starting a state machine for a period that it has not run, and stopping an execution.

"start": StartExecution, our key its name, with the input that the schedule gives. "stop": StopExecution, our key in its
cause, where AWS keeps it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.aws import schedules
from connectors.aws.errors import AlreadyThere
from connectors.contract import (
    ACTION_KEY,
    Absent,
    Ask,
    Found,
    LookUp,
    NotSupported,
    Preview,
    Receipt,
    State,
)
from connectors.step_functions import parse
from connectors.step_functions.act import LISTED_RUNNING, SETTLE_SECONDS, overlap, started
from connectors.step_functions.client import Reply, StepFunctionsClient

ERROR = "Headway.Cancelled"
WHY_CHARACTERS = 500
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
NO_INPUT = "{}"


def preview_start(client: StepFunctionsClient, ask: Ask, machine: Mapping[str, Any], found: Sequence[Reply]) -> Preview:
    """What a start would call, with which schedule's input; the input itself stays in AWS until it is sent."""
    job, arn = ask.run.job, str(machine["stateMachineArn"])
    running = (
        client.executions(arn, LISTED_RUNNING, status="RUNNING").get("executions", []) if _is_listed(machine) else []
    )
    source = found[0] if found else None
    name = schedules.full_name(source) if source else ""
    target = schedules.target_of(source) if source else arn
    given = f"input of schedule {name}" if source and _input(source) is not None else f"input {NO_INPUT}"
    return Preview(
        verb="start",
        words=f"start {job} once now, with the {given}",
        scope=f"one execution of {job}{f', for {ask.run.period_key}' * bool(ask.run.period_key)}",
        overlap=overlap(running, job),
        native_calls=(f"states:StartExecution stateMachineArn={target} name=<key> input=<{given}>",),
        notes=_start_notes(source, given),
        refused=_not_started(ask, machine, found),
        plan={
            "way": "begin",
            "machine": target,
            "schedule": [str(source.get("GroupName") or "default"), str(source["Name"])] if source else None,
            "period_at": _period(ask),
        },
    )


def _running(client: StepFunctionsClient, machine: str) -> list[Reply]:
    rows: list[Reply] = client.executions(machine, LISTED_RUNNING, status="RUNNING")["executions"]
    return rows


def _is_listed(machine: Mapping[str, Any]) -> bool:
    return machine.get("type") != parse.EXPRESS


def _input(schedule: Mapping[str, Any]) -> str | None:
    given = (schedule.get("Target") or {}).get("Input")
    return None if given is None else str(given)


def _period(ask: Ask) -> str:
    """The scheduled instant as EventBridge Scheduler writes it; "" where it is not known."""
    given = str(ask.parameters.get("period_at") or "")
    return given if given.endswith("Z") else ""


def _start_notes(source: Reply | None, given: str) -> tuple[str, ...]:
    if source is None:
        return ("no schedule starts it, so none gives an input: it gets an empty one",)
    if given.endswith(NO_INPUT):
        return ("the schedule has no input of its own: AWS would send its notification, we send an empty one",)
    return ("the schedule keeps its times, and starts it by them as well",)


def _not_started(ask: Ask, machine: Mapping[str, Any], found: Sequence[Reply]) -> str | None:
    job = ask.run.job
    if not _is_listed(machine):
        return f"{job} is an EXPRESS state machine: AWS keeps no list in which a start could be found again"
    if len({(_input(one), schedules.target_of(one)) for one in found}) > 1:
        names = ", ".join(schedules.full_name(one) for one in found)
        return f"the schedules of {job} ({names}) start it differently: start it by hand with the input that is meant"
    if found and SCHEDULED_TIME in (_input(found[0]) or "") and not _period(ask):
        return f"the input of {job} holds the scheduled time, and which one is meant is not known: start it by hand"
    return None


def start(client: StepFunctionsClient, plan: Mapping[str, Any], key: str) -> Receipt:
    """Calls StartExecution once, our key its name."""
    if not ACTION_KEY.fullmatch(key):
        raise NotSupported(f'"{key}" is no action key')
    given = NO_INPUT
    if plan["schedule"] is not None:
        group, name = plan["schedule"]
        given = _filled(client.schedule(group, name), str(plan["period_at"]), key)
    arn = parse.execution_arn(str(plan["machine"]), key)
    try:
        client.start(str(plan["machine"]), key, given)
    except AlreadyThere:
        return Receipt(f"{arn}#0", f"{key} was started before")
    return Receipt(f"{arn}#0", f"started as {key}")


def _filled(schedule: Reply, period_at: str, key: str) -> str:
    """The schedule's input with AWS's context attributes, as it would have sent it."""
    given = _input(schedule)
    if given is None:
        return NO_INPUT
    if SCHEDULED_TIME in given and not period_at:
        raise NotSupported("the input holds the scheduled time, which is not known: nothing was started")
    values = {
        SCHEDULED_TIME: period_at,
        "<aws.scheduler.execution-id>": key,
        "<aws.scheduler.attempt-number>": "1",
        "<aws.scheduler.schedule-arn>": str(schedule.get("Arn") or ""),
    }
    for word, value in values.items():
        given = given.replace(word, value)
    return given


def look_up_start(client: StepFunctionsClient, plan: Mapping[str, Any], key: str) -> LookUp:
    """By the name of the execution."""
    return started(client, parse.execution_arn(str(plan["machine"]), key))


def preview_stop(client: StepFunctionsClient, ask: Ask) -> Preview:
    """Which execution would be stopped; refused when it has ended."""
    ref = parse.reference(ask.run)
    if not ref:
        raise NotSupported(f"Step Functions can only stop an execution that it has: {ask.run.job} {ask.run.period_key}")
    found = client.execution(ref["arn"])
    name, native = str(found["name"]), str(found["status"])
    is_open = parse.STATES.get(native, State.UNKNOWN).is_open
    return Preview(
        verb="stop",
        words=f"stop execution {name} of {ask.run.job}",
        scope=f"execution {name} of {ask.run.job}",
        affected=(name,),
        native_calls=(f"states:StopExecution executionArn={ref['arn']} error={ERROR} cause=<key>",),
        notes=("what its running step has begun elsewhere (a Lambda, a query) may go on",),
        refused=None if is_open else f"{name} of {ask.run.job} has ended: {native}",
        plan={"way": "stop", "arn": ref["arn"], "why": str(ask.parameters.get("why") or "")[:WHY_CHARACTERS]},
    )


def stop(client: StepFunctionsClient, plan: Mapping[str, Any], key: str) -> Receipt:
    """Calls StopExecution once. Raises NotSupported where it has ended: AWS would say yes and change nothing."""
    arn = str(plan["arn"])
    native = str(client.execution(arn)["status"])
    if not parse.STATES.get(native, State.UNKNOWN).is_open:
        raise NotSupported(f"{client.place}: {arn} has ended: {native}; nothing was stopped")
    client.stop(arn, ERROR, f"{key} {plan['why']}".strip())
    return Receipt(arn, "stopped")


def look_up_stop(client: StepFunctionsClient, plan: Mapping[str, Any], key: str) -> LookUp:
    """ABORTED is what was wanted, by our key or by somebody else; whatever else it is, our call did not do."""
    arn = str(plan["arn"])
    for is_last in (False, True):
        found = client.execution(arn, with_data=True)
        if found["status"] == "ABORTED":
            by_us = key in str(found.get("cause") or "")
            return Found(arn, "ABORTED by us" if by_us else "ABORTED; its cause does not say by whom")
        if not is_last and found["status"] == "RUNNING":
            time.sleep(min(SETTLE_SECONDS, client.deadline.left / 4))
    return Absent()
