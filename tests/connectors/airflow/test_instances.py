"""Open tasks that an answer does not name: which of them were deleted, and which are unknown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from connectors.airflow import runs
from connectors.sdk.conformance.world import ref
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.records import RunRef
from connectors.sdk.states import RunState
from tests.connectors.airflow.support import latest, night, opened
from tests.connectors.airflow.test_poll import answering
from tests.fakes.airflow import START, FakeAirflow
from tests.rows import each_row

CHECK, LOAD, COUNT = "load_orders.check", "load_orders.load", "stock_count.count"


def an_old_night() -> tuple[FakeAirflow, str, tuple[RunRef, ...]]:
    """Two DAGs have run; nothing of them changed lately; a cursor, and three of their tasks as if they were open."""
    fake = night()
    for dag in ("load_orders", "stock_count"):
        fake.start(dag)
    fake.tick()
    tasks = tuple(ref(latest(opened(fake), job)) for job in (CHECK, LOAD, COUNT))
    for row in (*fake.runs, *fake.instances):
        row["_updated"] = START - timedelta(days=400)
    return fake, opened(fake).poll("", (), 5).cursor, tasks


def deleted_jobs(
    fake: FakeAirflow,
    cursor: str,
    tasks: tuple[RunRef, ...],
    change: Callable[[list[Any]], list[Any]],
    cut: bool = False,
) -> set[str]:
    """Jobs whose tasks are called gone, where the rows of the answer about them pass through `change`; `cut`: they are
    some of as many as the answer says."""

    def changed(path: str, body: Any) -> Any:
        if not path.endswith("/list"):
            return body
        rows = change(body["task_instances"])
        return {**body, "task_instances": rows, "total_entries": body["total_entries"] if cut else len(rows)}

    poll = answering(fake, changed).poll(cursor, tasks, 5)
    return {run.job for run in poll.runs if run.native_state == "deleted"}


def without(rows: list[Any], *tasks: str) -> list[Any]:
    return [row for row in rows if row["task_id"] not in tasks]


def test_a_task_that_never_reads_holds_no_other_open() -> None:
    fake, cursor, tasks = an_old_night()
    assert {LOAD, COUNT} == deleted_jobs(
        fake, cursor, tasks, lambda rows: [row | {"id": 7} for row in without(rows, "load", "count")]
    )


def test_a_row_without_its_task_may_be_any_of_its_run() -> None:
    fake, cursor, tasks = an_old_night()
    assert {COUNT} == deleted_jobs(
        fake, cursor, tasks, lambda rows: [row | {"task_id": None} for row in without(rows, "load", "count")]
    )


@each_row("row", [None, "text", {}, {"dag_id": 7, "dag_run_id": "", "task_id": []}])
def test_a_row_that_names_nothing_may_be_any(row: Any) -> None:
    fake, cursor, tasks = an_old_night()
    assert set() == deleted_jobs(fake, cursor, tasks, lambda _: [row])


def test_omitted_pages_prove_no_deletion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MAX_LISTED", 1)
    fake, cursor, tasks = an_old_night()
    assert set() == deleted_jobs(fake, cursor, tasks, lambda rows: without(rows, "load", "count") * 100, cut=True)
    assert {LOAD, COUNT} == deleted_jobs(fake, cursor, tasks, lambda rows: without(rows, "load", "count"))


def test_a_truncated_page_proves_no_deletion_before_the_others_are_read() -> None:
    """[api] maximum_page_limit: of two tasks one comes in each page."""
    fake, cursor, tasks = an_old_night()
    fake.page_limit = 1
    assert set() == deleted_jobs(fake, cursor, tasks, list, cut=True)


@pytest.mark.parametrize("body", [{}, {"task_instances": None}, {"task_instances": {}}])
def test_an_answer_without_a_list_is_no_empty_list(body: Any) -> None:
    fake, cursor, tasks = an_old_night()
    connector = answering(fake, lambda path, payload: body if path.endswith("/list") else payload)
    with pytest.raises(SystemUnreachable, match="has no list 'task_instances'"):
        connector.poll(cursor, tasks, 5)


@pytest.mark.parametrize("repeated", [False, True])
def test_mapped_instances_are_no_success_where_one_of_them_does_not_read(repeated: bool) -> None:
    """A mapped task is reported only when all of its instances can be read."""
    fake, cursor, tasks = an_old_night()
    row = fake.tasks_of("stock_count", fake.runs[-1]["dag_run_id"])[0]
    row["map_index"] = 0
    values = {name: value for name, value in row.items() if name != "_updated"}
    other = values | {"id": fake._uuid(), "map_index": 1, "state": "failed"}
    if not repeated:
        row["_updated"] = fake.now
    open_runs = tasks[-1:] if repeated else ()

    def spoiled(path: str, body: Any) -> Any:
        return {**body, "task_instances": [*body["task_instances"], other | broken]} if path.endswith("/list") else body

    broken: dict[str, Any] = {"try_number": "one"}
    poll = answering(fake, spoiled).poll(cursor, open_runs, 5)
    assert (1, []) == (len(poll.skipped), [run.state for run in poll.runs if run.job == COUNT])
    broken.clear()
    poll = answering(fake, spoiled).poll(cursor, open_runs, 5)
    assert [RunState.FAILED] == [run.state for run in poll.runs if run.job == COUNT]


def test_a_run_is_no_full_success_where_a_failed_task_of_it_does_not_read() -> None:
    fake = night()
    fake.start("stock_count")
    fake.tick()
    values = {name: value for name, value in fake.instances[0].items() if name != "_updated"}
    row = values | {"state": "failed", "try_number": "one"}
    connector = answering(fake, lambda path, body: {"task_instances": [row]} if path.endswith("/list") else body)
    run = next(run for run in connector.poll("", (), 5).runs if run.job == "stock_count")
    assert (RunState.PARTIAL, True) == (run.state, "count (cannot be read)" in run.message)
