"""All actions of one Prefect: START, RERUN, CANCEL, MARK_OK and SKIP; HOLD and RELEASE are handled in `hold`.

START creates a flow run under our idempotency key: the same key again returns the same run. The others set the state
of a flow run, with our key in the state's message. Prefect keeps every state of a run, so a key that is not in its
history never arrived. `set_state` answers 2xx even if it did nothing: its `status` counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.prefect import parse
from connectors.prefect.client import PrefectClient, list_rows
from connectors.prefect.inventory import active_runs_note, idle_worker_notes, read_deployment
from connectors.prefect.parse import PrefectRunReference, parse_reference
from connectors.sdk import fields
from connectors.sdk.action_router import period_of
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import ActionRefused, NotSupported, OutcomeUnknown
from connectors.sdk.fields import parse_instant
from connectors.sdk.records import SkippedRecord, instant_key
from connectors.sdk.send_outcome import accepted
from connectors.sdk.states import Verb


class PrefectStarter:
    plans = ("create",)

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    def preview(self, spec: ActionSpec) -> Preview:
        job, at = spec.run.job, period_of(spec)
        row = read_deployment(self._client, job)
        if at is not None:
            where = {
                "deployment_id": {"any_": [row["id"]]},
                "expected_start_time": {"after_": instant_key(at), "before_": instant_key(at)},
            }
            for run in fields.tables(list_rows(self._client.runs(where, "ID_DESC", limit=5))):
                if run.get("auto_scheduled") is True:  # perhaps one that was created ahead of time
                    why = f"Prefect has this run: {run.get('name')} is {run.get('state_name')}"
                    raise ActionRefused(fields.clean(why))
        plan = {"how": "create", "deployment": row["id"], "job": job, "at": instant_key(at) if at else None}
        body = fields.to_json(create_run_body(plan, "KEY"))
        label = f"{at:%Y-%m-%d %H:%MZ}" if at else "now"
        run_text = "the missed run" if spec.verb is Verb.RERUN else "a run"
        return Preview(
            verb="create a flow run",
            summary=f"start {run_text} of {job} for {label}",
            scope=f"the whole flow, one run for {label}",
            overlap=active_runs_note(self._client, str(row["id"])),
            native_calls=(f"POST /deployments/{row['id']}/create_flow_run {body}",),
            notes=(
                *idle_worker_notes(row),
                *(["its schedules are paused; a run created by hand starts anyway"] if row["paused"] else ()),
            ),
            plan=plan,
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. The same key again creates no second run."""
        reply = self._client.create_run(str(plan["deployment"]), create_run_body(plan, key))
        row = accepted(reply)
        if row.get("idempotency_key") != key:
            other = fields.masked_head(str(row.get("id")), 60)
            raise OutcomeUnknown(f"{reply.place} is about another run: {other!r}. It was sent; it is looked up.")
        outcome = "was created under this key before" if reply.status == 200 else f"created as {row.get('name')}"
        return Receipt(parse.run_ref(str(row.get("id"))), fields.clean(outcome))

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        runs = list_rows(self._client.runs({"idempotency_key": {"any_": [key]}}, "ID_DESC", limit=5))
        for row in fields.tables(runs):
            if row.get("idempotency_key") == key:
                return ActionFound(parse.run_ref(str(row.get("id"))), "a flow run has our idempotency key")
        return ActionAbsent()


