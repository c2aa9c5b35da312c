"""pgAgent on recorded tables: the conformance of the real server, and what a real one does not show on request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from connectors.pgagent import parse
from connectors.pgagent.client import PgAgentPage
from connectors.pgagent.connector import CONNECTOR, NO_AGENT, PgAgentConnector
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
from connectors.sdk.contract import ActionSpec, ActionUnknown, Connector
from connectors.sdk.errors import AccessRefused, NotSupported, RecordUnreadable
from connectors.sdk.fields import CURSOR_UNREADABLE
from connectors.sdk.job_agent import PAGE_ROWS
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunEvidence, RunState, Verb
from tests.fakes.pgagent import FakeClient, FakePgAgent
from tests.fakes.unsent import ELSEWHERE_OF_POSTGRES, UNSENT_BY_A_DRIVER
from tests.rows import each_row


@pytest.fixture
def fake() -> FakePgAgent:
    return FakePgAgent()


def connector_on(fake: FakePgAgent) -> PgAgentConnector:
    return PgAgentConnector(FakeClient(fake))


def polled_runs(fake: FakePgAgent, cursor: str = "") -> dict[str, RunRecord]:
    """Every run by its jlgid, read in one page."""
    fake.page_rows = 100
    return {run.attempt_key: run for run in connector_on(fake).poll(cursor, (), 5).runs}


class CrowdedClient(FakeClient):
    """Numbers without a gap: a page is a slice."""

    def page(self, after: int, again: Sequence[int]) -> PgAgentPage:
        del again
        fake = self._fake
        rows = [dict(row) for row in fake.runs[after : after + PAGE_ROWS]]
        steps = [dict(row) for row in fake.step_log[after : after + PAGE_ROWS]]
        is_full = len(rows) == PAGE_ROWS
        return PgAgentPage(dict(fake.access), fake.agents, self._jobs(), rows, [], steps, [], len(fake.runs), is_full)


def nasty_tables(fake: FakePgAgent, how: str) -> None:
    """What pgAgent's tables may hold at their worst. A driver never hands over half a row or a web page."""
    last = next(row for row in reversed(fake.runs) if row["status"] == "s")
    step = next(row for row in fake.step_log if row["jlgid"] == last["jlgid"])
    if how == GARBLED:
        last |= {"status": None, "started": None, "jobid": None}
    elif how == NOT_A_NUMBER:
        last |= {"started": "NaN"}
    elif how == NOT_UTF8:
        step |= {"output": "caf\udce9"}
    elif how == LONG_LINE:
        step |= {"output": "x" * LONG_BYTES}
    elif how == TWICE:
        fake.page_rows, fake.runs = 1000, [row for row in fake.runs for _ in range(2)]
    elif how == HOUR_OFF:
        fake.access |= {"clock": str(time.time() + 3600)}
    elif how == JOB_DELETED:
        fake.jobs = [row for row in fake.jobs if row["jobname"] != "load_orders"]
    else:
        raise ValueError(how)


