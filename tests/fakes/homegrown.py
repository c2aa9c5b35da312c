"""A small home-grown scheduler with a REST API as a team writes it in a week: jobs, runs by change, logs, verbs.

A fake of ours: no real API is exactly like this. Its clock is moved by hand."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

Row = dict[str, Any]
LOG = "reading 3 files\nfile 2: no such file\nexit 3\n"


class HomeGrown:
    """`jobs` and `runs` as the API shows them; `key` says who may ask."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
        self.key = "let-me-in"
        self.forbidden = ""
        self.jobs: list[Row] = [
            {"name": "load", "label": "Load orders", "cron": "10 3 * * *", "on": True, "does": "load.py"},
            {"name": "mart", "label": "Revenue mart", "cron": "0 4 * * *", "on": True, "does": "mart.py"},
        ]
        self.runs: list[Row] = []
        self.log = LOG
        self.requested: list[str] = []
        for hours in range(6, 1, -1):
            self.run("load", "done", self.now - timedelta(hours=hours))
            self.run("mart", "crashed", self.now - timedelta(hours=hours) + timedelta(minutes=20), error="exit 3", rc=3)

    def run(self, job: str, status: str, at: datetime, **more: Any) -> Row:
        ended = None if status in ("waiting", "active") else _shown(at + timedelta(minutes=5))
        times = {"began": _shown(at), "finished": ended, "changed": ended or _shown(at)}
        row = {"id": len(self.runs) + 1, "job": job, "status": status, **times, "error": "", "rc": 0, "request": None}
        self.runs.append({**row, **more})
        return self.runs[-1]

    def tick(self) -> None:
        """Time goes on, and what waits or was requested is done."""
        self.now += timedelta(seconds=30)
        for row in self.runs:
            if row["status"] == "waiting":
                row |= {"status": "done", "finished": _shown(self.now), "changed": _shown(self.now)}

    # -- its endpoint
    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        path, query = request.url.path, dict(request.url.params)
        self.requested.append(f"{request.method} {path}")
        headers = {"date": format_datetime(self.now, usegmt=True)}
        if request.headers.get("x-api-key") != self.key:
            return httpx.Response(401, json={"message": "who are you?"}, headers=headers)
        if self.forbidden and re.search(self.forbidden, path):
            return httpx.Response(403, json={"message": "not for you"}, headers=headers)
        if match := re.fullmatch(r"/api/runs/(\d+)/log", path):
            return self._log(request, int(match[1]), headers)
        status, body = self._answer(request, path, query)
        return httpx.Response(status, json=body, headers=headers)

    def _answer(self, request: httpx.Request, path: str, query: Row) -> tuple[int, Any]:
        if request.method == "GET":
            if path == "/api/jobs":
                return 200, {"jobs": self.jobs}
            if path == "/api/runs":
                return 200, self._page(query)
            row = self._row(path.rpartition("/")[2])
            return (200, row) if row else (404, {"message": "no such run"})
        body = json.loads(request.content or b"{}")
        return self._act(path, str(body.get("request")))

    def _page(self, query: Row) -> Row:
        since = query.get("since", "")
        rows = sorted((row for row in self.runs if row["changed"] >= since), key=lambda row: str(row["changed"]))
        first, limit = max(0, int(query.get("after") or 0)), int(query.get("limit", 100))
        following = str(first + limit) if first + limit < len(rows) else None
        return {"runs": rows[first : first + limit], "paging": {"after": following}}

    def _act(self, path: str, key: str) -> tuple[int, Any]:
        if match := re.fullmatch(r"/api/jobs/(\w+)/start", path):
            return 202, self.run(match[1], "waiting", self.now, request=key)
        match = re.fullmatch(r"/api/runs/(\d+)/(rerun|cancel|mark)", path)
        row = self._row(match[1]) if match else None
        if match is None or row is None:
            return 404, {"message": "no such run"}
        if match[2] == "rerun":
            return 202, self.run(row["job"], "waiting", self.now, request=key)
        if match[2] == "mark":
            row |= {"status": "done", "changed": _shown(self.now)}
            return 200, row
        row |= {"status": "stopped", "finished": _shown(self.now), "changed": _shown(self.now)}
        return 200, row

    def _row(self, number: str) -> Row | None:
        return next((row for row in self.runs if str(row["id"]) == number), None)

    def _log(self, request: httpx.Request, number: int, headers: Row) -> httpx.Response:
        if self._row(str(number)) is None:
            return httpx.Response(404, json={"message": "no such run"}, headers=headers)
        whole = self.log.encode()
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if match is None:
            return httpx.Response(200, content=whole, headers={**headers, "content-type": "text/plain"})
        first = int(match[1]) if match[1] else max(0, len(whole) - int(match[2]))
        last = min(int(match[2]) if match[1] else len(whole) - 1, len(whole) - 1)
        if first >= len(whole):
            return httpx.Response(416, headers={**headers, "content-range": f"bytes */{len(whole)}"})
        span = {"content-range": f"bytes {first}-{last}/{len(whole)}", "content-type": "text/plain"}
        return httpx.Response(206, content=whole[first : last + 1], headers={**headers, **span})


def _shown(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
