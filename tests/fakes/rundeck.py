"""A small Rundeck with a state, behind httpx: answers by the examples of Rundeck's API reference.

Specified, not recorded: nobody here saw Rundeck itself. Its clock is moved by hand.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

Row = dict[str, Any]
API = "/api/41"
PROJECT = f"{API}/project/etl"
LOG = "12:00:01 [etl@db07 1/2] reading\n12:00:02 [etl@db07 2/2] exit 3\n"
LOAD, MART = "7400ff98-31c4-4834-ba3d-aee9646e867f", "0f33a1c7-6a38-4a57-9c1c-8b1d7c1d2a11"


def written(at: datetime) -> Row:
    return {"unixtime": round(at.timestamp() * 1000), "date": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


class FakeRundeck:
    """`hangs` names jobs whose executions do not end. `forbidden`: a pattern of calls that answer 403."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(seconds=30)
        self.jobs = [self._job(LOAD, "load orders"), self._job(MART, "mart")]
        self.executions: list[Row] = []
        self.hangs: set[str] = set()
        self.forbidden = ""
        self.mode = "active"
        self.requests: list[str] = []
        for hours in (6, 5, 4):
            self.execution(LOAD, "failed", self.now - timedelta(hours=hours))
            self.execution(MART, "succeeded", self.now - timedelta(hours=hours, minutes=-10))

    def _job(self, job_id: str, name: str) -> Row:
        return {
            "id": job_id, "name": name, "group": None, "project": "etl", "description": "",
            "href": f"https://rundeck.example.com{API}/job/{job_id}",
            "permalink": f"https://rundeck.example.com/project/etl/job/show/{job_id}",
            "scheduled": True, "scheduleEnabled": True, "enabled": True,
        }  # fmt: skip

    def execution(self, job: str, status: str, at: datetime) -> Row:
        """One of a command without a job where `job` is empty."""
        number = 380 + len(self.executions)
        row: Row = {
            "id": number, "href": f"https://rundeck.example.com{API}/execution/{number}",
            "permalink": f"https://rundeck.example.com/project/etl/execution/show/{number}", "status": status,
            "project": "etl", "user": "admin", "date-started": written(at), "description": "echo", "argstring": None,
        }  # fmt: skip
        if status not in ("running", "scheduled", "queued"):
            row["date-ended"] = written(at + timedelta(minutes=3))
        if job:
            row["job"] = {"id": job, "averageDuration": 6094, "name": "a job", "project": "etl"}
        self.executions.append(row)
        return row

    def tick(self) -> None:
        """Time goes on, and running executions end."""
        self.now += timedelta(seconds=30)
        for row in self.executions:
            if row["status"] == "running" and row["job"]["id"] not in self.hangs:
                row |= {"status": "succeeded", "date-ended": written(self.now)}

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {request.url.path.removeprefix(API)}"
        self.requests.append(call)
        if request.headers.get("x-rundeck-auth-token") != "right":
            return self._error(401, "unauthorized", "Not authenticated")
        if self.forbidden and re.search(self.forbidden, call):
            return self._error(403, "unauthorized", "Not authorized for action")
        return self._answer(request)

    def _reply(self, body: Any) -> httpx.Response:
        return httpx.Response(200, json=body, headers={"date": format_datetime(self.now, usegmt=True)})

    def _error(self, status: int, code: str, message: str) -> httpx.Response:
        body = {"error": True, "errorCode": f"api.error.{code}", "message": message, "apiversion": 41}
        return httpx.Response(status, json=body)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        match (request.method, *request.url.path.removeprefix(API).strip("/").split("/")):
            case ("GET", "project", "etl", "jobs"):
                return self._reply(self.jobs)
            case ("GET", "project", "etl", "executions"):
                return self._page(self._ended(request.url.params), request)
            case ("GET", "project", "etl", "executions", "running"):
                return self._page([row for row in self.executions if "date-ended" not in row], request)
            case ("GET", "system", "info"):
                executions = {"active": self.mode == "active", "executionMode": self.mode}
                return self._reply({"system": {"rundeck": {"apiversion": 41}, "executions": executions}})
            case (method, "execution", number, *rest):
                row = next((row for row in self.executions if str(row["id"]) == number), None)
                if row is None:
                    return self._error(404, "item.doesnotexist", f"Execution ID does not exist: {number}")
                return self._one(method, row, rest)
        return self._error(404, "invalid", "Invalid API request")

    def _ended(self, params: httpx.QueryParams) -> list[Row]:
        """The latest completion first; only those of jobs with adhoc=false."""
        since = int(params["begin"])
        rows = [row for row in self.executions if "date-ended" in row and row["date-ended"]["unixtime"] >= since]
        rows = [row for row in rows if "job" in row or params.get("adhoc") != "false"]
        return sorted(rows, key=lambda row: int(row["date-ended"]["unixtime"]), reverse=True)

    def _page(self, rows: list[Row], request: httpx.Request) -> httpx.Response:
        first, size = int(request.url.params.get("offset", 0)), int(request.url.params.get("max", 20))
        page = rows[first : first + size]
        paging = {"count": len(page), "total": len(rows), "offset": first, "max": size}
        return self._reply({"paging": paging, "executions": page})

    def _one(self, method: str, row: Row, rest: list[str]) -> httpx.Response:
        match (method, *rest):
            case ("GET",):
                return self._reply(row)
            case ("GET", "output"):
                return httpx.Response(200, text=LOG)
            case ("POST", "abort"):
                row |= {"status": "aborted", "abortedby": "headway", "date-ended": written(self.now)}
                return self._reply(
                    {"abort": {"status": "pending"}, "execution": {"id": row["id"], "status": "running"}}
                )
        return self._error(405, "method", "Method not allowed")
