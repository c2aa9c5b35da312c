"""Dagster's connector keeps the contract on the fake, whose rows are those of a real server; below, what no server
shows on request."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import pytest

from connectors.dagster import parse
from connectors.dagster.client import DagsterClient
from connectors.dagster.connector import CONNECTOR, DagsterConnector
from connectors.dagster.options import DagsterOptions
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import JOB_DELETED, EndlessBody, FaultyTransport
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionFound, ActionSpec, Connector
from connectors.sdk.errors import AccessRefused, ActionRefused, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.states import PeriodKind, RunEvidence, RunState, Verb
from tests.corpus import HOSTILE
from tests.fakes.dagster import FakeDagster, recorded
from tests.fakes.unsent import CROWDS
from tests.rows import each_row

URL = "https://dagster.example.com"
ORDERS, STOCK = "load_orders", "stock_count"
NIGHTLY = "stock_count_nightly"
DAGSTER = "lab/"


def opened(fake: FakeDagster, transport: httpx.BaseTransport | None = None, **options: Any) -> DagsterConnector:
    chosen = DagsterOptions.model_validate({"url": URL, **options})
    return DagsterConnector(chosen, lambda reference: "right", transport or fake.transport, settle_seconds=0.0)


@pytest.mark.parametrize(
    "url, header",
    [
        (URL, ("Authorization", "Bearer right")),
        ("https://acme.dagster.cloud/prod", ("Dagster-Cloud-Api-Token", "right")),
    ],
)
def test_a_token_is_sent_in_the_header_that_its_server_reads(url: str, header: tuple[str, str]) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(503)

    connector = opened(FakeDagster(), httpx.MockTransport(answer), url=url, token={"env": "TOKEN"})
    with pytest.raises(SystemUnreachable):
        connector.probe(5)
    assert header[1] == sent[0].headers[header[0]]


def latest_records(connector: Connector, cursor: str = "") -> tuple[dict[str, RunRecord], str]:
    """The last word on each run since the cursor, by its id, and the cursor after it."""
    runs: dict[str, RunRecord] = {}
    more = True
    while more:
        poll = connector.poll(cursor, (), 10)
        runs |= {run.attempt_key: run for run in poll.runs}
        cursor, more = poll.cursor, poll.more
    return runs, cursor


class TestDagsterOnTheFake(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = CONNECTOR
    elsewhere: ClassVar[Mapping[str, str]] = {"crowded": CROWDS}
    against = "recorded: replies of Dagster 1.13.27, behind a fake with a state"

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakeDagster(ORDERS, STOCK)
        self.fake.outcome[ORDERS] = "FAILURE"
        for job in (ORDERS, STOCK):
            self.fake.start(job)
        self.fake.tick(30)
        self.fake.schedule(STOCK, NIGHTLY)

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        return CONNECTOR.open(CONNECTOR.options(url=f"http://{host}:{port}"), "webserver", lambda reference: "")

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            self.fake.jobs = (ORDERS,)
            return opened(self.fake)
        self.fake.now = datetime.now(UTC)
        return opened(self.fake, FaultyTransport(self.fake.answer, how, "", "mode", EndlessRuns(), "runsOrError"))

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        run = next(run for run in latest_records(opened(self.fake))[0].values() if run.job == DAGSTER + ORDERS)
        row = next(row for row in self.fake.runs if row["runId"] == run.attempt_key)
        for _ in range(size // 100_000):
            self.fake.write(row, "STEP_OUTPUT", "x" * 100_000)
        return opened(self.fake), run

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        def put() -> str:
            late = self.fake.start(ORDERS)
            self.fake.runs.insert(0, self.fake.runs.pop())
            self.fake.tick()
            return str(late["runId"])

        return opened(self.fake), put

    def with_a_right_revoked(self) -> Connector:
        self.fake.read_only = True
        return opened(self.fake)

    def make_success(self) -> str:
        return DAGSTER + STOCK

    def make_failure(self) -> str:
        return DAGSTER + ORDERS

    def connector_with_an_unknown_state(self) -> Connector:
        other = FakeDagster(STOCK)
        other.start(STOCK)["status"] = "HIBERNATING"
        return opened(other)

    def a_running_run(self) -> RunRecord:
        self.fake.outcome[STOCK] = "hang"
        run = self.fake.start(STOCK)
        self.fake.tick()
        record = latest_records(opened(self.fake))[0][run["runId"]]
        assert record.state is RunState.RUNNING
        return record

    def native_trace(self) -> object:
        return [dict(row) for row in self.fake.runs], deepcopy(self.fake.schedules)

    def pause_by_hand(self, job_id: str) -> None:
        self.fake.set_schedule(NIGHTLY, "STOPPED")

    def resume_by_hand(self, job_id: str) -> None:
        self.fake.set_schedule(NIGHTLY, "RUNNING")

    def let_it_fall_due(self, job_id: str) -> None:
        self.fake.fall_due(STOCK)
        self.fake.tick()

    def advance(self) -> None:
        self.fake.tick()


class EndlessRuns:
    """A page that is full, and always the same."""

    def __init__(self) -> None:
        self.page = EndlessBody(100)

    def __call__(self, body: Any, times: int) -> Any:
        return {
            "data": {
                "runsOrError": {
                    **body["data"]["runsOrError"],
                    "results": self.page(body["data"]["runsOrError"]["results"], times),
                }
            }
        }


def failed() -> tuple[FakeDagster, str]:
    fake = FakeDagster(ORDERS, STOCK)
    fake.outcome[ORDERS] = "FAILURE"
    run = fake.start(ORDERS)
    fake.tick(10)
    return fake, run["runId"]


def test_recorded_steps_name_the_one_that_failed() -> None:
    run, names = parse.failed_steps(recorded("run_steps")["runOrError"])
    assert ("83a7a146-7be6-49ff-812e-c4b18a6683ca", ["transform: step failed"]) == (run, names)


def test_the_message_and_the_last_log_lines_of_a_failed_run_are_the_error_of_its_step() -> None:
    """Dagster wraps it in an error of its own, whose stack is the framework's."""
    fake, run = failed()
    record = latest_records(opened(fake))[0][run]
    assert (RunState.FAILED, "transform: ValueError: bad row 7") == (record.state, record.message)
    log = opened(fake).log(ref(record), None, 65536, 10).text
    assert ["    File defs.py, line 33, in transform", "  ValueError: bad row 7"] == log.splitlines()[-2:]


