"""Following an Airflow that changes, pages for ever, lies, forgets and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.airflow import changes, runs
from connectors.airflow.client import ALL_RUNS_PATH, EPOCH, AirflowClient
from connectors.airflow.connector import AirflowConnector
from connectors.airflow.options import AirflowOptions
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.errors import AccessRefused, SystemUnreachable
from connectors.sdk.fields import CURSOR_UNREADABLE
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.states import RunEvidence, RunState
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpAccount, HttpEndpoint
from tests.connectors.airflow.support import URL, latest, latest_records, night, opened
from tests.connectors.airflow.test_requests import BY_VERSION
from tests.fakes.airflow import START, FakeAirflow
from tests.fakes.airflow2 import FakeAirflow2
from tests.fakes.airflow_actions import recorded, stamp
from tests.rows import each_row


def answering(fake: FakeAirflow, change: Callable[[str, Any], Any]) -> AirflowConnector:
    """A connector on a fake whose good replies pass through `change(path, body)`."""

    def handle(request: httpx.Request) -> httpx.Response:
        reply = fake.handle(request)
        if reply.status_code != 200:
            return reply
        body = change(request.url.path, reply.json())
        return body if isinstance(body, httpx.Response) else httpx.Response(200, json=body, headers={"date": DATE})

    chosen = {"url": URL, "username": "headway", "password": {"env": "UNREAD"}}
    return AirflowConnector(AirflowOptions.model_validate(chosen), lambda _: "right", httpx.MockTransport(handle))


DATE = "Fri, 20 Nov 2026 04:00:10 GMT"


def ended(fake: FakeAirflow, dag: str = "stock_count", run: str = "") -> str:
    run = fake.start(dag, run)
    fake.tick()
    return run


def test_a_run_is_reported_with_its_tasks_under_one_period() -> None:
    fake = night()
    ended(fake, "load_orders")
    runs, _ = latest_records(opened(fake))
    states = {job: run.state for (job, _), run in runs.items()}
    assert {
        "load_orders": RunState.FAILED,
        "load_orders.check": RunState.SUCCEEDED,
        "load_orders.load": RunState.FAILED,
        "load_orders.publish": RunState.BLOCKED,
    } == states
    assert {"2026-11-20T04:00:00Z"} == {run.period_key for run in runs.values()}


def test_a_calm_poll_costs_two_requests() -> None:
    fake = night()
    ended(fake)
    connector = opened(fake)
    _, cursor = latest_records(connector)
    fake.tick(3600)
    _, cursor = latest_records(connector, cursor)
    fake.requests.clear()
    connector.poll(cursor, (), 5)
    assert ["/api/v2/dags/~/dagRuns", "/api/v2/dags/~/dagRuns/~/taskInstances"] == [path for _, path in fake.requests]


def test_overlapping_records_are_not_reported_again_once_stored() -> None:
    fake = night()
    ended(fake)
    connector = opened(fake)
    first, cursor = latest_records(connector)
    assert first
    assert {} == latest_records(connector, cursor)[0]


def test_records_never_stored_are_reported_again() -> None:
    """The store failed after the poll: the engine polls again with its stored cursor."""
    fake = night()
    connector = opened(fake)
    _, stored = latest_records(connector)
    ended(fake)
    lost, _ = latest_records(connector, stored)
    again, _ = latest_records(connector, stored)
    assert lost.keys() == again.keys()
    assert lost


def test_seen_until_is_the_servers_own_clock_less_the_overlap() -> None:
    fake = night()
    poll = opened(fake).poll("", (), 5)
    assert START - changes.OVERLAP == poll.seen_until
    assert poll.clock is not None
    assert START == poll.clock.target


def test_history_comes_in_pages_that_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "PAGES_PER_POLL", 1)
    fake = FakeAirflow(stock_count=("count",))
    for number in range(250):
        fake.start("stock_count", f"manual__{number:03}", run_type="manual")
    fake.tick()
    connector = opened(fake)
    polls, cursor, more = [], "", True
    while more:
        polls.append(connector.poll(cursor, (), 5))
        cursor, more = polls[-1].cursor, polls[-1].more
    assert 3 == len(polls)
    assert [None, None] == [poll.seen_until for poll in polls[:-1]], "absence is proved only by the last poll"
    assert 250 == len({run.attempt_key for poll in polls for run in poll.runs if run.job == "stock_count"})


def test_a_failed_task_is_named_once_where_dags_share_run_ids() -> None:
    """Tasks of 100 runs are requested at once, by names of DAGs and names of runs."""
    fake = FakeAirflow(load=("copy",), clean=("count",), stock_count=("count",))
    fake.outcome["load", "copy"] = "failed"
    runs = [("load", 0), *(("clean", number) for number in range(1, 110)), ("stock_count", 0), ("load", 110)]
    for dag, number in runs:
        fake.start(dag, f"manual__{number:03}", run_type="manual")
    fake.tick()
    fake.tick(60)
    results, _ = latest_records(opened(fake))
    assert ["tasks not green: copy (failed)"] * 2 == [run.message for run in results.values() if run.job == "load"]


def test_a_failed_task_is_named_once_where_a_run_comes_with_two_lists() -> None:
    fake = FakeAirflow(load=("copy",), clean=("count",))
    fake.outcome["load", "copy"] = "failed"
    fake.start("load", "manual__000")
    for number in range(1, 110):
        fake.start("clean", f"manual__{number:03}")
    fake.tick()
    fake.tick(60)

    def repeated(path: str, body: Any) -> Any:
        """The list of runs with its first row at its end again."""
        return {**body, "dag_runs": [*body["dag_runs"], *body["dag_runs"][:1]]} if "dag_runs" in body else body

    results, _ = latest_records(answering(fake, repeated))
    assert ["tasks not green: copy (failed)"] == [run.message for run in results.values() if run.job == "load"]


def test_a_slow_server_is_read_in_smaller_pages() -> None:
    fake = FakeAirflow(stock_count=("count",))
    for number in range(250):
        fake.start("stock_count", f"manual__{number:03}")
    fake.tokens, now = {"good"}, [0.0]

    def slow(request: httpx.Request) -> httpx.Response:
        now[0] += 8.0
        return fake.handle(request)

    endpoint = HttpEndpoint("Airflow", URL, transport=httpx.MockTransport(slow))
    client = AirflowClient(endpoint, HttpAccount(lambda _: "good", None, None, "token"))
    client.deadline = Deadline(20.0, lambda: now[0])
    result = changes.read_changes(client, ALL_RUNS_PATH, "dag_runs", changes.AirflowCursor(EPOCH), keep=0.7)
    assert (100, True) == (len(result.rows), result.has_more)


def test_a_clear_is_a_further_attempt_of_the_same_period() -> None:
    fake = night()
    run = ended(fake, "load_orders")
    connector = opened(fake)
    first = latest(connector, "load_orders")
    fake.outcome.clear()
    fake.clear_run(["load_orders", run], {}, {"dry_run": False, "only_failed": True})
    fake.tick()
    second = latest(connector, "load_orders")
    assert (RunState.FAILED, RunState.SUCCEEDED) == (first.state, second.state)
    assert first.period_key == second.period_key
    assert first.attempt_key != second.attempt_key


def test_an_open_run_that_was_deleted_is_lost_and_not_ended() -> None:
    fake = night()
    ended(fake)
    connector = opened(fake)
    run = latest(connector, "stock_count")
    fake.runs.clear()
    fake.instances.clear()
    never = RunRef("stock_count", "p", "gone@-", run.native_ref.replace("scheduled", "manual"))
    poll = connector.poll("", (ref(run), never), 5)
    results = {run.attempt_key: (run.state, run.native_state, run.evidence) for run in poll.runs}
    assert (RunState.LOST, "deleted", RunEvidence.INFERRED) == results[run.attempt_key]
    assert (RunState.UNKNOWN, "deleted", RunEvidence.INFERRED) == results["gone@-"], "it was never seen to start"
    assert poll.complete


def test_an_open_attempt_that_was_cleared_unseen_is_unknown() -> None:
    fake = night()
    run = fake.start("load_orders")
    connector = opened(fake)
    first, cursor = latest_records(connector)
    fake.tick()
    fake.clear_run(["load_orders", run], {}, {"dry_run": False, "only_failed": True})
    fake.tick()
    known = next(run for run in first.values() if run.job == "load_orders")
    results = {
        run.attempt_key: run for run in connector.poll(cursor, (ref(known),), 5).runs if run.job == "load_orders"
    }
    assert (RunState.UNKNOWN, "cleared") == (results[known.attempt_key].state, results[known.attempt_key].native_state)
    assert 2 == len(results)


def tries_of(records: Iterable[RunRecord]) -> list[tuple[str, RunState, bool]]:
    """Number, state and whether the times are known, of the attempts of etl_fail.transform."""
    return [
        (run.attempt_key.partition("#")[2], run.state, None not in (run.started_at, run.ended_at))
        for run in sorted(records, key=lambda run: run.attempt_key)
        if run.job == "etl_fail.transform"
    ]


@pytest.fixture(params=sorted(BY_VERSION))
def retried(request: pytest.FixtureRequest) -> tuple[FakeAirflow, Connector, str]:
    """An Airflow, a connector to it, and the run whose one task is tried several times."""
    fake = FakeAirflow(etl_fail=("transform",))
    fake.tokens = {"inner"}
    return fake, BY_VERSION[request.param](fake), fake.start("etl_fail", "scheduled__2026-11-20T00:00:00+00:00")


def test_tries_that_came_and_went_between_two_polls_are_read_from_the_history(
    retried: tuple[FakeAirflow, Connector, str],
) -> None:
    fake, connector, run = retried
    first, cursor = latest_records(connector)
    known = next(run for run in first.values() if run.job == "etl_fail.transform")
    row = fake.tasks_of("etl_fail", run)[0]
    fake.retry(row)
    fake.retry(row)
    row |= {"state": "running", "try_number": 3, "start_date": stamp(fake.now), "_updated": fake.now}
    poll = connector.poll(cursor, (ref(known),), 5)
    red = RunState.FAILED
    assert [("1", red, True), ("2", red, True), ("3", RunState.RUNNING, False)] == tries_of(poll.runs)
    refs = [json.loads(run.native_ref) for run in poll.runs if run.job == "etl_fail.transform"]
    assert {1, 2, 3} == {at["try"] for at in refs}, "the log of each can be read"
    fake.requests.clear()
    row |= {"state": "success", "end_date": stamp(fake.now), "_updated": fake.now}
    again = connector.poll(poll.cursor, [ref(run) for run in poll.runs if run.state.is_open], 5)
    assert [("3", RunState.SUCCEEDED, True)] == tries_of(again.runs)
    assert not [path for _, path in fake.requests if path.endswith("/tries")], "a history is read once"


def test_a_history_is_read_again_where_the_poll_that_read_it_was_not_stored(
    retried: tuple[FakeAirflow, Connector, str],
) -> None:
    fake, connector, run = retried
    cursor = connector.poll("", (), 5).cursor
    fake.retry(fake.tasks_of("etl_fail", run)[0])
    lost, repeated = connector.poll(cursor, (), 5), connector.poll(cursor, (), 5)
    assert tries_of(lost.runs) == tries_of(repeated.runs)
    assert ("1", RunState.FAILED, True) in tries_of(repeated.runs)


def test_more_histories_than_one_poll_reads_follow_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "HISTORIES_PER_POLL", 2)
    fake = FakeAirflow(**{f"dag_{number}": ("only",) for number in range(5)})
    connector = opened(fake)
    for dag in fake.dags:
        fake.retry(fake.tasks_of(dag, fake.start(dag, f"manual__{dag}"))[0])
    seen, cursor = set[str](), ""
    for _ in range(3):
        poll = connector.poll(cursor, (), 5)
        cursor, seen = poll.cursor, seen | {run.job for run in poll.runs if run.state is RunState.FAILED}
    assert {f"dag_{number}.only" for number in range(5)} == seen


def test_a_try_that_the_history_lacks_is_unknown(retried: tuple[FakeAirflow, Connector, str]) -> None:
    fake, connector, run = retried
    fake.retry(fake.tasks_of("etl_fail", run)[0])
    fake.retry(fake.tasks_of("etl_fail", run)[0])
    del fake.history[0]
    [first, second, _] = tries_of(connector.poll("", (), 5).runs)
    assert (("1", RunState.UNKNOWN, False), ("2", RunState.FAILED, True)) == (first, second)


def test_runs_of_a_subdag_are_not_mixed_into_the_task_of_its_parent() -> None:
    fake = FakeAirflow(**{"etl": ("section",), "etl.section": ("inner",), "other.dag": ("inner",)})
    fake.tokens = {"inner"}
    connector = opened(fake, FakeAirflow2(fake, subdags={"etl.section"}).transport)
    for dag in fake.dags:
        fake.start(dag, f"manual__{dag}")
    fake.tick()
    fake.outcome["etl.section", "inner"] = "hang"
    fake.start("etl.section", "manual__hangs")
    fake.tick()
    results, cursor = latest_records(connector)
    assert ["etl", "etl.section", "other.dag", "other.dag.inner"] == sorted(run.job for run in results.values())
    paths = [path for _, path in fake.requests if path.endswith("/dags/etl.section")]
    latest_records(connector, cursor)
    assert [path for _, path in fake.requests if path.endswith("/dags/etl.section")] == paths, "asked once"


def test_the_answer_about_another_run_is_dropped_and_counted() -> None:
    fake = night()
    ended(fake)
    run = latest(opened(fake), "stock_count")

    def other(path: str, body: Any) -> Any:
        return {**body, "dag_run_id": "somebody_else"} if "/dagRuns/scheduled" in path else body

    fake.runs[0]["_updated"] = START - timedelta(days=400)
    cursor = opened(fake).poll("", (), 5).cursor
    poll = answering(fake, other).poll(cursor, (replace(ref(run), attempt_key="open"),), 5)
    assert ["the reply is about another run than requested"] == [skip.reason for skip in poll.skipped]


def test_f37_an_answer_about_other_tasks_is_dropped_and_counted_and_deletes_none_of_ours() -> None:
    fake = night()
    ended(fake)
    task = latest(opened(fake), "stock_count.count")

    def other(path: str, body: Any) -> Any:
        rows = body.get("task_instances", ()) if path.endswith("/list") else ()
        return {**body, "task_instances": [{**row, "dag_id": "somebody_else"} for row in rows]} if rows else body

    for row in fake.tasks_of("stock_count", fake.runs[0]["dag_run_id"]):
        row["_updated"] = START - timedelta(days=400)
    fake.runs[0]["_updated"] = START - timedelta(days=400)
    cursor = opened(fake).poll("", (), 5).cursor
    poll = answering(fake, other).poll(cursor, (replace(ref(task), attempt_key=task.attempt_key),), 5)
    assert ["the reply is about another task than requested"] == [skip.reason for skip in poll.skipped]
    assert [] == [run.native_state for run in poll.runs if run.native_state == "deleted"]


def test_an_unreadable_row_is_counted_and_the_rest_is_kept() -> None:
    fake = night()
    ended(fake)

    def spoil(path: str, body: Any) -> Any:
        if path.endswith("/dags/~/dagRuns"):
            body["dag_runs"] += [{"dag_id": 7}, "text", None]
        return body

    poll = answering(fake, spoil).poll("", (), 5)
    assert "stock_count" in {run.job for run in poll.runs}
    assert 3 == len(poll.skipped)
    assert ("dagRuns", 'the row is "text", not an object') == (poll.skipped[1].where, poll.skipped[1].reason)


def test_a_page_that_repeats_for_ever_ends_the_poll_as_incomplete() -> None:
    fake = night()
    ended(fake)

    def circle(path: str, body: Any) -> Any:
        return {**body, "next_cursor": "0"} if path.endswith("/dags/~/dagRuns") else body

    connector = answering(fake, circle)
    poll = connector.poll("", (), 5)
    assert not poll.complete
    assert not poll.more
    assert None is poll.seen_until
    assert poll.runs, "what was read is kept"
    assert "1970-01-01T00:00:00+00:00" == json.loads(poll.cursor)["runs"]["since"], "the walk begins again"


def test_a_server_that_no_longer_knows_its_page_begins_the_walk_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "PAGES_PER_POLL", 1)
    fake = FakeAirflow(stock_count=("count",))
    for number in range(150):
        fake.start("stock_count", f"manual__{number:03}")
    fake.tick()
    cursor = opened(fake).poll("", (), 5).cursor

    def forgotten(path: str, body: Any) -> Any:
        bad = httpx.Response(400, json=recorded("dagRuns_bad_cursor"))
        return bad if path.endswith("/dags/~/dagRuns") else body

    poll = answering(fake, forgotten).poll(cursor, (), 5)
    assert not poll.complete
    assert "" == json.loads(poll.cursor)["runs"]["page"]
    assert 150 == len(
        [run for run in latest_records(opened(fake), poll.cursor)[0].values() if run.job == "stock_count"]
    )


def test_servers_without_cursors_are_walked_by_offset_with_an_overlap() -> None:
    fake = FakeAirflow(stock_count=("count",))
    for number in range(250):
        fake.start("stock_count", f"manual__{number:03}")
    fake.tick()
    requests: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params.get("offset", 0))
        url = request.url.copy_set_param("cursor", str(offset)) if "updated_at_gte" in str(request.url) else request.url
        reply = fake.handle(httpx.Request(request.method, url, headers=request.headers, content=request.content))
        body = reply.json()
        if "updated_at_gte" in str(request.url):
            requests.append(str(offset))
            body.pop("next_cursor")
        return httpx.Response(reply.status_code, json=body, headers={"date": reply.headers["date"]})

    chosen = {"url": URL, "username": "headway", "password": {"env": "UNREAD"}}
    connector = AirflowConnector(AirflowOptions.model_validate(chosen), lambda _: "right", httpx.MockTransport(handle))
    runs, _ = latest_records(connector)
    assert 250 == len([run for run in runs.values() if run.job == "stock_count"])
    assert ["0", "80", "160"] == requests[:3]


@each_row("cursor", ["no json", "[]", '{"runs": {"since": "yesterday"}, "tasks": {}}', "[" * 9999])
def test_a_cursor_that_cannot_be_read_brings_history_again_with_a_warning(cursor: str) -> None:
    fake = night()
    ended(fake)
    poll = opened(fake).poll(cursor, (), 5)
    assert poll.runs
    assert poll.warnings[0].startswith(CURSOR_UNREADABLE)


def test_an_unknown_state_is_unknown_and_named_once() -> None:
    fake = night()
    run = ended(fake)
    fake.tasks_of("stock_count", run)[0]["state"] = "awaiting_moon"
    poll = opened(fake).poll("", (), 5)
    assert ("task state 'awaiting_moon' is not known to Headway",) == poll.warnings
    assert {"stock_count": RunState.SUCCEEDED, "stock_count.count": RunState.UNKNOWN} == {
        run.job: run.state for run in poll.runs
    }


def test_only_the_selected_dags_are_watched() -> None:
    fake = night()
    ended(fake, "load_orders")
    ended(fake, "stock_count")
    connector = opened(fake, dags=("stock_*",))
    assert {"stock_count", "stock_count.count"} == {job for job, _ in latest_records(connector)[0]}
    assert {"stock_count", "stock_count.count"} == {job.native_id for job in connector.inventory("", 5).jobs}


@pytest.mark.parametrize("body", [{"dag_runs": None}, {"dag_runs": {}}, {"something": []}])
def test_a_list_that_is_none_is_no_empty_list(body: Any) -> None:
    fake = night()
    connector = answering(fake, lambda path, _: body if path.endswith("/dags/~/dagRuns") else _)
    with pytest.raises(SystemUnreachable, match="has no list 'dag_runs'; is this Airflow"):
        connector.poll("", (), 5)


def test_a_login_page_is_refused_access_and_no_empty_estate() -> None:
    fake = night()
    page = httpx.Response(200, html="<html>Sign in</html>")
    connector = answering(fake, lambda path, body: page if "/api/v2/dags" in path else body)
    with pytest.raises(AccessRefused, match="is a web page"):
        connector.poll("", (), 5)
    with pytest.raises(AccessRefused, match="is a web page"):
        connector.inventory("", 5)


def test_an_open_run_that_is_not_ours_is_left_alone() -> None:
    fake = night()
    poll = opened(fake).poll("", (RunRef("stock_count", "2026-11-20T03:00:00Z", "missed", ""),), 5)
    assert () == poll.runs
    assert poll.complete


def test_history_is_read_in_the_order_of_its_making_and_what_changed_by_change() -> None:
    """By change there is no index: of a million runs, each page of a first poll would read them all."""
    fake, parameters = night(), list[httpx.QueryParams]()
    fake.start("stock_count")
    fake.tick()

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v2/dags/~/dagRuns":
            parameters.append(request.url.params)
        return fake.handle(request)

    connector = opened(fake, httpx.MockTransport(handle))
    cursor = connector.poll("", (), 5).cursor
    connector.poll(cursor, (), 5)
    assert [("id", False), ("updated_at", True)] == [
        (query_params["order_by"], "updated_at_gte" in query_params) for query_params in parameters
    ]


def walked(
    page: Callable[[int, httpx.URL], tuple[list[Any], str | None]], since: datetime
) -> list[changes.AirflowChangePages]:
    """Each poll's part of a walk through pages that `page` gives by their number."""
    request_count = 0

    def handle(request: httpx.Request) -> httpx.Response:
        nonlocal request_count
        rows, following = page(request_count, request.url)
        request_count += 1
        body = {"dag_runs": rows, "total_entries": 50_000, "next_cursor": following}
        return httpx.Response(200, json=body, headers={"date": DATE})

    endpoint = HttpEndpoint("Airflow", URL, transport=httpx.MockTransport(handle))
    client = AirflowClient(endpoint, HttpAccount(lambda _: "good", None, None, "token"))
    client.deadline = Deadline(60.0)
    results = [changes.read_changes(client, ALL_RUNS_PATH, "dag_runs", changes.AirflowCursor(since), keep=0.0)]
    while results[-1].has_more and len(results) < 50:
        results.append(changes.read_changes(client, ALL_RUNS_PATH, "dag_runs", results[-1].mark, keep=0.0))
    return results


