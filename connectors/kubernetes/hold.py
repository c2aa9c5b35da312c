"""HOLD suspends a CronJob under our mark; RELEASE resumes it, or takes away the mark alone.

The mark is an annotation of the CronJob, written and taken away in the request that suspends and resumes it, and only
where the CronJob is still as it was looked at (its resourceVersion goes along).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from connectors import fields
from connectors.contract import (
    STARTED_LATER,
    Ask,
    LookUp,
    NativeHold,
    Preview,
    Receipt,
    RecordUnreadable,
    Verb,
    instant_key,
)
from connectors.holdnotes import holds_in
from connectors.kubernetes import inventory, names, parse
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.inventory import is_suspended
from connectors.kubernetes.previews import found
from connectors.marking import (
    NO_END,
    Marking,
    Standing,
    asked_mark,
    hold_plan,
    native_holds,
    release_plan,
    shown,
)
from connectors.previews import refused
from connectors.sending import refused as stop_if_refused

MARKING = Marking("Kubernetes", "suspended", "annotation")
CONFLICT = 409
TRIES = 3
"""A CronJob changes whenever its controller writes its status: then it is looked at again."""
CATCHES_UP = (
    "Kubernetes itself starts the latest run that fell due meanwhile, within seconds, unless its"
    " startingDeadlineSeconds have passed"
)


class Holder:
    """HOLD and RELEASE in one target."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        job, verb = ask.run.job, str(ask.verb)
        namespace, name, is_cron = names.parts(job)
        if not is_cron:
            return refused(verb, f"{job} is a Job by itself: no clock of Kubernetes starts it, so nothing can be held")
        row = found(self._client.cronjob(namespace, name))
        if row is None:
            return refused(verb, f"{namespace} has no CronJob {name}")
        return _hold(job, row, ask) if ask.verb is Verb.HOLD else _release(job, row, ask)

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says."""
        namespace, name, _ = names.parts(str(plan["job"]))
        for _ in range(TRIES):
            row = found(self._client.cronjob(namespace, name))
            if row is None:
                raise MARKING.gone(plan)
            body = _held(row, plan, key) if plan["how"] == "hold" else _freed(row, plan)
            if body is None:
                return MARKING.done(plan, key)
            reply = self._client.patch_cronjob(namespace, name, body)
            if reply.status != CONFLICT:
                break
        stop_if_refused(reply)
        return MARKING.done(plan, key)

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the annotation and the suspension."""
        namespace, name, _ = names.parts(str(plan["job"]))
        row = found(self._client.cronjob(namespace, name))
        return MARKING.look(None if row is None else _standing(row), plan, key)

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Every mark of the target; bare where its CronJob is not suspended. `known` adds nothing: all are seen."""
        holds: list[NativeHold] = []
        for one, _ in inventory.rows_of(self._client.cronjobs):
            try:
                row = fields.table(one)
                meta = parse.meta_of(row)
            except RecordUnreadable:
                continue
            job = f"{meta['namespace']}/{meta['name']}"
            holds += native_holds(job, _standing(row), f"annotation {names.HOLD} of the CronJob {job}")
        return tuple(holds)


def _standing(row: fields.Row) -> Standing:
    meta = row.get("metadata")
    note = parse.notes_of(meta).get(names.HOLD, "") if isinstance(meta, dict) else ""
    return Standing(is_suspended(row), tuple(holds_in(note)))


def _body(row: fields.Row, note: str | None, suspend: bool | None) -> dict[str, Any]:
    version = row["metadata"].get("resourceVersion")
    spec = {} if suspend is None else {"spec": {"suspend": suspend}}
    return {"metadata": {"resourceVersion": version, "annotations": {names.HOLD: note}}, **spec}


def _held(row: fields.Row, plan: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """What is sent; None where it is held under this key. Raises NotSupported."""
    mark = MARKING.to_write(_standing(row), plan, key)
    return None if mark is None else _body(row, mark.text, True)


def _freed(row: fields.Row, plan: Mapping[str, Any]) -> dict[str, Any]:
    MARKING.check_release(_standing(row), plan)
    return _body(row, None, False if plan["how"] == "release" else None)


def _hold(job: str, row: fields.Row, ask: Ask) -> Preview:
    asked, why = asked_mark(ask), MARKING.unfit(job, _standing(row))
    if asked is None or why is not None:
        return refused("hold", why or NO_END)
    body = {"metadata": {"annotations": {names.HOLD: shown(asked)}}, "spec": {"suspend": True}}
    return Preview(
        verb="suspend the CronJob",
        words=f"suspend {job} until {instant_key(asked.until)} at the latest, marked in its annotations",
        scope="the schedule of the CronJob",
        native_calls=(f"PATCH {_path(job)} {fields.shown(body)}",),
        notes=(
            "Jobs that run go on; one made by hand runs all the same",
            "whoever applies the CronJob anew (Helm, Argo CD, kubectl apply) may write suspend: that ends the hold",
        ),
        plan=hold_plan(job, asked),
    )


def _release(job: str, row: fields.Row, ask: Ask) -> Preview:
    plan, now = release_plan(job, ask), _standing(row)
    by_hand = f'kubectl patch cronjob {job.partition("/")[2]} -p \'{{"spec":{{"suspend":false}}}}\''
    why = MARKING.bound(job, now, plan["hold"], by_hand)
    if why is not None:
        return refused("release", why)
    resumes = plan["how"] == "release" and now.is_paused
    body: dict[str, Any] = {"metadata": {"annotations": {names.HOLD: None}}}
    if plan["how"] == "release":
        body["spec"] = {"suspend": False}
    return Preview(
        verb="resume the CronJob" if resumes else "take the mark away",
        words=f"resume {job} and take our annotation away" if resumes else f"take our annotation from {job}",
        scope="the schedule of the CronJob" if resumes else "the annotations of the CronJob",
        native_calls=(f"PATCH {_path(job)} {fields.shown(body)}",),
        notes=(STARTED_LATER, CATCHES_UP) if resumes else (),
        plan=plan,
    )


def _path(job: str) -> str:
    namespace, name, _ = names.parts(job)
    return f"/apis/batch/v1/namespaces/{namespace}/cronjobs/{name}"
