"""100,000 ended runs in bounded memory, on the fakes of those kinds for which it costs too much for `make check`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from connectors.conformance import ConnectorConformance
from connectors.contract import Connector
from tests.connectors.dagster.test_recorded import STOCK
from tests.connectors.dagster.test_recorded import opened as dagster
from tests.connectors.prefect.crowd import crowded as prefect
from tests.fakes.dagster import FakeDagster
from tests.fakes.glue import FakeGlue
from tests.fakes.step_functions import FakeStates

LISTS = 20
"""AWS is read back a certain way in each list only: jobs, queues, state machines."""


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t-aws-key")


class DagsterCrowd(httpx.BaseTransport):
    """A Dagster with many ended runs: a page of them is made when it is asked for."""

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
        wanted = where.get("runIds") and [UUID(one).int & 0xFFFFFFFF for one in where["runIds"]]
        rows = [self.made(number) for number in wanted or range(first + 1, min(self.runs, first + 100) + 1)]
        headers = {"date": format_datetime(self.fake.now, usegmt=True)}
        data = {"data": {"runsOrError": {"__typename": "Runs", "results": rows}}}
        return httpx.Response(200, json=data, headers=headers)

    def made(self, number: int) -> dict[str, Any]:
        return {**self.fake.runs[0], "runId": str(UUID(int=(0x83A7A146 << 96) + number, version=4))}


def of_dagster(runs: int) -> Connector:
    return dagster(FakeDagster(STOCK), DagsterCrowd(runs))


def of_glue(runs: int) -> Connector:
    fake, now = FakeGlue(), datetime.now(UTC) - timedelta(hours=2)
    for number in range(LISTS):
        job = fake.job(f"job-{number}")
        fake.runs[job] = [fake.made(job, "SUCCEEDED", now - timedelta(minutes=n)) for n in range(runs // LISTS)]
    fake.page_size = 200
    return fake.connector()


def of_step_functions(runs: int) -> Connector:
    fake, machine = FakeStates(), FakeStates().machines[0]
    ran = next(one for one in fake.executions if one["status"] == "SUCCEEDED")
    fake.machines, fake.executions, fake.page_size = [], [], 1000
    for number in range(LISTS):
        arn = f"{machine['stateMachineArn']}-{number}"
        fake.machines.append({**machine, "stateMachineArn": arn, "name": f"{machine['name']}-{number}"})
        execution = arn.replace(":stateMachine:", ":execution:")
        times = (
            {"startDate": ran["startDate"] - n, "stopDate": ran["startDate"] - n + 0.5} for n in range(runs // LISTS)
        )
        fake.executions += [
            {**ran, **at, "stateMachineArn": arn, "name": f"r{n}", "executionArn": f"{execution}:r{n}"}
            for n, at in enumerate(times)
        ]
    return fake.connector()


CROWDS: dict[str, Callable[[int], Connector]] = {
    "prefect": prefect,
    "dagster": of_dagster,
    "glue": of_glue,
    "step_functions": of_step_functions,
}


class Judge(ConnectorConformance):
    """The conformance of one kind that plays nothing but a crowd."""

    def __init__(self, kind: str) -> None:
        self.name = kind

    def crowded(self, runs: int) -> Connector:
        return CROWDS[self.name](runs)


@pytest.mark.parametrize("kind", CROWDS)
def test_many_runs_take_bounded_memory(kind: str) -> None:
    Judge(kind).test_many_runs_take_bounded_memory()
