"""A small GitHub with a state, behind httpx: one repository's workflows, runs, attempts, jobs, logs and variables.

A fake of ours. Its answers and its requests are checked against GitHub's own OpenAPI description by
tests/lab/test_github_actions_described.py; how its parts work together follows GitHub's documentation."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

from tests.fakes import github_rows as rows
from tests.fakes.github_rows import Row

STORE = "logs.example.net"
OPEN = ("queued", "in_progress", "waiting", "pending", "requested")
SHORT = (
    "id", "path", "event", "status", "conclusion", "run_attempt", "created_at", "run_started_at", "updated_at",
)  # fmt: skip
"""What a row of a crowd has of a run's row."""
REFUSED = "Resource not accessible by personal access token"


class FakeGitHub:
    """One repository. `outcome[file]` is "success" (default), "failure", "soft" (a job fails, the run is green) or
    "hang" for what runs next; a file of `by_the_clock` starts at each tick. `forbidden` and `lose_answer_of` are
    patterns of "METHOD path"."""

    def __init__(self, full_name: str, **files: str) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)
        self.full_name = full_name
        self.files = {f"{name.replace('_', '-')}.yml": text for name, text in files.items()}
        self.state = dict.fromkeys(self.files, "active")
        self.tasks: dict[str, Sequence[str]] = {}
        self.outcome: dict[str, str] = {}
        self.by_the_clock: set[str] = set()
        self.runs: list[Row] = []
        self.variables: dict[str, str] = {}
        self.logs: dict[int, bytes] = {}
        self.requests: list[str] = []
        self.forbidden = self.lose_answer_of = ""
        self.login = "headway"
        self.remaining, self.crowd = 5000, 0
        self._made, self._template = 1000, ""

    # -- its life ---------------------------------------------------------------------------------------------------
    def id_of(self, file: str) -> int:
        return 500 + list(self.files).index(file)

    def start(self, file: str, event: str = "workflow_dispatch", title: str = "", by: str = "octocat") -> Row:
        """A run that is queued now."""
        self._made += 1
        results: Row = {
            "id": self._made,
            "file": file,
            "workflow": self.id_of(file),
            "number": self._made - 1000,
            "event": event,
            "title": title or file,
            "created": self.now,
            "attempts": [],
        }
        self.runs.append(results)
        self.try_again(results, by)
        return results

    def try_again(self, row: Row, by: str, only: Sequence[str] = ()) -> None:
        """A further attempt; of `only` these jobs, where they are named."""
        before = {job["name"]: job for job in row["attempts"][-1]["jobs"]} if row["attempts"] else {}
        attempt: Row = {"attempt": len(row["attempts"]) + 1, "status": "queued", "conclusion": None, "by": by}
        attempt |= {"began": self.now, "updated": self.now, "jobs": []}
        for name in self.tasks.get(row["file"], ("work",)):
            self._made += 1
            fresh = {"id": self._made, "name": name, "status": "queued", "conclusion": None, "began": None}
            stored = before.get(name) if only and name not in only else None
            attempt["jobs"].append({**stored, "id": self._made} if stored else {**fresh, "ended": None})
        row["attempts"].append(attempt)

    def tick(self, seconds: int = 5) -> None:
        """Time goes on; what is queued runs to its end."""
        self.now += timedelta(seconds=seconds)
        for file in sorted(self.by_the_clock):
            if self.state[file] == "active":
                self.start(file, "schedule")
        for run in self.runs:
            attempt = run["attempts"][-1]
            if attempt["status"] in ("queued", "in_progress"):
                self._run(run, attempt)

    def _run(self, row: Row, attempt: Row) -> None:
        how = self.outcome.get(row["file"], "success")
        red = how in ("failure", "soft")
        for job in attempt["jobs"]:
            if job["status"] == "completed":
                continue
            ends = "failure" if red and job is attempt["jobs"][-1] else "success"
            open_now = {"status": "in_progress", "began": job["began"] or self.now}
            over = {"status": "completed", "conclusion": ends, "ended": self.now + timedelta(seconds=2)}
            job.update(open_now if how == "hang" else {**open_now, **over})
            message = "Process completed with exit code 1." if ends == "failure" else "done"
            self.logs[job["id"]] = f"2026-11-20T03:10:01.1234567Z {job['name']}: {message}\n".encode()
        if how == "hang":
            attempt |= {"status": "in_progress", "updated": self.now}
            return
        self.end(attempt, "failure" if how == "failure" else "success")

    def end(self, attempt: Row, conclusion: str) -> None:
        attempt |= {"status": "completed", "conclusion": conclusion, "updated": self.now + timedelta(seconds=2)}

    # -- its endpoint -----------------------------------------------------------------------------------------------
    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == STORE:
            return self._stored(request)
        path = request.url.path.removeprefix(f"/repos/{self.full_name}")
        call = f"{request.method} {path}"
        self.requests.append(call)
        if request.headers.get("authorization") != "Bearer right":
            return self._reply(401, {"message": "Bad credentials"}, request)
        if self.forbidden and re.search(self.forbidden, call):
            return self._reply(403, {"message": REFUSED}, request)
        answer = self._route(request, path)
        if self.lose_answer_of and re.search(self.lose_answer_of, call):
            self.lose_answer_of = ""
            raise httpx.ReadError("the line broke", request=request)
        return answer

    def _reply(self, status: int, body: Any, request: httpx.Request, **headers: str) -> httpx.Response:
        content = b"" if body is None else json.dumps(body).encode()
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        reset = (self.now + timedelta(hours=1)).timestamp()
        limits = {"x-ratelimit-limit": "5000", "x-ratelimit-reset": f"{reset:.0f}"}
        if request.method == "GET" and status == 200:
            if request.headers.get("if-none-match") == tag:
                status, content = 304, b""
            headers["etag"] = tag
        self.remaining -= status != 304
        limits["x-ratelimit-remaining"] = str(max(0, self.remaining))
        kind = {"content-type": "application/json; charset=utf-8"} if content else {}
        date = {"date": format_datetime(self.now.astimezone(UTC), usegmt=True)}
        return httpx.Response(status, content=content, headers={**kind, **date, **limits, **headers})

    def _stored(self, request: httpx.Request) -> httpx.Response:
        """The store of logs: it is another server, and nobody's token is its business."""
        assert "authorization" not in request.headers, "the token was sent to the store of logs"
        data = self.logs[int(request.url.path.rsplit("/", 1)[1])]
        first, last = (int(part) for part in request.headers["range"].removeprefix("bytes=").split("-"))
        if first >= len(data):
            return httpx.Response(416, headers={"content-range": f"bytes */{len(data)}"})
        piece = data[first : last + 1]
        span = f"bytes {first}-{first + len(piece) - 1}/{len(data)}"
        return httpx.Response(206, content=piece, headers={"content-range": span})

    def _route(self, request: httpx.Request, path: str) -> httpx.Response:
        parts = path.strip("/").split("/")
        match (request.method, *parts):
            case ("GET", "user"):
                return self._reply(200, rows.private_user(self.login), request)
            case ("GET", ""):
                return self._reply(200, rows.whole_repository(self.full_name, not self.forbidden), request)
            case ("GET", "contents", *rest):
                return self._contents(request, "/".join(rest))
            case (_, "actions", "variables", *rest):
                return self._variables(request, rest)
            case (_, "actions", "workflows", *rest):
                return self._workflows(request, rest)
            case (_, "actions", "runs", *rest):
                return self._runs(request, rest)
            case (method, "actions", "jobs", number, what):
                return self._job(request, method, int(number), what)
        return self._not_found(request)

    def _not_found(self, request: httpx.Request) -> httpx.Response:
        return self._reply(404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}, request)

    def _contents(self, request: httpx.Request, path: str) -> httpx.Response:
        if path == ".github/workflows":
            files = [rows.file(self.full_name, f"{path}/{name}", text, False) for name, text in self.files.items()]
            return self._reply(200, files, request)
        text = self.files.get(path.rsplit("/", 1)[-1])
        return self._not_found(request) if text is None else self._reply(
            200, rows.file(self.full_name, path, text, True), request
        )  # fmt: skip

    def _variables(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        body = json.loads(request.content or b"{}")
        match (request.method, *rest):
            case ("GET",):
                variables = [rows.variable(*variable) for variable in sorted(self.variables.items())]
                return self._reply(200, {"total_count": len(variables), "variables": variables[:30]}, request)
            case ("POST",):
                self.variables[body["name"]] = body["value"]
                return self._reply(201, {}, request)
            case ("GET", name) if name in self.variables:
                return self._reply(200, rows.variable(name, self.variables[name]), request)
            case ("DELETE", name) if name in self.variables:
                del self.variables[name]
                return self._reply(204, None, request)
        return self._not_found(request)

    def _workflows(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        if not rest:
            workflows = [self._workflow(file) for file in self.files]
            return self._reply(200, {"total_count": len(workflows), "workflows": workflows}, request)
        file = next((file for file in self.files if str(self.id_of(file)) == rest[0]), None)
        if file is None:
            return self._not_found(request)
        match (request.method, *rest[1:]):
            case ("GET",):
                return self._reply(200, self._workflow(file), request)
            case ("GET", "runs"):
                return self._listed(request, [run for run in self.runs if run["file"] == file])
            case ("PUT", "disable" | "enable" as verb):
                self.state[file] = "active" if verb == "enable" else "disabled_manually"
                return self._reply(204, None, request)
            case ("POST", "dispatches"):
                return self._dispatched(request, file)
        return self._not_found(request)

    def _workflow(self, file: str) -> Row:
        return rows.workflow(self.full_name, self.id_of(file), file, file.removesuffix(".yml"), self.state[file])

    def _dispatched(self, request: httpx.Request, file: str) -> httpx.Response:
        body = json.loads(request.content)
        if self.state[file] != "active" or "workflow_dispatch" not in self.files[file]:
            return self._reply(422, {"message": "Workflow does not have 'workflow_dispatch' trigger"}, request)
        inputs = body.get("inputs", {})
        unknown = [name for name in inputs if f"{name}:" not in self.files[file]]
        if unknown:
            return self._reply(422, {"message": f"Unexpected inputs provided: {unknown}"}, request)
        shown = "inputs.headway_key }}" in self.files[file]
        title = f"{file} {inputs.get('headway_key', '')}".strip() if shown else file
        start = self.start(file, title=title, by=self.login)
        url = f"{rows.API}/repos/{self.full_name}/actions/runs/{start['id']}"
        page = f"https://github.com/{self.full_name}/actions/runs/{start['id']}"
        details = {"workflow_run_id": start["id"], "run_url": url, "html_url": page}
        is_requested = body.get("return_run_details") is True
        return self._reply(200 if is_requested else 204, details if is_requested else None, request)

    # -- its runs ---------------------------------------------------------------------------------------------------
    def _runs(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        if not rest:
            return self._crowded(request) if self.crowd else self._listed(request, self.runs)
        run = next((run for run in self.runs if str(run["id"]) == rest[0]), None)
        if run is None:
            return self._not_found(request)
        latest = run["attempts"][-1]
        match (request.method, *rest[1:]):
            case ("GET",):
                return self._reply(200, rows.run(self.full_name, run, latest), request)
            case ("GET", "attempts", number, *what) if int(number) <= len(run["attempts"]):
                attempt = run["attempts"][int(number) - 1]
                if not what:
                    return self._reply(200, rows.run(self.full_name, run, attempt), request)
                jobs = [rows.job(self.full_name, run, attempt, job) for job in attempt["jobs"]]
                size = int(request.url.params.get("per_page", "30"))
                first = (int(request.url.params.get("page", "1")) - 1) * size
                return self._reply(200, {"total_count": len(jobs), "jobs": jobs[first : first + size]}, request)
            case ("POST", "rerun" | "rerun-failed-jobs" as verb):
                red = [job["name"] for job in latest["jobs"] if job["conclusion"] != "success"]
                return self._again(request, run, red if verb != "rerun" else ())
            case ("POST", "cancel"):
                if latest["status"] == "completed":
                    texts = {"message": "Cannot cancel a workflow run that is completed."}
                    return self._reply(409, texts, request)
                self.end(latest, "cancelled")
                for job in latest["jobs"]:
                    job |= {"status": "completed", "conclusion": "cancelled", "ended": self.now}
                return self._reply(202, {}, request)
        return self._not_found(request)

    def _again(self, request: httpx.Request, row: Row, only: Sequence[str]) -> httpx.Response:
        if row["attempts"][-1]["status"] != "completed":
            return self._reply(403, {"message": "This workflow is already running"}, request)
        self.try_again(row, self.login, only)
        return self._reply(201, {}, request)

    def _job(self, request: httpx.Request, method: str, number: int, what: str) -> httpx.Response:
        for run in self.runs:
            for job in run["attempts"][-1]["jobs"]:
                if job["id"] == number and (method, what) == ("POST", "rerun"):
                    return self._again(request, run, [job["name"]])
        if what == "logs" and number in self.logs:
            place = f"https://{STORE}/log/{number}?sig=secret"
            return self._reply(302, None, request, location=place)
        return self._not_found(request)

    def _listed(self, request: httpx.Request, results: list[Row]) -> httpx.Response:
        parameters = request.url.params
        chosen = [result for result in results if _matches(result, parameters)]
        chosen.sort(key=lambda row: (row["created"], row["id"]), reverse=True)
        first, size = (int(parameters.get("page", "1")) - 1) * int(parameters["per_page"]), int(parameters["per_page"])
        within = chosen[:1000] if {"created", "status", "event"} & parameters.keys() else chosen
        runs = [rows.run(self.full_name, row, row["attempts"][-1]) for row in within[first : first + size]]
        return self._reply(200, {"total_count": len(chosen), "workflow_runs": runs}, request)

    def _crowded(self, request: httpx.Request) -> httpx.Response:
        """`crowd` green runs, one a minute until an hour ago, made as they are requested."""
        parameters, until = request.url.params, self.now - timedelta(hours=1)
        minutes = range(self.crowd)  # ago, newest first
        if "status" in parameters:
            minutes = range(0)
        if "created" in parameters:
            since, before = (datetime.fromisoformat(name) for name in parameters["created"].split(".."))
            newest = -(-int((until - before).total_seconds()) // 60)
            oldest = int((until - since).total_seconds()) // 60
            minutes = range(min(max(newest, 0), self.crowd), min(max(oldest + 1, 0), self.crowd))
        total, first = len(minutes), (int(parameters["page"]) - 1) * 100
        text = ",".join(self._of_the_crowd(until, minute) for minute in minutes[first : first + 100])
        kind = {"content-type": "application/json", "date": format_datetime(self.now, usegmt=True)}
        body = f'{{"total_count": {total}, "workflow_runs": [{text}]}}'
        return httpx.Response(200, content=body.encode(), headers=kind)

    def _of_the_crowd(self, until: datetime, minutes_ago: int) -> str:
        """As JSON text, from one row that is made once."""
        if not self._template:
            results = {
                "id": 987654321,
                "file": next(iter(self.files)),
                "workflow": 500,
                "number": 1,
                "event": "schedule",
            }
            attempt = {"attempt": 1, "status": "completed", "conclusion": "success", "began": until, "updated": until}
            row = rows.run(self.full_name, {**results, "title": "crowd", "created": until}, attempt, whole=False)
            row = {name: row[name] for name in SHORT}
            self._template = json.dumps(row).replace(str(rows.stamp(until)), "{at}")
        at = rows.stamp(until - timedelta(minutes=minutes_ago))
        return self._template.replace("987654321", str(10_000_000 - minutes_ago)).replace("{at}", str(at))


def _matches(row: Row, parameters: httpx.QueryParams) -> bool:
    latest = row["attempts"][-1]
    if "event" in parameters and row["event"] != parameters["event"]:
        return False
    if "status" in parameters and parameters["status"] not in (latest["status"], latest["conclusion"]):
        return False
    created = parameters.get("created", "")
    if created.startswith(">="):
        return bool(row["created"] >= datetime.fromisoformat(created[2:]))
    if created:
        since, until = (datetime.fromisoformat(item) for item in created.split(".."))
        return bool(since <= row["created"] <= until)
    return True
