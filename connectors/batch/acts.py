"""Submitting again, submitting, terminating. SubmitJob knows no token: our key begins the new job's name, and is looked
for by it before it is sent, so that the same key submits once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.arrival import unless_on_its_way
from connectors.aws.newest import MOST_EMPTY
from connectors.aws.values import Reply
from connectors.batch import parse
from connectors.batch.client import BatchClient
from connectors.batch.log import CONTAINERS, one_job
from connectors.contract import (
    ACTION_KEY,
    Absent,
    Ask,
    CannotTell,
    Capability,
    Found,
    LookUp,
    NotSupported,
    Preview,
    Receipt,
    Verb,
)
from connectors.planned import settled

SETTLE_SECONDS = 1.0
"""After it, what is not listed is asked for once more."""
NAME_CHARACTERS = 128  # jobName, "It can be up to 128 letters long"
WHY_CHARACTERS = 500
NO_MARK = "Batch keeps no state of a job that could be set; Headway asserts it itself"
NO_HOLD = (
    "Batch starts nothing by a clock: hold what submits its jobs (a schedule of EventBridge Scheduler, a workflow)"
)
KEPT = ("parameters", "retryStrategy", "timeout", "shareIdentifier")


class Acts:
    """What is done in the queues of one region."""

    def __init__(
        self, client: BatchClient, queues: Callable[[], list[Reply]], settle_seconds: float = SETTLE_SECONDS
    ) -> None:
        self._client, self._queues, self._settle_seconds = client, queues, settle_seconds

    def preview(self, ask: Ask) -> Preview:
        """What would be called; command and environment stay in Batch until they are sent."""
        if ask.verb == Verb.RERUN:
            return self._rerun(ask)
        if ask.verb == Verb.START:
            return self._start(ask)
        if ask.verb == Verb.CANCEL:
            return self._terminate(ask)
        raise NotSupported(f"Batch cannot {ask.verb}: {NO_HOLD if ask.verb.needs == Capability.HOLD else NO_MARK}")

    def act(self, preview: Preview, key: str) -> Receipt:
        """Submits under our key, or terminates. Raises NotSupported where nothing was done."""
        if not ACTION_KEY.fullmatch(key):
            raise NotSupported(f'"{key}" is no action key')
        plan = preview.plan
        if plan["way"] == "terminate":
            return self._send_terminate(plan, key)
        there = self._under(plan, key)
        if isinstance(there, Found):
            return Receipt(there.native_ref, f"{key} was submitted before")
        more = _again(one_job(self._client, str(plan["job"]))) if plan["way"] == "rerun" else {}
        name = f"{key}_{plan['name']}"[:NAME_CHARACTERS]
        job_id = self._client.submit(name, str(plan["queue"]), str(plan["definition"]), **more)
        return Receipt(f"{job_id}#1", f"submitted as {name}")

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """A job by its name, which begins with our key; an end by its reason."""
        plan = preview.plan
        try:
            if plan["way"] == "terminate":
                answer = self._ended(plan, key)
            else:
                answer = settled(lambda: self._under(plan, key), self._client, self._settle_seconds)
        except NotSupported as error:
            return CannotTell(str(error))
        return unless_on_its_way(answer, preview)

    # submit

    def _rerun(self, ask: Ask) -> Preview:
        job_id, _ = parse.place(ask.run)
        if not job_id:
            raise NotSupported(f"Batch can only submit again what it has: start {ask.run.job} {ask.run.period_key}")
        found = one_job(self._client, job_id)
        queue, name = _short(found.get("jobQueue")), parse.name_of(found)
        definition = str(found.get("jobDefinition"))
        size = (found.get("arrayProperties") or {}).get("size")
        of_all = f", all {size} children" if size else ""
        return Preview(
            verb="submit again",
            words=f"submit {name} again to queue {queue}, with its command, environment and parameters{of_all}",
            scope=f"the whole of {ask.run.job} {job_id}{of_all}",
            affected=(job_id,),
            overlap=_overlap(self._open(queue, ask.run.job), ask.run.job),
            native_calls=(
                f"batch:SubmitJob jobName=<key>_{name} jobQueue={queue} jobDefinition={_short(definition)} …",
            ),
            notes=("tags are not taken over, and jobs that depend on the failed one do not wait for the new one",),
            refused=_not_again(found),
            plan={"way": "rerun", "job": job_id, "queue": queue, "definition": definition, "name": name},
        )

    def _start(self, ask: Ask) -> Preview:
        name = ask.run.job
        queues = self._queues()
        queue = self._queue_of(name, queues)
        is_shut = any(one["jobQueueName"] == queue and one.get("state") == "DISABLED" for one in queues)
        refused = None if queue else f"no job of {name} was submitted lately: which queue is meant is not known"
        return Preview(
            verb="submit",
            words=f"submit {name} once now to queue {queue or '?'}, as it is defined",
            scope=f"one job of {name}{f', for {ask.run.period_key}' * bool(ask.run.period_key)}",
            overlap=_overlap(self._open(queue, name), name) if queue else None,
            native_calls=(f"batch:SubmitJob jobName=<key>_{name} jobQueue={queue} jobDefinition={name}",),
            notes=("with the defaults of its newest revision: parameters of whoever else submits it are not known",),
            refused=f"queue {queue} is disabled: it takes no jobs" if is_shut else refused,
            plan={"way": "start", "queue": queue, "definition": name, "name": name},
        )

    def _queue_of(self, name: str, queues: Sequence[Reply]) -> str:
        """The queue to which its newest job was submitted, or the only one; "" where that is not known."""
        names = [str(one["jobQueueName"]) for one in queues]
        if len(names) == 1:
            return names[0]
        newest: dict[str, int] = {}
        for queue in names:
            for one in self._of(queue, name)[:1]:
                newest[queue] = int(one.get("createdAt") or 0)
        return max(newest, key=lambda queue: newest[queue], default="")

    def _of(self, queue: str, name: str) -> list[Reply]:
        """The newest jobs of a definition in a queue."""
        rows = self._client.listed(queue, "JOB_DEFINITION", name)["jobSummaryList"]
        return [one for one in rows if parse.definition_of(one) == name]

    def _open(self, queue: str, name: str) -> list[Reply]:
        return [one for one in self._of(queue, name) if parse.state_of(one).is_open]

    def _under(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """The job that carries our key. A page may be empty and yet have a next one."""
        token = None
        for _ in range(MOST_EMPTY):
            page = self._client.listed(str(plan["queue"]), "JOB_NAME", f"{key}*", token=token)
            for one in page["jobSummaryList"]:
                if str(one.get("jobName")).startswith(f"{key}_"):
                    return Found(f"{one.get('jobId')}#1", f"job {one.get('jobId')}: {one.get('status')}")
            token = page.get("nextToken")
            if not token:
                return Absent()
        return CannotTell(f"ListJobs by our key does not end: {MOST_EMPTY} pages were read")

    # terminate

    def _terminate(self, ask: Ask) -> Preview:
        job_id, _ = parse.place(ask.run)
        if not job_id:
            raise NotSupported(f"Batch can only end a job that it has: {ask.run.job} {ask.run.period_key}")
        found = one_job(self._client, job_id)
        return Preview(
            verb="terminate",
            words=f"terminate job {job_id} of {ask.run.job}",
            scope=f"job {job_id} of {ask.run.job}",
            affected=(job_id,),
            native_calls=(f"batch:TerminateJob jobId={job_id} reason=<key>",),
            notes=("one that does not run yet is cancelled; an array with all its children",),
            refused=None
            if parse.state_of(found).is_open
            else f"{job_id} of {ask.run.job} has ended: {found.get('status')}",
            plan={"way": "terminate", "job": job_id, "why": str(ask.parameters.get("why") or "")[:WHY_CHARACTERS]},
        )

    def _send_terminate(self, plan: Mapping[str, Any], key: str) -> Receipt:
        job_id = str(plan["job"])
        found = one_job(self._client, job_id)
        if not parse.state_of(found).is_open:
            words = f"{self._client.place}: {job_id} has ended: {found.get('status')}; nothing was terminated"
            raise NotSupported(words)
        self._client.terminate(job_id, f"{key} {plan['why']}".strip())
        return Receipt(job_id, "it is being terminated")

    def _ended(self, plan: Mapping[str, Any], key: str) -> LookUp:
        job_id = str(plan["job"])
        found = one_job(self._client, job_id)
        if key in str(found.get("statusReason") or ""):
            return Found(job_id, f"{found.get('status')}, by us")
        if found.get("isTerminated") or found.get("isCancelled"):
            return Found(job_id, "terminated; its reason does not say by us")
        return Absent()


def _short(arn: object) -> str:
    return str(arn or "").rpartition("/")[2]


def _overlap(found: Sequence[Reply], name: str) -> str | None:
    return f"{len(found)} job(s) of {name} open in the same queue: Batch runs them side by side" if found else None


def _not_again(found: Mapping[str, Any]) -> str | None:
    job_id = found.get("jobId")
    if parse.state_of(found).is_open:
        return f"{job_id} is still open ({found.get('status')}): terminate it first, or wait for its end"
    if any(found.get(name) for name in CONTAINERS):
        return f"{job_id} has several containers or nodes, whose overrides cannot be read back: submit it by hand"
    if "index" in (found.get("arrayProperties") or {}):
        return f"{job_id} is a child of an array: submit the array again"
    return None


def _again(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a job was submitted with, as far as Batch tells it, as SubmitJob takes it."""
    container = found.get("container") or {}
    environment = [
        one for one in container.get("environment") or () if not str(one.get("name")).startswith("AWS_BATCH")
    ]
    overrides = {
        "command": container.get("command"),
        "environment": environment,
        "resourceRequirements": container.get("resourceRequirements"),
    }
    size = (found.get("arrayProperties") or {}).get("size")
    told = {name: found[name] for name in KEPT if found.get(name)}
    if given := {name: value for name, value in overrides.items() if value}:
        told["containerOverrides"] = given
    return told | ({"arrayProperties": {"size": size}} if size else {})
