"""A server that is slow to list its changes: it is walked rarely, and every poll reads open and recent runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from connectors.airflow import changes
from connectors.airflow.changes import AirflowCursor, AirflowRunChanges
from connectors.airflow.client import ALL_RUNS_PATH, AirflowClient
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.errors import AccessRefused, ConnectorError, RateLimited, SystemUnreachable
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.states import RunState
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpReply
from tests.connectors.airflow.support import latest_records, opened
from tests.connectors.airflow.test_requests import BY_VERSION, MOST, estate
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow_actions import stamp


@pytest.fixture(autouse=True)
def always_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every walk is slow."""
    monkeypatch.setattr(changes, "SLOW_SECONDS", -1.0)


class Watch:
    """Follows a fake as the engine does, from the end of its history on."""

    def __init__(self, fake: FakeAirflow, connector: Connector) -> None:
        self.fake, self.connector = fake, connector
        runs, self.cursor = latest_records(connector)
        self.known = {(run.job, run.attempt_key): run for run in runs.values() if run.state.is_open}

    def poll(self) -> dict[str, RunRecord]:
        """The DAG runs of one poll, by run id."""
        self.fake.requests.clear()
        refs: list[RunRef] = [ref(run) for run in self.known.values()]
        poll = self.connector.poll(self.cursor, refs, 5)
        assert not poll.more
        assert len(self.fake.requests) <= MOST, self.fake.requests
        for run in poll.runs:
            self.known.pop((run.job, run.formerly), None)
            self.known[run.job, run.attempt_key] = run
        self.known = {key: run for key, run in self.known.items() if run.state.is_open}
        self.cursor = poll.cursor
        return {str(run.context["run_id"]): run for run in poll.runs if "." not in run.job}

    @property
    def since(self) -> str:
        return str(json.loads(self.cursor)["runs"]["since"])


@pytest.fixture(params=sorted(BY_VERSION))
def watch(request: pytest.FixtureRequest) -> Watch:
    fake = estate()
    watch = Watch(fake, BY_VERSION[request.param](fake))
    watch.poll()  # the walk that is slow
    return watch


def test_open_and_recent_runs_are_reported_without_a_walk(watch: Watch) -> None:
    fake = watch.fake
    first = watch.poll()
    assert {"dag_000", "dag_059", "dag_060", "dag_079"} <= {run.job for run in first.values()}
    fake.start("dag_090", "scheduled__short")
    fake.tick(20)
    for row in (*fake.runs, *fake.instances):
        if row["dag_id"] == "dag_070" and row["state"] == "running":
            row |= {"state": "success", "end_date": stamp(fake.now), "_updated": fake.now}
    seen = watch.poll()
    assert RunState.SUCCEEDED is seen["scheduled__short"].state, "it came and went between two polls, and has a date"
    assert RunState.SUCCEEDED is seen["manual__dag_070"].state, "it was open"
    assert not any(run.job == "dag_070" for run in watch.known.values())


def test_other_changes_come_with_the_next_walk_and_the_watermark_stays_until_then(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = next(row for row in watch.fake.runs if row["dag_id"] == "dag_003" and row["state"] == "success")
    old |= {"logical_date": "2024-02-01T00:00:00Z", "state": "failed", "_updated": watch.fake.now}
    before = watch.since
    assert old["dag_run_id"] not in watch.poll()
    assert before == watch.since
    watch.fake.tick(1)
    monkeypatch.setattr(changes, "WALK_INTERVAL_SECONDS", 0.0)
    assert RunState.FAILED is watch.poll()[str(old["dag_run_id"])].state
    assert before < watch.since


def test_a_quick_walk_is_made_by_every_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "SLOW_SECONDS", 60.0)
    fake = estate()
    watch = Watch(fake, BY_VERSION[3](fake))
    watch.poll()
    watch.fake.start("dag_091", "manual__undated", logical_date=None, run_type="manual")
    watch.fake.tick(20)
    assert RunState.SUCCEEDED is watch.poll()["manual__undated"].state


MARK = AirflowCursor(datetime(2026, 11, 19, tzinfo=UTC))


