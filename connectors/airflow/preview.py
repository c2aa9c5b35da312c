"""What a rerun would send: looked at with Airflow's own dry runs, which change nothing (and leave no audit line)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from connectors.airflow import fields, parse_tasks
from connectors.airflow.client import AirflowClient, dag_path, run_path
from connectors.airflow.parse import Period, period_of
from connectors.airflow.parse_tasks import Instance
from connectors.airflow.references import Reference, reference
from connectors.airflow.rerun import clear_tasks_body
from connectors.contract import Ask, NotSupported, Preview, RecordUnreadable, State

NAMED_TASKS = 12


class Previewer:
    """Says what a rerun will do, or why it cannot be done now. One per Airflow."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        if ask.verb != "rerun":
            raise NotSupported(f'Airflow: "{ask.verb}" is not a verb of this version; "rerun" is')
        if ask.parameters:
            names = ", ".join(sorted(ask.parameters))
            return _refused(f"a clear keeps the run's own conf; Airflow takes no parameters for it ({names})")
        at = reference(ask.run)
        if at is None or ask.state is State.MISSED:
            return self._trigger(ask)
        reply = self._client.run(at.dag, at.run)
        if reply.status == 404:
            return _refused(f"Airflow no longer has the run {at.run} of {at.dag}")
        row = reply.table()
        return self._clear_task(at, row) if at.task else self._clear_run(at, row, ask.state)

    # a run that exists

    def _clear_run(self, at: Reference, row: fields.Row, asked: State) -> Preview:
        native = fields.words(row, "state")
        if native in ("running", "queued"):
            return _refused(
                f"the run is {native} since {row.get('start_date') or row.get('queued_at')}: let it end first"
            )
        green = native == "success"
        if green and asked.is_red:
            return _refused("the run is green by now: there is nothing to repair")
        only_failed = not green or asked is State.PARTIAL
        affected = self._dry_run(at, only_failed)
        if not affected and only_failed:
            only_failed, affected = False, self._dry_run(at, False)
        if not affected:
            return _refused("nothing to do: Airflow would clear no task")
        verb = "clear failed tasks" if only_failed else "clear the whole run"
        label, count = _label(period_of(row), at.run), _count(affected)
        body = f'{{"dry_run": false, "only_failed": {str(only_failed).lower()}, "note": "[KEY rerun]"}}'
        return Preview(
            verb=verb,
            words=f"{verb} of {at.dag} {label}" if only_failed else f"clear the whole run {at.dag} {label}",
            scope=f"{count} of {at.dag} {label}: {_names(affected)}",
            affected=tuple(parse_tasks.name_of(one) for one in affected),
            overlap=self._overlap(at, affected),
            native_calls=(f"POST /api/v2{run_path(at.dag, at.run)}/clear {body}",),
            notes=(*self._notes(at.dag), *_whole_run_notes(only_failed)),
            plan={
                "how": "clear_run",
                "dag": at.dag,
                "run": at.run,
                "only_failed": only_failed,
                "queued_at": row.get("queued_at"),
                "state": native,
            },
        )

    def _dry_run(self, at: Reference, only_failed: bool) -> list[Instance]:
        reply = self._client.preview_clear_run(at.dag, at.run, {"only_failed": only_failed})
        return _instances(reply.table().get("task_instances")) if reply.status == 200 else []

    # a task of a run that exists

    def _clear_task(self, at: Reference, row: fields.Row) -> Preview:
        plan: dict[str, Any] = {"how": "clear_tasks", "dag": at.dag, "run": at.run, "task": at.task}
        plan |= {"try": at.try_number, "queued_at": row.get("queued_at"), "state": row.get("state")}
        reply = self._client.preview_clear_tasks(at.dag, clear_tasks_body(plan))
        if reply.status == 409:
            return _refused(f"Airflow refuses while a task of it runs: {reply.said}")
        if reply.status == 422:
            return _refused(f"this Airflow cannot clear a single task under our mark ({reply.said}): rerun its DAG run")
        affected = _instances(reply.table().get("task_instances")) if reply.status == 200 else []
        if not affected:
            return _refused(f"nothing to do: Airflow would clear no task ({reply.said or 'an empty list'})")
        running = [parse_tasks.name_of(one) for one in affected if one.native in ("running", "queued", "restarting")]
        if running:
            return _refused(f"running now, and Airflow would refuse: {', '.join(running[:NAMED_TASKS])}")
        label = _label(period_of(row), at.run)
        body = (
            f'{{"dry_run": false, "dag_run_id": "{at.run}", "task_ids": ["{at.task}"], "include_downstream": true, '
            '"only_failed": false, "prevent_running_task": true, "note": "[KEY rerun]"}'
        )
        return Preview(
            verb="clear task and what follows",
            words=f"clear task {at.task} and what follows it in {at.dag} {label}",
            scope=f"{_count(affected)} of {at.dag} {label}: {_names(affected)}",
            affected=tuple(parse_tasks.name_of(one) for one in affected),
            overlap=self._overlap(at, affected),
            native_calls=(f"POST /api/v2{dag_path(at.dag)}/clearTaskInstances {body}",),
            notes=(*self._notes(at.dag), "a note that people wrote on these tasks is replaced by our mark"),
            plan=plan,
        )

    # a run that never came

    def _trigger(self, ask: Ask) -> Preview:
        """For a MISSED run: the same instant, under an id of ours."""
        dag, at = ask.run.job, _instant(ask.run.period_key)
        if at is None:
            return _refused(f"Airflow has no run {ask.run.period_key} of {dag}, and it is no scheduled instant")
        details = self._client.dag(dag)
        if details.status == 404:
            return _refused(f"Airflow has no DAG {dag}")
        row = details.table()
        start, end = row.get("next_dagrun_data_interval_start"), row.get("next_dagrun_data_interval_end")
        if start != end:
            day = ask.run.period_key[:10]
            return _refused(
                f"the runs of {dag} cover data intervals, which a trigger cannot set for the past: "
                f"airflow backfill create --dag-id {dag} --from-date {day} --to-date {day}"
            )
        wanted = at.isoformat().replace("+00:00", "Z")
        existing = self._client.runs_of(dag, {"run_after_gte": wanted, "run_after_lte": wanted, "limit": 2}).table()
        for run in fields.rows(existing.get("dag_runs")):
            if isinstance(run, dict):
                return _refused(f"Airflow has this run by now: {run.get('dag_run_id')} is {run.get('state')}")
        label = _label(Period(ask.run.period_key, at, None), "")
        body = f'{{"dag_run_id": "headway__KEY", "logical_date": "{wanted}", "run_after": "{wanted}"}}'
        return Preview(
            verb="trigger",
            words=f"trigger the missed run of {dag} for {label}",
            scope=f"all tasks of {dag}, one run for {label}",
            overlap=self._active(dag, ""),
            native_calls=(f"POST /api/v2{dag_path(dag)}/dagRuns {body}",),
            notes=self._notes(dag, row),
            plan={"how": "trigger", "dag": dag, "at": wanted},
        )

    # what a person should know

    def _overlap(self, at: Reference, affected: Sequence[Instance]) -> str | None:
        running = [parse_tasks.name_of(one) for one in affected if one.native in ("running", "restarting")]
        if running:
            return f"running now: {', '.join(running[:NAMED_TASKS])}"
        return self._active(at.dag, at.run)

    def _active(self, dag: str, run: str) -> str | None:
        """Other runs of the DAG that are running or queued now."""
        reply = self._client.runs_of(dag, {"state": ["running", "queued"], "limit": 5, "order_by": "-run_after"})
        rows = [row for row in fields.rows(reply.table().get("dag_runs")) if isinstance(row, dict)]
        others = [f"{row.get('dag_run_id')} ({row.get('state')})" for row in rows if row.get("dag_run_id") != run]
        return f"other runs of {dag} are active: {', '.join(others)}" if others else None

    def _notes(self, dag: str, row: fields.Row | None = None) -> tuple[str, ...]:
        if row is None:
            reply = self._client.dag(dag)
            row = reply.table() if reply.status == 200 else {}
        if row.get("is_paused") is True:
            return (f"{dag} is paused: what is sent stays queued until somebody resumes it",)
        return ()


