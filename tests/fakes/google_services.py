"""Four small services of Google with a state, behind httpx: rows made from Google's discovery documents, which judge
each request and answer.

Specified, not recorded: nobody here saw these services. Their clock is moved by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar
from uuid import UUID

import httpx

from tests.fakes.described import Row, described

STAGE: Row = {"env": [{"name": "STAGE", "value": "prod"}]}
PARENT = "projects/acme/locations/europe-west1"
LOAD, MART = "load-orders", "mart"
FAILED, RUNNING, SUCCEEDED = "FAILED", "RUNNING", "SUCCEEDED"


def written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def number_of(row: Row) -> str:
    return str(row["name"]).rpartition("/")[2]


class FakeGoogle:
    """`hangs` names jobs whose runs do not end. `forbidden`: a pattern of calls that answer 403. `per_page` bounds each
    page."""

    apis: ClassVar[tuple[str, ...]]
    """Names of their descriptions: of the jobs, of the runs, of the log."""
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
        methods = {api: api.method(request.method, path) for api in map(described, self.apis) if api.host == host}
        api, method = next(((api, method) for api, method in methods.items() if method), (None, None))
        if api is None or method is None:
            return self._error(404, "NOT_FOUND", "Requested entity was not found.")
        query, body = dict(request.url.params), json.loads(request.content or b"{}")
        if problems := api.faults_of_request(method, query, body):
            return self._error(400, "INVALID_ARGUMENT", f"Invalid JSON payload received: {problems}")
        answer = self.answer(request.method, path.removeprefix("/"), {**query, **body})
        if answer is None:
            return self._error(404, "NOT_FOUND", "Requested entity was not found.")
        assert [] == list(api.misfits(answer, method["response"])), "the answer is not Google's"
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
    apis = ("workflows.v1", "workflowexecutions.v1")
    collection = "workflows"

    def job(self, name: str) -> Row:
        return described("workflows.v1").row("Workflow", name=self.name(name))

    def run(self, job: str, state: str, at: datetime) -> Row:
        facts: Row = {"error": {"payload": "HTTP server responded with error code 503"}} if state == FAILED else {}
        facts |= {"endTime": written(at + timedelta(minutes=3))} if state != RUNNING else {}
        row = described("workflowexecutions.v1").row(
            "Execution",
            name=f"{self.name(job)}/executions/{self.run_number()}",
            argument='{"day": "2026-11-24"}',
            createTime=written(at),
            startTime=written(at),
            state="ACTIVE" if state == RUNNING else state,
            **facts,
        )
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
                    described("workflowexecutions.v1").row(
                        "StepEntry", entryId=str(place), step=name, state=state, createTime=execution["createTime"]
                    )
                    for place, (name, state) in steps
                ]
                return {"stepEntries": entries, "totalSize": len(entries)}
            case ("POST", *_):
                cancelled = self.run_at(path.removesuffix(":cancel"))
                if cancelled is not None:
                    cancelled |= {"state": "CANCELLED", "endTime": written(self.now)}
                return cancelled
        return self.run_at(path)


class FakeRunJobs(FakeGoogle):
    apis = ("run.v2", "logging.v2")
    collection = "jobs"

    def job(self, name: str) -> Row:
        template = {"template": {"containers": [STAGE]}}
        return described("run.v2").row("GoogleCloudRunV2Job", name=self.name(name), template=template)

    def run(self, job: str, state: str, at: datetime) -> Row:
        row = described("run.v2").row(
            "GoogleCloudRunV2Execution",
            name=f"{self.name(job)}/executions/{job}-x{len(self.runs):04}",
            job=job,
            createTime=written(at),
            startTime=written(at),
            template={"containers": [STAGE]},
        )
        self._complete(row, "RECONCILING" if state == RUNNING else state, at + timedelta(minutes=3))
        self.runs.append(row)
        return row

    def _complete(self, row: Row, state: str, at: datetime, reason: str = "") -> None:
        """Other conditions stand before and after the one that counts."""
        facts = {"executionReason": reason or "NON_ZERO_EXIT_CODE"} if state == FAILED else {}
        states = {"Started": SUCCEEDED, "Completed": state, "Retry": SUCCEEDED}
        row["conditions"] = [
            described("run.v2").row(
                "GoogleCloudRunV2Condition",
                type=name,
                state=f"CONDITION_{word}",
                **(facts if name == "Completed" else {}),
            )
            for name, word in states.items()
        ]
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
                [container] = row["template"]["containers"]
                container["env"] += sent["overrides"]["containerOverrides"][0]["env"]
                return described("run.v2").row("GoogleLongrunningOperation", done=False)
            case ("POST", _, "executions", _):
                cancelled = self.run_at(path.removesuffix(":cancel"))
                if cancelled is None:
                    return None
                self._complete(cancelled, FAILED, self.now, "CANCELLED")
                return described("run.v2").row("GoogleLongrunningOperation", done=False)
        return self.run_at(path)

    def _log(self, sent: Row) -> Row:
        assert sent["resourceNames"] == ["projects/acme"]
        expected = (
            r'resource\.type="cloud_run_job" resource\.labels\.location="europe-west1" '
            r'labels\."run\.googleapis\.com/execution_name"="([\w-]+)" timestamp>="\S+"'
        )
        match = re.fullmatch(expected, sent["filter"])
        assert match, sent["filter"]
        lines = (f"{match[1]} reads", "exit 3")
        entries = [described("logging.v2").row("LogEntry", textPayload=line) for line in lines]
        return {"entries": entries} if any(number_of(row) == match[1] for row in self.runs) else {}


class FakeTransfers(FakeGoogle):
    apis = ("bigquerydatatransfer.v1",)
    collection = "transferConfigs"

    def job(self, name: str) -> Row:
        next_at = written(self.now + timedelta(hours=3))
        facts = {"name": self.name(name), "schedule": "every day 03:10", "nextRunTime": next_at}
        return described("bigquerydatatransfer.v1").row("TransferConfig", **facts)

    def run(self, job: str, state: str, at: datetime) -> Row:
        facts: Row = dict.fromkeys(("runTime", "scheduleTime", "startTime", "updateTime"), written(at))
        if state != RUNNING:
            facts |= dict.fromkeys(("endTime", "updateTime"), written(at + timedelta(minutes=3)))
        if state == FAILED:
            facts["errorStatus"] = {"message": "Not found: Table acme:raw.orders"}
        name = f"{self.name(job)}/runs/{self.run_number()}"
        facts = {"name": name, "state": state, "schedule": "every day 03:10", **facts}
        row = described("bigquerydatatransfer.v1").row("TransferRun", **facts)
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
                message = {"messageTime": written(self.now), "messageText": "Not found: Table raw.orders"}
                return {"transferMessages": [described("bigquerydatatransfer.v1").row("TransferMessage", **message)]}
        return self.run_at(path)


class FakeScheduler(FakeGoogle):
    apis = ("cloudscheduler.v1", "logging.v2")
    collection = "jobs"

    def job(self, name: str) -> Row:
        return described("cloudscheduler.v1").row(
            "Job",
            name=self.name(name),
            schedule="0 4 * * *",
            timeZone="Europe/Berlin",
            state="ENABLED",
            scheduleTime=written(self.now + timedelta(hours=3)),
            attemptDeadline="1800s",
            httpTarget={"uri": f"https://etl.example.com/{name}"},
        )

    def run(self, job: str, state: str, at: datetime) -> Row:
        """The end of an attempt in the log."""
        kind = "type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished"
        payload = {"@type": kind, "jobName": self.name(job), "targetType": "HTTP", "debugInfo": f"URL_CRAWLED. {state}"}
        severity = {FAILED: "ERROR", SUCCEEDED: "INFO"}.get(state, state)
        row = described("logging.v2").row(
            "LogEntry",
            insertId=f"a{len(self.runs)}",
            timestamp=written(at),
            severity=severity,
            jsonPayload=payload | ({"status": "INTERNAL"} if state == FAILED else {}),
            resource={"type": "cloud_scheduler_job", "labels": {"job_id": job, "location": "europe-west1"}},
        )
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
