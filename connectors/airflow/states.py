"""CANCEL, MARK_OK and SKIP: the state of a run or task is set by hand, its note says by whom.

State and note of a run go in one request and one transaction, so the note proves that ours arrived. What Airflow does
to the tasks was measured on 3.3.2: cancelling a run fails what runs (the process ends at its next heartbeat) and skips
what waits; marking a run leaves its tasks alone; marking a task clears failed tasks that follow it, which then run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors import fields
from connectors.airflow import facts, parse_tasks
from connectors.airflow.answer import Answerer
from connectors.airflow.client import AirflowClient
from connectors.airflow.marks import carries, end_of, mark_of, marked, note_of
from connectors.airflow.parse import period_of, run_ref
from connectors.airflow.parse_tasks import Instance, task_ref
from connectors.airflow.paths import run_path, task_path
from connectors.airflow.references import Reference, reference
from connectors.contract import Absent, Ask, CannotTell, Found, LookUp, NotSupported, Preview, Receipt, Verb
from connectors.sending import after_once, refused

OPEN = ("running", "queued")
KILLED = ("running", "deferred", "up_for_reschedule", "awaiting_input", "restarting")
ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
RED = ("failed", "upstream_failed")
NATIVE = {Verb.CANCEL: "failed", Verb.MARK_OK: "success", Verb.SKIP: "skipped"}
"""States of a task; a run cannot be "skipped": there it is "success", and its note tells."""


class StateSetter:
    """CANCEL, MARK_OK and SKIP. One per Airflow."""

    def __init__(self, client: AirflowClient, answerer: Answerer) -> None:
        self._client, self._answerer = client, answerer

    # before

    def preview(self, ask: Ask) -> Preview:
        """As the contract says. Raises NotSupported for a run that Airflow has no row of."""
        verb, at = ask.verb, reference(ask.run)
        if at is None:
            raise NotSupported(
                f"Airflow has no row of the run {ask.run.period_key} of {ask.run.job}: nothing to {_do(verb)}"
            )
        if at.task and verb is Verb.CANCEL:
            raise NotSupported(f"Airflow: a single task is not cancelled: cancel the run of its DAG {at.dag}")
        reply = self._client.run(at.dag, at.run)
        if reply.status == 404:
            return facts.refused(_do(verb), f"Airflow no longer has the run {at.run} of {at.dag}")
        row = reply.table()
        tasks = facts.tasks_of(self._client, at.dag, at.run) or []
        if at.task:
            return self._mark_task(verb, at, row, [one for one in tasks if one.key[2] == at.task])
        return (_cancel if verb is Verb.CANCEL else _mark_run)(self._client, verb, at, row, tasks)

    def _mark_task(self, verb: Verb, at: Reference, row: fields.Row, group: Sequence[Instance]) -> Preview:
        state, do = NATIVE[verb], _do(verb)
        asking = [one for one in group if one.reason == "approval"]
        if asking:
            return self._answerer.preview(verb, at, asking[0])
        if row.get("state") in OPEN:
            return facts.refused(do, f"the run of {at.dag} is {row.get('state')}: let it end first, or cancel it")
        changed = self._client.preview_mark_task(at.dag, at.run, at.task, {"new_state": state})
        affected = facts.instances(changed.table().get("task_instances")) if changed.status == 200 else []
        if not affected:
            said = f" ({changed.said})" if changed.said else ""
            return facts.refused(do, f"nothing to do: {at.task} is {_states(group) or 'gone'}{said}")
        notes = (*facts.paused_note(self._client, at.dag), *_what_follows(at, row, self._below(at)))
        return _marked_task(self._client, verb, at, row, affected, notes, sorted({one.native for one in group}))

    def _below(self, at: Reference) -> list[Instance]:
        """The failed tasks that follow: Airflow clears them when the task is marked, so they run."""
        body = {"dag_run_id": at.run, "task_ids": [at.task], "include_downstream": True, "only_failed": True}
        reply = self._client.preview_clear_tasks(at.dag, body)
        found = facts.instances(reply.table().get("task_instances")) if reply.status == 200 else []
        return [one for one in found if one.key[2] != at.task]

    # sending

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says."""
        if plan["how"] == "task_state":
            return self._set_task(plan, key)
        dag, run, word = plan["dag"], plan["run"], plan["word"]
        reply = self._client.run(dag, run)
        if reply.status == 404:
            raise NotSupported(f"Airflow: the run {run} of {dag} is gone; nothing was sent")
        row = reply.table()
        if row.get("queued_at") != plan["queued_at"] or not _still(row, plan):
            raise NotSupported(
                f"Airflow: the run {run} of {dag} changed since the preview (it was {plan['was']}, "
                f"it is {row.get('state')}); nothing was sent. Look again."
            )
        mark = mark_of(key, str(plan["queued_at"] or ""), word=word)
        reply = self._client.patch_run(dag, run, {"state": plan["state"], "note": marked(mark, note_of(row), True)})
        refused(reply)
        return Receipt(run_ref(dag, run), f"Airflow says {after_once(reply).get('state')}")

    def _set_task(self, plan: Mapping[str, Any], key: str) -> Receipt:
        dag, run, task = plan["dag"], plan["run"], plan["task"]
        group = self._group(plan)
        if not group or sorted({one.native for one in group}) != plan["was"]:
            raise NotSupported(f"Airflow: {task} of {dag} {run} is {_states(group) or 'gone'} by now; nothing was sent")
        note = marked(mark_of(key, word=plan["word"]), group[0].note, True)
        reply = self._client.mark_task(dag, run, task, {"new_state": plan["state"], "note": note})
        refused(reply)
        after_once(reply)
        return Receipt(task_ref((dag, run, task), plan["try"], -1), f"marked {plan['state']}")

    def _group(self, plan: Mapping[str, Any]) -> list[Instance]:
        tasks = facts.tasks_of(self._client, str(plan.get("dag")), str(plan.get("run")))
        return [one for one in tasks or () if one.key[2] == plan.get("task")]

    # after

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the note; without it, what has not changed proves that nothing arrived."""
        if plan.get("how") == "task_state":
            return self._look_at_task(plan, key)
        dag, run = str(plan.get("dag")), str(plan.get("run"))
        reply = self._client.run(dag, run)
        if reply.status == 404:
            return CannotTell(f"Airflow no longer has the run {run} of {dag}")
        row = reply.table()
        if carries(row.get("note"), key):
            return Found(run_ref(dag, run), f"the note carries our key; Airflow says {row.get('state')}")
        if row.get("queued_at") == plan.get("queued_at") and _still(row, plan):
            return Absent()
        return CannotTell(
            f"{dag} {run} is {row.get('state')} by now and its note does not carry our key: "
            "it ended by itself, somebody else set it, or rewrote the note"
        )

    def _look_at_task(self, plan: Mapping[str, Any], key: str) -> LookUp:
        group = self._group(plan)
        if any(carries(one.note, key) for one in group):
            return Found(task_ref((plan["dag"], plan["run"], plan["task"]), plan["try"], -1), "marked under our key")
        if group and sorted({one.native for one in group}) == plan.get("was"):
            return Absent()
        return CannotTell(
            f"{plan.get('task')} is {_states(group) or 'gone'} by now, and its note does not carry our key"
        )

    def tidy(self, plan: Mapping[str, Any], key: str) -> None:
        """Nothing stays of what never arrived."""


def _cancel(client: AirflowClient, verb: Verb, at: Reference, row: fields.Row, tasks: Sequence[Instance]) -> Preview:
    native = fields.words(row, "state")
    if native not in OPEN:
        return facts.refused("cancel", f"the run is over: Airflow says {native}")
    running = [one for one in tasks if one.native in KILLED]
    waiting = [one for one in tasks if one.native not in (*KILLED, *ENDED)]
    label = facts.label(period_of(row), at.run)
    killed = f"fails what runs ({facts.names(running)})" if running else "nothing of it runs"
    skipped = f"skips what waits ({facts.names(waiting)})" if waiting else "nothing of it waits"
    return Preview(
        verb="fail the run",
        words=f"end {at.dag} {label}: Airflow {killed}, {skipped}"
        if running
        else f"end {at.dag} {label}: {killed}, {skipped}",
        scope=f"{facts.count(running)} running and {len(waiting)} waiting of {at.dag} {label}",
        affected=tuple(parse_tasks.name_of(one) for one in (*running, *waiting)),
        native_calls=_patch(client, at, "failed", verb),
        notes=(
            "Airflow says failed at once; the process of a running task ends at its next heartbeat, some seconds later",
            "what its tasks did so far stays done; teardown tasks still run",
        ),
        plan=_plan(at, row, verb, "failed"),
    )


def _mark_run(client: AirflowClient, verb: Verb, at: Reference, row: fields.Row, tasks: Sequence[Instance]) -> Preview:
    native, do = fields.words(row, "state"), _do(verb)
    red = [one for one in tasks if one.native in RED]
    if native in OPEN:
        return facts.refused(do, f"the run is {native}: cancel it first, or let it end")
    if native == "success":
        ours = end_of(note_of(row), fields.words(row, "queued_at"))
        some = f"; mark the tasks that are not green: {facts.names(red)}" if red and not ours else ""
        return facts.refused(do, f"Airflow says success already{some}")
    label = facts.label(period_of(row), at.run)
    as_what = "success" if verb is Verb.MARK_OK else "success (Airflow has no skipped run; its note says skipped)"
    kept = f"its tasks stay as they are ({facts.names(red)} not green)" if red else "its tasks stay as they are"
    if client.major == 2:
        kept = f"Airflow 2 sets its tasks to success too ({facts.names(red)})" if red else "its tasks are green"
    return Preview(
        verb="mark run success",
        words=f"mark {at.dag} {label} as {as_what}",
        scope=f"the run {at.dag} {label}; " + ("all its tasks" if client.major == 2 else "no task"),
        native_calls=_patch(client, at, "success", verb),
        notes=(f"nothing runs: {kept}", "no asset is updated by it: DAGs that wait for one are not started"),
        plan=_plan(at, row, verb, "success"),
    )


def _marked_task(
    client: AirflowClient,
    verb: Verb,
    at: Reference,
    row: fields.Row,
    affected: Sequence[Instance],
    notes: tuple[str, ...],
    was: Sequence[str],
) -> Preview:
    state, label = NATIVE[verb], facts.label(period_of(row), at.run)
    body = {"new_state": state, "note": mark_of("KEY", word=str(verb))}
    task = {"dag": at.dag, "run": at.run, "task": at.task, "try": at.try_number}
    return Preview(
        verb=f"mark task {state}",
        words=f"mark task {at.task} of {at.dag} {label} as {state}",
        scope=f"{facts.count(affected)} of {at.dag} {label}: {facts.names(affected)}",
        affected=tuple(parse_tasks.name_of(one) for one in affected),
        native_calls=client.calls("PATCH", task_path(at.dag, at.run, at.task), body),
        notes=notes,
        plan={"how": "task_state", "word": str(verb), **task, "state": state, "was": list(was)},
    )


def _patch(client: AirflowClient, at: Reference, state: str, verb: Verb) -> tuple[str, ...]:
    body = {"state": state, "note": mark_of("KEY", word=str(verb))}
    return client.calls("PATCH", run_path(at.dag, at.run), body)


def _plan(at: Reference, row: fields.Row, verb: Verb, state: str) -> dict[str, Any]:
    known = {"queued_at": row.get("queued_at"), "was": row.get("state")}
    return {"how": "run_state", "word": str(verb), "dag": at.dag, "run": at.run, "state": state, **known}


def _still(row: fields.Row, plan: Mapping[str, Any]) -> bool:
    """Whether the run is as the preview saw it; queued and running are one: it is open."""
    now, was = row.get("state"), plan.get("was")
    return now == was or (now in OPEN and was in OPEN)


def _what_follows(at: Reference, row: fields.Row, below: Sequence[Instance]) -> tuple[str, ...]:
    if below:
        return (f"Airflow then clears what failed after it, and runs it: {facts.names(below)}",)
    return (f"nothing that failed follows it: the run of {at.dag} stays {row.get('state')}; mark the run itself too",)


def _states(group: Sequence[Instance]) -> str:
    return ", ".join(sorted({one.native for one in group}))


def _do(verb: Verb) -> str:
    return {Verb.CANCEL: "cancel", Verb.MARK_OK: "mark OK", Verb.SKIP: "skip"}[verb]
