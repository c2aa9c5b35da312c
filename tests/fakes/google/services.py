"""Four small services of Google with a state, behind httpx. Each request and answer is judged by the parts of Google's
discovery documents in this folder.

Specified, not recorded: nobody here saw these services. Their clock is moved by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any, ClassVar
from uuid import UUID

import httpx

from tests.fakes.google.descriptions import METHODS, Description, Row

PARENT = "projects/acme/locations/europe-west1"
LOAD, MART = "load-orders", "mart"
FAILED, RUNNING, SUCCEEDED = "FAILED", "RUNNING", "SUCCEEDED"


@cache
def described() -> dict[str, Description]:
    """Host -> its description."""
    descriptions = map(Description, METHODS)
    return {item.host: item for item in descriptions}


def written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def number_of(row: Row) -> str:
    return str(row["name"]).rpartition("/")[2]


class FakeGoogle:
    """`hangs` names jobs whose runs do not end. `forbidden`: a pattern of calls that answer 403. `per_page` bounds each
    page."""

    collection: ClassVar[str]
    """Of the jobs, and the name of their list."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(seconds=30)
        self.jobs = [self.job(LOAD), self.job(MART)]
        self.runs: list[Row] = []
        self.hangs: set[str] = set()
        self.forbidden, self.per_page, self.tokens = "", 1000, 0
        self.requests: list[str] = []
        for hours in (6, 5, 4):
            self.run(LOAD, FAILED, self.now - timedelta(hours=hours))
            self.run(MART, SUCCEEDED, self.now - timedelta(hours=hours, minutes=-10))

    def job(self, name: str) -> Row:
        raise NotImplementedError

    def run(self, job: str, state: str, at: datetime) -> Row:
        """A new run; `state` is one of ours above, or a word that the service does not have."""
        raise NotImplementedError

    def step(self, row: Row) -> None:
        """Time went on for an open run."""

    def answer(self, method: str, path: str, sent: Row) -> Row | None:
        """None for 404. `sent`: the fields of the query and the body."""
        raise NotImplementedError

    def name(self, job: str) -> str:
        return f"{PARENT}/{self.collection}/{job}"

    def tick(self) -> None:
        self.now += timedelta(seconds=30)
        for row in self.runs:
            self.step(row)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        host, path = request.url.host, request.url.path
        if host == "metadata.google.internal":
            self.tokens += 1
            return self._reply(200, {"access_token": f"google-{self.tokens}", "expires_in": 3599})
        call = f"{request.method} {path.partition('europe-west1')[2] or path}"
        self.requests.append(call)
        if request.headers.get("authorization") != f"Bearer google-{self.tokens}":
            return self._error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if self.forbidden and re.search(self.forbidden, call):
            return self._error(403, "PERMISSION_DENIED", "Permission denied on resource (or it may not exist).")
        method = described()[host].method(request.method, path)
        if method is None:
            return self._error(404, "NOT_FOUND", "Requested entity was not found.")
        query, body = dict(request.url.params), json.loads(request.content or b"{}")
        problems = [name for name in query if method["parameters"].get(name, {}).get("location") != "query"]
        problems += described()[host].misfits(body, method.get("request", {"properties": {}}))
        if problems:
            return self._error(400, "INVALID_ARGUMENT", f"Invalid JSON payload received: {problems}")
        answer = self.answer(request.method, path.removeprefix("/"), {**query, **body})
        if answer is None:
            return self._error(404, "NOT_FOUND", "Requested entity was not found.")
        assert [] == list(described()[host].misfits(answer, method["response"])), "the answer is not Google's"
        return self._reply(200, answer)

    def _reply(self, status: int, body: Any) -> httpx.Response:
        return httpx.Response(status, json=body, headers={"date": format_datetime(self.now, usegmt=True)})

    def _error(self, status: int, code: str, message: str) -> httpx.Response:
        return self._reply(status, {"error": {"code": status, "message": message, "status": code}})

    def page(self, rows: list[Row], name: str, sent: Row) -> Row:
        """An empty list is left out, as each empty field is."""
        first, size = int(sent.get("pageToken", "0")), min(int(sent.get("pageSize", "50")), self.per_page)
        page: Row = {name: rows[first : first + size]} if rows else {}
        return page | ({"nextPageToken": str(first + size)} if rows[first + size :] else {})

    def newest(self, key: str, holds: Callable[[Row], bool] = lambda row: True) -> list[Row]:
        return sorted(filter(holds, self.runs), key=lambda row: str(row[key]), reverse=True)

    def run_at(self, path: str) -> Row | None:
        return next((row for row in self.runs if f"/{row['name']}" == "/" + path.partition("/")[2]), None)

    def run_number(self) -> str:
        return str(UUID(int=len(self.runs) + 1))


