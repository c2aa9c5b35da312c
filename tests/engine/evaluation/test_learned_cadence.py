"""A job without a schedule over a real store: what its starts teach is a row, and goes when a start comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connectors.sdk.states import RunState
from console.domain.ids import utc_minute
from console.domain.text import render, text_of
from console.store.meta import next_changed_seq
from tests.engine.bench import Bench
from tests.engine.conftest import bench

__all__ = ["bench"]

HALF_HOUR = timedelta(minutes=30)


def planned(bench: Bench) -> list[tuple[str, str, str]]:
    with bench.reads() as reads:
        rows = reads.link.rows(
            "SELECT r.state, r.evidence, r.reason FROM run r JOIN job j ON j.id = r.job_id"
            " WHERE j.native_id = 'extract' AND r.state IN ('planned', 'missed') ORDER BY r.period_us"
        )
    return [(str(state), str(evidence), render(text_of(reason), utc_minute)) for state, evidence, reason in rows]


def taught(bench: Bench, last: datetime) -> None:
    for number in range(12):
        bench.scheduler.attempt(
            "extract", f"a{number}", RunState.SUCCEEDED, last - number * HALF_HOUR, period_key=f"p{number}"
        )
    bench.turn()
    bench.turn()


def test_the_next_start_is_a_row_that_a_start_replaces(bench: Bench) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    taught(bench, now - timedelta(minutes=10))
    [result] = planned(bench)
    assert ("planned", "inferred") == result[:2]
    assert "usually every 30m (learned: 100% of 12 starts)" == result[2]
    bench.scheduler.attempt("extract", "a99", RunState.RUNNING, now, period_key="p99")
    bench.turn()
    assert 1 == len(planned(bench))
    with bench.reads() as reads:
        [next_at] = reads.link.rows("SELECT period_us FROM run WHERE state = 'planned'")
    assert now + HALF_HOUR == datetime.fromtimestamp(next_at[0] / 1e6, UTC)


def test_a_learned_run_that_does_not_come_is_missed_by_inference_and_notified_once(bench: Bench) -> None:
    """Of what was due before the job was first seen nobody is notified, so it was seen before."""
    bench.poller.poll_once(bench.fence)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE schedule SET accepted_us = accepted_us - 7200000000")
        connection.rows(f"UPDATE job SET changed_seq = {next_changed_seq(connection)}")
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    taught(bench, now - timedelta(minutes=70))
    [result] = planned(bench)
    assert ("missed", "inferred") == result[:2]
    bench.turn()
    assert 1 == len(bench.sink.got)
