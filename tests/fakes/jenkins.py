"""A small Jenkins with a state, behind httpx: answers by its Remote Access API and the source of its core.

Specified, not recorded: nobody here saw Jenkins itself. It gives what `tree` names, as Jenkins does. Its clock is moved
by hand.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

Row = dict[str, Any]
ROOT = "https://jenkins.example.com"
LOG = "Started by timer\n[Pipeline] sh\nexit 3\nFinished: FAILURE\n"
LOAD, MART = "etl/load orders", "mart"
FOLDER = "com.cloudbees.hudson.plugins.folder.Folder"
TREE_PART = re.compile(r"([A-Za-z_]+)|\[|\]|,|\{(\d+),(\d+)\}")


def cause_action(*causes: Row) -> Row:
    return {"_class": "hudson.model.CauseAction", "causes": list(causes)}


def remote_cause(note: str) -> Row:
    text = f"Started by remote host 10.0.0.7 with note: {note}"
    return {"_class": "hudson.model.Cause$RemoteCause", "shortDescription": text, "addr": "10.0.0.7", "note": note}


TIMER = {"_class": "hudson.triggers.TimerTrigger$TimerTriggerCause", "shortDescription": "Started by timer"}


class FakeJenkins:
    """`hangs` names jobs whose builds do not end. `forbidden`: a pattern of calls that answer 403. `tokens`: job ->
    its trigger token; `parameterized`: jobs that take parameters; `never_disabled`: branches of a multibranch pipeline.
    `is_busy`: no executor takes what is queued."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(seconds=30)
        self.jobs: dict[str, Row] = {}
        self.builds: dict[str, list[Row]] = {}
        self.queue: list[tuple[str, Row]] = []
        self.hangs: set[str] = set()
        self.tokens = {LOAD: "trigger", MART: "trigger"}
        self.parameterized: set[str] = set()
        self.never_disabled: set[str] = set()
        self.is_busy = self.is_quieting_down = False
        self.forbidden = ""
        self.log = LOG
        self.requests: list[str] = []
        for name in (LOAD, MART):
            self._job(name)
        for hours in (6, 5, 4):
            self.build(LOAD, "FAILURE", self.now - timedelta(hours=hours))
            self.build(MART, "SUCCESS", self.now - timedelta(hours=hours, minutes=-10))

    def _job(self, name: str) -> None:
        self.builds[name] = []
        self.jobs[name] = {
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowJob", "fullName": name,
            "fullDisplayName": name.replace("/", " » "), "description": None, "buildable": True,
            "url": f"{ROOT}/job/{name.replace('/', '/job/')}/",
        }  # fmt: skip

    def build(self, job: str, result: str | None, at: datetime, *causes: Row) -> Row:
        """A build that runs where it has no result."""
        number = len(self.builds[job]) + 1
        row: Row = {
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun", "number": number, "building": result is None,
            "result": result, "timestamp": round(at.timestamp() * 1000), "duration": 180_000 if result else 0,
            "url": f"{self.jobs[job]['url']}{number}/", "actions": [cause_action(*(causes or (TIMER,))), {}],
        }  # fmt: skip
        self.builds[job].append(row)
        return row

    def tick(self) -> None:
        """Time goes on: running builds end, and queued ones begin."""
        self.now += timedelta(seconds=30)
        for job, rows in self.builds.items():
            for row in rows:
                if row["building"] and job not in self.hangs:
                    self._end(row, "SUCCESS")
        if not self.is_busy:
            for job, item in self.queue:
                self.build(job, None, self.now, *item["actions"][0]["causes"])
            self.queue = []

    def _end(self, row: Row, result: str) -> None:
        milliseconds = round(self.now.timestamp() * 1000) - row["timestamp"]
        row |= {"building": False, "result": result, "duration": max(milliseconds, 1)}

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {request.url.path}"
        self.requests.append(call)
        if request.headers.get("authorization") != "Basic aGVhZHdheTpyaWdodA==":
            return self._text(401, "Unauthorized")
        if self.forbidden and re.search(self.forbidden, call):
            return self._text(403, "headway is missing the Job/Read permission")
        params = request.url.params
        match (request.method, request.url.path.strip("/").split("/")):
            case ("GET", ["view", "nightly", "api", "json"]):
                rows = [{**job, "allBuilds": self.builds[name][::-1]} for name, job in self.jobs.items()]
                folder = {"_class": FOLDER, "fullName": "etl", "fullDisplayName": "etl", "url": f"{ROOT}/job/etl/"}
                return self._json({"_class": "hudson.model.ListView", "jobs": [folder, *rows]}, params)
            case ("GET", ["api", "json"]):
                root = {"_class": "hudson.model.Hudson", "mode": "NORMAL", "quietingDown": self.is_quieting_down}
                return self._json(root, params)
            case ("GET", ["queue", "api", "json"]):
                return self._json({"_class": "hudson.model.Queue", "items": [item for _, item in self.queue]}, params)
            case (method, ["job", *path]):
                return self._of_job(method, path, params)
        return self._text(404, "Not Found")

    def _of_job(self, method: str, path: list[str], params: httpx.QueryParams) -> httpx.Response:
        names = [path.pop(0)]
        while path and path[0] == "job":
            names, path = [*names, path[1]], path[2:]
        name = "/".join(names)
        if name not in self.jobs:
            return self._text(404, "Not Found")
        if path[0].isdigit():
            row = next((row for row in self.builds[name] if str(row["number"]) == path[0]), None)
            return self._text(404, "Not Found") if row is None else self._of_build(method, path[1:], row, params)
        match (method, path):
            case ("GET", ["api", "json"]):
                return self._json(self.jobs[name], params)
            case ("POST", ["build"]):
                return self._queue(name, params)
            case ("POST", ["submitDescription"]):
                self.jobs[name]["description"] = params["description"]
                return self._to(self.jobs[name])
            case ("POST", ["enable" | "disable" as what]):
                self.jobs[name]["buildable"] = what == "enable" or name in self.never_disabled
                return self._to(self.jobs[name])
        return self._text(404, "Not Found")

    def _of_build(self, method: str, path: list[str], row: Row, params: httpx.QueryParams) -> httpx.Response:
        match (method, path):
            case ("GET", ["api", "json"]):
                return self._json(row, params)
            case ("GET", ["consoleText"]):
                return self._text(200, self.log)
            case ("POST", ["stop"]):
                if row["building"]:
                    self._end(row, "ABORTED")
                return self._to(row)
        return self._text(404, "Not Found")

    def _queue(self, job: str, params: httpx.QueryParams) -> httpx.Response:
        """The token of the job alone permits it, else only Job/Build would. What is queued already is merged."""
        if self.tokens.get(job, "") != params.get("token"):
            return self._text(403, "headway is missing the Job/Build permission")
        if not self.jobs[job]["buildable"]:
            return self._text(409, f"{job} is not buildable")
        if job in self.parameterized:
            return self._text(400, "Nothing is submitted")
        cause = remote_cause(params["cause"])
        item = next((item for name, item in self.queue if name == job), None)
        if item is None:
            self.queue.append((job, {"_class": "hudson.model.Queue$WaitingItem", "actions": [cause_action(cause)]}))
        elif cause not in item["actions"][0]["causes"]:
            item["actions"][0]["causes"].append(cause)
        return httpx.Response(201, headers={"location": f"{ROOT}/queue/item/39/"})

    def _to(self, row: Row) -> httpx.Response:
        return httpx.Response(302, headers={"location": row["url"]})

    def _text(self, status: int, text: str) -> httpx.Response:
        return httpx.Response(status, text=text, headers={"content-type": "text/plain;charset=utf-8"})

    def _json(self, body: Row, params: httpx.QueryParams) -> httpx.Response:
        shown = selected(body, tree_of(params["tree"]))
        return httpx.Response(200, json=shown, headers={"date": format_datetime(self.now, usegmt=True)})


Tree = dict[str, tuple[Any, slice]]


def tree_of(text: str) -> Tree:
    """Name -> the tree below it, and the range of its items: "jobs[name,builds[number]{0,5}]"."""
    trees: list[Tree] = [{}]
    name, closed = "", ""
    names: list[str] = []
    for match in TREE_PART.finditer(text):
        if match[1]:
            name = closed = match[1]
            trees[-1][name] = ({}, slice(None))
        elif match[0] == "[":
            names.append(name)
            trees.append({})
        elif match[0] == "]":
            below, closed = trees.pop(), names.pop()
            trees[-1][closed] = (below, slice(None))
        elif match[2]:
            trees[-1][closed] = (trees[-1][closed][0], slice(int(match[2]), int(match[3])))
    return trees[0]


def selected(value: Any, tree: Tree) -> Any:
    if not isinstance(value, dict):
        return value
    shown = {"_class": value["_class"]} if "_class" in value else {}
    for name, (below, items) in tree.items():
        if name in value:
            part = value[name]
            shown[name] = [selected(item, below) for item in part[items]] if isinstance(part, list) else part
    return shown
