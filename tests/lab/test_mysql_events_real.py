"""Events on a real MariaDB, as the roles that grants.sql makes. MySQL is not run here: it is documented only.

Seconds are the scheduler's unit; all events are made once, and all tests look at what came of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pymysql
import pytest

from connectors.mysql_events.client import EVENTS_OF_TABLE, EVENTS_OF_VIEW
from connectors.mysql_events.connector import CONNECTOR
from connectors.mysql_events.parse import TOO_OFTEN, every
from connectors.sdk.conformance import Deadlines, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, Connector
from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import ProofLevel, RunEvidence, RunState, Verb
from tests.lab.mariadb import GRANTS, PASSWORDS, MariaDb
from tests.lab.process import private_folder, remove_folder, wait_until

LOG_TABLE = """
CREATE TABLE ops.event_log (
    run_id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    event_schema VARCHAR(64) NOT NULL, event_name VARCHAR(64) NOT NULL,
    started_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), ended_at TIMESTAMP(6) NULL,
    status VARCHAR(16) NOT NULL DEFAULT 'running', message TEXT NULL, row_count BIGINT NULL,
    connection_id BIGINT UNSIGNED NULL, action_key VARCHAR(64) NULL)
"""
LOGGED = """
CREATE EVENT ops.{name} ON SCHEDULE {when} DO
BEGIN
    DECLARE run BIGINT UNSIGNED;
    DECLARE changed BIGINT;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION
    BEGIN
        GET DIAGNOSTICS CONDITION 1 @why = MESSAGE_TEXT;
        UPDATE ops.event_log SET status = 'failed', ended_at = NOW(6), message = @why WHERE run_id = run;
        RESIGNAL;
    END;
    INSERT INTO ops.event_log (event_schema, event_name, connection_id, action_key)
        VALUES ('ops', '{name}', CONNECTION_ID(), @headway_action_key);
    SET run = LAST_INSERT_ID();
    {work};
    SET changed = ROW_COUNT();
    UPDATE ops.event_log SET status = 'succeeded', ended_at = NOW(6), row_count = changed WHERE run_id = run;
