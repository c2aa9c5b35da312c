"""A Prefect with very many runs."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import httpx

from connectors.sdk.contract import Connector
from tests.connectors.prefect.support import STOCK, opened
from tests.fakes.prefect import FakePrefect, public, stamp

MANY_TRIES = 10
"""One run in so many took longer than it ran, so that its history is requested: by itself, which costs most."""


class Crowd(httpx.BaseTransport):
    """A Prefect that has many ended runs besides: a page of them is made when it is requested."""

    def __init__(self, fake: FakePrefect, runs: int) -> None:
        self.fake, self.runs = fake, runs
        self.row = public(next(row for row in fake.runs if row["state_type"] == "COMPLETED"))
        self.first = fake.now - timedelta(seconds=runs + 3600)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.read() or b"null")
        where = (body or {}).get("flow_runs", {}).get("expected_start_time")
        if not request.url.path.endswith("/flow_runs/filter") or where is None:
            return self.fake.answer(request)
        after = datetime.fromisoformat(where["after_"])
        begin = max(0, math.ceil((after - self.first).total_seconds())) + body.get("offset", 0)
        rows = [self.made(number) for number in range(begin, min(self.runs, begin + body.get("limit", 200)))]
        return httpx.Response(200, json=rows, headers={"date": format_datetime(self.fake.now, usegmt=True)})

    def made(self, number: int) -> dict[str, Any]:
        at = stamp(self.first + timedelta(seconds=number))
        times = dict.fromkeys(("expected_start_time", "start_time", "end_time", "created"), at)
        ran = 0.5 if number % MANY_TRIES == 0 else 0.0
        return {**self.row, **times, "total_run_time": ran, "id": str(UUID(int=number + 1, version=4))}


def crowded(runs: int) -> Connector:
    fake = FakePrefect(STOCK)
    fake.start(STOCK)
    fake.tick(30)
    return opened(fake, Crowd(fake, runs))
