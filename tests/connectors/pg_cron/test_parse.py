"""Rows of pg_cron to records: recorded ones, odd ones, and any bytes at all."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.pg_cron import parse
from connectors.sdk.conformance.world import check_run
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import cursor_or_first, digest
from connectors.sdk.job_agent import native_ids
from connectors.sdk.records import JobRecord, RunRecord, Schedule
from connectors.sdk.sequence_cursor import SequenceCursor
from connectors.sdk.states import ProofLevel, RunEvidence, RunState
from tests.corpus import HOSTILE
from tests.fakes.pg_cron import FakePgCron
from tests.rows import each_row

NIGHT = FakePgCron()
BOOK = parse.PgCronJobNames().with_jobs(NIGHT.jobs)
NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)


def at(hour: int, minute: int, second: int = 0, microsecond: int = 0) -> datetime:
    return datetime(2026, 11, 20, hour, minute, second, microsecond, tzinfo=UTC)


def run_of(runid: int) -> RunRecord:
    return parse.run(next(row for row in NIGHT.runs if row["runid"] == runid), BOOK)


def test_recorded_rows_become_records() -> None:
    reported = [(run.job, run.state, run.message) for run in (parse.run(row, BOOK) for row in NIGHT.runs[:7])]
    assert [
        ("two", RunState.FAILED, "ERROR:  division by zero"),
        ("nodb", RunState.FAILED, "connection failed"),
        ("load_orders", RunState.SUCCEEDED, "1 row"),
        ("long", RunState.FAILED, "ERROR:  canceling statement due to user request"),
        ("#5", RunState.SUCCEEDED, "2 rows"),
        ("bad", RunState.FAILED, "ERROR:  division by zero"),
        ("app:load_orders", RunState.SUCCEEDED, "1 row"),
    ] == reported
    for row in NIGHT.runs:
        check_run(parse.run(row, BOOK))


def test_times_are_microseconds_of_the_row() -> None:
    run = run_of(3)
    assert (at(8, 28, 0, 4760), at(8, 28, 0, 6448)) == (run.started_at, run.ended_at)


def test_a_run_that_a_restart_cut_is_failed_without_an_end() -> None:
    run = run_of(11)
    assert (RunState.FAILED, "server restarted", None) == (run.state, run.message, run.ended_at)
    assert parse.is_settled(run, NOW)


def test_a_running_row_is_open_and_has_no_message() -> None:
    run = run_of(37)
    assert (RunState.RUNNING, RunEvidence.NATIVE, None, "") == (run.state, run.evidence, run.ended_at, run.message)


def test_a_recorded_entry_becomes_a_job() -> None:
    row = NIGHT.jobs[0]
    expected = JobRecord(
        native_id="refresh_revenue",
        title="refresh_revenue",
        schedule=Schedule("pg_cron", "30 4 * * *", "UTC"),
        definition="refresh materialized view concurrently revenue",
        definition_hash=digest((row["command_hash"], "ops", "lab", "127.0.0.1", 5432)),
        match_keys=("jobid:1",),
        proof=ProofLevel.EXIT,
        run_as="lab",
    )
    assert expected == parse.job(row, "refresh_revenue", "UTC")


def test_the_paused_entry_is_paused() -> None:
    assert [True] == [parse.job(row, "x", "UTC").paused for row in NIGHT.jobs if row["jobname"] == "paused"]


def test_names_that_repeat_between_users_or_stand_for_numbers_stay_apart() -> None:
    rows: list[dict[str, Any]] = [
        {"jobid": 9, "jobname": "#7", "username": "b"},
        {"jobid": 7, "jobname": None, "username": "a"},
        {"jobid": 8, "jobname": "load", "username": "b"},
        {"jobid": 2, "jobname": "load", "username": "a"},
    ]
    assert {2: "load", 7: "#7", 8: "b:load", 9: "b:#7"} == native_ids(rows)


@each_row(
    "version, setting, expected",
    [
        ("1.4-1", None, "UTC"),
        ("1.4-1", "Europe/Berlin", "UTC"),
        ("1.6", "GMT", "UTC"),
        ("1.6", "Europe/Berlin", "Europe/Berlin"),
        ("1.6", None, "UTC"),
    ],
)
def test_the_zone_is_gmt_until_the_setting_exists(version: str, setting: str | None, expected: str) -> None:
    assert expected == parse.zone_of({"version": version, "timezone": setting})


@each_row("text", ["Infinity", "-Infinity", "NaN", "99999999999999999", "-99999999999999", "x", ""])
def test_times_outside_every_calendar_are_none_and_kept_as_text(text: str) -> None:
    row = NIGHT.runs[2] | {"started": text}
    run = parse.run(row, BOOK)
    assert run.started_at is None
    assert {"database": "ops", "times that no calendar holds": {"started": text}, "rows": 1} == run.context


def test_rows_without_a_start_take_it_from_their_neighbours() -> None:
    """runids follow the launcher, so the next row's start is moments later; the last row has only "now"."""
    rows: list[dict[str, Any]] = [
        {"runid": 1, "started": None},
        {"runid": 2, "started": "1795163340"},
        {"runid": 3, "started": None},
        {"runid": 4, "started": "1795163400"},
        {"runid": 5, "started": None},
    ]
    known = {1: at(8, 29), 3: at(8, 30)}
    assert known | {5: NOW} == parse.start_bounds(rows, NOW, is_live=True)
    assert known | {5: at(8, 30)} == parse.start_bounds(rows, at(23, 59), is_live=False)


