"""The queue of finished runs: each comes once it has ended, none is left out, and none of a task."""

from __future__ import annotations

import pytest

from connectors.sdk.records import JobRecord
from connectors.sdk.states import RunState
from console.domain.ids import micros
from console.domain.inventory import InventoryChanges
from console.store import run_export
from console.store.ingest.inventory import write_inventory
from console.store.run_export import FinishedRun, count_open_runs, next_finished_runs, save_export_cursor
from tests.store.estate import EXTRACT, JOBS, MIDNIGHT, Estate, at, failed, run, running

SINCE_US = micros(at("00:00"))


def exported(night: Estate) -> list[FinishedRun]:
    """The next runs, as an exporter takes them."""
    runs, cursor = next_finished_runs(night.store, SINCE_US)
    save_export_cursor(night.store, cursor, None)
    return runs


def test_runs_before_the_first_call_and_of_before_yesterday_are_left_out(night: Estate) -> None:
    night.ingest(run(period="01:10"))
    assert [] == exported(night)
    night.ingest(
        run(period="02:10", attempt="2"), run(JOBS[1], "02:10", started_at=None, ended_at=at("00:00").replace(day=18))
    )
    [only] = exported(night)
    assert (EXTRACT, "2026-11-20T02:10:00Z", "succeeded", 1, 0, "") == (
        only.job, only.period_key, only.state, only.attempts, only.exit_code, only.url,
    )  # fmt: skip
    assert (micros(at("02:10")), micros(at("02:15"))) == (only.started_us, only.ended_us)


def test_a_run_comes_when_it_ends_and_again_after_a_rerun(night: Estate) -> None:
    exported(night)
    night.ingest(running(native_url="https://etl.example.com/1"))
    assert [] == exported(night)
    night.ingest(failed(native_url="https://etl.example.com/1"))
    assert [("failed", 1, 1, "https://etl.example.com/1")] == [
        (run.state, run.attempts, run.exit_code, run.url) for run in exported(night)
    ]
    assert [] == exported(night)
    night.ingest(run(attempt="2", started_at=at("03:30"), ended_at=at("03:40")), now="03:50")
    assert [("succeeded", 2, micros(at("03:30")))] == [
        (run.state, run.attempts, run.started_us) for run in exported(night)
    ]


def test_batches_leave_out_no_run_of_a_transaction(night: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs of a poll have one changed_seq, and a batch may end among them."""
    monkeypatch.setattr(run_export, "BATCH", 2)
    exported(night)
    night.ingest(*(run(period=f"02:0{minute}", attempt=f"{minute}") for minute in range(5)))
    night.ingest(running(period="02:00", job=JOBS[1]))
    batches = [exported(night) for _ in range(4)]
    assert [2, 2, 1, 0] == list(map(len, batches))
    assert 5 == len({run.period_key for batch in batches for run in batch})


def test_a_batch_that_is_not_saved_comes_again(night: Estate) -> None:
    exported(night)
    night.ingest(run())
    first, _ = next_finished_runs(night.store, SINCE_US)
    assert first == exported(night)
    assert [] == exported(night)


def test_runs_of_tasks_and_of_unwatched_jobs_are_left_out(night: Estate) -> None:
    task = JobRecord(f"{JOBS[0]}/copy", parent=JOBS[0])
    write_inventory(night.store, night.host, InventoryChanges(new=(task,), hash="h2"), MIDNIGHT, None)
    with night.store.write(None) as session:
        session.rows("UPDATE job SET unwatched = TRUE WHERE native_id = ?", (JOBS[1],))
    exported(night)
    night.ingest(run(task.native_id), run(JOBS[1]), run(JOBS[2], state=RunState.SKIPPED, started_at=None))
    assert [("skipped", micros(at("03:15")))] == [(run.state, run.started_us) for run in exported(night)]
    assert {} == count_open_runs(night.store)
    night.ingest(*(running(job, "02:00", "2") for job in (task.native_id, *JOBS)))
    night.ingest(running(JOBS[2], "02:10", "3", state=RunState.QUEUED, started_at=None))
    assert {"running": 2, "queued": 1} == count_open_runs(night.store)
