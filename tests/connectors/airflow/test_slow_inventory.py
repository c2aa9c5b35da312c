"""An Airflow of 5,000 DAGs that takes 2 s for each request, on a clock that only its requests move."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from connectors.airflow import changes, inventory
from connectors.airflow.connector import AirflowConnector
from connectors.sdk.transport import call_limits
from tests.connectors.airflow.support import opened
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow_actions import Row

DAGS, REQUEST_SECONDS, TIMEOUT_SECONDS = 5_000, 2.0, 20.0


class ManyDags(FakeAirflow):
    """Makes only the rows of the page that is requested."""

    def list_dags(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        first, everything = int(query.get("offset", 0)), self.dags
        self.dags = {dag: everything[dag] for dag in sorted(everything)[first : first + 100]}
        try:
            page = super().list_dags(parts, {**query, "offset": 0}, body)[1]
        finally:
            self.dags = everything
        return 200, {**page, "total_entries": len(everything)}


class SlowServer:
    """Each answer takes its time, or all that its request had."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.fake = 0.0, ManyDags(**{f"dag_{number:04}": ("load",) for number in range(DAGS)})
        for patched in (call_limits.Deadline, changes.AirflowRunChanges):
            monkeypatch.setattr(patched.__init__, "__defaults__", (self.monotonic,))
        monkeypatch.setattr(inventory, "time", self)
        self.connector: AirflowConnector = opened(self.fake, httpx.MockTransport(self.handle))

    def monotonic(self) -> float:
        return self.now

    def handle(self, request: httpx.Request) -> httpx.Response:
        allowed = float(request.extensions["timeout"]["read"])
        self._pass(min(allowed, REQUEST_SECONDS))
        if allowed < REQUEST_SECONDS:
            raise httpx.ReadTimeout("no answer", request=request)
        return self.fake.handle(request)

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        self.fake.tick(seconds)

    def definitions(self) -> list[str]:
        return [path for _, path in self.fake.requests if path.endswith("/details")]


@pytest.mark.deep
def test_5000_dags_are_read_on_from_call_to_call_and_runs_are_polled_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    server = SlowServer(monkeypatch)
    cursor, jobs = "", 0
    for number in range(60):
        began = server.now
        result = server.connector.inventory("", TIMEOUT_SECONDS)
        assert result.more
        assert not result.complete, "what was not read yet is not gone"
        assert server.now - began <= TIMEOUT_SECONDS
        assert len(result.jobs) >= jobs or not result.jobs, "what was read stays"
        jobs = max(jobs, len(result.jobs))
        run = server.fake.start(f"dag_{number:04}", f"manual__{number}")
        began = server.now
        poll = server.connector.poll(cursor, (), TIMEOUT_SECONDS)
        assert server.now - began <= TIMEOUT_SECONDS
        cursor = poll.cursor
        assert run in {run.context.get("run_id") for run in poll.runs}, (
            "each poll shows what runs, however long the inventory takes"
        )
    read = server.definitions()
    assert len(read) == len(set(read)), "no definition is read twice before all are read once"
    spent = server.now
    assert len(read) * 2 * REQUEST_SECONDS > spent / 3, f"{len(read)} definitions in {spent:.0f} s"
    assert jobs >= 2 * (len(read) - 10), "and each is shown soon after it is read"
