"""Snowflake tasks by their profile, on a fake by Snowflake's SQL API and SQL reference."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import pytest

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance import Deadlines, Faults, Reads
from connectors.sdk.conformance.faults import ENDLESS, JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.errors import InvalidAnswer, NotSupported
from connectors.sdk.records import instant_key
from connectors.sdk.states import RunState, Verb
from console.timing.schedule import next_instant
from tests.connectors.polls import read_at_once
from tests.fakes.snowflake import FakeSnowflake

KIND = registry.load("snowflake_tasks")
DOCUMENT: dict[str, Any] = tomllib.loads(registry.profiles()["snowflake_tasks"].read_text(encoding="utf-8"))
SETTINGS = {
    "url": "https://snowflake.example.com", "databases": ["ETL"], "warehouse": "OPS_WH", "role": "HEADWAY",
    "token": {"env": "SNOWFLAKE_TOKEN"},
}  # fmt: skip
LOAD, MART = "PUBLIC.LOAD_ORDERS", "PUBLIC.MART"


def opened(fake: FakeSnowflake, transport: httpx.BaseTransport | None = None) -> HttpConnector:
    profile = HttpProfile.model_validate(DOCUMENT, context={})
    options = KIND.options.model_validate(SETTINGS)
    return profile.open_target(options, "ETL", lambda _: "right", transport or fake.transport)


class TestSnowflakeTasks(Reads, Deadlines, Faults):
    kind = KIND
    against = "fake: a Snowflake of ours, by its SQL API and SQL reference"
    elsewhere: ClassVar[Mapping[str, str]] = {"with_a_run_behind": "tests/connectors/http/test_mapped.py"}
    unplayed: ClassVar[Mapping[str, str]] = {
        "long_log": "a task keeps no log",
        "crowded": "TASK_HISTORY gives 10,000 rows at most",
        ENDLESS: "its lists have no pages",
    }

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakeSnowflake()

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = KIND.options.model_validate({**SETTINGS, "url": f"http://{host}:{port}"})
        return KIND.open(options, "ETL", lambda _: "right")

    def make_success(self) -> str:
        return MART

    def make_failure(self) -> str:
        return LOAD

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.run("MART", "PAUSED", self.fake.now)
        return opened(self.fake)

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            self.fake.tasks.pop()
            return opened(self.fake)
        return opened(self.fake, Spoiled(self.fake, how))

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "TASK_HISTORY"
        return opened(self.fake)

    def native_trace(self) -> object:
        return [dict(row) for row in self.fake.history]

    def advance(self) -> None:
        self.fake.tick()


class Spoiled(httpx.BaseTransport):
    """Spoils the rows of a table as those of other sources: as objects, which are then lists of values again."""

    def __init__(self, fake: FakeSnowflake, how: str) -> None:
        self._fake = fake
        self._faulty = FaultyTransport(self._objects, how, "/statements$", "ERROR_MESSAGE")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        reply = self._faulty.handle_request(request)
        try:
            body = json.loads(reply.read().decode("utf-8", "surrogateescape"))
        except ValueError:
            return reply
        if "data" not in body:
            return reply
        names = [column["name"] for column in body["resultSetMetaData"]["rowType"]]
        body["data"] = [[row.get(name) for name in names] for row in body["data"]]
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogateescape")
        headers = {"content-type": "application/json", "date": reply.headers["date"]}
        return httpx.Response(200, content=content, headers=headers)

    def _objects(self, request: httpx.Request) -> httpx.Response:
        reply = self._fake.handle(request)
        body = reply.json()
        names = [column["name"] for column in body["resultSetMetaData"]["rowType"]]
        rows = [dict(zip(names, row, strict=True)) for row in body["data"]]
        rows_first = {"data": rows} | {**body, "data": rows}
        return httpx.Response(200, json=rows_first, headers={"date": reply.headers["date"]})


def test_a_task_has_the_schedule_of_its_cron_and_none_of_an_interval() -> None:
    fake = FakeSnowflake()
    fake.tasks[1]["state"] = "suspended"
    load, mart = opened(fake).inventory("", 10).jobs
    assert (LOAD, "0 3 * * 1-5", "Europe/Berlin", "CALL LOAD_ORDERS()", False) == (
        load.native_id, load.schedule.expression, load.schedule.zone, load.definition, load.paused,
    )  # fmt: skip
    assert ("none", True) == (mart.schedule.dialect, mart.paused)


@pytest.mark.parametrize(
    "schedule, following",
    [
        ("USING CRON 0 3 L * * Europe/Berlin", "2026-12-31T02:00:00Z"),
        ("USING CRON 0 3 * * 5L UTC", "2026-12-25T03:00:00Z"),
        ("using cron 0 3 L * * Europe/Berlin", "2026-12-31T02:00:00Z"),
    ],
)
def test_a_task_of_the_end_of_a_month_is_expected_then(schedule: str, following: str) -> None:
    fake = FakeSnowflake()
    fake.tasks[0]["schedule"] = schedule
    (load, _) = opened(fake).inventory("", 10).jobs
    instant = next_instant(load.schedule, datetime(2026, 11, 30, 8, tzinfo=UTC))
    assert following == (instant and instant_key(instant))


def test_a_run_that_took_long_is_read_when_it_ends_and_a_quiet_poll_is_one_statement() -> None:
    fake = FakeSnowflake()
    fake.hangs.add("LOAD_ORDERS")
    row = fake.run("LOAD_ORDERS", "EXECUTING", fake.now - timedelta(hours=30))
    key = f"{LOAD}/{row['RUN_ID']}/1"
    connector = opened(fake)
    runs, cursor = read_at_once(connector)
    assert RunState.RUNNING is runs[key].state
    row |= {"STATE": "FAILED_AND_AUTO_SUSPENDED", "ERROR_MESSAGE": "no such table", "COMPLETED_TIME": fake.now}
    fake.requests.clear()
    runs, _ = read_at_once(connector, cursor)
    assert (["SELECT"], RunState.FAILED, "no such table") == (fake.requests, runs[key].state, runs[key].message)
    assert 2 == len(runs), "what ended since, and in the minute before"


def test_future_runs_and_those_of_other_databases_are_no_runs_and_each_attempt_is_one() -> None:
    fake = FakeSnowflake()
    fake.run("MART", "SCHEDULED", fake.now + timedelta(hours=1))
    fake.run("MART", "SUCCEEDED", fake.now - timedelta(hours=1), "OTHER")
    at = fake.now - timedelta(hours=2)
    fake.run("LOAD_ORDERS", "FAILED", at)
    fake.run("LOAD_ORDERS", "SUCCEEDED", at, attempt=2)
    runs, _ = read_at_once(opened(fake))
    assert 8 == len(runs)
    assert {RunState.FAILED, RunState.SUCCEEDED} == {
        run.state for key, run in runs.items() if f"/{int(at.timestamp() * 1000)}/" in key
    }


def test_a_task_that_the_role_may_not_monitor_is_missing_without_an_error() -> None:
    """The trap that the page names: nothing in an answer shows it."""
    fake = FakeSnowflake()
    fake.hidden.add("MART")
    connector = opened(fake)
    inventory = connector.inventory("", 10)
    assert ([LOAD], True) == ([job.native_id for job in inventory.jobs], inventory.complete)
    assert {LOAD} == {run.job for run in read_at_once(connector)[0].values()}


def test_rows_in_later_partitions_of_a_result_are_reported_as_missing() -> None:
    fake = FakeSnowflake()
    fake.partition = 4
    poll = opened(fake).poll("", (), 10)
    assert (4, False) == (len(poll.runs), poll.complete)
    assert "has 6 rows and gave 4: the rest cannot be read" in str(poll.warnings)
    fake.partition = 1
    inventory = opened(fake).inventory("", 10)
    assert not inventory.complete


def test_a_pause_longer_than_the_retained_history_is_a_gap() -> None:
    fake = FakeSnowflake()
    since = (fake.now - timedelta(days=9)).isoformat()
    [gap] = opened(fake).poll(json.dumps({"since": since}), (), 10).gaps
    assert "runs are kept for 7 days: older ones were not read" == gap.reason


def test_a_statement_that_still_runs_is_no_empty_answer() -> None:
    handle = {"code": "333334", "message": "Asynchronous execution in progress.", "statementHandle": "e4ce975e"}
    running = httpx.MockTransport(lambda _: httpx.Response(202, json=handle))
    with pytest.raises(InvalidAnswer, match="has no list at rows = 'data' with names at columns"):
        opened(FakeSnowflake(), running).poll("", (), 10)


def test_a_rerun_is_refused_with_the_reason_of_the_profile() -> None:
    fake = FakeSnowflake()
    run = next(iter(read_at_once(opened(fake))[0].values()))
    with pytest.raises(NotSupported, match="repeats whichever graph failed last"):
        opened(fake).preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)


def test_the_predecessors_of_a_task_are_its_upstreams() -> None:
    fake = FakeSnowflake()
    fake.tasks[1]["predecessors"] = '[\n  "ETL.PUBLIC.LOAD_ORDERS"\n]'
    inventory = opened(fake).inventory("", 5)
    assert {LOAD: (), MART: (LOAD,)} == {job.native_id: job.upstreams for job in inventory.jobs}
    assert ["SHOW"] == fake.requests, "no further statement"
