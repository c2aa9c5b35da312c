"""Starting a deployment once, under an idempotency key of ours: the same key again is answered with the same run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors import fields
from connectors.contract import Absent, Ask, Found, LookUp, NotSupported, Preview, Receipt, Verb
from connectors.prefect import parse
from connectors.prefect.client import PrefectClient, rows_of
from connectors.prefect.previews import active, deployment_of, idle, no_deployment, told
from connectors.previews import instant, refused
from connectors.sending import after_once
from connectors.sending import refused as stop_if_refused


class Starter:
    """START, and RERUN of a run that never came. One per Prefect."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        job, verb = ask.run.job, str(ask.verb)
        at = instant(ask.parameters.get("period_at")) or instant(ask.run.period_key)
        if at is None and ask.verb is Verb.RERUN:
            return refused(verb, f"Prefect has no run {ask.run.period_key} of {job}, and it is no scheduled instant")
        row = deployment_of(self._client, job)
        if row is None:
            return refused(verb, no_deployment(job, "start"))
        why = self._is_there(str(row["id"]), at) if at else None
        if why:
            return refused(verb, why)
        plan: dict[str, Any] = {"how": "create", "deployment": row["id"], "job": job, "at": told(at) if at else None}
        label = f"{at:%Y-%m-%d %H:%MZ}" if at else "now"
        what = "the missed run" if ask.verb is Verb.RERUN else "a run"
        return Preview(
            verb="create a flow run",
            words=f"start {what} of {job} for {label}",
            scope=f"the whole flow, one run for {label}",
            overlap=active(self._client, str(row["id"])),
            native_calls=(f"POST /deployments/{row['id']}/create_flow_run {fields.shown(body_of(plan, 'KEY'))}",),
            notes=(*idle(row), *_paused(row)),
            plan=plan,
        )

    def _is_there(self, deployment: str, at: datetime) -> str | None:
        """Why a period is not started: it has a run, were it only made ahead."""
        where = {
            "deployment_id": {"any_": [deployment]},
            "expected_start_time": {"after_": told(at), "before_": told(at)},
        }
        for row in rows_of(self._client.runs(where, "ID_DESC", limit=5)):
            if isinstance(row, dict) and row.get("auto_scheduled") is True:
                return fields.clean(f"Prefect has this run: {row.get('name')} is {row.get('state_name')}")
        return None

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. The same key again makes no second run."""
        reply = self._client.create_run(str(plan["deployment"]), body_of(plan, key))
        stop_if_refused(reply)
        row = after_once(reply)
        if row.get("idempotency_key") != key:
            raise NotSupported(f"{reply.place} is about another run: {str(row.get('id'))[:60]!r}")
        words = "was created under this key before" if reply.status == 200 else f"created as {row.get('name')}"
        return Receipt(parse.run_ref(str(row.get("id"))), fields.clean(words))

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the idempotency key."""
        for row in rows_of(self._client.runs({"idempotency_key": {"any_": [key]}}, "ID_DESC", limit=5)):
            if isinstance(row, dict) and row.get("idempotency_key") == key:
                return Found(parse.run_ref(str(row.get("id"))), "a flow run has our idempotency key")
        return Absent()


def body_of(plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What is sent. A period that is not to come is the run's scheduled time, which the flow can read; Prefect would
    let a run for a later one wait."""
    body: dict[str, Any] = {"idempotency_key": key}
    at = instant(plan.get("at"))
    if at is None:
        return body
    body["labels"] = {parse.PERIOD_LABEL: told(at)}
    if at <= datetime.now(UTC):
        body["state"] = {"type": "SCHEDULED", "state_details": {"scheduled_time": told(at)}}
    return body


def _paused(row: fields.Row) -> tuple[str, ...]:
    paused = row.get("paused") is True
    return ("its schedules are paused; a run that is created by hand goes all the same",) if paused else ()
