"""An Airflow with very many runs."""

from __future__ import annotations

import json
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

import httpx

from connectors.sdk.contract import Connector
from tests.connectors.airflow.support import night, opened


class Crowd(httpx.BaseTransport):
    """An Airflow 3 with many ended runs of one DAG: a page of them is made when it is requested."""

    def __init__(self, runs: int) -> None:
        self.fake, self.runs = night(), runs
        self.fake.start("stock_count")
        self.fake.tick(30)
        del self.fake.runs[0]["_updated"]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/dags/~/dagRuns"):
            request.read()
            return self.fake.handle(request)
        query = {name: values[-1] for name, values in parse_qs(request.url.query.decode(), True).items()}
        first = 0 if "updated_at_gte" not in query else self.runs
        first = int(query.get("cursor") or first)
        last = min(self.runs, first + int(query["limit"]))
        details = {"dag_runs": [self.made(number) for number in range(first, last)], "total_entries": 50_000}
        headers = {"date": format_datetime(self.fake.now, usegmt=True), "content-type": "application/json"}
        body = json.dumps({**details, "next_cursor": str(last) if last < self.runs else None})
        return httpx.Response(200, content=body.encode(), headers=headers)

    def made(self, number: int) -> dict[str, Any]:
        return {**self.fake.runs[0], "dag_run_id": f"scheduled__{number}"}


def crowded(runs: int) -> Connector:
    transport = Crowd(runs)
    return opened(transport.fake, transport)
