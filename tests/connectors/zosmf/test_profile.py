"""z/OS jobs by their profile, on a fake by the documents and examples of the z/OS jobs REST interface."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Logs, Reads
from connectors.sdk.conformance.faults import ENDLESS, JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from tests.connectors.polls import read_at_once
from tests.fakes.zosmf import FakeZosmf, written
from tests.rows import each_row

KIND = registry.load("zosmf")
DOCUMENT: dict[str, Any] = tomllib.loads(registry.profiles()["zosmf"].read_text(encoding="utf-8"))
SETTINGS = {
    "url": "https://mainframe.example.com", "prefixes": ["PAY*"], "username": "HEADWAY",
    "password": {"env": "ZOSMF_PASSWORD"},
}  # fmt: skip


def opened(fake: FakeZosmf, transport: httpx.BaseTransport | None = None, **changes: Any) -> HttpConnector:
    profile = HttpProfile.model_validate({**DOCUMENT, **changes}, context={})
    options = KIND.options.model_validate(SETTINGS)
    return profile.open_target(options, "PAY*", lambda _: "right", transport or fake.transport)


class TestZosmf(Reads, Logs, Deadlines, Cancels, Faults):
    kind = KIND
    against = "fake: a z/OSMF of ours, by the documents and examples of the z/OS jobs REST interface"
    elsewhere: ClassVar[Mapping[str, str]] = {"with_a_run_behind": "tests/connectors/http/test_mapped.py"}
    unplayed: ClassVar[Mapping[str, str]] = {
        "long_log": "each spool file comes in one answer, which is refused beyond 32 MiB",
        "crowded": "its list has 1,000 jobs at most",
        ENDLESS: "its list has no pages",
        JOB_DELETED: "a job is a name: the records of its runs have it",
    }

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakeZosmf()

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = KIND.options.model_validate({**SETTINGS, "url": f"http://{host}:{port}"})
        return KIND.open(options, "PAY*", lambda _: "right")

    def make_success(self) -> str:
        return "PAYMART"

    def make_failure(self) -> str:
        return "PAYLOAD"

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.job("PAYMART", None, self.fake.now - timedelta(minutes=9))
        return opened(self.fake)

    def a_running_run(self) -> RunRecord:
        self.fake.hangs.add("PAYMART")
        row = self.fake.job("PAYMART", None, self.fake.now - timedelta(minutes=5), "ACTIVE")
        polls = self.polls_until_end(opened(self.fake), "")
        return next(run for poll in polls for run in poll.runs if run.attempt_key == row["job-correlator"])

    def answering(self, how: str) -> Connector:
        return opened(self.fake, FaultyTransport(self.fake.handle, how, "/jobs$", "reason-not-running"))

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "GET /jobs$"
        return opened(self.fake)

    def native_trace(self) -> object:
        return [dict(row) for row in self.fake.jobs]

    def advance(self) -> None:
        self.fake.tick()


@each_row(
    "retcode, status, state",
    [
        (None, "INPUT", RunState.QUEUED),
        (None, "ACTIVE", RunState.RUNNING),
        ("CC 0000", "OUTPUT", RunState.SUCCEEDED),
        ("CC 0004", "OUTPUT", RunState.PARTIAL),
        ("CC 0008", "OUTPUT", RunState.FAILED),
        ("CC 0012", "OUTPUT", RunState.FAILED),
        ("ABENDU0016", "OUTPUT", RunState.FAILED),
        ("JCL ERROR", "OUTPUT", RunState.FAILED),
        ("CANCELED", "OUTPUT", RunState.CANCELLED),
        (None, "OUTPUT", RunState.UNKNOWN),
    ],
)
def test_the_completion_code_decides(retcode: str | None, status: str, state: RunState) -> None:
    fake = FakeZosmf()
    row = fake.job("PAYDAY", retcode, fake.now - timedelta(hours=1), status)
    run = opened(fake).poll("", (), 10).runs[-1]
    assert (row["job-correlator"], state, retcode or status) == (run.attempt_key, run.state, run.native_state)


def test_jobs_are_the_names_below_the_prefix_and_a_used_number_is_another_run() -> None:
    fake = FakeZosmf()
    fake.job("GLCLOSE", "CC 0000", fake.now - timedelta(hours=1))
    again = fake.job("PAYMART", "CC 0000", fake.now - timedelta(hours=1))
    again["jobid"] = fake.jobs[1]["jobid"]
    connector = opened(fake)
    assert ["PAYLOAD", "PAYMART"] == [job.native_id for job in connector.inventory("", 10).jobs]
    assert 7 == len(read_at_once(connector)[0])


def test_a_list_at_its_limit_is_reported_with_what_to_do() -> None:
    fake = FakeZosmf()
    for number in range(994):
        fake.job("PAYMART", "CC 0000", fake.now - timedelta(minutes=number + 5))
    poll = opened(fake).poll("", (), 10)
    assert not poll.complete
    assert "/zosmf/restjobs/jobs gave 1000 rows, the most that it gives" in str(poll.warnings)
    inventory = opened(fake).inventory("", 10)
    assert (["PAYLOAD", "PAYMART"], False) == ([job.native_id for job in inventory.jobs], inventory.complete)


def test_a_job_that_was_purged_before_its_end_is_lost_and_another_refusal_is_no_purge() -> None:
    fake = FakeZosmf()
    fake.hangs.add("PAYMART")
    row = fake.job("PAYMART", None, fake.now - timedelta(minutes=5), "ACTIVE")
    connector = opened(fake)
    run = read_at_once(connector)[0][row["job-correlator"]]
    fake.jobs.remove(row)
    poll = connector.poll("", (ref(run),), 10)
    assert [(RunState.LOST, "gone")] == [
        (item.state, item.native_state) for item in poll.runs if item.attempt_key == run.attempt_key
    ]
    with pytest.raises(NotSupported, match="No job found for reference"):
        opened(fake, runs={**DOCUMENT["runs"], "gone_text": "no such job"}).poll("", (ref(run),), 10)


def test_the_log_is_each_spool_file_under_its_name() -> None:
    fake = FakeZosmf()
    run = next(iter(read_at_once(opened(fake))[0].values()))
    whole = opened(fake).log(ref(run), None, 4096, 10).text
    assert (
        "==> JESMSGLG <==\n 03.12.44 JOB00023  $HASP373 PAYLOAD STARTED\n"
        "==> SYSPRINT <==\nreading\n2 records rejected\n"
    ) == whole
    piece = opened(fake).log(ref(run), "0", 20, 10)
    assert (whole[:20], "20") == (piece.text, piece.next)
    assert "rejected\n" == opened(fake).log(ref(run), None, 9, 10).text


def test_a_cancel_of_an_ended_job_is_refused_by_its_own_message() -> None:
    fake = FakeZosmf()
    row = fake.job("PAYMART", None, fake.now - timedelta(minutes=5), "ACTIVE")
    connector = opened(fake)
    run = read_at_once(connector)[0][row["job-correlator"]]
    preview = connector.preview(ActionSpec(Verb.CANCEL, ref(run), run.state), 10)
    row |= {"status": "OUTPUT", "retcode": "CC 0000", "exec-ended": written(fake.now)}
    with pytest.raises(NotSupported, match="Job already ended"):
        connector.act(preview, "headway-0f8fad5b-d9cb-469f-a165-70867728950e", 10)


def test_without_its_header_each_request_is_refused() -> None:
    with pytest.raises(AccessRefused, match="cross site request"):
        opened(FakeZosmf(), headers={}).poll("", (), 10)


@each_row(
    "change, reason",
    [
        ({"headers": {"X-Key": "two\nlines"}}, "the value of a header must be at most 200 printable"),
        ({"log": {**DOCUMENT["log"], "text": "text"}}, "files: send {file} in the path of the log"),
        ({"log": {"path": "/{id}/{file}"}}, "files: send {file} in the path of the log"),
        ({"jobs": {"path": "/jobs", "id": "jobname", "paging": "capped"}}, "its pages have no bound"),
    ],
)
def test_a_profile_that_cannot_work_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HttpProfile.model_validate({**DOCUMENT, **change}, context={"profile places": {"target", "option.owner"}})
    assert reason in str(caught.value)
