"""Notes: our marks and people's words live side by side, and people's words come out as they were."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.airflow import parse
from connectors.airflow.marks import end_of, mark_of, marked, with_hold
from connectors.contract import HoldMark, State
from connectors.holdnotes import hold_mark, holds_in, without_hold
from tests.connectors.airflow.support import URL
from tests.corpus import HOSTILE
from tests.fakes.airflow_acts import recorded

KEY, OTHER = "headway-0123456789abcdef", "headway-fedcba9876543210"
UNTIL = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
HOLD = hold_mark(KEY, "ada", UNTIL)
LINE = "headway-hold id=headway-0123456789abcdef by=ada until=2026-11-20T06:30:00Z"


@pytest.mark.parametrize("note", ["", "seen by Ada", "two\nlines\n", "  spaced  ", "\n", *HOSTILE[:60]])
def test_a_released_hold_leaves_every_note_as_it_was(note: str) -> None:
    held = with_hold(note, HOLD)
    assert held is not None
    assert [HOLD] == holds_in(held)
    assert note == without_hold(held, KEY)


def test_what_people_add_below_a_hold_stays() -> None:
    assert "a\nb" == without_hold(f"a\n{LINE}\nb", KEY)
    assert "b" == without_hold(f"{LINE}\nb", KEY)


def test_another_hold_is_not_taken_away() -> None:
    assert LINE == without_hold(LINE, OTHER)


def test_a_new_hold_stands_in_the_place_of_one_that_was_left_behind() -> None:
    assert f"a\n{HOLD.text}" == with_hold(f"a\n{hold_mark(OTHER, 'bob', UNTIL).text}", HOLD)


def test_a_note_without_room_is_not_cut_for_a_hold() -> None:
    assert None is with_hold("x" * 950, HOLD)


@pytest.mark.parametrize(
    "by, written", [("ada", "ada"), ("", "headway"), ("Ada L. [x]", "Ada_L.__x_"), ("a" * 99, "a" * 64)]
)
def test_a_name_is_written_so_that_it_can_be_read_again(by: str, written: str) -> None:
    mark = hold_mark(KEY, by, UNTIL)
    assert (written, mark) == (mark.by, HoldMark.read(mark.text))


def test_a_mark_never_cuts_a_hold_and_cuts_peoples_words_at_their_end() -> None:
    long = marked(mark_of(KEY), f"{'x' * 990}\n{LINE}")
    assert 1000 == len(long)
    assert long.startswith(f"{mark_of(KEY)}\nxxx")
    assert long.endswith(f"x\n{LINE}")


def test_the_mark_of_a_rerun_stays_beside_that_of_a_cancel() -> None:
    rerun, cancel = mark_of(OTHER, "q1", "q2"), mark_of(KEY, "q2", word="cancel")
    note = marked(cancel, f"{rerun}\nseen by Ada", keep_reruns=True)
    assert f"{cancel}\n{rerun}\nseen by Ada" == note
    assert ("cancel", "") == (end_of(note, "q2"), end_of(note, "q3"))
    assert f"{mark_of(KEY, 'q2')}\nseen by Ada" == marked(mark_of(KEY, "q2"), note)


@pytest.mark.parametrize(
    "native, word, was, state, message",
    [
        ("failed", "cancel", "Q", State.CANCELLED, "cancelled by Headway"),
        ("success", "mark_ok", "Q", State.SUCCEEDED, "marked OK by Headway"),
        ("success", "skip", "Q", State.SKIPPED, "skipped by Headway"),
        ("failed", "cancel", "another attempt", State.FAILED, ""),
        ("success", "cancel", "Q", State.SUCCEEDED, ""),
        ("failed", "skip", "Q", State.FAILED, ""),
    ],
)
def test_an_end_that_we_made_is_told_by_our_word_for_that_attempt_only(
    native: str, word: str, was: str, state: State, message: str
) -> None:
    row = {**recorded("dagRuns_updated_since")["dag_runs"][0], "state": native}
    note = mark_of(KEY, row["queued_at"] if was == "Q" else was, word=word)
    run = parse.run({**row, "note": note}, URL)
    assert (state, native, message) == (run.state, run.native_state, run.message)


def test_the_period_of_a_run_that_we_started_is_what_it_is_for_not_when_it_was_started() -> None:
    row = recorded("dagRuns_updated_since")["dag_runs"][0] | {
        "run_type": "manual",
        "dag_run_id": "headway__0123456789abcdef",
    }
    row |= {"run_after": "2026-11-20T05:12:13Z", "logical_date": "2026-11-20T04:00:00Z"}
    exact = {"data_interval_start": "2026-11-20T04:00:00Z", "data_interval_end": "2026-11-20T04:00:00Z"}
    assert "2026-11-20T04:00:00Z" == parse.run(row | exact, URL).period_key
    whole = {"data_interval_start": "2026-11-20T04:00:00Z", "data_interval_end": "2026-11-20T05:00:00Z"}
    assert "2026-11-20T05:00:00Z" == parse.run(row | whole, URL).period_key
    none = {"logical_date": None, "data_interval_start": None, "data_interval_end": None}
    assert "headway__0123456789abcdef" == parse.run(row | none, URL).period_key
