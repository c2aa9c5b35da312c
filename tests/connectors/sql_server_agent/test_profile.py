"""SQL Server Agent by its profile, on a fake at the boundary of python-tds, by Microsoft's description of msdb."""

from __future__ import annotations

import json
import ssl
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import ClassVar

import certifi
import pytds
import pytest
from pydantic import ValidationError

from connectors.sdk import registry
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.actions import hold_ask
from connectors.sdk.conformance.faults import HOUR_OFF, JOB_DELETED
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import ActionSpec, Connector, ConnectorKind
from connectors.sdk.errors import (
    AccessRefused,
    AnswerLost,
    ConnectorError,
    InvalidAnswer,
    NotSupported,
    PermissionMissing,
    RateLimited,
    SystemUnreachable,
)
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from connectors.sql import drivers
from console.cli.connectors import trial_lines, try_target
from tests.connectors.polls import read_at_once
from tests.connectors.sql.spoiled import spoiled
from tests.fakes.sql_server import LOAD, MART, ZONE, FakeSqlServer, failure, local
from tests.fakes.unsent import UNSENT_BY_A_DRIVER
from tests.rows import each_row

KIND = registry.load("sql_server_agent")
SQL = registry.load("sql")
OWN = "tests/connectors/sql_server_agent/test_profile.py"


def opened(fake: FakeSqlServer, port: int = 0, zone: str = ZONE, kind: ConnectorKind = KIND) -> Connector:
    options = kind.options.model_validate({"dsn": {"env": "MSDB"}, "zone": zone})
    return kind.open(options, "database", lambda _: f"mssql://headway:p%40ss@127.0.0.1:{port or fake.port}/msdb")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSqlServer]:
    server = FakeSqlServer()
    monkeypatch.setattr(drivers, "_driver", lambda: server)
    with server.listener:
        yield server


