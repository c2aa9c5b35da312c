"""Airflow's connector keeps the contract on the fake; tests/lab shows the same on a real server."""

from __future__ import annotations

import pytest

from connectors.airflow.connector import CONNECTOR
from connectors.conformance import ConnectorConformance
from connectors.contract import Connector
from tests.connectors.airflow.support import night, opened
from tests.fakes.airflow import FakeAirflow


class TestAirflowOnTheFake(ConnectorConformance):
    kind = CONNECTOR

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = night()
        for dag in self.fake.dags:
            self.fake.start(dag, f"scheduled__2026-11-20T04:00:00+00:00-{dag}")
        self.fake.tick(5)

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = CONNECTOR.options(url=f"http://{host}:{port}", username="me", password={"env": "UNREAD"})
        return CONNECTOR.open(options, "api", lambda reference: "right")

    def make_success(self) -> str:
        return "stock_count"

    def make_failure(self) -> str:
        return "load_orders"

    def connector_hearing_an_unknown_word(self) -> Connector:
        other = FakeAirflow(stock_count=("count",))
        other.start("stock_count", state="awaiting_moon")
        other.tokens = {"token-0"}
        return opened(other)

    def native_trace(self) -> object:
        return [dict(row) for row in (*self.fake.runs, *self.fake.instances)]

    def advance(self) -> None:
        self.fake.tick()