class TestRecordedPgAgent(Reads, Logs, Deadlines, Reruns, Starts, Holds, Faults):
    kind = CONNECTOR
    against = "recorded: tables of a real pgAgent 4.2"
    elsewhere = ELSEWHERE_OF_POSTGRES
    unplayed = UNSENT_BY_A_DRIVER

    @pytest.fixture(autouse=True)
    def world(self, fake: FakePgAgent) -> None:
        self.fake = fake

    def connector(self) -> Connector:
        return connector_on(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = CONNECTOR.options(host=host, port=port, dbname="agents", user="headway")
        return CONNECTOR.open(options, host, SecretStore())

    def answering(self, how: str) -> Connector:
        other = FakePgAgent()
        nasty_tables(other, how)
        return connector_on(other)

    def crowded(self, runs: int) -> Connector:
        other = FakePgAgent()
        run, step = other.runs[0], other.step_log[0]
        other.runs = [run | {"jlgid": number} for number in range(1, runs + 1)]
        other.step_log = [step | {"jlgid": number} for number in range(1, runs + 1)]
        return PgAgentConnector(CrowdedClient(other))

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        run = self.latest("bad")
        step = next(row for row in self.fake.step_log if str(row["jlgid"]) == run.attempt_key)
        step |= {"output": "x" * size}
        return connector_on(self.fake), run

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        self.fake.page_rows = 100
        after = self.fake.newest
        self.fake.run(1, "s", jlgid=after + 2)
        self.fake.pass_time(5)

        def put() -> str:
            return str(self.fake.run(2, "f", -1, jlgid=after + 1)["jlgid"])

        return connector_on(self.fake), put

    def with_a_right_revoked(self) -> Connector:
        self.fake.access |= {"may_hold": False, "may_start": False}
        return connector_on(self.fake)

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.run(1, "z")
        return connector_on(self.fake)

    def make_success(self) -> str:
        return "load_orders"

    def make_failure(self) -> str:
        return "bad"

    def a_holdable_job(self) -> str:
        return "quiet"

    def pause_by_hand(self, job_id: str) -> None:
        self.fake.named(job_id).update(enabled=False)

    def resume_by_hand(self, job_id: str) -> None:
        self.fake.named(job_id).update(enabled=True)

    def let_it_fall_due(self, job_id: str) -> None:
        job = self.fake.named(job_id)
        job["is_due"] = job["enabled"]
        self.fake.work()

    def native_trace(self) -> object:
        return json.dumps([self.fake.jobs, self.fake.runs])

    def advance(self) -> None:
        self.fake.work()


def test_each_recorded_end_is_determined_by_its_evidence(fake: FakePgAgent) -> None:
    result = {key: (run.job, run.state) for key, run in polled_runs(fake).items()}
    assert {
        "1": ("load_orders", RunState.SUCCEEDED),
        "2": ("bad", RunState.FAILED),
        "3": ("script", RunState.FAILED),
        "4": ("partly", RunState.PARTIAL),
        "5": ("empty", RunState.SKIPPED),
        "6": ("#8:load_orders", RunState.SUCCEEDED),
        "7": ("long", RunState.RUNNING),
    } == result


def test_the_row_of_an_agent_that_came_second_is_no_run(fake: FakePgAgent) -> None:
    assert [("i", 6)] == [(row["status"], row["jobid"]) for row in fake.runs if row["jlgid"] == 8]
    assert "8" not in polled_runs(fake)


def test_an_output_that_is_anothers_error_makes_nothing_red(fake: FakePgAgent) -> None:
    """pgAgent's threads share a buffer: step 1 of run 6 ended well and bears the error of run 4."""
    run = polled_runs(fake)["6"]
    assert (RunState.SUCCEEDED, "") == (run.state, run.message)


@each_row(
    "status, kind, result, failed",
    [
        ("s", "s", 5, False), ("s", "s", 0, False), ("s", "s", -1, True), ("s", "b", 0, False), ("s", "b", 1, True),
        ("i", "s", 1, True), ("f", "b", 3, True), ("d", "s", None, True), ("r", "s", None, False),
        ("s", "s", None, False),
    ],
)  # fmt: skip
def test_a_step_failed_by_its_result_whatever_its_letter(status: str, kind: str, result: int, failed: bool) -> None:
    assert failed is parse.has_failed({"status": status, "kind": kind, "result": result})


def test_an_open_run_of_an_ended_agent_is_lost_and_read_again(fake: FakePgAgent) -> None:
    fake.agents[0]["alive"] = False
    fake.page_rows = 100
    poll = connector_on(fake).poll("", (), 5)
    lost = next(run for run in poll.runs if run.job == "long")
    assert (RunState.LOST, RunEvidence.INFERRED, None) == (lost.state, lost.evidence, lost.ended_at)
    assert NO_AGENT in (poll.stopped or "")
    fake.runs[6] |= {"status": "d"}  # the next agent's clearing
    aborted = polled_runs(fake, poll.cursor)["7"]
    assert (RunState.LOST, RunEvidence.NATIVE) == (aborted.state, aborted.evidence)


def test_a_number_allocated_first_and_written_last_is_not_lost(fake: FakePgAgent) -> None:
    """Threads of the agent take a jlgid and write its row moments later, in no order."""
    fake.page_rows = 100
    fake.run(1, "s", jlgid=12)
    first = connector_on(fake).poll("", (), 5)
    fake.run(2, "f", -1, jlgid=10)
    second = connector_on(fake).poll(first.cursor, (), 5)
    assert {"10": RunState.FAILED} == {run.attempt_key: run.state for run in second.runs if run.attempt_key != "7"}
    fake.pass_time(120)
    third = connector_on(fake).poll(second.cursor, (), 5)
    assert {"7": None} == json.loads(third.cursor)["again"]


def test_gaps_in_old_history_are_never_requested(fake: FakePgAgent) -> None:
    """A sequence has gaps, and people delete old rows: a gap means nothing."""
    fake.pass_time(3600)
    fake.runs = [row for row in fake.runs if row["jlgid"] in (2, 6)]
    fake.page_rows = 100
    assert {} == json.loads(connector_on(fake).poll("", (), 5).cursor)["again"]


def test_an_open_run_whose_row_was_deleted_is_unknown(fake: FakePgAgent) -> None:
    fake.page_rows = 100
    cursor = connector_on(fake).poll("", (), 5).cursor
    lost = RunRef("script", "x", "99", '{"jlgid": 0, "jobid": 3}')
    runs = {run.attempt_key: run for run in connector_on(fake).poll(cursor, (lost,), 5).runs}
    assert (RunState.UNKNOWN, "(row deleted)") == (runs["99"].state, runs["99"].native_state)


def test_replaced_rows_are_a_gap_and_are_read_again(fake: FakePgAgent) -> None:
    poll = connector_on(fake).poll('{"after": 9000, "again": {}}', (), 5)
    assert ((), True) == (poll.runs, poll.more)
    assert ["pgagent.pga_joblog ends at jlgid 8, and we had read up to 9000: rows are gone"] == [
        gap.reason for gap in poll.gaps
    ]
    assert connector_on(fake).poll(poll.cursor, (), 5).runs


def test_restarted_numbers_are_a_gap_however_few_were_read(fake: FakePgAgent) -> None:
    """TRUNCATE … RESTART IDENTITY of a log with 8 rows: the new rows 1 and 2 are read, not waited for until 9."""
    fake.page_rows = 100
    connector = connector_on(fake)
    cursor = connector.poll("", (), 5).cursor
    fake.runs, fake.step_log = [], []
    empty = connector.poll(cursor, (), 5)
    assert ((), ()) == (empty.gaps, empty.runs)
    fake.run(1, "s", jlgid=1)
    fake.run(2, "f", -1, jlgid=2)
    poll = connector.poll(empty.cursor, (), 5)
    assert ["pgagent.pga_joblog ends at jlgid 2, and we had read up to 8: rows are gone"] == [
        gap.reason for gap in poll.gaps
    ]
    assert ["1", "2"] == [run.attempt_key for run in connector.poll(poll.cursor, (), 5).runs]


@pytest.mark.parametrize("cursor", ["{", "[]", '{"after": "x"}', '{"after": 1, "again": []}', "null", "[" * 5000])
def test_a_foreign_cursor_restarts_the_read_with_a_notice(fake: FakePgAgent, cursor: str) -> None:
    poll = connector_on(fake).poll(cursor, (), 5)
    first = connector_on(fake).poll("", (), 5)
    assert (poll.runs, poll.cursor) == (first.runs, first.cursor)
    assert poll.warnings[0].startswith(CURSOR_UNREADABLE)


@pytest.mark.parametrize(
    "change",
    [{"jobid": None}, {"jobid": "x"}, {"jlgid": {}}, {"status": []}, {"started": "NaN"}, {"started": "9" * 400}],
)
def test_an_unreadable_row_is_skipped_or_kept_without_its_times(fake: FakePgAgent, change: dict[str, Any]) -> None:
    """Any content of a row gives RecordUnreadable or a record, and never success without proof."""
    row, steps = fake.runs[0] | change, [step for step in fake.step_log if step["jlgid"] == 1]
    try:
        record = parse.run(row, steps, {})
    except RecordUnreadable:
        return
    assert record.state == RunState.UNKNOWN or record.started_at is None


def test_a_row_that_cannot_be_read_leaves_the_others_alone(fake: FakePgAgent) -> None:
    fake.page_rows = 100
    fake.runs[0] |= {"jobid": "x"}
    poll = connector_on(fake).poll("", (), 5)
    assert ["jlgid 1"] == [item.where for item in poll.skipped]
    assert {"2", "3", "4", "5", "6", "7"} == {run.attempt_key for run in poll.runs}


def test_hostile_text_and_a_clock_an_hour_off_stay_data(fake: FakePgAgent) -> None:
    fake.named("bad")["jobname"] = "\x1b[31m[bold]rm -rf /\ud800"
    fake.step_log[1] |= {"output": "\udcff" * 5000 + "\x00", "name": "'; drop table t"}
    fake.pass_time(3600)
    run = polled_runs(fake)["2"]
    assert "\x1b[31m[bold]rm -rf /\ud800" == run.job
    assert RunState.FAILED == run.state
    clock = connector_on(fake).poll("", (), 5).clock
    assert clock is not None
    assert float(fake.access["clock"]) == pytest.approx(clock.target.timestamp())


def test_a_renamed_job_is_known_by_its_number_and_a_removed_one_keeps_its_name(fake: FakePgAgent) -> None:
    connector = connector_on(fake)
    before = {job.native_id: job.match_keys for job in connector.inventory("", 5).jobs}
    fake.named("script")["jobname"] = "script_v2"
    after = {job.native_id: job.match_keys for job in connector.inventory("", 5).jobs}
    assert before["script"] == after["script_v2"] == ("jobid:3",)
    fake.jobs = [row for row in fake.jobs if row["jobid"] != 2]
    fake.page_rows = 100
    assert "bad" in {run.job for run in connector.poll("", (), 5).runs}


def test_row_security_hides_and_an_empty_list_is_refused(fake: FakePgAgent) -> None:
    fake.access |= {"hidden": ["pga_job", "pga_joblog"], "role": "Poller"}
    some = connector_on(fake)
    assert (False, None) == (some.poll("", (), 5).complete, some.poll("", (), 5).seen_until)
    assert not some.inventory("", 5).complete
    fake.jobs, fake.runs = [], []
    with pytest.raises(AccessRefused, match="row security may hide rows of pga_job, pga_joblog from role Poller"):
        connector_on(fake).inventory("", 5)
    with pytest.raises(AccessRefused, match="row security"):
        connector_on(fake).poll("", (), 5)
    fixes = [right.fix for right in connector_on(fake).probe(5).rights if "see all rows" in right.name]
    assert 'CREATE POLICY "Poller_all" ON pgagent.pga_job FOR SELECT TO "Poller" USING (true);' == fixes[0]


def test_tables_that_cannot_be_read_are_refused_with_their_sql(fake: FakePgAgent) -> None:
    fake.access |= {"readable": ["pga_job"], "role": "Poller"}
    with pytest.raises(AccessRefused, match=r'GRANT SELECT ON pgagent\.pga_joblog TO "Poller";') as caught:
        connector_on(fake).inventory("", 5)
    assert "jstcode, jstdbname, jstonerror) ON pgagent.pga_jobstep" in str(caught.value)


@pytest.mark.parametrize(
    "change, text", [({"version": None}, "extension pgagent is not in this database"), ({"version": "3.4"}, "too old")]
)
def test_a_database_without_a_pgagent_that_we_know(fake: FakePgAgent, change: dict[str, object], text: str) -> None:
    fake.access |= change
    with pytest.raises(NotSupported, match=text):
        connector_on(fake).poll("", (), 5)


def test_a_standby_proves_no_missing_start_and_starts_nothing(fake: FakePgAgent) -> None:
    fake.access |= {"is_standby": True}
    fake.page_rows = 100
    connector = connector_on(fake)
    assert connector.poll("", (), 5).seen_until is None
    preview = connector.preview(ActionSpec(Verb.START, RunRef("load_orders", "x", "", ""), RunState.PLANNED), 5)
    assert "this server is a standby: pgAgent works on the primary only" == preview.refused


@pytest.mark.parametrize(
    "change, text",
    [
        ({"enabled": False}, "bad is not enabled in pgAgent, and no agent starts what is not"),
        ({"agent": 30302}, "bad runs now: pgAgent never starts a job beside itself"),
        ({"is_due": True}, "bad is due and about to start"),
        ({"host": "etl9"}, "no pgAgent on etl9 is connected: nothing would start bad. Start pgAgent on its host"),
    ],
)
def test_what_would_not_start_is_refused_with_its_reason(
    fake: FakePgAgent, change: dict[str, object], text: str
) -> None:
    fake.named("bad").update(change)
    run = polled_runs(fake)["2"]
    assert text == connector_on(fake).preview(ActionSpec(Verb.RERUN, ref(run), run.state), 5).refused


def test_a_rerun_of_a_removed_job_is_refused(fake: FakePgAgent) -> None:
    run_ref = RunRef("night_load", "2026-11-19T03:00:00Z", "12", '{"jlgid": 12, "jobid": 99}')
    preview = connector_on(fake).preview(ActionSpec(Verb.RERUN, run_ref, RunState.FAILED), 5)
    assert "night_load is no longer in pgagent.pga_job" == preview.refused


def test_the_started_run_is_unknown_without_its_table(fake: FakePgAgent) -> None:
    connector = connector_on(fake)
    preview = connector.preview(ActionSpec(Verb.RERUN, RunRef("bad", "x", "", ""), RunState.FAILED), 5)
    fake.access |= {"may_read_started": False}
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionUnknown)


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.MARK_OK, Verb.SKIP])
def test_what_pgagent_cannot_says_why(fake: FakePgAgent, verb: Verb) -> None:
    with pytest.raises(NotSupported, match=f"pgAgent cannot {verb}: "):
        connector_on(fake).preview(ActionSpec(verb, ref(polled_runs(fake)["7"]), RunState.RUNNING), 5)


