"""A small Azure Data Factory with a state, behind httpx: rows made from the models of Azure's client, which judge each
request and answer.

Specified, not recorded: nobody here saw Data Factory itself. Its clock is moved by hand.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import httpx

from tests.fakes.described import Row, described

BASE = (
    "/subscriptions/12345678-1234-1234-1234-12345678abc/resourceGroups/data"
    "/providers/Microsoft.DataFactory/factories/etl-prod"
)
TOKEN_PATH = "/acme.example/oauth2/v2.0/token"
ENDED = ("Succeeded", "Failed", "Cancelled")
PAGE = 100


def written(at: datetime) -> str:
    """As the API writes an instant: seven digits of a second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f1Z")


class FakeDataFactory:
    """`outcome[pipeline]` is how its next runs end; `hangs` names pipelines whose runs do not end. `forbidden`: a
    pattern of calls that answer 403."""

    base = BASE
    api = "azure_data_factory"
    version = "2018-06-01"
    scope = "https://management.azure.com/.default"
    created = 200

    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(seconds=30)
        self.pipelines = [self._pipeline("load_orders"), self._pipeline("mart")]
        self.runs: list[Row] = []
        self.outcome: dict[str, str] = {}
        self.hangs: set[str] = set()
        self.forbidden = ""
        self.requests: list[str] = []
        self.tokens = 0
        self.per_page = PAGE
        for hours in (6, 5, 4):
            self.run("load_orders", "Failed", self.now - timedelta(hours=hours))
            self.run("mart", "Succeeded", self.now - timedelta(hours=hours, minutes=-10))

    def _pipeline(self, name: str) -> Row:
        activity = {"name": "ExampleCopyActivity", "type": "Copy"}
        properties = {"activities": [activity]}
        return described(self.api).row("PipelineResource", name=name, properties=properties)

    def run(self, pipeline: str, status: str, at: datetime, group: str = "") -> Row:
        run_id = str(UUID(int=len(self.runs) + 1))
        ended = at + timedelta(minutes=3) if status in ENDED else None
        row = described(self.api).row(
            "PipelineRun",
            runId=run_id,
            runGroupId=group or run_id,
            pipelineName=pipeline,
            runStart=written(at),
            runEnd=written(ended) if ended else None,
            durationInMs=180_000 if ended else None,
            status=status,
            message="Operation on target ExampleCopyActivity failed" if status == "Failed" else "",
            lastUpdated=written(ended or at),
        )
        self.runs.append(row)
        return row

    def tick(self) -> None:
        """Time goes on: queued runs start, and running ones end."""
        self.now += timedelta(seconds=30)
        for row in self.runs:
            if row["status"] == "Queued":
                row |= {"status": "InProgress", "lastUpdated": written(self.now)}
            elif row["status"] == "InProgress" and row["pipelineName"] not in self.hangs:
                status = self.outcome.get(row["pipelineName"], "Succeeded")
                row |= {"status": status, "runEnd": written(self.now), "lastUpdated": written(self.now)}

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN_PATH:
            return self._token(request)
        call = f"{request.method} {request.url.path.removeprefix(self.base)}"
        self.requests.append(call)
        if request.headers.get("authorization") != f"Bearer entra-{self.tokens}":
            return self._reply(401, _error("AuthenticationFailed", "The access token is missing or invalid."))
        if self.forbidden and re.search(self.forbidden, call):
            return self._reply(403, _error("AuthorizationFailed", "The client has no authorization for this action."))
        if self.version != request.url.params.get("api-version"):
            return self._reply(400, _error("InvalidApiVersionParameter", "The api-version query parameter is invalid"))
        method = described(self.api).method(request.method, request.url.path)
        if method is None:
            return self._reply(404, _error("NotFound", "There is no such resource"))
        query = {name: value for name, value in request.url.params.items() if name != "$skiptoken"}  # of a nextLink
        if faults := described(self.api).faults_of_request(method, query, json.loads(request.content or b"{}")):
            return self._reply(400, _error("InvalidRequest", f"Not as described: {faults}"))
        reply = self._answer(request)
        if reply.is_success and "response" in method:
            assert [] == list(described(self.api).misfits(reply.json(), method["response"])), (
                "the answer is not Azure's"
            )
        return reply

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        expected = {
            "grant_type": "client_credentials", "client_id": "headway", "client_secret": "right",
            "scope": self.scope,
        }  # fmt: skip
        if form != expected:
            return self._reply(401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid secret."})
        self.tokens += 1
        return self._reply(200, {"token_type": "Bearer", "expires_in": 3599, "access_token": f"entra-{self.tokens}"})

    def _reply(self, status: int, body: Any) -> httpx.Response:
        headers = {"date": format_datetime(self.now, usegmt=True)}
        return httpx.Response(status, json=body, headers=headers)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        match (request.method, *request.url.path.removeprefix(self.base).strip("/").split("/")):
            case ("GET", "pipelines"):
                return self._reply(200, self._pipeline_page(request))
            case ("POST", "queryPipelineRuns"):
                return self._reply(200, self._run_page(json.loads(request.content)))
            case ("POST", "pipelines", name, "createRun"):
                return self._create(name, dict(request.url.params))
            case (method, "pipelineruns", run_id, *rest) | (method, "pipelines", _, "pipelineruns", run_id, *rest):
                row = next((row for row in self.runs if row["runId"] == run_id), None)
                if row is None:
                    return self._reply(404, _error("RunNotFound", f"The run {run_id} was not found"))
                return self._one(method, row, rest)
        return self._reply(404, _error("NotFound", "There is no such resource"))

    def _pipeline_page(self, request: httpx.Request) -> Row:
        first = int(request.url.params.get("$skiptoken", "0"))
        page: Row = {"value": self.pipelines[first : first + self.per_page]}
        if self.pipelines[first + self.per_page :]:
            link = f"https://management.azure.com:443{BASE}/pipelines?api-version=2018-06-01"
            page["nextLink"] = f"{link}&%24skiptoken={first + self.per_page}"
        return page

    def _run_page(self, body: Row) -> Row:
        since, until = (datetime.fromisoformat(body[name]) for name in ("lastUpdatedAfter", "lastUpdatedBefore"))
        rows = [row for row in self.runs if since <= datetime.fromisoformat(row["lastUpdated"]) <= until]
        first = int(body.get("continuationToken", "0"))
        page: Row = {"value": rows[first : first + self.per_page]}
        if rows[first + self.per_page :]:
            page["continuationToken"] = str(first + self.per_page)
        return page

    def _create(self, name: str, params: Row) -> httpx.Response:
        if name not in {pipeline["name"] for pipeline in self.pipelines}:
            return self._reply(404, _error("EntityNotFound", f"The pipeline {name} was not found"))
        group = ""
        if params.get("isRecovery") == "true":
            group = next(row["runGroupId"] for row in self.runs if row["runId"] == params["referencePipelineRunId"])
        return self._reply(self.created, {"runId": self.run(name, "Queued", self.now, group)["runId"]})

    def _one(self, method: str, row: Row, rest: list[str]) -> httpx.Response:
        match (method, *rest):
            case ("GET",):
                return self._reply(200, row)
            case ("POST", "cancel"):
                row |= {"status": "Cancelled", "lastUpdated": written(self.now)}  # its runEnd stays null
                return httpx.Response(200)
            case ("POST", "queryActivityruns"):
                message = "ErrorCode=UserErrorFileNotFound" if row["status"] == "Failed" else ""
                activity = described(self.api).row(
                    "ActivityRun",
                    activityName="ExampleCopyActivity",
                    activityRunStart=row["runStart"],
                    status=row["status"],
                    error={"message": message},
                )
                return self._reply(200, {"value": [activity]})
        return self._reply(405, _error("MethodNotAllowed", "The method is not allowed"))


class FakeSynapse(FakeDataFactory):
    """The same for the data plane of a Synapse workspace (2020-12-01)."""

    base = ""
    api = "azure_synapse"
    version = "2020-12-01"
    scope = "https://dev.azuresynapse.net/.default"
    created = 202


def _error(code: str, message: str) -> Row:
    return {"error": {"code": code, "message": message}}