class FakeWorkflows(FakeGoogle):
    collection = "workflows"

    def job(self, name: str) -> Row:
        source = "main:\n  steps:\n  - read:\n      call: http.get\n"
        return {
            "name": self.name(name),
            "description": f"The workflow {name}",
            "state": "ACTIVE",
            "sourceContents": source,
        }

    def run(self, job: str, state: str, at: datetime) -> Row:
        row: Row = {
            "name": f"{self.name(job)}/executions/{self.run_number()}", "argument": '{"day": "2026-11-24"}',
            "createTime": written(at), "startTime": written(at), "workflowRevisionId": "000001-a4d",
            "state": "ACTIVE" if state == RUNNING else state,
        }  # fmt: skip
        if state == FAILED:
            row["error"] = {"payload": "HTTP server responded with error code 503", "context": "in step read"}
        if state != RUNNING:
            row["endTime"] = written(at + timedelta(minutes=3))
        self.runs.append(row)
        return row

    def step(self, row: Row) -> None:
        if row["state"] == "QUEUED":
            row |= {"state": "ACTIVE", "startTime": written(self.now)}
        elif row["state"] == "ACTIVE" and row["name"].split("/")[5] not in self.hangs:
            row |= {"state": SUCCEEDED, "endTime": written(self.now)}

    def answer(self, method: str, path: str, sent: Row) -> Row | None:
        parts = path.removeprefix(f"v1/{PARENT}/workflows").strip("/").split("/")
        match (method, *parts):
            case ("GET", ""):
                return self.page(self.jobs, "workflows", sent)
            case ("GET", job, "executions"):
                since = re.fullmatch(r'createTime>="(\S+)"', sent["filter"])
                assert since, sent
                assert "FULL" == sent["view"], "BASIC has neither labels nor error"
                begun = datetime.fromisoformat(since[1])
                rows = self.newest("createTime", lambda row: row["name"].startswith(f"{self.name(job)}/"))
                rows = [row for row in rows if datetime.fromisoformat(row["createTime"]) >= begun]
                return self.page(rows, "executions", {**sent, "pageSize": min(100, int(sent["pageSize"]))})
            case ("POST", job, "executions"):
                row = self.run(job, RUNNING, self.now)
                row.pop("argument"), row.pop("startTime")
                row |= {"state": "QUEUED", **sent}
                return row
            case ("GET", _, "executions", _, "stepEntries"):
                execution = self.run_at(path.removesuffix("/stepEntries")) or {"state": "", "createTime": ""}
                steps = enumerate((("read", "STATE_SUCCEEDED"), ("write", f"STATE_{execution['state']}")), 1)
                entries = [
                    {"entryId": str(place), "routine": "main", "step": name, "state": state}
                    for place, (name, state) in steps
                ]
                entries = [{**entry, "createTime": execution["createTime"]} for entry in entries]
                return {"stepEntries": entries, "totalSize": len(entries)}
            case ("POST", *_):
                cancelled = self.run_at(path.removesuffix(":cancel"))
                if cancelled is not None:
                    cancelled |= {"state": "CANCELLED", "endTime": written(self.now)}
                return cancelled
        return self.run_at(path)