def test_a_partition_is_the_period_of_its_run() -> None:
    row = recorded("runs_updated_after")["runsOrError"]["results"][0]
    run = parse.run_record(row, (), URL)
    assert ("defs.py/daily_job", "2026-11-12", RunState.QUEUED) == (run.job, run.period_key, run.state)
    assert PeriodKind.NAME is run.denotes
    without = {**row, "tags": [tag for tag in row["tags"] if tag["key"] != "dagster/partition"]}
    assert PeriodKind.RUN is parse.run_record(without, (), URL).denotes


def test_recorded_assets_join_the_jobs_that_make_them() -> None:
    place = {"repository": {"name": "__repository__", "location": {"name": "lab"}}}
    nodes = [{**node, **place} for node in recorded("asset_graph")["assetNodes"]]
    assert {"lab/orders_job"} == parse.asset_edges(nodes)["lab/report_job"]


def test_a_success_with_failed_steps_is_partial_and_names_them() -> None:
    fake = FakeDagster(ORDERS)
    fake.outcome[ORDERS] = "partial"
    run = fake.start(ORDERS)
    fake.tick()
    record = latest_records(opened(fake))[0][run["runId"]]
    assert (RunState.PARTIAL, "SUCCESS", "transform: step failed") == (
        record.state,
        record.native_state,
        record.message,
    )


