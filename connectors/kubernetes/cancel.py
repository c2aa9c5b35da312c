"""CANCEL ends a Job by its own deadline: `activeDeadlineSeconds` 0, with our key beside it, in one request.

The controller then ends its pods, and the Job stays with its record; a deleted Job would take that along, and a
suspended one would keep its CronJob from starting another (`concurrencyPolicy: Forbid`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors import fields
from connectors.contract import Absent, Ask, CannotTell, Found, LookUp, NotSupported, Preview, Receipt
from connectors.kubernetes import names, parse
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.previews import found
from connectors.kubernetes.states import true_conditions
from connectors.previews import refused
from connectors.sending import refused as stop_if_refused

VERB = "end a Job by its deadline"


class Canceller:
    """Ends Jobs of one target."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        verb = str(ask.verb)
        namespace, name, uid = names.referred(ask.run)
        if not uid:
            return refused(verb, f"{ask.run.job} {ask.run.period_key} has no Job in Kubernetes")
        row = self._job(namespace, name, uid)
        if row is None:
            return refused(verb, f"the Job {namespace}/{name} is deleted")
        why = _not_running(row)
        if why:
            return refused(verb, f"the Job {namespace}/{name} {why}")
        plan = {"how": "cancel", "ns": namespace, "name": name, "uid": uid}
        return Preview(
            verb=VERB,
            words=f"end the Job {namespace}/{name} and its pods by a deadline that has passed",
            scope="all pods of the Job",
            affected=(name,),
            native_calls=(
                f"PATCH /apis/batch/v1/namespaces/{namespace}/jobs/{name} {fields.shown(body_of(uid, 'KEY'))}",
            ),
            notes=(
                "the Job stays, as Failed: DeadlineExceeded, with our key; alerts of the cluster on failed Jobs see it",
                "its pods are deleted, and their logs with them",
            ),
            plan=plan,
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says."""
        namespace, name, uid = str(plan["ns"]), str(plan["name"]), str(plan["uid"])
        row = self._job(namespace, name, uid)
        if row is None:
            raise NotSupported(f"Kubernetes: the Job {namespace}/{name} is deleted; nothing was sent")
        if parse.notes_of(parse.meta_of(row)).get(names.CANCELLED) == key:
            return Receipt(names.reference(namespace, name, uid), "was ended under this key before")
        why = _not_running(row)
        if why:
            raise NotSupported(f"Kubernetes: the Job {namespace}/{name} {why}; nothing was sent")
        stop_if_refused(self._client.patch_job(namespace, name, body_of(uid, key)))
        return Receipt(names.reference(namespace, name, uid), f"Job {namespace}/{name} gets a deadline that has passed")

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By our key on the Job."""
        namespace, name, uid = str(plan["ns"]), str(plan["name"]), str(plan["uid"])
        row = self._job(namespace, name, uid)
        if row is None:
            return CannotTell(f"the Job {namespace}/{name} is deleted, and our key with it")
        if parse.notes_of(parse.meta_of(row)).get(names.CANCELLED) == key:
            return Found(names.reference(namespace, name, uid), "our key is on the Job")
        return Absent()

    def _job(self, namespace: str, name: str, uid: str) -> fields.Row | None:
        row = found(self._client.job(namespace, name))
        return row if row is not None and row["metadata"]["uid"] == uid else None


def body_of(uid: str, key: str) -> dict[str, Any]:
    """What is sent. The uid is a condition: another Job of the same name is refused."""
    return {"metadata": {"uid": uid, "annotations": {names.CANCELLED: key}}, "spec": {"activeDeadlineSeconds": 0}}


def _not_running(row: fields.Row) -> str:
    """Why there is nothing to end; "" where it runs."""
    status, spec = row.get("status"), row.get("spec")
    held = true_conditions(status) if isinstance(status, dict) else {}
    if "Complete" in held or "Failed" in held:
        return "is over"
    if isinstance(spec, dict) and spec.get("suspend") is True:
        return "is suspended: it has no pods that could be ended"
    return ""
