"""START and BACKFILL. A start triggers a DAG run once, under a run id made of our key, for the period that is due.

The run gets the logical date of Airflow's own run of that period. Airflow then makes no second run for it: a later
scheduled start is skipped, and if the scheduled run came first ours gets 409 (measured on 3.3.2).

Backfills are Airflow's own (3.x), created, paused, resumed and canceled over REST. A backfill has no note; our key is
in its `dag_run_conf`, under "headway". Airflow runs one backfill of a DAG at a time.
Source: airflow.apache.org, REST API reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from connectors.airflow import inventory
from connectors.airflow.changes import rows_by_offset
from connectors.airflow.client import AirflowClient, dag_path
from connectors.airflow.hold import active_hold
from connectors.airflow.parse import action_mark, interval_before, run_id_for_key, run_ref
from connectors.sdk import fields
from connectors.sdk.action_router import period_of
from connectors.sdk.contract import (
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ActionUnknown,
    LookUpResult,
    NativeBackfill,
    Preview,
    PreviewNote,
    Receipt,
)
from connectors.sdk.errors import ActionRefused, NotSupported, RecordUnreadable
from connectors.sdk.records import instant_key
from connectors.sdk.send_outcome import accepted
from connectors.sdk.states import Verb

MAX_CONF_CHARACTERS = 10_000
"""Characters of a conf: it is stored with the action's plan."""
SOON = timedelta(seconds=5)
"""The server's Date has whole seconds and may be a moment old; a task that is due in a moment just waits for it."""