@pytest.mark.parametrize("scope, strategy", [("failed", "FROM_FAILURE"), ("all", "ALL_STEPS")])
def test_a_rerun_is_a_new_run_of_the_same_period_and_a_tag_copied_by_hand_is_not_ours(
    scope: str, strategy: str
) -> None:
    fake, run = failed()
    connector, key = opened(fake), new_key()
    first = latest_records(connector)[0][run]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(first), first.state, {"scope": scope}), 5)
    assert strategy == preview.plan["strategy"]
    connector.act(preview, key, 5)
    connector.act(preview, key, 5)
    assert 2 == len(fake.runs)
    by_hand = fake.start(ORDERS, fake.runs[-1])
    fake.tick(5)
    runs = latest_records(connector)[0]
    mine = runs[fake.runs[1]["runId"]]
    assert (key, first.period_key) == (mine.action_key, mine.period_key)
    assert runs[by_hand["runId"]].action_key is None


def test_a_lost_answer_is_found_by_the_tag_and_a_repeat_launches_nothing() -> None:
    fake, _ = failed()
    connector, key = opened(fake), new_key()
    ask = ActionSpec(
        Verb.START, RunRef(DAGSTER + STOCK, "", "", ""), RunState.PLANNED, {"period_at": "2026-11-20T03:00:00Z"}
    )
    preview = connector.preview(ask, 5)
    fake.lose_answer_of = "launchRun"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    connector.act(preview, key, 5)
    assert 2 == len(fake.runs)
    assert "2026-11-20T03:00:00Z" == latest_records(connector)[0][fake.runs[-1]["runId"]].period_key


DUE = "2026-11-20T03:00:00Z"


def start_of(partition: str) -> ActionSpec:
    """The start of a missed run."""
    return ActionSpec(Verb.START, RunRef(DAGSTER + STOCK, DUE, "", "", None, partition), RunState.MISSED,
                      {"period_at": DUE})  # fmt: skip


def test_a_missed_start_of_a_partition_is_launched_as_a_run_of_that_partition() -> None:
    fake, key = FakeDagster(STOCK), new_key()
    fake.partitions[STOCK] = ["EU", "US"]
    connector = opened(fake)
    preview = connector.preview(start_of("EU"), 5)
    assert f"launch a run of {DAGSTER}{STOCK} for its partition EU, with the partition's config" == preview.summary
    connector.act(preview, key, 5)
    [run] = latest_records(connector)[0].values()
    assert (DUE, "EU", PeriodKind.NAME, key) == (run.period_key, run.period_name, run.denotes, run.action_key)
    assert {"dagster/partition": "EU", "dagster/partition_set": f"{STOCK}_set"}.items() <= (
        parse.parse_tags(fake.runs[0]).items()
    )
    assert ["ops: {load: {config: {of: EU}}}\n"] == fake.configs


@each_row(
    "name, why",
    [
        ("", "it runs by partition, and the partition of this start is unknown: launch it in Dagster"),
        ("MARS", "it has no partition MARS: launch it in Dagster"),
    ],
)
def test_a_start_of_an_unknown_partition_is_refused(name: str, why: str) -> None:
    """Dagster starts a run without a partition, and one of a partition that it does not have."""
    fake = FakeDagster(STOCK)
    fake.partitions[STOCK] = ["EU", "US"]
    assert f"{DAGSTER}{STOCK}: {why}" == opened(fake).preview(start_of(name), 5).refused


def test_from_failure_of_what_is_green_by_now_is_refused_and_nothing_is_done() -> None:
    fake, run = failed()
    connector = opened(fake)
    first = latest_records(connector)[0][run]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(first), first.state), 5)
    fake.runs[0]["status"] = "SUCCESS"
    with pytest.raises(ActionRefused, match="the run changed since the preview, it is SUCCESS; nothing was sent"):
        connector.act(preview, new_key(), 5)
    stale = {**preview.plan, "was": "SUCCESS"}
    client = connector._client
    assert isinstance(client, DagsterClient)
    with pytest.raises(OutcomeUnknown, match="Cannot reexecute from failure"):
        client.reexecute({"parentRunId": stale["run"], "strategy": "FROM_FAILURE", "extraTags": []})
    assert 1 == len(fake.runs)