class UnansweredWalks:
    """An Airflow whose list of changes is not answered; each walk waits for 7 s."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        monkeypatch.setattr(changes, "SLOW_SECONDS", 2.0)
        client = opened(estate())._client
        assert isinstance(client, AirflowClient)
        self.client, self.walks, self.now, self.waits, self.error = client, 0, 1000.0, 7.0, error
        client.deadline = Deadline(5)
        self.answered = client.changed
        monkeypatch.setattr(client, "changed", self.walk)
        self.reader = AirflowRunChanges(client, lambda: self.now)

    def walk(self, *_: object) -> HttpReply:
        self.walks, self.now = self.walks + 1, self.now + self.waits
        raise self.error

    def read(self) -> changes.AirflowChangePages:
        return self.reader.read(MARK, ())


def test_a_walk_that_is_not_answered_is_reported_and_what_has_an_index_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    server = UnansweredWalks(monkeypatch, SystemUnreachable("no answer in 30 s"))
    for walks in (1, 2, 2, 2):
        pages = server.read()
        assert pages.rows
        assert (MARK, False) == (pages.mark, pages.has_more), "the mark stays: nothing is left out"
        assert "dag_runs: no answer in 30 s" == pages.broken
        assert walks == server.walks, "two in a row: the server is slow"
    server.now += changes.WALK_INTERVAL_SECONDS
    server.read()
    assert 3 == server.walks


def test_a_short_outage_does_not_make_a_server_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    server = UnansweredWalks(monkeypatch, SystemUnreachable("no answer in 30 s"))
    assert server.read().broken
    monkeypatch.setattr(server.client, "changed", server.answered)
    for _ in range(2):
        pages = server.read()
        assert ("", True) == (pages.broken, pages.mark.since > MARK.since)


@pytest.mark.parametrize("error", [SystemUnreachable("it is down"), RateLimited("too many"), AccessRefused("401")])
def test_a_server_that_answers_no_list_or_refuses_fails_the_poll(
    monkeypatch: pytest.MonkeyPatch, error: ConnectorError
) -> None:
    server = UnansweredWalks(monkeypatch, error)

    def no_answer(*_: object) -> HttpReply:
        raise error

    monkeypatch.setattr(server.client, "open_of_all", no_answer)
    with pytest.raises(type(error), match=str(error)):
        server.read()


def test_a_walk_that_fails_at_once_fails_the_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    server = UnansweredWalks(monkeypatch, SystemUnreachable("refused"))
    server.waits = 0.1
    with pytest.raises(SystemUnreachable, match="refused"):
        server.read()


def test_the_walk_leaves_time_for_what_has_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    server, seconds = UnansweredWalks(monkeypatch, SystemUnreachable("no answer")), list[float]()

    def walk(*_: object) -> HttpReply:
        seconds.append(server.client.deadline.seconds)
        return server.walk()

    monkeypatch.setattr(server.client, "changed", walk)
    server.read()
    assert [3.0] == [round(allowed, 1) for allowed in seconds]
    assert 5 == server.client.deadline.seconds


@pytest.mark.deep
def test_what_has_an_index_is_reported_where_tasks_are_not_listed_in_time_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "SLOW_SECONDS", 0.1)
    now = [0.0]
    for timed in (Deadline, AirflowRunChanges):
        monkeypatch.setattr(timed.__init__, "__defaults__", (lambda: now[0],))
    fake = estate()
    watch = Watch(fake, opened(fake))
    client, answered = cast("Any", watch.connector)._client, list[str]()
    changed = client.changed

    def late(path: str, *rest: object) -> HttpReply:
        if path in answered:
            return cast("HttpReply", changed(path, *rest))
        now[0] += client.deadline.left
        raise SystemUnreachable("no answer")

    monkeypatch.setattr(client, "changed", late)
    refs = [ref(run) for run in watch.known.values()]
    poll = watch.connector.poll(watch.cursor, refs, 1)
    assert poll.runs
    assert (watch.cursor, False, None) == (poll.cursor, poll.complete, poll.seen_until)
    unread = ["dag_runs: no answer", "task_instances: no answer"]
    assert unread == [text.partition("end: ")[2] for text in poll.warnings]
    answered.append(ALL_RUNS_PATH)
    with pytest.raises(SystemUnreachable, match="no answer"):
        watch.connector.poll(watch.cursor, refs, 1)


@pytest.mark.parametrize("method", ["changed_dated", "ended_runs", "open_of_all"])
def test_a_missing_list_is_not_an_empty_one(watch: Watch, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that answers {} for a page."""
    empty = HttpReply("Airflow", "GET", 200, {"content-type": "application/json"}, b"{}", None)
    for row in watch.fake.runs:
        row |= {"state": "success", "end_date": stamp(watch.fake.now)}
    monkeypatch.setattr(AirflowClient, method, lambda *_: empty)
    with pytest.raises(SystemUnreachable, match="has no list"):
        watch.poll()


def test_a_list_that_is_answered_by_404_is_not_an_empty_one() -> None:
    reply = HttpReply("Airflow", "GET", 404, {"content-type": "application/json"}, b'{"detail": "Not Found"}', None)
    with pytest.raises(SystemUnreachable, match="has no list"):
        changes.rows_by_offset(lambda _: reply, "dag_runs", 2)
    assert changes.rows_by_offset(lambda _: reply, "task_instances", 2, missing=(404,)).is_missing


def test_a_list_whose_pages_repeat_or_end_early_is_not_whole() -> None:
    def page(rows: int) -> HttpReply:
        body = json.dumps({"dags": [{}] * rows, "total_entries": 500}).encode()
        return HttpReply("Airflow", "GET", 200, {"content-type": "application/json"}, body, None)

    repeated = changes.rows_by_offset(lambda _: page(100), "dags", 9)
    assert (100, False) == (len(repeated.rows), repeated.is_whole)
    short = changes.rows_by_offset(lambda offset: page(0 if offset else 100), "dags", 9)
    assert (100, False) == (len(short.rows), short.is_whole)
