"""Starting a DAG once under a run id made of our key, for the period that it is due for.

The run gets the logical date that Airflow's own run of that period would have. Airflow makes no second run with it: a
scheduled start that comes later is skipped, and where one came before ours is answered 409 (measured on 3.3.2).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from connectors import fields
from connectors.airflow import facts
from connectors.airflow.client import AirflowClient
from connectors.airflow.holding import held_by
from connectors.airflow.marks import mark_of, run_id_of
from connectors.airflow.parse import Period, run_ref
from connectors.airflow.parse_inventory import interval_before
from connectors.airflow.paths import dag_path
from connectors.contract import Absent, Ask, Found, LookUp, NotSupported, Preview, Receipt, Verb
from connectors.sending import after_once, refused

MOST_CONF = 10_000
"""Characters of a conf: it stands in the store with the action's plan."""
SOON = timedelta(seconds=5)
"""The server's Date has whole seconds and may be a moment old; a task that is due in a moment just waits for it."""


class Starter:
    """START, and RERUN of a run that never came. One per Airflow."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    # before

    def preview(self, ask: Ask) -> Preview:
        """What a trigger would send, or why Airflow would not run it."""
        dag, starts = ask.run.job, ask.verb is Verb.START
        verb = "start" if starts else "rerun"
        at = facts.instant(ask.parameters.get("period_at")) or facts.instant(ask.run.period_key)
        if at is None and not starts:
            return facts.refused(
                verb, f"Airflow has no run {ask.run.period_key} of {dag}, and it is no scheduled instant"
            )
        details = self._client.dag(dag)
        if details.status == 404:
            return facts.no_such_dag(dag, "start") if starts else facts.refused(verb, f"Airflow has no DAG {dag}")
        row = details.table()
        plan = self._plan(dag, row, at)
        conf = ask.parameters.get("conf") or {}
        if not is_plain(conf):
            return facts.refused(verb, f"conf must be a table of plain values, at most {MOST_CONF} characters as JSON")
        plan |= {"conf": conf} if conf else {}
        why = self._why_not(row, plan, at, facts.now_at(details))
        notes = facts.paused_note(self._client, dag, row)
        if starts and notes and why is None:
            why, notes = self._of_a_pause(dag)
        return facts.refused(verb, why) if why is not None else self._allowed(plan, at, notes, starts)

    def _allowed(self, plan: Mapping[str, Any], at: datetime | None, notes: tuple[str, ...], starts: bool) -> Preview:
        dag, what = plan["dag"], "a run" if starts else "the missed run"
        label = facts.label(Period(facts.told(at), at, None), "") if at else "now"
        return Preview(
            verb="trigger",
            words=f"trigger {what} of {dag} for {label}" if at else f"trigger {what} of {dag} now, without a date",
            scope=f"all tasks of {dag}, one run for {label}",
            overlap=facts.active(self._client, dag),
            native_calls=self._client.calls("POST", f"{dag_path(dag)}/dagRuns", body_of(plan, "headway__KEY")),
            notes=notes,
            plan=plan,
        )

    def _plan(self, dag: str, row: fields.Row, at: datetime | None) -> dict[str, Any]:
        """`at` is the period. Its logical date differs from it where runs cover data intervals."""
        plan: dict[str, Any] = {"how": "trigger", "dag": dag, "at": facts.told(at) if at else None}
        if at is not None and row.get("next_dagrun_data_interval_start") != row.get("next_dagrun_data_interval_end"):
            start = interval_start(row, at)
            plan["logical"] = facts.told(start) if start else None
            plan["interval"] = [facts.told(start), facts.told(at)] if start else None
        return plan

    def _why_not(self, row: fields.Row, plan: Mapping[str, Any], at: datetime | None, now: datetime) -> str | None:
        dag, kinds = plan["dag"], row.get("allowed_run_types")
        if isinstance(kinds, list) and "manual" not in kinds:
            return f"{dag} does not allow runs by hand (allowed_run_types)"
        if row.get("has_import_errors") is True or row.get("is_stale") is True:
            return f"the file of {dag} cannot be imported or is gone, and Airflow triggers no such DAG"
        if at is None:
            return None
        logical = facts.instant(logical_of(plan))
        if logical is None:
            day = plan["at"][:10]
            return (
                f"the runs of {dag} cover data intervals, and nobody can tell which one ended at {plan['at']}: "
                f"airflow backfill create --dag-id {dag} --from-date {day} --to-date {day}"
            )
        if logical > now + SOON:
            return f"Airflow runs no task before the logical date of its run ({facts.told(logical)}): it is to come"
        began = facts.instant(row.get("start_date"))
        if began is not None and logical < began:
            return (
                f"{dag} begins at {facts.told(began)}: Airflow would call a run before it green without running a task"
            )
        return self._is_there(dag, logical)

    def _is_there(self, dag: str, logical: datetime) -> str | None:
        wanted = facts.told(logical)
        reply = self._client.runs_of(dag, {"logical_date_gte": wanted, "logical_date_lte": wanted, "limit": 2})
        for run in facts.runs(reply):
            return f"Airflow has this run by now: {run.get('dag_run_id')} is {run.get('state')}"
        return None

    def _of_a_pause(self, dag: str) -> tuple[str | None, tuple[str, ...]]:
        """Why a paused DAG is not started, or what to know where it is we who hold it."""
        mark = held_by(self._client, dag)
        if mark is None:
            return f"{dag} is paused, not by Headway: the run would stay queued until somebody resumes it", ()
        until = facts.told(mark.until)
        return None, (f"{dag} is held by {mark.by} until {until}: the run stays queued until the hold is released",)

    # sending

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. The same key again is answered 409, and so is a run that is there by now."""
        dag, run = plan["dag"], run_id_of(key)
        reply = self._client.trigger(dag, {**body_of(plan, run), "note": mark_of(key)})
        if reply.status == 409:
            if isinstance(self.look(plan, key), Found):
                return Receipt(run_ref(dag, run), "was triggered under this key before")
            raise NotSupported(f"Airflow: {dag} has another run for {plan['at']} by now; nothing was triggered")
        refused(reply)
        after_once(reply)
        return Receipt(run_ref(dag, run), f"triggered as {run}")

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the run id."""
        dag, run = str(plan.get("dag")), run_id_of(key)
        reply = self._client.run(dag, run)
        return Absent() if reply.status == 404 else Found(run_ref(dag, run), "triggered under our key")

    def tidy(self, plan: Mapping[str, Any], key: str) -> None:
        """Nothing stays of a trigger that never arrived."""


def interval_start(row: fields.Row, at: datetime) -> datetime | None:
    """Start of the data interval of the run that is due at `at`, for a DAG whose runs cover intervals.

    Airflow tells that of the next run. Where its cron expression explains that one, it explains the earlier ones too;
    other timetables may be any code: None."""
    start, end = (facts.instant(row.get(f"next_dagrun_data_interval_{edge}")) for edge in ("start", "end"))
    following, logical = (
        facts.instant(row.get("next_dagrun_run_after")),
        facts.instant(row.get("next_dagrun_logical_date")),
    )
    if start is None or end is None or following != end or logical != start:
        return None
    if at == end:
        return start
    expression, zone = fields.words(row, "timetable_summary"), fields.words(row, "timezone") or "UTC"
    explained = interval_before(expression, zone, end) == start
    return interval_before(expression, zone, at) if explained else None


def logical_of(plan: Mapping[str, Any]) -> Any:
    """The logical date that Airflow's own run of the period would have; None where it is not known."""
    return plan["logical"] if "logical" in plan else plan["at"]


def body_of(plan: Mapping[str, Any], run: str) -> dict[str, Any]:
    """What a trigger sends, less its note. Runs without data intervals are due at their own instant; others at once."""
    body: dict[str, Any] = {"dag_run_id": run, "logical_date": logical_of(plan)}
    if plan.get("interval"):
        body["data_interval_start"], body["data_interval_end"] = plan["interval"]
    elif plan["at"] is not None:
        body["run_after"] = plan["at"]
    return body | ({"conf": plan["conf"]} if plan.get("conf") else {})


def is_plain(conf: Any) -> bool:
    """Whether Airflow can take it as the conf of a run. It checks the names and values by the DAG's own parameters."""
    try:
        return isinstance(conf, dict) and len(json.dumps(conf, allow_nan=False)) <= MOST_CONF
    except (TypeError, ValueError, RecursionError):
        return False