def test_a_read_only_webserver_is_named_by_the_probe_and_refuses_itself() -> None:
    fake, run = failed()
    fake.read_only = True
    connector = opened(fake)
    acts = [right for right in connector.probe(5).rights if right.needed_for == "act"]
    assert [False] * 6 == [right.held for right in acts]
    assert "without --read-only" in acts[0].fix
    first = latest_records(connector)[0][run]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(first), first.state), 5)
    with pytest.raises(AccessRefused, match="permission"):
        connector.act(preview, new_key(), 5)


def test_jobs_of_a_code_location_that_cannot_be_loaded_are_not_removed() -> None:
    fake = FakeDagster(STOCK)
    whole = opened(fake).inventory("", 5)
    fake.broken = ["dwh"]
    inventory = opened(fake).inventory(whole.hash, 5)
    assert (True, False, False) == (whole.complete, inventory.complete, inventory.unchanged)
    assert ["code location dwh"] == [skip.where for skip in inventory.skipped]
    assert "ModuleNotFoundError" in inventory.skipped[0].reason


def test_a_long_history_is_walked_to_its_end_before_the_watermark_moves() -> None:
    fake = FakeDagster(STOCK)
    runs = {fake.start(STOCK)["runId"] for _ in range(730)}
    fake.tick()
    connector = opened(fake)
    first = connector.poll("", (), 20)
    assert first.more
    assert first.seen_until is None
    fake.start(STOCK)
    results, cursor = latest_records(connector, first.cursor)
    assert runs <= {run.attempt_key for run in first.runs} | results.keys()
    fake.now += timedelta(seconds=90)
    assert {fake.runs[-1]["runId"]} <= latest_records(connector, cursor)[0].keys()


def test_a_page_whose_run_was_deleted_begins_the_walk_again_and_loses_nothing() -> None:
    fake = FakeDagster(STOCK)
    for _ in range(730):
        fake.start(STOCK)
    fake.tick()
    connector = opened(fake)
    first = connector.poll("", (), 20)
    page = json.loads(first.cursor)["page"]
    fake.runs = [row for row in fake.runs if row["runId"] != page]
    runs, _ = latest_records(connector, first.cursor)
    assert {row["runId"] for row in fake.runs} <= {run.attempt_key for run in first.runs} | runs.keys()


def test_a_deleted_run_is_lost_and_never_green() -> None:
    fake = FakeDagster(STOCK)
    fake.outcome[STOCK] = "hang"
    run = fake.start(STOCK)
    fake.tick()
    connector = opened(fake)
    runs, cursor = latest_records(connector)
    fake.runs.clear()
    (run_record,) = connector.poll(cursor, [ref(runs[run["runId"]])], 5).runs
    assert (RunState.LOST, RunEvidence.INFERRED) == (run_record.state, run_record.evidence)


# what is not as it should be


def plain(status: int, content: bytes, kind: str = "application/json", **headers: str) -> httpx.Response:
    return httpx.Response(status, content=content, headers={"content-type": kind, **headers})


PYTHON_ERROR = b'{"data": {"runsOrError": {"__typename": "PythonError", "message": "database is locked"}}}'


@each_row(
    "reply, error",
    [
        (plain(200, b"<html>Log in</html>", "text/html"), AccessRefused),
        (plain(200, b'{"data": {"runsOrE'), SystemUnreachable),
        (plain(200, b'{"data": {}}'), SystemUnreachable),
        (plain(200, b"[]"), SystemUnreachable),
        (plain(200, b'{"data": {"runsOrError": {"__typename": "Runs"}}}'), SystemUnreachable),
        (plain(200, b"{\xff}"), SystemUnreachable),
        (plain(302, b"", location="https://elsewhere.example.com"), AccessRefused),
        (plain(400, b'{"errors": [{"message": "Cannot query field"}]}'), SystemUnreachable),
        (plain(401, b"{}"), AccessRefused),
        (plain(403, b"{}"), AccessRefused),
        (plain(429, b"{}"), SystemUnreachable),
        (plain(500, PYTHON_ERROR), SystemUnreachable),
        (plain(503, b"{}"), SystemUnreachable),
    ],
)
def test_runs_that_cannot_be_read_are_an_error_and_no_empty_night(
    reply: httpx.Response, error: type[Exception]
) -> None:
    content, headers, status = reply.content, reply.headers, reply.status_code
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content, headers=headers))
    with pytest.raises(error):
        opened(FakeDagster(ORDERS), transport).poll("", (), 5)


