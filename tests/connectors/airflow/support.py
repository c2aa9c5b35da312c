"""Connectors opened on the fake, for the tests of this folder."""

from __future__ import annotations

from typing import Any

import httpx

from connectors.airflow.connector import AirflowConnector
from connectors.airflow.options import AirflowOptions
from connectors.sdk.contract import ActionSpec, Connector, Preview
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.states import RunState, Verb
from tests.fakes.airflow import FakeAirflow

URL = "https://airflow.example.com"
DUE = "2026-11-20T03:00:00Z"


def opened(fake: FakeAirflow, transport: httpx.BaseTransport | None = None, **options: Any) -> AirflowConnector:
    """A connector whose password is right, on this fake."""
    chosen = {"url": URL, "username": "headway", "password": {"env": "UNREAD"}, **options}
    return AirflowConnector(
        AirflowOptions.model_validate(chosen),
        lambda reference: "right",
        transport or fake.transport,
        settle_seconds=0.0,
    )


def night() -> FakeAirflow:
    """load_orders (check, load, publish), whose load fails, and stock_count, which is well."""
    fake = FakeAirflow(load_orders=("check", "load", "publish"), stock_count=("count",))
    fake.outcome["load_orders", "load"] = "failed"
    return fake


def latest_records(connector: Connector, cursor: str = "") -> tuple[dict[tuple[str, str], RunRecord], str]:
    """The last word on each attempt since the cursor, and the cursor after it."""
    runs: dict[tuple[str, str], RunRecord] = {}
    more = True
    while more:
        poll = connector.poll(cursor, (), 5)
        runs |= {(run.job, run.attempt_key): run for run in poll.runs}
        cursor, more = poll.cursor, poll.more
    return runs, cursor


def latest(connector: Connector, job: str) -> RunRecord:
    """The newest attempt of a job."""
    return [run for run in latest_records(connector)[0].values() if run.job == job][-1]


def allowed(connector: Connector, ask: ActionSpec) -> Preview:
    """The preview of what may be done now."""
    preview = connector.preview(ask, 5)
    assert None is preview.refused
    return preview


def start(period: str = DUE, dag: str = "stock_count") -> ActionSpec:
    """A start for a period, or without one ("")."""
    return ActionSpec(
        Verb.START, RunRef(dag, period, "", ""), RunState.PLANNED, {"period_at": period} if period else {}
    )
