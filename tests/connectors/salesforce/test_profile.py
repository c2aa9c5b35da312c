"""Salesforce by its profile, on a fake whose records are made from Salesforce's own types."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import httpx
import pytest

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance import Deadlines, Faults, Reads
from connectors.sdk.conformance.faults import JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.states import RunState, Verb
from tests.connectors.polls import walked
from tests.fakes.salesforce import LOAD, MART, FakeSalesforce, written
from tests.rows import each_row

KIND = registry.load("salesforce")
DOCUMENT: dict[str, Any] = tomllib.loads(registry.profiles()["salesforce"].read_text(encoding="utf-8"))
SETTINGS = {
    "url": "https://salesforce.example.com", "client_id": "headway", "client_secret": {"env": "SALESFORCE_SECRET"},
}  # fmt: skip


def opened(fake: FakeSalesforce, transport: httpx.BaseTransport | None = None, secret: str = "right") -> HttpConnector:
    profile = HttpProfile.model_validate(DOCUMENT, context={})
    options = KIND.options.model_validate(SETTINGS)
    return profile.open_target(options, "api", lambda _: secret, transport or fake.transport)


class TestSalesforce(Reads, Deadlines, Faults):
    kind = KIND
    against = "described: a Salesforce of ours, its records made from and judged by Salesforce's own types"
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("crowded", "with_a_run_behind"), "tests/connectors/http/test_mapped.py"
    )
    unplayed: ClassVar[Mapping[str, str]] = {
        "long_log": "it keeps no log of a job",
        JOB_DELETED: "a job is a class that ran: the records of its runs name it",
    }

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakeSalesforce()

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = KIND.options.model_validate({**SETTINGS, "url": f"http://{host}:{port}"})
        return KIND.open(options, "api", lambda _: "right")

    def make_success(self) -> str:
        return MART

    def make_failure(self) -> str:
        return LOAD

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.job(MART, "Suspended", self.fake.now)
        return opened(self.fake)

    def answering(self, how: str) -> Connector:
        return opened(self.fake, FaultyTransport(self.fake.handle, how, "/query(/.*)?$", "ExtendedStatus", endless))

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "/query$"
        return opened(self.fake)

    def native_trace(self) -> object:
        return [dict(row) for row in self.fake.records]

    def advance(self) -> None:
        self.fake.tick()


def endless(body: Any, times: int) -> Any:
    """The same page for ever, under another locator each time."""
    return body | {"done": False, "nextRecordsUrl": f"/services/data/v62.0/query/01gRO0000016PIAYA2-{times}"}


@each_row(
    "status, errors, state",
    [
        ("Holding", 0, RunState.WAITING),
        ("Preparing", None, RunState.RUNNING),
        ("Completed", 0, RunState.SUCCEEDED),
        ("Completed", 10, RunState.PARTIAL),
        ("Completed", None, RunState.UNKNOWN),
        ("Failed", 1, RunState.FAILED),
        ("Aborted", 0, RunState.CANCELLED),
    ],
)
def test_a_completed_job_is_green_without_failed_batches_alone(status: str, errors: Any, state: RunState) -> None:
    fake = FakeSalesforce()
    row = fake.job(MART, status, fake.now - timedelta(hours=1), errors=errors)
    run = walked(opened(fake))[0][row["Id"]]
    assert (state, row["ExtendedStatus"] or "") == (run.state, run.message)


def test_each_class_that_ran_is_a_job_with_its_name() -> None:
    jobs = opened(FakeSalesforce()).inventory("", 10).jobs
    assert {LOAD: "LoadOrdersBatch", MART: "MartQueueable"} == {job.native_id: job.title for job in jobs}


def test_scheduled_apex_and_workers_of_a_batch_are_no_runs() -> None:
    fake = FakeSalesforce()
    for kind in ("ScheduledApex", "BatchApexWorker", "Future"):
        fake.job(MART, "Queued", fake.now, kind)
    fake.job(None, "Completed", fake.now)
    runs, _ = walked(opened(fake))
    assert 6 == len(runs)


def test_a_long_list_is_read_by_its_locators_and_a_quiet_poll_is_one_request() -> None:
    fake = FakeSalesforce()
    fake.per_page = 100
    for number in range(250):
        fake.job(MART, "Completed", fake.now - timedelta(minutes=5 * number + 30))
    connector = opened(fake)
    runs, cursor = walked(connector)
    assert 256 == len(runs)
    locators = [call for call in fake.requests if call.startswith("GET /query/")]
    assert ["GET /query/01gRO0-100", "GET /query/01gRO0-200"] == locators
    fake.requests.clear()
    walked(connector, cursor)
    assert ["GET /query"] == fake.requests


def test_a_job_that_ran_for_days_is_read_when_it_ends() -> None:
    fake = FakeSalesforce()
    fake.hangs.add(LOAD)
    row = fake.job(LOAD, "Processing", fake.now - timedelta(days=3))
    connector = opened(fake)
    runs, cursor = walked(connector)
    assert RunState.RUNNING is runs[row["Id"]].state
    row |= {"Status": "Failed", "CompletedDate": written(fake.now)}
    runs, _ = walked(connector, cursor)
    assert RunState.FAILED is runs[row["Id"]].state


def test_an_open_job_missing_from_the_query_is_looked_up_by_its_id() -> None:
    fake = FakeSalesforce()
    row = fake.job(LOAD, "Processing", fake.now - timedelta(days=300))
    connector = opened(fake)
    runs, cursor = walked(connector)
    row |= {"Status": "Aborted", "CompletedDate": written(fake.now - timedelta(days=200))}
    poll = connector.poll(cursor, (ref(runs[row["Id"]]),), 10)
    assert [RunState.CANCELLED] == [run.state for run in poll.runs if run.attempt_key == row["Id"]]


def test_a_wrong_secret_says_what_salesforce_answered() -> None:
    fake = FakeSalesforce()
    with pytest.raises(AccessRefused, match="invalid client credentials"):
        opened(fake, secret="wrong").poll("", (), 10)
    assert [] == fake.requests


def test_a_rerun_is_refused_with_the_reason_of_the_profile() -> None:
    fake = FakeSalesforce()
    run = next(iter(walked(opened(fake))[0].values()))
    with pytest.raises(NotSupported, match="only Apex starts a job"):
        opened(fake).preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
