"""A real Prefect 3 read by kind `http`: its REST API, mapped in the config alone, passes conformance in observe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import httpx
import pytest

from connectors.http.connector import CONNECTOR
from connectors.sdk.conformance import Deadlines, Reads
from connectors.sdk.contract import Connector
from connectors.sdk.secrets import SecretStore
from tests.lab.prefect import PASSWORD, PrefectServer
from tests.lab.process import private_folder, remove_folder

MAPPING: dict[str, Any] = {
    "username": "headway",
    "password": {"env": "HEADWAY_PREFECT"},
    "limit": 50,
    "jobs": {
        "path": "/deployments/filter",
        "method": "POST",
        "body": {"limit": "{limit}", "offset": "{offset}"},
        "id": "id",
        "title": "name",
        "paused": "paused",
        "definition": "entrypoint",
    },
    "runs": {
        "path": "/flow_runs/filter",
        "method": "POST",
        "body": {
            "sort": "EXPECTED_START_TIME_ASC",
            "limit": "{limit}",
            "offset": "{offset}",
            "flow_runs": {
                "expected_start_time": {"after_": "{since}"},
                "deployment_id": {"is_null_": False},
            },
        },
        "one": "/flow_runs/{id}",
        "id": "id",
        "job": "deployment_id",
        "state": "state_type",
        "queued": "expected_start_time",
        "started": "start_time",
        "ended": "end_time",
        "message": "state.message",
    },
    "states": {
        "SCHEDULED": "waiting",
        "PENDING": "queued",
        "RUNNING": "running",
        "PAUSED": "waiting",
        "CANCELLING": "cancelling",
        "COMPLETED": "succeeded",
        "FAILED": "failed",
        "CRASHED": "failed",
        "CANCELLED": "cancelled",
    },
}


@pytest.fixture(scope="module")
def prefect() -> Iterator[PrefectServer]:
    folder = private_folder("prefect-http")
    server = PrefectServer(folder)
    try:
        yield server.start()
    finally:
        server.stop()
        remove_folder(folder)


class TestPrefectByMapping(Reads, Deadlines):
    kind = CONNECTOR
    against = "real: Prefect 3.8.8, its REST API"
    limits: ClassVar[dict[str, str]] = {
        "act": "the mapping names no verb: it observes",
        "log": "Prefect's log is a list of records; this mapping names none",
        "unknown_word": "a real Prefect says no word that it does not have",
    }
    made: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def world(self, prefect: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HEADWAY_PREFECT", PASSWORD)
        self.prefect = prefect

    def connector(self) -> Connector:
        return self.connector_at("127.0.0.1", self.prefect.port)

    def connector_at(self, host: str, port: int) -> Connector:
        options = CONNECTOR.options.model_validate({"url": f"http://{host}:{port}/api", **MAPPING})
        return CONNECTOR.open(options, "api", SecretStore())

    def make_success(self) -> str:
        return self._ran("stock-count/hourly", "succeed", "COMPLETED")

    def make_failure(self) -> str:
        return self._ran("load-orders/nightly", "fail", "FAILED")

    def _ran(self, job: str, how: Any, end: str) -> str:
        """Id of the deployment, which has a run that ended so."""
        if job not in self.made:
            run = self.prefect.run(job, how)
            self.prefect.wait_for(run, end)
            response = httpx.get(f"{self.prefect.url}/flow_runs/{run}", auth=("headway", PASSWORD), timeout=30)
            self.made[job] = str(response.json()["deployment_id"])
        return self.made[job]
