"""Connectors opened on the fake, for the tests of this folder."""

from __future__ import annotations

from typing import Any

import httpx

from connectors.prefect.connector import PrefectConnector
from connectors.prefect.options import PrefectOptions
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from tests.fakes.prefect import FakePrefect

URL = "https://prefect.example.com/api"
ORDERS, STOCK = "load-orders/nightly", "stock-count/hourly"


def opened(fake: FakePrefect, transport: httpx.BaseTransport | None = None, **options: Any) -> PrefectConnector:
    chosen = PrefectOptions.model_validate({"url": URL, **options})
    return PrefectConnector(chosen, lambda reference: "right", transport or fake.transport, settle_seconds=0.0)


def latest_records(connector: Connector, cursor: str = "") -> tuple[dict[str, RunRecord], str]:
    """The last word on each attempt since the cursor, by its key, and the cursor after it."""
    runs: dict[str, RunRecord] = {}
    more = True
    while more:
        poll = connector.poll(cursor, (), 20)
        runs |= {run.attempt_key: run for run in poll.runs}
        cursor, more = poll.cursor, poll.more
    return runs, cursor
