"""A small Databricks workspace with a state, behind httpx: jobs, runs, repairs, task outputs, tags, OAuth tokens.

A fake of ours. Its answers and its requests are checked against the types of databricks-sdk by
tests/lab/test_databricks_typed.py; how its parts work together follows the vendor's documentation."""

from __future__ import annotations

import base64
import json
import re
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

Row = dict[str, Any]
HOST = "https://dbc-a1b2.cloud.databricks.com"
LEGACY = {"QUEUED": "QUEUED", "RUNNING": "RUNNING", "TERMINATED": "TERMINATED", "PENDING": "PENDING"}
CODES = {
    "SUCCESS": "SUCCESS",
    "FAILED": "RUN_EXECUTION_ERROR",
    "CANCELED": "USER_CANCELED",
    "UPSTREAM_FAILED": "SKIPPED",
}


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def state_of(life: str, result: str = "") -> Row:
    """A run's state, twice, in the format of API 2.2."""
    old: Row = {"life_cycle_state": LEGACY[life], "state_message": ""}
    if not result:
        return {"state": old, "status": {"state": life}}
    kind = "SUCCESS" if result == "SUCCESS" else "CLIENT_ERROR"
    details = {"code": CODES.get(result, result), "type": kind, "message": "" if result == "SUCCESS" else "bad row 7"}
    return {
        "state": {**old, "result_state": result, "user_cancelled_or_timedout": result == "CANCELED"},
        "status": {"state": life, "termination_details": details},
    }


