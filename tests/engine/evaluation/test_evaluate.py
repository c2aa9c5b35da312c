"""The ends of logs in an evaluation."""

from __future__ import annotations

from datetime import timedelta

from connectors.sdk.states import RunState
from tests.engine.bench import Bench
from tests.present import present


def test_the_end_of_a_log_is_notified_with_the_latest_failure(bench: Bench) -> None:
    for number in range(3):
        at = present() - timedelta(minutes=3 - number)
        bench.scheduler.attempt("extract", f"a{number}", RunState.FAILED, at, period_key=f"p{number}")
        bench.scheduler.logs[f"a{number}"] = f"line of attempt {number}"
    bench.turn()
    bench.turn()
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
