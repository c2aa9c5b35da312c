"""A server that is slow to find what changed is asked for it in pieces, and open runs are told by every poll."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from connectors.airflow import changes
from connectors.airflow import changes as walk_rounds
from connectors.airflow.changes import AirflowChangePages, AirflowCursor
from connectors.airflow.client import AirflowClient
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.states import RunState
from connectors.sdk.transport.budget import Deadline
from connectors.sdk.transport.http import HttpReply
from tests.connectors.airflow.support import latest_records, opened
from tests.connectors.airflow.test_requests import BY_VERSION, MOST, estate
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow_acts import stamp

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(autouse=True)
def always_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any walk is slow, and so is any piece of a round."""
    monkeypatch.setattr(changes, "SLOW_SECONDS", -1.0)
    monkeypatch.setattr(changes, "QUICK_SECONDS", -1.0)


class Watch:
    """Follows an estate as the engine does, from the end of its history on."""

    def __init__(self, fake: FakeAirflow, connector: Connector) -> None:
        self.fake, self.connector = fake, connector
        runs, self.cursor = latest_records(connector)
        self.known = {(one.job, one.attempt_key): one for one in runs.values() if one.state.is_open}

    def poll(self) -> dict[str, RunRecord]:
        """What it tells of DAG runs, by run id."""
        self.fake.requests.clear()
        refs: list[RunRef] = [ref(one) for one in self.known.values()]
        poll = self.connector.poll(self.cursor, refs, 5)
        assert not poll.more
        assert len(self.fake.requests) <= MOST, self.fake.requests
        for one in poll.runs:
            self.known.pop((one.job, one.formerly), None)
            self.known[one.job, one.attempt_key] = one
        self.known = {key: one for key, one in self.known.items() if one.state.is_open}
        self.cursor = poll.cursor
        return {str(one.context["run_id"]): one for one in poll.runs if "." not in one.job}


@pytest.fixture(params=sorted(BY_VERSION))
def watch(request: pytest.FixtureRequest) -> Watch:
    fake = estate()
    found = Watch(fake, BY_VERSION[request.param](fake))
    found.poll()  # the walk that is slow
    return found


def test_what_is_open_ends_or_is_dated_is_told_without_a_walk(watch: Watch) -> None:
    fake = watch.fake
    first = watch.poll()
    assert {"dag_000", "dag_059", "dag_060", "dag_079"} <= {one.job for one in first.values()}
    fake.start("dag_090", "scheduled__short")
    fake.tick(20)
    for row in (*fake.runs, *fake.instances):
        if row["dag_id"] == "dag_070" and row["state"] == "running":
            row |= {"state": "success", "end_date": stamp(fake.now), "_updated": fake.now}
    seen = watch.poll()
    assert RunState.SUCCEEDED is seen["scheduled__short"].state, "it came and went between two polls, and has a date"
    assert RunState.SUCCEEDED is seen["manual__dag_070"].state, "it was open"
    assert not any(one.job == "dag_070" for one in watch.known.values())


def few() -> FakeAirflow:
    """Ten DAGs, each with a run."""
    fake = FakeAirflow(**{f"dag_{number:03}": ("extract",) for number in range(10)})
    for dag in fake.dags:
        fake.start(dag)
    fake.tick(60)
    return fake


@pytest.fixture(params=sorted(BY_VERSION))
def few_watched(request: pytest.FixtureRequest) -> Watch:
    fake = few()
    return Watch(fake, BY_VERSION[request.param](fake))


def rounds(watch: Watch, many: int = 1) -> dict[str, RunRecord]:
    """What the polls tell until so many rounds have begun anew."""
    seen: dict[str, RunRecord] = {}
    for _ in range(60):
        before = since(watch)
        seen |= watch.poll()
        many -= since(watch) != before
        if not many:
            return seen
        watch.fake.tick(1)
    raise AssertionError("the round does not come to its end")


def since(watch: Watch) -> str:
    return str(json.loads(watch.cursor)["runs"]["since"])


def lists(watch: Watch) -> list[tuple[str, str]]:
    return [one for one in watch.fake.requests if one[1].endswith("/dags/~/dagRuns")]


