"""Oracle's Scheduler by its profile, on a fake at the boundary of oracledb, by Oracle's documents."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from connectors.sdk import registry
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import HOUR_OFF, JOB_DELETED
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.errors import AccessRefused, AnswerLost, NotSupported, PermissionMissing
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from connectors.sql import drivers
from console.cli.connectors import grants_text
from tests.connectors.polls import read_at_once
from tests.connectors.sql.spoiled import spoiled
from tests.fakes.oracle import LOAD, MART, FakeOracleScheduler, failure
from tests.fakes.unsent import UNSENT_BY_A_DRIVER
from tests.lab.process import HANGS_SECONDS

KIND = registry.load("oracle_scheduler")
OWN = "tests/connectors/sql/test_oracle.py"
KEY = "headway-0123456789abcdef"


def test_the_grants_stop_at_an_error_and_are_made_in_the_database_of_the_jobs() -> None:
    """SYSDBA connects to the root, where CREATE USER fails, and sqlplus goes on after an error."""
    statements = [line for line in grants_text("oracle_scheduler").splitlines() if line and not line.startswith("--")]
    assert ["WHENEVER SQLERROR EXIT FAILURE", "ALTER SESSION SET CONTAINER = ORCLPDB1;"] == statements[:2]


def opened(port: int = 1521) -> Connector:
    options = KIND.options.model_validate({"dsn": {"env": "ORACLE"}})
    return KIND.open(options, "database", lambda _: f"oracle://headway:p%40ss@127.0.0.1:{port}/ORCLPDB1")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOracleScheduler]:
    server = FakeOracleScheduler()
    monkeypatch.setattr(drivers, "_oracle_driver", lambda: server)
    with server.listener:
        yield server


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # oracledb does not close a failed connect's socket
class TestOracleScheduler(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = KIND
    against = "fake: an Oracle of ours at the boundary of oracledb, by Oracle's documents"
    limits: ClassVar[dict[str, str]] = {"due": "nothing of the fake starts by a clock"}
    elsewhere: ClassVar[Mapping[str, str]] = {"429": OWN, "any status": OWN}
    unplayed: ClassVar[Mapping[str, str]] = UNSENT_BY_A_DRIVER

    @pytest.fixture(autouse=True)
    def world(self, fake: FakeOracleScheduler, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        self.fake, self.patch = fake, monkeypatch
        yield
        for thread in threading.enumerate():
            if thread.name == "headway-oracle":
                thread.join(HANGS_SECONDS)

    def connector(self) -> Connector:
        return opened()

    def connector_at(self, host: str, port: int) -> Connector:
        self.patch.undo()  # the driver itself
        return opened(port)

    def make_success(self) -> str:
        return MART

    def make_failure(self) -> str:
        return LOAD

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.ran(MART, "PENDING_REVIEW", self.fake.now - timedelta(minutes=9))
        return opened()

    def a_running_run(self) -> RunRecord:
        self.fake.hangs.add(MART)
        self.fake.running[MART] = self.fake.begins(MART, self.fake.now)
        polls = self.polls_until_end(opened(), "")
        return next(run for poll in polls for run in poll.runs if run.state is RunState.RUNNING)

    def pause_by_hand(self, job_id: str) -> None:
        self.fake.enabled[job_id] = False

    def resume_by_hand(self, job_id: str) -> None:
        self.fake.enabled[job_id] = True

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            self.fake.enabled.pop(MART)
        elif how == HOUR_OFF:
            self.fake.now = datetime.now(UTC) + timedelta(hours=1)
        else:
            self.fake.spoil = lambda rows: spoiled(rows, how)
        connector = opened()
        if how not in (JOB_DELETED, HOUR_OFF):
            self.patch.setattr(connector, "close", lambda: setattr(self.fake, "spoil", None))
        return connector

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "headway_agent.runs"
        return opened()

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        late = self.fake.begins(LOAD, self.fake.now - timedelta(seconds=20))
        self.fake.ran(MART, "SUCCEEDED", self.fake.now - timedelta(seconds=15), 5)

        def commit() -> str:
            return str(self.fake.ends(late, "FAILED", 5)["log_id"])

        return opened(), commit

    def crowded(self, runs: int) -> Connector:
        shape = {"job_id": MART, "action_key": None, "state": "SUCCEEDED", "seconds": 1, "message": ""}
        crowd = [{"log_id": number, "run_id": str(number), "started": "2026-01-01T00:00:00.000Z", **shape}
                 for number in range(1, runs + 1)]  # fmt: skip
        self.patch.setattr(self.fake, "runs", lambda: crowd)
        return opened()

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        for row in self.fake.details:
            row["info"] = "0123456789abcde\n" * (size // 16)
        connector = opened()
        return connector, next(iter(connector.poll("", (), 5).runs))

    def native_trace(self) -> object:
        fake = self.fake
        return json.dumps([fake.enabled, fake.details, fake.requests, fake.notes], default=str)

    def advance(self) -> None:
        self.fake.tick()


def test_rows_that_were_purged_before_they_were_read_are_a_gap(fake: FakeOracleScheduler) -> None:
    connector = opened()
    _, cursor = read_at_once(connector)
    fake.ran(MART, "SUCCEEDED", fake.now - timedelta(minutes=20), 60)
    poll = connector.poll(cursor, (), 10)
    assert (1, ()) == (len(poll.runs), poll.gaps)
    fake.number += 3
    fake.oldest = fake.ran(MART, "SUCCEEDED", fake.now - timedelta(minutes=10), 60)["log_id"]
    assert ["3 rows were deleted before they were read: runs among them are unknown. Keep more history"] == [
        gap.reason for gap in connector.poll(poll.cursor, (), 10).gaps
    ]


def test_purged_rows_of_jobs_of_oracle_are_no_gap(fake: FakeOracleScheduler) -> None:
    """Its maintenance runs often, and a user's job less often than the log retention."""
    connector = opened()
    cursor = read_at_once(connector)[1]
    for _ in range(3):
        fake.number += 500
        fake.newest_of_oracle = fake.number
        runs, cursor = read_at_once(connector, cursor)
        assert {} == runs
    fake.oldest, number = fake.number, fake.number + 1
    row = fake.ran(MART, "SUCCEEDED", fake.now - timedelta(minutes=10), 60)
    poll = connector.poll(cursor, (), 10)
    assert ([str(number)], (), number) == ([run.attempt_key for run in poll.runs], poll.gaps, row["log_id"])


