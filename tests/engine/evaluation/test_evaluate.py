"""The reads of one evaluation: only the ends of logs that it notifies are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from connectors.sdk.states import RunState
from console.store.db.database import Database
from console.store.ingest import batch as store_logs
from tests.engine.bench import Bench
from tests.present import present


def test_log_tails_are_read_for_notifications_and_not_at_every_evaluation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that fails every minute for a weekend leaves thousands of them."""
    read: list[Sequence[int]] = []
    tails_of = store_logs.tails_of

    def counted(store: Database, run_ids: Sequence[int]) -> dict[int, str]:
        read.append(run_ids)
        return tails_of(store, run_ids)

    monkeypatch.setattr(store_logs, "tails_of", counted)
    for number in range(3):
        at = present() - timedelta(minutes=3 - number)
        bench.scheduler.attempt("extract", f"a{number}", RunState.FAILED, at, period_key=f"p{number}")
        bench.scheduler.logs[f"a{number}"] = f"line of attempt {number}"
    bench.turn()
    bench.turn()
    assert 1 == len(read)
    ((_, _, body),) = bench.sink.got
    assert ["  | line of attempt 2"] == [line for line in body.splitlines() if "line of attempt" in line]


def test_a_failed_tasks_log_is_notified_with_its_dag(bench: Bench) -> None:
    bench.scheduler.job("dag")
    bench.scheduler.job("dag.publish", parent="dag")
    bench.scheduler.attempt("dag", "d1", RunState.FAILED, present(), period_key="p")
    bench.scheduler.attempt("dag.publish", "t1", RunState.FAILED, present(), period_key="p")
    bench.scheduler.logs["t1"] = "KeyError: 'orders'"
    bench.turn()
    ((_, title, body),) = bench.sink.got
    assert "fake/dag" in title
    assert "  | KeyError: 'orders'" in body.splitlines()
