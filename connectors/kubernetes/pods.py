"""What the pods of a Job tell: what they wait for, on which node they ran, with what they exited. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors import fields
from connectors.contract import RecordUnreadable


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a Job as it is now."""

    name: str
    job_uid: str
    phase: str
    """Pending, Running, Succeeded, Failed, Unknown."""
    made: datetime | None
    node: str = ""
    index: str = ""
    """Of an indexed Job: which index it works for."""
    container: str = ""
    """The one whose log tells most: that which failed, else the first."""
    exit_code: int | None = None
    why: str = ""
    """Why it ended: "Error", "OOMKilled", "Evicted"."""
    message: str = ""
    waiting: str = ""
    """What it waits for: "ImagePullBackOff", "Unschedulable"."""
    restarts: int = 0

    @property
    def is_alive(self) -> bool:
        return self.phase not in ("Succeeded", "Failed")


def pods_of(rows: Iterable[Any]) -> dict[str, list[Pod]]:
    """Pods by the uid of their Job, the oldest first; a pod that cannot be read is left out."""
    found: dict[str, list[Pod]] = {}
    for row in rows:
        try:
            pod = _pod(fields.table(row))
        except RecordUnreadable:
            continue
        if pod.job_uid:
            found.setdefault(pod.job_uid, []).append(pod)
    for pods in found.values():
        pods.sort(key=lambda one: (one.made is not None and one.made.timestamp(), one.name))
    return found


def _pod(row: fields.Row) -> Pod:
    meta, status, spec = fields.table(row.get("metadata")), _table(row.get("status")), _table(row.get("spec"))
    told = [
        _table(one) for name in ("initContainerStatuses", "containerStatuses") for one in fields.rows(status.get(name))
    ]
    red = next((one for one in told if _exit(one) not in (0, None)), {})
    ended = red or next((one for one in told if _exit(one) is not None), {})
    waits = next((one for one in told if _waiting(one)), {})
    state = _table(_table(ended.get("state")).get("terminated")) or _table(
        _table(ended.get("lastState")).get("terminated")
    )
    named = [_table(one).get("name") for one in fields.rows(spec.get("containers"))]
    why = fields.words(state, "reason") or fields.words(status, "reason")
    waiting, waiting_words = _waiting(waits), fields.words(_table(_table(waits.get("state")).get("waiting")), "message")
    unschedulable = _unschedulable(status)
    return Pod(
        name=fields.text(meta, "name"),
        job_uid=owner_uid(meta, "Job"),
        phase=fields.words(status, "phase") or "Unknown",
        made=fields.instant(meta, "creationTimestamp"),
        node=fields.words(spec, "nodeName"),
        index=fields.words(_table(meta.get("annotations")), "batch.kubernetes.io/job-completion-index"),
        container=fields.words(red, "name") or next((fields.clean(one) for one in named if isinstance(one, str)), ""),
        exit_code=_exit(ended),
        why=why,
        message=(fields.words(state, "message") or fields.words(status, "message") or waiting_words or unschedulable)[
            :500
        ],
        waiting=waiting or ("Unschedulable" if unschedulable else ""),
        restarts=max((fields.number(one, "restartCount", 0) for one in told), default=0),
    )


def owner_uid(meta: fields.Row, kind: str) -> str:
    """The uid of the owner of that kind; "" without one. Raises RecordUnreadable."""
    for one in fields.rows(meta.get("ownerReferences")):
        if _table(one).get("kind") == kind:
            return fields.words(_table(one), "uid")
    return ""


def _exit(status: fields.Row) -> int | None:
    for name in ("state", "lastState"):
        found = _table(_table(status.get(name)).get("terminated")).get("exitCode")
        if type(found) is int:
            return found
    return None


def _waiting(status: fields.Row) -> str:
    found = fields.words(_table(_table(status.get("state")).get("waiting")), "reason")
    return "" if found in ("ContainerCreating", "PodInitializing") else found


def _unschedulable(status: fields.Row) -> str:
    for one in fields.rows(status.get("conditions")):
        row = _table(one)
        if row.get("type") == "PodScheduled" and row.get("status") == "False":
            return fields.words(row, "message") or "no node takes it"
    return ""


def _table(value: Any) -> fields.Row:
    return value if isinstance(value, dict) else {}
