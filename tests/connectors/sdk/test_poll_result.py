"""Records are sent again wherever they may not have been stored."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.sdk.poll_result import ReportedRuns
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState

AT = datetime(2026, 11, 19, 3, 10, tzinfo=UTC)


def ended(key: str) -> RunRecord:
    return RunRecord("load", key, RunState.SUCCEEDED, "COMPLETED", started_at=AT, ended_at=AT)


def test_records_reported_with_a_returned_cursor_are_not_reported_again() -> None:
    reported, item, two = ReportedRuns(), ended("1"), ended("2")
    assert (item,) == reported.new([item], "a", "b")
    assert (two,) == reported.new([item, two], "b", "c")
    assert () == reported.new([item, two], "c", "c")


def test_records_reported_with_an_unmoved_cursor_are_repeated_until_it_moves() -> None:
    """Within one second of a source whose cursor counts seconds: records are sent again after a busy store."""
    reported, item, two = ReportedRuns(), ended("1"), ended("2")
    reported.new([item], "a", "b")
    assert [(two,)] * 2 == [reported.new([item, two], "b", "b") for _ in range(2)]
    assert (two,) == reported.new([item, two], "b", "c")
    assert () == reported.new([item, two], "c", "c")
