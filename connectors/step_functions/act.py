"""Rerunning an execution: redriven from its failed step where AWS allows it, else started again under our key.

"redrive": RedriveExecution has no name of ours; it shows as a higher redriveCount of the same execution.
"start again": the new execution's name is our key, so a repeated send cannot make a second one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.aws.errors import AlreadyThere, Gone
from connectors.aws.values import instant
from connectors.contract import (
    ACTION_KEY,
    Absent,
    Ask,
    CannotTell,
    Found,
    LookUp,
    NotSupported,
    Preview,
    Receipt,
    State,
)
from connectors.planned import settled
from connectors.step_functions import parse
from connectors.step_functions.client import Reply, StepFunctionsClient

LISTED_RUNNING = 10
SETTLE_SECONDS = 1.0
"""DescribeExecution is "eventually consistent": what is not there is asked for once more."""


def preview(client: StepFunctionsClient, ask: Ask, timeout_seconds: float) -> Preview:
    """What a rerun would call. The input is not in it: it stays in AWS and is read again when it is sent."""
    client.begin(timeout_seconds)
    ref = parse.reference(ask.run)
    if not ref:
        raise NotSupported(
            f"Step Functions can only rerun an execution that it has: start {ask.run.job} {ask.run.period_key} instead"
        )
    found = client.execution(ref["arn"], with_data=True)
    running = client.executions(ref["machine"], LISTED_RUNNING, status="RUNNING").get("executions", [])
    if found.get("redriveStatus") == "REDRIVABLE":
        return _redrive(found, ask, running)
    return _start(found, ask, running)


def _redrive(found: Reply, ask: Ask, running: list[Reply]) -> Preview:
    name, count = str(found["name"]), int(found.get("redriveCount") or 0)
    return Preview(
        verb="redrive",
        words=f"redrive execution {name} of {ask.run.job} from its failed step",
        scope=f"the unsuccessful steps of {ask.run.job} {name}",
        affected=(name,),
        overlap=overlap(running, ask.run.job),
        native_calls=(f"states:RedriveExecution executionArn={found['executionArn']} clientToken=<key>",),
        notes=("keeps the input and the definition that the execution began with", f"redrive number {count + 1}"),
        plan={"way": "redrive", "arn": str(found["executionArn"]), "redrives": count},
    )


def _start(found: Reply, ask: Ask, running: list[Reply]) -> Preview:
    name, machine = str(found["name"]), str(found["stateMachineArn"])
    why = str(found.get("redriveStatusReason") or "").rstrip(".")
    notes = [
        f"AWS does not redrive it: {why}" if why else "AWS does not offer a redrive for it",
        "runs the definition of now",
    ]
    return Preview(
        verb="start again",
        words=f"start {ask.run.job} again from its first step, with the input of {name}",
        scope=f"the whole of {ask.run.job} {name}",
        overlap=overlap(running, ask.run.job),
        native_calls=(f"states:StartExecution stateMachineArn={machine} name=<key> input=<that of {name}>",),
        notes=tuple(notes),
        refused=_refusal(found, ask),
        plan={"way": "start", "machine": machine, "source": str(found["executionArn"])},
    )


def _refusal(found: Mapping[str, Any], ask: Ask) -> str | None:
    if _input(found) is None:
        return f"the input of {found['name']} cannot be read (too large, or its key is refused): start it by hand"
    if parse.STATES.get(str(found["status"])) == State.RUNNING:
        return f"{found['name']} of {ask.run.job} is still running: stop it first, or wait for its end"
    return None


def overlap(running: Sequence[Reply], job: str) -> str | None:
    """What runs of this state machine now; None when nothing does."""
    if not running:
        return None
    since = instant(running[0].get("startDate"))
    count = f"{LISTED_RUNNING} or more executions" if len(running) >= LISTED_RUNNING else f"{len(running)} execution(s)"
    when = f", the newest since {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
    return f"{count} of {job} running{when}: Step Functions runs them side by side"


def _input(found: Mapping[str, Any]) -> str | None:
    details = found.get("inputDetails") or {}
    given = found.get("input")
    return str(given) if given is not None and details.get("included", True) else None


def send(client: StepFunctionsClient, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
    """Calls RedriveExecution or StartExecution once. The receipt refers to the attempt by the key that polls will
    tell it with: a redriven execution carries no key of ours."""
    if not ACTION_KEY.fullmatch(key):
        raise NotSupported(f'"{key}" is no action key')
    client.begin(timeout_seconds)
    plan = preview.plan
    if plan["way"] == "redrive":
        client.redrive(str(plan["arn"]), key)
        return Receipt(f"{plan['arn']}#{int(plan['redrives']) + 1}", f"redriven, attempt {int(plan['redrives']) + 2}")
    given = _input(client.execution(str(plan["source"]), with_data=True))
    if given is None:
        raise NotSupported(f"{client.place}: the input of {plan['source']} cannot be read; nothing was started")
    arn = parse.execution_arn(str(plan["machine"]), key)
    try:
        client.start(str(plan["machine"]), key, given)
    except AlreadyThere:
        return Receipt(f"{arn}#0", f"{key} was started before")
    return Receipt(f"{arn}#0", f"started as {key}")


def look_up(client: StepFunctionsClient, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
    """A start by its name; a redrive by the count of redrives, which does not tell who asked."""
    client.begin(timeout_seconds)
    plan = preview.plan
    try:
        if plan["way"] == "redrive":
            return _redriven(client, str(plan["arn"]), int(plan["redrives"]))
        return started(client, parse.execution_arn(str(plan["machine"]), key))
    except NotSupported as error:
        return CannotTell(str(error))


def started(client: StepFunctionsClient, arn: str) -> LookUp:
    """Whether the execution that was started is there."""

    def look() -> LookUp:
        try:
            return Found(f"{arn}#0", f"execution {arn.rpartition(':')[2]}: {client.execution(arn)['status']}")
        except Gone:
            return Absent()

    return settled(look, client, SETTLE_SECONDS)


def _redriven(client: StepFunctionsClient, arn: str, before: int) -> LookUp:
    def look() -> LookUp:
        now = int(client.execution(arn).get("redriveCount") or 0)
        if now > before:
            return Found(f"{arn}#{before + 1}", f"redriven {now} time(s), {before} before; AWS does not tell by whom")
        return Absent()

    return settled(look, client, SETTLE_SECONDS)