class AirflowStarter:
    """START, and RERUN of a run that never came. One per Airflow."""

    plans = ("trigger",)

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    def preview(self, spec: ActionSpec) -> Preview:
        dag, starts = spec.run.job, spec.verb is Verb.START
        verb = "start" if starts else "rerun"
        at = period_of(spec)
        if at is None and not starts:
            raise ActionRefused(
                f"Airflow has no run {spec.run.period_key} of {dag}, and this is not a scheduled instant"
            )
        details = self._client.dag(dag)
        if details.status == 404:
            raise ActionRefused(inventory.no_such_dag(dag, verb))
        row = details.table()
        plan = self._plan(dag, row, at)
        conf = spec.parameters.get("conf") or {}
        if not is_plain_conf(conf):
            raise ActionRefused(
                f"conf must be a table of plain values, at most {MAX_CONF_CHARACTERS} characters as JSON"
            )
        plan |= {"conf": conf} if conf else {}
        self._check_start(row, plan, at, inventory.server_time(details))
        notes: tuple[PreviewNote, ...] = inventory.paused_note(self._client, dag, row)
        if starts and notes:
            mark = active_hold(self._client, dag)
            if mark is None:
                raise ActionRefused(f"{dag} is paused, not by Headway: the run would stay queued until it is resumed")
            stays = ": the run stays queued until the hold is released"
            notes = ((f"{dag} is held by {mark.by} until ", mark.until, stays),)
        return self._allowed(plan, at, notes, starts)

    def _allowed(
        self, plan: Mapping[str, Any], at: datetime | None, notes: tuple[PreviewNote, ...], starts: bool
    ) -> Preview:
        dag, label = plan["dag"], f"{at:%Y-%m-%d %H:%MZ}" if at else "now"
        due = f"for {label}" if at else "now, without a date"
        return Preview(
            verb="trigger",
            summary=f"trigger {'a run' if starts else 'the missed run'} of {dag} {due}",
            scope=f"all tasks of {dag}, one run for {label}",
            overlap=inventory.active_runs_note(self._client, dag),
            native_calls=self._client.calls("POST", f"{dag_path(dag)}/dagRuns", trigger_run_body(plan, "headway__KEY")),
            notes=notes,
            plan=plan,
        )

    def _plan(self, dag: str, row: fields.Row, at: datetime | None) -> dict[str, Any]:
        """`at` is the period. Its logical date differs from it where runs cover data intervals."""
        plan: dict[str, Any] = {"how": "trigger", "dag": dag, "at": instant_key(at) if at else None}
        if at is not None and row.get("next_dagrun_data_interval_start") != row.get("next_dagrun_data_interval_end"):
            start = interval_start(row, at)
            plan["logical"] = instant_key(start) if start else None
            plan["interval"] = [instant_key(start), instant_key(at)] if start else None
        return plan

    def _check_start(self, row: fields.Row, plan: Mapping[str, Any], at: datetime | None, now: datetime) -> None:
        """Raises ActionRefused where Airflow would refuse the run, or never run it."""
        dag, kinds = plan["dag"], row.get("allowed_run_types")
        if isinstance(kinds, list) and "manual" not in kinds:
            raise ActionRefused(f"{dag} does not allow runs by hand (allowed_run_types)")
        if row.get("has_import_errors") is True or row.get("is_stale") is True:
            raise ActionRefused(
                f"the file of {dag} cannot be imported or is missing: Airflow does not trigger such a DAG"
            )
        if at is None:
            return
        logical = fields.parse_instant(logical_date(plan))
        if logical is None:
            day = plan["at"][:10]
            raise ActionRefused(
                f"the runs of {dag} cover data intervals, and it is unknown which one ended at {plan['at']}: "
                f"airflow backfill create --dag-id {dag} --from-date {day} --to-date {day}"
            )
        if logical > now + SOON:
            at_text = instant_key(logical)
            raise ActionRefused(
                f"Airflow runs no task before the logical date of its run, {at_text}, which is in the future"
            )
        began = fields.parse_instant(row.get("start_date"))
        if began is not None and logical < began:
            raise ActionRefused(
                f"{dag} starts at {instant_key(began)}: Airflow marks an earlier run successful without running a task"
            )
        instant = instant_key(logical)
        reply = self._client.runs_of(dag, {"logical_date_gte": instant, "logical_date_lte": instant, "limit": 2})
        for run in inventory.run_rows(reply):
            raise ActionRefused(f"Airflow has this run: {run.get('dag_run_id')} is {run.get('state')}")

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. The same key again gets 409, and so does a run that exists by then."""
        dag, run = plan["dag"], run_id_for_key(key)
        reply = self._client.trigger(dag, {**trigger_run_body(plan, run), "note": action_mark(key)})
        if reply.status == 409:
            if isinstance(self.look_up(plan, key), ActionFound):
                return Receipt(run_ref(dag, run), "was triggered under this key before")
            raise NotSupported(f"Airflow: {dag} has another run for {plan['at']} now; nothing was triggered")
        accepted(reply)
        return Receipt(run_ref(dag, run), f"triggered as {run}")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        dag, run = str(plan.get("dag")), run_id_for_key(key)
        reply = self._client.run(dag, run)
        row = reply.table()  # a proxy's 404 has no JSON
        if reply.status == 404:
            return ActionAbsent()
        if row.get("dag_run_id") != run:
            return ActionUnknown(f"{reply.place} is about another run")
        return ActionFound(run_ref(dag, run), "triggered under our key")


def interval_start(row: fields.Row, at: datetime) -> datetime | None:
    """Start of the data interval of the run that is due at `at`, for a DAG whose runs cover intervals. Airflow reports
    the interval of the next run; None where a cron expression does not give that one."""
    names = ("data_interval_start", "data_interval_end", "run_after", "logical_date")
    start, end, following, logical = (fields.parse_instant(row.get(f"next_dagrun_{name}")) for name in names)
    if start is None or end is None or following != end or logical != start:
        return None
    if at == end:
        return start
    expression, zone = fields.optional_text(row, "timetable_summary"), fields.optional_text(row, "timezone") or "UTC"
    explained = interval_before(expression, zone, end) == start
    return interval_before(expression, zone, at) if explained else None


def logical_date(plan: Mapping[str, Any]) -> Any:
    """The logical date that Airflow's own run of the period would have; None where it is not known."""
    return plan["logical"] if "logical" in plan else plan["at"]


def trigger_run_body(plan: Mapping[str, Any], run: str) -> dict[str, Any]:
    """Body of a trigger, without its note. Runs without data intervals are due at their own instant; others at once."""
    body: dict[str, Any] = {"dag_run_id": run, "logical_date": logical_date(plan)}
    if plan.get("interval"):
        body["data_interval_start"], body["data_interval_end"] = plan["interval"]
    elif plan["at"] is not None:
        body["run_after"] = plan["at"]
    return body | ({"conf": plan["conf"]} if plan.get("conf") else {})


def is_plain_conf(conf: Any) -> bool:
    """Whether it can be the conf of a run. Airflow checks names and values against the DAG's parameters."""
    try:
        return isinstance(conf, dict) and len(json.dumps(conf, allow_nan=False)) <= MAX_CONF_CHARACTERS
    except (TypeError, ValueError, RecursionError):
        return False


