"""HOLD pauses a deployment's schedules under our mark; RELEASE resumes them, or takes away the mark alone.

The mark is a line in the deployment's description. Mark and pause go in one request and one transaction, so there is
none without the other; it has no condition, so what a person did is looked at right before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connectors import fields
from connectors.contract import (
    STARTED_LATER,
    Absent,
    Ask,
    CannotTell,
    Found,
    HoldMark,
    LookUp,
    NativeHold,
    NotSupported,
    Preview,
    Receipt,
    RecordUnreadable,
    SystemUnreachable,
    Verb,
)
from connectors.holdnotes import hold_mark, holds_in, with_hold, without_hold
from connectors.prefect.client import PAGE_LIMIT, PrefectClient, rows_of
from connectors.prefect.names import Names
from connectors.prefect.previews import deployment_of, instant, no_deployment, refused, told
from connectors.sending import refused as stop_if_refused

MOST_PAGES = 250
WIDEST = "headway-" + "0" * 40


class Holder:
    """HOLD and RELEASE. One per Prefect."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        job, verb = ask.run.job, str(ask.verb)
        row = deployment_of(self._client, job)
        if row is None:
            return refused(verb, no_deployment(job, verb))
        if ask.verb is Verb.HOLD:
            return _hold(job, row, ask)
        return _release(job, row, str(ask.parameters.get("hold") or ""), ask.parameters.get("enable") != "no")

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says."""
        job, how = str(plan["job"]), plan["how"]
        row = deployment_of(self._client, job)
        if row is None:
            raise NotSupported(f"Prefect: {job} is gone; nothing was sent")
        note, paused = fields.words(row, "description"), row["paused"] is True
        hold = key if how == "hold" else str(plan["hold"])
        there = _mark_of(row, hold) is not None
        if how == "hold":
            if paused and there:
                return Receipt(_ref(job, key), "was held under this key before")
            until = instant(plan["until"])
            if paused or until is None:
                raise NotSupported(f"Prefect: {job} is paused by now, and not by this hold; nothing was sent")
            body = {"paused": True, "description": with_hold(note, hold_mark(key, str(plan["by"]), until))}
        elif not there:
            raise NotSupported(f"Prefect: the description of {job} tells of no such hold by now; nothing was sent")
        else:
            resumed = {"paused": False} if how == "release" else {}
            body = {**resumed, "description": without_hold(note, hold) or None}
        stop_if_refused(self._client.change_deployment(str(row["id"]), body))
        return Receipt(_ref(job, hold), f"{job} is {'paused' if how == 'hold' else 'as it was'}")

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the mark in the description, and the pause."""
        job, how = str(plan.get("job")), plan.get("how")
        row = deployment_of(self._client, job)
        if row is None:
            return CannotTell(f"Prefect no longer has the deployment {job}")
        hold = key if how == "hold" else str(plan.get("hold"))
        there, paused = _mark_of(row, hold) is not None, row["paused"] is True
        if how == "hold":
            return Found(_ref(job, hold), f"{job} is paused under our mark") if there and paused else Absent()
        if there:
            return Absent()
        if how == "release" and paused:
            return CannotTell(f"{job} is paused, and its description tells of no such hold: somebody else has it")
        return Found(_ref(job, hold), f"the description of {job} tells of no such hold")


def all_holds(client: PrefectClient, names: Names) -> tuple[NativeHold, ...]:
    """Every mark of a watched deployment; bare where it is not paused, or under another mark."""
    holds: list[NativeHold] = []
    for page in range(MOST_PAGES):
        rows = rows_of(client.deployments(page * PAGE_LIMIT))
        marked = [row for row in rows if isinstance(row, dict) and holds_in(_note(row))]
        names.learn({"deployment_id": row.get("id"), "flow_id": row.get("flow_id")} for row in marked)
        for row in marked:
            holds += _native(row, names)
        if len(rows) < PAGE_LIMIT:
            return tuple(holds)
    raise SystemUnreachable("Prefect: the list of deployments does not end; name those that matter in deployments")


def _native(row: fields.Row, names: Names) -> list[NativeHold]:
    try:
        job, paused = names.deployment(row), row.get("paused") is True
    except RecordUnreadable:
        return []
    if not names.watched(job):
        return []
    marks = holds_in(_note(row))
    return [
        NativeHold(job, mark, f"description of the deployment {job}", bare=not paused or place > 0)
        for place, mark in enumerate(marks)
    ]


def _note(row: fields.Row) -> str:
    found = row.get("description")
    return fields.clean(found) if isinstance(found, str) else ""


def _mark_of(row: fields.Row, hold: str) -> HoldMark | None:
    return next((one for one in holds_in(_note(row)) if one.id == hold), None)


def _hold(job: str, row: fields.Row, ask: Ask) -> Preview:
    until = instant(ask.parameters.get("until"))
    if until is None:
        return refused("hold", "a hold needs an end (until), after which nobody should hold any more")
    if row["paused"] is True:
        ours = next(iter(holds_in(_note(row))), None)
        who = f"by Headway for {ours.by} until {told(ours.until)}" if ours else "not by Headway"
        return refused("hold", f"{job} is paused already, {who}")
    mark = hold_mark(WIDEST, str(ask.parameters.get("by") or ""), until)
    line = mark.text.replace(WIDEST, "KEY")
    return Preview(
        verb="pause the deployment",
        words=f"pause all schedules of {job} until {told(mark.until)} at the latest, marked in its description",
        scope=f"all schedules of {job}",
        native_calls=(_call(row, {"paused": True, "description": f"… {line}"}),),
        notes=(
            "runs that Prefect has made ahead by its schedules are deleted; those that wait or run by hand go on",
            "it can still be started by hand, and by automations",
            "a process that serves or deploys it anew writes its description and resumes it: that ends the hold",
        ),
        plan={"how": "hold", "job": job, "by": mark.by, "until": told(mark.until)},
    )


def _release(job: str, row: fields.Row, hold: str, enables: bool) -> Preview:
    paused = row["paused"] is True
    if _mark_of(row, hold) is None:
        why = "is paused, but its description tells of no such hold: a person has it" if paused else "is not held"
        return refused("release", f"{job} {why}")
    resumes = enables and paused
    calls = {**({"paused": False} if enables else {}), "description": "its description without our line"}
    alone = "whether it is paused stays as it is" if not enables else "somebody resumed it"
    return Preview(
        verb="resume the deployment" if resumes else "take the mark away",
        words=f"resume all schedules of {job} and take our line from its description"
        if resumes
        else f"take our line from the description of {job}; {alone}",
        scope=f"all schedules of {job}" if resumes else f"the description of {job}",
        native_calls=(_call(row, calls),),
        notes=(STARTED_LATER,) if resumes else (),
        plan={"how": "release" if enables else "clear", "job": job, "hold": hold},
    )


def _call(row: fields.Row, body: Mapping[str, Any]) -> str:
    return f"PATCH /deployments/{row['id']} {fields.shown(dict(body))}"


def _ref(job: str, hold: str) -> str:
    return json.dumps({"deployment": job, "hold": hold})
