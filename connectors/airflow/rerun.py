"""RERUN by Airflow's own verbs: clear failed tasks, clear the run, clear tasks and their downstream tasks.

The preview uses Airflow's dry runs, which change nothing and leave no audit entry. A lost answer is looked up by our
mark (all measured on 3.3.2): clearing a run writes a note with our key in the transaction of the clear itself, and
every clear moves `queued_at`, so the note proves that ours arrived and an unmoved `queued_at` that none did; clearing
tasks writes the note to the task instances, in the same transaction too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from connectors.airflow import inventory, parse
from connectors.airflow.client import AirflowClient, dag_path, run_path
from connectors.airflow.parse import AirflowRunReference, AirflowTaskInstance, action_mark, parse_reference, run_ref
from connectors.airflow.start import AirflowStarter
from connectors.sdk import fields
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import ActionRefused, ConnectorError, NotSupported, OutcomeUnknown
from connectors.sdk.send_outcome import accepted
from connectors.sdk.states import RunState
from connectors.sdk.transport.http import HttpReply

OPEN_RUN_STATES = ("running", "queued")
SCOPES = ("failed", "downstream", "all")
VERSIONS = ("pinned", "latest")
"""Of a DAG's code, for what is cleared: that of the run, or the newest one (3.x)."""
ACCEPTED_PARAMETERS = {"scope", "version", "why", "period_at"}


LATEST_KEY = "headway_latest"
"""Beside the columns of a run's row: whether the newest code was requested."""
NOTE_REPLACED = "a note that people wrote on these tasks is replaced by Headway's mark"
UNTOUCHED_NOTE = "tasks that succeeded are kept; the conf of the run stays"