@pytest.mark.parametrize("version, dated", [(2, "2026-11-12T00:00:00Z"), (3, "2026-11-12T00:00:00Z"), (3, None)])
def test_what_came_and_went_is_told_by_the_round_and_its_mark_stays_until_then(version: int, dated: str | None) -> None:
    """A run of a weekly DAG, whose date is long ago; Airflow 3 has runs without a date."""
    fake = few()
    watch = Watch(fake, BY_VERSION[version](fake))
    watch.poll()
    watch.fake.start("dag_009", "manual__short", logical_date=dated, run_type="manual")
    watch.fake.tick(20)
    began = since(watch)
    seen = watch.poll()
    assert began == since(watch)
    assert RunState.SUCCEEDED is (seen | rounds(watch, 2))["manual__short"].state


def test_an_old_run_that_somebody_marked_is_told_by_the_round(few_watched: Watch) -> None:
    watch, fake = few_watched, few_watched.fake
    old = next(row for row in fake.runs if row["dag_id"] == "dag_003" and row["state"] == "success")
    old["logical_date"] = old["data_interval_start"] = "2024-02-01T00:00:00Z"
    rounds(watch)
    old |= {"state": "failed", "_updated": fake.now}
    assert RunState.FAILED is rounds(watch, 2)[str(old["dag_run_id"])].state


def test_a_run_without_a_date_that_somebody_marked_is_told_when_its_dag_has_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = few()
    watch = Watch(fake, BY_VERSION[3](fake))
    fake.start("dag_002", "manual__old", logical_date=None, run_type="manual")
    fake.tick(20)
    rounds(watch, 2)
    old = next(row for row in fake.runs if row["dag_run_id"] == "manual__old")
    old |= {"state": "failed", "end_date": stamp(fake.now - timedelta(days=90)), "_updated": fake.now}
    monkeypatch.setattr(walk_rounds.SweepPosition, "of", classmethod(lambda cls, page: cls(dag=0, turn=2)))
    assert RunState.FAILED is watch.poll()["manual__old"].state


def test_a_round_goes_on_after_a_restart(few_watched: Watch, request: pytest.FixtureRequest) -> None:
    watch = few_watched
    watch.poll()
    page = json.loads(watch.cursor)["runs"]["page"]
    assert page.startswith(walk_rounds.SWEEP_PREFIX)
    watch.connector = BY_VERSION[request.node.callspec.params["few_watched"]](watch.fake)
    watch.poll()
    assert page != json.loads(watch.cursor)["runs"]["page"]
    assert page.startswith(walk_rounds.SWEEP_PREFIX)


class Pages:
    """An Airflow of which `rows` changed, all of them in one span; it makes no more requests than it is asked for."""

    major = 2

    def __init__(self, rows: int) -> None:
        self.rows, self.spans = rows, list[tuple[datetime | None, datetime | None, int]]()

    def changed_dated(self, since: datetime, begins: datetime | None, ends: datetime | None, offset: int) -> HttpReply:
        self.spans.append((begins, ends, offset))
        names = range(offset, min(self.rows, offset + 100)) if ends is None else ()
        body = json.dumps({"dag_runs": [{"dag_id": "d", "dag_run_id": str(name)} for name in names]})
        return HttpReply("Airflow", "GET", 200, {"content-type": "application/json"}, body.encode(), None)


def test_many_changes_of_one_span_are_told_page_by_page() -> None:
    pages, ticks = Pages(250), iter(range(10**6))
    found = walk_rounds.AirflowChangeSweep(cast(AirflowClient, pages), lambda: next(ticks) / 20)
    place: walk_rounds.SweepPosition | None = walk_rounds.SweepPosition()
    names = set[str]()
    while place:
        piece = found.step(NOW - timedelta(hours=1), NOW, place)
        names |= {row["dag_run_id"] for row in piece.rows}
        place = piece.following
    assert 250 == len(names)
    first = NOW - timedelta(days=2)
    assert [(first, None, 0), (first, None, 80), (first, None, 160)] == pages.spans[:3], "the pages of one span"
    assert [NOW - timedelta(days=10), NOW - timedelta(days=42)] == [begins for begins, *_ in pages.spans[3:5]]
    assert (None, 0) == pages.spans[-1][::2], "the last span is open to the past"
    assert [ends for _, ends, _ in pages.spans[3:]] == [begins for begins, *_ in pages.spans[2:-1]]


def test_a_span_that_takes_long_is_followed_by_a_shorter_one() -> None:
    pages, ticks = Pages(0), iter(range(10**6))
    found = walk_rounds.AirflowChangeSweep(cast(AirflowClient, pages), lambda: next(ticks) * 3.0)
    piece = found.step(NOW - timedelta(hours=1), NOW, walk_rounds.SweepPosition(days=32.0))
    assert piece.following is not None
    assert (16.0, 3.0) == (piece.following.days, piece.slowest)


