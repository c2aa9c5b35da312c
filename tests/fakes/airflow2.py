"""A small Airflow 2 in front of the fake Airflow 3: its paths, its rows and what it refuses, as measured on 2.11.0."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx

from tests.fakes.airflow import FakeAirflow, is_dated
from tests.fakes.airflow_actions import Row

ACCOUNT = base64.b64encode(b"headway:right").decode()
REMOVED_FROM_RUNS = ("queued_at", "run_after", "dag_versions", "bundle_version", "_updated")
REMOVED_FROM_TASKS = ("id", "run_after", "scheduled_when", "dag_version", "_updated")
KNOWN = {"limit", "offset", "order_by", "updated_at_gte", "updated_at_lte", "state", "paused", "map_index", "token"} | {
    "execution_date_gte",
    "execution_date_lte",
    "only_active",
}
STARTED_WITH = {"dag_run_id", "logical_date", "data_interval_start", "data_interval_end", "note", "conf"}
REMOVED_FROM_DAGS = ("timetable_summary", "latest_dag_version")
TASKS = r"/dags/([^/]+)/dagRuns/([^/]+)/taskInstances"


class FakeAirflow2:
    """One Airflow 2 whose estate is `inner`; `inner.requests` are its requests, with its own paths."""

    def __init__(self, inner: FakeAirflow, subdags: Collection[str] = ()) -> None:
        self.inner, self.subdags = inner, subdags
        self.inner.tokens = {"inner"}

    @property
    def transport(self) -> httpx.MockTransport:
        """What a connector is opened with."""
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """One answer. Raises httpx.ReadError after the work was done, for the call named by `lose_answer_of`."""
        path = request.url.raw_path.decode().partition("?")[0]
        self.inner.requests.append((request.method, path))
        if self.inner.long_log and "/logs/" in path:
            return self.inner._long_log(request)
        status, body = self._answer(request, path)
        if self.inner.lose_answer_of and re.search(self.inner.lose_answer_of, path) and request.method != "GET":
            self.inner.lose_answer_of = ""
            raise httpx.ReadError("connection reset")
        headers = {"date": format_datetime(self.inner.now.replace(microsecond=0), usegmt=True)}
        return httpx.Response(status, json=body, headers=headers)

    def _answer(self, request: httpx.Request, path: str) -> tuple[int, Any]:
        if not path.startswith("/api/v1/"):
            return problem(404, "Not Found")
        path = path.removeprefix("/api/v1")
        if path in ("/version", "/health"):
            return self._inner("GET", "/version" if path == "/version" else "/monitor/health", {}, {}, path)
        if request.headers.get("authorization") != f"Basic {ACCOUNT}":
            return problem(401, "Unauthorized")
        if self.inner.forbidden and re.search(self.inner.forbidden, path) and request.method != "GET":
            return problem(403, "Forbidden")
        query = {name: values[-1] for name, values in parse_qs(request.url.query.decode(), True).items()}
        if extra := sorted(set(query) - KNOWN):
            return problem(400, f"Extra query parameter(s) {extra} not in spec")
        body = json.loads(request.content) if request.content else {}
        return self._routed(request.method, path, query, body)

    def _routed(self, method: str, path: str, query: Row, body: Row) -> tuple[int, Any]:
        if method == "GET" and (match := re.fullmatch(r"/dags/([^/]+)", path)):
            return 200, {"dag_id": unquote(match[1]), "is_subdag": unquote(match[1]) in self.subdags}
        if path in ("/dags/~/dagRuns", "/dags/~/dagRuns/~/taskInstances"):
            return self._changed(path, query)
        if path.endswith("/upstreamDatasetEvents"):
            payload = self._inner(method, path.replace("DatasetEvents", "AssetEvents"), query, body)[1]
            return 200, {"dataset_events": payload["asset_events"]}
        if path == "/datasets":
            return 200, {"datasets": [], "total_entries": 0}
        if match := re.fullmatch(r"(/dags/[^/]+/dagRuns/[^/]+(?:/taskInstances/([^/]+))?)/setNote", path):
            return self._noted(match[1], match[2], body["note"])
        if path.endswith("/clearTaskInstances"):
            return self._cleared(unquote(path.split("/")[2]), body)
        if method == "PATCH" and (match := re.fullmatch(rf"{TASKS}/([^/]+)", path)):
            return self._marked(unquote(match[1]), unquote(match[2]), unquote(match[3]), body)
        if method == "POST" and path.endswith("/dagRuns"):
            return self._triggered(path, query, body)
        if path.endswith("/clear"):
            run = self.inner.run(*(unquote(part) for part in path.split("/")[2:5:2]))
            return (403, {}) if self.inner.role == "viewer" else (404 if run is None else 500, {"detail": "not played"})
        return self._inner(method, path, query, body)

    def _inner(self, method: str, path: str, query: Row, body: Row, shown: str = "") -> tuple[int, Any]:
        """The answer of the Airflow 3 behind, in the format of Airflow 2."""
        query = {name.replace("execution_date", "logical_date"): value for name, value in query.items()}
        query |= {"exclude_stale": query["only_active"]} if "only_active" in query else {}
        headers = {"authorization": "Bearer inner"}
        sent = httpx.Request(method, f"http://a/api/v2{path}", params=query, json=body, headers=headers)
        status, payload = self.inner._answer(sent, sent.url.raw_path.decode().partition("?")[0])
        if shown == "/version":
            return 200, {"version": "2.11.0", "git_version": None}
        return status, as_2(payload) if status < 300 else payload

    def _changed(self, path: str, query: Row) -> tuple[int, Any]:
        name, rows = (
            ("dag_runs", self.inner.runs) if path.endswith("Runs") else ("task_instances", self.inner.instances)
        )
        if "order_by" in query and name == "task_instances":
            return problem(400, "Extra query parameter(s) order_by not in spec")
        until = datetime.fromisoformat(query["updated_at_lte"]) if "updated_at_lte" in query else self.inner.now
        since = datetime.fromisoformat(query.get("updated_at_gte", "1970-01-01T00:00:00Z"))
        results = [row for row in rows if since <= row["_updated"] <= until]
        if span := {name: value for name, value in query.items() if name.startswith("execution_date")}:
            span = {name.replace("execution_date", "logical_date"): value for name, value in span.items()}
            results = [row for row in results if is_dated(row, span)]
        first, limit = int(query.get("offset", 0)), min(self.inner.page_limit, int(query["limit"]))
        return 200, as_2({name: results[first : first + limit], "total_entries": len(results)})

    def _noted(self, path: str, task: str | None, note: str) -> tuple[int, Any]:
        if self.inner.role == "viewer":
            return problem(403, "Forbidden")
        dag, run = (unquote(part) for part in path.split("/")[2:5:2])
        row = self.inner.run(dag, run)
        rows = [row] if row and not task else self._tasks(dag, run, {unquote(task or "")})
        for entry in rows:
            entry["note"] = note or None
        return (200, as_2(dict(rows[0]))) if rows else problem(404, "DAGRun not found")

    def _tasks(self, dag: str, run: str, names: set[str]) -> list[Row]:
        return [row for row in self.inner.tasks_of(dag, run) if row["task_id"] in names]

    def _cleared(self, dag: str, body: Row) -> tuple[int, Any]:
        if extra := sorted(set(body) & {"note", "prevent_running_task", "run_on_latest_version"}):
            return problem(400, f"{extra}: Unknown field")
        if body.get("task_ids"):
            status, payload = self.inner.clear_tasks([dag], {}, body)
        else:
            status, payload = self.inner.clear_run(
                [dag, body["dag_run_id"]], {}, {"only_failed": True, **body, "dry_run": True}
            )
            if status == 200 and not body["dry_run"]:
                self.inner.clear_run([dag, body["dag_run_id"]], {}, {"only_failed": True, **body})
        if status != 200:
            return problem(status, "no")
        named = ("dag_id", "dag_run_id", "task_id")
        return 200, {"task_instances": [{name: row[name] for name in named} for row in payload["task_instances"]]}

    def _marked(self, dag: str, run: str, task: str, body: Row) -> tuple[int, Any]:
        if "note" in body:
            return problem(400, "note: Unknown field")
        rows = self._tasks(dag, run, {task})
        note = rows[0]["note"] if rows else None
        status, payload = self.inner.mark_task([dag, run, task], {}, {**body, "note": note})
        return (200, {}) if status == 200 else (status, payload)

    def _triggered(self, path: str, query: Row, body: Row) -> tuple[int, Any]:
        if self.inner.role == "viewer":
            return problem(403, "Forbidden")
        if extra := sorted(
            set(body) - {"dag_run_id", "logical_date", "data_interval_start", "data_interval_end", "note", "conf"}
        ):
            return problem(400, f"{extra}: Unknown field")
        if ("data_interval_start" in body) != ("data_interval_end" in body):
            return problem(400, "Both must be specified together")
        return self._inner("POST", path, query, {"logical_date": self.inner.now.isoformat(), **body})


def problem(status: int, title: str) -> tuple[int, Row]:
    return status, {"title": title, "detail": None, "status": status, "type": "about:blank"}


def as_2(payload: Any) -> Any:
    """Rows of Airflow 3 as Airflow 2 has them."""
    if isinstance(payload, list):
        return [as_2(item) for item in payload]
    if not isinstance(payload, dict):
        return payload
    if "timetable_summary" in payload:
        payload = {**payload, "schedule_interval": {"__type": "CronExpression", "value": payload["timetable_summary"]}}
        payload |= {"next_dagrun_create_after": payload.get("next_dagrun_run_after"), "is_active": True}
        payload |= {
            "next_dagrun": payload.get("next_dagrun_logical_date"),
            "dataset_expression": payload.get("asset_expression"),
        }
    if "queued_at" in payload and "task_id" not in payload:
        return {name: value for name, value in payload.items() if name not in REMOVED_FROM_RUNS}
    if "map_index" in payload:
        return {name: value for name, value in payload.items() if name not in REMOVED_FROM_TASKS}
    values = {
        name: value
        for name, value in payload.items()
        if not name.startswith("timetable_s") and name != "latest_dag_version"
    }
    if isinstance(values.get("content"), list):
        text = "\n".join(str(item.get("event")) for item in values["content"])
        token = base64.urlsafe_b64encode(json.dumps({"end_of_log": True, "log_pos": len(text)}).encode()).decode()
        return {"content": repr([("worker", text)]), "continuation_token": token}
    return {name: as_2(value) for name, value in values.items()}
