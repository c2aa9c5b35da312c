"""HOLD suspends a CronJob under our mark; RELEASE resumes it, or takes away the mark alone.

The mark is an annotation of the CronJob, written and taken away in the request that suspends and resumes it, and only
where the CronJob is still as it was looked at (its resourceVersion goes along).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from connectors import fields
from connectors.contract import (
    STARTED_LATER,
    Absent,
    Ask,
    CannotTell,
    Found,
    LookUp,
    NativeHold,
    NotSupported,
    Preview,
    Receipt,
    RecordUnreadable,
    Verb,
    instant_key,
)
from connectors.holdnotes import KEY_TO_COME, hold_mark, mark_of, not_released
from connectors.kubernetes import inventory, names, parse
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.inventory import is_suspended
from connectors.kubernetes.previews import found, instant, refused
from connectors.sending import refused as stop_if_refused

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
        job = str(plan["job"])
        namespace, name, _ = names.parts(job)
        hold = key if plan["how"] == "hold" else str(plan["hold"])
        for _ in range(TRIES):
            row = found(self._client.cronjob(namespace, name))
            if row is None:
                raise NotSupported(f"Kubernetes: the CronJob {job} is gone; nothing was sent")
            body = _held(job, row, plan, key) if plan["how"] == "hold" else _freed(job, row, plan)
            if body is None:
                return Receipt(_ref(job, key), "was held under this key before")
            reply = self._client.patch_cronjob(namespace, name, body)
            if reply.status != CONFLICT:
                break
        stop_if_refused(reply)
        return Receipt(_ref(job, hold), f"{job} is {'suspended' if plan['how'] == 'hold' else 'as it was'}")

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the annotation and the suspension."""
        job = str(plan["job"])
        namespace, name, _ = names.parts(job)
        row = found(self._client.cronjob(namespace, name))
        if row is None:
            return CannotTell(f"Kubernetes no longer has the CronJob {job}")
        mark, paused = inventory.mark_of(row), is_suspended(row)
        if plan["how"] == "hold":
            held = mark is not None and mark.id == key and paused
            return Found(_ref(job, key), f"{job} is suspended under our mark") if held else Absent()
        if mark is not None and mark.id == plan["hold"]:
            return Absent()
        if plan["how"] == "release" and paused:
            return CannotTell(f"{job} is suspended, and no annotation tells of this hold: somebody else has it")
        return Found(_ref(job, str(plan["hold"])), f"no annotation of {job} tells of this hold")

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Every mark of the target; bare where its CronJob is not suspended. `known` adds nothing: all are seen."""
        holds = []
        for one, _ in inventory.rows_of(self._client.cronjobs):
            try:
                row = fields.table(one)
                meta = parse.meta_of(row)
            except RecordUnreadable:
                continue
            mark = inventory.mark_of(row)
            if mark is not None:
                job = f"{meta['namespace']}/{meta['name']}"
                where = f"annotation {names.HOLD} of the CronJob {job}"
                holds.append(NativeHold(job, mark, where, bare=not is_suspended(row)))
        return tuple(holds)


def _body(row: fields.Row, note: str | None, suspend: bool | None) -> dict[str, Any]:
    version = row["metadata"].get("resourceVersion")
    spec = {} if suspend is None else {"spec": {"suspend": suspend}}
    return {"metadata": {"resourceVersion": version, "annotations": {names.HOLD: note}}, **spec}


def _held(job: str, row: fields.Row, plan: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """What is sent; None where it is held under this key. Raises NotSupported."""
    mark, paused = inventory.mark_of(row), is_suspended(row)
    if paused and mark is not None and mark.id == key:
        return None
    ours = mark_of(plan, key)
    if paused or ours is None:
        raise NotSupported(f"Kubernetes: {job} is suspended by now, and not by this hold; nothing was sent")
    return _body(row, ours.text, True)


def _freed(job: str, row: fields.Row, plan: Mapping[str, Any]) -> dict[str, Any]:
    mark = inventory.mark_of(row)
    if mark is None or mark.id != plan["hold"]:
        raise NotSupported(f"Kubernetes: no annotation of {job} tells of this hold by now; nothing was sent")
    return _body(row, None, False if plan["how"] == "release" else None)


def _hold(job: str, row: fields.Row, ask: Ask) -> Preview:
    until = instant(ask.parameters.get("until"))
    if until is None:
        return refused("hold", "a hold needs an end (until), after which nobody should hold any more")
    mark = inventory.mark_of(row)
    if is_suspended(row):
        ours = f"by Headway for {mark.by} until {instant_key(mark.until)}" if mark else "not by Headway"
        return refused("hold", f"{job} is suspended already, {ours}")
    asked = hold_mark(KEY_TO_COME, str(ask.parameters.get("by") or ""), until)
    shown = {
        "metadata": {"annotations": {names.HOLD: asked.text.replace(KEY_TO_COME, "KEY")}},
        "spec": {"suspend": True},
    }
    return Preview(
        verb="suspend the CronJob",
        words=f"suspend {job} until {instant_key(asked.until)} at the latest, marked in its annotations",
        scope="the schedule of the CronJob",
        native_calls=(f"PATCH {_path(job)} {fields.shown(shown)}",),
        notes=(
            "Jobs that run go on; one made by hand runs all the same",
            "whoever applies the CronJob anew (Helm, Argo CD, kubectl apply) may write suspend: that ends the hold",
        ),
        plan={"how": "hold", "job": job, "by": asked.by, "until": instant_key(asked.until)},
    )


def _release(job: str, row: fields.Row, ask: Ask) -> Preview:
    hold, enables = str(ask.parameters.get("hold") or ""), ask.parameters.get("enable") != "no"
    paused, mark = is_suspended(row), inventory.mark_of(row)
    by_hand = f'kubectl patch cronjob {job.partition("/")[2]} -p \'{{"spec":{{"suspend":false}}}}\''
    why = not_released(job, hold, mark, not paused, by_hand)
    if why is not None:
        return refused("release", why)
    resumes = enables and paused
    shown: dict[str, Any] = {"metadata": {"annotations": {names.HOLD: None}}}
    if enables:
        shown["spec"] = {"suspend": False}
    return Preview(
        verb="resume the CronJob" if resumes else "take the mark away",
        words=f"resume {job} and take our annotation away" if resumes else f"take our annotation from {job}",
        scope="the schedule of the CronJob" if resumes else "the annotations of the CronJob",
        native_calls=(f"PATCH {_path(job)} {fields.shown(shown)}",),
        notes=(STARTED_LATER, CATCHES_UP) if resumes else (),
        plan={"how": "release" if enables else "clear", "job": job, "hold": hold},
    )


def _path(job: str) -> str:
    namespace, name, _ = names.parts(job)
    return f"/apis/batch/v1/namespaces/{namespace}/cronjobs/{name}"


def _ref(job: str, hold: str) -> str:
    return json.dumps({"job": job, "hold": hold})