END
"""
ONCE_A_DAY = "EVERY 1 DAY STARTS '2026-01-01 03:00:00'"
NOW = "EVERY 1 DAY"


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    folder = private_folder("mariadb")
    maria_db = MariaDb(folder / "server")
    maria_db.start()
    try:
        yield maria_db
    finally:
        maria_db.stop()
        remove_folder(folder)


@pytest.fixture(scope="module")
def events(server: MariaDb) -> MariaDb:
    """Events of every sort, each with a first start where it is due now."""
    server.execute(LOG_TABLE)
    server.execute("CREATE TABLE ops.numbers (x INT)")
    server.execute("GRANT SELECT ON ops.event_log TO headway_view_role")
    works = {
        "good": (NOW, "INSERT INTO ops.numbers VALUES (1), (2)"),
        "bad": (NOW, "INSERT INTO ops.nosuch VALUES (1)"),
        "ticking": ("EVERY 2 SECOND", "INSERT INTO ops.numbers VALUES (5)"),
        "later": (ONCE_A_DAY, "INSERT INTO ops.numbers VALUES (3)"),
        "sleeper": (ONCE_A_DAY, "DO SLEEP(300)"),
    }
    for name, (when, work) in works.items():
        server.execute(LOGGED.format(name=name, when=when, work=work))
    server.execute(f"CREATE EVENT ops.silent ON SCHEDULE {NOW} DO INSERT INTO ops.nosuch VALUES (1)")
    server.execute("CREATE DATABASE fast")
    server.execute("CREATE EVENT fast.often ON SCHEDULE EVERY 1 SECOND DO INSERT INTO ops.numbers VALUES (9)")
    server.execute(f"CREATE EVENT ops.off ON SCHEDULE {ONCE_A_DAY} DISABLE DO INSERT INTO ops.numbers VALUES (4)")
    ended = "SELECT COUNT(DISTINCT event_name) FROM ops.event_log WHERE status IN ('succeeded', 'failed')"
    silent = "SELECT last_executed FROM mysql.event WHERE name = 'silent'"
    wait_until(lambda: server.execute(ended)[0][0] == 3 and server.execute(silent)[0][0], "the first runs")
    return server


@pytest.fixture(autouse=True)
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for role, password in PASSWORDS.items():
        monkeypatch.setenv(f"HEADWAY_DB_{role.upper()}", password)


def connect(server: MariaDb, role: str, host: str = "127.0.0.1", port: int | None = None, **more: object) -> Connector:
    """A connector as this account, its password given as a reference."""
    given = {"host": host, "port": port or server.port, "user": role, "password": {"env": f"HEADWAY_DB_{role.upper()}"}}
    options = CONNECTOR.options.model_validate({"log_table": "ops.event_log", **given, **more})
    return CONNECTOR.open(options, host, SecretStore())


class TestMariaDbConformance(Reads, Logs, Deadlines, Reruns, Starts, Holds):
    """With headway_act_role."""

    kind = CONNECTOR
    against = "real: MariaDB 10.11"
    limits: ClassVar[dict[str, str]] = {"unknown_word": "what stands in the log table is the user's own: see the fake"}

    @pytest.fixture(autouse=True)
    def world(self, events: MariaDb) -> None:
        self.server = events

    def connector(self) -> Connector:
        """Of `ops` alone: an event that starts each second keeps no start for a second look."""
        return connect(self.server, "headway_act", schemas=["ops"])

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(self.server, "headway_act", host, port)

    def make_success(self) -> str:
        return "ops.good"

    def make_failure(self) -> str:
        return "ops.bad"

    def a_holdable_job(self) -> str:
        return "ops.ticking"

    def a_job_to_start_held(self) -> str:
        return "ops.good"

    def pause_by_hand(self, job_id: str) -> None:
        self.server.execute(f"ALTER EVENT {job_id} DISABLE")

    def resume_by_hand(self, job_id: str) -> None:
        self.server.execute(f"ALTER EVENT {job_id} ENABLE")

    def let_it_fall_due(self, job_id: str) -> None:
        """Each second event is due meanwhile; `fast.often` shows that the scheduler was awake."""
        starts_of_often(self.server, 4)

    def test_the_end_of_a_long_message_is_shown(self) -> None:
        """The end of a long message is shown, and the log says that it is cut. Not 50 MB: a packet holds 16."""
        run = self.latest(self.make_failure())
        message = "CONCAT(REPEAT('ä', 3000000), ' the last word')"
        self.server.execute("ALTER TABLE ops.event_log MODIFY message LONGTEXT")
        self.server.execute(f"UPDATE ops.event_log SET message = {message} WHERE run_id = {int(run.attempt_key)}")
        with self.opened() as connector:
            tail = connector.log(ref(run), None, 4096, self.timeout_seconds)
            piece = connector.log(ref(run), "5999990", 4096, self.timeout_seconds)
        assert (True, True) == (tail.cut, tail.text.endswith("the last word\n"))
        assert (False, True) == (piece.more, piece.text.startswith("ä"))

    def native_trace(self) -> object:
        columns = "db, name, body, definer, status, CAST(sql_mode AS CHAR), starts, comment, time_zone"
        return self.server.execute(f"SELECT {columns} FROM mysql.event ORDER BY db, name")


def starts_of_often(server: MariaDb, number: int) -> None:
    """Waits for so many starts of the event that starts each second."""
    query = "SELECT UNIX_TIMESTAMP(last_executed) FROM mysql.event WHERE name = 'often'"
    began = server.execute(query)[0][0]
    wait_until(lambda: server.execute(query)[0][0] >= began + number, f"{number} starts more")


def runs_of(connector: Connector, job: str) -> list[RunRecord]:
    """All attempts of one event, oldest first."""
    runs: list[RunRecord] = []
    cursor, more = "", True
    while more:
        poll = connector.poll(cursor, (), 10)
        runs, cursor, more = runs + list(poll.runs), poll.cursor, poll.more
    return [run for run in runs if run.job == job]


@pytest.fixture
def view(events: MariaDb) -> Iterator[Connector]:
    connector = connect(events, "headway_view")
    yield connector
    connector.close()


@pytest.fixture
def act(events: MariaDb) -> Iterator[Connector]:
    connector = connect(events, "headway_act")
    yield connector
    connector.close()


def test_least_privilege_sees_every_event_with_the_proof_it_has(view: Connector) -> None:
    inventory = view.inventory("", 10)
    assert inventory.complete
    jobs = {job.native_id: job for job in inventory.jobs}
    proofs = {"ops.good": ProofLevel.EXIT, "ops.silent": ProofLevel.START, "fast.often": ProofLevel.START}
    assert proofs == {name: jobs[name].proof for name in proofs}
    assert ("mysql_events", "*-*-* 03:00:00", "+00:00") == (
        jobs["ops.later"].schedule.dialect, jobs["ops.later"].schedule.expression, jobs["ops.later"].schedule.zone
    )  # fmt: skip
    assert jobs["ops.off"].paused
    assert "none" == jobs["fast.often"].schedule.dialect
    assert TOO_OFTEN in jobs["fast.often"].schedule.text


def test_a_start_is_all_that_is_known_of_an_event_that_logs_nothing(view: Connector) -> None:
    """It failed, and the server keeps the same as of a success: never green, never red."""
    run = runs_of(view, "ops.silent")[-1]
    assert (RunState.UNKNOWN, RunEvidence.INFERRED, None) == (run.state, run.evidence, run.ended_at)
    assert run.started_at is not None
    with pytest.raises(NotSupported, match="is not recorded"):
        view.log(ref(run), None, 1000, 10)


def test_starts_between_two_polls_are_a_gap(view: Connector, events: MariaDb) -> None:
    cursor = view.poll("", (), 10).cursor
    starts_of_often(events, 3)
    gaps = [gap.reason for gap in view.poll(cursor, (), 10).gaps]
    assert ["fast.often may have started between two polls: an event keeps its last start only"] == gaps


def test_the_log_table_contains_end_outcome_rows_and_error(view: Connector) -> None:
    good, bad = runs_of(view, "ops.good")[0], runs_of(view, "ops.bad")[0]
    assert (RunState.SUCCEEDED, {"rows": 2}) == (good.state, dict(good.context))
    assert (RunState.FAILED, "Table 'ops.nosuch' doesn't exist") == (bad.state, bad.message)
    assert "-- failed\nTable 'ops.nosuch' doesn't exist\n" == view.log(ref(bad), None, 1000, 10).text


def test_the_view_role_can_read_and_is_refused_by_the_server(view: Connector, events: MariaDb) -> None:
    run = runs_of(view, "ops.bad")[-1]
    preview = view.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    assert preview.refused is not None
    assert "GRANT headway_act_role TO" in preview.refused
    with pytest.raises(AccessRefused, match="execute command denied"):
        view.act(replace(preview, refused=None), new_key(), 10)
    missing = {right.name: right.fix for right in view.probe(10).rights if not right.held}
    assert {"rerun or start an event", "hold and release an event"} == set(missing)
    assert "GRANT headway_act_role TO 'headway_view'@'%';" in missing["rerun or start an event"]
    for role in ("headway_view", "headway_act"):
        for statement in ("ALTER EVENT ops.good DISABLE", "DROP EVENT ops.good", "DELETE FROM mysql.event"):
            with pytest.raises(pymysql.MySQLError, match="denied"):
                events.execute(statement, role=role)


def test_a_missing_right_is_reported_as_denied_and_never_as_no_events(events: MariaDb) -> None:
    """The server answers with an empty list and no error; the reported fix makes the rows visible."""
    assert () == events.execute("SELECT event_name FROM information_schema.events", role="headway_blind")
    connector = connect(events, "headway_blind", log_table=None)
    with pytest.raises(AccessRefused, match="hidden from headway_blind@%, without an error"):
        connector.inventory("", 10)
    with pytest.raises(AccessRefused, match="headway_view_role"):
        connector.poll("", (), 10)
    fix = next(right.fix for right in connector.probe(10).rights if right.name == "see all events")
    assert "GRANT headway_view_role TO 'headway_blind'@'%';" in fix
    connector.close()


def test_the_privilege_event_alone_shows_the_events_of_its_schema(events: MariaDb) -> None:
    """As on MySQL: by information_schema, times in each event's own zone."""
    events.execute("CREATE USER only_event@'%%' IDENTIFIED BY 'x'")
    events.execute("GRANT EVENT ON ops.* TO only_event@'%%'")
    events.execute("CREATE DATABASE other")
    events.execute("CREATE EVENT other.hidden ON SCHEDULE EVERY 1 DAY DO DO 1")
    options = {"host": "127.0.0.1", "port": events.port, "user": "only_event", "password": {"env": "ONLY_EVENT"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONLY_EVENT", "x")
        for schemas, complete in (((), False), (("ops",), True)):
            given = CONNECTOR.options.model_validate({**options, "schemas": schemas})
            connector = CONNECTOR.open(given, "x", SecretStore())
            inventory, poll = connector.inventory("", 10), connector.poll("", (), 10)
            assert "ops.good" in {job.native_id for job in inventory.jobs}
            assert "other.hidden" not in {job.native_id for job in inventory.jobs}
            assert (complete, complete) == (inventory.complete, poll.complete)
            assert complete is (poll.seen_until is not None)
            silent = next(run for run in poll.runs if run.job == "ops.silent")
            connector.close()
    with_table = connect(events, "headway_view")
    assert silent.started_at == runs_of(with_table, "ops.silent")[-1].started_at
    with_table.close()


def test_an_interval_is_the_same_by_the_table_and_by_the_view(events: MariaDb) -> None:
    """mysql.event counts weeks in days and quarters in months."""
    intervals = ("2 WEEK", "1 QUARTER", "'1:30' HOUR_MINUTE", "'1 2:3:4' DAY_SECOND", "'1-6' YEAR_MONTH", "2 YEAR")
    for number, interval in enumerate(intervals):
        events.execute(f"CREATE EVENT ops.interval_{number} ON SCHEDULE EVERY {interval} DISABLE DO DO 1")
    lengths = []
    for query in (EVENTS_OF_TABLE, EVENTS_OF_VIEW):
        rows = events.execute(
            f"SELECT event_name, interval_value, interval_field FROM ({query % {'limit': 99}}) listed"
        )
        named = [row for row in rows if str(row[0]).startswith("interval_")]
        lengths.append([every({"interval_value": row[1], "interval_field": row[2]}) for row in named])
    for number in range(len(intervals)):
        events.execute(f"DROP EVENT ops.interval_{number}")
    table, view = lengths
    assert (table, 6) == (view, len(view))
    assert [timedelta(days=14), timedelta(days=84), timedelta(minutes=90)] == table[:3]


def test_a_rerun_runs_as_the_definer_and_is_known_by_its_key(act: Connector, events: MariaDb) -> None:
    events.execute("CREATE USER etl@localhost")
    events.execute("GRANT INSERT, EVENT ON ops.* TO etl@localhost")
    events.execute("CREATE TABLE ops.who (who VARCHAR(80), mode VARCHAR(300))")
    events.execute(
        f"CREATE DEFINER=etl@localhost EVENT ops.mine ON SCHEDULE {ONCE_A_DAY}"
        " DO INSERT INTO ops.who VALUES (CURRENT_USER(), @@sql_mode)"
    )
    key = new_key()
    preview = act.preview(ActionSpec(Verb.START, RunRef("ops.mine", "x", "", ""), RunState.PLANNED), 10)
    assert preview.overlap == "whether ops.mine runs now is not known: it logs nothing"
    assert isinstance(act.look_up(preview, key, 10), ActionAbsent)
    act.act(preview, key, 10)
    act.act(preview, key, 10)
    assert isinstance(act.look_up(preview, key, 10), ActionFound)
    wait_until(lambda: runs_of(act, "ops.mine"), "its start")
    result = act.look_up(preview, key, 10)
    assert isinstance(result, ActionFound)
    assert not result.waits
    (run,) = runs_of(act, "ops.mine")
    assert (key, RunState.UNKNOWN) == (run.action_key, run.state)
    wait_until(lambda: events.execute("SELECT who FROM ops.who"), "its row")
    assert [("etl@localhost",)] == [tuple(row) for row in events.execute("SELECT who FROM ops.who")]
    assert key not in str(act.inventory("", 10).jobs)


def test_a_killed_body_is_lost(act: Connector, events: MariaDb) -> None:
    """It leaves "running" for ever: its connection is gone."""
    key = new_key()
    act.act(act.preview(ActionSpec(Verb.START, RunRef("ops.sleeper", "x", "", ""), RunState.PLANNED), 10), key, 10)
    wait_until(lambda: runs_of(act, "ops.sleeper"), "the sleeper to run")
    run = runs_of(act, "ops.sleeper")[0]
    assert (RunState.RUNNING, key) == (run.state, run.action_key)
    again = act.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    assert again.overlap is not None
    assert "is running since" in again.overlap
    query = "SELECT connection_id FROM ops.event_log WHERE event_name = 'sleeper'"
    events.execute(f"KILL {int(events.execute(query)[0][0])}")
    wait_until(lambda: runs_of(act, "ops.sleeper")[0].state == RunState.LOST, "it to be lost")
    assert RunEvidence.INFERRED == runs_of(act, "ops.sleeper")[0].evidence


def test_a_disabled_scheduler_is_reported_and_starts_nothing(act: Connector, events: MariaDb) -> None:
    """Its events all say ENABLED."""
    events.execute("SET GLOBAL event_scheduler = OFF")
    try:
        assert "scheduler is OFF" in (act.poll("", (), 10).stopped or "")
        preview = act.preview(ActionSpec(Verb.RERUN, RunRef("ops.later", "x", "", ""), RunState.MISSED), 10)
        assert preview.refused is not None
        assert "scheduler is OFF" in preview.refused
        with pytest.raises(NotSupported, match="scheduler is off"):
            act.act(replace(preview, refused=None), new_key(), 10)
    finally:
        events.execute("SET GLOBAL event_scheduler = ON")


def test_a_hold_that_the_server_refuses_leaves_no_mark(act: Connector, events: MariaDb) -> None:
    """ALTER EVENT is answered by an error: nothing happened, and the next hold is placed."""
    parameters = {"by": "ann", "until": "2030-01-01T06:00:00+00:00"}
    preview = act.preview(ActionSpec(Verb.HOLD, RunRef("ops.later", "x", "", ""), RunState.PLANNED, parameters), 10)
    assert preview.refused is None
    events.execute(
        "CREATE OR REPLACE PROCEDURE headway.event_switch(s VARCHAR(64), e VARCHAR(64), w VARCHAR(7)) SQL SECURITY"
        " DEFINER SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the disk is full'"
    )
    key = new_key()
    try:
        with pytest.raises(NotSupported, match="the disk is full"):
            act.act(preview, key, 10)
    finally:
        events.run_script(GRANTS)
    assert () == tuple(events.execute("SELECT mark FROM headway.events_held WHERE event_name = 'later'"))
    assert not isinstance(act.look_up(preview, key, 10), ActionFound)
    key = new_key()
    act.act(preview, key, 10)
    assert isinstance(act.look_up(preview, key, 10), ActionFound)
    events.execute("ALTER EVENT ops.later ENABLE")
    assert not isinstance(act.look_up(preview, key, 10), ActionFound)
    released = act.preview(
        ActionSpec(Verb.RELEASE, RunRef("ops.later", "x", "", ""), RunState.PLANNED, {"hold": key, "enable": "no"}), 10
    )
    act.act(released, new_key(), 10)
    assert "later" not in str(act.holds(10))


def test_restart_in_mid_poll_loses_nothing_and_its_runs(view: Connector, act: Connector, events: MariaDb) -> None:
    cursor = view.poll("", (), 10).cursor
    key = new_key()
    act.act(act.preview(ActionSpec(Verb.START, RunRef("ops.sleeper", "x", "", ""), RunState.PLANNED), 10), key, 10)
    wait_until(lambda: [run for run in runs_of(act, "ops.sleeper") if run.action_key == key], "it to run")
    events.stop(crash=True)
    with pytest.raises(SystemUnreachable):
        view.poll(cursor, (), 2)
    events.start()
    poll = view.poll(cursor, (), 10)
    assert poll.complete
    assert [RunState.LOST] == [run.state for run in poll.runs if run.action_key == key]
