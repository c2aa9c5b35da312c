"""What a rerun would send: looked at with Airflow's own dry runs, which change nothing (and leave no audit line)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors import fields
from connectors.airflow import facts, parse_tasks
from connectors.airflow.client import AirflowClient
from connectors.airflow.marks import mark_of
from connectors.airflow.parse import period_of
from connectors.airflow.parse_tasks import Instance
from connectors.airflow.paths import dag_path, run_path
from connectors.airflow.references import Reference, reference
from connectors.airflow.rerun import clear_run_body, clear_tasks_body
from connectors.airflow.start import Starter
from connectors.contract import Ask, Preview, State

SCOPES = ("failed", "downstream", "all")
VERSIONS = ("pinned", "latest")
"""Of a DAG's code, for what is cleared: that of the run, or the newest one (3.x)."""
TAKEN = {"scope", "version", "why", "period_at"}


class Previewer:
    """Says what a rerun will do, or why it cannot be done now. One per Airflow."""

    def __init__(self, client: AirflowClient, starter: Starter) -> None:
        self._client = client
        self._starter = starter

    def preview(self, ask: Ask) -> Preview:
        """As the contract says. Without a scope: the failed tasks of a red run, all of a green one, a task with what
        follows it."""
        scope, more = ask.parameters.get("scope"), sorted(set(ask.parameters) - TAKEN)
        if more:
            return _refused(f"a clear keeps the run's own conf; Airflow takes no parameters for it ({', '.join(more)})")
        if scope not in (None, *SCOPES):
            return _refused(f"the scope is {fields.shown(scope)[:50]}, not one of {', '.join(SCOPES)}")
        version = ask.parameters.get("version") or VERSIONS[0]
        if version not in VERSIONS or (version == "latest" and self._client.major == 2):
            why = "Airflow 2 keeps one version only, the newest" if version in VERSIONS else "not one of pinned, latest"
            return _refused(f"the version is {fields.shown(version)[:50]}: {why}")
        at = reference(ask.run)
        if at is None or ask.state is State.MISSED:
            return self._starter.preview(ask)
        reply = self._client.run(at.dag, at.run)
        if reply.status == 404:
            return _refused(f"Airflow no longer has the run {at.run} of {at.dag}")
        row = {**reply.table(), LATEST: version == "latest"}
        return self._clear_task(at, row, scope) if at.task else self._of_run(at, row, ask.state, scope)

    # a run that exists

    def _of_run(self, at: Reference, row: fields.Row, asked: State, scope: str | None) -> Preview:
        native = fields.words(row, "state")
        if native in ("running", "queued"):
            return _refused(
                f"the run is {native} since {row.get('start_date') or row.get('queued_at')}: let it end first"
            )
        if native == "success" and asked.is_red:
            return _refused("the run is green by now: there is nothing to repair")
        if scope == "downstream":
            return self._clear_below(at, row)
        only_failed = scope == "failed" or (scope is None and (native != "success" or asked is State.PARTIAL))
        affected = self._dry_run(at, only_failed)
        if not affected and only_failed and scope is None:
            only_failed, affected = False, self._dry_run(at, False)
        if not affected:
            wider = ': it has no failed task; "all" would clear the whole run' if scope == "failed" else ""
            return _refused(f"nothing to do: Airflow would clear no task{wider}")
        return self._clear_run(at, row, only_failed, affected)

    def _clear_run(self, at: Reference, row: fields.Row, only_failed: bool, affected: Sequence[Instance]) -> Preview:
        verb = "clear failed tasks" if only_failed else "clear the whole run"
        label = facts.label(period_of(row), at.run)
        plan = {**_plan("clear_run", at, row), "only_failed": only_failed}
        body = {"dry_run": False, **clear_run_body(plan), "note": mark_of("KEY")}
        return Preview(
            verb=verb,
            words=f"{verb} of {at.dag} {label}" if only_failed else f"clear the whole run {at.dag} {label}",
            scope=_scope(at, label, affected),
            affected=tuple(parse_tasks.name_of(one) for one in affected),
            overlap=self._overlap(at, affected),
            native_calls=self._client.calls("POST", f"{run_path(at.dag, at.run)}/clear", body),
            notes=(*facts.paused_note(self._client, at.dag), *_whole_run_notes(only_failed), *_version_note(row)),
            plan=plan,
        )

    def _dry_run(self, at: Reference, only_failed: bool) -> list[Instance]:
        reply = self._client.preview_clear_run(at.dag, at.run, {"only_failed": only_failed})
        return facts.instances(reply.table().get("task_instances")) if reply.status == 200 else []

    def _clear_below(self, at: Reference, row: fields.Row) -> Preview:
        """The failed tasks and everything that follows them, what succeeded there too."""
        red = [one for one in self._dry_run(at, True) if one.native == "failed"] or self._dry_run(at, True)
        plan = {**_plan("clear_below", at, row), "tasks": sorted({one.key[2] for one in red})}
        if not red:
            return _refused('nothing to do: the run has no failed task to begin at; "all" would clear the whole run')
        affected, why = self._dry_run_of_tasks(plan)
        if why:
            return _refused(why)
        label = facts.label(period_of(row), at.run)
        return Preview(
            verb="clear failed tasks and what follows",
            words=f"clear the failed tasks of {at.dag} {label} and all that follows them",
            scope=_scope(at, label, affected),
            affected=tuple(parse_tasks.name_of(one) for one in affected),
            overlap=self._overlap(at, affected),
            native_calls=self._clear_calls(plan, at),
            notes=(*facts.paused_note(self._client, at.dag), *_whole_run_notes(True), REPLACED, *_version_note(row)),
            plan=plan,
        )

    def _dry_run_of_tasks(self, plan: Mapping[str, Any]) -> tuple[list[Instance], str]:
        """What a clear of tasks would touch, and why it would be refused ("" where it would not)."""
        reply = self._client.preview_clear_tasks(plan["dag"], clear_tasks_body(plan))
        if reply.status == 409:
            return [], f"Airflow refuses while a task of it runs: {reply.said}"
        if reply.status == 422:
            return [], f"this Airflow cannot clear a single task under our mark ({reply.said}): rerun its DAG run"
        affected = facts.instances(reply.table().get("task_instances")) if reply.status == 200 else []
        if not affected:
            return [], f"nothing to do: Airflow would clear no task ({reply.said or 'an empty list'})"
        running = [parse_tasks.name_of(one) for one in affected if one.native in ("running", "queued", "restarting")]
        if running:
            return affected, f"running now, and Airflow would refuse: {', '.join(running[: facts.NAMED_TASKS])}"
        return affected, ""

    # a task of a run that exists

    def _clear_task(self, at: Reference, row: fields.Row, scope: str | None) -> Preview:
        if scope == "all":
            return _refused(f"a task is rerun alone or with what follows it; rerun the run of {at.dag} for all of it")
        plan: dict[str, Any] = {**_plan("clear_tasks", at, row), "task": at.task, "try": at.try_number}
        if self._client.major == 2:  # its clear takes no note: the mark goes into the run's, ahead of it
            plan |= {"how": "clear_below", "tasks": [at.task]}
        plan |= {"only_failed": True} if scope == "failed" else {}
        affected, why = self._dry_run_of_tasks(plan)
        if why:
            return _refused(why)
        label = facts.label(period_of(row), at.run)
        what = "what failed after it" if scope == "failed" else "what follows it"
        return Preview(
            verb="clear task and what follows",
            words=f"clear task {at.task} and {what} in {at.dag} {label}",
            scope=_scope(at, label, affected),
            affected=tuple(parse_tasks.name_of(one) for one in affected),
            overlap=self._overlap(at, affected),
            native_calls=self._clear_calls(plan, at),
            notes=(*facts.paused_note(self._client, at.dag), REPLACED, *_version_note(row)),
            plan=plan,
        )

    def _clear_calls(self, plan: Mapping[str, Any], at: Reference) -> tuple[str, ...]:
        body, mark = {"dry_run": False, **clear_tasks_body(plan), "note": mark_of("KEY")}, {"note": mark_of("KEY")}
        ahead = self._client.calls("PATCH", run_path(at.dag, at.run), mark) if plan["how"] == "clear_below" else ()
        return *ahead, *self._client.calls("POST", f"{dag_path(at.dag)}/clearTaskInstances", body)

    def _overlap(self, at: Reference, affected: Sequence[Instance]) -> str | None:
        running = [parse_tasks.name_of(one) for one in affected if one.native in ("running", "restarting")]
        if running:
            return f"running now: {', '.join(running[: facts.NAMED_TASKS])}"
        return facts.active(self._client, at.dag, at.run)


LATEST = "headway_latest"
"""Beside the columns of a run's row: the newest code was asked for."""
REPLACED = "a note that people wrote on these tasks is replaced by our mark"


def _refused(why: str) -> Preview:
    return Preview("rerun", "cannot be rerun now", "nothing", refused=why)


def _plan(how: str, at: Reference, row: fields.Row) -> dict[str, Any]:
    latest = {"latest": True} if row.get(LATEST) else {}
    known = {"queued_at": row.get("queued_at"), "state": row.get("state")}
    return {"how": how, "dag": at.dag, "run": at.run, **known, **latest}


def _scope(at: Reference, label: str, affected: Sequence[Instance]) -> str:
    return f"{facts.count(affected)} of {at.dag} {label}: {facts.names(affected)}"


def _version_note(row: fields.Row) -> tuple[str, ...]:
    """Which code runs."""
    return ("with the newest version of the DAG's code",) if row.get(LATEST) else ()


def _whole_run_notes(only_failed: bool) -> tuple[str, ...]:
    if only_failed:
        return ("tasks that succeeded are kept; the conf of the run stays",)
    return ("every task runs again, those that succeeded too",)
