"""Rundeck by its profile, on a fake by the examples of its API reference."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import httpx
import pytest

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Logs, Reads
from connectors.sdk.conformance.faults import JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from tests.connectors.polls import walked
from tests.fakes.rundeck import LOAD, LOG, MART, FakeRundeck

KIND = registry.load("rundeck")
DOCUMENT: dict[str, Any] = tomllib.loads(registry.profiles()["rundeck"].read_text(encoding="utf-8"))
SETTINGS = {"url": "https://rundeck.example.com", "projects": ["etl"], "token": {"env": "RUNDECK_TOKEN"}}


def opened(fake: FakeRundeck, transport: httpx.BaseTransport | None = None, **changes: Any) -> HttpConnector:
    profile = HttpProfile.model_validate({**DOCUMENT, **changes}, context={})
    options = KIND.options.model_validate(SETTINGS)
    return profile.open_target(options, "etl", lambda _: "right", transport or fake.transport)


class TestRundeck(Reads, Logs, Deadlines, Cancels, Faults):
    kind = KIND
    against = "fake: a Rundeck of ours, by the examples of its API reference"
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("crowded", "with_a_run_behind"), "tests/connectors/http/test_mapped.py"
    )
    unplayed: ClassVar[Mapping[str, str]] = {
        "long_log": "its output comes in one answer, which is refused beyond 32 MiB",
    }

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakeRundeck()

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = KIND.options.model_validate({**SETTINGS, "url": f"http://{host}:{port}"})
        return KIND.open(options, "etl", lambda _: "right")

    def make_success(self) -> str:
        return MART

    def make_failure(self) -> str:
        return LOAD

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.execution(MART, "other", self.fake.now - timedelta(minutes=9))
        return opened(self.fake)

    def a_running_run(self) -> RunRecord:
        self.fake.hangs.add(MART)
        row = self.fake.execution(MART, "running", self.fake.now - timedelta(minutes=5))
        polls = self.polls_until_end(opened(self.fake), "")
        return next(run for poll in polls for run in poll.runs if run.attempt_key == str(row["id"]))

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            self.fake.jobs.pop()
            return opened(self.fake)
        faulty = FaultyTransport(self.fake.handle, how, "/(executions|jobs)$", "description", endless)
        return opened(self.fake, faulty)

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "/executions$"
        return opened(self.fake)

    def native_trace(self) -> object:
        return [dict(row) for row in self.fake.executions]

    def advance(self) -> None:
        self.fake.tick()


def endless(body: Any, times: int) -> Any:
    """The same full page for ever."""
    if isinstance(body, list):
        return body
    return body | {"executions": ((body["executions"] or [{}]) * 200)[:200]}


def test_a_running_execution_is_read_from_its_own_list_and_its_end_from_the_other() -> None:
    fake = FakeRundeck()
    connector = opened(fake)
    _, cursor = walked(connector)
    row = fake.execution(MART, "running", fake.now)
    runs, cursor = walked(connector, cursor)
    assert RunState.RUNNING is runs[str(row["id"])].state
    fake.tick()
    runs, _ = walked(connector, cursor)
    assert RunState.SUCCEEDED is runs[str(row["id"])].state


def test_a_quiet_poll_is_two_requests_however_long_history_is() -> None:
    fake = FakeRundeck()
    for number in range(500):
        fake.execution(MART, "succeeded", fake.now - timedelta(minutes=5 * number + 30))
    connector = opened(fake)
    runs, cursor = walked(connector)
    assert 506 == len(runs)
    fake.requests.clear()
    walked(connector, cursor)
    assert ["GET /project/etl/executions", "GET /project/etl/executions/running"] == fake.requests


def test_a_running_command_without_a_job_is_left_out_and_the_poll_is_complete() -> None:
    fake = FakeRundeck()
    row = fake.execution("", "running", fake.now)
    runs, _ = walked(opened(fake))
    assert str(row["id"]) not in runs
    assert 6 == len(runs)


def test_pages_of_open_runs_without_an_end_are_reported() -> None:
    fake = FakeRundeck()
    fake.execution(MART, "running", fake.now)
    repeated = FaultyTransport(fake.handle, "endless pages", "/running$", "description", endless)
    connector = opened(fake, repeated)
    poll = connector.poll(connector.poll("", (), 10).cursor, (), 10)  # behind the runs that ended, the open ones
    assert not poll.complete
    assert "open runs" in [item.where for item in poll.skipped]


def test_an_execution_that_rundeck_retried_is_failed_once_its_retry_is_there_and_keeps_its_log() -> None:
    fake = FakeRundeck()
    row = fake.execution(LOAD, "failed-with-retry", fake.now - timedelta(hours=1))
    row["retryExecution"] = {"id": fake.execution(LOAD, "succeeded", fake.now - timedelta(minutes=50))["id"]}
    run = walked(opened(fake))[0][str(row["id"])]
    assert (RunState.FAILED, "failed-with-retry") == (run.state, run.native_state)
    assert LOG == opened(fake).log(ref(run), None, 4096, 10).text


def test_a_rerun_is_refused_with_the_reason_of_the_profile() -> None:
    fake = FakeRundeck()
    run = next(iter(walked(opened(fake))[0].values()))
    with pytest.raises(NotSupported, match="a retry takes no key of ours"):
        opened(fake).preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)


def test_passive_mode_starts_nothing_and_a_refused_or_other_answer_proves_nothing() -> None:
    fake, reported = FakeRundeck(), list[str]()
    for fake.mode, fake.forbidden in (("active", ""), ("passive", ""), ("passive", "/system/info$"), ("other", "")):
        reported.append(opened(fake).poll("", (), 10).stopped or "")
    text = (
        "Rundeck is in passive mode: it starts no execution. Fix: set it active: POST /api/41/system/executions/enable"
    )
    assert ["", text, "", ""] == reported


def test_a_refused_reading_does_not_end_what_was_read_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.sdk.scheduler_health.HEALTH_INTERVAL_SECONDS", 0.0)
    fake = FakeRundeck()
    connector, reported = opened(fake), list[bool]()
    for fake.mode, fake.forbidden in (("passive", ""), ("active", "/system/info$"), ("active", "")):
        reported.append(bool(connector.poll("", (), 10).stopped))
    assert [True, True, False] == reported


def test_the_check_names_passive_mode_and_notes_a_missing_right_to_see_it() -> None:
    fake = FakeRundeck()
    fake.mode = "passive"
    [passive] = [right for right in opened(fake).probe(10).rights if not right.held and right.needed_for == "view"]
    assert ("jobs start here", False) == (passive.name, passive.is_grantable)
    fake.forbidden = "/system/info$"
    probe = opened(fake).probe(10)
    assert [] == [right for right in probe.rights if right.held is False]
    [note] = probe.notes
    assert note.startswith("whether jobs start here is unknown: ")
    assert "403" in note
