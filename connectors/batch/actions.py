"""Batch actions: submit again, submit, terminate.

SubmitJob knows no token: our key begins the new job's name, and is looked up by it before it is sent, so that the same
key submits once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.batch import parse
from connectors.batch.client import CONTAINERS, BatchClient, one_job
from connectors.sdk.action_router import ActionPart, ActionRouter, Plan, RunPart
from connectors.sdk.aws.newest_first import MAX_EMPTY
from connectors.sdk.aws.values import AwsReply
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import RunRef
from connectors.sdk.run_canceller import RunCanceller, RunNow
from connectors.sdk.states import Capability, RunState, Verb

NAME_CHARACTERS = 128  # jobName, "It can be up to 128 letters long"
MISSING = {
    Capability.HOLD: "Batch starts nothing by a clock: hold what submits its jobs (a schedule of EventBridge Scheduler,"
    " a workflow)",
    Capability.MARK: "Batch cannot set a job's result; Headway records it as asserted",
    Capability.TASKS: "children of an array are counted by state, not shown as tasks",
}
REPEATED = ("parameters", "retryStrategy", "timeout", "shareIdentifier")


class BatchActions(ActionRouter):
    """Actions in the queues of one region. SubmitJob is repeated only where no job carries our key."""

    _client: BatchClient

    def __init__(self, client: BatchClient, queues: Callable[[], dict[str, AwsReply]], settle_seconds: float) -> None:
        self._queues = queues
        parts: dict[Verb, RunPart] = {
            Verb.RERUN: ActionPart(("rerun",), self._preview_rerun, self._submit, self._look_up_submit),
            Verb.START: ActionPart(("start",), self._preview_start, self._submit, self._look_up_submit),
            Verb.CANCEL: BatchTerminator(client),
        }
        super().__init__("Batch", client, parts, MISSING, settle_seconds)

    def _preview_rerun(self, spec: ActionSpec) -> Preview:
        job_id, _ = parse.place(spec.run)
        if not job_id:
            raise NotSupported(f"Batch can only submit again what it has: start {spec.run.job} {spec.run.period_key}")
        result = one_job(self._client, job_id)
        queue, name = _short(result.get("jobQueue")), parse.name_of(result)
        definition = str(result.get("jobDefinition"))
        size = (result.get("arrayProperties") or {}).get("size")
        of_all = f", all {size} children" if size else ""
        return Preview(
            verb="submit again",
            summary=f"submit {name} again to queue {queue}, with its command, environment and parameters{of_all}",
            scope=f"the whole of {spec.run.job} {job_id}{of_all}",
            affected=(job_id,),
            overlap=_overlap(self._open(queue, spec.run.job), spec.run.job),
            native_calls=(
                f"batch:SubmitJob jobName=<key>_{name} jobQueue={queue} jobDefinition={_short(definition)} …",
            ),
            notes=("tags are not taken over, and jobs that depend on the failed one do not wait for the new one",),
            refused=_rerun_refusal(result),
            plan={"how": "rerun", "job": job_id, "queue": queue, "definition": definition, "name": name},
        )

    def _preview_start(self, spec: ActionSpec) -> Preview:
        name = spec.run.job
        queues = self._queues()
        if len(queues) == 1:
            queue = next(iter(queues))
        else:  # the queue to which its newest job was submitted
            newest = {item: int(rows[0].get("createdAt") or 0) for item in queues if (rows := self._of(item, name))}
            queue = max(newest, key=lambda item: newest[item], default="")
        is_shut = queue in queues and queues[queue].get("state") == "DISABLED"
        refused = None if queue else f"no job of {name} was submitted recently, so its queue is unknown"
        return Preview(
            verb="submit",
            summary=f"submit {name} once now to queue {queue or '?'}, as it is defined",
            scope=f"one job of {name}{spec.for_period}",
            overlap=_overlap(self._open(queue, name), name) if queue else None,
            native_calls=(f"batch:SubmitJob jobName=<key>_{name} jobQueue={queue} jobDefinition={name}",),
            notes=("with the defaults of its newest revision: parameters that other submitters pass are unknown",),
            refused=f"queue {queue} is disabled: it takes no jobs" if is_shut else refused,
            plan={"how": "start", "queue": queue, "definition": name, "name": name},
        )

    def _of(self, queue: str, name: str) -> list[AwsReply]:
        rows, _ = self._client.listed(queue, "JOB_DEFINITION", name)
        return [row for row in rows if parse.definition_of(row) == name]

    def _open(self, queue: str, name: str) -> list[AwsReply]:
        return [item for item in self._of(queue, name) if parse.state_of(item).is_open]

    def _submit(self, plan: Plan, key: str) -> Receipt:
        earlier = self._look_up_submit(plan, key)
        if isinstance(earlier, ActionFound):
            return Receipt(earlier.native_ref, f"{key} was submitted before")
        arguments = _again(one_job(self._client, str(plan["job"]))) if plan["how"] == "rerun" else {}
        name = f"{key}_{plan['name']}"[:NAME_CHARACTERS]
        job_id = self._client.submit(name, str(plan["queue"]), str(plan["definition"]), **arguments)
        return Receipt(f"{job_id}#1", f"submitted as {name}")

    def _look_up_submit(self, plan: Plan, key: str) -> LookUpResult:
        """The job that carries our key. A page may be empty and yet have a next one."""
        token = None
        for _ in range(MAX_EMPTY):
            rows, token = self._client.listed(str(plan["queue"]), "JOB_NAME", f"{key}*", token=token)
            for item in rows:
                if str(item.get("jobName")).startswith(f"{key}_"):
                    return ActionFound(f"{item.get('jobId')}#1", f"job {item.get('jobId')}: {item.get('status')}")
            if not token:
                return ActionAbsent()
        return ActionUnknown(f"ListJobs by our key does not end: {MAX_EMPTY} pages were read")


class BatchTerminator(RunCanceller):
    plans, source, verb, unit = ("terminate",), "Batch", "terminate", "job"
    notes = ("one that does not run yet is cancelled; an array with all its children",)

    def __init__(self, client: BatchClient) -> None:
        self._client = client

    def reference(self, run: RunRef) -> dict[str, Any]:
        job_id, _ = parse.place(run)
        return {"job": job_id} if job_id else {}

    def read(self, plan: Plan) -> RunNow:
        """The state does not say that it was cancelled: CancelJob leaves a job that runs, and TerminateJob ends it."""
        native = str(one_job(self._client, str(plan["job"])).get("status"))
        return RunNow(str(plan["job"]), str(plan["job"]), native, parse.STATES.get(native, RunState.UNKNOWN))

    def call(self, plan: Plan) -> str:
        return f"batch:TerminateJob jobId={plan['job']} reason=<key>"

    def send(self, plan: Plan, key: str) -> None:
        self._client.terminate(str(plan["job"]), f"{key} {plan['why']}".strip())

    def look_up(self, plan: Plan, key: str) -> LookUpResult:
        job_id = str(plan["job"])
        job = one_job(self._client, job_id)
        if key in str(job.get("statusReason") or ""):
            return ActionFound(job_id, f"{job.get('status')}, by us")
        if job.get("isTerminated") or job.get("isCancelled"):
            return ActionFound(job_id, "terminated; its reason does not say by us")
        return ActionAbsent()


def _short(arn: object) -> str:
    return str(arn or "").rpartition("/")[2]


def _overlap(replies: Sequence[AwsReply], name: str) -> str | None:
    return f"{len(replies)} job(s) of {name} open in the same queue: Batch runs them side by side" if replies else None


def _rerun_refusal(job: Mapping[str, Any]) -> str | None:
    job_id = job.get("jobId")
    if parse.state_of(job).is_open:
        return f"{job_id} is still open ({job.get('status')}): terminate it first, or wait for its end"
    if any(job.get(name) for name in CONTAINERS):
        return f"{job_id} has several containers or nodes, whose overrides cannot be read back: submit it by hand"
    if "index" in (job.get("arrayProperties") or {}):
        return f"{job_id} is a child of an array: submit the array again"
    return None


def _again(job: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of SubmitJob that repeat a job, as far as Batch reports them."""
    container = job.get("container") or {}
    environment = [
        item for item in container.get("environment") or () if not str(item.get("name")).startswith("AWS_BATCH")
    ]
    overrides = {
        "command": container.get("command"),
        "environment": environment,
        "resourceRequirements": container.get("resourceRequirements"),
    }
    size = (job.get("arrayProperties") or {}).get("size")
    reported = {name: job[name] for name in REPEATED if job.get(name)}
    if given := {name: value for name, value in overrides.items() if value}:
        reported["containerOverrides"] = given
    return reported | ({"arrayProperties": {"size": size}} if size else {})
