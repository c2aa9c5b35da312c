"""A task that waits for a slot says when its pool is full."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connectors.airflow import parse
from connectors.sdk.contract import Connector
from connectors.sdk.states import RunState
from tests.connectors.airflow.support import latest, latest_records, opened
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow2 import FakeAirflow2
from tests.fakes.airflow_actions import recorded
from tests.rows import each_row

ON: dict[int, Callable[[FakeAirflow], Connector]] = {
    2: lambda fake: opened(fake, FakeAirflow2(fake).transport),
    3: opened,
}
FULL = {"name": "default_pool", "slots": 2, "open_slots": 0, "scheduled_slots": 1}


def waiting(*pools: dict[str, object]) -> FakeAirflow:
    fake = FakeAirflow(load=("extract",), idle=("look",))
    fake.outcome["load", "extract"] = "slot"
    fake.pools = [dict(pool) for pool in pools]
    for dag in fake.dags:
        fake.start(dag)
    fake.tick()
    return fake


@pytest.mark.parametrize("version", ON)
def test_a_full_pool_is_why_a_task_waits(version: int) -> None:
    task = latest(ON[version](waiting(FULL)), "load.extract")
    assert (RunState.WAITING, "slot", "pool default_pool is full (2 slots)") == (task.state, task.reason, task.message)


@each_row(
    "pool",
    [
        {**FULL, "open_slots": 1},
        {**FULL, "slots": -1, "open_slots": -1},
        {**FULL, "name": "other"},
        {**FULL, "slots": "two"},
        {"name": 5},
    ],
)
def test_a_pool_with_room_is_not_why(pool: dict[str, object]) -> None:
    assert "" == latest(opened(waiting(pool)), "load.extract").message


def test_pools_are_requested_once_per_poll_and_not_again_after_a_refusal() -> None:
    fake = waiting()
    connector = opened(fake)
    _, cursor = latest_records(connector)
    for _ in range(3):
        cursor = connector.poll(cursor, (), 5).cursor
    assert 1 == fake.requests.count(("GET", "/api/v2/pools"))


def test_pools_are_not_requested_where_nothing_waits_for_a_slot() -> None:
    fake = waiting(FULL)
    fake.outcome.clear()
    fake.instances[0]["state"] = None
    fake.tick()
    latest_records(opened(fake))
    assert ("GET", "/api/v2/pools") not in fake.requests


def test_a_task_names_a_pool_of_its_own_in_its_definition() -> None:
    row = {**recorded("tasks")["tasks"][0], "pool": "warehouse"}
    definition = parse.parse_definition("etl", {}, [row])
    assert definition.tasks[0].definition.endswith(", pool warehouse")
    plain = parse.parse_definition("etl", {}, [{**row, "pool": "default_pool"}])
    assert "pool" not in plain.tasks[0].definition


@pytest.mark.parametrize("version", ON)
def test_a_chain_of_tasks_in_one_pool_takes_one_slot_of_it(version: int) -> None:
    fake = waiting({**FULL, "name": "warehouse", "slots": 3, "open_slots": 3})
    fake.pool_of = {"load": "warehouse"}
    jobs = {job.native_id: job for job in ON[version](fake).inventory("", 5).jobs}
    assert [("warehouse", 3), ("", None)] == [(jobs[dag].pool, jobs[dag].slots) for dag in ("load", "idle")]


def test_tasks_in_several_pools_or_in_parallel_take_an_unknown_number_of_slots() -> None:
    row = {**recorded("tasks")["tasks"][0], "pool": "warehouse"}
    first, last = {**row, "task_id": "a", "downstream_task_ids": ["b"]}, {**row, "task_id": "b"}
    last["downstream_task_ids"] = []
    assert "warehouse" == parse.parse_definition("etl", {}, [first, last]).pool
    assert "" == parse.parse_definition("etl", {}, [first, {**last, "pool": "other"}]).pool
    assert "" == parse.parse_definition("etl", {}, [{**first, "downstream_task_ids": []}, last]).pool


def test_an_account_without_the_right_to_read_pools_reports_no_limit() -> None:
    fake = waiting()
    fake.pool_of = {"load": "warehouse"}
    [dag] = [job for job in opened(fake).inventory("", 5).jobs if job.native_id == "load"]
    assert ("warehouse", None) == (dag.pool, dag.slots)
