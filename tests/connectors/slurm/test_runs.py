"""Rows of accounting and lines of the queue about the same parts."""

from __future__ import annotations

import pytest

from connectors.slurm.parse import PartGroup, QueueRow
from connectors.slurm.runs import with_queue

SUBMIT = 1_780_000_000


def accounted(part: str, count: int, native: str = "PENDING") -> PartGroup:
    return PartGroup(
        "7", SUBMIT, 0, native, "", count, 0, 0, (part,), "None", "etl", "", "main", "nightly", "/srv", "load",
        "sbatch load.sh",
    )  # fmt: skip


def queued(part: str, native: str = "PENDING", reason: str = "Priority") -> QueueRow:
    return QueueRow(part, "7", native, reason, SUBMIT, 0, 0, "10", "etl", "", "main", "", "", "load")


@pytest.mark.parametrize("part, count", [("7_[4-9]", 6), ("7_[9]", 1)])
def test_waiting_parts_that_both_show_are_one_group_of_the_queue(part: str, count: int) -> None:
    running = accounted("7_1", 1, "RUNNING")
    first, waiting = with_queue([running, accounted(part, count)], [queued(part)])
    assert running == first
    assert (count, (part,), "Priority") == (waiting.count, waiting.parts, waiting.reason)
    assert ("nightly", "/srv", "sbatch load.sh") == (waiting.comment, waiting.folder, waiting.line), "by accounting"


def test_waiting_parts_of_accounting_give_way_to_those_of_the_queue() -> None:
    [waiting] = with_queue([accounted("7_[4-9]", 6)], [queued("7_[5-9]")])
    assert (5, ("7_[5-9]",)) == (waiting.count, waiting.parts)


@pytest.mark.parametrize("part, count", [("7_[4-9]", 6), ("7_[9]", 1), ("7", 1)])
def test_a_part_that_the_queue_shows_twice_is_one_group(part: str, count: int) -> None:
    lines = [queued(part), queued(part, reason="Resources")]
    assert [count] == [item.count for item in with_queue([accounted(part, count)], lines)]
    assert [count] == [item.count for item in with_queue([], lines)]