@each_row(
    "schedule, zone, now, expected",
    [
        ("44 6 20 11 *", "UTC", at(6, 43), at(6, 44)),
        ("44 7 20 11 *", "Europe/Berlin", at(6, 43), at(6, 44)),
        ("0 0 1 1 *", "UTC", datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("59 23 31 12 *", "UTC", datetime(2027, 1, 1, 0, 1, tzinfo=UTC), datetime(2026, 12, 28, 23, 59, tzinfo=UTC)),
        ("* * * * *", "UTC", NOW, None),
        ("44 6 20 11 1", "UTC", NOW, None),
        ("61 6 20 11 *", "UTC", NOW, None),
        ("30 seconds", "UTC", NOW, None),
        ("44 6 20 11 *", "Mars/Olympus", NOW, None),
    ],
)
def test_the_minute_of_an_entry(schedule: str, zone: str, now: datetime, expected: datetime | None) -> None:
    assert expected == parse.due_of(schedule, zone, now)


def test_a_message_is_its_first_line() -> None:
    """The line break stood in mails and on pages as U+FFFD; the log has the other lines."""
    message = "ERROR:  No space left on device\nCONTEXT:  PL/pgSQL function refresh() line 1 at RAISE\n"
    assert "ERROR:  No space left on device" == parse.run(NIGHT.runs[0] | {"message": message}, BOOK).message


def test_hostile_text_passes_through_untouched() -> None:
    for text in HOSTILE:
        row = NIGHT.runs[0] | {"message": f"{text}.", "command": text}
        assert f"{text}.".strip("\n").partition("\n")[0] == parse.run(row, BOOK).message
        named = NIGHT.jobs[0] | {"jobname": text or None}
        assert (text or "#1") == native_ids([named])[1]


VALUES = st.none() | st.text() | st.integers() | st.floats() | st.booleans() | st.binary() | st.lists(st.integers())


@given(st.fixed_dictionaries(dict.fromkeys(NIGHT.runs[0], VALUES)))
def test_any_row_is_a_record_or_a_connector_error(row: dict[str, Any]) -> None:
    with suppress(RecordUnreadable):
        assert isinstance(parse.run(row, BOOK), RunRecord)


@given(
    st.integers(0, 2**62),
    st.dictionaries(st.integers(0, 2**62), st.none() | st.floats(0, 4e9), max_size=50),
    st.booleans(),
)
def test_a_cursor_survives_its_text(after: int, again: dict[int, float | None], is_live: bool) -> None:
    cursor = SequenceCursor(after, again, is_live=is_live)
    assert (cursor, ()) == cursor_or_first(SequenceCursor(), cursor.text())


@given(st.text())
def test_any_text_is_a_cursor_or_the_first_one(text: str) -> None:
    assert isinstance(cursor_or_first(SequenceCursor(), text)[0].after, int)


@each_row(
    "message, rows",
    [
        ("INSERT 0 42", {"rows": 42}), ("UPDATE 7\n", {"rows": 7}), ("COPY 0", {"rows": 0}), ("1 row", {"rows": 1}),
        ("1200 rows", {"rows": 1200}), ("VACUUM", {}), ("ERROR: 42 rows", {}), ("INSERT 0 42 rows", {}), ("", {}),
    ],
)  # fmt: skip
def test_a_return_message_yields_the_number_of_rows(message: str, rows: dict[str, int]) -> None:
    assert rows == parse.rows_of(message)
