"""HOLD pauses a deployment's schedules under our mark; RELEASE resumes them, or takes away the mark alone.

The mark is a line in the deployment's description. Mark and pause go in one request and one transaction, so there is
none without the other; it has no condition, so what a person did is looked at right before.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    SystemUnreachable,
    Verb,
    instant_key,
)
from connectors.holdnotes import holds_in, with_hold, without_hold
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
from connectors.prefect.client import PAGE_LIMIT, PrefectClient, rows_of
from connectors.prefect.names import Names
from connectors.prefect.previews import deployment_of, no_deployment
from connectors.previews import refused
from connectors.sending import refused as stop_if_refused

MARKING = Marking("Prefect", "paused", "line in the description")
MOST_PAGES = 250


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
        return _release(job, row, ask)

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says."""
        row = deployment_of(self._client, str(plan["job"]))
        if row is None:
            raise MARKING.gone(plan)
        body = _held(row, plan, key) if plan["how"] == "hold" else _freed(row, plan)
        if body is not None:
            stop_if_refused(self._client.change_deployment(str(row["id"]), body))
        return MARKING.done(plan, key)

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the mark in the description, and the pause."""
        row = deployment_of(self._client, str(plan["job"]))
        return MARKING.look(None if row is None else _standing(row), plan, key)


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
        job = names.deployment(row)
    except RecordUnreadable:
        return []
    if not names.watched(job):
        return []
    return native_holds(job, _standing(row), f"description of the deployment {job}")


def _standing(row: fields.Row) -> Standing:
    return Standing(row.get("paused") is True, tuple(holds_in(_note(row))))


def _note(row: fields.Row) -> str:
    found = row.get("description")
    return fields.clean(found) if isinstance(found, str) else ""


def _held(row: fields.Row, plan: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """What is sent; None where it is held under this key. Raises NotSupported."""
    mark = MARKING.to_write(_standing(row), plan, key)
    return None if mark is None else {"paused": True, "description": with_hold(fields.words(row, "description"), mark)}


def _freed(row: fields.Row, plan: Mapping[str, Any]) -> dict[str, Any]:
    MARKING.check_release(_standing(row), plan)
    resumed = {"paused": False} if plan["how"] == "release" else {}
    return {**resumed, "description": without_hold(fields.words(row, "description"), str(plan["hold"])) or None}


def _hold(job: str, row: fields.Row, ask: Ask) -> Preview:
    asked, why = asked_mark(ask), MARKING.unfit(job, _standing(row))
    if asked is None or why is not None:
        return refused("hold", why or NO_END)
    return Preview(
        verb="pause the deployment",
        words=f"pause all schedules of {job} until {instant_key(asked.until)} at the latest, marked in its description",
        scope=f"all schedules of {job}",
        native_calls=(_call(row, {"paused": True, "description": f"… {shown(asked)}"}),),
        notes=(
            "runs that Prefect has made ahead by its schedules are deleted; those that wait or run by hand go on",
            "it can still be started by hand, and by automations",
            "a process that serves or deploys it anew writes its description and resumes it: that ends the hold",
        ),
        plan=hold_plan(job, asked),
    )


def _release(job: str, row: fields.Row, ask: Ask) -> Preview:
    plan, now = release_plan(job, ask), _standing(row)
    why = MARKING.bound(job, now, plan["hold"], "resume it in Prefect")
    if why is not None:
        return refused("release", why)
    enables = plan["how"] == "release"
    resumes = enables and now.is_paused
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
        plan=plan,
    )


def _call(row: fields.Row, body: Mapping[str, Any]) -> str:
    return f"PATCH /deployments/{row['id']} {fields.shown(dict(body))}"