def through(fake: FakeDagster, change: Callable[[dict[str, Any]], None]) -> DagsterConnector:
    """A connector that hears the fake's answers to questions about runs after `change` was done to their data."""

    def answer(request: httpx.Request) -> httpx.Response:
        reply = fake.answer(request)
        if fake.requests[-1] != "runsOrError":
            return reply
        body = json.loads(reply.content)
        change(body["data"]["runsOrError"])
        headers = {name: reply.headers[name] for name in ("content-type", "date")}
        return httpx.Response(200, content=json.dumps(body).encode(), headers=headers)

    return opened(fake, httpx.MockTransport(answer))


def test_unreadable_rows_are_counted_and_the_others_kept() -> None:
    fake = FakeDagster(STOCK)
    good = [fake.start(STOCK)["runId"] for _ in range(2)]
    fake.tick()

    def spoil(data: dict[str, Any]) -> None:
        first = data["results"][0]
        data["results"] += [
            None,
            {**first, "runId": 7},
            {**first, "startTime": "soon"},
            {**first, "endTime": float("inf")},
        ]

    poll = through(fake, spoil).poll("", (), 5)
    assert set(good) == {run.attempt_key for run in poll.runs}
    assert 3 <= len(poll.skipped)


def test_a_list_that_repeats_for_ever_is_an_error() -> None:
    fake = FakeDagster(STOCK)
    rows = [fake.start(STOCK) for _ in range(100)]
    with pytest.raises(SystemUnreachable, match="does not end"):
        through(fake, lambda data: data.update(results=rows)).poll("", (), 20)


def test_an_answer_about_other_runs_is_dropped_and_deletes_nothing() -> None:
    fake = FakeDagster(STOCK)
    fake.outcome[STOCK] = "hang"
    start, other = fake.start(STOCK), fake.start(STOCK)
    fake.tick()
    runs, cursor = latest_records(opened(fake))
    fake.now += timedelta(seconds=200)
    cursor = latest_records(opened(fake), cursor)[1]
    poll = through(fake, lambda data: data.update(results=[other])).poll(cursor, [ref(runs[start["runId"]])], 5)
    assert not poll.complete
    assert start["runId"] not in {run.attempt_key for run in poll.runs}


def test_hostile_text_stays_data() -> None:
    row = recorded("runs_updated_after")["runsOrError"]["results"][1]
    for hostile in HOSTILE:
        tags = [{"key": "headway/key", "value": hostile}, {"key": "dagster/partition", "value": hostile}]
        run = parse.run_record({**row, "tags": tags}, [hostile], URL)
        assert RunState.PARTIAL is run.state
        json.dumps(dict(run.context)).encode()


def test_a_log_that_is_longer_than_what_is_read_at_once_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, run = failed()
    row = next(row for row in fake.runs if row["runId"] == run)
    for number in range(30):
        fake.write(row, "STEP_OUTPUT", f"line {number}")
    monkeypatch.setattr("connectors.dagster.runs.MAX_LOG_PAGES", 2)
    monkeypatch.setattr("connectors.dagster.client.LOG_LIMIT", 10)
    known = latest_records(opened(fake))[0][run]
    first = opened(fake).log(ref(known), None, 4096, 10)
    assert (True, True, False) == (first.more, first.cut, "line 29" in first.text)
    assert first.next is not None
    following = ""
    start: str | None = first.next
    while start is not None:
        chunk = opened(fake).log(ref(known), start, 4096, 10)
        following, start = following + chunk.text, chunk.next
    assert "line 29" in following
