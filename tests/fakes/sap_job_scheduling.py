"""A small SAP Job Scheduling service with a state, behind httpx: answers by the examples of its REST API.

Specified, not recorded: nobody here saw the service itself. Its clock is moved by hand.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

Row = dict[str, Any]
JOB = "/scheduler/jobs/42"
ACCOUNT = f"Basic {b64encode(b'headway:right').decode()}"
LOAD, MART = "cb5c9def-e2a0-4294-8a51-61e4db373f99", "5f58c2fb-a428-4f4b-9e1d-312e3be8952c"
MOST = 100
RUN_TEXT = '[{"time":"2026-08-10 11:00:00","type":"ERROR","text":"Response: relation orders is missing\\n","code":500}]'


def written(at: datetime, mark: str = "T") -> str:
    """As the service writes an instant: in UTC, without its zone."""
    return at.astimezone(UTC).strftime(f"%Y-%m-%d{mark}%H:%M:%S")


class FakeSapJobScheduling:
    """`hangs` names schedules whose runs do not end. `forbidden`: a pattern of calls that answer 403. `newest_first`:
    the order of run logs, which the documentation leaves open."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(seconds=30)
        self.schedules = [self._schedule(LOAD, "Nightly load"), self._schedule(MART, "Mart")]
        self.runs: list[Row] = []
        self.newest_first = True
        self.run_text = RUN_TEXT
        self.hangs: set[str] = set()
        self.forbidden = ""
        self.requests: list[str] = []
        for hours in (6, 5, 4):
            self.run(LOAD, "COMPLETED ERROR", self.now - timedelta(hours=hours))
            self.run(MART, "COMPLETED SUCCESS", self.now - timedelta(hours=hours, minutes=-10))

    def _schedule(self, schedule_id: str, description: str) -> Row:
        return {
            "scheduleId": schedule_id, "description": description, "data": '{"order_id":"1234"}', "type": "recurring",
            "cron": "* * * * */1 0 0", "repeatInterval": None, "repeatAt": None, "active": True,
            "startTime": "2026-10-20 00:00:00", "endTime": None, "time": None,
            "nextRunAt": written(self.now + timedelta(hours=1), " "), "modifiedAt": "2026-10-20 00:00:00",
        }  # fmt: skip

    def run(self, schedule: str, state: str, at: datetime) -> Row:
        """One that is only scheduled has not begun."""
        run_status, _, run_state = state.partition(" ")
        row: Row = {
            "runId": f"a18633fe-b299-41b5-9562-{len(self.runs):012}", "runText": self.run_text, "httpStatus": 200,
            "executionTimestamp": None if run_status == "SCHEDULED" else written(at),
            "runStatus": run_status, "runState": run_state, "scheduleTimestamp": written(at - timedelta(minutes=2)),
            "completionTimestamp": written(at + timedelta(minutes=3)) if run_status == "COMPLETED" else None,
            "schedule": schedule,
        }  # fmt: skip
        self.runs.append(row)
        return row

    def tick(self) -> None:
        """Time goes on, and runs end."""
        self.now += timedelta(seconds=30)
        for row in self.runs:
            if row["runStatus"] == "RUNNING" and row["schedule"] not in self.hangs:
                row |= {"runStatus": "COMPLETED", "runState": "SUCCESS", "completionTimestamp": written(self.now)}

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {request.url.path}"
        self.requests.append(call)
        if request.url.path == "/oauth/token":
            if request.headers.get("authorization") != ACCOUNT:
                return self._reply(401, {"error": "unauthorized", "error_description": "Bad credentials"})
            return self._reply(200, {"access_token": "eyJhbGci", "token_type": "bearer", "expires_in": 43199})
        if request.headers.get("authorization") != "Bearer eyJhbGci":
            return self._error(401, "Unauthorized")
        if self.forbidden and re.search(self.forbidden, call):
            return self._error(403, "Forbidden")
        if not request.url.path.startswith(f"{JOB}/schedules"):
            return self._error(404, "Job not found")
        return self._answer(request, request.url.path.removeprefix(f"{JOB}/schedules").strip("/").split("/"))

    def _reply(self, status: int, body: Any) -> httpx.Response:
        return httpx.Response(status, json=body, headers={"date": format_datetime(self.now, usegmt=True)})

    def _error(self, status: int, message: str) -> httpx.Response:
        text = f"Error in Job Scheduler action: {message}"
        return self._reply(status, {"code": status, "message": text, "type": message, "detailedError": text})

    def _answer(self, request: httpx.Request, path: list[str]) -> httpx.Response:
        if path == [""]:
            return self._page(self.schedules, request)
        schedule = next((row for row in self.schedules if row["scheduleId"] == path[0]), None)
        if schedule is None:
            return self._error(404, "Schedule not found")
        match (request.method, *path[1:]):
            case ("GET",):
                return self._reply(200, schedule)
            case ("PUT",):
                given = json.loads(request.content)
                assert {"active": given["active"] is True, "description": str(given["description"])} == given
                schedule |= given
                return self._reply(200, {**schedule, "jobId": 42})
            case ("GET", "runs"):
                rows = [_shown(row) for row in self.runs if row["schedule"] == path[0]]
                rows.sort(key=lambda row: str(row["scheduleTimestamp"]), reverse=self.newest_first)
                return self._page(rows, request)
            case ("GET", "runs", run_id):
                row = next((row for row in self.runs if row["runId"] == run_id), None)
                return self._error(404, "Run log not found") if row is None else self._reply(200, _shown(row))
        return self._error(404, "Not found")

    def _page(self, rows: list[Row], request: httpx.Request) -> httpx.Response:
        first, size = int(request.url.params.get("offset", 0)), min(int(request.url.params.get("page_size", 10)), MOST)
        return self._reply(200, {"total": len(rows), "results": rows[first : first + size]})


def _shown(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "schedule"}
