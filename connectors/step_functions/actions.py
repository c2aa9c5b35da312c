"""Step Functions actions: rerun an execution, start a state machine for a period, stop an execution.

"redrive": an execution is redriven from its failed step where AWS allows it. RedriveExecution has no name of ours; it
shows as a higher redriveCount of the same execution. "start again": the new execution's name is our key, so a repeated
send cannot make a second one. "start": StartExecution, our key its name, with the input that the schedule gives.
"stop": StopExecution, our key in its cause, where AWS keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.sdk.action_router import ActionPart, ActionRouter, Plan, RunPart
from connectors.sdk.aws import schedules
from connectors.sdk.aws.client import AwsAlreadyExists, AwsNotFound
from connectors.sdk.aws.scheduler import ScheduleHolder
from connectors.sdk.aws.values import AwsReply, instant
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import ActionRefused, NotSupported
from connectors.sdk.records import RunRef
from connectors.sdk.run_canceller import RunCanceller, RunNow
from connectors.sdk.states import Capability, RunState, Verb
from connectors.step_functions import parse
from connectors.step_functions.client import StepFunctionsClient
from connectors.step_functions.inventory import StateMachines

LISTED_RUNNING = 10
MISSING = {
    Capability.MARK: "AWS cannot set an execution's result; Headway records it as asserted",
    Capability.TASKS: "the states of a machine are not shown as tasks; its log has every one",
    Capability.NATIVE_DEPENDENCIES: "Step Functions knows no order between state machines: declare it",
}


class StepFunctionsActions(ActionRouter):
    _client: StepFunctionsClient

    def __init__(self, client: StepFunctionsClient, machines: StateMachines, settle_seconds: float) -> None:
        self._machines = machines
        holder = ScheduleHolder(client, lambda job: self._schedules_of(machines.named(job)))
        rerun = ActionPart(("redrive", "start"), self._preview_rerun, self._send_rerun, self._look_up_rerun)
        parts: dict[Verb, RunPart] = {
            Verb.RERUN: rerun,
            Verb.START: ActionPart(("begin",), self._preview_start, self._send_start, self._look_up_start),
            Verb.CANCEL: StepFunctionsStopper(client),
            Verb.HOLD: holder,
            Verb.RELEASE: holder,
        }
        super().__init__("Step Functions", client, parts, MISSING, settle_seconds)

    def _schedules_of(self, machine: AwsReply) -> list[AwsReply]:
        """Raises ActionRefused where they cannot be read."""
        by_machine, unreadable = self._machines.schedules([machine])
        if unreadable:
            raise ActionRefused(unreadable)
        return by_machine[str(machine["stateMachineArn"])]

    def _preview_rerun(self, spec: ActionSpec) -> Preview:
        """A redrive where AWS offers it, else a start with the same input, which is read again when it is sent."""
        ref = parse.reference(spec.run)
        if not ref:
            raise NotSupported(
                f"Step Functions can only rerun an execution it has: start {spec.run.job} {spec.run.period_key} instead"
            )
        execution = self._client.execution(ref["arn"], with_data=True)
        running = self._open_executions(ref["machine"])
        return (_redrive if execution.get("redriveStatus") == "REDRIVABLE" else _start)(execution, spec, running)

    def _open_executions(self, machine: str) -> list[AwsReply]:
        return self._client.executions(machine, LISTED_RUNNING, status="RUNNING")[0]

    def _send_rerun(self, plan: Plan, key: str) -> Receipt:
        """Redrives the execution, or starts another with its input. The receipt of a redrive names the attempt that
        polls will report: a redriven execution carries no key of ours."""
        if plan["how"] == "redrive":
            arn, number = str(plan["arn"]), int(plan["redrives"]) + 1
            if int(self._client.execution(arn).get("redriveCount") or 0) >= number:
                raise ActionRefused(f"{arn} was redriven since the preview")
            self._client.redrive(arn, key)
            return Receipt(f"{arn}#{number}", f"redriven, attempt {number + 1}")
        source = str(plan["source"])
        given = _rerun_input(self._client.execution(source, with_data=True))
        if given is None:
            raise ActionRefused(f"{self._client.place}: the input of {source} cannot be read")
        return self._send(plan, key, given)

    def _send(self, plan: Plan, key: str, given: str) -> Receipt:
        """Starts an execution once, our key its name."""
        arn = parse.execution_arn(str(plan["machine"]), key)
        try:
            self._client.start(str(plan["machine"]), key, given)
        except AwsAlreadyExists:
            return Receipt(f"{arn}#0", f"{key} was started before")
        return Receipt(f"{arn}#0", f"started as {key}")

    def _look_up_start(self, plan: Plan, key: str) -> LookUpResult:
        arn = parse.execution_arn(str(plan["machine"]), key)
        try:
            return ActionFound(
                f"{arn}#0", f"execution {arn.rpartition(':')[2]}: {self._client.execution(arn)['status']}"
            )
        except AwsNotFound:
            return ActionAbsent()

    def _look_up_rerun(self, plan: Plan, key: str) -> LookUpResult:
        """A redrive by the count of redrives: a higher one may be another user's, as only CloudTrail shows."""
        if plan["how"] == "start":
            return self._look_up_start(plan, key)
        arn, before = str(plan["arn"]), int(plan["redrives"])
        execution = self._client.execution(arn)
        if int(execution.get("redriveCount") or 0) <= before:
            return ActionAbsent()
        at = instant(execution.get("redriveDate"))
        return ActionUnknown(f"{arn} was redriven at {at}; RedriveExecution in CloudTrail shows the user")

    def _preview_start(self, spec: ActionSpec) -> Preview:
        """The call of a start, with which schedule's input; the input stays in AWS until it is sent."""
        job, machine = spec.run.job, self._machines.named(spec.run.job)
        replies = self._schedules_of(machine)
        arn = str(machine["stateMachineArn"])
        running = self._open_executions(arn) if machine.get("type") != parse.EXPRESS else []
        source = replies[0] if replies else None
        name = schedules.full_name(source) if source else ""
        target = schedules.target_of(source) if source else arn
        given = f"input of schedule {name}" if source and _start_input(source) is not None else f"input {NO_INPUT}"
        if source is None:
            note = "no schedule starts it, so it gets an empty input"
        elif given.endswith(NO_INPUT):
            note = "the schedule has no input of its own: AWS would send its notification, we send an empty one"
        else:
            note = "the schedule keeps its times, and starts it by them as well"
        return Preview(
            verb="start",
            summary=f"start {job} once now, with the {given}",
            scope=f"one execution of {job}{spec.for_period}",
            overlap=overlap(running, job),
            native_calls=(f"states:StartExecution stateMachineArn={target} name=<key> input=<{given}>",),
            notes=(note,),
            refused=_start_refusal(spec, machine, replies),
            plan={
                "how": "begin",
                "machine": target,
                "schedule": [*schedules.place(source)] if source else None,
                "period_at": _period(spec),
            },
        )

    def _send_start(self, plan: Plan, key: str) -> Receipt:
        if plan["schedule"] is None:
            return self._send(plan, key, NO_INPUT)
        group, name = plan["schedule"]
        return self._send(plan, key, _filled(self._client.schedule(group, name), str(plan["period_at"]), key))


