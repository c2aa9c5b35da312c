"""A small Spark history server behind httpx: replies of a real one (tests/recordings/spark), moved to now."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx

Row = dict[str, Any]
BASE = "/api/v1/applications"
RECORDED = Path(__file__).parents[1] / "recordings/spark/history.json"


class FakeHistory:
    """`forbidden`: it answers 403; `deleted`: applications that are listed and whose logs are gone."""

    def __init__(self) -> None:
        recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
        self.apps: list[Row] = recorded["applications"]
        self.jobs: dict[str, list[Row]] = recorded["jobs"]
        self.failed_stages: dict[str, list[Row]] = recorded["failed_stages"]
        self.forbidden = False
        self.deleted: set[str] = set()
        self.requested: list[str] = []
        newest = max(attempt["lastUpdatedEpoch"] for app in self.apps for attempt in app["attempts"])
        moved = int((datetime.now(UTC) - timedelta(hours=2)).timestamp() * 1000) - newest
        for app in self.apps:
            for attempt in app["attempts"]:
                for name in ("startTimeEpoch", "endTimeEpoch", "lastUpdatedEpoch"):
                    attempt[name] += moved if attempt[name] > 0 else 0

    def named(self, name: str) -> Row:
        return next(app for app in self.apps if app["name"] == name)

    def copied(self, name: str, identity: str, minutes: float) -> Row:
        """Another application like one of that name, so many minutes later."""
        app: Row = json.loads(json.dumps(self.named(name)))
        for attempt in app["attempts"]:
            for field in ("startTimeEpoch", "endTimeEpoch", "lastUpdatedEpoch"):
                attempt[field] += int(minutes * 60_000)
        self.jobs[identity], self.failed_stages[identity] = self.jobs[app["id"]], self.failed_stages[app["id"]]
        app["id"] = identity
        self.apps.insert(0, app)
        return app

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requested.append(request.url.raw_path.decode())
        headers = {"date": format_datetime(datetime.now(UTC), usegmt=True)}
        if self.forbidden:
            return httpx.Response(403, text="no", headers=headers)
        if request.url.path == "/api/v1/version":
            return httpx.Response(200, json={"spark": "4.3.0"}, headers=headers)
        if request.url.path == BASE:
            return httpx.Response(200, json=self._listed(request.url.params), headers=headers)
        identity, _, what = request.url.path.removeprefix(f"{BASE}/").partition("/")
        identity, what = (f"{identity}/{what[0]}", what[2:]) if what[:1].isdigit() else (identity, what)
        app = next((app for app in self.apps if app["id"] == identity.partition("/")[0]), None)
        if app is None or identity in self.deleted:
            return httpx.Response(404, text=f"unknown app: {identity}", headers=headers)
        rows: Any = {"": app, "jobs": self.jobs.get(identity), "stages": self.failed_stages.get(identity)}[what]
        return httpx.Response(200, json=rows, headers=headers)

    def _listed(self, params: httpx.QueryParams) -> list[Row]:
        """Those that run, or ended since `minEndDate`, as ApplicationListResource does."""
        since = (
            datetime.strptime(params["minEndDate"], "%Y-%m-%dT%H:%M:%S.%fGMT").replace(tzinfo=UTC).timestamp() * 1000
        )
        rows = [
            app for app in self.apps
            if any(not item["completed"] or item["endTimeEpoch"] >= since for item in app["attempts"])
        ]  # fmt: skip
        return rows[: int(params.get("limit", len(rows)))]
