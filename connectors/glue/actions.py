"""Glue actions: rerun, start, stop: StartJobRun with our key as an argument, BatchStopJobRun.

StartJobRun knows no token, so a key is looked up among the newest runs before it is sent: the same key starts once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from connectors.glue import parse
from connectors.glue.client import RUNS_SIZE, GlueClient
from connectors.sdk.action_router import ActionPart, ActionRouter, Plan, RunPart
from connectors.sdk.aws.values import AwsReply, instant, texts
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import ActionRefused, NotSupported
from connectors.sdk.records import RunRef
from connectors.sdk.run_canceller import RunCanceller, RunNow
from connectors.sdk.settle import sent_at
from connectors.sdk.states import Capability, RunState, Verb

MAX_PAGES = 5
"""Of 200 runs, newest first, in which a key is looked for."""
LISTED_RUNNING = 50
BEFORE_SENT = timedelta(minutes=10)
"""How far Glue's clock and ours may be apart: runs that began earlier than this before the sending are not of it."""
MISSING = {
    Capability.HOLD: "to hold a job, each trigger that starts it would be deactivated and its description rewritten: "
    "two writes, and other jobs of the same trigger would be held as well. Deactivate its triggers by hand",
    Capability.MARK: "Glue cannot set a run's result; Headway records it as asserted",
    Capability.TASKS: "Glue shows no tasks of a run",
}
ARGUMENT_NOTE = f"the script gets one argument more, {parse.KEY_ARGUMENT}: getResolvedOptions passes it over"
FOLLOWERS_NOTE = "a conditional trigger fires only after runs that a trigger started: jobs behind it do not start"


class GlueActions(ActionRouter):
    """Actions on jobs and runs of one region. StartJobRun is repeated only where no run carries our key."""

    _client: GlueClient

    def __init__(self, client: GlueClient, settle_seconds: float) -> None:
        parts: dict[Verb, RunPart] = {
            Verb.RERUN: ActionPart(("rerun",), self._preview_rerun, self._start, self._look_up_start),
            Verb.START: ActionPart(("start",), self._preview_start, self._start, self._look_up_start),
            Verb.CANCEL: GlueStopper(client),
        }
        super().__init__("Glue", client, parts, MISSING, settle_seconds)

    def _preview_rerun(self, spec: ActionSpec) -> Preview:
        job, run_id = parse.place(spec.run)
        if not run_id:
            raise NotSupported(f"Glue can only rerun a run that it has: start {spec.run.job} {spec.run.period_key}")
        run, definition, running = self._client.run(job, run_id), self._client.job(job), self._running(job)
        still_open = f"{run_id} of {job} is still running: stop it first, or wait for its end"
        return Preview(
            verb="start again",
            summary=f"start {job} again with the arguments of {run_id}",
            scope=f"the whole of {job} {parse.period_of(run_id)}",
            affected=(run_id,),
            overlap=_overlap(running, job),
            native_calls=(
                f"glue:StartJobRun JobName={job} JobRunId={run_id} Arguments=<those of it> {parse.KEY_ARGUMENT}=<key>",
            ),
            notes=(
                ARGUMENT_NOTE,
                FOLLOWERS_NOTE,
                "with the script, the workers and the time limit that the job has now",
            ),
            refused=still_open if parse.is_open(run) else _full(definition, running),
            plan={"how": "rerun", "job": job, "run": run_id},
        )

    def _preview_start(self, spec: ActionSpec) -> Preview:
        job = spec.run.job
        definition, running = self._client.job(job), self._running(job)
        scheduled = parse.scheduled(parse.by_job(list(self._client.triggers())).get(job, []))
        name = str(scheduled[0]["Name"]) if scheduled else ""
        given = f"the arguments of trigger {name}" if name else "its own default arguments"
        refused = _full(definition, running)
        if len({tuple(sorted(parse.arguments_for(item, job).items())) for item in scheduled}) > 1:
            names = ", ".join(str(item.get("Name")) for item in scheduled)
            refused = f"the triggers of {job} ({names}) start it with different arguments: start it by hand"
        return Preview(
            verb="start",
            summary=f"start {job} once now, with {given}",
            scope=f"one run of {job}{spec.for_period}",
            overlap=_overlap(running, job),
            native_calls=(f"glue:StartJobRun JobName={job} Arguments=<{given}> {parse.KEY_ARGUMENT}=<key>",),
            notes=(ARGUMENT_NOTE, "its triggers keep their times, and jobs that wait for it by a trigger do not start"),
            refused=refused,
            plan={"how": "start", "job": job, "trigger": name},
        )

    def _start(self, plan: Plan, key: str) -> Receipt:
        job = str(plan["job"])
        earlier = self._look_up_start(plan, key)
        if isinstance(earlier, ActionFound):
            return Receipt(earlier.native_ref, f"{key} was started before")
        arguments = {**self._arguments(plan), parse.KEY_ARGUMENT: key}
        run_id = self._client.start(job, arguments, str(plan["run"]) if plan.get("run") else None)
        return Receipt(run_id, f"started as {run_id}")

    def _arguments(self, plan: Plan) -> Mapping[str, str]:
        """Arguments of the run, or of the trigger, read now."""
        job = str(plan["job"])
        if plan["how"] == "rerun":
            return texts(self._client.run(job, str(plan["run"])).get("Arguments"))
        for trigger in self._client.triggers() if plan["trigger"] else ():
            if trigger.get("Name") == plan["trigger"]:
                return parse.arguments_for(trigger, job)
        if plan["trigger"]:
            raise ActionRefused(f"{self._client.place}: trigger {plan['trigger']} is gone")
        return {}

    def _running(self, job: str) -> list[AwsReply]:
        rows, _ = self._client.runs(job, LISTED_RUNNING)
        return [row for row in rows if parse.is_open(row)]

    def _look_up_start(self, plan: Plan, key: str) -> LookUpResult:
        job, sent, token = str(plan["job"]), sent_at(plan), None
        for _ in range(MAX_PAGES):
            runs, token = self._client.runs(job, RUNS_SIZE, token)
            for run in runs:
                if texts(run.get("Arguments")).get(parse.KEY_ARGUMENT) == key:
                    return ActionFound(str(run.get("Id")), f"run {run.get('Id')}: {run.get('JobRunState')}")
            oldest = min((at for item in runs if (at := instant(item.get("StartedOn")))), default=None)
            if not token or (sent is not None and oldest is not None and oldest < sent - BEFORE_SENT):
                return ActionAbsent()
        return ActionUnknown(f"{key} is not among the newest {MAX_PAGES * RUNS_SIZE} runs of {job}")


