"""pg_cron on recorded tables: the conformance of the real server, and what a real one does not show on request."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

import pytest

from connectors.pg_cron import actions
from connectors.pg_cron.client import PgCronPage
from connectors.pg_cron.connector import CONNECTOR, PgCronConnector
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
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
from connectors.sdk.contract import ActionSpec, ActionUnknown, Connector
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.fields import CURSOR_UNREADABLE
from connectors.sdk.job_agent import PAGE_ROWS
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState, Verb
from tests.fakes.pg_cron import FakeClient, FakePgCron
from tests.fakes.unsent import ELSEWHERE_OF_POSTGRES, UNSENT_BY_A_DRIVER
from tests.rows import each_row


@pytest.fixture
def fake() -> FakePgCron:
    return FakePgCron()


def connector_on(fake: FakePgCron) -> PgCronConnector:
    return PgCronConnector(FakeClient(fake))


class CrowdedClient(FakeClient):
    """History of runids without a gap: a page is a slice."""

    def page(self, after: int, again: Sequence[int]) -> PgCronPage:
        del again
        rows = [dict(row) for row in self._fake.runs[after : after + PAGE_ROWS]]
        is_full = len(rows) == PAGE_ROWS
        return PgCronPage(dict(self._fake.access), self._jobs(), rows, [], len(self._fake.runs), [], is_full)


def nasty_tables(fake: FakePgCron, how: str) -> None:
    """What the tables of a pg_cron may hold at their worst. A driver never hands over half a row or a web page."""
    last = next(row for row in reversed(fake.runs) if row["status"] == "succeeded")
    if how == GARBLED:
        last |= {"status": None, "started": None, "database": None}
    elif how == NOT_A_NUMBER:
        last |= {"started": "NaN"}
    elif how == NOT_UTF8:
        last |= {"message": "caf\udce9"}
    elif how == LONG_LINE:
        last |= {"message": "x" * LONG_BYTES}
    elif how == TWICE:
        fake.page_rows, fake.runs = 1000, [row for row in fake.runs for _ in range(2)]
    elif how == HOUR_OFF:
        fake.access |= {"clock": str(float(time.time()) + 3600)}
    elif how == JOB_DELETED:
        fake.jobs = [row for row in fake.jobs if row["jobname"] != "load_orders"]
    else:
        raise ValueError(how)


class TestRecordedPgCron(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = CONNECTOR
    against = "recorded: tables of a real pg_cron"
    elsewhere = ELSEWHERE_OF_POSTGRES
    unplayed: ClassVar[Mapping[str, str]] = {
        **UNSENT_BY_A_DRIVER,
        "with_a_run_behind": "one launcher writes its rows in order",
    }

    @pytest.fixture(autouse=True)
    def world(self, fake: FakePgCron) -> None:
        self.fake = fake

    def connector(self) -> Connector:
        return connector_on(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = CONNECTOR.options(host=host, port=port, dbname="ops", user="headway")
        return CONNECTOR.open(options, host, SecretStore())

    def answering(self, how: str) -> Connector:
        other = FakePgCron()
        nasty_tables(other, how)
        return connector_on(other)

    def with_a_right_revoked(self) -> Connector:
        other = FakePgCron()
        other.access |= {"may_hold": False, "may_cancel": False}
        return connector_on(other)

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        run = self.latest("bad")
        next(row for row in self.fake.runs if str(row["runid"]) == run.attempt_key)["message"] = "x" * size
        return connector_on(self.fake), run

    def crowded(self, runs: int) -> Connector:
        other = FakePgCron()
        template = next(row for row in other.runs if row["status"] == "succeeded")
        other.runs = [template | {"runid": number} for number in range(1, runs + 1)]
        return PgCronConnector(CrowdedClient(other))

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.run(2, "hibernating")
        return connector_on(self.fake)

    def make_success(self) -> str:
        return "load_orders"

    def make_failure(self) -> str:
        return "bad"

    def a_running_run(self) -> RunRecord:
        row = self.fake.run(2, "running")
        self.fake.page_rows = 100
        runs = connector_on(self.fake).poll("", (), 5).runs
        return next(run for run in runs if run.attempt_key == str(row["runid"]))

    def pause_by_hand(self, job_id: str) -> None:
        self.fake.change(self.jobid(job_id), active=False)

    def resume_by_hand(self, job_id: str) -> None:
        self.fake.change(self.jobid(job_id), active=True)

    def let_it_fall_due(self, job_id: str) -> None:
        row = next(row for row in self.fake.jobs if row["jobid"] == self.jobid(job_id))
        if row["active"]:
            self.fake.run(row["jobid"], "succeeded", "1 row")

    def jobid(self, job_id: str) -> int:
        return next(int(row["jobid"]) for row in self.fake.jobs if row["jobname"] == job_id)

    def native_trace(self) -> object:
        return json.dumps([self.fake.jobs, self.fake.runs])

    def advance(self) -> None:
        self.fake.start_entries()


def test_history_comes_in_pages_until_there_is_no_more(fake: FakePgCron) -> None:
    connector = connector_on(fake)
    first = connector.poll("", (), 5)
    assert (5, True, None) == (len(first.runs), first.more, first.seen_until)
    second = connector.poll(first.cursor, (), 5)
    third = connector.poll(second.cursor, (), 5)
    last = connector.poll(third.cursor, (), 5)
    assert not last.more
    assert last.seen_until is not None


def test_an_open_run_is_read_again_until_it_ends(fake: FakePgCron) -> None:
    connector, cursor = connector_on(fake), ""
    for _ in range(4):
        cursor = connector.poll(cursor, (), 5).cursor
    again = connector.poll(cursor, (), 5)
    assert [("37", RunState.RUNNING)] == [(run.attempt_key, run.state) for run in again.runs]
    fake.runs[-1] |= {"status": "succeeded", "message": "1 row", "ended": "1795163900.5"}
    fake.access |= {"clock": "1795163901.0"}
    ended = connector.poll(again.cursor, (), 5)
    assert [RunState.SUCCEEDED] == [run.state for run in ended.runs]
    fake.access |= {"clock": "1795163999.0"}
    last = connector.poll(ended.cursor, (), 5)
    assert () == connector.poll(last.cursor, (), 5).runs


def test_a_success_that_a_later_statement_undoes_is_seen_as_failed(fake: FakePgCron) -> None:
    """pg_cron writes "succeeded" after each statement of a command, and "failed" moments later."""
    fake.runs.clear()
    row = fake.run(8, "succeeded", "1 row")
    connector = connector_on(fake)
    first = connector.poll("", (), 5)
    row |= {"status": "failed", "message": "ERROR:  division by zero\n"}
    second = connector.poll(first.cursor, (), 5)
    assert [RunState.SUCCEEDED] == [run.state for run in first.runs]
    assert [(RunState.FAILED, "ERROR:  division by zero")] == [(run.state, run.message) for run in second.runs]


@each_row(
    "status, after_seconds, is_standby, state",
    [
        ("connecting", 60, False, RunState.LOST),
        ("sending", 60, False, RunState.LOST),
        ("running", 60, False, RunState.RUNNING),
        ("connecting", -60, False, RunState.QUEUED),
        ("connecting", 60, True, RunState.QUEUED),
    ],
)
def test_a_run_that_waited_when_the_launcher_was_restarted_is_lost(
    fake: FakePgCron, status: str, after_seconds: float, is_standby: bool, state: RunState
) -> None:
    """pg_cron writes no start of such a run, and leaves its row as it is."""
    fake.runs.clear()
    connector, row = connector_on(fake), fake.run(8, status)
    row["started"] = None
    first = connector.poll("", (), 5)
    clock = float(fake.access["clock"])
    fake.access |= {"launched": str(clock + after_seconds), "clock": str(clock + 120), "is_standby": is_standby}
    second = connector.poll(first.cursor, (), 5)
    assert [state] == [run.state for run in second.runs]
    if state is RunState.LOST:
        assert second.runs[0].message.startswith("pg_cron was restarted at 2026-11-20 ")
        assert () == connector.poll(second.cursor, (), 5).runs


def test_a_run_without_a_start_that_may_be_of_the_present_launcher_is_not_lost(fake: FakePgCron) -> None:
    fake.runs.clear()
    fake.run(4, "succeeded", "1 row")
    fake.access |= {"launched": fake.access["clock"]}
    fake.run(8, "connecting")["started"] = None
    assert RunState.QUEUED is connector_on(fake).poll("", (), 5).runs[-1].state


def test_an_open_run_whose_row_was_deleted_is_unknown(fake: FakePgCron) -> None:
    connector = connector_on(fake)
    fake.page_rows = 100
    run = connector.poll("", (), 5).runs[-1]
    cursor = connector.poll("", (), 5).cursor
    lost = RunRef(run.job, "x", "20", '{"runid": 20, "jobid": 4}')
    reported = {item.attempt_key: item for item in connector.poll(cursor, (lost,), 5).runs}
    assert (RunState.UNKNOWN, "(row deleted)") == (reported["20"].state, reported["20"].native_state)


def test_replaced_rows_are_a_gap_and_are_read_again(fake: FakePgCron) -> None:
    """An extension made again, or a restored backup, starts its runids again below ours."""
    connector = connector_on(fake)
    poll = connector.poll('{"after": 9000, "again": {}, "is_live": true}', (), 5)
    assert ((), True) == (poll.runs, poll.more)
    [gap] = poll.gaps
    assert re.fullmatch(r"cron\.job_run_details ends at runid 37, .* 9000: .*", gap.reason), gap
    assert connector.poll(poll.cursor, (), 5).runs


@pytest.mark.parametrize("cursor", ["{", "[]", '{"after": "x"}', '{"after": 1, "again": []}', "null", "[" * 5000])
def test_a_foreign_cursor_restarts_the_read_with_a_notice(fake: FakePgCron, cursor: str) -> None:
    poll = connector_on(fake).poll(cursor, (), 5)
    first = connector_on(fake).poll("", (), 5)
    assert (poll.runs, poll.cursor) == (first.runs, first.cursor)
    assert poll.warnings[0].startswith(CURSOR_UNREADABLE)
    assert connector_on(fake).poll(poll.cursor, (), 5).runs


def test_a_removed_job_keeps_its_name_for_late_rows(fake: FakePgCron) -> None:
    connector = connector_on(fake)
    connector.inventory("", 5)
    fake.jobs = [row for row in fake.jobs if row["jobname"] != "bad"]
    fake.page_rows = 100
    assert "bad" in {run.job for run in connector.poll("", (), 5).runs}


def test_a_mark_in_anothers_command_makes_no_attempt(fake: FakePgCron) -> None:
    """Whoever may schedule jobs could write Headway's mark: it counts only in runs of the marked job's own owner."""
    row = fake.run(7, "succeeded", "1 row")  # app's job claims to be a rerun of lab's job 3
    row["command"] = f"/* headway:rerun:3:{new_key()} */ select current_user"
    fake.page_rows = 100
    runs = connector_on(fake).poll("", (), 5).runs
    assert [("app:load_orders", None)] == [
        (run.job, run.action_key) for run in runs if run.attempt_key == str(row["runid"])
    ]


def test_log_off_proves_nothing_and_refuses_reruns(fake: FakePgCron) -> None:
    fake.access |= {"log_run": "off"}
    fake.page_rows = 100
    connector = connector_on(fake)
    poll = connector.poll("", (), 5)
    assert (False, None) == (poll.complete, poll.seen_until)
    assert "cron.log_run is off" in poll.warnings[0]
    run = next(run for run in poll.runs if run.job == "bad")
    refused = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 5).refused
    assert refused is not None
    assert refused.startswith("cron.log_run is off")


def test_a_standby_proves_no_missing_start(fake: FakePgCron) -> None:
    fake.access |= {"is_standby": True}
    fake.page_rows = 100
    assert connector_on(fake).poll("", (), 5).seen_until is None


def test_rights_that_are_missing_come_with_the_one_command_that_grants_them(fake: FakePgCron) -> None:
    fake.access |= {"may_enter": False, "may_read_jobs": False, "role": "Poller"}
    with pytest.raises(AccessRefused, match=r"headway connector grants pg_cron --login Poller \| psql ops"):
        connector_on(fake).inventory("", 5)


@pytest.mark.parametrize(
    "change, text",
    [
        ({"version": None, "cron_database": "ops"}, 'connect to database "ops"'),
        ({"version": None}, "check dbname"),
        ({"version": "1.3"}, "pg_cron 1.3 is too old"),
    ],
)
def test_a_database_without_a_pg_cron_that_we_know(fake: FakePgCron, change: dict[str, object], text: str) -> None:
    fake.access |= change
    with pytest.raises(NotSupported, match=text):
        connector_on(fake).poll("", (), 5)


def test_a_rerun_of_a_removed_job_is_refused(fake: FakePgCron) -> None:
    run_ref = RunRef("night_load", "2026-11-19T03:00:00Z", "12", '{"runid": 12, "jobid": 99}')
    preview = connector_on(fake).preview(ActionSpec(Verb.RERUN, run_ref, RunState.FAILED), 5)
    assert "night_load is no longer in cron.job, nor its command" == preview.refused


def test_a_paused_job_is_reported_as_paused(fake: FakePgCron) -> None:
    missed = RunRef("paused", "2026-11-19T02:00:00Z", "", "")
    preview = connector_on(fake).preview(ActionSpec(Verb.RERUN, missed, RunState.MISSED), 5)
    assert preview.refused is None
    assert "paused is paused in pg_cron; the rerun runs all the same" in preview.notes
    assert "SELECT headway.rerun(9, '<key>')" == preview.native_calls[0]


def test_hidden_rows_prove_no_absence(fake: FakePgCron) -> None:
    connector = connector_on(fake)
    preview = connector.preview(ActionSpec(Verb.RERUN, RunRef("bad", "x", "", ""), RunState.FAILED), 5)
    fake.access |= {"sees_all_runs": False}
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionUnknown)


@pytest.mark.parametrize("limit", [5, 16, 64, 1000])
def test_log_chunks_of_any_size_make_the_whole_log(fake: FakePgCron, limit: int) -> None:
    fake.runs[0] |= {"message": "ERROR:  Überlauf größer als …\n"}
    connector = connector_on(fake)
    run = RunRef("two", "x", "1", '{"runid": 1, "jobid": 8}')
    text, start, more = "", "0", True
    while more:
        chunk = connector.log(run, start, limit, 5)
        assert len(chunk.text.encode()) <= limit
        text, start, more = text + chunk.text, chunk.next or "", chunk.more
    assert "ERROR:  Überlauf größer als …\n" == text
    tail = connector.log(run, None, limit, 5)
    assert text.endswith(tail.text)
    assert limit - 3 <= len(tail.text.encode()) <= limit or tail.text == text


def test_the_log_of_an_open_run_may_go_on(fake: FakePgCron) -> None:
    run = RunRef("long", "x", "37", '{"runid": 37, "jobid": 4}')
    chunk = connector_on(fake).log(run, None, 1000, 5)
    assert ("", "0", False) == (chunk.text, chunk.next, chunk.more)


def test_a_run_whose_row_was_deleted_has_no_log(fake: FakePgCron) -> None:
    with pytest.raises(NotSupported, match="run 999 of two has no row"):
        connector_on(fake).log(RunRef("two", "x", "999", '{"runid": 999, "jobid": 8}'), None, 1000, 5)


@each_row("key", ["headway-short", "x" * 20, "headway-0123456789'; drop table t", "headway-" + "a" * 60])
def test_what_is_no_key_of_ours_is_not_sent(key: str) -> None:
    with pytest.raises(NotSupported):
        actions.entry_name(7, key)
