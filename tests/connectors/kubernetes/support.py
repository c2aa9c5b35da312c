"""A cluster and connectors opened on it, for the tests of this folder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.kubernetes.connector import KubernetesConnector
from connectors.kubernetes.options import CLUSTER_TARGET, KubernetesOptions
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from tests.fakes.kubernetes import URL, FakeKubernetes

ORDERS, STOCK = "etl/load-orders", "etl/stock-count"


def cluster() -> FakeKubernetes:
    """A cluster half a minute behind our clock: action requests for starts use the real clock."""
    fake = FakeKubernetes()
    fake.cronjob("load-orders")
    fake.cronjob("stock-count", schedule="*/15 * * * *", timeZone="Europe/Berlin")
    fake.now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=30)
    return fake


def opened(
    fake: FakeKubernetes, transport: httpx.BaseTransport | None = None, target: str = CLUSTER_TARGET, **options: Any
) -> KubernetesConnector:
    chosen = KubernetesOptions.model_validate({"url": URL, "token": {"env": "KUBE_TOKEN"}, **options})
    return KubernetesConnector(chosen, target, lambda reference: "right", transport or fake.transport)


def latest_records(connector: Connector, cursor: str = "") -> tuple[dict[tuple[str, str], RunRecord], str]:
    """The last word on each attempt since the cursor, by job and key, and the cursor after it."""
    runs: dict[tuple[str, str], RunRecord] = {}
    more = True
    while more:
        poll = connector.poll(cursor, (), 10)
        runs |= {(run.job, run.attempt_key): run for run in poll.runs}
        cursor, more = poll.cursor, poll.more
    return runs, cursor


def more(body: Any, times: int) -> Any:
    """A page that promises a next one, for ever."""
    return body | {"metadata": {**body["metadata"], "continue": f'["", "{times}"]'}}