class FakeRunJobs(FakeGoogle):
    collection = "jobs"

    def job(self, name: str) -> Row:
        containers = [{"image": f"europe-docker.pkg.dev/acme/etl/{name}", "env": [{"name": "STAGE", "value": "prod"}]}]
        return {
            "name": self.name(name),
            "creator": "ann@acme.example",
            "template": {"template": {"containers": containers}},
        }

    def run(self, job: str, state: str, at: datetime) -> Row:
        row: Row = {
            "name": f"{self.name(job)}/executions/{job}-x{len(self.runs):04}", "job": job, "taskCount": 1,
            "createTime": written(at), "startTime": written(at), "logUri": "https://console.example.com/logs",
            "template": {"containers": [{"env": [{"name": "STAGE", "value": "prod"}]}]},
        }  # fmt: skip
        self._complete(row, "RECONCILING" if state == RUNNING else state, at + timedelta(minutes=3))
        self.runs.append(row)
        return row

    def _complete(self, row: Row, state: str, at: datetime, reason: str = "") -> None:
        """Other conditions stand before and after the one that counts."""
        completed = {"type": "Completed", "state": f"CONDITION_{state}"}
        if state == FAILED:
            completed |= {
                "executionReason": reason or "NON_ZERO_EXIT_CODE",
                "message": "The container exited with an error.",
            }
        started, retry = ({"type": name, "state": "CONDITION_SUCCEEDED"} for name in ("Started", "Retry"))
        row["conditions"] = [started, completed, retry]
        if state in (SUCCEEDED, FAILED):
            row["completionTime"] = written(at)

    def step(self, row: Row) -> None:
        if "completionTime" not in row and row["job"] not in self.hangs:
            self._complete(row, SUCCEEDED, self.now)

    def answer(self, method: str, path: str, sent: Row) -> Row | None:
        if path == "v2/entries:list":
            return self._log(sent)
        parts = path.removeprefix(f"v2/{PARENT}/jobs").strip("/").split("/")
        match (method, *parts):
            case ("GET", ""):
                return self.page(self.jobs, "jobs", sent)
            case ("GET", "-", "executions"):
                return self.page(self.newest("createTime"), "executions", sent)
            case ("POST", job):
                row = self.run(job.removesuffix(":run"), RUNNING, self.now)
                row["template"]["containers"][0]["env"] += sent["overrides"]["containerOverrides"][0]["env"]
                return {"name": f"{PARENT}/operations/1", "done": False}
            case ("POST", _, "executions", _):
                cancelled = self.run_at(path.removesuffix(":cancel"))
                if cancelled is None:
                    return None
                self._complete(cancelled, FAILED, self.now, "CANCELLED")
                return {"name": f"{PARENT}/operations/2", "done": False}
        return self.run_at(path)

    def _log(self, sent: Row) -> Row:
        assert sent["resourceNames"] == ["projects/acme"]
        expected = (
            r'resource\.type="cloud_run_job" resource\.labels\.location="europe-west1" '
            r'labels\."run\.googleapis\.com/execution_name"="([\w-]+)" timestamp>="\S+"'
        )
        match = re.fullmatch(expected, sent["filter"])
        assert match, sent["filter"]
        entries = [{"textPayload": text} for text in (f"{match[1]} reads", "exit 3")]
        return {"entries": entries} if any(number_of(row) == match[1] for row in self.runs) else {}


