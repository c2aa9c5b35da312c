"""Attempts that the row of a run does not count, and more red tasks than one page after another may hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.sdk.conformance.world import ref
from connectors.sdk.states import RunState
from tests.connectors.prefect.support import ORDERS, latest_records, opened
from tests.fakes.prefect import FakePrefect


def crashed() -> tuple[FakePrefect, dict[str, Any]]:
    """A run whose pod never started, which somebody tries again."""
    fake = FakePrefect(ORDERS)
    run = fake.start(ORDERS)
    fake.set(run, "PENDING")
    fake.now += timedelta(seconds=60)
    fake.set(run, "CRASHED", message="the pod could not start")
    fake.now += timedelta(seconds=5)
    return fake, run


def test_a_rerun_after_a_crash_before_it_ran_is_a_second_attempt_at_every_step() -> None:
    fake, run = crashed()
    connector, second = opened(fake), f"{run['id']}@0002"
    runs, cursor = latest_records(connector)
    assert {run["id"]: RunState.FAILED} == {key: run.state for key, run in runs.items()}
    for kind, name, state in (
        ("SCHEDULED", "AwaitingRetry", RunState.RETRYING),
        ("PENDING", "", RunState.QUEUED),
        ("RUNNING", "", RunState.RUNNING),
        ("COMPLETED", "", RunState.SUCCEEDED),
    ):
        fake.set(run, kind, name)
        fake.now += timedelta(seconds=5)
        new, cursor = latest_records(connector, cursor)
        runs |= new
        assert [RunState.FAILED, state] == [runs[run["id"]].state, runs[second].state]
    again = latest_records(opened(fake))[0]
    assert [RunState.FAILED, RunState.SUCCEEDED] == [again[run["id"]].state, again[second].state]


@pytest.mark.parametrize("end", ["CRASHED", "CANCELLED"])
def test_a_rerun_that_ends_before_it_ran_as_well_is_a_second_attempt(end: str) -> None:
    fake, run = crashed()
    fake.set(run, "SCHEDULED", "AwaitingRetry")
    fake.set(run, "PENDING")
    fake.set(run, end)
    fake.now += timedelta(seconds=5)
    assert {run["id"], f"{run['id']}@0002"} == latest_records(opened(fake))[0].keys()


def test_the_history_of_a_run_is_read_once_for_each_of_its_states() -> None:
    fake, run = crashed()
    fake.set(run, "SCHEDULED", "AwaitingRetry")
    fake.set(run, "RUNNING")
    connector = opened(fake)
    runs, cursor = latest_records(connector)
    for _ in range(3):
        fake.now += timedelta(seconds=5)
        cursor = connector.poll(cursor, [ref(run) for run in runs.values() if run.state.is_open], 5).cursor
    assert 1 == sum("flow_run_states" in path for _, path, _ in fake.requests)


def test_red_tasks_of_one_run_hide_none_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.prefect.runs.TASK_PAGES", 2)
    fake = FakePrefect(ORDERS)
    runs = [fake.start(ORDERS) for _ in range(3)]
    fake.tick(5)
    fake.task(runs[0], "load")
    for number in range(500):
        fake.task(runs[1], f"part-{number}")
    poll = opened(fake).poll("", (), 20)
    states = {run.attempt_key: run.state for run in poll.runs}
    assert [RunState.PARTIAL, RunState.PARTIAL, RunState.SUCCEEDED] == [states[run["id"]] for run in runs]
    assert any("400 or more tasks" in warning for warning in poll.warnings)


def test_a_run_whose_tasks_cannot_all_be_read_is_not_green(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.prefect.runs.TASK_PAGES", 2)
    fake = FakePrefect(ORDERS)
    run = fake.start(ORDERS)
    fake.tick(5)
    for number in range(500):
        fake.task(run, f"part-{number}", "PENDING", "Pending")
    assert RunState.PARTIAL is latest_records(opened(fake))[0][run["id"]].state


def test_a_server_too_slow_for_one_poll_is_read_to_the_end_by_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is not requested again, so each poll gets further though the mark stays."""
    fake = FakePrefect(ORDERS)
    connector = opened(fake)
    _, cursor = latest_records(connector)
    runs = [fake.start(ORDERS) for _ in range(9)]
    for run in runs:
        fake.set(run, "CRASHED")
    fake.now += timedelta(seconds=90)
    request_count = 0

    def is_late(_: object) -> bool:
        return sum("flow_run_states" in path for _, path, _ in fake.requests) >= request_count + 2

    monkeypatch.setattr("connectors.prefect.runs.PrefectPoller._is_late", property(is_late))
    seen: set[str] = set()
    for _ in range(6):
        request_count = sum("flow_run_states" in path for _, path, _ in fake.requests)
        poll = connector.poll(cursor, (), 5)
        cursor, seen = poll.cursor, seen | {run.attempt_key for run in poll.runs}
    assert ({run["id"] for run in runs}, True, 9) == (seen, poll.complete, request_count)
