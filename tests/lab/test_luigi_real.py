"""Luigi by its profile, on a real luigid."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from connectors.http.connector import HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance import Deadlines, Faults, Logs, Reads
from connectors.sdk.conformance.faults import (
    ENDLESS,
    GARBLED,
    HOUR_OFF,
    JOB_DELETED,
    LONG_LINE,
    NOT_A_NUMBER,
    NOT_UTF8,
    SHUFFLED,
    TWICE,
    FaultyTransport,
)
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.states import RunState
from tests.lab.luigi import Luigi
from tests.lab.process import ask

KIND = registry.load("luigi")
SPOILED_IN_LISTS = (GARBLED, LONG_LINE, NOT_A_NUMBER, NOT_UTF8, SHUFFLED, TWICE)
"""Its rows are an object, in which none of these is played."""
DOCUMENT: dict[str, Any] = tomllib.loads(registry.profiles()["luigi"].read_text(encoding="utf-8"))


def opened(url: str, transport: httpx.BaseTransport | None = None, **more: Any) -> Connector:
    profile = HttpProfile.model_validate({**DOCUMENT, **more}, context={})
    return profile.open_target(KIND.options.model_validate({"url": url}), "api", lambda _: "", transport)


@pytest.fixture(scope="class")
def server(request: pytest.FixtureRequest) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="headway-luigi-") as name:
        luigi = Luigi(Path(name))
        luigi.start()
        try:
            luigi.run("Mart", "2026-11-19")
            request.cls.luigi = luigi
            yield
        finally:
            luigi.stop()


@pytest.mark.usefixtures("server")
class TestLuigi(Reads, Logs, Deadlines, Faults):
    kind = KIND
    against = "real: luigid 3.8.1"
    luigi: Luigi
    limits: ClassVar[Mapping[str, str]] = {"schedule": "luigid has no clock"}
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("crowded", "long_log", "with_a_run_behind", *SPOILED_IN_LISTS), "tests/connectors/http/test_mapped.py"
    )
    unplayed: ClassVar[Mapping[str, str]] = {
        ENDLESS: "its list has no pages",
        JOB_DELETED: "a task names its family itself",
        "with_a_right_revoked": "luigid has no accounts",
    }

    def connector(self) -> Connector:
        return opened(self.luigi.url)

    def connector_at(self, host: str, port: int) -> Connector:
        return opened(f"http://{host}:{port}")

    def make_success(self) -> str:
        return "LoadOrders"

    def make_failure(self) -> str:
        return "LoadStock"

    def connector_with_an_unknown_state(self) -> Connector:
        states = {name: state for name, state in DOCUMENT["states"].items() if name != "PENDING"}
        return opened(self.luigi.url, states=states)

    def answering(self, how: str) -> Connector:
        def forward(request: httpx.Request) -> httpx.Response:
            reply = ask(request.method, str(request.url))
            return httpx.Response(reply.status_code, content=reply.content, headers={"date": reply.headers["date"]})

        return opened(self.luigi.url, FaultyTransport(forward, how, "" if how == HOUR_OFF else "/task_list$"))

    def test_a_task_that_waits_for_a_failed_one_waits_and_the_error_is_its_log(self) -> None:
        with self.opened() as connector:
            runs = {run.job: run for run in connector.poll("", (), 20).runs}
            states = {name: run.state for name, run in runs.items()}
            logs = {name: connector.log(ref(run), None, 65536, 20).text for name, run in runs.items()}
        expected = {"LoadOrders": RunState.SUCCEEDED, "LoadStock": RunState.FAILED, "Mart": RunState.WAITING}
        assert expected == {name: states[name] for name in expected}
        lines = logs.pop("LoadStock").splitlines()
        assert ("Runtime error:", "ValueError: stock.csv has no rows") == (lines[0], lines[-1])
        assert {"LoadOrders": "", "Mart": ""} == logs