class AirflowRerunner:
    """Previews a clear, sends it once, and finds it again by its key. One per Airflow."""

    plans = ("clear_run", "clear_tasks", "clear_below")

    def __init__(self, client: AirflowClient, starter: AirflowStarter) -> None:
        self._client, self._starter = client, starter

    def preview(self, spec: ActionSpec) -> Preview:
        """Without a scope: the failed tasks of a red run, all of a green one, a task with its downstream tasks."""
        scope, unknown = spec.parameters.get("scope"), sorted(set(spec.parameters) - ACCEPTED_PARAMETERS)
        if unknown:
            raise ActionRefused(
                f"a clear keeps the run's own conf; Airflow takes no parameters for it ({', '.join(unknown)})"
            )
        if scope not in (None, *SCOPES):
            raise ActionRefused(f"the scope is {fields.to_json(scope)[:50]}, not one of {', '.join(SCOPES)}")
        version = spec.parameters.get("version") or VERSIONS[0]
        if version not in VERSIONS or (version == "latest" and self._client.major == 2):
            why = "Airflow 2 keeps one version only, the newest" if version in VERSIONS else "not one of pinned, latest"
            raise ActionRefused(f"the version is {fields.to_json(version)[:50]}: {why}")
        at = parse_reference(spec.run)
        if at is None or spec.state is RunState.MISSED:
            return self._starter.preview(spec)
        reply = self._client.run(at.dag, at.run)
        if reply.status == 404:
            raise ActionRefused(f"Airflow no longer has the run {at.run} of {at.dag}")
        row = {**reply.table(), LATEST_KEY: version == "latest"}
        return self._preview_clear_task(at, row, scope) if at.task else self._preview_run(at, row, spec.state, scope)

    def _preview_run(
        self, at: AirflowRunReference, row: fields.Row, seen_state: RunState, scope: str | None
    ) -> Preview:
        native = fields.optional_text(row, "state")
        if native in OPEN_RUN_STATES:
            raise ActionRefused(
                f"the run is {native} since {row.get('start_date') or row.get('queued_at')}: let it end first"
            )
        if native == "success" and seen_state.is_red:
            raise ActionRefused("the run has succeeded since: there is nothing to repair")
        if scope == "downstream":
            return self._preview_clear_below(at, row)
        only_failed = scope == "failed" or (scope is None and (native != "success" or seen_state is RunState.PARTIAL))
        affected = self._dry_run(at, only_failed)
        if not affected and only_failed and scope is None:
            only_failed, affected = False, self._dry_run(at, False)
        if not affected:
            wider = ': it has no failed task; "all" would clear the whole run' if scope == "failed" else ""
            raise ActionRefused(f"nothing to do: Airflow would clear no task{wider}")
        return self._preview_clear_run(at, row, only_failed, affected)

    def _preview_clear_run(
        self, at: AirflowRunReference, row: fields.Row, only_failed: bool, affected: Sequence[AirflowTaskInstance]
    ) -> Preview:
        verb = "clear failed tasks" if only_failed else "clear the whole run"
        label = inventory.run_label(row, at.run)
        plan = {**_rerun_plan("clear_run", at, row), "only_failed": only_failed}
        body = {"dry_run": False, **clear_run_body(plan), "note": action_mark("KEY")}
        return Preview(
            verb=verb,
            summary=f"{verb} of {at.dag} {label}" if only_failed else f"clear the whole run {at.dag} {label}",
            native_calls=self._client.calls("POST", f"{run_path(at.dag, at.run)}/clear", body),
            notes=(
                *inventory.paused_note(self._client, at.dag),
                UNTOUCHED_NOTE if only_failed else "every task runs again, those that succeeded too",
                *_version_note(row),
            ),
            plan=plan,
            **self._extent(at, label, affected),
        )

    def _extent(self, at: AirflowRunReference, label: str, affected: Sequence[AirflowTaskInstance]) -> dict[str, Any]:
        names = tuple(parse.instance_name(instance) for instance in affected)
        scope = f"{inventory.count_text(affected)} of {at.dag} {label}: {inventory.task_names_text(affected)}"
        running = _names_in(affected, ("running", "restarting"))
        overlap = f"running now: {running}" if running else inventory.active_runs_note(self._client, at.dag, at.run)
        return {"scope": scope, "affected": names, "overlap": overlap}

    def _dry_run(self, at: AirflowRunReference, only_failed: bool) -> list[AirflowTaskInstance]:
        reply = self._client.preview_clear_run(at.dag, at.run, {"only_failed": only_failed})
        return inventory.readable_instances(reply.table().get("task_instances")) if reply.status == 200 else []

    def _preview_clear_below(self, at: AirflowRunReference, row: fields.Row) -> Preview:
        """The failed tasks and everything downstream, succeeded tasks included."""
        not_green = self._dry_run(at, True)
        red = [instance for instance in not_green if instance.native == "failed"] or not_green
        if not red:
            raise ActionRefused(
                'nothing to do: the run has no failed task to begin at; "all" would clear the whole run'
            )
        plan = {**_rerun_plan("clear_below", at, row), "tasks": sorted({instance.key[2] for instance in red})}
        label = inventory.run_label(row, at.run)
        summary = f"clear the failed tasks of {at.dag} {label} and all downstream tasks"
        return self._preview_clear_tasks(at, row, plan, "clear failed and downstream tasks", summary, (UNTOUCHED_NOTE,))

    def _preview_clear_tasks(
        self,
        at: AirflowRunReference,
        row: fields.Row,
        plan: dict[str, Any],
        verb: str,
        summary: str,
        notes: tuple[str, ...] = (),
    ) -> Preview:
        reply = self._client.preview_clear_tasks(plan["dag"], clear_tasks_body(plan))
        if reply.status == 409:
            raise ActionRefused(f"Airflow refuses while a task of it runs: {reply.error}")
        if reply.status == 422:
            raise ActionRefused(
                f"this Airflow cannot clear a single task under a mark ({reply.error}): rerun its DAG run"
            )
        affected = inventory.readable_instances(reply.table().get("task_instances")) if reply.status == 200 else []
        if not affected:
            raise ActionRefused(f"nothing to do: Airflow would clear no task ({reply.error or 'an empty list'})")
        if running := _names_in(affected, ("running", "queued", "restarting")):
            raise ActionRefused(f"running now, and Airflow would refuse: {running}")
        label = inventory.run_label(row, at.run)
        mark = {"note": action_mark("KEY")}
        ahead = self._client.calls("PATCH", run_path(at.dag, at.run), mark) if plan["how"] == "clear_below" else ()
        body = {"dry_run": False, **clear_tasks_body(plan), **mark}
        return Preview(
            verb=verb,
            summary=summary,
            native_calls=(*ahead, *self._client.calls("POST", f"{dag_path(at.dag)}/clearTaskInstances", body)),
            notes=(*inventory.paused_note(self._client, at.dag), *notes, NOTE_REPLACED, *_version_note(row)),
            plan=plan,
            **self._extent(at, label, affected),
        )

    def _preview_clear_task(self, at: AirflowRunReference, row: fields.Row, scope: str | None) -> Preview:
        if scope == "all":
            raise ActionRefused(
                f"a task is rerun alone or with its downstream tasks; rerun the run of {at.dag} for all of it"
            )
        plan: dict[str, Any] = {**_rerun_plan("clear_tasks", at, row), "task": at.task, "try": at.try_number}
        if self._client.major == 2:  # its clear takes no note: the mark goes into the run's, ahead of it
            plan |= {"how": "clear_below", "tasks": [at.task]}
        plan |= {"only_failed": True} if scope == "failed" else {}
        extent = "failed downstream tasks" if scope == "failed" else "all downstream tasks"
        label = inventory.run_label(row, at.run)
        summary = f"clear task {at.task} and {extent} in {at.dag} {label}"
        return self._preview_clear_tasks(at, row, plan, "clear task and downstream tasks", summary)

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        current = unchanged_run(self._client, plan, plan["state"], (plan["state"],))
        if plan["how"] == "clear_run":
            return self._clear_run(plan, key, current)
        if plan["how"] == "clear_below":
            return self._clear_below(plan, key, current)
        task = parse.task_ref((plan["dag"], plan["run"], plan["task"]), plan["try"], -1)
        return Receipt(task, f"cleared {self._clear_tasks(plan, key)} task instances")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """Absent is a `queued_at` that no clear has moved."""
        dag, run = str(plan.get("dag")), str(plan.get("run"))
        if plan.get("how") == "clear_tasks":
            return self._find_in_tasks(plan, dag, run, key)
        reply = self._client.run(dag, run)
        if reply.status == 404:
            return ActionUnknown(f"Airflow no longer has the run {run} of {dag}")
        return self._find_in_run(plan, reply.table(), key)

    def tidy(self, plan: Mapping[str, Any], key: str) -> None:
        """Removes a mark whose clear never arrived: it would claim the next clear."""
        reply = self._client.run(str(plan["dag"]), str(plan["run"]))
        row = reply.table() if reply.status == 200 else {}
        if row and row.get("queued_at") == plan["queued_at"] and parse.note_has_key(row.get("note"), key):
            with contextlib.suppress(ConnectorError):
                self._client.set_note(plan["dag"], plan["run"], parse.note_without_mark(parse.note_text(row), key))

    def _clear_run(self, plan: Mapping[str, Any], key: str, current: fields.Row) -> Receipt:
        dag, run, was = plan["dag"], plan["run"], str(plan["queued_at"] or "")
        note, body = parse.note_text(current), clear_run_body(plan)
        marked = parse.note_with_mark(action_mark(key, was), note)
        reply = self._client.clear_run(dag, run, {**body, "note": marked})
        if reply.status == 422 and "note" in reply.error:  # before 3.3 a clear takes no note: it is written first
            with self._client.noted(dag, run, marked, note):
                now = _queued_again(plan, self._client.clear_run(dag, run, body))
        else:
            now = _queued_again(plan, reply)
        with contextlib.suppress(ConnectorError):  # without it the first note still identifies the clear
            self._client.set_note(dag, run, parse.note_with_mark(action_mark(key, was, now), note))
        return Receipt(
            run_ref(dag, run), f"cleared; {f'queued again at {now}' if now else 'it runs again when a slot is free'}"
        )

    def _clear_below(self, plan: Mapping[str, Any], key: str, current: fields.Row) -> Receipt:
        """Failed tasks and their downstream tasks. Such a clear marks tasks, not the run: the run's note is written
        first, and an unmoved queued_at proves that the clear did not arrive."""
        dag, run, was = plan["dag"], plan["run"], str(plan["queued_at"] or "")
        note = parse.note_text(current)
        with self._client.noted(dag, run, parse.note_with_mark(action_mark(key, was), note), note):
            count = self._clear_tasks(plan, key)
        with contextlib.suppress(ConnectorError):  # without its second half the mark still finds the clear
            now = str(self._client.run(dag, run).table().get("queued_at") or "")
            mark = action_mark(key, was, now if now != was else "")
            self._client.set_note(dag, run, parse.note_with_mark(mark, note))
        return Receipt(run_ref(dag, run), f"cleared {count} task instances")

    def _clear_tasks(self, plan: Mapping[str, Any], key: str) -> int:
        """The number of task instances that were cleared."""
        reply = self._client.clear_tasks(plan["dag"], {**clear_tasks_body(plan), "note": action_mark(key)})
        cleared = accepted(reply).get("task_instances")
        if not isinstance(cleared, list):
            raise OutcomeUnknown(f"{reply.place} names no tasks. It was sent; it is looked up.")
        if not cleared:
            what = f"{plan['dag']} {plan['run']} has no such task to clear any more"
            raise NotSupported(f"Airflow: {what}; nothing was done")
        return len(cleared)

    def _find_in_run(self, plan: Mapping[str, Any], row: fields.Row, key: str) -> LookUpResult:
        dag, run = plan["dag"], plan["run"]
        moved = row.get("queued_at") != plan["queued_at"]
        if moved and parse.note_has_key(row.get("note"), key):
            return ActionFound(run_ref(dag, run), f"cleared under our key; queued again at {row.get('queued_at')}")
        if not moved:
            return ActionAbsent()
        return ActionUnknown(
            f"{dag} {run} was cleared at {row.get('queued_at')}, but its note does not carry our key: "
            "another user cleared it, or rewrote the note"
        )

    def _find_in_tasks(self, plan: Mapping[str, Any], dag: str, run: str, key: str) -> LookUpResult:
        instances = inventory.read_task_instances(self._client, dag, run)
        if instances is None:
            return ActionUnknown(f"Airflow no longer has the run {run} of {dag}")
        if any(parse.action_of_task(instance.note) == key for instance in instances):
            return ActionFound(parse.task_ref((dag, run, plan["task"]), plan["try"], -1), "cleared under our key")
        row = self._client.run(dag, run).table()
        moved = row.get("queued_at") != plan["queued_at"]
        return ActionUnknown("the run was cleared since, and no task carries our key") if moved else ActionAbsent()