class StepFunctionsStopper(RunCanceller):
    plans, source, verb, unit = ("stop",), "Step Functions", "stop", "execution"
    notes = ("a Lambda or a query that its running step began may go on",)

    def __init__(self, client: StepFunctionsClient) -> None:
        self._client = client

    def reference(self, run: RunRef) -> dict[str, Any]:
        ref = parse.reference(run)
        return {"arn": ref["arn"]} if ref else {}

    def read(self, plan: Plan) -> RunNow:
        execution = self._client.execution(str(plan["arn"]))
        native = str(execution["status"])
        return RunNow(str(plan["arn"]), str(execution["name"]), native, parse.STATES.get(native, RunState.UNKNOWN))

    def call(self, plan: Plan) -> str:
        return f"states:StopExecution executionArn={plan['arn']} error={ERROR} cause=<key>"

    def send(self, plan: Plan, key: str) -> None:
        self._client.stop(str(plan["arn"]), ERROR, f"{key} {plan['why']}".strip())

    def look_up(self, plan: Plan, key: str) -> LookUpResult:
        """ABORTED is the requested state, set by us or by another user; any other state is not of our call."""
        arn = str(plan["arn"])
        execution = self._client.execution(arn, with_data=True)
        if execution["status"] != "ABORTED":
            return ActionAbsent()
        by_us = key in str(execution.get("cause") or "")
        return ActionFound(arn, "ABORTED by us" if by_us else "ABORTED; its cause does not name the user")


