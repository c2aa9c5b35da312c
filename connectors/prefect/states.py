"""RERUN, CANCEL, MARK_OK and SKIP: the state of a flow run is set, and the state's message carries our key.

Prefect keeps every state that a run ever had, so a key that is not in its history never arrived. `set_state` answers
2xx also where it did nothing: its `status` counts.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    RecordUnreadable,
    Verb,
)
from connectors.prefect import parse
from connectors.prefect.client import PrefectClient, rows_of
from connectors.prefect.previews import active
from connectors.prefect.references import Reference, reference
from connectors.previews import refused
from connectors.sending import after_once
from connectors.sending import refused as stop_if_refused

WHY_CHARACTERS = 200
DO = {Verb.RERUN: "rerun", Verb.CANCEL: "cancel", Verb.MARK_OK: "mark OK", Verb.SKIP: "skip"}


class StateSetter:
    """Acts on a flow run that is there. One per Prefect."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says. Raises NotSupported for a run that Prefect has no row of."""
        do, at = DO[Verb(ask.verb)], reference(ask.run)
        if at is None:
            raise NotSupported(f"Prefect has no row of the run {ask.run.period_key} of {ask.run.job}: nothing to {do}")
        reply = self._client.run(at.run)
        if reply.status == 404:
            return refused(do, f"Prefect no longer has the run {at.run} of {ask.run.job}")
        row = reply.table()
        why = self._why_not(Verb(ask.verb), at, row)
        if why is not None:
            return refused(do, why)
        if ask.verb is Verb.RERUN:
            return self._rerun(ask, at, row)
        return _cancel(ask, at, row) if ask.verb is Verb.CANCEL else _mark(ask, at, row)

    def _why_not(self, verb: Verb, at: Reference, row: fields.Row) -> str | None:
        native, over = fields.words(row, "state_name"), row.get("state_type") in parse.ENDED
        if verb is Verb.CANCEL:
            if over:
                return f"the run is over: Prefect says {native}"
            return "it is being cancelled already" if row.get("state_type") == "CANCELLING" else None
        if not over:
            return f"the run is {native}: cancel it first, or let it end"
        if verb is Verb.RERUN and row.get("deployment_id") is None:
            return "it was no deployment's run, and Prefect runs only those again: rerun the flow that called it"
        tries = self._tries(at.run) if parse.needs_history(row) else 1
        return f"a later attempt of it is there: it is {native}" if tries > at.number else None

    def _tries(self, run: str) -> int:
        return len(parse.attempts(self._steps(run)))

    def _rerun(self, ask: Ask, at: Reference, row: fields.Row) -> Preview:
        state = {"type": "SCHEDULED", "name": "AwaitingRetry"}
        partly = str(ask.parameters.get("scope") or "failed") != "all"
        kept = "tasks whose results are persisted or cached are not run again, all others are"
        return Preview(
            verb="schedule the run again",
            words=f"run {fields.clean(str(row.get('name')))} of {ask.run.job} once more, with its parameters",
            scope=f"the whole flow: {kept}",
            affected=(fields.clean(str(row.get("name"))),),
            overlap=active(self._client, str(row.get("deployment_id")), at.run),
            native_calls=(_call(at, state, ask, False),),
            notes=("Prefect cannot run the failed tasks alone: it begins the flow anew",) if partly else (),
            plan=_plan(ask, at, row, state, force=False),
        )

    # sending

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. Nothing is sent where the run's state is not the one that the preview saw."""
        run, verb = str(plan["run"]), str(plan["verb"])
        reply = self._client.run(run)
        row = reply.table() if reply.status == 200 else {}
        if not row or row.get("state_id") != plan["was"]:
            if isinstance(self.look(plan, key), Found):
                return Receipt(_ref(plan), "was sent under this key before")
            now = fields.words(row, "state_name") if row else "gone"
            raise NotSupported(f"Prefect: the run changed since the preview, it is {now}; nothing was sent")
        state = {**plan["state"], "message": parse.marked(key, verb, str(plan.get("why", "")))}
        reply = self._client.set_state(run, state, bool(plan["force"]))
        stop_if_refused(reply)
        answer = after_once(reply)
        status = answer.get("status")
        if status == "ACCEPT":
            return Receipt(_ref(plan), f"Prefect says {state['type']}")
        if status in ("REJECT", "ABORT", "WAIT"):
            details = answer.get("details")
            reason = details.get("reason") if isinstance(details, dict) else None
            raise NotSupported(fields.clean(f"Prefect answered {status}: {reason or 'no reason'}; nothing was done"))
        raise OutcomeUnknown(f"{reply.place} holds no status that is known. It is looked up.")

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the messages in the history of the run's states."""
        steps = self._steps(str(plan.get("run")))
        if not steps:
            return CannotTell("Prefect no longer has this run")
        found = next((one for one in steps if one.action and one.action[0] == key), None)
        return Found(_ref(plan), f"state {found.name} of {found.at:%H:%M:%S} UTC has our key") if found else Absent()

    def _steps(self, run: str) -> list[parse.Step]:
        steps = []
        for row in rows_of(self._client.states(run)):
            try:
                steps.append(parse.step(row))
            except RecordUnreadable:
                continue
        return sorted(steps, key=lambda one: one.at)


def _cancel(ask: Ask, at: Reference, row: fields.Row) -> Preview:
    waits = row.get("state_type") == "SCHEDULED"
    state = {"type": "CANCELLED" if waits else "CANCELLING"}
    name = fields.clean(str(row.get("name")))
    how = "it never starts" if waits else "its runner or worker ends its process"
    alone = () if waits else ("where its runner or worker is gone nobody ends it: it then stays Cancelling",)
    return Preview(
        verb="cancel the run",
        words=f"cancel {name} of {ask.run.job}: {how}",
        scope=f"the run {name}, with the flows that it calls",
        affected=(name,),
        native_calls=(_call(at, state, ask, False),),
        notes=(*alone, "what its tasks did so far stays done"),
        plan=_plan(ask, at, row, state, force=False),
    )


def _mark(ask: Ask, at: Reference, row: fields.Row) -> Preview:
    state = {"type": "COMPLETED", **({"name": "Skipped"} if ask.verb is Verb.SKIP else {})}
    name = fields.clean(str(row.get("name")))
    return Preview(
        verb="set the run's state",
        words=f"set {name} of {ask.run.job} to {state.get('name', 'Completed')}; nothing runs",
        scope=f"the run {name}; no task",
        affected=(name,),
        native_calls=(_call(at, state, ask, True),),
        notes=("its task runs stay as they are", "automations that wait for its completion are started by it"),
        plan=_plan(ask, at, row, state, force=True),
    )


def _call(at: Reference, state: Mapping[str, Any], ask: Ask, force: bool) -> str:
    told = {**state, "message": parse.marked("KEY", str(ask.verb), _why(ask))}
    return f"POST /flow_runs/{at.run}/set_state {fields.shown({'state': told, 'force': force})}"


def _why(ask: Ask) -> str:
    return fields.clean(str(ask.parameters.get("why") or ""))[:WHY_CHARACTERS]


def _plan(ask: Ask, at: Reference, row: fields.Row, state: Mapping[str, Any], force: bool) -> dict[str, Any]:
    known = {"run": at.run, "try": at.number, "was": row.get("state_id"), "why": _why(ask)}
    return {"how": "state", "verb": str(ask.verb), "state": dict(state), "force": force, **known}


def _ref(plan: Mapping[str, Any]) -> str:
    later = 1 if plan.get("verb") == str(Verb.RERUN) else 0
    return parse.run_ref(str(plan.get("run")), int(plan.get("try", 1)) + later)
