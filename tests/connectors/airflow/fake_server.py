"""The hooks of the conformance tests on a fake Airflow, of whichever version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import pytest

from connectors.airflow.connector import CONNECTOR
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import JOB_DELETED, FaultyTransport
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from tests.connectors.airflow.support import latest, latest_records, night, opened
from tests.fakes.airflow import FakeAirflow
from tests.fakes.unsent import CROWDS


class AirflowOnAFake(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = CONNECTOR
    lists_of_records = 2
    elsewhere: ClassVar[Mapping[str, str]] = {"crowded": CROWDS}

    def on(self, fake: FakeAirflow, transport: httpx.BaseTransport | None = None) -> Connector:
        """A connector on this estate; `transport` comes between the two."""
        return opened(fake, transport or httpx.MockTransport(self.endpoint(fake)))

    def endpoint(self, fake: FakeAirflow) -> Callable[[httpx.Request], httpx.Response]:
        """What answers for this estate."""
        return fake.handle

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = night()
        self.fake.now = datetime.now(UTC) - timedelta(seconds=30)  # action requests for starts use the real clock
        for dag in self.fake.dags:
            self.fake.start(dag, f"scheduled__2026-11-20T04:00:00+00:00-{dag}")
        self.fake.tick(30)

    def connector(self) -> Connector:
        return self.on(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = CONNECTOR.options(url=f"http://{host}:{port}", username="me", password={"env": "UNREAD"})
        return CONNECTOR.open(options, "api", lambda reference: "right")

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            other = deepcopy(self.fake)
            del other.dags["load_orders"]
            return self.on(other)
        lists = r"/(dagRuns|taskInstances|taskInstances/list)$"
        nasty = FaultyTransport(self.endpoint(self.fake), how, lists, "note", endless=_more)
        return self.on(self.fake, nasty)

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        run = latest(self.on(self.fake), "load_orders")
        self.fake.long_log = size
        return self.on(self.fake), run

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        """A transaction that is committed later than it is stamped."""
        return self.on(self.fake), self._put_behind

    def _put_behind(self) -> str:
        known = set(latest_records(self.on(self.fake))[0])
        run_id = self.fake.start("load_orders", "manual__late")
        self.fake.tick()
        for row in (*self.fake.runs, *self.fake.instances):
            if row["dag_run_id"] == run_id:
                row["_updated"] -= timedelta(seconds=15)
        [new] = {key for job, key in set(latest_records(self.on(self.fake))[0]) - known if job == "load_orders"}
        return new

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "clear|dagRuns"
        return self.on(self.fake)

    def make_success(self) -> str:
        return "stock_count"

    def make_failure(self) -> str:
        return "load_orders"

    def connector_with_an_unknown_state(self) -> Connector:
        other = FakeAirflow(stock_count=("count",))
        other.start("stock_count", state="awaiting_moon")
        other.tokens = {"token-0"}
        return self.on(other)

    def a_running_run(self) -> RunRecord:
        self.fake.outcome["stock_count", "count"] = "hang"
        self.fake.start("stock_count", "manual__hangs")
        self.fake.tick()
        run = latest(self.on(self.fake), "stock_count")
        assert run.state is RunState.RUNNING
        return run

    def pause_by_hand(self, job_id: str) -> None:
        self.fake.paused.add(job_id)

    def resume_by_hand(self, job_id: str) -> None:
        self.fake.paused.discard(job_id)

    def let_it_fall_due(self, job_id: str) -> None:
        self.fake.by_the_clock.add(job_id)
        self.fake.tick(60)
        self.fake.by_the_clock.discard(job_id)

    def native_trace(self) -> object:
        return [dict(row) for row in (*self.fake.runs, *self.fake.instances)], sorted(self.fake.paused)

    def advance(self) -> None:
        self.fake.tick()


def _more(body: Any, times: int) -> Any:
    """A page that promises a next one under a new cursor, for ever; of Airflow 2, one that counts too many."""
    return body | ({"next_cursor": str(0)} if "next_cursor" in body else {"total_entries": 10**6})
