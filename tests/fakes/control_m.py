"""A small Control-M with a state, behind httpx: rows made from the models of its Automation API's client, which judge
each request and answer.

Specified, not recorded: nobody here saw Control-M itself. Its clock is moved by hand.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from fnmatch import fnmatch
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from tests.fakes.described import Row, described

API = "/automation-api"
ZONE = ZoneInfo("Europe/Berlin")
MOST = 10_000


def written(at: datetime | None) -> str:
    """As Control-M writes an instant: local, without its zone."""
    return "" if at is None else at.astimezone(ZONE).strftime("%Y%m%d%H%M%S")


class FakeControlM:
    """`hangs` names jobs that do not end. `forbidden`: a pattern of calls that answer 403.
    `is_judged`: False where a row has what Control-M never sends."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(seconds=30)
        self.rows: list[Row] = []
        self.outputs: dict[tuple[str, int], str] = {}
        self.most = MOST
        self.hangs: set[str] = set()
        self.forbidden = ""
        self.is_judged = True
        self.requests: list[str] = []
        for hours in (54, 30, 6):
            self.order("LOAD_ORDERS", "Ended Not OK", self.now - timedelta(hours=hours))
            self.order("MART", "Ended OK", self.now - timedelta(hours=hours, minutes=-10))

    def order(self, name: str, status: str, at: datetime | None, odate: str = "", folder: str = "PAY_DAILY") -> Row:
        """An ordered job. One that waits has no times."""
        number = f"{len(self.rows) + 7:05}"
        job_id, begun = f"ctmprod:{number}", at is not None
        ended = at + timedelta(minutes=3) if at is not None and status.startswith("Ended") else None
        row = described("control_m").row(
            "JobRunStatus",
            jobId=job_id,
            numberOfRuns=1 if begun else 0,
            name=name,
            folder=folder,
            status=status,
            held=False,
            deleted=False,
            cyclic=False,
            startTime=written(at),
            endTime=written(ended),
            orderDate=odate or (at or self.now).strftime("%y%m%d"),
            ctm="ctmprod",
        )
        self.rows.append(row)
        if ended is not None:
            self._put_output(row)
        return row

    def _put_output(self, row: Row) -> None:
        starts = row["numberOfRuns"]
        self.outputs[row["jobId"], starts] = f"+ load {row['name']} ({starts})\n2 records rejected\n"

    def begin(self, row: Row) -> None:
        """The order starts, again where it ran before."""
        number = row["numberOfRuns"] + 1
        row |= {"status": "Executing", "numberOfRuns": number, "startTime": written(self.now), "endTime": ""}

    def end(self, row: Row, status: str) -> None:
        row |= {"status": status, "endTime": written(self.now)}
        self._put_output(row)

    def tick(self) -> None:
        """Time goes on, executing jobs end, and those that wait for a host begin."""
        self.now += timedelta(seconds=30)
        for row in self.rows:
            if row["status"] == "Executing" and row["name"] not in self.hangs:
                self.end(row, "Ended OK")
            elif row["status"] == "Wait Host":
                self.begin(row)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {request.url.path.removeprefix(API)}"
        self.requests.append(call)
        if request.headers.get("x-api-key") != "right":
            return self._error(401, "Unauthorized")
        if self.forbidden and re.search(self.forbidden, call):
            return self._error(403, "User has no authorization to perform this action")
        method = described("control_m").method(request.method, request.url.path.removeprefix(API))
        if method is None:
            return self._error(404, "Not found")
        if faults := described("control_m").faults_of_request(method, dict(request.url.params), {}):
            return self._error(400, f"Not as described: {faults}")
        reply = self._answer(request)
        if reply.is_success and "response" in method and self.is_judged:
            misfits = described("control_m").misfits(reply.json(), method["response"])
            assert [] == list(misfits), "the answer is not Control-M's"
        return reply

    def _reply(self, body: Any, status: int = 200) -> httpx.Response:
        return httpx.Response(status, json=body, headers={"date": format_datetime(self.now, usegmt=True)})

    def _error(self, status: int, message: str) -> httpx.Response:
        return self._reply({"errors": [{"message": message}]}, status)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        match (request.method, *request.url.path.removeprefix(API).strip("/").split("/")):
            case ("GET", "run", "jobs", "status"):
                return self._list(request.url.params)
            case (method, "run", "job", job_id, *rest):
                row = next((row for row in self.rows if row["jobId"] == job_id), None)
                if row is None:
                    return self._error(404, f"Job {job_id} was not found")
                return self._one(method, row, rest, request.url.params)
        return self._error(404, "Not found")

    def _list(self, params: httpx.QueryParams) -> httpx.Response:
        """Up to `limit` rows, and no more than the server gives; 206 where there are more."""
        rows = [row for row in self.rows if self._is_wanted(row, params)]
        shown = rows[: min(int(params.get("limit", 1000)), self.most)]
        body = {"statuses": shown, "returned": len(shown), "total": len(rows)}
        return self._reply(body, 200 if len(shown) == len(rows) else 206)

    def _is_wanted(self, row: Row, params: httpx.QueryParams) -> bool:
        flags = all(str(row[name]).lower() == params[name] for name in ("cyclic", "deleted") if name in params)
        return flags and fnmatch(row["folder"], params["folder"]) and fnmatch(row["ctm"], params["ctm"])

    def _one(self, method: str, row: Row, rest: list[str], params: httpx.QueryParams) -> httpx.Response:
        match (method, *rest):
            case ("GET", "status"):
                return self._reply(row)
            case ("GET", "output"):
                number = int(params.get("runNo", 0)) or row["numberOfRuns"]
                text = self.outputs.get((row["jobId"], number))
                return (
                    self._error(404, "OUTPUT DOES NOT EXIST FOR THIS JOB")
                    if text is None
                    else httpx.Response(200, text=text)
                )
            case ("POST", "rerun"):
                if not row["status"].startswith("Ended"):
                    return self._error(500, f"Job {row['jobId']} is not in a status that allows a rerun")
                row["status"] = "Wait Host"
                return self._reply(row)
        return self._error(404, "Not found")
