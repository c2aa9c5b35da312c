"""RERUN and CANCEL of a run that is there: a repair of the tasks that failed, or of named ones.

Databricks takes no key with a repair, and names nobody in its history. But it takes one only with the id of the repair
before it, so ours is the one that follows what the preview saw, or there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import fields
from connectors.arrival import IN_FLIGHT_SECONDS, sent_at
from connectors.contract import Absent, Ask, CannotTell, Found, LookUp, NotSupported, Preview, Receipt, State, Verb
from connectors.databricks import parse
from connectors.databricks.client import DatabricksClient
from connectors.databricks.pages import whole
from connectors.databricks.poll import reference
from connectors.databricks.previews import active
from connectors.databricks.states import word_of
from connectors.previews import refused
from connectors.sending import after_once
from connectors.sending import refused as stop_if_refused

CLOCKS_APART = timedelta(minutes=2)
NOBODYS = "Databricks keeps no name on a repair: ours is the one that follows what the preview saw"


class Repairer:
    """Acts on runs of one workspace."""

    def __init__(self, client: DatabricksClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says. Raises NotSupported for a run that Databricks has no row of."""
        do, at = str(ask.verb), reference(ask.run)
        if not at or ask.verb not in (Verb.RERUN, Verb.CANCEL):
            raise NotSupported(f"Databricks: nothing to {do}: {ask.run.job} {ask.run.period_key} has no run")
        row = self._row(at["run"])
        if row is None:
            return refused(do, f"Databricks no longer has the run {at['run']} of {ask.run.job}")
        word, repairs = word_of(row), _repairs(row)
        if not at["task"] and at["repair"] != (repairs[-1] if repairs else 0):
            return refused(do, f"a later repair of the run is there, it is {word.native}")
        plan = {"run": at["run"], "latest": repairs[-1] if repairs else 0}
        if ask.verb is Verb.CANCEL:
            return _cancel(ask, word.state, word.native, at["task"], plan)
        if word.state.is_open:
            return refused(do, f"the run is {word.native}: cancel it first, or let it end")
        if not at["task"] and word.state is State.SUCCEEDED and ask.parameters.get("scope") != "all":
            return refused(do, "no task failed: rerun all of it, or start the job")
        return self._repair(ask, row, at["task"], plan)

    def _repair(self, ask: Ask, row: fields.Row, task: str, plan: dict[str, Any]) -> Preview:
        scope = str(ask.parameters.get("scope") or "failed")
        keys = [str(one["task_key"]) for one in parse.tasks_of(row)]
        red = [str(one["task_key"]) for one in parse.tasks_of(row) if word_of(one).state.is_red]
        chosen = [task] if task else keys if scope == "all" else []
        plan |= {"how": "repair", "tasks": chosen, "below": bool(task) or scope == "downstream"}
        shown = ", ".join(chosen or red) or "what failed"
        return Preview(
            verb="repair the run",
            words=f"run {shown} of {fields.words(row, 'run_name') or ask.run.job} again, as a repair of its run",
            scope="the task and all that depend on it"
            if task
            else "all tasks"
            if chosen
            else "tasks that are not green",
            affected=tuple(chosen or red),
            overlap=active(self._client, ask.run.job.partition(".")[0], plan["run"]),
            native_calls=(f"POST /api/2.2/jobs/runs/repair {fields.shown(body_of(plan))}",),
            notes=("the tasks' settings of now are used, the run's parameters stay", NOBODYS),
            plan=plan,
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. Databricks itself refuses a repair after another than the plan's."""
        run, latest = int(plan["run"]), int(plan["latest"])
        row = self._row(run)
        word = word_of(row) if row is not None else None
        repairs = _repairs(row) if row is not None else []
        if word is None or (repairs[-1] if repairs else 0) != latest or word.state.is_open != (plan["how"] == "cancel"):
            now = word.native if word else "gone"
            raise NotSupported(f"Databricks: the run changed since the preview, it is {now}; nothing was sent")
        if plan["how"] == "cancel":
            stop_if_refused(self._client.cancel(run))
            return Receipt(parse.ref_of(run, latest), "Databricks cancels it")
        reply = self._client.repair(body_of(plan))
        stop_if_refused(reply)
        repair = after_once(reply).get("repair_id")
        number = repair if type(repair) is int else 0
        return Receipt(parse.ref_of(run, number), f"repair {number or ''} of the run")

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the repair that follows, or by the run's end."""
        run, latest = int(plan["run"]), int(plan["latest"])
        row = self._row(run)
        if row is None:
            return CannotTell("Databricks no longer has this run")
        repairs = _repairs(row)
        if plan["how"] == "cancel":
            return _look_at_end(run, latest, row, repairs)
        after = repairs[repairs.index(latest) + 1 :] if latest in repairs else repairs
        if not after:
            return Absent()
        began, sent = _began(row, after[0]), sent_at(plan)
        window = timedelta(seconds=IN_FLIGHT_SECONDS) + CLOCKS_APART
        if sent is not None and (began is None or not sent - CLOCKS_APART <= began <= sent + window):
            return CannotTell(f"repair {after[0]} began at another time than ours was sent: it may be somebody else's")
        return Found(parse.ref_of(run, after[0]), f"repair {after[0]} follows what the preview saw")

    def _row(self, run: int) -> fields.Row | None:
        row = whole(lambda page: self._client.run(run, page))
        return row if row is not None and row.get("run_id") == run else None


def body_of(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent."""
    tasks = {"rerun_tasks": plan["tasks"]} if plan["tasks"] else {"rerun_all_failed_tasks": True}
    latest = {"latest_repair_id": plan["latest"]} if plan["latest"] else {}
    below = {"rerun_dependent_tasks": True} if plan["below"] else {}
    return {"run_id": plan["run"], **tasks, **below, **latest}


def _repairs(row: fields.Row) -> list[int]:
    """Ids of a run's repairs, oldest first."""
    found = [one for one in fields.rows(row.get("repair_history")) if isinstance(one, dict)]
    told = [(one.get("start_time") or 0, one["id"]) for one in found if one.get("type") == "REPAIR" and "id" in one]
    return [number for _, number in sorted(told) if type(number) is int]


def _began(row: fields.Row, repair: int) -> datetime | None:
    for one in fields.rows(row.get("repair_history")):
        if isinstance(one, dict) and one.get("id") == repair and type(one.get("start_time")) is int:
            return datetime.fromtimestamp(one["start_time"] / 1000, UTC)
    return None


def _cancel(ask: Ask, state: State, native: str, task: str, plan: dict[str, Any]) -> Preview:
    if not state.is_open:
        return refused("cancel", f"the run is over: Databricks says {native}")
    what = f"the task {task} of a run" if task else "the run"
    if task:
        return refused("cancel", f"Databricks cancels {what} only with the run: cancel that")
    return Preview(
        verb="cancel the run",
        words=f"cancel the run {plan['run']} of {ask.run.job}",
        scope="all tasks of the run",
        native_calls=(f'POST /api/2.2/jobs/runs/cancel {{"run_id": {plan["run"]}}}',),
        notes=("what its tasks did so far stays done",),
        plan={**plan, "how": "cancel"},
    )


def _look_at_end(run: int, latest: int, row: fields.Row, repairs: list[int]) -> LookUp:
    """Databricks notes nobody's name beside a cancel: what is cancelled may be so by somebody else."""
    word, now = word_of(row), repairs[-1] if repairs else 0
    if now == latest and word.state is State.CANCELLED:
        return Found(parse.ref_of(run, latest), f"Databricks says {word.native}")
    if now == latest and word.state.is_open:
        return Absent()
    return CannotTell(f"the run is {word.native} by now: it ended by itself, or before the cancel came")
