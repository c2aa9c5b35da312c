"""Events on recorded rows: the conformance of the real server, and what a real one does not show on request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from connectors.mysql_events import parse
from connectors.mysql_events.client import has_privilege
from connectors.mysql_events.connector import CONNECTOR, MySqlEventsConnector
from connectors.mysql_events.options import MySqlEventsOptions
from connectors.mysql_events.parse import ServerSnapshot, schedule_of, zone_name
from connectors.sdk.conformance import Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import (
    GARBLED,
    HOUR_OFF,
    JOB_DELETED,
    LONG_BYTES,
    LONG_LINE,
    NOT_A_NUMBER,
    NOT_UTF8,
    TWICE,
)
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionFound, ActionSpec, ActionUnknown, Connector
from connectors.sdk.errors import AccessRefused, NotSupported, RecordUnreadable
from connectors.sdk.fields import CURSOR_UNREADABLE
from connectors.sdk.job_agent import PAGE_ROWS
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.secrets import LITERAL_REFUSED, SecretStore
from connectors.sdk.states import RunEvidence, RunState, Verb
from console.timing.schedule import expansion_fault, instants, next_instant, schedule_fault, unreadable_schedules
from tests.fakes.mysql_events import FakeClient, FakeEvents
from tests.fakes.unsent import ELSEWHERE_OF_MYSQL, UNSENT_BY_A_DRIVER
from tests.rows import each_row

OPTIONS = MySqlEventsOptions(host="db", user="headway", log_table="ops.event_log")


@pytest.fixture
def fake() -> FakeEvents:
    return FakeEvents()


def connector_on(fake: FakeEvents, options: MySqlEventsOptions = OPTIONS) -> MySqlEventsConnector:
    return MySqlEventsConnector(FakeClient(fake), options)


def polled_runs(fake: FakeEvents, cursor: str = "") -> dict[tuple[str, str], RunRecord]:
    """Every run by job and attempt, read in one page."""
    fake.page_rows = 100
    return {(run.job, run.attempt_key): run for run in connector_on(fake).poll(cursor, (), 5).runs}


class CrowdedClient(FakeClient):
    """Numbers without a gap: a page is a slice."""

    def page(self, after: int, again: Sequence[int]) -> ServerSnapshot:
        fake, rows = self._fake, [dict(row) for row in self._fake.log[after : after + PAGE_ROWS]]
        log, fake.log = fake.log, fake.log[-1:]
        seen = self.snapshot()
        fake.log = log
        return replace(seen, log=rows, again=[], is_full=len(rows) == PAGE_ROWS)


def nasty_tables(fake: FakeEvents, how: str) -> None:
    """What a log table may hold at its worst. A driver never hands over half a row or a web page."""
    last = next(row for row in reversed(fake.log) if row["status"] == "succeeded")
    if how == GARBLED:
        last |= {"event_schema": None, "event_name": None, "status": None}
    elif how == NOT_A_NUMBER:
        last |= {"started": float("nan"), "ended": float("nan"), "row_count": float("nan")}
    elif how == NOT_UTF8:
        last |= {"message": b"caf\xe9"}
    elif how == LONG_LINE:
        last |= {"message": "x" * LONG_BYTES}
    elif how == TWICE:
        fake.page_rows, fake.log = 1000, [row for row in fake.log for _ in range(2)]
    elif how == HOUR_OFF:
        fake.pass_time(time.time() + 3600 - fake.about["clock"])
    elif how == JOB_DELETED:
        fake.events = [row for row in fake.events if row["event_name"] != "good"]
    else:
        raise ValueError(how)


class TestRecordedEvents(Reads, Logs, Deadlines, Reruns, Starts, Holds, Faults):
    kind = CONNECTOR
    against = "recorded: rows of a real MariaDB 10.11"

    @pytest.fixture(autouse=True)
    def world(self, fake: FakeEvents) -> None:
        self.fake = fake

    def connector(self) -> Connector:
        return connector_on(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        return CONNECTOR.open(CONNECTOR.options(host=host, port=port, user="headway"), host, SecretStore())

    elsewhere = ELSEWHERE_OF_MYSQL
    unplayed = UNSENT_BY_A_DRIVER

    def answering(self, how: str) -> Connector:
        other = FakeEvents()
        nasty_tables(other, how)
        return connector_on(other)

    def crowded(self, runs: int) -> Connector:
        other = FakeEvents()
        other.log = [other.log[0] | {"run_id": number} for number in range(1, runs + 1)]
        return MySqlEventsConnector(CrowdedClient(other), OPTIONS)

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        row = self.fake.write("bad", "failed")
        row["message"] = "x" * size
        return connector_on(self.fake), self.latest("ops.bad")

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        self.fake.page_rows = 100
        after = self.fake.newest
        self.fake.write("good", "succeeded", run_id=after + 2)
        return connector_on(self.fake), lambda: str(self.fake.write("bad", "failed", run_id=after + 1)["run_id"])

    def with_a_right_revoked(self) -> Connector:
        self.fake.grants = [grant for grant in self.fake.grants if "event_start" not in grant]
        return connector_on(self.fake)

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.write("good", "hibernating")
        return connector_on(self.fake)

    def make_success(self) -> str:
        return "ops.good"

    def make_failure(self) -> str:
        return "ops.bad"

    def native_trace(self) -> object:
        return json.dumps(self.fake.events)

    def pause_by_hand(self, job_id: str) -> None:
        self.fake.named(job_id.partition(".")[2])["status"] = "DISABLED"

    def resume_by_hand(self, job_id: str) -> None:
        self.fake.named(job_id.partition(".")[2])["status"] = "ENABLED"

    def let_it_fall_due(self, job_id: str) -> None:
        name = job_id.partition(".")[2]
        if self.fake.named(name)["status"] == "ENABLED":
            self.fake.write(name, "succeeded")

    def advance(self) -> None:
        self.fake.work()


def test_what_is_logged_is_proved_and_what_is_not_is_a_start(fake: FakeEvents) -> None:
    result = {job: (run.state, run.evidence) for (job, _), run in polled_runs(fake).items() if run.action_key is None}
    assert {
        "ops.good": (RunState.SUCCEEDED, RunEvidence.NATIVE),
        "ops.bad": (RunState.FAILED, RunEvidence.NATIVE),
        "ops.silent": (RunState.UNKNOWN, RunEvidence.INFERRED),
        "fast.often": (RunState.UNKNOWN, RunEvidence.INFERRED),
    } == result


def test_one_shots_of_ours_are_attempts_of_their_event_and_no_jobs(fake: FakeEvents) -> None:
    ours = {run.action_key: (run.job, run.state) for run in polled_runs(fake).values() if run.action_key}
    assert {
        "headway-0123456789ab": ("ops.sleeper", RunState.RUNNING),
        "headway-ba9876543210": ("ops.silent", RunState.UNKNOWN),
    } == ours
    assert "headway" not in str([job.native_id for job in connector_on(fake).inventory("", 5).jobs])


def test_a_running_row_is_lost_when_its_connection_or_its_server_ended(fake: FakeEvents) -> None:
    sleeper = ("ops.sleeper", "3")
    assert RunState.RUNNING == polled_runs(fake)[sleeper].state
    assert fake.processes is not None
    fake.processes.discard(37)
    assert (RunState.LOST, RunEvidence.INFERRED) == (
        polled_runs(fake)[sleeper].state,
        polled_runs(fake)[sleeper].evidence,
    )
    fake.processes = None  # PROCESS is not granted: unknown
    assert RunState.RUNNING == polled_runs(fake)[sleeper].state
    fake.uptime_seconds = 0.5  # the server has started since
    assert RunState.LOST == polled_runs(fake)[sleeper].state


def test_an_open_row_is_read_again_until_it_ends(fake: FakeEvents) -> None:
    fake.page_rows = 100
    first = connector_on(fake).poll("", (), 5)
    fake.log[2] |= {"status": "succeeded", "ended": fake.about["clock"], "row_count": 7}
    second = connector_on(fake).poll(first.cursor, (), 5)
    assert [("3", RunState.SUCCEEDED, {"rows": 7})] == [
        (run.attempt_key, run.state, dict(run.context)) for run in second.runs
    ]
    assert () == connector_on(fake).poll(second.cursor, (), 5).runs


def test_starts_that_lie_between_two_polls_are_a_gap(fake: FakeEvents) -> None:
    fake.page_rows = 100
    cursor = connector_on(fake).poll("", (), 5).cursor
    fake.named("often")["last_executed"] += 1
    assert () == connector_on(fake).poll(cursor, (), 5).gaps
    fake.named("often")["last_executed"] += 1
    (gap,) = connector_on(fake).poll(cursor, (), 5).gaps
    assert "fast.often may have started between two polls: an event keeps its last start only" == gap.reason


def test_a_number_allocated_first_and_committed_last_is_not_lost(fake: FakeEvents) -> None:
    fake.page_rows = 100
    fake.write("good", "succeeded", run_id=7)
    first = connector_on(fake).poll("", (), 5)
    fake.write("bad", "failed", run_id=5)
    second = connector_on(fake).poll(first.cursor, (), 5)
    assert "5" in {run.attempt_key for run in second.runs}
    fake.pass_time(120)
    assert {"3": None} == json.loads(connector_on(fake).poll(second.cursor, (), 5).cursor)["again"]


def test_rows_that_were_deleted_are_unknown_and_a_gap(fake: FakeEvents) -> None:
    fake.page_rows = 100
    cursor = connector_on(fake).poll("", (), 5).cursor
    lost = RunRef("ops.good", "x", "0", '{"run_id": 0}')
    runs = {run.attempt_key: run for run in connector_on(fake).poll(cursor, (lost,), 5).runs}
    assert (RunState.UNKNOWN, "(row deleted)") == (runs["0"].state, runs["0"].native_state)
    poll = connector_on(fake).poll('{"after": 9000, "again": {}, "last": {}}', (), 5)
    assert ["ops.event_log ends at run_id 3, and we had read up to 9000: rows are gone"] == [
        gap.reason for gap in poll.gaps
    ]
    assert connector_on(fake).poll(poll.cursor, (), 5).runs


def test_restarted_numbers_are_a_gap_however_few_were_read(fake: FakeEvents) -> None:
    """TRUNCATE of a log table with 3 rows: the new row 1 is read, not waited for until 4."""
    fake.page_rows = 100
    connector = connector_on(fake)
    cursor = connector.poll("", (), 5).cursor
    fake.log = []
    empty = connector.poll(cursor, (), 5)
    assert () == empty.gaps
    fake.write("bad", "failed", run_id=1)
    poll = connector.poll(empty.cursor, (), 5)
    assert ["ops.event_log ends at run_id 1, and we had read up to 3: rows are gone"] == [
        gap.reason for gap in poll.gaps
    ]
    read = connector.poll(poll.cursor, (), 5).runs
    assert [("ops.bad", "1", RunState.FAILED)] == [(run.job, run.attempt_key, run.state) for run in read]


@pytest.mark.parametrize("cursor", ["{", "[]", '{"after": "x"}', '{"after": 1, "again": []}', "null", "[" * 5000])
def test_a_foreign_cursor_restarts_the_read_with_a_notice(fake: FakeEvents, cursor: str) -> None:
    poll = connector_on(fake).poll(cursor, (), 5)
    first = connector_on(fake).poll("", (), 5)
    assert (poll.runs, poll.cursor) == (first.runs, first.cursor)
    assert poll.warnings[0].startswith(CURSOR_UNREADABLE)


@pytest.mark.parametrize(
    "change", [{"event_name": None, "event_schema": None}, {"row_count": "many"}, {"connection_id": "x"}]
)
def test_an_unreadable_row_is_skipped_and_the_rest_is_kept(fake: FakeEvents, change: dict[str, Any]) -> None:
    fake.log[2 if "connection_id" in change else 0] |= change
    fake.page_rows = 100
    poll = connector_on(fake).poll("", (), 5)
    assert 1 == len(poll.skipped)
    assert ("ops.bad", RunState.FAILED) in {(run.job, run.state) for run in poll.runs}


@pytest.mark.parametrize("change", [{"started": "NaN"}, {"started": 1e300}, {"status": b"\xff\xfe"}, {"status": None}])
def test_odd_values_are_kept_as_text_and_never_mean_success_without_evidence(
    fake: FakeEvents, change: dict[str, Any]
) -> None:
    fake.log[0] |= change
    run = polled_runs(fake)["ops.good", "1"]
    assert run.started_at is None or run.state is RunState.UNKNOWN


def test_hostile_text_stays_data(fake: FakeEvents) -> None:
    fake.log[1] |= {"message": b"\xff\x1b[31m" + b"x" * 5000, "event_name": "'; DROP TABLE t; --"}
    run = polled_runs(fake)["ops.'; DROP TABLE t; --", "2"]
    assert run.message.startswith("\udcff\x1b[31m")


def test_no_right_is_refused_and_a_part_is_incomplete(fake: FakeEvents) -> None:
    fake.by_table, fake.grants = False, ["GRANT USAGE ON *.* TO `headway`@`%`"]
    for call in (lambda: connector_on(fake).inventory("", 5), lambda: connector_on(fake).poll("", (), 5)):
        with pytest.raises(AccessRefused, match="hidden from headway_act@%, without an error"):
            call()
    fake.grants = ["GRANT SELECT, EVENT ON `ops`.* TO `headway`@`%`"]
    poll = connector_on(fake).poll("", (), 5)
    assert (False, None) == (poll.complete, poll.seen_until)
    assert not connector_on(fake).inventory("", 5).complete
    of_ops = OPTIONS.model_copy(update={"schemas": ("ops",)})
    assert connector_on(fake, of_ops).inventory("", 5).complete
    other = RunRef("fast.often", "x", "", "")
    preview = connector_on(fake).preview(ActionSpec(Verb.START, other, RunState.PLANNED), 5)
    assert isinstance(connector_on(fake).look_up(preview, new_key(), 5), ActionUnknown)


def test_unsupported_features_of_mysql_are_reported(fake: FakeEvents) -> None:
    """Documented only: MySQL 8 has no mysql.event, and prepares no CREATE EVENT."""
    fake.about |= {"version": "8.4.3"}
    fake.by_table, fake.grants = False, ["GRANT USAGE ON *.* TO `headway`@`%`"]
    with pytest.raises(AccessRefused, match=r"GRANT EVENT ON \*\.\* TO 'headway_act'@'%';"):
        connector_on(fake).inventory("", 5)
    fake.grants = ["GRANT EVENT, PROCESS ON *.* TO `headway`@`%`"]
    assert connector_on(fake).inventory("", 5).complete
    refused = (
        connector_on(fake).preview(ActionSpec(Verb.START, RunRef("ops.good", "x", "", ""), RunState.PLANNED), 5).refused
    )
    assert refused is not None
    assert refused.startswith("MySQL prepares no CREATE EVENT")


def test_a_log_table_that_cannot_be_read_proves_nothing(fake: FakeEvents) -> None:
    fake.log_is_readable = False
    poll = connector_on(fake).poll("", (), 5)
    assert (False, None) == (poll.complete, poll.seen_until)
    assert any("ops.event_log cannot be read" in warning for warning in poll.warnings)
    missing = {right.name: right.fix for right in connector_on(fake).probe(5).rights if not right.held}
    assert "GRANT SELECT ON ops.event_log TO 'headway_act'@'%';" == missing["read ops.event_log"]


@pytest.mark.parametrize(
    "about, text",
    [
        ({"scheduler": "OFF"}, "the event scheduler is OFF: nothing starts. SET GLOBAL event_scheduler = ON;"),
        ({"read_only": 1}, "this server is read-only, a replica: events run on its primary"),
    ],
)
def test_what_would_not_start_is_refused_with_its_reason(fake: FakeEvents, about: dict[str, Any], text: str) -> None:
    fake.about |= about
    run = polled_runs(fake)["ops.bad", "2"]
    assert text == connector_on(fake).preview(ActionSpec(Verb.RERUN, ref(run), run.state), 5).refused


def test_old_one_shot_events_are_removed_and_new_ones_stay(fake: FakeEvents) -> None:
    client = FakeClient(fake)
    MySqlEventsConnector(client, OPTIONS).poll("", (), 5)
    assert [] == client.tidied
    fake.pass_time(90_000)
    MySqlEventsConnector(client, OPTIONS).poll("", (), 5)
    assert [("ops", "headway-0123456789ab"), ("ops", "headway-ba9876543210")] == client.tidied
    fake.grants = ["GRANT USAGE ON *.* TO `headway`@`%`"]
    warnings = MySqlEventsConnector(client, OPTIONS).poll("", (), 5).warnings
    assert any("has run and stays: no EXECUTE on procedure headway.event_tidy" in warning for warning in warnings)


def test_a_hold_that_was_cut_before_the_event_was_disabled_is_not_placed(fake: FakeEvents) -> None:
    """The mark is there first: an event that still starts is not held, and the same key holds it yet."""
    connector, key = connector_on(fake), new_key()
    requested = {"by": "ann", "until": "2026-11-21T06:00:00+00:00"}
    preview = connector.preview(ActionSpec(Verb.HOLD, RunRef("ops.good", "x", "", ""), RunState.PLANNED, requested), 5)
    assert preview.refused is None
    connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    fake.named("good")["status"] = "ENABLED"
    assert not isinstance(connector.look_up(preview, key, 5), ActionFound)
    fake.senders = 1
    assert isinstance(connector.look_up(preview, key, 5), ActionUnknown)
    fake.senders = 0
    connector.act(preview, key, 5)
    assert "DISABLED" == fake.named("good")["status"]
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.MARK_OK, Verb.SKIP])
def test_what_events_cannot_says_why(fake: FakeEvents, verb: Verb) -> None:
    with pytest.raises(NotSupported, match=f"mysql_events cannot {verb}: "):
        connector_on(fake).preview(ActionSpec(verb, RunRef("ops.good", "x", "", ""), RunState.RUNNING), 5)


def test_a_start_has_no_log(fake: FakeEvents) -> None:
    silent = next(run for (job, _), run in polled_runs(fake).items() if job == "ops.silent")
    with pytest.raises(NotSupported, match="is not recorded"):
        connector_on(fake).log(ref(silent), None, 100, 5)


@pytest.mark.parametrize(
    "number, field, expression",
    [
        ("1", "DAY", "*-*-* 04:15:30"), ("1", "WEEK", "Tue *-*-* 04:15:30"), ("1", "MONTH", "*-*-6 04:15:30"),
        ("6", "HOUR", "*-*-* 4,10,16,22:15:30"), ("20", "MINUTE", "*-*-* *:15,35,55:30"),
        ("30", "SECOND", "*-*-* *:*:0,30"), ("1", "MINUTE", "*-*-* *:*:30"), ("7", "DAY", "Tue *-*-* 04:15:30"),
        ("7", "MINUTE", ""), ("14", "DAY", ""), ("'1:30'", "HOUR_MINUTE", ""),
        ("'6:0'", "HOUR_MINUTE", "*-*-* 4,10,16,22:15:30"),
        ("1", "QUARTER", "*-1,4,7,10-6 04:15:30"), ("'0-2'", "YEAR_MONTH", "*-1,3,5,7,9,11-6 04:15:30"),
        ("1", "YEAR", "*-1-6 04:15:30"), ("5", "MONTH", ""), ("2", "YEAR", ""), ("'1 12:00:00'", "DAY_SECOND", ""),
    ],
)  # fmt: skip
def test_an_interval_is_shown_as_calendar_events_where_possible(
    fake: FakeEvents, number: str, field: str, expression: str
) -> None:
    starts = datetime(2026, 1, 6, 4, 15, 30, tzinfo=UTC)
    row = fake.named("good") | {"interval_value": number, "interval_field": field, "starts": starts.timestamp()}
    now = datetime(2026, 1, 10, tzinfo=UTC)
    schedule = schedule_of(row, "UTC", True, now)
    assert expression == schedule.expression
    assert schedule_fault(schedule) is None
    if expression:
        assert starts in instants(schedule, starts.replace(hour=0), starts.replace(hour=23))
    else:
        assert schedule.next_at is not None
        assert schedule.next_at > now


def event(every: str, starts: str, **changes: Any) -> dict[str, Any]:
    number, _, unit = every.rpartition(" ")
    at = datetime.fromisoformat(starts).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    plain = {"execute_at": None, "interval_value": number, "interval_field": unit, "starts": at, "ends": None}
    return plain | changes


@pytest.mark.parametrize(
    "every, starts, now, following",
    [
        ("2 WEEK", "2026-10-05 03:30", "2026-11-30T08:00", "2026-12-14T02:30"),
        ("2 DAY", "2026-10-01 03:30", "2026-11-30T08:00", "2026-12-02T02:30"),
        ("5 HOUR", "2026-10-01 00:00", "2026-11-30T08:00", "2026-11-30T09:00"),
        ("'1 12' DAY_HOUR", "2026-10-01 03:30", "2026-11-30T08:00", "2026-12-01T14:30"),
        ("36 DAY_HOUR", "2026-10-01 03:30", "2026-11-30T08:00", "2026-12-01T14:30"),
        ("1 MONTH", "2026-01-31 03:30", "2026-11-30T08:00", "2026-12-31T02:30"),
        ("1 MONTH", "2026-01-31 03:30", "2027-02-01T08:00", "2027-02-28T02:30"),
        ("1 MONTH", "2026-01-30 03:30", "2028-02-01T08:00", "2028-02-29T02:30"),
        ("3 MONTH", "2026-03-01 03:30", "2026-11-30T08:00", "2026-12-01T02:30"),
        ("1 QUARTER", "2025-11-30 03:30", "2026-11-30T08:00", "2027-02-28T02:30"),
        ("5 MONTH", "2026-01-31 03:30", "2026-07-01T08:00", "2026-11-30T02:30"),
        ("'1-6' YEAR_MONTH", "2025-08-31 03:30", "2026-11-30T08:00", "2027-02-28T02:30"),
        ("1 YEAR", "2025-12-01 03:30", "2026-11-30T08:00", "2026-12-01T02:30"),
        ("2 YEAR", "2024-02-29 03:30", "2024-03-01T08:00", "2026-02-28T02:30"),
        ("2 DAY", "2026-03-27 02:30", "2026-03-28T08:00", "2026-03-29T01:00"),  # 02:30 is skipped: 03:00
        ("7 MINUTE", "2026-10-25 00:00", "2026-10-25T01:30", "2026-10-25T02:02"),  # 02:30 comes twice, is run once
    ],
)  # fmt: skip
def test_the_next_start_is_on_the_grid_of_the_local_clock(every: str, starts: str, now: str, following: str) -> None:
    asked, due = (datetime.fromisoformat(at).replace(tzinfo=UTC) for at in (now, following))
    schedule = schedule_of(event(every, starts), "Europe/Berlin", True, asked)
    assert due == next_instant(schedule, asked)
    assert schedule_fault(schedule) is None


@pytest.mark.parametrize(
    "changes, zone",
    [
        ({"interval_value": "often"}, "Europe/Berlin"), ({"interval_field": "FORTNIGHT"}, "Europe/Berlin"),
        ({"interval_value": "0"}, "Europe/Berlin"), ({"interval_value": "999999999"}, "Europe/Berlin"),
        ({"starts": None}, "Europe/Berlin"), ({"interval_value": None, "interval_field": None}, "Europe/Berlin"),
        ({}, "Mars/Olympus"),
    ],
)  # fmt: skip
def test_a_schedule_that_cannot_be_expanded_is_named(changes: dict[str, Any], zone: str) -> None:
    schedule = schedule_of(event("2 DAY", "2026-10-01 03:30") | changes, zone, True, datetime(2026, 11, 30, tzinfo=UTC))
    [warning] = unreadable_schedules([("ops.good", schedule)])
    assert f"ops.good: {expansion_fault(schedule)}" == warning
    assert schedule.next_at is None


def test_an_event_whose_next_start_is_after_its_end_has_ended() -> None:
    now = datetime(2026, 11, 30, tzinfo=UTC)
    row = event("1 YEAR", "2026-01-01 03:30", ends=datetime(2026, 12, 1, tzinfo=UTC).timestamp())
    assert "ended" in schedule_of(row, "UTC", True, now).text


def test_a_server_zone_of_which_only_the_offset_is_known_is_a_warning(fake: FakeEvents) -> None:
    fake.named("good")["time_zone"] = "SYSTEM"
    fake.about |= {"system_zone": "CET", "offset_seconds": 3600}
    assert any("set server_zone" in warning for warning in connector_on(fake).poll("", (), 5).warnings)
    named = OPTIONS.model_copy(update={"server_zone": "Europe/Berlin"})
    assert not any("server_zone" in warning for warning in connector_on(fake, named).poll("", (), 5).warnings)


def test_system_is_the_servers_zone(fake: FakeEvents) -> None:
    row = fake.named("good") | {"time_zone": "SYSTEM"}
    assert "UTC" == zone_name(row, fake.about, None)
    cest = fake.about | {"system_zone": "CEST", "offset_seconds": 7200}
    assert "+02:00" == zone_name(row, cest, None)
    assert "-03:30" == zone_name(row, cest | {"offset_seconds": -12600}, None)
    assert "Europe/Berlin" == zone_name(row, cest, "Europe/Berlin")
    assert "America/New_York" == zone_name(row | {"time_zone": "America/New_York"}, cest, None)


@each_row(
    "line, held",
    [
        ("GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION", True),
        ("GRANT EXECUTE ON PROCEDURE `headway`.`event_start` TO `headway_act_role`", True),
        ("GRANT SELECT, EXECUTE ON `headway`.* TO `x`@`%`", True),
        ("GRANT EXECUTE ON PROCEDURE `headway`.`event_tidy` TO `x`@`%`", False),
        ("GRANT EXECUTE ON `other`.* TO `x`@`%`", False),
        ("GRANT `headway_act_role` TO `x`@`%`", False),
        ("GRANT USAGE ON *.* TO `x`@`%`", False),
    ],
)
def test_lines_of_show_grants(line: str, held: bool) -> None:
    assert held is has_privilege([line], "EXECUTE", "headway", "event_start")


def test_an_event_is_logged_where_its_body_names_the_table() -> None:
    body = "BEGIN INSERT INTO `ops`.`event_log` VALUES (1); END"
    assert parse.is_logged({"body": body}, "ops.event_log")
    assert not parse.is_logged({"body": body.replace("event_log", "event_log_old")}, "ops.event_log")
    assert not parse.is_logged({"body": body}, None)


def test_a_row_without_an_event_is_unreadable(fake: FakeEvents) -> None:
    seen = FakeClient(fake).snapshot()
    with pytest.raises(RecordUnreadable, match="names no event"):
        parse.run(fake.log[0] | {"event_schema": None, "event_name": None}, seen)


@each_row(
    "given, text",
    [
        ({"host": "db", "user": "u", "log_table": "event_log"}, "log_table"),
        ({"host": "db", "user": "u", "log_table": "ops.`x`; DROP"}, "log_table"),
        ({"host": "db", "user": "u", "server_zone": "Berlin"}, '"Berlin" is not a time zone'),
        ({"host": "db", "user": "u", "password": "hunter2hunter2"}, LITERAL_REFUSED),
        ({"host": "db", "user": "u", "tls": "maybe"}, "tls"),
        ({"user": "u"}, "host"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        MySqlEventsOptions.model_validate(given)
