"""SAP Job Scheduling by its profile, on a fake by the examples of its REST API."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import httpx
import pytest

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance import Deadlines, Faults, Holds, Logs, Reads
from connectors.sdk.conformance.faults import GARBLED, JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.errors import NotSupported
from connectors.sdk.states import RunState, Verb
from tests.connectors.polls import walked
from tests.fakes.sap_job_scheduling import JOB, LOAD, MART, RUN_TEXT, FakeSapJobScheduling
from tests.rows import each_row

KIND = registry.load("sap_job_scheduling")
DOCUMENT: dict[str, Any] = tomllib.loads(registry.profiles()["sap_job_scheduling"].read_text(encoding="utf-8"))
SETTINGS = {
    "url": "https://jobscheduler-rest.cfapps.example.com", "jobs": ["42"], "client_id": "headway",
    "client_secret": {"env": "SAP_JOB_SECRET"}, "token_url": "https://acme.authentication.example.com/oauth/token",
}  # fmt: skip


def opened(fake: FakeSapJobScheduling, transport: httpx.BaseTransport | None = None, **changes: Any) -> HttpConnector:
    profile = HttpProfile.model_validate({**DOCUMENT, **changes}, context={})
    options = KIND.options.model_validate(SETTINGS)
    return profile.open_target(options, "42", lambda _: "right", transport or fake.transport)


class TestSapJobScheduling(Reads, Logs, Deadlines, Holds, Faults):
    kind = KIND
    against = "fake: a SAP Job Scheduling service of ours, by the examples of its REST API"
    lists_of_records = 2
    limits: ClassVar[Mapping[str, str]] = {"due": "the fake starts nothing by its schedules"}
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("crowded", "with_a_run_behind"), "tests/connectors/http/test_mapped.py"
    )
    unplayed: ClassVar[Mapping[str, str]] = {
        "long_log": "a run log comes in one answer, which is refused beyond 32 MiB",
    }

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakeSapJobScheduling()

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = KIND.options.model_validate({**SETTINGS, "url": f"http://{host}:{port}"})
        profile = HttpProfile.model_validate({**DOCUMENT, "oauth2": {"token_url": "/oauth/token"}}, context={})
        return profile.open_target(options, "42", lambda _: "right")

    def make_success(self) -> str:
        return MART

    def make_failure(self) -> str:
        return LOAD

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.run(MART, "COMPLETED POSTPONED", self.fake.now - timedelta(minutes=9))
        return opened(self.fake)

    def pause_by_hand(self, job_id: str) -> None:
        self._row(job_id)["active"] = False

    def resume_by_hand(self, job_id: str) -> None:
        self._row(job_id)["active"] = True

    def _row(self, job_id: str) -> dict[str, Any]:
        return next(row for row in self.fake.schedules if row["scheduleId"] == job_id)

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            self.fake.schedules.pop()
            return opened(self.fake)
        lists = "/runs$" if how == GARBLED else "/(runs|schedules)$"  # an odd schedule hides its own runs: see below
        return opened(self.fake, FaultyTransport(self.fake.handle, how, lists, "runText", endless))

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "GET .*/runs$"
        return opened(self.fake)

    def native_trace(self) -> object:
        return [dict(row) for row in (*self.fake.schedules, *self.fake.runs)]

    def advance(self) -> None:
        self.fake.tick()


def endless(body: Any, times: int) -> Any:
    """The same full page for ever."""
    return body | {"results": ((body["results"] or [{}]) * 100)[:100]}


@each_row(
    "native, state",
    [
        ("RUNNING TRIGGERED", RunState.RUNNING),
        ("RUNNING ACK_RECVD", RunState.RUNNING),
        ("RUNNING ACK_NOT_RECVD", RunState.RUNNING),
        ("COMPLETED SUCCESS", RunState.SUCCEEDED),
        ("COMPLETED ERROR", RunState.FAILED),
        ("COMPLETED REQUEST_ERROR", RunState.FAILED),
        ("COMPLETED TIMEOUT", RunState.TIMED_OUT),
        ("COMPLETED UNKNOWN", RunState.LOST),
        ("COMPLETED", RunState.UNKNOWN),
    ],
)
def test_status_and_state_together_decide(native: str, state: RunState) -> None:
    fake = FakeSapJobScheduling()
    row = fake.run(MART, native, fake.now - timedelta(hours=1))
    assert state is walked(opened(fake))[0][row["runId"]].state


def test_schedules_of_a_job_are_jobs_and_their_runs_are_read_list_by_list() -> None:
    fake = FakeSapJobScheduling()
    connector = opened(fake)
    load, mart = sorted(connector.inventory("", 10).jobs, key=lambda job: job.title, reverse=True)
    assert (LOAD, MART, False) == (load.native_id, mart.native_id, load.paused)
    assert load.schedule.next_at is not None
    assert load.schedule.has_clock
    assert {LOAD: 3, MART: 3} == {
        job: [run.job for run in walked(connector)[0].values()].count(job) for job in (LOAD, MART)
    }


def test_a_schedule_without_an_id_hides_its_own_runs_alone_and_is_reported() -> None:
    fake = FakeSapJobScheduling()
    fake.schedules[0]["scheduleId"] = None
    poll = opened(fake).poll("", (), 10)
    assert (False, {MART}) == (poll.complete, {run.job for run in poll.runs})
    assert ("a job has no id, and so its runs cannot be read",) == poll.warnings


def test_a_run_that_is_only_scheduled_is_no_run_yet() -> None:
    fake = FakeSapJobScheduling()
    row = fake.run(MART, "SCHEDULED SCHEDULED", fake.now + timedelta(hours=1))
    runs, _ = walked(opened(fake))
    assert (6, False) == (len(runs), row["runId"] in runs)


@pytest.mark.parametrize("newest_first", [True, False])
def test_new_runs_are_read_in_either_order_however_many_there_are(newest_first: bool) -> None:
    fake = FakeSapJobScheduling()
    fake.newest_first = newest_first
    for minutes in range(250):
        fake.run(MART, "COMPLETED SUCCESS", fake.now - timedelta(minutes=minutes + 300))
    connector = opened(fake)
    runs, cursor = walked(connector)
    assert 256 == len(runs)
    row = fake.run(MART, "COMPLETED ERROR", fake.now - timedelta(minutes=3))
    assert row["runId"] in walked(connector, cursor)[0]


def test_a_run_that_ends_is_read_and_one_whose_log_was_removed_is_lost() -> None:
    fake = FakeSapJobScheduling()
    fake.hangs.add(LOAD)
    ends, removed = (fake.run(job, "RUNNING ACK_RECVD", fake.now - timedelta(minutes=1)) for job in (MART, LOAD))
    connector = opened(fake)
    runs, cursor = walked(connector)
    fake.tick()
    fake.runs.remove(removed)
    after, _ = walked(connector, cursor, runs[ends["runId"]], runs[removed["runId"]])
    assert [RunState.SUCCEEDED, RunState.LOST] == [after[row["runId"]].state for row in (ends, removed)]
    assert LOAD == after[removed["runId"]].job


def test_a_run_looked_up_alone_has_its_job() -> None:
    """Its list does not show it any more, as where pages moved."""
    fake = FakeSapJobScheduling()
    fake.hangs.add(LOAD)
    row = fake.run(LOAD, "RUNNING TRIGGERED", fake.now - timedelta(minutes=1))
    connector = opened(fake)
    runs, cursor = walked(connector)
    fake.schedules.pop(0)
    looked_up = {**DOCUMENT["runs"], "one": f"{JOB}/schedules/{{job}}/runs/{{id}}"}
    fake.schedules.append(fake._schedule(LOAD, "Nightly load"))
    hidden = opened(fake, httpx.MockTransport(lambda request: without_run(fake, request, row["runId"])), runs=looked_up)
    run = walked(hidden, cursor, runs[row["runId"]])[0][row["runId"]]
    assert (LOAD, RunState.RUNNING) == (run.job, run.state)


def without_run(fake: FakeSapJobScheduling, request: httpx.Request, run_id: str) -> httpx.Response:
    """The fake's answer; its lists leave out one run."""
    reply = fake.handle(request)
    if not request.url.path.endswith("/runs"):
        return reply
    body = reply.json()
    rows = [row for row in body["results"] if row["runId"] != run_id]
    return httpx.Response(200, json={**body, "results": rows}, headers={"date": reply.headers["date"]})


def test_the_log_is_the_text_of_the_run() -> None:
    fake = FakeSapJobScheduling()
    run = next(run for run in walked(opened(fake))[0].values() if run.state is RunState.FAILED)
    assert RUN_TEXT == opened(fake).log(ref(run), None, 4096, 10).text == run.message


def test_a_run_log_is_retained_for_15_days_and_a_longer_pause_is_a_gap() -> None:
    fake = FakeSapJobScheduling()
    _, cursor = walked(opened(fake))
    old = fake.now - timedelta(days=20)
    stale = cursor.replace(cursor[cursor.index("20") :][:10], f"{old:%Y-%m-%d}", 1)
    [gap] = opened(fake).poll(stale, (), 10).gaps
    assert "runs are kept for 15 days" in gap.reason


@pytest.mark.parametrize("verb, reason", [(Verb.RERUN, "one-time schedule"), (Verb.CANCEL, "its API ends no run")])
def test_what_it_cannot_do_says_why(verb: Verb, reason: str) -> None:
    fake = FakeSapJobScheduling()
    run = next(iter(walked(opened(fake))[0].values()))
    with pytest.raises(NotSupported, match=reason):
        opened(fake).preview(ActionSpec(verb, ref(run), run.state), 10)
