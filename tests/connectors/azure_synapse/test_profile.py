"""Azure Synapse by its profile, in the tests of Data Factory: the same API under another address."""

from __future__ import annotations

import tomllib
from typing import Any

import httpx
import pytest

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.states import Verb
from tests.connectors.azure_data_factory import test_profile as data_factory
from tests.connectors.polls import walked
from tests.fakes.azure_data_factory import FakeSynapse

KIND = registry.load("azure_synapse")
DOCUMENT: dict[str, Any] = tomllib.loads(registry.profiles()["azure_synapse"].read_text(encoding="utf-8"))
SETTINGS = {
    "url": "https://etl.dev.azuresynapse.net", "tenant": "acme.example", "client_id": "headway",
    "client_secret": {"env": "AZURE_CLIENT_SECRET"},
}  # fmt: skip


def opened(fake: FakeSynapse, transport: httpx.BaseTransport | None = None) -> HttpConnector:
    profile = HttpProfile.model_validate(DOCUMENT, context={})
    options = KIND.options.model_validate(SETTINGS)
    return profile.open_target(options, "api", lambda _: "right", transport or fake.transport)


class TestSynapse(data_factory.TestDataFactory):
    kind = KIND
    against = "described: a Synapse workspace of ours, made from and judged by the models of Azure's client"
    fake: FakeSynapse

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakeSynapse()

    def open_on(self, transport: httpx.BaseTransport | None = None) -> HttpConnector:
        return opened(self.fake, transport)

    def connector_at(self, host: str, port: int) -> Connector:
        options = KIND.options.model_validate({**SETTINGS, "url": f"http://{host}:{port}"})
        endpoint = {**DOCUMENT["oauth2"], "token_url": "/{option.tenant}/token"}
        profile = HttpProfile.model_validate({**DOCUMENT, "oauth2": endpoint}, context={})
        return profile.open_target(options, "api", lambda _: "right")


def test_a_rerun_runs_every_activity_in_the_group_of_its_run() -> None:
    fake = FakeSynapse()
    run = next(run for run in walked(opened(fake))[0].values() if run.job == "load_orders")
    preview = opened(fake).preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    opened(fake).act(preview, new_key(), 10)
    assert run.attempt_key == fake.runs[-1]["runGroupId"]
    assert "startFromFailure" not in preview.native_calls[0]


def test_the_log_is_read_below_the_pipeline() -> None:
    fake = FakeSynapse()
    run = next(run for run in walked(opened(fake))[0].values() if run.job == "load_orders")
    assert "ErrorCode=UserErrorFileNotFound" in opened(fake).log(ref(run), None, 4096, 10).text
    assert f"POST /pipelines/load_orders/pipelineruns/{run.attempt_key}/queryActivityruns" in fake.requests
