"""dbt Cloud by its profile, on a fake by dbt's published shapes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from console.timing.schedule import next_instant
from tests.connectors.polls import walked
from tests.fakes.dbt_cloud import ERROR, RUNNING, SUCCESS, FakeDbtCloud, shown

KIND = registry.load("dbt_cloud")
DOCUMENT: dict[str, Any] = tomllib.loads(registry.profiles()["dbt_cloud"].read_text(encoding="utf-8"))
SETTINGS = {"url": "https://dbt.example.com", "account": 12345, "token": {"env": "DBT_CLOUD_TOKEN"}}


def opened(fake: FakeDbtCloud, transport: httpx.BaseTransport | None = None, **more: Any) -> HttpConnector:
    profile = HttpProfile.model_validate({**DOCUMENT, **more}, context={})
    options = KIND.options.model_validate(SETTINGS)
    return profile.open_target(options, "api", lambda _: "right", transport or fake.transport)


class TestDbtCloud(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Faults):
    kind = KIND
    against = "fake: a dbt Cloud of ours, by the shapes that dbt publishes"
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("crowded", "with_a_run_behind"), "tests/connectors/http/test_mapped.py"
    )
    unplayed: ClassVar[Mapping[str, str]] = {
        "long_log": "its steps come in one answer, which is refused beyond 32 MiB",
    }

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakeDbtCloud()

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = KIND.options.model_validate({**SETTINGS, "url": f"http://{host}:{port}"})
        return KIND.open(options, "api", lambda _: "right")

    def make_success(self) -> str:
        return "502"

    def make_failure(self) -> str:
        return "501"

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.run(502, 77, self.fake.now)
        return opened(self.fake)

    def a_running_run(self) -> RunRecord:
        self.fake.hangs.add(502)
        row = self.fake.run(502, RUNNING, self.fake.now - timedelta(minutes=5))
        polls = self.polls_until_end(opened(self.fake), "")
        return next(run for poll in polls for run in poll.runs if run.attempt_key == str(row["id"]))

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            self.fake.jobs.pop()
            return opened(self.fake)
        return opened(self.fake, FaultyTransport(self.fake.handle, how, "/(runs|jobs)/$", "status_message", _Endless()))

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "GET /runs/"
        return opened(self.fake)

    def native_trace(self) -> object:
        return [dict(row) for row in self.fake.runs]

    def advance(self) -> None:
        self.fake.tick()


class _Endless:
    """The same full page for ever."""

    def __call__(self, body: Any, times: int) -> Any:
        return body | {"data": ((body["data"] or [{}]) * 100)[:100]}


def test_a_job_has_its_schedule_and_what_it_runs() -> None:
    fake = FakeDbtCloud()
    fake.jobs[1]["triggers"]["schedule"] = False
    nightly, hourly = opened(fake).inventory("", 10).jobs
    assert ("501", "Nightly build", "0 3 * * *", '["dbt build"]', False) == (
        nightly.native_id, nightly.title, nightly.schedule.expression, nightly.definition, nightly.paused,
    )  # fmt: skip
    assert hourly.paused, "no clock starts it"


def test_a_job_of_the_last_day_of_a_month_is_expected_then() -> None:
    """Its documentation: the scheduler reads `L`."""
    fake = FakeDbtCloud()
    fake.jobs[0]["schedule"]["cron"] = "0 3 L * *"
    nightly, _ = opened(fake).inventory("", 10).jobs
    following = next_instant(nightly.schedule, datetime(2026, 11, 30, 8, tzinfo=UTC))
    assert datetime(2026, 12, 31, 3, tzinfo=UTC) == following


def test_a_quiet_poll_reads_the_newest_page_alone_however_long_history_is() -> None:
    fake = FakeDbtCloud()
    fake.runs = [fake.run(502, SUCCESS, fake.now - timedelta(minutes=5 * n)) for n in range(900, 0, -1)]
    connector = opened(fake)
    runs, cursor = walked(connector)
    assert 900 == len(runs)
    fake.requested.clear()
    late = fake.run(501, ERROR, fake.now)
    runs, _ = walked(connector, cursor)
    assert ["GET /runs/"] == fake.requested
    assert str(late["id"]) in runs


def test_an_open_run_deep_in_the_list_is_read_alone() -> None:
    fake = FakeDbtCloud()
    old = fake.run(501, RUNNING, fake.now - timedelta(hours=9))
    for n in range(300, 0, -1):
        fake.run(502, SUCCESS, fake.now - timedelta(minutes=n))
    connector = opened(fake)
    runs, cursor = walked(connector)
    known = runs[str(old["id"])]
    assert RunState.RUNNING is known.state
    old |= {"status": ERROR, "finished_at": shown(fake.now), "status_message": "orders failed"}
    poll = connector.poll(cursor, (ref(known),), 10)
    while poll.more:
        poll = connector.poll(poll.cursor, (ref(known),), 10)
    assert ["orders failed"] == [run.message for run in poll.runs if run.attempt_key == str(old["id"])]


def test_the_log_is_that_of_all_steps() -> None:
    fake = FakeDbtCloud()
    run = next(run for run in walked(opened(fake))[0].values() if run.job == "501")
    assert "".join(fake.steps) == opened(fake).log(ref(run), None, 4096, 10).text


def test_an_answer_without_the_run_where_config_says_is_no_lost_run() -> None:
    fake = FakeDbtCloud()
    run = next(iter(walked(opened(fake))[0].values()))
    runs = {**DOCUMENT["runs"], "one_row": "elsewhere"}
    fake.runs.clear()
    empty = httpx.Response(200, json={"data": {}})
    nasty = httpx.MockTransport(lambda asked: empty if "/runs/9" in str(asked.url) else fake.handle(asked))
    poll = opened(fake, nasty, runs=runs).poll("", (ref(run),), 10)
    assert ((), False) == (poll.runs, poll.complete)


@pytest.mark.parametrize(
    "part, more, why",
    [
        ("runs", {"queued": "", "started": ""}, "newest_first: say in queued or started"),
        ("log", {"text": ""}, "parts: say in text which field"),
    ],
)
def test_a_mapping_that_cannot_be_followed_is_refused(part: str, more: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        HttpProfile.model_validate({**DOCUMENT, part: {**DOCUMENT[part], **more}}, context={})


def test_a_job_that_the_completion_of_another_starts_waits_for_it() -> None:
    """The shape is that of the API: the resources of Terraform name it without `condition`."""
    fake = FakeDbtCloud()
    condition = {"job_id": 501, "project_id": 7, "statuses": [10]}
    fake.jobs[1]["job_completion_trigger_condition"] = {"condition": condition}
    fake.jobs[0]["job_completion_trigger_condition"] = None
    assert {"501": (), "502": ("501",)} == {job.native_id: job.upstreams for job in opened(fake).inventory("", 10).jobs}