class FakeTransfers(FakeGoogle):
    collection = "transferConfigs"

    def job(self, name: str) -> Row:
        return {
            "name": self.name(name), "displayName": f"Nightly {name}", "dataSourceId": "scheduled_query",
            "schedule": "every day 04:00", "nextRunTime": written(self.now + timedelta(hours=3)),
            "params": {"query": "SELECT 1"}, "state": SUCCEEDED,
        }  # fmt: skip

    def run(self, job: str, state: str, at: datetime) -> Row:
        row: Row = {
            "name": f"{self.name(job)}/runs/{self.run_number()}", "state": state, "runTime": written(at),
            "scheduleTime": written(at), "startTime": written(at), "updateTime": written(at),
            "schedule": "every day 04:00",
        }  # fmt: skip
        if state == FAILED:
            row["errorStatus"] = {"code": 5, "message": "Not found: Table acme:raw.orders"}
        if state != RUNNING:
            row |= dict.fromkeys(("endTime", "updateTime"), written(at + timedelta(minutes=3)))
        self.runs.append(row)
        return row

    def step(self, row: Row) -> None:
        if row["state"] == RUNNING and row["name"].split("/")[5] not in self.hangs:
            row |= {"state": SUCCEEDED, **dict.fromkeys(("endTime", "updateTime"), written(self.now))}

    def answer(self, method: str, path: str, sent: Row) -> Row | None:
        parts = path.removeprefix(f"v1/{PARENT}/transferConfigs").strip("/").split("/")
        config = next((row for row in self.jobs if number_of(row) == parts[0]), None)
        match (method, *parts):
            case ("GET", ""):
                return self.page(self.jobs, "transferConfigs", sent)
            case ("GET", _):
                return config
            case ("PATCH", _) if config is not None:
                for name in sent["updateMask"].split(","):
                    config.pop(name, None)
                    config |= {name: sent[name]} if sent[name] else {}  # an empty field is left out
                return config
            case ("GET", job, "runs"):
                rows = [row for row in self.runs if row["name"].startswith(f"{self.name(job)}/")]
                return self.page(rows, "transferRuns", sent)
            case ("GET", _, "runs", _, "transferLogs"):
                message = {
                    "messageTime": written(self.now),
                    "severity": "ERROR",
                    "messageText": "Not found: Table raw.orders",
                }
                return {"transferMessages": [message]}
        return self.run_at(path)


class FakeScheduler(FakeGoogle):
    collection = "jobs"

    def job(self, name: str) -> Row:
        return {
            "name": self.name(name), "description": f"Calls {name}",
            "schedule": "0 4 * * *", "timeZone": "Europe/Berlin",
            "state": "ENABLED", "scheduleTime": written(self.now + timedelta(hours=3)), "status": {},
            "httpTarget": {"uri": f"https://etl.example.com/{name}", "httpMethod": "POST"},
        }  # fmt: skip

    def run(self, job: str, state: str, at: datetime) -> Row:
        """The end of an attempt in the log."""
        kind = "type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished"
        payload = {"@type": kind, "jobName": self.name(job), "targetType": "HTTP", "debugInfo": f"URL_CRAWLED. {state}"}
        severity = {FAILED: "ERROR", SUCCEEDED: "INFO"}.get(state, state)
        row = {
            "insertId": f"a{len(self.runs)}", "timestamp": written(at), "severity": severity,
            "jsonPayload": payload | ({"status": "INTERNAL"} if state == FAILED else {}),
            "resource": {"type": "cloud_scheduler_job", "labels": {"job_id": job, "location": "europe-west1"}},
        }  # fmt: skip
        self.runs.append(row)
        return row

    def answer(self, method: str, path: str, sent: Row) -> Row | None:
        if path == "v2/entries:list":
            since = re.search(r'"type\.googleapis\.com/\S+AttemptFinished" timestamp>="(\S+)"', sent["filter"])
            assert since, sent["filter"]
            begun = datetime.fromisoformat(since[1])
            rows = self.newest("timestamp", lambda row: datetime.fromisoformat(row["timestamp"]) >= begun)
            return self.page(rows, "entries", sent)
        number, _, verb = path.removeprefix(f"v1/{PARENT}/jobs").strip("/").partition(":")
        if not number:
            return self.page(self.jobs, "jobs", sent)
        row = next((row for row in self.jobs if number_of(row) == number), None)
        if row is not None and method == "PATCH":
            row |= {name: sent[name] for name in sent["updateMask"].split(",")}
        elif row is not None and verb:
            assert {"pause": "ENABLED", "resume": "PAUSED"}[verb] == row["state"], "Google refuses it in another state"
            row["state"] = {"pause": "PAUSED", "resume": "ENABLED"}[verb]
        return row
