"""A Dagster with very many runs."""

from __future__ import annotations

import json
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import httpx

from connectors.sdk.contract import Connector
from tests.connectors.dagster.test_recorded import STOCK, opened
from tests.fakes.dagster import FakeDagster


class Crowd(httpx.BaseTransport):
    """A Dagster with many ended runs: a page of them is made when it is requested."""

    def __init__(self, runs: int) -> None:
        self.fake, self.runs = FakeDagster(STOCK), runs
        self.fake.start(STOCK)
        self.fake.tick(30)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.read())
        where, last = body["variables"].get("f") or {}, body["variables"].get("c")
        if "updatedAfter" not in where and "runIds" not in where:
            return self.fake.answer(request)
        first = UUID(last).int & 0xFFFFFFFF if last else 0
        expected = where.get("runIds") and [UUID(item).int & 0xFFFFFFFF for item in where["runIds"]]
        rows = [self.made(number) for number in expected or range(first + 1, min(self.runs, first + 100) + 1)]
        headers = {"date": format_datetime(self.fake.now, usegmt=True)}
        data = {"data": {"runsOrError": {"__typename": "Runs", "results": rows}}}
        return httpx.Response(200, json=data, headers=headers)

    def made(self, number: int) -> dict[str, Any]:
        return {**self.fake.runs[0], "runId": str(UUID(int=(0x83A7A146 << 96) + number, version=4))}


def crowded(runs: int) -> Connector:
    return opened(FakeDagster(STOCK), Crowd(runs))
