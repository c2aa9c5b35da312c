"""A failed log against the last good one: what is new, what is missing, and the first line that speaks of an error."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.text import normalize
from console.text.cleaning import clean
from console.text.normalize import LINES, SHOWN, error_line, log_difference

GOOD = """\
2026-11-19 03:10:01,120 INFO [pid 4711] connecting to db07
2026-11-19 03:10:02,004 INFO [pid 4711] 40120 rows read
2026-11-19 03:12:44,900 INFO [pid 4711] written in 162.9s
2026-11-19 03:12:44,901 INFO [pid 4711] done
"""
BAD = """\
2026-11-20 03:10:01,340 INFO [pid 812] connecting to db07
2026-11-20 03:10:02,119 INFO [pid 812] 39987 rows read
2026-11-20 03:10:05,700 WARN [pid 812] retrying
2026-11-20 03:10:09,000 ERROR [pid 812] column "vat" does not exist
2026-11-20 03:10:09,001 INFO [pid 812] rolled back
"""


def test_only_what_differs_beyond_times_pids_and_counts_is_shown() -> None:
    difference = log_difference(BAD, GOOD)
    assert ["retrying", 'column "vat" does not exist', "rolled back"] == [
        name.split("] ")[1] for name in difference.new
    ]
    assert ["written in 162.9s", "done"] == [name.split("] ")[1] for name in difference.missing]
    assert difference.first_error.endswith('column "vat" does not exist')


def test_without_a_new_error_line_the_first_that_there_is_is_named() -> None:
    assert "connection refused" == log_difference("connection refused\nbye", "connection refused\n").first_error
    assert "" == log_difference("hello", "").first_error


def test_a_line_that_reports_only_the_consequence_is_the_first_error_where_nothing_else_is() -> None:
    assert "load failed with exit code 1" == log_difference("done\nload failed with exit code 1", "done").first_error


@pytest.mark.parametrize("summary", ["Tasks: 3 ok, 0 failed", "failed: 0", "error=0, failed=0"])
def test_a_count_of_no_failures_is_no_error(summary: str) -> None:
    assert "ORA-00942 bad" == error_line(f"ORA-00942 bad\n{summary}")


def test_the_same_line_more_often_is_new_as_often_as_it_is_more() -> None:
    difference = log_difference("retry 1\nretry 2\nretry 3\n", "retry 1\n")
    assert ("retry 2", "retry 3") == difference.new


def test_hostile_lines_are_cleaned() -> None:
    difference = log_difference("\x1b]52;c;aGk=\x07bad\x1b[2J\u202e\x00error", "")
    assert all(line == clean(line) and line.isprintable() for line in difference.new)


@pytest.mark.quiet
def test_a_huge_log_takes_a_bounded_time_and_is_counted() -> None:
    began = time.thread_time()
    difference = log_difference("\n".join(f"{letter}{'x' * 400}" for letter in "abcdefghij" * 5000), "y\n" * 50_000)
    assert (SHOWN, LINES) == (len(difference.new), difference.new_count)
    assert time.thread_time() - began < 20


LOGS = st.lists(st.text(max_size=30), max_size=30).map("\n".join)


@given(LOGS)
def test_a_log_does_not_differ_from_itself(log: str) -> None:
    difference = log_difference(log, log)
    assert ((), ()) == (difference.new, difference.missing)


@given(LOGS, LOGS)
def test_what_is_new_here_is_what_is_missing_there(one: str, other: str) -> None:
    here, there = log_difference(one, other), log_difference(other, one)
    assert (here.new_count, here.missing_count) == (there.missing_count, there.new_count)


def test_the_lines_above_one_that_no_other_outdoes_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation reads the log of each open incident: with all 60 lines of 5,000 logs it lasted seconds longer."""
    read = list[str]()
    precision = normalize._precision

    def noted(line: str) -> int:
        read.append(line)
        return precision(line)

    monkeypatch.setattr(normalize, "_precision", noted)
    log = "\n".join([*(f"loading part {number}" for number in range(60)), "ERROR: no such table", "exit status 1"])
    assert ("ERROR: no such table", ["exit status 1", "ERROR: no such table"]) == (error_line(log), read)
