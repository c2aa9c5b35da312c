"""START, RERUN and CANCEL; HOLD and RELEASE are handled in `hold`.

START and RERUN create a Job from the CronJob's template, as `kubectl create job --from` does, with our key in its
name. Two Jobs cannot have one name: the same key again gets 409 and creates nothing. One query is enough: the API
server reads its store.

CANCEL sets `activeDeadlineSeconds` to 0, with our key beside it, in one request. The controller then ends the pods,
and the Job stays with its record; deleting it would lose that, and suspending it would keep its CronJob from starting
another (`concurrencyPolicy: Forbid`).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.kubernetes import parse
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.inventory import active_jobs_note, is_suspended, read_object
from connectors.kubernetes.parse import true_conditions
from connectors.sdk import fields
from connectors.sdk.action_router import period_of
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import ActionRefused, OutcomeUnknown
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.run_canceller import RunCanceller, RunNow
from connectors.sdk.send_outcome import raise_if_refused, sent_response
from connectors.sdk.settle import sent_at
from connectors.sdk.states import Capability, RunState, Verb

MISSING = {
    Capability.MARK: "Kubernetes cannot set a Job's result; Headway records it as asserted",
    Capability.TASKS: "pods and indexes of a Job are not jobs: the context of its run lists them",
    Capability.NATIVE_DEPENDENCIES: "Kubernetes starts no Job after another: declare the dependency",
    Capability.PERIODS: "a pod gets no date: whenever it runs, it runs for now",
}


EXISTS_STATUS = 409
EVENT_LIFETIME = timedelta(minutes=55)
"""kube-apiserver keeps events for an hour (--event-ttl)."""
CURRENT_TEMPLATE_NOTE = "it runs the present template, without a date unless the pod reads the annotation of its Job"
SUSPENDED_NOTE = (
    "its CronJob is suspended; a Job created by hand runs anyway and does not replace the start that falls due"
    " meanwhile: once it is resumed, Kubernetes makes up for it"
)
WHOLE_RERUN_NOTE = "all of it runs again: Kubernetes reruns no single pod or index of a Job that has ended"


class KubernetesStarter:
    plans = ("create",)

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    def preview(self, spec: ActionSpec) -> Preview:
        namespace, name, is_cron = parse.split_job_id(spec.run.job)
        _, old, uid = parse.parse_reference(spec.run)
        is_rerun = spec.verb is Verb.RERUN and bool(uid)
        source = self._source(spec.run.job, name if is_cron else old)
        at = period_of(spec)
        begin = f"from CronJob {name}" if is_cron else f"as Job {old} was"
        label = f" for {at:%Y-%m-%d %H:%MZ}" if at is not None else ""
        held = (SUSPENDED_NOTE,) if is_suspended(source) and is_cron else ()
        active = fields.subtable(source, "status").get("active")
        active_pods = f"the Job itself still has {active} active pods" if active else None
        return Preview(
            verb="create a Job",
            summary=f"create a Job {begin}{label}",
            scope="a whole Job with all of its pods",
            overlap=active_jobs_note(source) if is_cron else active_pods,
            native_calls=(
                f"POST /apis/batch/v1/namespaces/{namespace}/jobs {parse.new_job_name(name, 'KEY')} {begin}",
            ),
            notes=(CURRENT_TEMPLATE_NOTE, *((WHOLE_RERUN_NOTE,) if is_rerun else ()), *held),
            plan={
                "how": "create",
                "job": spec.run.job,
                "from": name if is_cron else old,
                "source": str(source["metadata"]["uid"]),
                "again": uid if is_rerun else "",
                "at": instant_key(at) if at is not None else "",
            },
        )

    def _source(self, job: str, name: str) -> fields.Row:
        """The CronJob whose template is used, or the Job of this name, which is copied. Raises ActionRefused where no
        Job can be created from it."""
        namespace, _, is_cron = parse.split_job_id(job)
        call = self._client.cronjob if is_cron else self._client.job
        source = read_object(call(namespace, name)) if name else None
        if source is None:
            reason = f"{namespace} has no CronJob {name}" if is_cron else f"the Job of {job} is deleted"
            raise ActionRefused(f"{reason}: nothing is left to make a Job from")
        kind, owner = ("", "") if is_cron else parse.owner_kind_and_name(source["metadata"])
        if kind:
            raise ActionRefused(f"the Job belongs to {kind} {owner}: that has to start it")
        return source

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        namespace, name, _ = parse.split_job_id(str(plan["job"]))
        source = self._source(str(plan["job"]), str(plan["from"]))
        if source["metadata"]["uid"] != plan["source"]:
            raise ActionRefused(f"Kubernetes: {namespace}/{name} was deleted or replaced")
        reply = self._client.create_job(namespace, job_body(source, plan, key))
        if reply.status == EXISTS_STATUS:
            existing = self.look_up(plan, key)
            if isinstance(existing, ActionFound):
                return Receipt(existing.native_ref, "was made under this key before")
        raise_if_refused(reply)
        uid = fields.subtable(sent_response(reply), "metadata").get("uid")
        if not isinstance(uid, str):
            raise OutcomeUnknown(f"{reply.place} names no Job. It was sent; it is looked up.")
        made = parse.new_job_name(name, key)
        return Receipt(parse.run_ref(namespace, made, uid), f"Job {namespace}/{made}")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """By the name and the annotation. A Job that ended may be deleted by its TTL or a history limit."""
        namespace, name, _ = parse.split_job_id(str(plan["job"]))
        made = parse.new_job_name(name, key)
        row = read_object(self._client.job(namespace, made))
        if row is None:
            return self._find_in_events(namespace, made, plan)
        meta = parse.parse_metadata(row)
        if parse.object_annotations(meta).get(parse.ACTION_ANNOTATION) != key:
            return ActionUnknown(f"the Job {namespace}/{made} exists and does not carry our key")
        return ActionFound(parse.run_ref(namespace, made, fields.text(meta, "uid")), f"Job {namespace}/{made}")

    def _find_in_events(self, namespace: str, made: str, plan: Mapping[str, Any]) -> LookUpResult:
        """Events outlive a Job by an hour: an event proves that it was created, and within the hour its absence proves
        the opposite."""
        where = f"involvedObject.kind=Job,involvedObject.namespace={namespace},involvedObject.name={made}"
        reply = self._client.events(where)
        if reply.status != 200:
            return ActionUnknown(f"no Job {made} exists, and events, which would show a deleted one, cannot be read")
        events = fields.tables(reply.rows("items"))
        about = (fields.subtable(event, "involvedObject") for event in events)
        uid = next((str(subject.get("uid")) for subject in about if subject.get("name") == made), "")
        if uid:
            return ActionFound(parse.run_ref(namespace, made, uid), "its Job is deleted; events name it")
        sent = sent_at(plan)
        if sent is not None and datetime.now(UTC) - sent > EVENT_LIFETIME:
            return ActionUnknown(f"no Job {made} is there; its events, kept for an hour, have expired")
        return ActionAbsent()


JOB_LABELS = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
"""Labels that the API server puts on a Job's pods: a copy gets its own."""
JOB_ANNOTATION_PREFIXES = ("kubectl.", "headway/", "batch.kubernetes.io/")