class TestSqlServerAgent(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = KIND
    against = "fake: a SQL Server of ours at the boundary of python-tds, by Microsoft's description of msdb"
    limits: ClassVar[dict[str, str]] = {"due": "nothing of the fake starts by a clock"}
    elsewhere: ClassVar[Mapping[str, str]] = {"429": OWN, "any status": OWN}
    unplayed: ClassVar[Mapping[str, str]] = UNSENT_BY_A_DRIVER

    @pytest.fixture(autouse=True)
    def world(self, fake: FakeSqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake, self.patch = fake, monkeypatch

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        self.patch.undo()  # the driver itself
        return opened(self.fake, port)

    def make_success(self) -> str:
        return MART

    def make_failure(self) -> str:
        return LOAD

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.ran(MART, 5, self.fake.now - timedelta(minutes=9))
        return opened(self.fake)

    def a_running_run(self) -> RunRecord:
        self.fake.hangs.add(MART)
        self.fake.activity[MART] = self.fake.now
        polls = self.polls_until_end(opened(self.fake), "")
        return next(run for poll in polls for run in poll.runs if run.state is RunState.RUNNING)

    def pause_by_hand(self, job_id: str) -> None:
        self._enable(job_id, 0)

    def resume_by_hand(self, job_id: str) -> None:
        self._enable(job_id, 1)

    def _enable(self, job_id: str, enabled: int) -> None:
        next(row for row in self.fake.jobs if row["job_id"] == job_id)["enabled"] = enabled

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            self.fake.jobs.pop()
        elif how == HOUR_OFF:
            self.fake.now = datetime.now(UTC) + timedelta(hours=1)
        else:
            self.fake.spoil = lambda rows, _: spoiled(rows, how)
        connector = opened(self.fake)
        if how not in (JOB_DELETED, HOUR_OFF):
            self.patch.setattr(connector, "close", lambda: setattr(self.fake, "spoil", None))
        return connector

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "headway.runs"
        return opened(self.fake)

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        late = self.fake.ran(LOAD, 0, self.fake.now - timedelta(seconds=20), 5)
        self.fake.ran(MART, 1, self.fake.now - timedelta(seconds=15), 5)
        self.fake.history.remove(late)

        def commit() -> str:
            self.fake.history.append(late)
            return f"{LOAD}/{late['began']}"

        return opened(self.fake), commit

    def crowded(self, runs: int) -> Connector:
        shape = {"job_id": MART, "action_key": None, "state": "succeeded", "seconds": 1, "message": ""}
        crowd = [{"instance_id": number, "run_id": f"{MART}/{number}", "started": "20260101T000000", **shape}
                 for number in range(1, runs + 1)]  # fmt: skip
        self.patch.setattr(self.fake, "runs", lambda: crowd)
        return opened(self.fake)

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        for step in self.fake.history:
            step["message"] = "0123456789abcde\n" * (size // 48)
        connector = opened(self.fake)
        return connector, next(iter(connector.poll("", (), 5).runs))

    def native_trace(self) -> object:
        return json.dumps([self.fake.jobs, self.fake.history, self.fake.requests, self.fake.notes])

    def advance(self) -> None:
        self.fake.tick()


def test_a_trial_shows_each_statement_with_its_values_and_no_secret(fake: FakeSqlServer) -> None:
    lines = [*trial_lines(try_target(opened(fake), "msdb/database", 10))]
    jobs, agent, runs = [line.removeprefix("  request  ") for line in lines if line.startswith("  request")]
    columns = "job_id, name, enabled, owner, note, schedule, next_at, definition"
    assert f"SELECT {columns} FROM headway.jobs × 2" == jobs
    assert " FROM headway.runs WHERE instance_id > '-1' OR instance_id IS NULL OR run_id IN " in runs
    assert "{" not in runs
    assert agent.startswith("SELECT status_desc FROM sys.dm_server_services ")
    assert any(line.startswith("  state    'failed'") for line in lines)
    assert "p@ss" not in "".join(lines)


def test_rows_that_were_deleted_before_they_were_read_are_a_gap(fake: FakeSqlServer) -> None:
    connector = opened(fake)
    _, cursor = read_at_once(connector)
    assert () == connector.poll(cursor, (), 10).gaps
    for minutes in (20, 15, 10):
        fake.ran(MART, 1, fake.now - timedelta(minutes=minutes), 60)
    fake.purge(fake.number - 3)
    poll = connector.poll(cursor, (), 10)
    assert ["6 rows were deleted before they were read: runs among them are unknown. Keep more history"] == [
        gap.reason for gap in poll.gaps
    ]
    assert () == connector.poll(poll.cursor, (), 10).gaps, "told once"


def test_local_times_are_read_in_the_zone_of_the_server_and_a_duration_is_exact_where_its_clock_changes(
    fake: FakeSqlServer,
) -> None:
    began = datetime(2025, 10, 25, 23, 30, tzinfo=UTC)  # 01:30 in summer; the clock goes back at 01:00 UTC
    fake.ran(MART, 1, began, 7200)
    run = read_at_once(opened(fake))[0][f"{MART}/20251026013000"]
    assert (began, began + timedelta(hours=2)) == (run.started_at, run.ended_at)


def test_a_run_is_its_outcome_and_keeps_its_identity_from_start_to_end(fake: FakeSqlServer) -> None:
    connector = opened(fake)
    before, cursor = read_at_once(connector)
    assert 10 == len(before), "steps are no runs"
    fake.activity[LOAD] = began = fake.now
    running, cursor = read_at_once(connector, cursor)
    [(key, run)] = running.items()
    assert run.started_at is not None
    assert (RunState.RUNNING, local(began), None) == (
        run.state,
        local(run.started_at),
        run.ended_at,
    )  # times have no zone
    fake.tick()
    ended, _ = read_at_once(connector, cursor)
    assert {key: RunState.SUCCEEDED} == {name: run.state for name, run in ended.items()}


def test_a_retry_is_open(fake: FakeSqlServer) -> None:
    row = fake.ran(LOAD, 2, fake.now - timedelta(minutes=8))
    assert RunState.RETRYING is read_at_once(opened(fake))[0][f"{LOAD}/{row['began']}"].state


def test_the_log_is_the_steps_of_the_run_alone(fake: FakeSqlServer) -> None:
    connector = opened(fake)
    run = [run for run in read_at_once(connector)[0].values() if run.job == LOAD][-1]
    text = connector.log(ref(run), None, 10_000, 10).text
    assert ["step 1 extract", "step 2 load", "step 0 (Job outcome)"] == [
        line.partition(" ")[2].partition(":")[0] for line in text.splitlines()
    ]


def test_a_rerun_that_has_not_started_is_queued_under_its_key_and_a_running_job_refuses(fake: FakeSqlServer) -> None:
    connector, key = opened(fake), "headway-0123456789abcdef"
    run = [run for run in read_at_once(connector)[0].values() if run.job == LOAD][-1]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    assert "start the job at the step that failed" == preview.verb
    fake.loses_answer_of = "start_job"
    with pytest.raises(AnswerLost, match="Connection reset by peer"):
        connector.act(preview, key, 10)
    assert RunState.QUEUED is read_at_once(connector)[0][key].state
    fake.tick()
    assert (RunState.RUNNING, key) == ((now := read_at_once(connector)[0][key]).state, now.action_key)
    with pytest.raises(NotSupported, match=r"the job is running \(error 50000\)"):
        connector.act(preview, key.replace("0", "1"), 10)


@pytest.mark.parametrize(
    "number, kind",
    [
        (18456, AccessRefused), (4060, AccessRefused), (229, PermissionMissing), (1205, RateLimited),
        (1222, RateLimited), (9002, InvalidAnswer), (6005, SystemUnreachable), (208, NotSupported),
    ],
)  # fmt: skip
def test_errors_of_the_server_are_sorted_by_what_happens_next(
    fake: FakeSqlServer, number: int, kind: type[ConnectorError]
) -> None:
    fake.refuses_connects = failure(number, "the server's text")
    with pytest.raises(ConnectorError, match="the server's text") as raised:
        opened(fake).poll("", (), 10)
    assert kind is type(raised.value)


def test_a_lost_connection_is_unreachable_and_an_odd_answer_is_named(fake: FakeSqlServer) -> None:
    for error, kind in (
        (pytds.tds_base.ClosedConnectionError(), SystemUnreachable),
        (EOFError("cut"), SystemUnreachable),
        (pytds.tds_base.InterfaceError("Invalid token"), InvalidAnswer),
    ):
        fake.refuses_connects = error
        with pytest.raises(ConnectorError) as raised:
            opened(fake).poll("", (), 10)
        assert kind is type(raised.value)


def test_each_query_is_bounded_and_locks_are_waited_for_half_the_time(fake: FakeSqlServer) -> None:
    opened(fake).poll("", (), 10)
    [limit, clock, runs, *_, agent] = fake.statements
    assert 4000 < int(limit.removeprefix("SET LOCK_TIMEOUT ")) <= 5000
    assert "SYSUTCDATETIME" in clock
    assert runs.startswith("SELECT TOP (1000) q.* FROM (")
    assert runs.endswith("ORDER BY q.[instance_id]")
    assert agent.startswith("SELECT TOP (1) q.* FROM (")


def test_a_missing_driver_names_its_install_line(fake: FakeSqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "pytds", None)
    with pytest.raises(NotSupported, match=r'needs python-tds: .*Fix: pip install "headway\[mssql\]"'):
        opened(fake).poll("", (), 10)


@each_row("dsn", ["postgresql://a:b@c/d", "mssql://host/msdb", "mssql://u:p@h:x/msdb", "mssql://u@h?tls=no"])
def test_a_dsn_that_cannot_be_used_is_refused_without_showing_it(dsn: str) -> None:
    options = KIND.options.model_validate({"dsn": {"env": "MSDB"}, "zone": ZONE})
    with pytest.raises(AccessRefused, match="secret env MSDB") as raised:
        KIND.open(options, "database", lambda _: dsn)
    assert dsn not in str(raised.value)


def test_an_unencrypted_server_elsewhere_is_reported() -> None:
    login = drivers.login_of("mssql://u:p@db.internal/msdb?tls=off", KIND.options.model_validate(
        {"dsn": {"env": "MSDB"}, "zone": ZONE}).dsn, None)  # fmt: skip
    assert ("tls=off in the DSN: the server is not verified",) == tuple(t.partition(",")[0] for t in login.unverified)
    assert (None, "msdb", 1433) == (login.ca, login.database, login.port)


def test_a_server_elsewhere_is_verified_and_an_oracle_has_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    ref = KIND.options.model_validate({"dsn": {"env": "MSDB"}, "zone": ZONE}).dsn
    assert "/ca.pem" == drivers.login_of("mssql://u:p@db.internal/msdb", ref, "/ca.pem").ca
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SimpleNamespace(cafile=None))
    assert certifi.where() == drivers.login_of("mssql://u:p@db.internal/msdb", ref, None).ca
    with pytest.raises(AccessRefused, match=r"oracle://user:password@host:1521/database"):
        drivers.login_of("oracle://u:p@db.internal", ref, None)


def test_the_zone_is_one() -> None:
    with pytest.raises(ValidationError, match='"Europe/Berlim" is not a time zone; did you mean "Europe/Berlin"'):
        KIND.options.model_validate({"dsn": {"env": "MSDB"}, "zone": "Europe/Berlim"})


def test_tables_of_a_config_are_read_from_sql_server_by_the_scheme_of_the_dsn(fake: FakeSqlServer) -> None:
    jobs = {"query": "SELECT job_id, name FROM headway.jobs", "id": "job_id"}
    runs = {"query": "SELECT * FROM headway.runs WHERE n > {cursor} OR n IN ({open})", "cursor": "n", "id": "n",
            "job": "job_id", "state": "state"}  # fmt: skip
    states = {"succeeded": "succeeded"}
    options = SQL.options.model_validate({"dsn": {"env": "OPS"}, "jobs": jobs, "runs": runs, "states": states})
    connector = SQL.open(options, "database", lambda _: f"mssql://headway:p@127.0.0.1:{fake.port}/ops")
    assert [LOAD, MART] == [job.native_id for job in connector.inventory("", 10).jobs]
    assert "SQL Server 16.0.4135.4" == connector.probe(10).version


def test_a_hold_changes_no_job_whose_definition_is_the_text_that_takes_the_mark(fake: FakeSqlServer) -> None:
    document = tomllib.loads(registry.profiles()["sql_server_agent"].read_text(encoding="utf-8"))
    document["jobs"]["definition"] = "note"
    kind = registry.profile_model(document).model_validate(document, context={}).connector_kind()
    connector, fake.notes[LOAD] = opened(fake, kind=kind), "orders of all shops"
    before = connector.inventory("", 10).jobs
    preview = connector.preview(hold_ask(LOAD), 10)
    connector.act(preview, "headway-0123456789abcdef", 10)
    assert "headway-0123456789abcdef" in fake.notes[LOAD]
    assert [(job.definition, job.definition_hash) for job in before] == [
        (job.definition, job.definition_hash) for job in connector.inventory("", 10).jobs
    ]


@each_row("status, forbidden, stopped", [
    ("Running", "", ""),
    ("Stopped", "", "the service SQL Server Agent is stopped"),
    ("Paused", "", "the service SQL Server Agent is paused"),
    ("Other (start operation pending)", "", ""),
    (None, "", ""),
    ("Stopped", "sys.dm_server_services", ""),
])  # fmt: skip
def test_a_stopped_service_is_reported_and_a_refused_or_missing_row_proves_nothing(
    fake: FakeSqlServer, status: str | None, forbidden: str, stopped: str
) -> None:
    """By Microsoft's page of sys.dm_server_services, which needs VIEW SERVER STATE."""
    fake.agent, fake.forbidden = status, forbidden
    poll = opened(fake).poll("", (), 10)
    assert stopped == (poll.stopped or "").partition(". Fix: ")[0]
    assert poll.runs
    probe = opened(fake).probe(10)
    assert bool(stopped) == any(right.name == "jobs start here" for right in probe.rights)
    assert bool(forbidden) == any("whether jobs start here is unknown" in note for note in probe.notes)
