"""A small GitLab with a state, behind httpx: answers shaped as GitLab's REST documentation shows them (v4).

Specified, not recorded: it was written from the documentation alone. Its clock is moved by hand.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

Row = dict[str, Any]
PROJECT = "acme/etl"
ENDED = ("success", "failed", "canceled", "skipped")


def written(at: datetime) -> str:
    """As GitLab writes an instant."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


class FakeGitLab:
    """`outcome[name]` is how the next jobs of that name end; `hangs` names schedules whose pipelines do not end.
    `forbidden`: a pattern of calls that answer 403. `newest_first`: the order of a schedule's pipelines, which the
    documentation leaves open."""

    def __init__(self, project: str = PROJECT) -> None:
        self.project = project
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=30)
        self.schedules = [
            self._schedule(13, "Nightly load", "0 3 * * *", "Europe/Berlin"),
            self._schedule(14, "Hourly checks", "7 * * * *", "UTC"),
        ]
        self.pipelines: list[Row] = []
        """The oldest first, each with its schedule and all of its jobs, which replies leave out."""
        self.trace = "Running with gitlab-runner\nERROR: relation orders is missing\n"
        self.outcome: dict[str, str] = {}
        self.hangs: set[int] = set()
        self.forbidden = ""
        self.is_archived, self.builds = False, "enabled"
        self.newest_first = False
        self.me = "project_29_bot"
        self.requests: list[str] = []
        self._jobs = 1000
        for hours in (6, 5, 4):
            self.pipeline(13, "failed", self.now - timedelta(hours=hours))
            self.pipeline(14, "success", self.now - timedelta(hours=hours, minutes=-10))

    def _schedule(self, number: int, text: str, cron: str, zone: str) -> Row:
        return {
            "id": number, "description": text, "ref": "refs/heads/main", "cron": cron, "cron_timezone": zone,
            "next_run_at": written(self.now + timedelta(hours=1)), "active": True, "created_at": written(self.now),
            "updated_at": written(self.now), "owner": {"name": "Ann", "username": "ann", "id": 1, "state": "active"},
        }  # fmt: skip

    def pipeline(self, schedule: int, status: str, at: datetime) -> Row:
        """A pipeline of two jobs, `extract` and then `load`, which has the status."""
        row: Row = {
            "id": 300 + len(self.pipelines), "iid": 1 + len(self.pipelines), "project_id": 29, "status": status,
            "source": "schedule", "ref": "main", "sha": "50f0acb76a40e34a4ff304f7347dcc6587da8a14", "name": None,
            "web_url": f"https://gitlab.example.com/{self.project}/-/pipelines/{300 + len(self.pipelines)}",
            "created_at": written(at), "updated_at": written(at + timedelta(minutes=3 if status in ENDED else 0)),
            "schedule": schedule, "jobs": [], "bridges": [],
        }  # fmt: skip
        self.pipelines.append(row)
        self.job(row, "extract", "success" if status in ("success", "failed") else status, at, "ann")
        self.job(
            row, "load", status if status in ("success", "failed") else "created", at + timedelta(minutes=1), "ann"
        )
        return row

    def job(self, row: Row, name: str, status: str, at: datetime, user: str) -> Row:
        self._jobs += 1
        has_begun = status in ("running", "success", "failed")
        job: Row = {
            "id": self._jobs, "name": name, "stage": name, "status": status, "allow_failure": False, "ref": "main",
            "created_at": written(at), "started_at": written(at + timedelta(seconds=9)) if has_begun else None,
            "finished_at": written(at + timedelta(seconds=50)) if status in ENDED else None,
            "user": {"id": 1, "username": user}, "pipeline": {"id": row["id"], "project_id": 29},
        }  # fmt: skip
        if status == "failed":
            job["failure_reason"] = "script_failure"
        row["jobs"].append(job)
        return job

    def bridge(self, row: Row, name: str, child: str | None) -> Row:
        """A trigger job of a pipeline without strategy: depend, and its child in this status; None: it made none."""
        self._jobs += 1
        pipeline = {
            "id": self._jobs, "sha": row["sha"], "ref": "main", "status": child, "created_at": row["created_at"],
            "updated_at": written(self.now), "web_url": f"https://gitlab.example.com/{self.project}/pipelines/{self._jobs}",
        }  # fmt: skip
        bridge: Row = {
            "id": self._jobs, "name": name, "stage": "test", "status": "success" if child else "manual", "ref": "main",
            "allow_failure": child is None, "created_at": row["created_at"], "started_at": row["created_at"],
            "finished_at": row["created_at"], "user": {"id": 1, "username": "ann"},
            "pipeline": {"id": row["id"], "project_id": 29}, "downstream_pipeline": pipeline if child else None,
        }  # fmt: skip
        row["bridges"].append(bridge)
        return bridge

    def tick(self) -> None:
        """Time goes on: pending jobs begin, running ones end, and the next stage follows."""
        self.now += timedelta(seconds=30)
        for row in self.pipelines:
            if row["status"] in ENDED or row["schedule"] in self.hangs:
                continue
            before = row["status"]
            self._advance(row)
            if row["status"] != before:
                row["updated_at"] = written(self.now)

    def _advance(self, row: Row) -> None:
        for job in latest_jobs(row):
            if job["status"] in ("pending", "created"):
                job |= {"status": "running", "started_at": written(self.now)}
                row["status"] = "running"
                return
            if job["status"] == "running":
                ended = self.outcome.get(job["name"], "success")
                job |= {"status": ended, "finished_at": written(self.now)}
                if ended == "failed":
                    job["failure_reason"] = "script_failure"
        states = {job["status"] for job in latest_jobs(row)}
        row["status"] = "failed" if "failed" in states else "success"

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v4")
        call = f"{request.method} {path}"
        self.requests.append(call)
        if request.headers.get("authorization") != "Bearer right":
            return self._reply(401, {"message": "401 Unauthorized"})
        if self.forbidden and re.search(self.forbidden, call):
            return self._reply(403, {"message": "403 Forbidden"})
        if path == "/user":
            return self._reply(200, {"id": 77, "username": self.me, "bot": True})
        if path == f"/projects/{self.project}":
            about = {"path_with_namespace": self.project, "archived": self.is_archived}
            return self._reply(200, {"id": 29, **about, "builds_access_level": self.builds})
        if not path.startswith(f"/projects/{self.project}/"):
            return self._reply(404, {"message": "404 Project Not Found"})
        return self._answer(request, path.removeprefix(f"/projects/{self.project}/").split("/"))

    def _reply(self, status: int, body: Any) -> httpx.Response:
        return httpx.Response(status, json=body, headers={"date": format_datetime(self.now, usegmt=True)})

    def _answer(self, request: httpx.Request, path: list[str]) -> httpx.Response:
        match (request.method, *path):
            case ("GET", "pipeline_schedules"):
                return self._page([dict(row) for row in self.schedules], request)
            case ("GET", "pipeline_schedules", number, "pipelines"):
                rows = [row for row in self.pipelines if str(row["schedule"]) == number]
                return self._page([shown(row) for row in (rows[::-1] if self.newest_first else rows)], request)
            case (method, "pipeline_schedules", number):
                row = next((row for row in self.schedules if str(row["id"]) == number), None)
                if row is None:
                    return self._reply(404, {"message": "404 Pipeline Schedule Not Found"})
                if method == "PUT":
                    row |= {**json.loads(request.content), "updated_at": written(self.now)}
                return self._reply(200, {**row, "last_pipeline": None, "variables": []})
            case ("GET", "pipelines"):
                return self._page(self._changed(request.url.params), request)
            case ("GET", "jobs", number, "trace"):
                known = {str(job["id"]) for row in self.pipelines for job in row["jobs"]}
                if number not in known:
                    return self._reply(404, {"message": "404 Job Not Found"})
                return httpx.Response(200, text=self.trace, headers={"content-type": "text/plain"})
            case (method, "pipelines", number, *what):
                row = next((row for row in self.pipelines if str(row["id"]) == number), None)
                return (
                    self._reply(404, {"message": "404 Not found"})
                    if row is None
                    else self._one(method, row, what, request)
                )
        return self._reply(404, {"message": "404 Not Found"})

    def _changed(self, params: httpx.QueryParams) -> list[Row]:
        assert ("schedule", "updated_at", "asc") == (params["source"], params["order_by"], params["sort"])
        since = datetime.fromisoformat(params["updated_after"])
        rows = [row for row in self.pipelines if datetime.fromisoformat(row["updated_at"]) >= since]
        return [shown(row) for row in sorted(rows, key=lambda row: (row["updated_at"], row["id"]))]

    def _page(self, rows: list[Row], request: httpx.Request) -> httpx.Response:
        size = min(100, int(request.url.params.get("per_page", 20)))
        first = (int(request.url.params.get("page", 1)) - 1) * size
        return self._reply(200, rows[first : first + size])

    def _one(self, method: str, row: Row, what: list[str], request: httpx.Request) -> httpx.Response:
        match (method, *what):
            case ("GET", "jobs"):
                jobs = row["jobs"] if request.url.params.get("include_retried") == "true" else latest_jobs(row)
                return self._page(list(reversed(jobs)), request)
            case ("GET", "bridges"):
                return self._page(list(reversed(row["bridges"])), request)
            case ("POST", "retry"):
                self.retry(row, self.me)
            case ("POST", "cancel"):
                for job in latest_jobs(row):
                    if job["status"] not in ENDED:
                        job |= {"status": "canceled", "finished_at": written(self.now)}
                        row |= {"status": "canceled", "updated_at": written(self.now)}
        return self._reply(201 if method == "POST" else 200, {**shown(row), "yaml_errors": None})

    def retry(self, row: Row, user: str) -> None:
        """Failed and canceled jobs are made again under their names; without any nothing happens."""
        repeated = [job for job in latest_jobs(row) if job["status"] in ("failed", "canceled")]
        for job in repeated:
            self.job(row, job["name"], "pending", self.now, user)
        if repeated:
            row |= {"status": "running", "updated_at": written(self.now)}


def shown(row: Row) -> Row:
    """A pipeline as a list shows it: nothing says of which schedule it is."""
    return {name: value for name, value in row.items() if name not in ("schedule", "jobs", "bridges")}


def latest_jobs(row: Row) -> list[Row]:
    return list({job["name"]: job for job in row["jobs"]}.values())
