"""Rerun by Airflow's own verbs: clear failed tasks, clear the run, clear a task with what follows, trigger.

How a lost answer is looked up (all measured on 3.3.2):
 - a clear of a run carries a note with our key, written in the transaction of the clear itself, and every clear moves
   `queued_at`: the note proves that ours arrived, an unmoved `queued_at` that none did;
 - a clear of a task carries the note to the task instances, in the same transaction too;
 - a trigger uses a run id made of our key: a repeat is answered 409.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from connectors.airflow import fields
from connectors.airflow.client import AirflowClient
from connectors.airflow.parse import MARK, mark_of, run_id_of, run_ref
from connectors.airflow.parse_tasks import instance, task_action, task_ref
from connectors.contract import (
    Absent,
    AccessRefused,
    CannotTell,
    ConnectorError,
    Found,
    LookUp,
    NotSupported,
    OutcomeUnknown,
    Preview,
    Receipt,
    RecordUnreadable,
    SystemUnreachable,
)
from connectors.transport.http import Reply

NOTE_CHARACTERS = 1000  # DAGRunClearBody.note and ClearTaskInstancesBody.note, max_length, Airflow 3.3


class Rerunner:
    """Sends what a preview said, once, and finds it again by its key. One per Airflow."""

    def __init__(self, client: AirflowClient, settle_seconds: float) -> None:
        self._client = client
        self._settle_seconds = settle_seconds

    def act(self, preview: Preview, key: str) -> Receipt:
        """As the contract says."""
        plan = preview.plan
        if preview.refused or plan.get("how") not in ("clear_run", "clear_tasks", "trigger"):
            raise NotSupported(f"Airflow: this preview cannot be sent: {preview.refused or 'it has no plan'}")
        if plan["how"] == "trigger":
            return self._trigger(plan, key)
        current = self._unchanged(plan)
        return self._clear_run(plan, key, current) if plan["how"] == "clear_run" else self._clear_tasks(plan, key)

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """As the contract says. Absent needs proof: no such run id, or a `queued_at` that no clear has moved, and that
        for some seconds, since a server may still work on a request whose sender is gone."""
        until = max(0.0, self._client.deadline.left - self._settle_seconds)
        while isinstance(answer := self._look(preview.plan, key), Absent) and self._client.deadline.left > until:
            time.sleep(min(1.0, self._settle_seconds))
        return answer

    def _look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        dag, run = str(plan.get("dag")), str(plan.get("run"))
        if plan.get("how") == "trigger":
            return self._found_trigger(dag, key)
        if plan.get("how") == "clear_tasks":
            return self._found_in_tasks(plan, dag, run, key)
        reply = self._client.run(dag, run)
        if reply.status == 404:
            return CannotTell(f"Airflow no longer has the run {run} of {dag}")
        row = reply.table()
        return self._found_in_run(plan, row, key)

    # clear

    def _unchanged(self, plan: Mapping[str, Any]) -> fields.Row:
        """The run as it is, if it is still the attempt that the preview saw. Raises NotSupported: nothing was sent."""
        reply = self._client.run(plan["dag"], plan["run"])
        if reply.status == 404:
            raise NotSupported(f"Airflow: the run {plan['run']} of {plan['dag']} is gone; nothing was sent")
        row = reply.table()
        if row.get("queued_at") != plan["queued_at"] or row.get("state") != plan["state"]:
            raise NotSupported(
                f"Airflow: the run {plan['run']} of {plan['dag']} changed since the preview (it was {plan['state']}, "
                f"it is {row.get('state')}); nothing was sent. Look again."
            )
        return row

    def _clear_run(self, plan: Mapping[str, Any], key: str, current: fields.Row) -> Receipt:
        dag, run, was = plan["dag"], plan["run"], str(plan["queued_at"] or "")
        kept = _kept_note(current)
        body = {"only_failed": plan["only_failed"], "note": _note(mark_of(key, was), kept)}
        reply = self._client.clear_run(dag, run, body)
        if reply.status == 422 and "note" in reply.said:
            reply = self._clear_without_note(dag, run, body)
        _refused(reply)
        now = _after_once(reply).get("queued_at")
        if not isinstance(now, str) or now == plan["queued_at"]:
            raise NotSupported(f"Airflow: {dag} {run} had nothing to clear by now; nothing was done")
        with contextlib.suppress(ConnectorError):  # the note only gets more exact; without it the key is found as well
            self._client.set_note(dag, run, _note(mark_of(key, was, now), kept))
        return Receipt(run_ref(dag, run), f"cleared; queued again at {now}")

    def _clear_without_note(self, dag: str, run: str, body: Mapping[str, Any]) -> Reply:
        """Before 3.3 a clear takes no note: it is written first; an unmoved queued_at still proves absence."""
        self._client.set_note(dag, run, str(body["note"]))
        return self._client.clear_run(dag, run, {"only_failed": body["only_failed"]})

    def _clear_tasks(self, plan: Mapping[str, Any], key: str) -> Receipt:
        dag, run = plan["dag"], plan["run"]
        reply = self._client.clear_tasks(dag, {**clear_tasks_body(plan), "note": mark_of(key)})
        _refused(reply)
        cleared = fields.rows(_after_once(reply).get("task_instances"))
        if not cleared:
            raise NotSupported(f"Airflow: {dag} {run} had no such task to clear by now; nothing was done")
        return Receipt(task_ref((dag, run, plan["task"]), plan["try"], -1), f"cleared {len(cleared)} task instances")

    def _found_in_run(self, plan: Mapping[str, Any], row: fields.Row, key: str) -> LookUp:
        dag, run = plan["dag"], plan["run"]
        moved = row.get("queued_at") != plan["queued_at"]
        if moved and any(mark["key"] == key for mark in MARK.finditer(str(row.get("note") or ""))):
            return Found(run_ref(dag, run), f"cleared under our key; queued again at {row.get('queued_at')}")
        if not moved:
            return Absent()
        return CannotTell(
            f"{dag} {run} was cleared at {row.get('queued_at')}, but its note does not carry our key: "
            "somebody else cleared it, or rewrote the note"
        )

    def _found_in_tasks(self, plan: Mapping[str, Any], dag: str, run: str, key: str) -> LookUp:
        for page in range(50):
            reply = self._client.task_instances(dag, run, page * 100)
            if reply.status == 404:
                return CannotTell(f"Airflow no longer has the run {run} of {dag}")
            rows = fields.rows(reply.table().get("task_instances"))
            for row in rows:
                with contextlib.suppress(RecordUnreadable):
                    if task_action(instance(row).note) == key:
                        return Found(task_ref((dag, run, plan["task"]), plan["try"], -1), "cleared under our key")
            if len(rows) < 100:
                break
        row = self._client.run(dag, run).table()
        moved = row.get("queued_at") != plan["queued_at"]
        return CannotTell("the run was cleared since, and no task carries our key") if moved else Absent()

    # trigger

    def _trigger(self, plan: Mapping[str, Any], key: str) -> Receipt:
        dag, run = plan["dag"], run_id_of(key)
        body = {"dag_run_id": run, "logical_date": plan["at"], "run_after": plan["at"], "note": mark_of(key)}
        reply = self._client.trigger(dag, body)
        if reply.status == 409:
            if isinstance(self._found_trigger(dag, key), Found):
                return Receipt(run_ref(dag, run), "was triggered under this key before")
            raise NotSupported(f"Airflow: {dag} has another run for {plan['at']} by now; nothing was triggered")
        _refused(reply)
        _after_once(reply)
        return Receipt(run_ref(dag, run), f"triggered as {run}")

    def _found_trigger(self, dag: str, key: str) -> LookUp:
        reply = self._client.run(dag, run_id_of(key))
        return Absent() if reply.status == 404 else Found(run_ref(dag, run_id_of(key)), "triggered under our key")


def clear_tasks_body(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a clear of one task and of what follows it sends."""
    return {
        "dag_run_id": plan["run"],
        "task_ids": [plan["task"]],
        "include_downstream": True,
        "only_failed": False,
        "prevent_running_task": True,
    }


def _refused(reply: Reply) -> None:
    """Raises for the refusals that prove that nothing happened."""
    if reply.status < 300:
        return
    raise NotSupported(f"{reply.place} is a refusal: {reply.said}. Nothing was done.")


def _after_once(reply: Reply) -> dict[str, Any]:
    """The answer to something that was sent. Raises OutcomeUnknown where it cannot be read."""
    try:
        return reply.table()
    except (SystemUnreachable, AccessRefused) as error:
        raise OutcomeUnknown(f"{error}. It was sent; it is looked up before anything is sent again.") from None


def _kept_note(row: fields.Row) -> str:
    """What people wrote into the note: it survives ours."""
    note = row.get("note")
    return MARK.sub("", fields.clean(note)).strip() if isinstance(note, str) else ""


def _note(mark: str, kept: str) -> str:
    return f"{mark}\n{kept}".strip()[:NOTE_CHARACTERS]