CONF_KEY = "headway"
"""The name under which a backfill's conf holds our key."""
REPROCESS = ("none", "failed", "completed")
"""Which existing runs are rerun."""
MAX_RUNS_AT_ONCE = 100
MAX_NAMED_DATES = 20
MAX_DAGS_READ = 20
"""DAGs that are queried individually: the public API has no list of all backfills."""
MAX_OPEN_RUN_PAGES = 20
"""Of open runs that backfills made."""
TOO_MANY_OPEN_RUNS = "not all open backfill runs were read: further DAGs may have active ones"
NATIVE_CHANGES = {"pause": "pause", "resume": "unpause", "cancel": "cancel"}
NOT_IN_AIRFLOW_2 = (
    "Airflow 2 has no backfills over REST: airflow dags backfill, on its host; or leave out --native, and Headway"
    " starts each period by itself"
)


class AirflowBackfiller:
    plans = ("backfill",)

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    def preview(self, spec: ActionSpec) -> Preview:
        """The request, with Airflow's own dry run for a new backfill; or why it cannot be done now."""
        if self._client.major == 2:
            raise ActionRefused(NOT_IN_AIRFLOW_2)
        operation = spec.parameters.get("do", "create")
        if operation == "create":
            return self._new(spec)
        if operation == "list":
            return self._listed(spec)
        if operation not in NATIVE_CHANGES:
            raise ActionRefused(f"a backfill is made, paused, resumed or cancelled, not {str(operation)[:40]}")
        return self._change(spec, NATIVE_CHANGES[operation])

    def _listed(self, spec: ActionSpec) -> Preview:
        """Backfills in progress, of the DAG, or of all DAGs that have an open run of one."""
        dags, whole = [spec.run.job], True
        if spec.parameters.get("of") == "system":  # each run that is still to come is listed
            open_runs = rows_by_offset(self._client.backfilled, "dag_runs", MAX_OPEN_RUN_PAGES)
            named = {row.get("dag_id") for row in fields.tables(open_runs.rows)}
            dags, whole = sorted(name for name in named if isinstance(name, str)), open_runs.is_whole
        backfills = tuple(backfill for dag in dags[:MAX_DAGS_READ] for backfill in self._active_backfills(dag))
        unread = len(dags) - MAX_DAGS_READ
        notes = (f"{unread} further DAGs with open backfill runs were not read",) if unread > 0 else ()
        return Preview(
            verb="list",
            summary=f"{inventory.count_text(backfills, 'backfill')} of Airflow in progress",
            scope=inventory.count_text(dags, "DAG"),
            notes=notes if whole else (*notes, TOO_MANY_OPEN_RUNS),
            refused="a list: there is nothing to send",
            backfills=backfills,
        )

    def _rows(self, dag: str) -> list[Any]:
        """The newest backfills of a DAG, which are enough: it has one at a time."""
        return self._client.backfills(dag).rows("backfills")

    def _active_backfills(self, dag: str) -> Iterator[NativeBackfill]:
        for row in fields.tables(self._rows(dag)):
            with suppress(RecordUnreadable):
                first, last, made = (fields.instant(row, name) for name in ("from_date", "to_date", "created_at"))
                if row.get("completed_at") or row.get("dag_id") != dag or first is None or last is None:
                    continue
                yield NativeBackfill(
                    number=fields.number(row, "id", -1),
                    job=dag,
                    first=instant_key(first),
                    last=instant_key(last),
                    paused=row.get("is_paused") is True,
                    at_once=fields.number(row, "max_active_runs", 0),
                    created_at=instant_key(made) if made else "",
                )

    def _new(self, spec: ActionSpec) -> Preview:
        first, last = (fields.parse_instant(spec.parameters.get(name)) for name in ("from", "to"))
        again, at_once = spec.parameters.get("reprocess", "none"), spec.parameters.get("at_once", 1)
        if first is None or last is None or first > last:
            raise ActionRefused("from and to are instants with a zone, from the earlier one to the later")
        if again not in REPROCESS or not isinstance(at_once, int) or not 0 < at_once <= MAX_RUNS_AT_ONCE:
            raise ActionRefused(f"reprocess is one of {', '.join(REPROCESS)}, at_once 1 to {MAX_RUNS_AT_ONCE}")
        plan: dict[str, Any] = {"how": "backfill", "do": "create", "dag": spec.run.job, "from": instant_key(first)}
        plan |= {"to": instant_key(last), "reprocess": again, "at_once": at_once}
        reply = self._client.preview_backfill(create_backfill_body(plan))
        if reply.status != 200:
            raise ActionRefused(f"Airflow refuses: {reply.error}")
        rows = reply.rows("backfills")
        periods = [str(row.get("logical_date")) for row in fields.tables(rows)]
        if not periods:
            raise ActionRefused("nothing to do: Airflow would make no run in that time")
        dag, unnamed = spec.run.job, len(periods) - MAX_NAMED_DATES
        span = f"{first:%Y-%m-%d %H:%MZ} to {last:%Y-%m-%d %H:%MZ}"
        active = inventory.active_runs_note(self._client, dag)
        return Preview(
            verb="backfill",
            summary=f"let Airflow backfill {dag}, {inventory.count_text(periods, 'run')} from {span}",
            scope=f"{inventory.count_text(periods, 'run')} of {dag}, {plan['at_once']} at once",
            affected=(*periods[:MAX_NAMED_DATES], *([f"and {unnamed} more"] if unnamed > 0 else [])),
            native_calls=self._client.calls(
                "POST", "/backfills", {**create_backfill_body(plan), "dag_run_conf": {CONF_KEY: "KEY"}}
            ),
            notes=(
                f"the conf of each of its runs holds our key, as {CONF_KEY}",
                *((active,) if active else ()),
                *inventory.paused_note(self._client, dag),
            ),
            plan=plan,
        )

    def _change(self, spec: ActionSpec, change: str) -> Preview:
        number, row = spec.parameters.get("backfill"), None
        if isinstance(number, int):
            row = self._row(number)
        if row is None or row.get("dag_id") != spec.run.job:
            raise ActionRefused(f"Airflow has no backfill {str(number)[:20]} of {spec.run.job}")
        if row.get("completed_at"):
            raise ActionRefused(f"backfill {number} of {spec.run.job} ended at {row['completed_at']}")
        if change != "cancel" and row.get("is_paused") is (change == "pause"):
            raise ActionRefused(f"backfill {number} of {spec.run.job} is {backfill_status(row)} already")
        ends = "its queued runs are failed, active runs continue" if change == "cancel" else "active runs continue"
        return Preview(
            verb=f"{change} the backfill",
            summary=f"{change} backfill {number} of {spec.run.job}, which is {backfill_status(row)}",
            scope=f"backfill {number}, {row.get('from_date')} to {row.get('to_date')}",
            native_calls=self._client.calls("PUT", f"/backfills/{number}/{change}", {}),
            notes=(ends,),
            plan={"how": "backfill", "do": change, "dag": spec.run.job, "backfill": number},
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. The same key again finds the backfill that it created."""
        if plan["do"] != "create":
            number = plan["backfill"]
            row = accepted(self._client.change_backfill(number, plan["do"]))
            return Receipt(str(number), f"backfill {number} is {backfill_status(row)}")
        existing = self.look_up(plan, key)
        if isinstance(existing, ActionFound):
            return Receipt(existing.native_ref, "was made under this key before")
        row = accepted(self._client.backfill({**create_backfill_body(plan), "dag_run_conf": {CONF_KEY: key}}))
        return Receipt(str(row.get("id")), f"backfill {row.get('id')} of {plan['dag']}")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """A new backfill by our key; a change by the backfill's status, although another user may have set it."""
        if plan["do"] == "create":
            for listed in fields.tables(self._rows(str(plan["dag"]))):
                if fields.subtable(listed, "dag_run_conf").get(CONF_KEY) == key:
                    now = "it has ended" if listed.get("completed_at") else "see headway plan backfill --list"
                    return ActionFound(str(listed.get("id")), f"backfill {listed.get('id')} was made; {now}")
            return ActionAbsent()
        row = self._row(int(plan["backfill"]))
        if row is None:
            return ActionUnknown(f"Airflow has no backfill {plan['backfill']} any more")
        is_paused, has_ended = row.get("is_paused"), bool(row.get("completed_at"))
        is_done = {"pause": is_paused is True, "unpause": is_paused is False, "cancel": has_ended}
        text = f"backfill {plan['backfill']} is {backfill_status(row)}"
        return ActionFound(str(plan["backfill"]), text) if is_done[plan["do"]] else ActionAbsent()

    def _row(self, number: int) -> fields.Row | None:
        reply = self._client.backfill_status(number)
        return reply.table() if reply.status == 200 else None


def create_backfill_body(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "dag_id": plan["dag"],
        "from_date": plan["from"],
        "to_date": plan["to"],
        "reprocess_behavior": plan["reprocess"],
        "max_active_runs": plan["at_once"],
    }


def backfill_status(row: fields.Row) -> str:
    return "completed" if row.get("completed_at") else "paused" if row.get("is_paused") is True else "active"
