"""Notes: the hold marks and people's words live side by side, and people's words come out as they were."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from connectors.airflow import parse
from connectors.airflow.connector import AirflowConnector
from connectors.airflow.parse import action_mark, ending_verb, note_with_hold, note_with_mark
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import ActionUnknown, HoldMark
from connectors.sdk.marked_pause import holds_in, without_hold
from connectors.sdk.states import RunState
from tests.connectors.airflow.support import URL, allowed
from tests.connectors.airflow.test_holds import held_night, hold, quiet_night, release
from tests.corpus import HOSTILE
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow_actions import recorded
from tests.rows import each_row

KEY, OTHER = "headway-0123456789abcdef", "headway-fedcba9876543210"
UNTIL = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
HOLD = HoldMark(KEY, "ada", UNTIL)
LINE = "headway-hold id=headway-0123456789abcdef by=ada until=2026-11-20T06:30:00Z"


@each_row("note", ["", "seen by Ada", "two\nlines\n", "  spaced  ", "\n", *HOSTILE[:60]])
def test_a_released_hold_leaves_every_note_as_it_was(note: str) -> None:
    held = note_with_hold(note, HOLD)
    assert held is not None
    assert [HOLD] == holds_in(held)
    assert note == without_hold(held, KEY)


def test_what_people_add_below_a_hold_stays() -> None:
    assert "a\nb" == without_hold(f"a\n{LINE}\nb", KEY)
    assert "b" == without_hold(f"{LINE}\nb", KEY)


def test_another_hold_is_not_removed() -> None:
    assert LINE == without_hold(LINE, OTHER)


def test_a_new_hold_replaces_one_that_was_left_behind() -> None:
    assert f"a\n{HOLD.text}" == note_with_hold(f"a\n{HoldMark(OTHER, 'bob', UNTIL).text}", HOLD)


def test_a_note_without_room_is_not_cut_for_a_hold() -> None:
    assert None is note_with_hold("x" * 950, HOLD)


def test_a_mark_never_cuts_a_hold_and_cuts_the_text_of_people_at_their_end() -> None:
    long = note_with_mark(action_mark(KEY), f"{'x' * 990}\n{LINE}")
    assert 1000 == len(long)
    assert long.startswith(f"{action_mark(KEY)}\nxxx")
    assert long.endswith(f"x\n{LINE}")


def test_the_mark_of_a_rerun_stays_beside_that_of_a_cancel() -> None:
    rerun, cancel = action_mark(OTHER, "q1", "q2"), action_mark(KEY, "q2", verb="cancel")
    note = note_with_mark(cancel, f"{rerun}\nseen by Ada", keep_reruns=True)
    assert f"{cancel}\n{rerun}\nseen by Ada" == note
    assert ("cancel", "") == (ending_verb(note, "q2"), ending_verb(note, "q3"))
    assert f"{action_mark(KEY, 'q2')}\nseen by Ada" == note_with_mark(action_mark(KEY, "q2"), note)


@each_row(
    "native, term, was, state, message",
    [
        ("failed", "cancel", "Q", RunState.CANCELLED, "cancelled by Headway"),
        ("success", "mark_ok", "Q", RunState.SUCCEEDED, "marked OK by Headway"),
        ("success", "skip", "Q", RunState.SKIPPED, "skipped by Headway"),
        ("failed", "cancel", "another attempt", RunState.FAILED, ""),
        ("success", "cancel", "Q", RunState.SUCCEEDED, ""),
        ("failed", "skip", "Q", RunState.FAILED, ""),
    ],
)
def test_an_end_caused_by_headway_is_attributed_to_that_attempt_only(
    native: str, term: str, was: str, state: RunState, message: str
) -> None:
    row = {**recorded("dagRuns_updated_since")["dag_runs"][0], "state": native}
    note = action_mark(KEY, row["queued_at"] if was == "Q" else was, verb=term)
    run = parse.run_record({**row, "note": note}, URL)
    assert (state, native, message) == (run.state, run.native_state, run.message)


def test_the_period_of_a_run_that_we_started_is_what_it_is_for_not_when_it_was_started() -> None:
    row = recorded("dagRuns_updated_since")["dag_runs"][0] | {
        "run_type": "manual",
        "dag_run_id": "headway__0123456789abcdef",
    }
    row |= {"run_after": "2026-11-20T05:12:13Z", "logical_date": "2026-11-20T04:00:00Z"}
    exact = {"data_interval_start": "2026-11-20T04:00:00Z", "data_interval_end": "2026-11-20T04:00:00Z"}
    assert "2026-11-20T04:00:00Z" == parse.run_record(row | exact, URL).period_key
    whole = {"data_interval_start": "2026-11-20T04:00:00Z", "data_interval_end": "2026-11-20T05:00:00Z"}
    assert "2026-11-20T05:00:00Z" == parse.run_record(row | whole, URL).period_key
    none = {"logical_date": None, "data_interval_start": None, "data_interval_end": None}
    assert "headway__0123456789abcdef" == parse.run_record(row | none, URL).period_key


def held_again() -> tuple[FakeAirflow, AirflowConnector, str, str]:
    """A person resumed the DAG and left the mark; by a hold above it the DAG is paused again."""
    fake, connector, old = held_night()
    fake.paused.discard("stock_count")
    fake.start("stock_count", "manual__2")
    fake.tick()
    new = new_key()
    connector.act(allowed(connector, hold()), new, 5)
    return fake, connector, old, new


def test_a_mark_below_a_newer_hold_is_reported_as_left_and_not_as_removed() -> None:
    fake, connector, old, new = held_again()
    assert [(new, False), (old, True)] == [(hold.mark.id, hold.bare) for hold in connector.holds(5, ["stock_count"])]
    preview = allowed(connector, replace(release(old), parameters={"hold": old, "enable": "no"}))
    connector.act(preview, new_key(), 5)
    assert [(new, False)] == [(hold.mark.id, hold.bare) for hold in connector.holds(5, ["stock_count"])]
    assert {"stock_count"} == fake.paused


def test_each_mark_of_a_dag_resumed_by_a_person_is_reported() -> None:
    fake, connector, old, new = held_again()
    fake.paused.clear()
    assert [(new, True), (old, True)] == [(hold.mark.id, hold.bare) for hold in connector.holds(5, ["stock_count"])]


def test_a_hold_is_not_written_below_the_mark_of_another() -> None:
    """Which of two marks has the pause is decided by their order alone."""
    fake, connector = quiet_night()
    fake.start("stock_count", "manual__2", note="x" * 880)
    fake.tick()
    run = fake.runs[-1]
    mark = HoldMark(new_key(), "ada", datetime(2026, 11, 20, 6, 30, tzinfo=UTC))
    run["note"] = f"{run['note']}\n{mark.text}"
    longer = hold(by="somebody.with.a.name.that.is.long")
    assert "whose note has room" in str(connector.preview(longer, 5).refused)


def test_a_dag_of_unknown_pause_state_is_neither_held_nor_free() -> None:
    fake, connector, key = held_night()
    preview = allowed(connector, release(key))
    fake.paused.clear()
    fake.details_of["stock_count"] = {"is_paused": None}
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionUnknown)
    assert () == connector.holds(5, ["stock_count"])
