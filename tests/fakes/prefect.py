"""A small Prefect 3 with a state, behind httpx: rows shaped like the recorded replies, a clock moved by hand.

It plays what the connector's tests need and no more: flow runs with every state that they had, events, task runs that
are not green, logs, deployments that are paused. What it does was measured on 3.8.8.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

RECORDINGS = Path(__file__).parents[1] / "recordings" / "prefect"
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
Row = dict[str, Any]


def recorded(name: str) -> Any:
    """The reply of a recording, fresh."""
    return json.loads((RECORDINGS / f"{name}.json").read_text())["response"]


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


class FakePrefect:
    """One Prefect. `outcome[job]` is "COMPLETED" (default), "FAILED", "partial" or "hang" for the runs that go next; a
    job of `by_the_clock` is due at each tick. `forbidden` and `lose_answer_of` are patterns of paths. `events` False: a
    server that has none."""

    def __init__(self, *jobs: str) -> None:
        self.now = datetime.now(UTC) - timedelta(minutes=30)
        self.jobs = jobs
        self.outcome: dict[str, str] = {}
        self.by_the_clock: set[str] = set()
        self.runs: list[Row] = []
        self.history: dict[str, list[Row]] = {}
        self.tasks: list[Row] = []
        self.lines: list[Row] = []
        self.feed: list[Row] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.forbidden = self.lose_answer_of = ""
        self.events = True
        self.work_pools: list[Row] = []
        """Empty: this account may not read them."""
        self._made = 0
        self.flows = {name: self._uuid() for name in dict.fromkeys(job.partition("/")[0] for job in jobs)}
        self.deployments = {job: self._deployment(job) for job in jobs if "/" in job}

    # -- its life ---------------------------------------------------------------------------------------------------
    def _uuid(self) -> str:
        self._made += 1
        return str(UUID(int=(0x01A1F7BA << 96) + self._made, version=4))

    def _deployment(self, job: str) -> Row:
        flow, _, name = job.partition("/")
        mine = {"id": self._uuid(), "name": name, "flow_id": self.flows[flow], "description": "As\npeople wrote it"}
        return {**deepcopy(recorded("deployments_filter")[1]), **mine, "paused": False, "tags": []}

    def start(self, job: str, **more: Any) -> Row:
        """A run that is scheduled now."""
        template, flow = recorded("flow_runs_filter")[0], job.partition("/")[0]
        mine: Row = {"id": self._uuid(), "flow_id": self.flows[flow], "deployment_id": None, "labels": {}}
        if "/" in job:
            mine["deployment_id"] = self.deployments[job]["id"]
        times = {
            "start_time": None,
            "end_time": None,
            "total_run_time": 0.0,
            "created": stamp(self.now),
            "run_count": 0,
            "expected_start_time": stamp(self.now),
        }
        row: Row = {**template, **mine, **times, "parent_task_run_id": None, "_job": job, **more}
        self.runs.append(row)
        self.set(row, "SCHEDULED", "Scheduled")
        return row

    def set(self, row: Row, kind: str, name: str = "", message: str | None = None) -> Row:
        """A new state, with its event."""
        self.now += timedelta(milliseconds=10)
        at, was = stamp(self.now), row.get("state_type")
        state = {"id": self._uuid(), "type": kind, "name": name or kind.title(), "timestamp": at, "message": message}
        if was == "RUNNING":
            row["total_run_time"] += (self.now - row["_running"]).total_seconds()
        if kind == "RUNNING":
            row |= {"run_count": row["run_count"] + 1, "start_time": row["start_time"] or at, "_running": self.now}
        row |= {"state": state, "state_type": kind, "state_name": state["name"], "state_id": state["id"]}
        row["end_time"] = at if kind in ENDED else None
        self.history.setdefault(row["id"], []).append(state)
        event = deepcopy(recorded("events_filter")["events"][0])
        event["resource"]["prefect.resource.id"] = f"prefect.flow-run.{row['id']}"
        self.feed.append({**event, "occurred": at, "event": f"prefect.flow-run.{state['name']}"})
        return state

    def tick(self, seconds: float = 1.0) -> None:
        """Time goes on; what is scheduled runs to its end, what is being cancelled ends."""
        self.now += timedelta(seconds=seconds)
        for job in sorted(self.by_the_clock):
            if not self.deployments[job]["paused"]:
                self.start(job, auto_scheduled=True)
        for row in self.runs:
            if row["state_type"] == "SCHEDULED":
                self._run(row)
            elif row["state_type"] == "CANCELLING":
                self.set(row, "CANCELLED", message="Flow run was cancelled successfully.")

    def _run(self, row: Row) -> None:
        self.set(row, "PENDING")
        self.set(row, "RUNNING")
        self.write(row, "reading /data/orders.csv")
        how = self.outcome.get(row["_job"], "COMPLETED")
        if how == "hang":
            return
        if how == "partial":
            self.task(row, "transform-3d7")
        if how == "FAILED":
            self.write(row, "Encountered an exception: bad row 7", 40)
        message = "Flow run encountered an exception: ValueError: bad row 7"
        self.set(row, "FAILED" if how == "FAILED" else "COMPLETED", message=message if how == "FAILED" else None)

    def task(self, row: Row, name: str, kind: str = "FAILED", term: str = "Failed") -> None:
        item = deepcopy(recorded("task_runs_filter")[0])
        state = {**item["state"], "timestamp": stamp(self.now), "type": kind, "name": term}
        mine = {"id": self._uuid(), "flow_run_id": row["id"], "name": name, "state_type": kind, "state_name": term}
        self.tasks.append({**item, **mine, "state": state})

    def write(self, row: Row, message: str, level: int = 20) -> None:
        self.now += timedelta(milliseconds=1)
        entry = {"id": self._uuid(), "timestamp": stamp(self.now), "message": message, "level": level}
        self.lines.append({**recorded("logs_filter")[0], **entry, "flow_run_id": row["id"]})

    # -- its endpoint -----------------------------------------------------------------------------------------------
    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, body = request.url.path.removeprefix("/api"), json.loads(request.content or b"null")
        self.requests.append((request.method, path, body))
        if self.forbidden and re.search(self.forbidden, path):
            return self._reply(403, {"detail": "Forbidden"})
        answer = self._route(request.method, path, body, request)
        if self.lose_answer_of and re.search(self.lose_answer_of, path):
            self.lose_answer_of = ""
            raise httpx.ReadError("the line broke", request=request)
        return answer

    def _reply(self, status: int, body: Any) -> httpx.Response:
        content = b"" if status == 204 else json.dumps(body).encode()
        kind = {"content-type": "application/json", "date": format_datetime(self.now, usegmt=True)}
        return httpx.Response(status, content=content, headers=kind)

    def _route(self, method: str, path: str, body: Any, request: httpx.Request) -> httpx.Response:
        lists: dict[str, Callable[[Any], list[Row]]] = {
            "/deployments/filter": self._deployments,
            "/flows/filter": self._flows,
            "/flow_runs/filter": self._filtered,
            "/task_runs/filter": self._tasks,
            "/logs/filter": self._logs,
            "/automations/filter": lambda body: [],
            **({"/work_pools/filter": lambda body: self.work_pools} if self.work_pools else {}),
        }
        if path == "/work_pools/filter" and path not in lists:
            return self._reply(403, {"detail": "Forbidden"})
        if path == "/admin/version":
            return self._reply(200, recorded("version"))
        if path in lists:
            first, limit = body.get("offset", 0), body.get("limit", 200)
            if limit > 200:
                return self._reply(422, recorded("filter_limit_too_big"))
            return self._reply(200, [public(row) for row in lists[path](body)[first : first + limit]])
        if path.startswith("/events/filter"):
            return self._events(body, request.url.params.get("page-token"))
        if path == "/flow_run_states/":
            return self._reply(200, self.history.get(request.url.params["flow_run_id"], []))
        return self._one(method, path.strip("/").split("/"), body)

    def _one(self, method: str, parts: list[str], body: Any) -> httpx.Response:
        match parts:
            case ["deployments", "name", flow, name]:
                results = self.deployments.get(f"{flow}/{name}")
                return self._reply(200, results) if results else self._reply(404, {"detail": "Deployment not found"})
            case ["deployments", found_id, *rest]:
                job = next((job for job, row in self.deployments.items() if row["id"] == found_id), None)
                if job is None:
                    return self._reply(404, {"detail": "Deployment not found"})
                if rest == ["create_flow_run"]:
                    return self._create(job, body)
                self.deployments[job] |= body
                return self._reply(204, None)
            case ["flow_runs", run, *rest]:
                row = next((row for row in self.runs if row["id"] == run), None)
                if row is None:
                    return self._reply(404, recorded("flow_run_404"))
                return self._set_state(row, body) if rest == ["set_state"] else self._reply(200, public(row))
        return self._reply(404, {"detail": "Not Found"})

    def _create(self, job: str, body: Row) -> httpx.Response:
        key = body.get("idempotency_key")
        same = next((row for row in self.runs if key and row["idempotency_key"] == key), None)
        if same is not None:
            return self._reply(200, public(same))
        at = body.get("state", {}).get("state_details", {}).get("scheduled_time") or stamp(self.now)
        row = self.start(job, idempotency_key=key, labels=body.get("labels") or {}, expected_start_time=at)
        return self._reply(201, public(row))

    def _set_state(self, row: Row, body: Row) -> httpx.Response:
        expected = body["state"]
        if row["state_type"] in ENDED and expected["type"] in ("CANCELLING", *ENDED) and not body["force"]:
            refused = recorded("set_state_cancel_terminal")
            return self._reply(200, {**refused, "state": row["state"]})
        state = self.set(row, expected["type"], expected.get("name", ""), expected.get("message"))
        return self._reply(201, {**recorded("set_state_rerun"), "state": state})

    # -- its lists --------------------------------------------------------------------------------------------------
    def _deployments(self, body: Row) -> list[Row]:
        expected = body.get("deployments", {}).get("id", {}).get("any_")
        return [row for _, row in sorted(self.deployments.items()) if expected is None or row["id"] in expected]

    def _flows(self, body: Row) -> list[Row]:
        expected = body.get("flows", {}).get("id", {}).get("any_")
        alone = {row["flow_id"] for row in self.runs if row["deployment_id"] is None}
        rows = [{**recorded("flows_filter")[0], "id": result, "name": name} for name, result in self.flows.items()]
        rows = [row for row in rows if "flow_runs" not in body or row["id"] in alone]
        return [row for row in rows if expected is None or row["id"] in expected]

    def _filtered(self, body: Row) -> list[Row]:
        where, sort = body.get("flow_runs", {}), body.get("sort")
        unknown = where.keys() - {*TIMES, "id", "state", "deployment_id", "idempotency_key"}
        assert not unknown, f"Prefect would answer 422: {unknown}"
        rows = [row for row in self.runs if _matches(row, where)]
        name = {"EXPECTED_START_TIME_ASC": "expected_start_time", "START_TIME_ASC": "start_time"}.get(sort or "")
        return sorted(rows, key=lambda row: (row[name], row["id"])) if name else rows[::-1]

    def _tasks(self, body: Row) -> list[Row]:
        expected = body.get("flow_runs", {}).get("id", {}).get("any_", [])
        return [row for row in self.tasks if row["flow_run_id"] in expected]

    def _logs(self, body: Row) -> list[Row]:
        where = body.get("logs", {"flow_run_id": {"any_": []}})
        rows = [row for row in self.lines if row["flow_run_id"] in where["flow_run_id"]["any_"]]
        rows = [row for row in rows if _between(row["timestamp"], where.get("timestamp", {}))]
        return rows[::-1] if body.get("sort") == "TIMESTAMP_DESC" else rows

    def _events(self, body: Any, token: str | None) -> httpx.Response:
        if not self.events:
            return self._reply(404, {"detail": "Not Found"})
        since, first = (
            json.loads(base64.b64decode(token))
            if token
            else (body.get("filter", {}).get("occurred", {}).get("since", stamp(self.now)), 0)
        )
        rows = [row for row in self.feed if _between(row["occurred"], {"after_": since})]
        following = base64.b64encode(json.dumps([since, first + 50]).encode()).decode()
        link = f"http://elsewhere/api/events/filter/next?page-token={following}" if len(rows) > first + 50 else None
        return self._reply(200, {"events": rows[first : first + 50], "total": len(rows), "next_page": link})


TIMES = ("expected_start_time", "next_scheduled_start_time", "start_time", "end_time")


def _matches(row: Row, where: Row) -> bool:
    state = where.get("state", {}).get("type", {}).get("any_")
    named = (
        row.get(name) in where[name]["any_"] for name in ("id", "deployment_id", "idempotency_key") if name in where
    )
    timed = (row[name] is not None and _between(row[name], where[name]) for name in TIMES if name in where)
    return (state is None or row["state_type"] in state) and all(named) and all(timed)


def _between(at: str, where: Row) -> bool:
    when = datetime.fromisoformat(at)
    after, before = (where.get(name) for name in ("after_", "before_"))
    return (after is None or when >= datetime.fromisoformat(after)) and (
        before is None or when <= datetime.fromisoformat(before)
    )


def public(row: Row) -> Row:
    return {name: value for name, value in row.items() if not name.startswith("_")}
