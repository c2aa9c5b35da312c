"""START and RERUN: a Job from the CronJob's template, as `kubectl create job --from` does it, its name with our key.

Two Jobs of one name cannot be, so the same key again is answered 409 and makes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import fields
from connectors.arrival import sent_at
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
from connectors.kubernetes.bodies import body_of
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.inventory import is_suspended
from connectors.kubernetes.previews import found, under_way
from connectors.previews import instant, refused
from connectors.sending import after_once
from connectors.sending import refused as stop_if_refused

EXISTS = 409
EVENTS_LIVE = timedelta(minutes=55)
"""kube-apiserver keeps events for an hour (--event-ttl)."""
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
        namespace, name, is_cron = names.parts(ask.run.job)
        _, old, uid = names.referred(ask.run)
        is_rerun = ask.verb is Verb.RERUN and bool(uid)
        source = self._source(namespace, name if is_cron else old, is_cron)
        why = _no_source(source, ask.run.job)
        if source is None or why:
            return refused(str(ask.verb), why)
        at = instant(ask.parameters.get("period_at")) or instant(ask.run.period_key)
        begin = f"from CronJob {name}" if is_cron else f"as Job {old} was"
        label = f" for {at:%Y-%m-%d %H:%MZ}" if at is not None else ""
        held = (HELD,) if is_suspended(source) and is_cron else ()
        return Preview(
            verb="create a Job",
            words=f"create a Job {begin}{label}",
            scope="a whole Job with all of its pods",
            overlap=under_way(source) if is_cron else _runs(source),
            native_calls=(f"POST /apis/batch/v1/namespaces/{namespace}/jobs {names.run_name(name, 'KEY')} {begin}",),
            notes=(AS_NOW, *((WHOLE,) if is_rerun else ()), *held),
            plan={
                "how": "create",
                "job": ask.run.job,
                "from": name if is_cron else old,
                "source": str(source["metadata"]["uid"]),
                "again": uid if is_rerun else "",
                "at": instant_key(at) if at is not None else "",
            },
        )

    def _source(self, namespace: str, name: str, is_cron: bool) -> fields.Row | None:
        """The CronJob whose template is taken, or the Job that is copied."""
        if not name:
            return None
        return found(self._client.cronjob(namespace, name) if is_cron else self._client.job(namespace, name))

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says."""
        namespace, name, is_cron = names.parts(str(plan["job"]))
        source = self._source(namespace, str(plan["from"]), is_cron)
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
        namespace, name, _ = names.parts(str(plan["job"]))
        made = names.run_name(name, key)
        row = found(self._client.job(namespace, made))
        if row is None:
            return self._was_there(namespace, made, plan)
        meta = parse.meta_of(row)
        if parse.notes_of(meta).get(names.ACTION) != key:
            return CannotTell(f"the Job {namespace}/{made} is there and bears no key of ours")
        return Found(names.reference(namespace, made, fields.text(meta, "uid")), f"Job {namespace}/{made}")

    def _was_there(self, namespace: str, made: str, plan: Mapping[str, Any]) -> LookUp:
        """Events outlive a Job for an hour: one that names it proves that it was made, and for so long none proves that
        it was not."""
        where = f"involvedObject.kind=Job,involvedObject.namespace={namespace},involvedObject.name={made}"
        reply = self._client.events(where)
        if reply.status != 200:
            return CannotTell(f"no Job {made} is there, and events, which would tell of a deleted one, cannot be read")
        rows = fields.rows(reply.table().get("items"))
        about = [one.get("involvedObject") for one in rows if isinstance(one, dict)]
        uid = next((str(one.get("uid")) for one in about if isinstance(one, dict) and one.get("name") == made), "")
        if uid:
            return Found(names.reference(namespace, made, uid), "its Job is deleted; events name it")
        sent = sent_at(plan)
        if sent is not None and datetime.now(UTC) - sent > EVENTS_LIVE:
            return CannotTell(f"no Job {made} is there; what events told of it an hour ago is forgotten")
        return Absent()


def _runs(job: fields.Row) -> str | None:
    status = job.get("status")
    active = status.get("active") if isinstance(status, dict) else 0
    return f"the Job itself still has {active} active pods" if active else None


def _no_source(source: fields.Row | None, job: str) -> str:
    """Why no Job can be made of it; "" where one can."""
    namespace, name, is_cron = names.parts(job)
    if source is None:
        gone = f"{namespace} has no CronJob {name}" if is_cron else f"the Job of {job} is deleted"
        return f"{gone}: nothing is left to make a Job from"
    kind, owner = ("", "") if is_cron else parse.owner_of(source["metadata"])
    return f"the Job belongs to {kind} {owner}: that has to start it" if kind else ""
