"""A repository and connectors opened on it, for the tests of this folder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.github_actions.connector import GitHubActionsConnector
from connectors.github_actions.options import GitHubActionsOptions
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from tests.fakes.github import FakeGitHub

REPOSITORY = "acme/etl"
ORDERS, STOCK, REPORT = "load-orders.yml", "stock-count.yml", "report.yml"
ORDERS_TEXT = """\
name: load-orders
run-name: load orders ${{ inputs.headway_key }}
on:
  schedule:
    - cron: "10 3 * * *"
  workflow_dispatch:
    inputs:
      headway_key: { type: string }
      headway_period: { type: string }
jobs:
  extract: { runs-on: ubuntu-latest, steps: [{ run: make extract }] }
  load: { name: Load it, needs: extract, runs-on: ubuntu-latest, steps: [{ run: make load }] }
"""
STOCK_TEXT = ORDERS_TEXT.replace("orders", "stock").replace('"10 3 * * *"', '"*/15 * * * *"')
REPORT_TEXT = """\
on:
  workflow_run: { workflows: [load-orders, stock-count], types: [completed] }
jobs:
  build:
    strategy: { matrix: { region: [eu, us] } }
    continue-on-error: true
    runs-on: ubuntu-latest
    steps: [{ run: make report }]
"""


def job(file: str) -> str:
    return f"{REPOSITORY}:{file}"


def repository() -> FakeGitHub:
    """A GitHub half a minute behind our clock: action requests for starts use the real clock."""
    fake = FakeGitHub(REPOSITORY, load_orders=ORDERS_TEXT, stock_count=STOCK_TEXT, report=REPORT_TEXT)
    fake.tasks = {ORDERS: ("extract", "Load it"), STOCK: ("extract", "Load it"), REPORT: ("build (eu)", "build (us)")}
    fake.now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=30)
    return fake


def opened(
    fake: FakeGitHub, transport: httpx.BaseTransport | None = None, settle_seconds: float = 0.0, **options: Any
) -> GitHubActionsConnector:
    chosen = GitHubActionsOptions.model_validate(
        {"repositories": [REPOSITORY], "token": {"env": "GITHUB_TOKEN"}, **options}
    )
    return GitHubActionsConnector(
        chosen, REPOSITORY, lambda reference: "right", transport or fake.transport, settle_seconds
    )


def latest_records(connector: Connector, cursor: str = "") -> tuple[dict[tuple[str, str], RunRecord], str]:
    """The last word on each attempt since the cursor, by job and key, and the cursor after it."""
    runs: dict[tuple[str, str], RunRecord] = {}
    more = True
    while more:
        poll = connector.poll(cursor, (), 10)
        runs |= {(run.job.removeprefix(f"{REPOSITORY}:"), run.attempt_key): run for run in poll.runs}
        cursor, more = poll.cursor, poll.more
    return runs, cursor