def test_a_piece_that_is_not_answered_in_time_is_asked_for_shorter() -> None:
    asked: list[timedelta] = []

    class Slow:
        major = 3

        def changed_dated(self, since: datetime, begins: datetime, ends: datetime | None, offset: int) -> HttpReply:
            asked.append(NOW - begins)
            raise SystemUnreachable("no answer in 30 s")

    found = walk_rounds.AirflowChangeSweep(cast(AirflowClient, Slow()))
    for _ in range(3):
        with pytest.raises(SystemUnreachable):
            found.step(NOW - timedelta(hours=1), NOW, walk_rounds.SweepPosition())
    assert [timedelta(days=2), timedelta(days=1), timedelta(days=0.5)] == asked


def listed(name: str, rows: list[dict[str, str]], total: int) -> HttpReply:
    body = json.dumps({name: rows, "total_entries": total}).encode()
    return HttpReply("Airflow", "GET", 200, {"content-type": "application/json"}, body, None)


def test_dags_whose_runs_are_not_answered_in_time_are_asked_for_fewer_at_once_and_none_is_passed_over() -> None:
    """Else every poll would fail at the same piece, for ever."""
    asked: list[list[str]] = []

    class Slow:
        major = 3

        def dags(self, offset: int) -> HttpReply:
            return listed("dags", [{"dag_id": f"dag_{n:03}"} for n in range(offset, min(offset + 100, 130))], 130)

        def ended_runs(self, dags: list[str], since: datetime, offset: int) -> HttpReply:
            if len(dags) > 30:
                raise SystemUnreachable("no answer in 30 s")
            asked.append(dags)
            return listed("dag_runs", [], 0)

        def changed_of(self, dag: str, since: datetime) -> HttpReply:
            return listed("dag_runs", [], 0)

    found, ticks = (
        walk_rounds.AirflowChangeSweep(cast(AirflowClient, Slow()), lambda: next(ticks) * 2.0),
        iter(range(10**6)),
    )
    place: walk_rounds.SweepPosition | None = walk_rounds.SweepPosition(dag=0)
    failed = 0
    while place is not None:
        try:
            place = found.step(NOW - timedelta(hours=1), NOW, place).following
        except SystemUnreachable:
            failed += 1
        place = place and walk_rounds.SweepPosition.of(place.page)
    assert 2 == failed, "100, 50; then 25 until it is quick again"
    assert {f"dag_{n:03}" for n in range(130)} == {name for dags in asked for name in dags}


def test_where_every_piece_is_quick_the_whole_list_is_tried_again(
    few_watched: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = few_watched
    monkeypatch.setattr(changes, "QUICK_SECONDS", 60.0)
    monkeypatch.setattr(changes, "SLOW_SECONDS", 60.0)
    rounds(watch)
    assert not json.loads(watch.cursor)["runs"]["page"]
    watch.fake.tick(1)
    watch.poll()
    assert 1 == len(lists(watch)), "one list of changes, whole"


def test_a_walk_that_is_quick_is_made_by_every_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "SLOW_SECONDS", 60.0)
    fake = estate()
    watch = Watch(fake, BY_VERSION[3](fake))
    watch.poll()
    watch.fake.start("dag_091", "manual__undated", logical_date=None, run_type="manual")
    watch.fake.tick(20)
    assert RunState.SUCCEEDED is watch.poll()["manual__undated"].state


def test_a_walk_that_is_not_answered_in_time_leaves_the_next_poll_to_what_is_quick() -> None:
    def walk(mark: AirflowCursor) -> AirflowChangePages:
        raise SystemUnreachable("no answer in 30 s")

    client = opened(estate())._client
    assert isinstance(client, AirflowClient)
    found = changes.AirflowChangeReader(client)
    client.deadline = Deadline(5)
    mark = AirflowCursor(datetime(2026, 11, 19, tzinfo=UTC))
    assert found.instead(mark, ()) is None
    with pytest.raises(SystemUnreachable):
        found.walked(mark, walk)
    told = found.instead(mark, ())
    assert told is not None
    assert (mark.since, False) == (told.mark.since, told.more), "its mark stays: nothing is skipped"


