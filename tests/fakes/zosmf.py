"""A small z/OSMF with a state, behind httpx: answers by the documents and examples of the z/OS jobs REST interface.

Specified, not recorded: nobody here saw z/OSMF itself. Its clock is moved by hand.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from fnmatch import fnmatch
from typing import Any

import httpx

Row = dict[str, Any]
JOBS = "/zosmf/restjobs/jobs"
ACCOUNT = f"Basic {b64encode(b'HEADWAY:right').decode()}"
MOST = 1000
TIMES = ("exec-submitted", "exec-started", "exec-ended")
FILES = {"JESMSGLG": " 03.12.44 JOB00023  $HASP373 PAYLOAD STARTED", "SYSPRINT": "reading\n2 records rejected"}


def written(at: datetime) -> str:
    """As the interface writes an instant."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class FakeZosmf:
    """`hangs` names jobs that do not end. `forbidden`: a pattern of calls that answer 403."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(seconds=30)
        self.jobs: list[Row] = []
        self.number = 23
        self.files = dict(FILES)
        self.hangs: set[str] = set()
        self.forbidden = ""
        self.requests: list[str] = []
        for hours in (6, 5, 4):
            self.job("PAYLOAD", "ABEND S0C7", self.now - timedelta(hours=hours))
            self.job("PAYMART", "CC 0000", self.now - timedelta(hours=hours, minutes=-10))

    def job(self, name: str, retcode: str | None, at: datetime, status: str = "OUTPUT") -> Row:
        self.number += 1
        job_id = f"JOB{self.number:05}"
        correlator = f"{job_id.replace('OB', '00')}SY1.....DE35{self.number:04X}.......:"
        has_begun, has_ended = status != "INPUT", status == "OUTPUT"
        row: Row = {
            "jobid": job_id, "jobname": name, "subsystem": "JES2", "owner": "BATCH", "status": status, "type": "JOB",
            "class": "A", "retcode": retcode, "job-correlator": correlator, "phase": 20 if has_ended else 14,
            "phase-name": "Job is on the hard copy queue" if has_ended else "Job is actively executing",
            "url": f"https://mainframe.example.com{JOBS}/{correlator}",
            "files-url": f"https://mainframe.example.com{JOBS}/{correlator}/files",
            "exec-submitted": written(at), "exec-started": written(at + timedelta(seconds=2)) if has_begun else None,
            "exec-ended": written(at + timedelta(minutes=3)) if has_ended else None,
        }  # fmt: skip
        self.jobs.append(row)
        return row

    def tick(self) -> None:
        """Time goes on, and active jobs end."""
        self.now += timedelta(seconds=30)
        for row in self.jobs:
            if row["status"] == "ACTIVE" and row["jobname"] not in self.hangs:
                row |= {"status": "OUTPUT", "retcode": "CC 0000", "exec-ended": written(self.now)}

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {request.url.path.removeprefix('/zosmf/restjobs')}"
        self.requests.append(call)
        if request.headers.get("authorization") != ACCOUNT:
            return self._reply(401, {"errorMsg": "IZUG1105I: login failed"})
        if "x-csrf-zosmf-header" not in request.headers:
            return self._reply(403, {"message": "IZUG846W: cross site request is not permitted"})
        if self.forbidden and re.search(self.forbidden, call):
            return self._reply(403, {"message": "IZUG1103E: the user is not authorized"})
        return self._answer(request)

    def _reply(self, status: int, body: Any) -> httpx.Response:
        return httpx.Response(status, json=body, headers={"date": format_datetime(self.now, usegmt=True)})

    def _answer(self, request: httpx.Request) -> httpx.Response:
        match (request.method, *request.url.path.removeprefix(JOBS).strip("/").split("/")):
            case ("GET", ""):
                return self._reply(200, self._list(request.url.params))
            case (method, correlator, *rest):
                row = next((row for row in self.jobs if row["job-correlator"] == correlator), None)
                if row is None:
                    message = f"No job found for reference: '{correlator}'"
                    return self._reply(400, {"rc": 4, "reason": 10, "category": 6, "message": message})
                return self._one(method, row, rest, request)
        return self._reply(404, {"rc": 4, "reason": 7, "category": 6, "message": "No match for method and path"})

    def _list(self, params: httpx.QueryParams) -> list[Row]:
        """Up to `max-jobs`, and no more than 1,000; a wrong number counts as 1,000."""
        most = int(params.get("max-jobs", MOST))
        rows = [row for row in self.jobs if fnmatch(row["jobname"], params["prefix"]) and params["owner"] == "*"]
        return [self._shown(row, params) for row in rows[: most if 1 <= most <= MOST else MOST]]

    def _shown(self, row: Row, params: httpx.QueryParams) -> Row:
        with_times = params.get("exec-data") == "Y"
        return {name: value for name, value in row.items() if with_times or name not in TIMES}

    def _one(self, method: str, row: Row, rest: list[str], request: httpx.Request) -> httpx.Response:
        match (method, *rest):
            case ("GET",):
                return self._reply(200, self._shown(row, request.url.params))
            case ("GET", "files"):
                return self._reply(200, [{"id": n, "ddname": name} for n, name in enumerate(self.files, 2)])
            case ("GET", "files", number, "records"):
                return httpx.Response(200, text=list(self.files.values())[int(number) - 2])
            case ("PUT",) if json.loads(request.content) == {"request": "cancel", "version": "2.0"}:
                if row["status"] == "OUTPUT":
                    return self._reply(400, {"rc": 8, "reason": 12, "category": 6, "message": "Job already ended"})
                row |= {"status": "OUTPUT", "retcode": "CANCELED", "exec-ended": written(self.now)}
                return self._reply(200, {"jobid": row["jobid"], "status": "0", "message": "Request was successful."})
        return self._reply(404, {"rc": 4, "reason": 7, "category": 6, "message": "No match for method and path"})
