"""HOLD suspends a CronJob under the hold mark; RELEASE resumes it, or removes only the mark.

The mark is an annotation of the CronJob. It is written and removed in the request that suspends and resumes, and only
if the CronJob is unchanged since it was read (its resourceVersion is sent along).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from connectors.kubernetes import inventory, parse
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.inventory import is_suspended, read_object
from connectors.sdk import fields
from connectors.sdk.contract import STARTED_LATER, HoldMark, NativeHold, Receipt
from connectors.sdk.errors import ActionRefused, NotSupported
from connectors.sdk.marked_pause import MarkedPause, MarkedPauseHolder, PauseState, holds_in, native_holds
from connectors.sdk.send_outcome import raise_if_refused

CONFLICT_STATUS = 409
MAX_TRIES = 3
"""A CronJob changes whenever its controller writes its status: then it is read again."""
CATCH_UP_NOTE = (
    "Kubernetes itself starts the latest run that fell due meanwhile, within seconds, unless its"
    " startingDeadlineSeconds have passed"
)


class _ChangedMeanwhile(NotSupported):
    """The CronJob was written since it was read; nothing was done."""


class KubernetesHolder(MarkedPauseHolder[fields.Row]):
    marking = MarkedPause("Kubernetes", "suspended", "annotation")
    pause, unit = "suspend", "the CronJob"
    hold_notes = (
        "active Jobs continue; one created by hand runs anyway",
        "a new apply of the CronJob (Helm, Argo CD, kubectl apply) may set suspend, which ends the hold",
    )
    release_notes = (STARTED_LATER, CATCH_UP_NOTE)

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    def read(self, job: str) -> fields.Row:
        namespace, name, is_cron = parse.split_job_id(job)
        if not is_cron:
            raise ActionRefused(f"{job} is a Job by itself: no clock of Kubernetes starts it, so nothing can be held")
        if (row := read_object(self._client.cronjob(namespace, name))) is None:
            raise ActionRefused(f"{namespace} has no CronJob {name}")
        return row

    def state(self, row: fields.Row) -> PauseState:
        annotations = parse.object_annotations(fields.subtable(row, "metadata"))
        return PauseState(is_suspended(row), tuple(holds_in(annotations.get(parse.HOLD_ANNOTATION, ""))))

    def by_hand(self, job: str, row: fields.Row) -> str:
        return f'kubectl patch cronjob {job.partition("/")[2]} -p \'{{"spec":{{"suspend":false}}}}\''

    def hold_calls(self, row: fields.Row, plan: Mapping[str, Any], mark: HoldMark) -> tuple[str, ...]:
        return (_call_text(plan, _suspend_body(row, mark.text, True)),)

    def release_calls(self, row: fields.Row, plan: Mapping[str, Any]) -> tuple[str, ...]:
        return (_call_text(plan, _resume_body(row, plan)),)

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        for _ in range(MAX_TRIES - 1):
            with suppress(_ChangedMeanwhile):
                return super().act(plan, key)
        return super().act(plan, key)

    def write_hold(self, row: fields.Row, now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        self._patch(plan, _suspend_body(row, mark.text, True))

    def write_release(self, row: fields.Row, now: PauseState, plan: Mapping[str, Any]) -> None:
        self._patch(plan, _resume_body(row, plan))

    def _patch(self, plan: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        namespace, name, _ = parse.split_job_id(str(plan["job"]))
        reply = self._client.patch_cronjob(namespace, name, body)
        if reply.status == CONFLICT_STATUS:
            raise _ChangedMeanwhile(f"{reply.place} is a refusal: {reply.error}. Nothing was done.")
        raise_if_refused(reply)

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Every mark of the target; bare where its CronJob is not suspended. `known` adds nothing: all are seen."""
        holds: list[NativeHold] = []
        objects = (row for row, _ in inventory.read_objects(self._client.cronjobs))
        for row, meta in fields.readable(objects, lambda row: (row, parse.parse_metadata(fields.table(row)))):
            job = f"{meta['namespace']}/{meta['name']}"
            holds += native_holds(job, self.state(row), f"annotation {parse.HOLD_ANNOTATION} of the CronJob {job}")
        return tuple(holds)


def _suspend_body(row: fields.Row, note: str | None, suspend: bool | None) -> dict[str, Any]:
    version = row["metadata"].get("resourceVersion")
    spec = {} if suspend is None else {"spec": {"suspend": suspend}}
    return {"metadata": {"resourceVersion": version, "annotations": {parse.HOLD_ANNOTATION: note}}, **spec}


def _resume_body(row: fields.Row, plan: Mapping[str, Any]) -> dict[str, Any]:
    return _suspend_body(row, None, False if plan["how"] == "release" else None)


def _call_text(plan: Mapping[str, Any], body: dict[str, Any]) -> str:
    namespace, name, _ = parse.split_job_id(str(plan["job"]))
    return f"PATCH /apis/batch/v1/namespaces/{namespace}/cronjobs/{name} {fields.to_json(body)}"