def test_a_row_whose_names_are_no_texts_is_skipped_and_the_rest_told(few_watched: Watch) -> None:
    watch, fake = few_watched, few_watched.fake
    watch.poll()
    fake.start("dag_004", "scheduled__kept")
    fake.start("dag_005", "scheduled__odd")
    next(row for row in fake.runs if row["dag_run_id"] == "scheduled__odd")["dag_run_id"] = ["odd"]
    poll = watch.connector.poll(watch.cursor, (), 5)
    assert "scheduled__kept" in {one.context.get("run_id") for one in poll.runs}
    assert any("dag_run_id" in one.reason for one in poll.skipped), poll.skipped


@pytest.mark.parametrize("version", sorted(BY_VERSION))
def test_a_server_that_cuts_pages_short_is_read_to_the_end_of_each_span(version: int) -> None:
    """[api] maximum_page_limit: a page of 50 is not the last one because it has no 100 rows."""
    fake = few()
    fake.page_limit = 50
    watch = Watch(fake, BY_VERSION[version](fake))
    watch.poll()
    for number in range(70):
        fake.start("dag_003", f"old__{number}", logical_date=f"2024-02-01T00:{number % 60:02}:{number // 60:02}Z")
    fake.tick(20)
    fake.instances = [row for row in fake.instances if row["dag_id"] != "dag_003"]
    told = {name for name in rounds(watch, 2) if name.startswith("old__")}
    assert 70 == len(told)


def test_a_server_that_cuts_pages_short_is_asked_for_the_runs_without_a_date_of_all_dags() -> None:
    fake = FakeAirflow(**{f"dag_{number:03}": ("extract",) for number in range(70)})
    fake.page_limit = 50
    for dag in fake.dags:
        fake.start(dag)
    fake.tick(60)
    watch = Watch(fake, BY_VERSION[3](fake))
    watch.poll()
    fake.start("dag_069", "manual__short", logical_date=None, run_type="manual")
    fake.tick(20)
    assert RunState.SUCCEEDED is (watch.poll() | rounds(watch, 2))["manual__short"].state


@pytest.mark.parametrize("asked", ["changed_dated", "ended_runs", "dags", "open_of_all"])
def test_a_list_that_is_missing_is_none_that_is_empty(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that answers {} for a page: a round does not go on past what it was not told."""
    watch = Watch(fake := few(), BY_VERSION[3](fake))
    empty = HttpReply("Airflow", "GET", 200, {"content-type": "application/json"}, b"{}", None)
    monkeypatch.setattr(AirflowClient, asked, lambda *_: empty)
    with pytest.raises(SystemUnreachable, match="has no list"):
        rounds(watch)


def test_a_list_that_is_answered_by_404_is_none_that_is_empty() -> None:
    gone = HttpReply("Airflow", "GET", 404, {"content-type": "application/json"}, b'{"detail": "Not Found"}', None)
    with pytest.raises(SystemUnreachable, match="has no list"):
        changes.rows_by_offset(lambda _: gone, "dag_runs", 2)
    assert changes.rows_by_offset(lambda _: gone, "task_instances", 2, may_be_missing=True).is_missing


@pytest.mark.parametrize("asked", ["changed_dated", "ended_runs"])
def test_a_list_whose_pages_do_not_end_begins_the_round_anew_and_is_told(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server, or a proxy, that takes no heed of the offset: no round came to its end, and nobody was told."""
    watch = Watch(fake := few(), BY_VERSION[3](fake))
    rows = [{"dag_id": "dag_001", "dag_run_id": f"r{number}"} for number in range(100)]
    body = json.dumps({"dag_runs": rows, "total_entries": 10**6}).encode()
    same = HttpReply("Airflow", "GET /dagRuns", 200, {"content-type": "application/json"}, body, None)
    monkeypatch.setattr(changes, "MAX_INDEXED_PAGES", 2)
    monkeypatch.setattr(AirflowClient, asked, lambda *_: same)
    before, told_of = since(watch), ""
    for _ in range(20):
        refs = [ref(one) for one in watch.known.values()]
        poll = watch.connector.poll(watch.cursor, refs, 5)
        watch.cursor, told_of = poll.cursor, next(iter(poll.warnings), "")
        if told_of:
            break
    assert "GET /dagRuns (200) has the rows of the page before it" in told_of
    assert (False, None, before) == (poll.complete, poll.seen_until, since(watch))
    assert walk_rounds.SweepPosition() == walk_rounds.SweepPosition.of(json.loads(poll.cursor)["runs"]["page"])
