"""All actions of one workspace: START, RERUN and CANCEL; HOLD and RELEASE are handled in `hold`.

START is run-now with our key as its idempotency token: a repeat returns the same run. No answer shows the token. A
job with a parameter `headway_key` gets our key there, so its run can be found again; without it a lost answer is
reported as unknown, and only a repeat under the same key shows it.

RERUN repairs failed or named tasks. A repair takes no key and its history names no account, but it is accepted only
with the id of the repair before it: ours follows the one of the preview, or does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.databricks import parse
from connectors.databricks.client import DatabricksClient, read_pages
from connectors.databricks.inventory import active_runs_note, read_job_settings
from connectors.databricks.parse import KEY_PARAMETER, PERIOD_PARAMETER, DatabricksState, parse_state
from connectors.databricks.runs import parse_reference, read_run
from connectors.sdk import fields
from connectors.sdk.action_router import period_of
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import ActionRefused, NotSupported, OutcomeUnknown
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.run_canceller import RunCanceller, RunNow
from connectors.sdk.send_outcome import accepted, raise_if_refused
from connectors.sdk.settle import arrival_window
from connectors.sdk.states import RunState

MAX_PAGES = 20
KEY_NOT_VISIBLE = (
    f"its run does not show our key: give the job a parameter {KEY_PARAMETER}, else a lost answer stays unknown"
)


class DatabricksStarter:
    plans = ("run_now",)

    def __init__(self, client: DatabricksClient) -> None:
        self._client = client

    def preview(self, spec: ActionSpec) -> Preview:
        job, at = spec.run.job, period_of(spec)
        settings = read_job_settings(self._client, job)
        names = [str(parameter.get("name")) for parameter in fields.tables(settings.get("parameters"))]
        dated = {PERIOD_PARAMETER: instant_key(at)} if at is not None and PERIOD_PARAMETER in names else {}
        plan = {"how": "run_now", "job": int(job), "parameters": dated, "shown": KEY_PARAMETER in names}
        label = f"{at:%Y-%m-%d %H:%MZ}" if at else "now"
        undated = f"the run gets no date: it runs for now (a parameter {PERIOD_PARAMETER} would get it)"
        paused = ("its schedule is paused; a run started by hand starts anyway",)
        return Preview(
            verb="run now",
            summary=f"start a run of {fields.optional_text(settings, 'name') or job} for {label}",
            scope="all tasks of the job",
            overlap=active_runs_note(self._client, job),
            native_calls=(f"POST /api/2.2/jobs/run-now {fields.to_json(run_now_body(plan, 'KEY'))}",),
            notes=(
                *(() if dated else (undated,)),
                *(() if plan["shown"] else (KEY_NOT_VISIBLE,)),
                *(paused if parse.is_paused(settings) else ()),
            ),
            plan=plan,
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. The same key again creates no second run."""
        reply = self._client.run_now(run_now_body(plan, key))
        run = accepted(reply).get("run_id")
        if type(run) is not int:
            raise OutcomeUnknown(f"{reply.place} names no run. It was sent; it is looked up.")
        return Receipt(parse.run_ref(run), f"run {run}")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        started, is_whole = self._started(plan)
        matches = [row for row in started if parse.job_parameters(row).get(KEY_PARAMETER) == key]
        if plan.get("shown") and matches:
            return ActionFound(parse.run_ref(fields.positive(matches[0], "run_id")), "a run has our key")
        if not is_whole:
            return ActionUnknown(f"{len(started)} runs and more began then: ours may be one that is not listed")
        by_hand = [row for row in started if row.get("trigger") == "ONE_TIME"]
        if by_hand and not plan.get("shown"):
            return ActionUnknown(f"{len(by_hand)} runs of it were started by hand since; {KEY_NOT_VISIBLE}")
        return ActionAbsent()

    def _started(self, plan: Mapping[str, Any]) -> tuple[list[fields.Row], bool]:
        """Runs of the job that started while ours could have, newest first, and whether these are all."""
        first, last = arrival_window(plan)
        where = {"job_id": int(plan["job"]), "start_time_from": int(first.timestamp() * 1000)}
        if last:
            where["start_time_to"] = int(last.timestamp() * 1000)
        rows, is_whole = list[Any](), True
        for page_rows, reply in read_pages(lambda page: self._client.runs(page, **where), "runs", MAX_PAGES):
            rows += page_rows
            is_whole = not reply.table().get("next_page_token")
        return fields.tables(rows), is_whole