class FakeDatabricks:
    """One workspace. `outcome[job]` is "SUCCESS" (default), "FAILED" or "hang" for what runs next; a job of
    `by_the_clock` starts at each tick. `forbidden` and `lose_answer_of` are patterns of paths."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)
        self.jobs: dict[int, Row] = {}
        self.runs: list[Row] = []
        self.outcome: dict[int, str] = {}
        self.by_the_clock: set[int] = set()
        self.outputs: dict[int, Row] = {}
        self.tokens: dict[str, int] = {}
        self.signed_in = 0
        self.requests: list[tuple[str, str, Any]] = []
        self.forbidden = self.lose_answer_of = ""
        self.crowd = 0
        self._made = 1000

    # -- its life ---------------------------------------------------------------------------------------------------
    def job(self, number: int, name: str, *tasks: Row, **settings: Any) -> int:
        """A job with a schedule; each task waits for the one before it."""
        rows: list[Row] = []
        for task in tasks or ({"task_key": "work", "notebook_task": {"notebook_path": "/Shared/work"}},):
            ahead = {"depends_on": [{"task_key": rows[-1]["task_key"]}]} if rows else {}
            rows.append({**task, **ahead})
        schedule = {
            "quartz_cron_expression": "0 10 3 * * ?",
            "timezone_id": "Europe/Berlin",
            "pause_status": "UNPAUSED",
        }
        parameters = [{"name": "headway_key", "default": ""}, {"name": "headway_period", "default": ""}]
        mine = {"name": name, "format": "MULTI_TASK", "max_concurrent_runs": 1, "timeout_seconds": 0, "tasks": rows}
        self.jobs[number] = {**mine, "schedule": schedule, "parameters": parameters, **settings}
        return number

    def start(self, job: int, trigger: str = "ONE_TIME", parameters: Row | None = None) -> Row:
        """A run that is queued now."""
        number, settings = self._next(), self.jobs[job]
        named = [
            {
                **parameter,
                **({"value": (parameters or {})[parameter["name"]]} if parameter["name"] in (parameters or {}) else {}),
            }
            for parameter in settings.get("parameters", [])
        ]
        run: Row = {
            "job_id": job,
            "run_id": number,
            "number_in_job": number,
            "original_attempt_run_id": number,
            "run_name": settings["name"],
            "run_type": "JOB_RUN",
            "run_page_url": f"{HOST}/#job/{job}/run/{number}",
            "creator_user_name": "etl@example.com",
            "trigger": trigger,
            "start_time": ms(self.now),
            "end_time": 0,
            **({"job_parameters": named} if named else {}),
            **state_of("QUEUED"),
            "tasks": [self._task(task) for task in settings["tasks"]],
        }
        self.runs.append(run)
        return run

    def _next(self) -> int:
        self._made += 1
        return self._made

    def _task(self, task: Row, attempt: int = 0) -> Row:
        number = self._next()
        times = {"start_time": 0, "end_time": 0, "attempt_number": attempt}
        return {**deepcopy(task), "run_id": number, **times, **state_of("QUEUED")}

    def tick(self, seconds: int = 5) -> None:
        """Time goes on; what is queued runs to its end."""
        self.now += timedelta(seconds=seconds)
        for job in sorted(self.by_the_clock):
            if self.jobs[job]["schedule"]["pause_status"] == "UNPAUSED":
                self.start(job, "PERIODIC")
        for run in self.runs:
            if run["status"]["state"] in ("QUEUED", "RUNNING"):
                self._go(run)

    def _go(self, run: Row) -> None:
        how = self.outcome.get(run["job_id"], "SUCCESS")
        for task in run["tasks"]:
            if task["status"]["state"] == "TERMINATED":
                continue
            task["start_time"] = task["start_time"] or ms(self.now)
            if how == "hang":
                task.update(state_of("RUNNING"))
                continue
            red = how == "FAILED" and task is run["tasks"][-1]
            task.update({**state_of("TERMINATED", "FAILED" if red else "SUCCESS"), "end_time": ms(self.now) + 2000})
            details = {"error": "ValueError: bad row 7", "error_trace": "Traceback: line 3\nValueError: bad row 7"}
            self.outputs[task["run_id"]] = details if red else {"logs": "42 rows\n", "logs_truncated": False}
        if how == "hang":
            self._set_state(run, state_of("RUNNING"), 0)
            return
        red = any(task["state"].get("result_state") != "SUCCESS" for task in run["tasks"])
        self._set_state(run, state_of("TERMINATED", "FAILED" if red else "SUCCESS"), ms(self.now) + 2000)
        run |= {"run_duration": 2000, "setup_duration": 500, "execution_duration": 1500}

    def _set_state(self, run: Row, state: Row, end: int) -> None:
        """The run's state, and that of its latest attempt."""
        run |= {**state, "end_time": end}
        if run.get("repair_history"):
            run["repair_history"][-1] |= {**deepcopy(state), "end_time": end}

    def end(self, run: Row, result: str) -> None:
        for task in run["tasks"]:
            if task["status"]["state"] != "TERMINATED":
                task |= {**state_of("TERMINATED", result), "end_time": ms(self.now)}
                task["start_time"] = task["start_time"] or ms(self.now)
        self._set_state(run, state_of("TERMINATED", result), ms(self.now))

    def repair(self, run: Row, keys: list[str]) -> int:
        """A further attempt of these tasks, of the run's others none."""
        if not run.get("repair_history"):
            first = {
                "id": run["run_id"],
                "type": "ORIGINAL",
                "start_time": run["start_time"],
                "end_time": run["end_time"],
            }
            run["repair_history"] = [{**first, "state": deepcopy(run["state"]), "status": deepcopy(run["status"])}]
        number = self._next()
        fresh = {task["task_key"]: task["attempt_number"] + 1 for task in run["tasks"] if task["task_key"] in keys}
        settings = {task["task_key"]: task for task in self.jobs[run["job_id"]]["tasks"]}
        named = [(task["task_key"], task) for task in run["tasks"]]
        run["tasks"] = [self._task(settings[key], fresh[key]) if key in fresh else item for key, item in named]
        mine = {"id": number, "type": "REPAIR", "start_time": ms(self.now), "end_time": 0}
        run["repair_history"].append({**mine, **state_of("QUEUED")})
        run |= {**state_of("QUEUED"), "end_time": 0}
        return number

    # -- its endpoint -----------------------------------------------------------------------------------------------
    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        path, parameters = request.url.path, dict(request.url.params)
        if path == "/oidc/v1/token":
            return self._sign_in(request)
        body = json.loads(request.content or b"null")
        self.requests.append((path, request.method, body if request.method == "POST" else parameters))
        if request.headers.get("authorization") not in ("Bearer right", f"Bearer machine-{self.signed_in}"):
            return self._error(401, "UNAUTHENTICATED", "Credential was not sent or was of an unsupported type")
        if self.forbidden and re.search(self.forbidden, path):
            return self._error(403, "PERMISSION_DENIED", "User does not have the permission")
        answer = self._route(path.removeprefix("/api/2.2/jobs"), parameters, body)
        if self.lose_answer_of and re.search(self.lose_answer_of, path):
            self.lose_answer_of = ""
            raise httpx.ReadError("the line broke", request=request)
        return answer

    def _sign_in(self, request: httpx.Request) -> httpx.Response:
        pair = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        if pair != "robot:right" or b"grant_type=client_credentials&scope=all-apis" != request.content:
            return self._reply(401, {"error": "invalid_client"})
        self.signed_in += 1
        token = {"access_token": f"machine-{self.signed_in}", "token_type": "Bearer", "expires_in": 3600}
        return self._reply(200, token)

    def _reply(self, status: int, body: Any) -> httpx.Response:
        return httpx.Response(status, json=body, headers={"date": format_datetime(self.now, usegmt=True)})

    def _error(self, status: int, code: str, message: str) -> httpx.Response:
        return self._reply(status, {"error_code": code, "message": message})

    def _route(self, path: str, row: Row, body: Any) -> httpx.Response:
        reads = {"/list": self._jobs, "/get": self._job, "/runs/list": self._listed, "/runs/get": self._run,
                 "/runs/get-output": self._output}  # fmt: skip
        acts = {"/run-now": self._run_now, "/runs/repair": self._repair, "/runs/cancel": self._cancel,
                "/update": self._update}  # fmt: skip
        if path in reads:
            return reads[path](row)
        return acts[path](body) if path in acts else self._error(404, "ENDPOINT_NOT_FOUND", path)

    def _page(self, name: str, rows: list[Row], row: Row, most: int) -> httpx.Response:
        limit, first = int(row.get("limit", 20)), int(row.get("page_token", 0))
        if limit > most:
            return self._error(400, "INVALID_PARAMETER_VALUE", f"limit must be at most {most}")
        more = {"next_page_token": str(first + limit)} if first + limit < len(rows) else {}
        return self._reply(200, {name: rows[first : first + limit], "has_more": bool(more), **more})

    # -- its lists --------------------------------------------------------------------------------------------------
    def _job_row(self, number: int) -> Row:
        head = {"job_id": number, "creator_user_name": "etl@example.com", "created_time": 1_795_000_000_000}
        return {**head, "settings": self.jobs[number]}

    def _jobs(self, row: Row) -> httpx.Response:
        rows = [_short(self._job_row(number)) for number in self.jobs]
        return self._page("jobs", rows, row, 100)

    def _job(self, parameters: Row) -> httpx.Response:
        number = int(parameters["job_id"])
        if number not in self.jobs:
            return self._error(400, "INVALID_PARAMETER_VALUE", f"Job {number} does not exist.")
        row, first = self._job_row(number), int(parameters.get("page_token", 0))
        tasks = row["settings"]["tasks"]
        more = {"next_page_token": str(first + 100)} if first + 100 < len(tasks) else {}
        return self._reply(200, {**row, "settings": {**row["settings"], "tasks": tasks[first : first + 100]}, **more})

    def _listed(self, row: Row) -> httpx.Response:
        since, until = int(row.get("start_time_from", 0)), int(row.get("start_time_to", 1 << 60))
        if self.crowd:
            return self._crowded(row, since, until)
        rows = [run for run in self.runs if since <= run["start_time"] <= until]
        rows = [run for run in rows if "job_id" not in row or run["job_id"] == int(row["job_id"])]
        if row.get("active_only") == "true":
            rows = [run for run in rows if run["status"]["state"] != "TERMINATED"]
        rows.sort(key=lambda run: (run["start_time"], run["run_id"]), reverse=True)
        values = [{name: value for name, value in run.items() if name != "repair_history"} for run in rows]
        return self._page("runs", values, row, 25)

    def _crowded(self, row: Row, since: int, until: int) -> httpx.Response:
        """`crowd` green runs, one each half minute until an hour ago, made as they are requested."""
        newest, step = ms(self.now) - 3_600_000, 30_000
        low, high = max(0, -(-(newest - until) // step)), min(self.crowd, (newest - since) // step + 1)
        numbers = range(low, high) if row.get("active_only") != "true" else range(0)
        first, limit = int(row.get("page_token", 0)), int(row["limit"])
        job, ended = next(iter(self.jobs)), state_of("TERMINATED", "SUCCESS")
        head = {"job_id": job, "run_name": "crowd", "trigger": "PERIODIC", "tasks": []}
        rows = [
            {**head, **ended, "run_id": 10_000_000 - number, "start_time": newest - number * step,
             "end_time": newest - number * step + 1000}
            for number in numbers[first : first + limit]
        ]  # fmt: skip
        more = {"next_page_token": str(first + limit)} if first + limit < len(numbers) else {}
        return self._reply(200, {"runs": rows, "has_more": bool(more), **more})

    def _find(self, number: Any) -> Row | None:
        return next((run for run in self.runs if run["run_id"] == int(number)), None)

    def _run(self, row: Row) -> httpx.Response:
        run = self._find(row["run_id"])
        if run is None:
            return self._error(400, "INVALID_PARAMETER_VALUE", f"Run {row['run_id']} does not exist.")
        first, details = int(row.get("page_token", 0)), deepcopy(run)
        if row.get("include_history") != "true" or first:
            details.pop("repair_history", None)
        more = {"next_page_token": str(first + 100)} if first + 100 < len(run["tasks"]) else {}
        return self._reply(200, {**details, "tasks": details["tasks"][first : first + 100], **more})

    def _output(self, row: Row) -> httpx.Response:
        number = int(row["run_id"])
        if number not in self.outputs:
            return self._error(400, "INVALID_PARAMETER_VALUE", f"Run {number} has no output.")
        return self._reply(200, self.outputs[number])

    # -- what is done to it -----------------------------------------------------------------------------------------
    def _run_now(self, body: Row) -> httpx.Response:
        token = body.get("idempotency_token", "")
        if len(token) > 64 or body["job_id"] not in self.jobs:
            return self._error(400, "INVALID_PARAMETER_VALUE", "no such job, or the token is too long")
        if token not in self.tokens:
            self.tokens[token] = self.start(body["job_id"], parameters=body.get("job_parameters"))["run_id"]
        return self._reply(200, {"run_id": self.tokens[token], "number_in_job": self.tokens[token]})

    def _repair(self, body: Row) -> httpx.Response:
        run = self._find(body["run_id"])
        if run is None or run["status"]["state"] != "TERMINATED":
            return self._error(400, "INVALID_STATE", "The run is not terminated.")
        latest = run["repair_history"][-1]["id"] if run.get("repair_history") else None
        if body.get("latest_repair_id") != latest:
            return self._error(400, "INVALID_PARAMETER_VALUE", f"The latest repair ID is {latest}.")
        red = [task["task_key"] for task in run["tasks"] if task["state"].get("result_state") != "SUCCESS"]
        return self._reply(200, {"repair_id": self.repair(run, body.get("rerun_tasks") or red)})

    def _cancel(self, body: Row) -> httpx.Response:
        run = self._find(body["run_id"])
        if run is None:
            return self._error(400, "INVALID_PARAMETER_VALUE", "Run does not exist.")
        if run["status"]["state"] != "TERMINATED":
            self.end(run, "CANCELED")
        return self._reply(200, {})

    def _update(self, body: Row) -> httpx.Response:
        settings = self.jobs.get(body["job_id"])
        if settings is None:
            return self._error(400, "INVALID_PARAMETER_VALUE", "Job does not exist.")
        settings |= body.get("new_settings", {})
        for name in body.get("fields_to_remove", []):
            settings.pop(name, None)
        return self._reply(200, {})


def _short(row: Row) -> Row:
    """With the first hundred tasks, as lists have it."""
    tasks = row["settings"]["tasks"]
    if len(tasks) <= 100:
        return {**row, "has_more": False}
    return {**row, "has_more": True, "settings": {**row["settings"], "tasks": tasks[:100]}}