def _redrive(reply: AwsReply, spec: ActionSpec, running: list[AwsReply]) -> Preview:
    name, count = str(reply["name"]), int(reply.get("redriveCount") or 0)
    return Preview(
        verb="redrive",
        summary=f"redrive execution {name} of {spec.run.job} from its failed step",
        scope=f"the unsuccessful steps of {spec.run.job} {name}",
        affected=(name,),
        overlap=overlap(running, spec.run.job),
        native_calls=(f"states:RedriveExecution executionArn={reply['executionArn']} clientToken=<key>",),
        notes=("keeps the input and the definition that the execution began with", f"redrive number {count + 1}"),
        plan={"how": "redrive", "arn": str(reply["executionArn"]), "redrives": count},
    )


def _start(reply: AwsReply, spec: ActionSpec, running: list[AwsReply]) -> Preview:
    name, machine = str(reply["name"]), str(reply["stateMachineArn"])
    why = str(reply.get("redriveStatusReason") or "").rstrip(".")
    refused = None
    if _rerun_input(reply) is None:
        refused = f"the input of {name} cannot be read (too large, or its key is refused): start it by hand"
    elif parse.STATES.get(str(reply["status"])) == RunState.RUNNING:
        refused = f"{name} of {spec.run.job} is still running: stop it first, or wait for its end"
    return Preview(
        verb="start again",
        summary=f"start {spec.run.job} again from its first step, with the input of {name}",
        scope=f"the whole of {spec.run.job} {name}",
        overlap=overlap(running, spec.run.job),
        native_calls=(f"states:StartExecution stateMachineArn={machine} name=<key> input=<that of {name}>",),
        notes=(
            f"AWS does not redrive it: {why}" if why else "AWS does not offer a redrive for it",
            "runs the definition of now",
        ),
        refused=refused,
        plan={"how": "start", "machine": machine, "source": str(reply["executionArn"])},
    )


def overlap(running: Sequence[AwsReply], job: str) -> str | None:
    """Open executions of this state machine; None without any."""
    if not running:
        return None
    since = instant(running[0].get("startDate"))
    count = f"{LISTED_RUNNING} or more executions" if len(running) >= LISTED_RUNNING else f"{len(running)} execution(s)"
    when = f", the newest since {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
    return f"{count} of {job} running{when}: Step Functions runs them side by side"


def _rerun_input(execution: Mapping[str, Any]) -> str | None:
    details = execution.get("inputDetails") or {}
    given = execution.get("input")
    return str(given) if given is not None and details.get("included", True) else None


ERROR = "Headway.Cancelled"
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
NO_INPUT = "{}"


def _start_input(schedule: Mapping[str, Any]) -> str | None:
    given = (schedule.get("Target") or {}).get("Input")
    return None if given is None else str(given)


def _period(spec: ActionSpec) -> str:
    """The scheduled instant as EventBridge Scheduler writes it; "" where it is not known."""
    given = str(spec.parameters.get("period_at") or "")
    return given if given.endswith("Z") else ""


def _start_refusal(spec: ActionSpec, machine: Mapping[str, Any], replies: Sequence[AwsReply]) -> str | None:
    job = spec.run.job
    if machine.get("type") == parse.EXPRESS:
        return f"{job} is an EXPRESS state machine: AWS keeps no list in which a start could be found again"
    if len({(_start_input(item), schedules.target_of(item)) for item in replies}) > 1:
        names = ", ".join(schedules.full_name(item) for item in replies)
        return f"the schedules of {job} ({names}) start it with different inputs: start it by hand with the right one"
    if replies and SCHEDULED_TIME in (_start_input(replies[0]) or "") and not _period(spec):
        return f"the input of {job} holds the scheduled time, which is unknown here: start it by hand"
    return None


def _filled(schedule: AwsReply, period_at: str, key: str) -> str:
    """The schedule's input with AWS's context attributes, as it would have sent it."""
    given = _start_input(schedule)
    if given is None:
        return NO_INPUT
    if SCHEDULED_TIME in given and not period_at:
        raise ActionRefused("the input holds the scheduled time, which is not known")
    values = {
        SCHEDULED_TIME: period_at,
        "<aws.scheduler.execution-id>": key,
        "<aws.scheduler.attempt-number>": "1",
        "<aws.scheduler.schedule-arn>": str(schedule.get("Arn") or ""),
    }
    for attribute, value in values.items():
        given = given.replace(attribute, value)
    return given