def _refused(why: str) -> Preview:
    return Preview("rerun", "cannot be rerun now", "nothing", refused=why)


def _whole_run_notes(only_failed: bool) -> tuple[str, ...]:
    if only_failed:
        return ("tasks that succeeded are kept; conf and code version of the run stay",)
    return ("every task runs again, those that succeeded too",)


def _instances(rows: Any) -> list[Instance]:
    found = []
    for row in fields.rows(rows):
        try:
            found.append(parse_tasks.instance(row))
        except RecordUnreadable:
            continue
    return sorted(found, key=lambda one: (one.key[2], one.map_index))


def _names(affected: Sequence[Instance]) -> str:
    shown = ", ".join(parse_tasks.name_of(one) for one in affected[:NAMED_TASKS])
    more = len(affected) - NAMED_TASKS
    return f"{shown} and {more} more" if more > 0 else shown


def _count(affected: Sequence[Instance]) -> str:
    return "1 task" if len(affected) == 1 else f"{len(affected)} tasks"


def _label(period: Period, run_id: str) -> str:
    """The run for people: its data interval's date, else its instant, else its id."""
    if period.interval_start is not None:
        return period.interval_start.strftime("%Y-%m-%d")
    if period.at is not None and period.key != run_id:
        return period.at.strftime("%Y-%m-%d %H:%MZ")
    return run_id


def _instant(key: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(key)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