def job_body(source: fields.Row, plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The Job that is sent. Raises RecordUnreadable."""
    meta = parse.parse_metadata(source)
    namespace, name, is_cron = parse.split_job_id(str(plan["job"]))
    if is_cron:
        template = fields.table(fields.table(source.get("spec")).get("jobTemplate"))
        metadata = fields.table(template.get("metadata") or {})
        spec = deepcopy(dict(fields.table(template.get("spec"))))
        owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": meta["name"], "uid": meta["uid"]}
        owned: dict[str, Any] = {"ownerReferences": [{**owner, "controller": True}]}
    else:
        metadata, spec, owned = meta, _copied_spec(source), {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": parse.new_job_name(name, key),
            "namespace": namespace,
            "annotations": _job_annotations(metadata, plan, key),
            "labels": _without_job_labels(metadata.get("labels")),
            **owned,
        },
        "spec": spec,
    }


def _job_annotations(metadata: fields.Row, plan: Mapping[str, Any], key: str) -> dict[str, str]:
    is_cron = parse.split_job_id(str(plan["job"]))[2]
    annotations = parse.object_annotations(metadata)
    return {
        **{name: value for name, value in annotations.items() if not name.startswith(JOB_ANNOTATION_PREFIXES)},
        parse.MANUAL_ANNOTATION: "manual",
        parse.ACTION_ANNOTATION: key,
        **({parse.RERUN_OF_ANNOTATION: str(plan["again"])} if plan["again"] else {}),
        **({parse.SCHEDULED_ANNOTATION: str(plan["at"])} if plan["at"] else {}),
        **({} if is_cron else {parse.JOB_ANNOTATION: str(plan["job"])}),
    }


def _copied_spec(job: fields.Row) -> dict[str, Any]:
    """A Job's spec without what belongs to that Job alone."""
    dropped = {"selector", "manualSelector", "suspend"}
    if parse.CANCELLED_ANNOTATION in parse.object_annotations(fields.table(job.get("metadata"))):
        dropped.add("activeDeadlineSeconds")  # our cancel
    spec = {name: deepcopy(value) for name, value in fields.table(job.get("spec")).items() if name not in dropped}
    meta = fields.subtable(spec, "template").get("metadata")
    if isinstance(meta, dict) and isinstance(meta.get("labels"), dict):
        meta["labels"] = _without_job_labels(meta["labels"])
    return spec


def _without_job_labels(labels: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.subtable(labels).items() if name not in JOB_LABELS}


class KubernetesCanceller(RunCanceller):
    source, verb, unit = "Kubernetes", "end", "Job"
    notes = (
        "by a deadline that has passed: the Job stays, as Failed: DeadlineExceeded, with our key",
        "alerts of the cluster on failed Jobs see it",
        "its pods are deleted, and their logs with them",
    )

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    def reference(self, run: RunRef) -> dict[str, Any]:
        namespace, name, uid = parse.parse_reference(run)
        return {"ns": namespace, "name": name, "uid": uid} if uid else {}

    def read(self, plan: Mapping[str, Any]) -> RunNow:
        row, name = self._job(plan), f"{plan['ns']}/{plan['name']}"
        ended = next(iter({"Complete", "Failed"} & {*true_conditions(fields.subtable(row, "status"))}), "")
        if not ended and is_suspended(row):
            raise ActionRefused(f"the Job {name} is suspended: it has no pods that could be ended")
        return RunNow(_run_ref(plan), name, ended or "active", RunState.UNKNOWN if ended else RunState.RUNNING)

    def call(self, plan: Mapping[str, Any]) -> str:
        body = fields.to_json(cancel_body(str(plan["uid"]), "KEY"))
        return f"PATCH /apis/batch/v1/namespaces/{plan['ns']}/jobs/{plan['name']} {body}"

    def send(self, plan: Mapping[str, Any], key: str) -> None:
        body = cancel_body(str(plan["uid"]), key)
        raise_if_refused(self._client.patch_job(str(plan["ns"]), str(plan["name"]), body))

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        annotations = parse.object_annotations(parse.parse_metadata(self._job(plan)))
        is_ours = annotations.get(parse.CANCELLED_ANNOTATION) == key
        return ActionFound(_run_ref(plan), "our key is on the Job") if is_ours else ActionAbsent()

    def _job(self, plan: Mapping[str, Any]) -> fields.Row:
        """Raises ActionRefused where it is gone."""
        row = read_object(self._client.job(str(plan["ns"]), str(plan["name"])))
        if row is None or row["metadata"]["uid"] != plan["uid"]:
            raise ActionRefused(f"the Job {plan['ns']}/{plan['name']} is deleted")
        return row


def _run_ref(plan: Mapping[str, Any]) -> str:
    return parse.run_ref(str(plan["ns"]), str(plan["name"]), str(plan["uid"]))


def cancel_body(uid: str, key: str) -> dict[str, Any]:
    """Body of the request. The uid is a condition: another Job of the same name is refused."""
    return {
        "metadata": {"uid": uid, "annotations": {parse.CANCELLED_ANNOTATION: key}},
        "spec": {"activeDeadlineSeconds": 0},
    }