def test_a_run_keeps_its_log_id_from_start_to_end_behind_runs_with_higher_ones(fake: FakeOracleScheduler) -> None:
    connector = opened()
    fake.running[LOAD] = fake.begins(LOAD, fake.now)
    fake.ran(MART, "SUCCEEDED", fake.now - timedelta(seconds=50), 40)
    runs, cursor = read_at_once(connector)
    key = str(fake.running[LOAD]["log_id"])
    assert (RunState.RUNNING, None) == (runs[key].state, runs[key].ended_at)
    fake.tick()
    assert {key: RunState.SUCCEEDED} == {name: run.state for name, run in read_at_once(connector, cursor)[0].items()}


def test_a_run_that_ends_without_a_row_in_the_log_is_unknown(fake: FakeOracleScheduler) -> None:
    """As of a job whose logging_level is OFF or FAILED RUNS."""
    connector = opened()
    fake.running[LOAD] = fake.begins(LOAD, fake.now)
    runs, cursor = read_at_once(connector)
    run = runs[str(fake.running.pop(LOAD)["log_id"])]
    assert [RunState.UNKNOWN] == [item.state for item in connector.poll(cursor, [ref(run)], 10).runs]


def test_a_run_that_the_database_ended_is_failed_and_a_stopped_one_is_cancelled(fake: FakeOracleScheduler) -> None:
    rows = {state: fake.ran(LOAD, state, fake.now - timedelta(minutes=9)) for state in ("TERMINATED", "STOPPED")}
    runs = read_at_once(opened())[0]
    states = {state: runs[str(row["log_id"])].state for state, row in rows.items()}
    assert {"TERMINATED": RunState.FAILED, "STOPPED": RunState.CANCELLED} == states


def test_the_log_of_a_chain_has_its_steps(fake: FakeOracleScheduler) -> None:
    fake.details[-1]["steps"] += [("EXTRACT", "SUCCEEDED"), ("LOAD", "FAILED")]
    connector = opened()
    run = read_at_once(connector)[0][str(fake.number)]
    text = connector.log(ref(run), None, 10_000, 10).text
    assert ["step EXTRACT: SUCCEEDED", "step LOAD: FAILED", "FAILED ORA-01653"] == [
        line.strip() for line in text.splitlines()
    ]


def test_a_rerun_is_queued_under_its_key_and_a_job_that_runs_or_is_about_to_refuses(fake: FakeOracleScheduler) -> None:
    connector = opened()
    run = read_at_once(connector)[0][str(fake.number)]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    fake.loses_answer_of = "start_job"
    with pytest.raises(AnswerLost, match="Connection reset by peer"):
        connector.act(preview, KEY, 10)
    assert RunState.QUEUED is read_at_once(connector)[0][KEY].state
    for _ in range(2):
        with pytest.raises(NotSupported, match="the job is running, or is about to"):
            connector.act(preview, KEY.replace("0", "1"), 10)
        fake.tick()
        assert KEY == read_at_once(connector)[0][KEY].action_key


def test_a_job_that_the_package_may_not_alter_names_the_missing_right(fake: FakeOracleScheduler) -> None:
    connector = opened()
    run = read_at_once(connector)[0][str(fake.number)]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    fake.error = failure(27486, "insufficient privileges")
    with pytest.raises(PermissionMissing, match="27486"):
        connector.act(preview, KEY, 10)


def test_a_dsn_of_another_database_is_refused() -> None:
    options = KIND.options.model_validate({"dsn": {"env": "ORACLE"}})
    with pytest.raises(AccessRefused, match=r"secret env ORACLE: must begin with oracle://"):
        KIND.open(options, "database", lambda _: "postgresql://a:b@c/d")


@pytest.mark.parametrize("value, forbidden, is_stopped", [
    ("ENABLED", "", False), ("NO PROCESSES", "", True), ("DISABLED", "", True), (None, "", False),
    ("DISABLED", "headway_agent.liveness", False),
])  # fmt: skip
def test_a_scheduler_without_processes_or_disabled_is_stopped(
    fake: FakeOracleScheduler, value: str | None, forbidden: str, is_stopped: bool
) -> None:
    """An installation whose script of the rights is older has no such view: that proves nothing."""
    fake.scheduler, fake.forbidden = value, forbidden
    poll = opened().poll("", (), 10)
    assert is_stopped == bool(poll.stopped)
    assert poll.runs
