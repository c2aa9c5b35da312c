"""Control-M by its profile, on a fake whose rows are made from the models of its Automation API's client."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance import Deadlines, Faults, Logs, Reads, Reruns
from connectors.sdk.conformance.faults import ENDLESS, JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionSpec, ActionUnknown, Connector
from connectors.sdk.errors import ActionRefused, NotSupported
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from tests.connectors.polls import walked
from tests.fakes.control_m import FakeControlM, written
from tests.fakes.described import Row
from tests.rows import each_row

KIND = registry.load("control_m")
DOCUMENT: dict[str, Any] = tomllib.loads(registry.profiles()["control_m"].read_text(encoding="utf-8"))
SETTINGS = {
    "url": "https://ctm.example.com:8443/automation-api", "folders": ["PAY*"], "zone": "Europe/Berlin",
    "token": {"env": "CONTROL_M_TOKEN"},
}  # fmt: skip


def opened(fake: FakeControlM, transport: httpx.BaseTransport | None = None, **changes: Any) -> HttpConnector:
    profile = HttpProfile.model_validate({**DOCUMENT, **changes}, context={})
    options = KIND.options.model_validate(SETTINGS)
    return profile.open_target(options, "PAY*", lambda _: "right", transport or fake.transport)


class TestControlM(Reads, Logs, Deadlines, Reruns, Faults):
    kind = KIND
    shows_reruns = False
    against = "described: a Control-M of ours, made from and judged by the models of BMC's client"
    elsewhere: ClassVar[Mapping[str, str]] = {"with_a_run_behind": "tests/connectors/http/test_mapped.py"}
    unplayed: ClassVar[Mapping[str, str]] = {
        "long_log": "an output comes in one answer, which is refused beyond 32 MiB",
        "crowded": "its list has 10,000 jobs at most",
        ENDLESS: "its list has no pages",
        JOB_DELETED: "a job is a folder and a name: the records of its runs have them",
    }

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakeControlM()

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = KIND.options.model_validate({**SETTINGS, "url": f"http://{host}:{port}"})
        return KIND.open(options, "PAY*", lambda _: "right")

    def make_success(self) -> str:
        return "ctmprod/PAY_DAILY/MART"

    def make_failure(self) -> str:
        return "ctmprod/PAY_DAILY/LOAD_ORDERS"

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.order("MART", "Unknown", self.fake.now - timedelta(minutes=9))
        return opened(self.fake)

    def answering(self, how: str) -> Connector:
        return opened(self.fake, FaultyTransport(self.fake.handle, how, "/jobs/status$", "description"))

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "GET /run/jobs/status$"
        return opened(self.fake)

    def native_trace(self) -> object:
        return [dict(row) for row in self.fake.rows]

    def advance(self) -> None:
        self.fake.tick()


def failure(fake: FakeControlM) -> tuple[Row, RunRecord]:
    row = [row for row in fake.rows if row["status"] == "Ended Not OK"][-1]
    return row, walked(opened(fake))[0][f"{row['jobId']}.1"]


@each_row(
    "status, state",
    [
        ("Wait Event", RunState.WAITING),
        ("Wait Condition", RunState.WAITING),
        ("Executing", RunState.RUNNING),
        ("Ended OK", RunState.SUCCEEDED),
        ("Ended Not OK", RunState.FAILED),
        ("Unknown", RunState.UNKNOWN),
        ("Ended", RunState.UNKNOWN),
    ],
)
def test_the_status_decides(status: str, state: RunState) -> None:
    fake = FakeControlM()
    begun = None if status.startswith("Wait") else fake.now - timedelta(hours=1)
    row = fake.order("CLOSE", status, begun)
    run = walked(opened(fake))[0][f"{row['jobId']}.1"]
    assert (state, status, "ctmprod/PAY_DAILY/CLOSE") == (run.state, run.native_state, run.job)


def test_the_order_date_is_the_business_date_even_where_the_run_began_days_later() -> None:
    fake = FakeControlM()
    late = fake.order("CLOSE", "Ended OK", fake.now - timedelta(hours=1), "261120")
    waiting = fake.order("CLOSE", "Wait Event", None, "20261121")
    none = fake.order("CLOSE", "Ended OK", fake.now - timedelta(hours=1))
    none["orderDate"] = None
    runs, _ = walked(opened(fake))
    dates = [runs[f"{row['jobId']}.1"].business_date for row in (late, waiting, none)]
    assert [date(2026, 11, 20), date(2026, 11, 21), None] == dates


def test_an_order_date_that_is_no_date_is_skipped_with_its_reason() -> None:
    fake = FakeControlM()
    fake.rows[0]["orderDate"] = "261345"
    poll = opened(fake).poll("", (), 10)
    assert ["'261345' at 'orderDate' is not a date"] == [item.reason for item in poll.skipped]
    assert 5 == len(poll.runs)


def test_times_are_local_to_the_zone_of_the_system() -> None:
    fake = FakeControlM()
    row = fake.order("CLOSE", "Ended OK", datetime(2026, 7, 1, 23, 30, tzinfo=UTC))
    assert "20260702013000" == row["startTime"]
    run = walked(opened(fake))[0][f"{row['jobId']}.1"]
    assert datetime(2026, 7, 1, 23, 30, tzinfo=UTC) == run.started_at


def test_times_of_older_versions_are_skipped_with_their_reason() -> None:
    fake = FakeControlM()
    fake.rows[0] |= {"startTime": "Jul 29, 2019 7:17:33 PM"}
    [skipped] = opened(fake).poll("", (), 10).skipped
    assert "'Jul 29, 2019 7:17:33 PM' at 'startTime' is not an instant written as compact" in skipped.reason


@pytest.mark.parametrize(
    "most, limit, reason",
    [(4, 10_000, "has 7 rows and gave 4"), (10_000, 6, "gave 6 rows, the most that it gives")],
)
def test_a_list_that_is_cut_is_reported_with_what_to_do(most: int, limit: int, reason: str) -> None:
    """By the server below its limit, and by the limit."""
    fake = FakeControlM()
    fake.most = most
    fake.order("CLOSE", "Ended OK", fake.now - timedelta(hours=1))
    poll = opened(fake, limit=limit).poll("", (), 10)
    assert not poll.complete
    assert None is poll.seen_until
    [warning] = [text for text in poll.warnings if "/run/jobs/status" in text]
    assert reason in warning
    assert not opened(fake, limit=limit).inventory("", 10).complete


def test_cyclic_and_deleted_orders_are_left_out() -> None:
    fake = FakeControlM()
    fake.order("WATCH", "Ended OK", fake.now - timedelta(hours=1))["cyclic"] = True
    fake.order("GONE", "Wait Event", None)["deleted"] = True
    fake.order("OTHER", "Ended OK", fake.now - timedelta(hours=1), folder="GL_DAILY")
    connector = opened(fake)
    assert ["LOAD_ORDERS", "MART"] == [job.title for job in connector.inventory("", 10).jobs]
    assert 6 == len(walked(connector)[0])


def test_a_rerun_is_the_next_attempt_and_waits_without_the_times_of_the_one_before() -> None:
    fake = FakeControlM()
    row, run = failure(fake)
    connector = opened(fake)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    assert (f"POST {SETTINGS['url']}/run/job/{row['jobId'].replace(':', '%3A')}/rerun",) == preview.native_calls
    assert isinstance(connector.look_up(preview, new_key(), 10), ActionAbsent)
    assert f"{row['jobId']}.2" == connector.act(preview, new_key(), 10).native_ref
    waiting = walked(connector)[0][f"{row['jobId']}.2"]
    assert (RunState.WAITING, None, run.attempt_key) == (waiting.state, waiting.started_at, waiting.again_of)
    assert isinstance(connector.look_up(preview, new_key(), 10), ActionUnknown), "a person may have repeated it"
    fake.tick()
    fake.tick()
    runs, _ = walked(connector, "", waiting)
    second = runs[waiting.attempt_key]
    assert (RunState.SUCCEEDED, run.business_date) == (second.state, second.business_date)
    assert second.started_at is not None


def test_a_run_that_was_repeated_since_the_preview_is_not_repeated_again() -> None:
    fake = FakeControlM()
    row, run = failure(fake)
    connector = opened(fake)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    fake.begin(row)
    with pytest.raises(ActionRefused, match=r"^the run .* it is Executing"):
        connector.act(preview, new_key(), 10)
    refused = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10).refused
    assert re.fullmatch("attempt 2 .* is Executing", str(refused))
    assert not any(call.startswith("POST") for call in fake.requests)


def test_an_attempt_whose_end_was_not_seen_is_lost_once_the_next_began() -> None:
    fake = FakeControlM()
    fake.hangs.add("CLOSE")
    row = fake.order("CLOSE", "Executing", fake.now - timedelta(minutes=5))
    connector = opened(fake)
    runs, cursor = walked(connector)
    fake.end(row, "Ended Not OK")
    fake.begin(row)
    runs, _ = walked(connector, cursor, runs[f"{row['jobId']}.1"])
    assert (RunState.LOST, "superseded") == (runs[f"{row['jobId']}.1"].state, runs[f"{row['jobId']}.1"].native_state)
    assert RunState.RUNNING is runs[f"{row['jobId']}.2"].state


def test_a_run_that_is_set_to_ok_is_read_again_although_its_times_stay() -> None:
    fake = FakeControlM()
    row, run = failure(fake)
    connector = opened(fake)
    _, cursor = walked(connector)
    row["status"] = "Ended OK"
    again = walked(connector, cursor)[0][run.attempt_key]
    assert (RunState.SUCCEEDED, run.ended_at) == (again.state, again.ended_at)


def test_a_run_that_left_the_active_jobs_is_looked_up_and_lost_without_an_answer() -> None:
    fake = FakeControlM()
    fake.hangs.add("CLOSE")
    row = fake.order("CLOSE", "Executing", fake.now - timedelta(minutes=5))
    connector = opened(fake)
    runs, cursor = walked(connector)
    fake.rows.remove(row)
    lost = walked(connector, cursor, runs[f"{row['jobId']}.1"])[0][f"{row['jobId']}.1"]
    assert (RunState.LOST, "gone") == (lost.state, lost.native_state)


def test_the_log_is_the_output_of_its_own_attempt() -> None:
    fake = FakeControlM()
    row, run = failure(fake)
    fake.begin(row)
    fake.end(row, "Ended Not OK")
    runs, _ = walked(opened(fake))
    texts = [opened(fake).log(ref(run_record), None, 4096, 10).text for run_record in (run, runs[f"{row['jobId']}.2"])]
    assert ["+ load LOAD_ORDERS (1)", "+ load LOAD_ORDERS (2)"] == [text.splitlines()[0] for text in texts]
    fake.outputs.clear()
    with pytest.raises(NotSupported, match="has no log"):
        opened(fake).log(ref(run), None, 4096, 10)


def test_a_refused_rerun_says_what_control_m_says() -> None:
    """As where annotations are mandatory."""
    fake = FakeControlM()
    _, run = failure(fake)
    connector = opened(fake)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    fake.forbidden = "POST"
    with pytest.raises(Exception, match="User has no authorization to perform this action"):
        connector.act(preview, new_key(), 10)


@each_row("starts", [None, True, -1, "2", 1_000_000])
def test_a_number_of_starts_that_is_none_is_skipped(starts: Any) -> None:
    fake = FakeControlM()
    fake.rows[0]["numberOfRuns"], fake.is_judged = starts, False
    poll = opened(fake).poll("", (), 10)
    assert ([f"its number of attempts is '{starts}'"], 5) == ([item.reason for item in poll.skipped], len(poll.runs))


@each_row(
    "changes, reason",
    [
        (
            {"runs": {**DOCUMENT["runs"], "first": "folderId"}},
            "by runs.first and by runs.attempt",
        ),
        ({"runs": {name: value for name, value in DOCUMENT["runs"].items() if name != "one"}}, "Fix: name in runs.one"),
        (
            {"runs": {name: value for name, value in DOCUMENT["runs"].items() if "attempt" not in name}, "verbs": {}},
            "log: {attempt} is the number of an attempt. Fix: name it in runs.attempt",
        ),
        ({"runs": {**DOCUMENT["runs"], "zone": "{option.server}x"}}, "zone"),
    ],
)
def test_a_profile_that_cannot_work_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HttpProfile.model_validate({**DOCUMENT, **changes}, context={})
    assert reason in str(caught.value)


def test_an_instant_of_a_request_is_local_as_well() -> None:
    fake = FakeControlM()
    runs = {**DOCUMENT["runs"], "query": {**DOCUMENT["runs"]["query"], "fromTime": "{since}"}, "history_days": 1}
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.params["fromTime"])
        return fake.handle(request)

    before = written(datetime.now(UTC) - timedelta(days=1))
    opened(fake, httpx.MockTransport(answer), runs=runs).poll("", (), 10)
    assert before <= seen[0] <= written(datetime.now(UTC) - timedelta(days=1))
