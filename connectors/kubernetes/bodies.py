"""A Job as it is sent: from a CronJob's template, or as a copy of one that is there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from connectors import fields
from connectors.kubernetes import names, parse

OF_A_JOB = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
"""Labels that the API server puts on a Job's pods: a copy gets its own."""
NOT_COPIED = ("selector", "manualSelector", "suspend")
NOTES_OF_A_JOB = ("kubectl.", "headway/", "batch.kubernetes.io/")


def body_of(source: fields.Row, plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The Job that is sent. Raises RecordUnreadable."""
    meta = parse.meta_of(source)
    namespace, name, is_cron = names.parts(str(plan["job"]))
    if is_cron:
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
    notes = _notes(given, plan, key)
    labels = given.get("labels")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.run_name(name, key),
            "namespace": namespace,
            "annotations": notes,
            "labels": _less(labels) if isinstance(labels, dict) else {},
            **owned,
        },
        "spec": spec,
    }


def _notes(given: fields.Row, plan: Mapping[str, Any], key: str) -> dict[str, str]:
    """The annotations: those of the template or the Job, and ours."""
    is_cron = names.parts(str(plan["job"]))[2]
    return {
        **{name: value for name, value in parse.notes_of(given).items() if not name.startswith(NOTES_OF_A_JOB)},
        names.MANUAL: "manual",
        names.ACTION: key,
        **({names.AGAIN_OF: str(plan["again"])} if plan["again"] else {}),
        **({names.SCHEDULED: str(plan["at"])} if plan["at"] else {}),
        **({} if is_cron else {names.SAME_JOB: str(plan["job"])}),
    }


def _copied(job: fields.Row) -> dict[str, Any]:
    """A Job's spec without what belongs to that Job alone."""
    ours = names.CANCELLED in parse.notes_of(fields.table(job.get("metadata")))
    left = (*NOT_COPIED, "activeDeadlineSeconds") if ours else NOT_COPIED  # the deadline by which we ended it
    spec = {name: value for name, value in fields.table(job.get("spec")).items() if name not in left}
    found = deepcopy(spec)
    template = found.get("template")
    meta = template.get("metadata") if isinstance(template, dict) else None
    if isinstance(meta, dict) and isinstance(meta.get("labels"), dict):
        meta["labels"] = _less(meta["labels"])
    return found


def _less(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in labels.items() if name not in OF_A_JOB}
