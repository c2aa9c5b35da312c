"""Airflow's connector keeps the contract on the fakes; tests/lab shows the same on real servers."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from tests.connectors.airflow.fake_server import AirflowOnAFake
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow2 import FakeAirflow2


class TestAirflowOnTheFake(AirflowOnAFake):
    against = "recorded: replies of Airflow 3.3.2, behind a fake with a state"


class TestAirflow2OnTheFake(AirflowOnAFake):
    against = "recorded: replies of Airflow 2.11.2, behind a fake with a state"

    def endpoint(self, fake: FakeAirflow) -> Callable[[httpx.Request], httpx.Response]:
        return FakeAirflow2(fake).handle
