"""Rerun by Airflow's own verbs: clear failed tasks, clear the run, clear tasks with what follows.

How a lost answer is looked up (all measured on 3.3.2):
 - a clear of a run carries a note with our key, written in the transaction of the clear itself, and every clear moves
   `queued_at`: the note proves that ours arrived, an unmoved `queued_at` that none did;
 - a clear of a task carries the note to the task instances, in the same transaction too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from connectors import fields
from connectors.airflow.client import AirflowClient
from connectors.airflow.marks import carries, mark_of, marked, note_of, task_action, without
from connectors.airflow.parse import run_ref
from connectors.airflow.parse_tasks import instance, task_ref
from connectors.contract import (
    Absent,
    CannotTell,
    ConnectorError,
    Found,
    LookUp,
    NotSupported,
    OutcomeUnknown,
    Receipt,
    RecordUnreadable,
)
from connectors.sending import after_once, refused
from connectors.transport.http import Reply


class Rerunner:
    """Sends a clear, once, and finds it again by its key. One per Airflow."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says."""
        current = self._unchanged(plan)
        if plan["how"] == "clear_run":
            return self._clear_run(plan, key, current)
        return self._clear_below(plan, key, current) if plan["how"] == "clear_below" else self._clear_tasks(plan, key)

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """Absent is a `queued_at` that no clear has moved."""
        dag, run = str(plan.get("dag")), str(plan.get("run"))
        if plan.get("how") == "clear_tasks":
            return self._found_in_tasks(plan, dag, run, key)
        reply = self._client.run(dag, run)
        if reply.status == 404:
            return CannotTell(f"Airflow no longer has the run {run} of {dag}")
        return self._found_in_run(plan, reply.table(), key)

    def tidy(self, plan: Mapping[str, Any], key: str) -> None:
        """A mark that was written ahead of a clear that never came is taken away: it would claim the next clear."""
        if plan.get("how") != "clear_below":
            return
        reply = self._client.run(str(plan["dag"]), str(plan["run"]))
        row = reply.table() if reply.status == 200 else {}
        if row and row.get("queued_at") == plan["queued_at"] and carries(row.get("note"), key):
            with contextlib.suppress(ConnectorError):
                self._client.set_note(plan["dag"], plan["run"], without(note_of(row), key))

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
        kept = note_of(current)
        body = {**clear_run_body(plan), "note": marked(mark_of(key, was), kept)}
        reply = self._client.clear_run(dag, run, body)
        if reply.status == 422 and "note" in reply.said:
            reply = self._clear_without_note(dag, run, body)
        refused(reply)
        now = after_once(reply).get("queued_at")
        if not isinstance(now, str) or now == plan["queued_at"]:
            raise NotSupported(f"Airflow: {dag} {run} had nothing to clear by now; nothing was done")
        with contextlib.suppress(ConnectorError):  # the note only gets more exact; without it the key is found as well
            self._client.set_note(dag, run, marked(mark_of(key, was, now), kept))
        return Receipt(run_ref(dag, run), f"cleared; queued again at {now}")

    def _clear_below(self, plan: Mapping[str, Any], key: str, current: fields.Row) -> Receipt:
        """Failed tasks and all that follows them. Such a clear marks tasks, not the run: the run's note is written
        first, and an unmoved queued_at proves that the clear did not come."""
        dag, run, was = plan["dag"], plan["run"], str(plan["queued_at"] or "")
        note = note_of(current)
        refused(self._client.set_note(dag, run, marked(mark_of(key, was), note)))
        try:
            reply = self._client.clear_tasks(dag, {**clear_tasks_body(plan), "note": mark_of(key)})
            refused(reply)
            cleared = fields.rows(after_once(reply).get("task_instances"))
            if not cleared:
                raise NotSupported(f"Airflow: {dag} {run} had no such task to clear by now; nothing was done")
        except OutcomeUnknown:
            raise
        except ConnectorError:
            with contextlib.suppress(ConnectorError):
                self._client.set_note(dag, run, note)
            raise
        with contextlib.suppress(ConnectorError):  # without its second half the mark still finds the clear
            now = str(self._client.run(dag, run).table().get("queued_at") or "")
            self._client.set_note(dag, run, marked(mark_of(key, was, now if now != was else ""), note))
        return Receipt(run_ref(dag, run), f"cleared {len(cleared)} task instances")

    def _clear_without_note(self, dag: str, run: str, body: Mapping[str, Any]) -> Reply:
        """Before 3.3 a clear takes no note: it is written first; an unmoved queued_at still proves absence."""
        self._client.set_note(dag, run, str(body["note"]))
        return self._client.clear_run(dag, run, {name: value for name, value in body.items() if name != "note"})

    def _clear_tasks(self, plan: Mapping[str, Any], key: str) -> Receipt:
        dag, run = plan["dag"], plan["run"]
        reply = self._client.clear_tasks(dag, {**clear_tasks_body(plan), "note": mark_of(key)})
        refused(reply)
        cleared = fields.rows(after_once(reply).get("task_instances"))
        if not cleared:
            raise NotSupported(f"Airflow: {dag} {run} had no such task to clear by now; nothing was done")
        return Receipt(task_ref((dag, run, plan["task"]), plan["try"], -1), f"cleared {len(cleared)} task instances")

    def _found_in_run(self, plan: Mapping[str, Any], row: fields.Row, key: str) -> LookUp:
        dag, run = plan["dag"], plan["run"]
        moved = row.get("queued_at") != plan["queued_at"]
        if moved and carries(row.get("note"), key):
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


def clear_run_body(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a clear of a run sends, less its note."""
    return {"only_failed": plan["only_failed"], **_version(plan)}


def _version(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Nothing, unless the newest code is wanted: without it the run keeps its version."""
    return {"run_on_latest_version": True} if plan.get("latest") else {}


def clear_tasks_body(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a clear of tasks and of what follows them sends."""
    return {
        "dag_run_id": plan["run"],
        "task_ids": plan.get("tasks") or [plan["task"]],
        "include_downstream": True,
        "only_failed": plan.get("only_failed", False),
        "prevent_running_task": True,
        **_version(plan),
    }