def _queued_again(plan: Mapping[str, Any], reply: HttpReply) -> str:
    """When a run that was cleared was queued again. Raises NotSupported where nothing was cleared."""
    row = accepted(reply)
    now = row.get("queued_at")
    if "queued_at" in row and now == plan["queued_at"]:
        where = f"{plan['dag']} {plan['run']}"
        raise NotSupported(f"Airflow: {where} has nothing to clear any more; nothing was done")
    if not isinstance(now, str):
        raise OutcomeUnknown(f"{reply.place} names no attempt. It was sent; it is looked up.")
    return now


def _rerun_plan(kind: str, at: AirflowRunReference, row: fields.Row) -> dict[str, Any]:
    latest = {"latest": True} if row.get(LATEST_KEY) else {}
    known = {"queued_at": row.get("queued_at"), "state": row.get("state")}
    return {"how": kind, "dag": at.dag, "run": at.run, **known, **latest}


def _names_in(affected: Sequence[AirflowTaskInstance], states: Collection[str]) -> str:
    names = [parse.instance_name(instance) for instance in affected if instance.native in states]
    return ", ".join(names[: inventory.MAX_NAMED_TASKS])


def _version_note(row: fields.Row) -> tuple[str, ...]:
    return ("with the newest version of the DAG's code",) if row.get(LATEST_KEY) else ()


def unchanged_run(client: AirflowClient, plan: Mapping[str, Any], was: Any, states: Collection[Any]) -> fields.Row:
    """The run, if it is still the attempt that the preview saw, in one of these states. Raises NotSupported: nothing
    was sent."""
    where = f"Airflow: the run {plan['run']} of {plan['dag']}"
    reply = client.run(plan["dag"], plan["run"])
    if reply.status == 404:
        raise ActionRefused(f"{where} no longer exists")
    row = reply.table()
    if row.get("queued_at") != plan["queued_at"] or row.get("state") not in states:
        raise ActionRefused(f"{where} changed since the preview, it is {row.get('state')} and was {was}")
    return row


def clear_run_body(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {"only_failed": plan["only_failed"], **_version_option(plan)}


def _version_option(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Empty unless the newest code is requested: without it the run keeps its version."""
    return {"run_on_latest_version": True} if plan.get("latest") else {}


def clear_tasks_body(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "dag_run_id": plan["run"],
        "task_ids": plan.get("tasks") or [plan["task"]],
        "include_downstream": True,
        "only_failed": plan.get("only_failed", False),
        "prevent_running_task": True,
        **_version_option(plan),
    }
