"""Azure Data Factory by its profile, on a fake whose rows are made from the models of Azure's client."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import httpx
import pytest

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Logs, Reads, Reruns
from connectors.sdk.conformance.faults import JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Connector, Preview
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from tests.connectors.polls import walked
from tests.fakes.azure_data_factory import FakeDataFactory, written

KIND = registry.load("azure_data_factory")
DOCUMENT: dict[str, Any] = tomllib.loads(registry.profiles()["azure_data_factory"].read_text(encoding="utf-8"))
SETTINGS = {
    "tenant": "acme.example", "subscription": "12345678-1234-1234-1234-12345678abc", "resource_group": "data",
    "factories": ["etl-prod"], "client_id": "headway", "client_secret": {"env": "AZURE_CLIENT_SECRET"},
}  # fmt: skip


def opened(fake: FakeDataFactory, transport: httpx.BaseTransport | None = None, secret: str = "right") -> HttpConnector:
    profile = HttpProfile.model_validate(DOCUMENT, context={})
    options = KIND.options.model_validate(SETTINGS)
    return profile.open_target(options, "etl-prod", lambda _: secret, transport or fake.transport)


class TestDataFactory(Reads, Logs, Deadlines, Reruns, Cancels, Faults):
    kind = KIND
    against = "described: a Data Factory of ours, made from and judged by the models of Azure's client"
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("crowded", "with_a_run_behind"), "tests/connectors/http/test_mapped.py"
    )
    unplayed: ClassVar[Mapping[str, str]] = {"long_log": "its log is a list of activities, one line each"}

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakeDataFactory()

    def open_on(self, transport: httpx.BaseTransport | None = None) -> HttpConnector:
        return opened(self.fake, transport)

    def connector(self) -> Connector:
        return self.open_on()

    def connector_at(self, host: str, port: int) -> Connector:
        options = KIND.options.model_validate({**SETTINGS, "url": f"http://{host}:{port}"})
        endpoint = {**DOCUMENT["oauth2"], "token_url": "/{option.tenant}/token"}
        profile = HttpProfile.model_validate({**DOCUMENT, "oauth2": endpoint}, context={})
        return profile.open_target(options, "etl-prod", lambda _: "right")

    def make_success(self) -> str:
        return "mart"

    def make_failure(self) -> str:
        return "load_orders"

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.run("mart", "Hibernating", self.fake.now)
        return self.open_on()

    def a_running_run(self) -> RunRecord:
        self.fake.hangs.add("mart")
        row = self.fake.run("mart", "InProgress", self.fake.now - timedelta(minutes=5))
        polls = self.polls_until_end(self.open_on(), "")
        return next(run for poll in polls for run in poll.runs if run.attempt_key == row["runId"])

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            self.fake.pipelines.pop()
            return self.open_on()
        faulty = FaultyTransport(self.fake.handle, how, "/(queryPipelineRuns|pipelines)$", "message", endless)
        return self.open_on(faulty)

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "queryPipelineRuns"
        return self.open_on()

    def native_trace(self) -> object:
        return [dict(row) for row in self.fake.runs]

    def advance(self) -> None:
        self.fake.tick()


def endless(body: Any, times: int) -> Any:
    """The same page for ever, under another token each time."""
    link = f"https://management.azure.com/x?$skiptoken={times}"
    return body | {"continuationToken": str(times), "nextLink": link}


def failure(fake: FakeDataFactory) -> RunRecord:
    return [run for run in walked(opened(fake))[0].values() if run.state is RunState.FAILED][-1]


def rerun(fake: FakeDataFactory, run: RunRecord) -> Preview:
    return opened(fake).preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)


def test_pipelines_and_runs_are_read_page_by_page() -> None:
    """The link of a next page is not followed: its token is taken."""
    fake = FakeDataFactory()
    fake.per_page = 1
    connector = opened(fake)
    assert ["load_orders", "mart"] == [job.native_id for job in connector.inventory("", 10).jobs]
    assert 6 == len(walked(connector)[0])
    assert 2 == fake.requests.count("GET /pipelines")


def test_a_run_without_an_end_that_was_cancelled_is_read() -> None:
    fake = FakeDataFactory()
    row = fake.run("mart", "Cancelled", fake.now - timedelta(hours=1))
    row["runEnd"] = None
    run = walked(opened(fake))[0][row["runId"]]
    assert (RunState.CANCELLED, None) == (run.state, run.ended_at)


def test_a_rerun_is_an_attempt_of_the_first_run_of_its_group() -> None:
    fake = FakeDataFactory()
    run = failure(fake)
    preview = rerun(fake, run)
    [call] = preview.native_calls
    assert call.endswith(
        f"/createRun?api-version=2018-06-01&referencePipelineRunId={run.attempt_key}&isRecovery=true&startFromFailure=true"
    )
    assert isinstance(opened(fake).look_up(preview, new_key(), 10), ActionAbsent | ActionUnknown)
    opened(fake).act(preview, new_key(), 10)
    fake.tick()
    fake.tick()
    attempt = next(run for run in walked(opened(fake))[0].values() if run.again_of)
    assert (run.attempt_key, RunState.SUCCEEDED) == (attempt.again_of, attempt.state)
    again = opened(fake).look_up(preview, new_key(), 10)
    assert isinstance(again, ActionFound)
    assert attempt.attempt_key == again.native_ref


def test_a_run_that_was_repeated_since_the_preview_is_not_repeated_again() -> None:
    fake = FakeDataFactory()
    run = failure(fake)
    preview = rerun(fake, run)
    fake.run("load_orders", "InProgress", fake.now, run.attempt_key)
    with pytest.raises(NotSupported, match=r"was repeated since the preview, by run .*; nothing was sent"):
        opened(fake).act(preview, new_key(), 10)
    assert not any("createRun" in call for call in fake.requests)


def test_two_repetitions_leave_a_lost_reply_unknown() -> None:
    fake = FakeDataFactory()
    run = failure(fake)
    preview = rerun(fake, run)
    for _ in range(2):
        fake.run("load_orders", "InProgress", fake.now, run.attempt_key)
    assert isinstance(opened(fake).look_up(preview, new_key(), 10), ActionUnknown)


def test_the_log_names_the_activity_that_failed() -> None:
    fake = FakeDataFactory()
    text = opened(fake).log(ref(failure(fake)), None, 4096, 10).text
    assert "ExampleCopyActivity: Failed ErrorCode=UserErrorFileNotFound\n" in text


def test_a_pause_longer_than_the_retained_history_is_a_gap() -> None:
    fake = FakeDataFactory()
    _, cursor = walked(opened(fake))
    assert () == opened(fake).poll(cursor, (), 10).gaps
    old = fake.now - timedelta(days=50)
    for row in fake.runs:
        row |= {"runStart": written(old), "runEnd": written(old), "lastUpdated": written(old)}
    since = tomllib.loads(f"at = {written(old)[:26]}Z")["at"]
    [gap] = opened(fake).poll(f'{{"since": "{since.isoformat()}"}}', (), 10).gaps
    assert (since, "runs are kept for 45 days: older ones were not read") == (gap.since, gap.reason)


def test_a_wrong_secret_says_what_entra_answered() -> None:
    fake = FakeDataFactory()
    with pytest.raises(AccessRefused, match=r"gives no token: AADSTS7000215: Invalid secret\."):
        opened(fake, secret="wrong").poll("", (), 10)
    assert [] == fake.requests
