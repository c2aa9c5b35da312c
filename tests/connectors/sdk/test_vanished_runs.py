"""What becomes of an open run that its source no longer lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.sdk.records import RunRef
from connectors.sdk.states import RunEvidence, RunState
from connectors.sdk.vanished_runs import no_longer_listed, row_deleted, state_past_retention

NOW = datetime(2026, 11, 20, 3, 20, tzinfo=UTC)


def run(hours: float | None, period: str = "2026-11-20") -> RunRef:
    started = None if hours is None else NOW - timedelta(hours=hours)
    return RunRef("load", period, "17", '{"run": 17}', started)


def test_a_run_that_was_seen_to_start_is_lost_and_nothing_else_of_it_changes() -> None:
    run_record = no_longer_listed(run(1), "deleted", "it was deleted")
    assert (RunState.LOST, RunEvidence.INFERRED, "deleted", "it was deleted") == (
        run_record.state,
        run_record.evidence,
        run_record.native_state,
        run_record.message,
    )
    assert ("load", "17", "2026-11-20", '{"run": 17}', run(1).started_at) == (
        run_record.job,
        run_record.attempt_key,
        run_record.period_key,
        run_record.native_ref,
        run_record.started_at,
    )
    assert run_record.ended_at is None, "nobody knows when"


def test_a_run_that_only_waited_is_unknown() -> None:
    assert RunState.UNKNOWN is no_longer_listed(run(None), "deleted", "").state


def test_a_row_that_was_deleted_says_nothing_of_its_run() -> None:
    assert (RunState.UNKNOWN, None) == (row_deleted(run(1, "")).state, row_deleted(run(1, "")).period_key)


@pytest.mark.parametrize("hours, state", [(1, None), (24 * 8, RunState.UNKNOWN), (None, None)])
def test_what_began_before_the_source_forgets_may_have_ended_well(hours: float | None, state: RunState | None) -> None:
    assert state == state_past_retention(run(hours), timedelta(days=7), NOW)