def test_rows_that_come_again_in_a_circle_longer_than_a_page_end_the_walk() -> None:
    """Under cursors that are ever new."""
    results = walked(lambda number, _: ([{"dag_run_id": f"r{number % 23}"}], f"c{number}"), START)
    assert (True, False) == (results[-1].broken.endswith("a page repeats"), results[-1].has_more)
    assert 5 <= len(results) <= 8, "found within a few times its length"
    assert 23 == len({row["dag_run_id"] for result in results for row in result.rows}), "what was read is kept"


def test_a_page_without_rows_that_names_another_ends_the_walk() -> None:
    results = walked(lambda number, _: ([], f"c{number}"), START)
    assert ["dag_runs: a page without rows names another"] == [result.broken for result in results]


def test_runs_that_are_touched_at_each_page_do_not_keep_a_walk_going() -> None:
    """A hundred that run are changed each second, and come again at the end of the list as long as it is read."""
    running, requests = [{"dag_run_id": f"r{number}"} for number in range(100)], list[str]()

    def page(number: int, url: httpx.URL) -> tuple[list[Any], str | None]:
        requests.append(url.params.get("updated_at_lte", ""))
        is_over = url.params.get("updated_at_lte") is not None and number > 0
        return ([], None) if is_over else (running, f"c{number}")

    results = walked(page, START)
    assert [("", False)] == [(result.broken, result.has_more) for result in results]
    assert ["", "2026-11-20T04:00:10"] == [request[:19] for request in requests]
    assert results[0].mark.since == datetime(2026, 11, 20, 4, 0, 10, tzinfo=UTC) - changes.OVERLAP
