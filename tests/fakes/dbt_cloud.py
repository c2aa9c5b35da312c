"""A small dbt Cloud with a state, behind httpx: answers shaped as dbt publishes them (Administrative API v2).

Specified, not recorded: nobody here saw dbt Cloud itself. Its clock is moved by hand.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

Row = dict[str, Any]
QUEUED, RUNNING, SUCCESS, ERROR, CANCELLED = 1, 3, 10, 20, 30
BASE = "/api/v2/accounts/12345"


def shown(at: datetime) -> str:
    """As dbt Cloud writes an instant."""
    return str(at.astimezone(UTC))


class FakeDbtCloud:
    """`outcome[job]` is how its runs end that go next; `hangs` names jobs whose runs do not end. `forbidden`: a pattern
    of calls that answer 403."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(seconds=30)
        self.jobs = [self._job(501, "Nightly build", "0 3 * * *"), self._job(502, "Hourly sources", "0 * * * *")]
        self.runs: list[Row] = []
        """The oldest first."""
        self.steps = ["Cloning the repository\n", "Running with dbt=1.9\n2 of 5 ERROR creating orders\n"]
        self.outcome: dict[int, int] = {}
        self.hangs: set[int] = set()
        self.forbidden = ""
        self.requested: list[str] = []
        for hours in (6, 5, 4):
            self.run(501, ERROR, self.now - timedelta(hours=hours))
            self.run(502, SUCCESS, self.now - timedelta(hours=hours, minutes=-10))

    def _job(self, number: int, name: str, cron: str) -> Row:
        return {
            "id": number, "name": name, "account_id": 12345, "project_id": 7, "environment_id": 9, "state": 1,
            "execute_steps": ["dbt build"], "triggers": {"schedule": True, "github_webhook": False},
            "schedule": {"cron": cron, "date": {"type": "every_day"}},
            "settings": {"threads": 4, "target_name": "default"},
        }  # fmt: skip

    def run(self, job: int, status: int, at: datetime, cause: str = "scheduled") -> Row:
        ended = status in (SUCCESS, ERROR, CANCELLED)
        number = 9000 + len(self.runs)
        row: Row = {
            "id": number, "job_definition_id": job, "job_id": job, "status": status, "status_message": None,
            "created_at": shown(at), "started_at": None if status == QUEUED else shown(at + timedelta(seconds=20)),
            "finished_at": shown(at + timedelta(minutes=3)) if ended else None, "run_steps": [],
            "trigger": {"cause": cause}, "href": f"https://dbt.example.com/deploy/12345/runs/{number}",
        }  # fmt: skip
        self.runs.append(row)
        return row

    def tick(self) -> None:
        """Time goes on, and what waits is done."""
        self.now += timedelta(seconds=30)
        for row in self.runs:
            if row["status"] == QUEUED:
                row |= {"status": RUNNING, "started_at": shown(self.now)}
            if row["status"] == RUNNING and row["job_definition_id"] not in self.hangs:
                ends = self.outcome.get(row["job_definition_id"], SUCCESS)
                row |= {"status": ends, "finished_at": shown(self.now)}

    # -- its endpoint
    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(BASE)
        call = f"{request.method} {path}"
        self.requested.append(call)
        if request.headers.get("authorization") != "Bearer right":
            return self._reply(401, None)
        if self.forbidden and re.search(self.forbidden, call):
            return self._reply(403, None)
        return self._answer(request, path)

    def _reply(self, status: int, data: Any, total: int | None = None) -> httpx.Response:
        details: Row = {"status": {"code": status, "is_success": status < 300, "user_message": ""}, "data": data}
        if total is not None:
            details["extra"] = {"pagination": {"count": len(data), "total_count": total}}
        return httpx.Response(status, json=details, headers={"date": format_datetime(self.now, usegmt=True)})

    def _answer(self, request: httpx.Request, path: str) -> httpx.Response:
        match (request.method, *path.strip("/").split("/")):
            case ("GET", "jobs"):
                return self._page(self.jobs, request)
            case ("GET", "runs"):
                assert request.url.params["order_by"] == "-id"
                with_trigger = "trigger" in request.url.params.get("include_related", "")
                rows = [row if with_trigger else row | {"trigger": None} for row in reversed(self.runs)]
                return self._page(rows, request)
            case ("POST", "jobs", job, "run"):
                if int(job) not in {job["id"] for job in self.jobs}:
                    return self._reply(404, None)
                return self._reply(200, self.run(int(job), QUEUED, self.now, json.loads(request.content)["cause"]))
            case (method, "runs", number, *what):
                row = next((run for run in self.runs if str(run["id"]) == number), None)
                return self._reply(404, None) if row is None else self._one(method, row, what, request)
        return self._reply(404, None)

    def _page(self, rows: list[Row], request: httpx.Request) -> httpx.Response:
        first, size = int(request.url.params["offset"]), min(100, int(request.url.params["limit"]))
        return self._reply(200, rows[first : first + size], len(rows))

    def _one(self, method: str, row: Row, what: list[str], request: httpx.Request) -> httpx.Response:
        if (method, what) == ("POST", ["cancel"]):
            row |= {"status": CANCELLED, "status_message": "Cancelled by user.", "finished_at": shown(self.now)}
            return self._reply(200, row)
        if "run_steps" in request.url.params.get("include_related", ""):
            steps = [
                {"index": number, "name": f"step {number}", "logs": text} for number, text in enumerate(self.steps, 1)
            ]
            return self._reply(200, row | {"run_steps": steps})
        return self._reply(200, row)
