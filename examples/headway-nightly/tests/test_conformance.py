"""Headway's conformance on a small fake of nightly. Feed it replies of your own server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
from connectors.sdk.conformance import Deadlines, Faults, Logs, Reads
from connectors.sdk.conformance.faults import ENDLESS, FaultyTransport
from connectors.sdk.contract import Connector

from headway_nightly.connector import CONNECTOR, NightlyConnector, Options

URL = "https://nightly.example.com"
NOW = datetime.now(UTC).replace(microsecond=0)
JOBS = [{"name": name, "cron": "10 3 * * *", "paused": False, "command": f"{name}.py"} for name in ("load", "mart")]


def run(number: int, job: str, state: str, error: str = "") -> dict[str, object]:
    began = NOW - timedelta(hours=10 - number)
    ended = (began + timedelta(minutes=5)).isoformat()
    return {
        "id": number,
        "job": job,
        "state": state,
        "started": began.isoformat(),
        "ended": ended,
        "changed": ended,
        "error": error,
    }


RUNS = [
    run(1, "load", "ok"),
    run(2, "mart", "failed", "exit 3"),
    run(3, "load", "ok"),
    run(4, "mart", "failed", "exit 3"),
]


def answer(request: httpx.Request) -> httpx.Response:
    headers = {"date": format_datetime(datetime.now(UTC), usegmt=True)}
    if request.url.path == "/api/jobs":
        return httpx.Response(200, json={"jobs": JOBS}, headers=headers)
    if request.url.path.endswith("/log"):
        return httpx.Response(200, text="reading 3 files\nexit 3\n", headers=headers)
    rows = [row for row in RUNS if str(row["changed"]) >= request.url.params.get("since", "")]
    return httpx.Response(200, json={"runs": rows[:3], "more": len(rows) > 3}, headers=headers)


def unknown(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"runs": [run(9, "load", "hibernating")]})


class TestNightly(Reads, Logs, Deadlines, Faults):
    kind = CONNECTOR
    against = "fake: the one in tests/"
    unplayed = {ENDLESS: "its lists have no pages: the next poll continues after the last change"}

    def opened_on(self, transport: httpx.BaseTransport) -> Connector:
        options = Options.model_validate({"url": URL, "token": {"env": "UNREAD"}})
        return NightlyConnector(options, lambda _: "token", transport)

    def connector(self) -> Connector:
        return self.opened_on(httpx.MockTransport(answer))

    def connector_at(self, host: str, port: int) -> Connector:
        options = Options.model_validate({"url": f"http://{host}:{port}", "token": {"env": "UNREAD"}})
        return CONNECTOR.open(options, "api", lambda _: "token")

    def connector_with_an_unknown_state(self) -> Connector:
        return self.opened_on(httpx.MockTransport(unknown))

    def answering(self, how: str) -> Connector:
        return self.opened_on(FaultyTransport(answer, how, "/api/", "error"))

    def make_success(self) -> str:
        return "load"

    def make_failure(self) -> str:
        return "mart"