class GlueStopper(RunCanceller):
    plans, source, verb = ("stop",), "Glue", "stop"
    notes = ("Glue does not record who stopped it; its output so far stays",)

    def __init__(self, client: GlueClient) -> None:
        self._client = client

    def reference(self, run: RunRef) -> dict[str, Any]:
        job, run_id = parse.place(run)
        return {"job": job, "run": run_id} if run_id else {}

    def read(self, plan: Plan) -> RunNow:
        native = str(self._client.run(str(plan["job"]), str(plan["run"]))["JobRunState"])
        return RunNow(str(plan["run"]), str(plan["run"]), native, parse.STATES.get(native, RunState.UNKNOWN))

    def call(self, plan: Plan) -> str:
        return f"glue:BatchStopJobRun JobName={plan['job']} JobRunIds=[{plan['run']}]"

    def send(self, plan: Plan, key: str) -> None:
        self._client.stop(str(plan["job"]), str(plan["run"]))


def _overlap(running: Sequence[AwsReply], job: str) -> str | None:
    if not running:
        return None
    since = instant(running[0].get("StartedOn"))
    when = f", the newest since {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
    return f"{len(running)} run(s) of {job} open{when}"


def _full(job: Mapping[str, Any], running: Sequence[AwsReply]) -> str | None:
    """Why Glue would refuse one more run now."""
    most = int((job.get("ExecutionProperty") or {}).get("MaxConcurrentRuns") or 1)
    if len(running) < most or job.get("JobRunQueuingEnabled"):
        return None
    return f"{len(running)} run(s) of {job.get('Name')} are open, and it may have {most} at once: wait for their end"