def create_run_body(plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Body of the request. A past period becomes the run's scheduled time, which the flow can read; a future one would
    make the run wait."""
    body: dict[str, Any] = {"idempotency_key": key}
    at = parse_instant(plan.get("at"))
    if at is None:
        return body
    body["labels"] = {parse.PERIOD_LABEL: instant_key(at)}
    if at <= datetime.now(UTC):
        body["state"] = {"type": "SCHEDULED", "state_details": {"scheduled_time": instant_key(at)}}
    return body


MAX_REASON_CHARACTERS = 200


class PrefectStateSetter:
    plans = ("state",)

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    def preview(self, spec: ActionSpec) -> Preview:
        """As the contract says. Raises NotSupported for a run without a row in Prefect."""
        at = parse_reference(spec.run)
        if at is None:
            raise NotSupported(f"Prefect has no row of the run {spec.run.period_key} of {spec.run.job}")
        reply = self._client.run(at.run)
        if reply.status == 404:
            raise ActionRefused(f"Prefect no longer has the run {at.run} of {spec.run.job}")
        row = reply.table()
        self._check_state(spec.verb, at, row)
        if spec.verb is Verb.RERUN:
            return self._rerun(spec, at, row)
        return _preview_cancel(spec, at, row) if spec.verb is Verb.CANCEL else _preview_mark(spec, at, row)

    def _check_state(self, verb: Verb, at: PrefectRunReference, row: fields.Row) -> None:
        """Raises ActionRefused for a verb that the run's state does not allow."""
        native, has_ended = fields.optional_text(row, "state_name"), row.get("state_type") in parse.ENDED_TYPES
        if verb is Verb.CANCEL:
            if has_ended or row.get("state_type") == "CANCELLING":
                why = "the run has ended" if has_ended else "it is being cancelled already"
                raise ActionRefused(f"{why}: Prefect says {native}")
            return
        if not has_ended:
            raise ActionRefused(f"the run is {native}: cancel it first, or let it end")
        if verb is Verb.RERUN and row.get("deployment_id") is None:
            raise ActionRefused(
                "Prefect runs only runs of deployments again, and this is not one: rerun the flow that called it"
            )
        if parse.needs_history(row) and len(parse.split_attempts(self._history(at.run))) > at.number:
            raise ActionRefused(f"a later attempt of it is there: it is {native}")

    def _rerun(self, spec: ActionSpec, at: PrefectRunReference, row: fields.Row) -> Preview:
        state = {"type": "SCHEDULED", "name": "AwaitingRetry"}
        partly = str(spec.parameters.get("scope") or "failed") != "all"
        rerun_note = "tasks whose results are persisted or cached are not run again, all others are"
        return _state_preview(
            spec,
            at,
            row,
            state,
            force=False,
            verb="schedule the run again",
            summary=f"run {fields.clean(str(row.get('name')))} of {spec.run.job} again, with its parameters",
            scope=f"the whole flow: {rerun_note}",
            overlap=active_runs_note(self._client, str(row.get("deployment_id")), at.run),
            notes=("Prefect cannot run only the failed tasks: it starts the flow again",) if partly else (),
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. Nothing is sent if the run's state changed since the preview."""
        run, verb = str(plan["run"]), str(plan["verb"])
        reply = self._client.run(run)
        row = reply.table() if reply.status == 200 else {}
        if not row or row.get("state_id") != plan["was"]:
            if isinstance(self.look_up(plan, key), ActionFound):
                return Receipt(_plan_ref(plan), "was sent under this key before")
            now = fields.optional_text(row, "state_name") if row else "gone"
            raise ActionRefused(f"Prefect: the run changed since the preview, it is {now}")
        state = {**plan["state"], "message": parse.marked_message(key, verb, str(plan.get("why", "")))}
        reply = self._client.set_state(run, state, bool(plan["force"]))
        answer = accepted(reply)
        status = answer.get("status")
        if status == "ACCEPT":
            return Receipt(_plan_ref(plan), f"Prefect says {state['type']}")
        if status in ("REJECT", "ABORT", "WAIT"):
            reason = fields.subtable(answer, "details").get("reason")
            raise NotSupported(fields.clean(f"Prefect answered {status}: {reason or 'no reason'}; nothing was done"))
        raise OutcomeUnknown(f"{reply.place} holds no status that is known. It is looked up.")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        unreadable: list[SkippedRecord] = []
        history = self._history(str(plan.get("run")), unreadable)
        for state in history:
            if state.action and state.action[0] == key:
                return ActionFound(_plan_ref(plan), f"state {state.name} of {state.at:%H:%M:%S} UTC has our key")
        if unreadable:
            return ActionUnknown(f"a state of the run cannot be read: {unreadable[0].reason}")
        return ActionAbsent() if history else ActionUnknown("Prefect no longer has this run")

    def _history(self, run: str, unreadable: list[SkippedRecord] | None = None) -> list[parse.PrefectRunState]:
        return parse.run_history(list_rows(self._client.states(run)), unreadable)


def _preview_cancel(spec: ActionSpec, at: PrefectRunReference, row: fields.Row) -> Preview:
    waits = row.get("state_type") == "SCHEDULED"
    state = {"type": "CANCELLED" if waits else "CANCELLING"}
    name = fields.clean(str(row.get("name")))
    effect = "it never starts" if waits else "its runner or worker ends its process"
    alone = () if waits else ("without its runner or worker it stays Cancelling",)
    return _state_preview(
        spec,
        at,
        row,
        state,
        force=False,
        verb="cancel the run",
        summary=f"cancel {name} of {spec.run.job}: {effect}",
        scope=f"the run {name}, with the flows that it calls",
        notes=(*alone, "finished tasks are not undone"),
    )


def _preview_mark(spec: ActionSpec, at: PrefectRunReference, row: fields.Row) -> Preview:
    state = {"type": "COMPLETED", **({"name": "Skipped"} if spec.verb is Verb.SKIP else {})}
    name = fields.clean(str(row.get("name")))
    return _state_preview(
        spec,
        at,
        row,
        state,
        force=True,
        verb="set the run's state",
        summary=f"set {name} of {spec.run.job} to {state.get('name', 'Completed')}; nothing runs",
        scope=f"the run {name}; no task",
        notes=("its task runs stay as they are", "automations that wait for its completion are started by it"),
    )


def _state_preview(
    spec: ActionSpec, at: PrefectRunReference, row: fields.Row, state: dict[str, Any], force: bool, **texts: Any
) -> Preview:
    reason = fields.clean(str(spec.parameters.get("why") or ""))[:MAX_REASON_CHARACTERS]
    marked_state = {**state, "message": parse.marked_message("KEY", str(spec.verb), reason)}
    body = fields.to_json({"state": marked_state, "force": force})
    known = {"run": at.run, "try": at.number, "was": row.get("state_id"), "why": reason}
    return Preview(
        affected=(fields.clean(str(row.get("name"))),),
        native_calls=(f"POST /flow_runs/{at.run}/set_state {body}",),
        plan={"how": "state", "verb": str(spec.verb), "state": state, "force": force, **known},
        **texts,
    )


def _plan_ref(plan: Mapping[str, Any]) -> str:
    later = 1 if plan.get("verb") == str(Verb.RERUN) else 0
    return parse.run_ref(str(plan.get("run")), int(plan.get("try", 1)) + later)