def run_now_body(plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Body of the request. Our key has at most 48 characters, a token may have 64."""
    parameters = {**plan["parameters"], **({KEY_PARAMETER: key} if plan["shown"] else {})}
    extra = {"job_parameters": parameters} if parameters else {}
    return {"job_id": plan["job"], "idempotency_token": key, **extra}


UNNAMED_REPAIR = "Databricks stores no key with a repair: ours is the next repair after the preview"


class DatabricksRepairer:
    plans = ("repair",)

    def __init__(self, client: DatabricksClient) -> None:
        self._client = client

    def preview(self, spec: ActionSpec) -> Preview:
        """As the contract says. Raises NotSupported for a run without a row in Databricks."""
        ref = parse_reference(spec.run)
        if ref is None:
            raise NotSupported(f"Databricks: nothing to rerun: {spec.run.job} {spec.run.period_key} has no run")
        row = _read_run(self._client, ref.run)
        plan = {"run": ref.run, "latest": _latest_repair(row) if ref.task else ref.repair}
        status = _unrepaired(row, plan)
        if status.state.is_open:
            raise ActionRefused(f"the run is {status.native_state}: cancel it first, or let it end")
        if not ref.task and status.state is RunState.SUCCEEDED and spec.parameters.get("scope") != "all":
            raise ActionRefused("no task failed: rerun all of it, or start the job")
        return self._repair(spec, row, ref.task, plan)

    def _repair(self, spec: ActionSpec, row: fields.Row, task: str, plan: dict[str, Any]) -> Preview:
        scope = str(spec.parameters.get("scope") or "failed")
        keys = [str(task["task_key"]) for task in parse.task_rows(row)]
        red = [str(task["task_key"]) for task in parse.task_rows(row) if parse_state(task).state.is_red]
        chosen = [task] if task else keys if scope == "all" else []
        plan |= {"how": "repair", "tasks": chosen, "below": bool(task) or scope == "downstream"}
        named = ", ".join(chosen or red) or "failed tasks"
        extent = "all tasks" if chosen else "tasks that are not green"
        extent = "the task and all that depend on it" if task else extent
        return Preview(
            verb="repair the run",
            summary=f"rerun {named} of {fields.optional_text(row, 'run_name') or spec.run.job}, as a repair of its run",
            scope=extent,
            affected=tuple(chosen or red),
            overlap=active_runs_note(self._client, spec.run.job.partition(".")[0], plan["run"]),
            native_calls=(f"POST /api/2.2/jobs/runs/repair {fields.to_json(repair_body(plan))}",),
            notes=("the tasks' settings of now are used, the run's parameters stay", UNNAMED_REPAIR),
            plan=plan,
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. Databricks itself refuses a repair if another one came since the plan."""
        status = _unrepaired(_read_run(self._client, int(plan["run"])), plan)
        if status.state.is_open:
            raise ActionRefused(f"Databricks: the run changed since the preview, it is {status.native_state}")
        repair = accepted(self._client.repair(repair_body(plan))).get("repair_id")
        number = repair if type(repair) is int else 0
        return Receipt(parse.run_ref(int(plan["run"]), number), f"repair {number or ''} of the run")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        run, latest = int(plan["run"]), int(plan["latest"])
        row = _read_run(self._client, run)
        repairs = _repair_ids(row)
        after = repairs[repairs.index(latest) + 1 :] if latest in repairs else repairs
        if not after:
            return ActionAbsent()
        history = [entry for entry in fields.tables(row.get("repair_history")) if entry.get("id") == after[0]]
        began, (first, last) = parse.parse_millis(history[0], "start_time"), arrival_window(plan)
        if last is not None and (began is None or not first <= began <= last):
            why = "began at another time than ours was sent: another person may have started it"
            return ActionUnknown(f"repair {after[0]} {why}")
        return ActionFound(parse.run_ref(run, after[0]), f"repair {after[0]} follows what the preview saw")


class DatabricksCanceller(RunCanceller):
    source, notes = "Databricks", ("all tasks of the run; finished tasks are not undone",)
    shows_cancel = False  # TERMINATING, as at each end

    def __init__(self, client: DatabricksClient) -> None:
        self._client = client

    def reference(self, run: RunRef) -> dict[str, Any]:
        ref = parse_reference(run)
        if ref is not None and ref.task:
            raise ActionRefused(f"Databricks cancels the task {ref.task} of a run only with the run: cancel that")
        return {"run": ref.run, "latest": ref.repair} if ref is not None else {}

    def read(self, plan: Mapping[str, Any]) -> RunNow:
        run, latest = int(plan["run"]), int(plan["latest"])
        status = _unrepaired(_read_run(self._client, run), plan)
        return RunNow(parse.run_ref(run, latest), str(run), status.native_state, status.state)

    def call(self, plan: Mapping[str, Any]) -> str:
        return f'POST /api/2.2/jobs/runs/cancel {{"run_id": {plan["run"]}}}'

    def send(self, plan: Mapping[str, Any], key: str) -> None:
        raise_if_refused(self._client.cancel(int(plan["run"])))


def _read_run(client: DatabricksClient, run: int) -> fields.Row:
    """Raises ActionRefused where it is gone."""
    row = read_run(client, run)
    if row is None or row.get("run_id") != run:
        raise ActionRefused(f"Databricks no longer has the run {run}")
    return row


def _unrepaired(row: fields.Row, plan: Mapping[str, Any]) -> DatabricksState:
    """The state of a run. Raises ActionRefused where its latest repair is not that of the plan."""
    status = parse_state(row)
    if _latest_repair(row) != int(plan["latest"]):
        raise ActionRefused(f"a later repair of the run is there, it is {status.native_state}")
    return status


def _latest_repair(row: fields.Row) -> int:
    """0 without one."""
    return next(reversed(_repair_ids(row)), 0)


def repair_body(plan: Mapping[str, Any]) -> dict[str, Any]:
    tasks = {"rerun_tasks": plan["tasks"]} if plan["tasks"] else {"rerun_all_failed_tasks": True}
    latest = {"latest_repair_id": plan["latest"]} if plan["latest"] else {}
    below = {"rerun_dependent_tasks": True} if plan["below"] else {}
    return {"run_id": plan["run"], **tasks, **below, **latest}


def _repair_ids(row: fields.Row) -> list[int]:
    repairs = [row for row in fields.tables(row.get("repair_history")) if row.get("type") == "REPAIR" and "id" in row]
    numbered = sorted((repair.get("start_time") or 0, repair["id"]) for repair in repairs)
    return [number for _, number in numbered if type(number) is int]