def test_a_requested_start_is_no_scheduled_one(fake: FakePgAgent) -> None:
    """jobnextrun at no full minute was set by hand: it is no expected start, or it would be missed after its run."""
    quiet = fake.named("quiet")
    by_clock = {job.native_id: job.schedule for job in connector_on(fake).inventory("", 5).jobs}["quiet"]
    quiet["next_run"] = "1795250389.006859"
    by_hand = {job.native_id: job.schedule for job in connector_on(fake).inventory("", 5).jobs}["quiet"]
    assert by_clock.next_at is not None
    assert by_hand.next_at is None
    assert by_clock.expression == by_hand.expression == "*-1-1 0:0:00"


@pytest.mark.parametrize("change", [{"exceptions": 1}, {"until": "1799999999"}, {"is_to_come": True}])
def test_a_bounded_schedule_is_its_next_start_alone(fake: FakePgAgent, change: dict[str, object]) -> None:
    fake.schedules[0] |= change
    schedule = {job.native_id: job.schedule for job in connector_on(fake).inventory("", 5).jobs}["quiet"]
    assert "" == schedule.expression
    assert schedule.next_at is not None
    assert "only the next start is known" in schedule.text


def test_day_and_weekday_and_last_day_are_shown_as_calendar_events(fake: FakePgAgent) -> None:
    """An array of all false means "every", as one of all true does."""
    row = fake.schedules[0] | {"weekdays": [False, True] + [False] * 5, "months": [True] * 12}
    row |= {"monthdays": [True] + [False] * 30 + [True], "hours": [False] * 24}
    fake.schedules[0] = row
    schedule = {job.native_id: job.schedule for job in connector_on(fake).inventory("", 5).jobs}["quiet"]
    assert "Mon *-*-1 *:0:00;Mon *-*~1 *:0:00" == schedule.expression


@pytest.mark.parametrize("limit", [5, 16, 64, 1000])
def test_log_chunks_of_any_size_make_the_whole_log(fake: FakePgAgent, limit: int) -> None:
    fake.step_log[2] |= {"output": "größer als …\nhello\n"}
    connector = connector_on(fake)
    run = RunRef("script", "x", "3", '{"jlgid": 3, "jobid": 3}')
    text, start, more = "", "0", True
    while more:
        chunk = connector.log(run, start, limit, 5)
        assert len(chunk.text.encode()) <= limit
        text, start, more = text + chunk.text, chunk.next or "", chunk.more
    expected = "-- step 1 (batch) 2026-11-21T08:39:45Z\ngrößer als …\nhello\n-- failed, result 3\n-- job failed\n"
    assert expected == text


def test_a_run_whose_row_was_deleted_has_no_log(fake: FakePgAgent) -> None:
    with pytest.raises(NotSupported, match="run 999 of bad has no row"):
        connector_on(fake).log(RunRef("bad", "x", "999", '{"jlgid": 999, "jobid": 2}'), None, 1000, 5)
