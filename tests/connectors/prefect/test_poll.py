"""Following Prefect: the walk, the feed of events, attempts, task runs that are not green, and nasty replies."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.prefect import parse
from connectors.prefect.connector import PrefectConnector
from connectors.prefect.options import PrefectOptions
from connectors.sdk.conformance.world import ref
from connectors.sdk.errors import AccessRefused, SystemUnreachable
from connectors.sdk.states import RunEvidence, RunState
from tests.connectors.prefect.support import ORDERS, STOCK, URL, latest_records, opened
from tests.corpus import HOSTILE
from tests.fakes.prefect import FakePrefect, recorded
from tests.rows import each_row


def test_a_recorded_run_whose_history_has_a_rerun_is_two_attempts() -> None:
    steps = [parse.parse_run_state(row) for row in recorded("flow_run_states")]
    row = {**recorded("flow_runs_filter")[0], "id": "6e28d7f0-c57d-4106-8123-54308e1c77c8", "run_count": 2}
    first, second = parse.run_records(row, "etl/daily", steps, (), "https://prefect.example.com")
    assert ("6e28d7f0-c57d-4106-8123-54308e1c77c8", "6e28d7f0-c57d-4106-8123-54308e1c77c8@0002") == (
        first.attempt_key,
        second.attempt_key,
    )
    assert (RunState.SUCCEEDED, RunState.SUCCEEDED) == (first.state, second.state)
    assert (first.ended_at, second.queued_at) == (steps[4].at, steps[5].at)


def test_a_server_whose_scheduled_deployments_have_no_worker_starts_nothing() -> None:
    fake = FakePrefect(ORDERS, STOCK)

    def stopped(**options: Any) -> str:
        connector = opened(fake, **options)
        connector.inventory("", 5)
        return connector.poll("", (), 5).stopped or ""

    idle = {"status": "NOT_READY", "schedules": [{"active": True}], "work_pool_name": "night"}
    for row in fake.deployments.values():
        row |= {**idle, "last_polled": None}
    assert "" == stopped(), "its first worker may be about to come"
    for row in fake.deployments.values():
        row |= {"last_polled": "2026-11-20T02:11:00Z"}
    assert "prefect worker start --pool night" in stopped()
    fake.deployments[STOCK]["paused"] = True
    assert "of its 1 scheduled" in stopped()
    fake.deployments[STOCK] |= {"paused": False, "status": "READY"}
    assert "" == stopped(), "one pool of several is no stopped server"
    assert "of its 1 scheduled" in stopped(deployments=[ORDERS]), "other workers do not run the watched ones"


@pytest.mark.parametrize(
    "name, state, term",
    [
        ("flow_runs_filter", RunState.SUCCEEDED, "Completed"),
        ("flow_run_crashed", RunState.FAILED, "Crashed"),
        ("flow_run_late", RunState.QUEUED, "Late"),
    ],
)
def test_recorded_runs_have_their_mapped_and_native_state(name: str, state: RunState, term: str) -> None:
    row = recorded(name)
    row = row[0] if isinstance(row, list) else row
    (run,) = parse.run_records(row, "etl/daily", (), (), "")
    assert (state, term, RunEvidence.NATIVE) == (run.state, run.native_state, run.evidence)


def test_a_run_that_is_completed_with_failed_tasks_is_partial_and_names_them() -> None:
    fake = FakePrefect(ORDERS)
    fake.outcome[ORDERS] = "partial"
    run = fake.start(ORDERS)
    fake.tick(5)
    fake.task(run, "load-29a", "PENDING", "NotReady")
    fake.task(run, "late-1", "PENDING", "Pending")
    record = latest_records(opened(fake))[0][run["id"]]
    assert (RunState.PARTIAL, "Completed") == (record.state, record.native_state)
    assert "tasks not green: load-29a (NotReady), transform-3d7 (Failed)" == record.message


def test_a_retry_by_prefect_itself_ends_its_first_attempt_as_failed() -> None:
    fake = FakePrefect(ORDERS)
    run = fake.start(ORDERS)
    fake.set(run, "PENDING")
    fake.set(run, "RUNNING")
    fake.set(run, "SCHEDULED", "AwaitingRetry")
    fake.set(run, "RUNNING", "Retrying")
    fake.set(run, "COMPLETED")
    fake.now += timedelta(seconds=5)
    runs = latest_records(opened(fake))[0]
    assert [RunState.FAILED, RunState.SUCCEEDED] == [runs[run["id"]].state, runs[f"{run['id']}@0002"].state]


def test_a_rerun_that_crashes_before_it_runs_does_not_change_the_attempt_before() -> None:
    fake = FakePrefect(ORDERS)
    run = fake.start(ORDERS)
    fake.tick(5)
    fake.set(run, "SCHEDULED", "AwaitingRetry")
    fake.now += timedelta(seconds=30)
    fake.set(run, "CRASHED")
    fake.now += timedelta(seconds=5)
    runs = latest_records(opened(fake))[0]
    assert [RunState.SUCCEEDED, RunState.FAILED] == [runs[run["id"]].state, runs[f"{run['id']}@0002"].state]


def test_what_the_clock_made_ahead_is_no_run_and_changes_come_by_events() -> None:
    fake = FakePrefect(ORDERS, STOCK)
    ahead = (fake.now + timedelta(hours=1)).isoformat()
    fake.start(STOCK, auto_scheduled=True, expected_start_time=ahead, next_scheduled_start_time=ahead)
    connector = opened(fake)
    runs, cursor = latest_records(connector)
    assert {} == runs
    run = fake.start(ORDERS)
    fake.set(run, "RUNNING")
    fake.now += timedelta(seconds=90)
    runs, cursor = latest_records(connector, cursor)
    assert {run["id"]: RunState.RUNNING} == {key: run.state for key, run in runs.items()}
    before = len(fake.requests)
    latest_records(connector, cursor)
    assert 3 >= len(fake.requests) - before


@pytest.mark.deep
def test_many_events_are_read_in_pages_by_their_token_and_none_is_lost() -> None:
    fake = FakePrefect(ORDERS)
    connector = opened(fake)
    _, cursor = latest_records(connector)
    runs = {fake.start(ORDERS)["id"] for _ in range(700)}
    fake.tick(5)
    results, _ = latest_records(connector, cursor)
    assert runs == results.keys()
    assert all(run.state is RunState.SUCCEEDED for run in results.values())


@pytest.mark.deep
def test_a_long_history_is_walked_in_pages_each_run_once() -> None:
    fake = FakePrefect(ORDERS)
    at = fake.now.isoformat()
    runs = {fake.start(ORDERS, expected_start_time=at)["id"] for _ in range(450)}
    fake.tick(5)
    runs |= {fake.start(ORDERS)["id"] for _ in range(450)}
    fake.tick(5)
    connector = opened(fake)
    first = connector.poll("", (), 20)
    assert first.more
    results, _ = latest_records(connector, first.cursor)
    assert runs == {run.attempt_key for run in first.runs} | results.keys()


def test_without_events_runs_are_followed_by_start_and_end_with_a_notice() -> None:
    fake = FakePrefect(ORDERS)
    connector = opened(fake)
    _, cursor = latest_records(connector)
    fake.events = False
    run = fake.start(ORDERS)
    fake.tick(5)
    poll = connector.poll(cursor, (), 5)
    assert [(run["id"], RunState.SUCCEEDED)] == [(run.attempt_key, run.state) for run in poll.runs]
    assert ["Prefect's events cannot be read (404): their start and end are read instead"] == list(poll.warnings)


def test_an_absence_longer_than_the_retained_events_is_walked_again_and_reported_as_a_gap() -> None:
    fake = FakePrefect(ORDERS)
    connector = opened(fake)
    _, cursor = latest_records(connector)
    fake.now += timedelta(days=9)
    run = fake.start(ORDERS)
    fake.feed.clear()
    fake.tick(5)
    poll = connector.poll(cursor, (), 5)
    assert [run["id"]] == [run.attempt_key for run in poll.runs]
    assert "events are kept for seven days" in poll.gaps[0].reason


def test_a_deleted_run_is_lost_and_never_green() -> None:
    fake = FakePrefect(ORDERS)
    fake.outcome[ORDERS] = "hang"
    run = fake.start(ORDERS)
    fake.tick(5)
    connector = opened(fake)
    runs, cursor = latest_records(connector)
    fake.runs.clear()
    fake.feed.clear()
    (run_record,) = connector.poll(cursor, [ref(runs[run["id"]])], 5).runs
    assert (RunState.LOST, RunEvidence.INFERRED) == (run_record.state, run_record.evidence)


def test_an_open_run_of_a_deleted_deployment_keeps_its_job() -> None:
    fake = FakePrefect(ORDERS)
    fake.outcome[ORDERS] = "hang"
    run = fake.start(ORDERS)
    fake.tick(5)
    runs, cursor = latest_records(opened(fake))
    fake.set(run, "COMPLETED")
    run["deployment_id"] = None
    fake.deployments.clear()
    (run_record,) = opened(fake).poll(cursor, [ref(runs[run["id"]])], 5).runs
    assert (ORDERS, RunState.SUCCEEDED) == (run_record.job, run_record.state)


def test_an_automation_that_runs_a_deployment_is_an_edge() -> None:
    row = {
        "enabled": True,
        "trigger": {
            "type": "compound",
            "triggers": [
                {
                    "posture": "Reactive",
                    "expect": ["prefect.flow-run.Completed"],
                    "match_related": {"prefect.resource.id": "prefect.deployment.952c5a2f-8e04-4250-9f64-93ac1ab7d5d0"},
                }
            ],
        },
        "actions": [{"type": "run-deployment", "deployment_id": "f8be58b8-224f-4986-af28-e0e54e89216c"}],
    }
    watched, runs = parse.automation_edges(row)
    assert {"prefect.deployment.952c5a2f-8e04-4250-9f64-93ac1ab7d5d0"} == watched
    assert {"f8be58b8-224f-4986-af28-e0e54e89216c"} == runs
    assert (set(), set()) == parse.automation_edges({**row, "enabled": False})


# what is not as it should be


def through(answer: Callable[[httpx.Request], httpx.Response | None], fake: FakePrefect) -> PrefectConnector:
    """A connector whose replies are those of the fake, but where `answer` has one."""
    options = PrefectOptions.model_validate({"url": URL})
    transport = httpx.MockTransport(lambda request: answer(request) or fake.answer(request))
    return PrefectConnector(options, lambda reference: "", transport, settle_seconds=0.0)


def plain(status: int, content: bytes, kind: str = "application/json", **headers: str) -> httpx.Response:
    return httpx.Response(status, content=content, headers={"content-type": kind, **headers})


@each_row(
    "reply, error",
    [
        (plain(200, b"<html>Log in</html>", "text/html"), AccessRefused),
        (plain(200, b'[{"id": "6e28'), SystemUnreachable),
        (plain(200, b'{"detail": "no list"}'), SystemUnreachable),
        (plain(200, b"[\xff\xfe]"), SystemUnreachable),
        (plain(302, b"", location="https://elsewhere.example.com"), AccessRefused),
        (plain(401, b'{"exception_message": "Unauthorized"}'), AccessRefused),
        (plain(403, b'{"detail": "Forbidden"}'), AccessRefused),
        (plain(429, b"{}"), SystemUnreachable),
        (plain(503, b'{"exception_message": "Service Unavailable"}'), SystemUnreachable),
    ],
)
def test_a_list_of_runs_that_cannot_be_read_is_an_error_and_no_empty_night(
    reply: httpx.Response, error: type[Exception]
) -> None:
    fake = FakePrefect(ORDERS)
    content, headers, status = reply.content, reply.headers, reply.status_code

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("/flow_runs/filter"):
            return httpx.Response(status, content=content, headers=headers)
        return None

    with pytest.raises(error):
        through(answer, fake).poll("", (), 5)


def test_retry_after_is_handed_on() -> None:
    with pytest.raises(SystemUnreachable) as raised:
        through(lambda _: plain(429, b"{}", **{"retry-after": "17"}), FakePrefect(ORDERS)).poll("", (), 5)
    assert 17 == raised.value.retry_after_seconds


def test_unreadable_rows_are_counted_and_the_others_kept() -> None:
    fake = FakePrefect(ORDERS)
    good, nan, twice, other = (fake.start(ORDERS) for _ in range(4))
    fake.tick(5)
    nan["total_run_time"] = float("nan")
    nan["run_count"] = "two"
    fake.runs.append(twice)
    other["id"] = "no id"
    poll = opened(fake).poll("", (), 5)
    assert {good["id"], twice["id"]} == {run.attempt_key for run in poll.runs}
    assert ["flow_runs", "flow_runs"] == [skip.where for skip in poll.skipped]


def test_an_answer_about_other_runs_is_dropped_and_deletes_nothing() -> None:
    fake = FakePrefect(ORDERS)
    fake.outcome[ORDERS] = "hang"
    start, other = fake.start(ORDERS), fake.start(ORDERS)
    fake.tick(5)
    runs, cursor = latest_records(opened(fake))
    fake.feed.clear()
    rows = json.dumps([{name: value for name, value in other.items() if not name.startswith("_")}]).encode()

    def answer(request: httpx.Request) -> httpx.Response | None:
        return plain(200, rows) if request.url.path.endswith("/flow_runs/filter") else None

    poll = through(answer, fake).poll(cursor, [ref(runs[start["id"]])], 5)
    assert ((), False) == (poll.runs, poll.complete)


def test_a_page_that_repeats_for_ever_ends_the_inventory_as_incomplete() -> None:
    fake = FakePrefect(ORDERS)
    rows = json.dumps([{**fake.deployments[ORDERS]}] * 200).encode()

    def answer(request: httpx.Request) -> httpx.Response | None:
        return plain(200, rows) if request.url.path.endswith("/deployments/filter") else None

    inventory = through(answer, fake).inventory("", 5)
    assert (False, (ORDERS,)) == (inventory.complete, tuple(job.native_id for job in inventory.jobs))


def test_a_list_of_runs_that_ignores_the_filter_is_an_error_and_no_endless_walk() -> None:
    fake = FakePrefect(ORDERS)
    for _ in range(200):
        fake.start(ORDERS)
    fake.tick(60)
    rows = json.dumps([{name: item for name, item in row.items() if not name.startswith("_")} for row in fake.runs])

    def answer(request: httpx.Request) -> httpx.Response | None:
        return plain(200, rows.encode()) if request.url.path.endswith("/flow_runs/filter") else None

    with pytest.raises(SystemUnreachable, match="does not start at the requested position"):
        through(answer, fake).poll("", (), 20)


def test_a_server_whose_clock_is_an_hour_off_is_followed_by_its_own_time() -> None:
    fake = FakePrefect(ORDERS)
    fake.now -= timedelta(hours=1)
    connector = opened(fake)
    _, cursor = latest_records(connector)
    run = fake.start(ORDERS)
    fake.tick(5)
    assert {run["id"]} == latest_records(connector, cursor)[0].keys()


def test_hostile_text_stays_data() -> None:
    plain_row = recorded("flow_runs_filter")[0]
    for hostile in HOSTILE:
        state = {**plain_row["state"], "message": hostile}
        row = {**plain_row, "name": hostile, "tags": [hostile], "state": state, "state_type": "FAILED"}
        (run,) = parse.run_records(row, "etl/daily", (), (), "")
        assert RunState.FAILED is run.state
        json.dumps(dict(run.context)).encode()


# signing in


def test_a_password_goes_as_basic_and_is_read_again_once_when_it_is_refused() -> None:
    fake, given, seen = FakePrefect(ORDERS), iter(["old", "new"]), list[str]()

    def answer(request: httpx.Request) -> httpx.Response | None:
        seen.append(base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode())
        return plain(401, b"{}") if seen[-1].endswith("old") else None

    chosen: dict[str, Any] = {"url": URL, "username": "headway", "password": {"env": "UNREAD"}}
    transport = httpx.MockTransport(lambda request: answer(request) or fake.answer(request))
    connector = PrefectConnector(PrefectOptions.model_validate(chosen), lambda _: next(given), transport, 0.0)
    assert connector.probe(5).reachable
    assert ["headway:old", "headway:new"] == seen[:2]


@pytest.mark.parametrize(
    "chosen",
    [
        {"url": "http://prefect.example.com/api"},
        {"url": URL, "username": "me"},
        {"url": URL, "token": {"env": "A"}, "username": "me", "password": {"env": "B"}},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"https://|belong together|a token needs no"):
        PrefectOptions.model_validate(chosen)
