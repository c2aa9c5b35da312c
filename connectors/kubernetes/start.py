"""START and RERUN: a Job from the CronJob's template, as `kubectl create job --from` does it, its name with our key.

Two Jobs of one name cannot be, so the same key again is answered 409 and makes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from connectors import fields
from connectors.contract import (
    Absent,
    Ask,
    CannotTell,
    Found,
    LookUp,
    NotSupported,
    OutcomeUnknown,
    Preview,
    Receipt,
    Verb,
    instant_key,
)
from connectors.kubernetes import names, parse
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.inventory import is_suspended
from connectors.kubernetes.previews import found, instant, refused, under_way
from connectors.sending import after_once
from connectors.sending import refused as stop_if_refused

EXISTS = 409
OF_A_JOB = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
"""Labels that the API server puts on a Job's pods: a copy gets its own."""
NOT_COPIED = ("selector", "manualSelector", "suspend", "activeDeadlineSeconds")
AS_NOW = "it runs what the template says now, and for now: a pod gets no date unless it reads the annotation of its Job"
HELD = (
    "its CronJob is suspended; a Job made by hand runs all the same, and does not count as the start that falls due"
    " meanwhile: once it is resumed, Kubernetes makes up for that"
)
WHOLE = "all of it runs again: Kubernetes reruns no single pod or index of a Job that is over"


class Starter:
    """Makes Jobs in one target."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        verb = str(ask.verb)
        namespace, name, is_cron = names.parts(ask.run.job)
        _, old_name, uid = names.referred(ask.run)
        is_rerun = ask.verb is Verb.RERUN and bool(uid)
        old = found(self._client.job(namespace, old_name)) if is_rerun else None
        at = instant(ask.parameters.get("period_at")) or instant(ask.run.period_key)
        source = found(self._client.cronjob(namespace, name)) if is_cron else old
        if source is None:
            gone = f"{namespace} has no CronJob {name}" if is_cron else f"the Job of {ask.run.job} is deleted"
            return refused(verb, f"{gone}: nothing is left to make a Job from")
        plan = {
            "how": "create",
            "ns": namespace,
            "name": name,
            "cron": is_cron,
            "job": ask.run.job,
            "source": str(source["metadata"]["uid"]),
            "old": old_name if old is not None else "",
            "again": uid if is_rerun else "",
            "at": instant_key(at) if at is not None else "",
        }
        begin = f"from CronJob {name}" if is_cron else f"as Job {old_name} was"
        label = f" for {at:%Y-%m-%d %H:%MZ}" if at is not None else ""
        held = (HELD,) if is_suspended(source) and is_cron else ()
        return Preview(
            verb="create a Job",
            words=f"create a Job {begin}{label}",
            scope="a whole Job with all of its pods",
            overlap=under_way(self._client, source) if is_cron else _runs(source),
            native_calls=(f"POST /apis/batch/v1/namespaces/{namespace}/jobs {names.run_name(name, 'KEY')} {begin}",),
            notes=(AS_NOW, *((WHOLE,) if is_rerun else ()), *held),
            plan=plan,
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says."""
        namespace, name = str(plan["ns"]), str(plan["name"])
        source = found(
            self._client.cronjob(namespace, name) if plan["cron"] else self._client.job(namespace, str(plan["old"]))
        )
        if source is None or source["metadata"]["uid"] != plan["source"]:
            raise NotSupported(f"Kubernetes: {namespace}/{name} is gone or is another by now; nothing was sent")
        reply = self._client.create_job(namespace, body_of(source, plan, key))
        if reply.status == EXISTS:
            looked = self.look(plan, key)
            if isinstance(looked, Found):
                return Receipt(looked.native_ref, "was made under this key before")
        stop_if_refused(reply)
        meta = after_once(reply).get("metadata")
        uid = meta.get("uid") if isinstance(meta, dict) else None
        if not isinstance(uid, str):
            raise OutcomeUnknown(f"{reply.place} names no Job. It was sent; it is looked up.")
        made = names.run_name(name, key)
        return Receipt(names.reference(namespace, made, uid), f"Job {namespace}/{made}")

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the name and the annotation. A Job that ended may be deleted by its TTL or a history limit."""
        namespace, made = str(plan["ns"]), names.run_name(str(plan["name"]), key)
        row = found(self._client.job(namespace, made))
        if row is None:
            return self._was_there(namespace, made)
        meta = parse.meta_of(row)
        if parse.notes_of(meta).get(names.ACTION) != key:
            return CannotTell(f"the Job {namespace}/{made} is there and bears no key of ours")
        return Found(names.reference(namespace, made, fields.text(meta, "uid")), f"Job {namespace}/{made}")

    def _was_there(self, namespace: str, made: str) -> LookUp:
        """Events outlive a Job for an hour: one that names it proves that it was made."""
        where = f"involvedObject.kind=Job,involvedObject.namespace={namespace},involvedObject.name={made}"
        reply = self._client.events(where)
        rows = fields.rows(reply.table().get("items")) if reply.status == 200 else []
        about = [one.get("involvedObject") for one in rows if isinstance(one, dict)]
        uid = next((str(one.get("uid")) for one in about if isinstance(one, dict) and one.get("name") == made), "")
        return Found(names.reference(namespace, made, uid), "its Job is deleted; events name it") if uid else Absent()


def _runs(job: fields.Row) -> str | None:
    status = job.get("status")
    active = status.get("active") if isinstance(status, dict) else 0
    return f"the Job itself still has {active} active pods" if active else None


def body_of(source: fields.Row, plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The Job that is sent. Raises RecordUnreadable."""
    meta = parse.meta_of(source)
    if plan["cron"]:
        template = fields.table(fields.table(source.get("spec")).get("jobTemplate"))
        given = fields.table(template.get("metadata") or {})
        spec = deepcopy(dict(fields.table(template.get("spec"))))
        owner = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": meta["name"],
            "uid": meta["uid"],
            "controller": True,
        }
        owned: dict[str, Any] = {"ownerReferences": [owner]}
    else:
        given, spec, owned = meta, _copied(source), {}
    notes = {
        **{
            name: value
            for name, value in parse.notes_of(given).items()
            if not name.startswith(("kubectl.", "headway/"))
        },
        names.MANUAL: "manual",
        names.ACTION: key,
        **({names.AGAIN_OF: str(plan["again"])} if plan["again"] else {}),
        **({names.SCHEDULED: str(plan["at"])} if plan["at"] else {}),
        **({} if plan["cron"] else {names.SAME_JOB: str(plan["job"])}),
    }
    labels = given.get("labels")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.run_name(str(plan["name"]), key),
            "namespace": str(plan["ns"]),
            "annotations": notes,
            "labels": _less(labels) if isinstance(labels, dict) else {},
            **owned,
        },
        "spec": spec,
    }


def _copied(job: fields.Row) -> dict[str, Any]:
    """A Job's spec without what belongs to that Job alone."""
    spec = {name: value for name, value in fields.table(job.get("spec")).items() if name not in NOT_COPIED}
    found = deepcopy(spec)
    template = found.get("template")
    meta = template.get("metadata") if isinstance(template, dict) else None
    if isinstance(meta, dict) and isinstance(meta.get("labels"), dict):
        meta["labels"] = _less(meta["labels"])
    return found


def _less(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in labels.items() if name not in OF_A_JOB}
