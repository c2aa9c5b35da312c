"""pg_cron on a real PostgreSQL, as the roles that grants.sql makes.

One minute is pg_cron's unit: all jobs are scheduled once, and all tests look at what came of them.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

from connectors.pg_cron.client import granted
from connectors.pg_cron.connector import CONNECTOR
from connectors.pg_cron.parse import due_of
from connectors.sdk.conformance import Cancels, Deadlines, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, Connector
from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunEvidence, RunState, Verb
from connectors.sdk.transport.postgres import login_script
from tests.lab.postgres import PASSWORDS, PostgresServer
from tests.lab.process import wait_until

MINUTE, RARELY = "* * * * *", "0 0 1 1 *"
NUMBERS = itertools.count(1)
INSTALL_PAGE = Path(__file__).parents[2] / "docs" / "install.md"


def connect(
    postgres: PostgresServer, role: str, host: str = "127.0.0.1", port: int | None = None, variable: str = "HEADWAY_PG"
) -> Connector:
    """A connector as this role, its password given as a reference."""
    options = CONNECTOR.options(
        host=host, port=port or postgres.port, dbname="ops", user=role, password={"env": variable}
    )
    return CONNECTOR.open(options, host, SecretStore())


@pytest.fixture(scope="module")
def jobs(postgres: PostgresServer) -> Iterator[dict[str, int]]:
    """Jobs of every outcome, each with an ended first run, by name; they are no longer due after it."""
    postgres.execute("CREATE DATABASE gone")
    postgres.execute("SELECT cron.schedule_in_database('nodb', %s, 'select 1', 'gone', 'etl')", MINUTE)
    postgres.execute("DROP DATABASE gone", database="postgres")
    made = {
        "good": postgres.schedule("good", MINUTE, "select 1"),
        "bad": postgres.schedule("bad", MINUTE, "select 1/0"),
        "long": postgres.schedule("long", MINUTE, "select pg_sleep(8)"),
        "two": postgres.schedule("two", MINUTE, "select 1; select 1/0"),
        "twin": postgres.schedule("twin", RARELY, "select 1"),
        "longer": postgres.schedule("longer", RARELY, "select pg_sleep(100)"),
    }
    rows = postgres.execute(
        "SELECT cron.schedule('twin', '0 0 1 1 *', 'select 2'), jobid FROM cron.job WHERE jobname = 'nodb'"
    )
    made |= {"etl:twin": int(rows[0][0]), "nodb": int(rows[0][1])}
    ended = """SELECT count(DISTINCT jobid) FROM cron.job_run_details
               WHERE jobid = ANY(%s) AND status IN ('succeeded', 'failed')"""
    minutely = [made[name] for name in ("good", "bad", "long", "two", "nodb")]
    wait_until(lambda: postgres.execute(ended, minutely)[0][0] == 5, "the first runs")
    postgres.execute(
        "SELECT cron.alter_job(jobid, schedule := '0 0 1 1 *') FROM cron.job WHERE jobid = ANY(%s)", minutely
    )
    yield made
    postgres.execute("SELECT cron.unschedule(jobid) FROM cron.job WHERE jobid = ANY(%s)", list(made.values()))


@pytest.fixture
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for role, password in PASSWORDS.items():
        monkeypatch.setenv(f"HEADWAY_PG_{role.upper()}", password)


@pytest.mark.usefixtures("passwords")
class TestPgCronConformance(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds):
    """As a member of headway_act."""

    kind = CONNECTOR
    against = "real: PostgreSQL 15 with pg_cron"
    patience_seconds: ClassVar[float] = 90.0
    limits: ClassVar[dict[str, str]] = {"unknown_word": "a real pg_cron says no word that it does not have"}

    @pytest.fixture(autouse=True)
    def world(self, postgres: PostgresServer, jobs: dict[str, int]) -> None:
        self.postgres, self.jobs = postgres, jobs

    def connector(self) -> Connector:
        return connect(self.postgres, "headway_act", variable="HEADWAY_PG_HEADWAY_ACT")

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(self.postgres, "headway_act", host, port, "HEADWAY_PG_HEADWAY_ACT")

    def make_success(self) -> str:
        return "good"

    def make_failure(self) -> str:
        return "bad"

    def a_running_run(self) -> RunRecord:
        name = f"sleeper{next(NUMBERS)}"
        start_sleeper(self.postgres, name)
        connector = self.connector()
        try:
            return next(run for run in reversed(runs_of(connector, name)) if run.state == RunState.RUNNING)
        finally:
            connector.close()

    def pause_by_hand(self, job_id: str) -> None:
        self.postgres.execute("SELECT cron.alter_job(%s, active := false)", self.jobs[job_id])

    def resume_by_hand(self, job_id: str) -> None:
        self.postgres.execute("SELECT cron.alter_job(%s, active := true)", self.jobs[job_id])

    def let_it_fall_due(self, job_id: str) -> None:
        """At a full minute; another job that starts then shows that pg_cron had come to it."""
        witness = self.postgres.schedule(f"witness{next(NUMBERS)}", MINUTE, "select 1")
        self.postgres.execute("SELECT cron.alter_job(%s, schedule := %s)", self.jobs[job_id], MINUTE)
        try:
            wait_until(lambda: self.postgres.runs(witness), "the witness's minute")
        finally:
            self.postgres.execute("SELECT cron.alter_job(%s, schedule := %s)", self.jobs[job_id], RARELY)
            self.postgres.execute("SELECT cron.alter_job(%s, schedule := %s)", witness, RARELY)

    def native_trace(self) -> object:
        return self.postgres.execute("SELECT jobid, jobname, schedule, command, active FROM cron.job ORDER BY jobid")


def start_sleeper(postgres: PostgresServer, name: str, seconds: int = 300) -> int:
    """The jobid of a new job whose first run sleeps for so long, once it does; it is not due again."""
    jobid = postgres.schedule(name, MINUTE, f"select pg_sleep({seconds})")
    wait_until(lambda: ("running", "") in postgres.runs(jobid), f"{name} to run")
    postgres.execute("SELECT cron.alter_job(%s, schedule := %s)", jobid, RARELY)
    return jobid


def runs_of(connector: Connector, job: str) -> list[RunRecord]:
    """All attempts of one job, oldest first."""
    runs: list[RunRecord] = []
    cursor, more = "", True
    while more:
        poll = connector.poll(cursor, (), 10)
        runs, cursor, more = runs + list(poll.runs), poll.cursor, poll.more
    return [run for run in runs if run.job == job]


@pytest.fixture
def act(postgres: PostgresServer, jobs: dict[str, int], passwords: None) -> Iterator[Connector]:
    connector = connect(postgres, "headway_act", variable="HEADWAY_PG_HEADWAY_ACT")
    yield connector
    connector.close()


@pytest.fixture
def view(postgres: PostgresServer, jobs: dict[str, int], passwords: None) -> Iterator[Connector]:
    connector = connect(postgres, "headway_view", variable="HEADWAY_PG_HEADWAY_VIEW")
    yield connector
    connector.close()


@pytest.fixture
def blind(postgres: PostgresServer, jobs: dict[str, int], passwords: None) -> Iterator[Connector]:
    connector = connect(postgres, "headway_blind", variable="HEADWAY_PG_HEADWAY_BLIND")
    yield connector
    connector.close()


@pytest.fixture(scope="module")
def reruns(postgres: PostgresServer, jobs: dict[str, int]) -> dict[str, str]:
    """Keys of two reruns sent within one minute, by job: one of some seconds, and one of a job that never ran."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADWAY_PG_HEADWAY_ACT", PASSWORDS["headway_act"])
        connector = connect(postgres, "headway_act", variable="HEADWAY_PG_HEADWAY_ACT")
        keys = {name: new_key() for name in ("long", "longer")}
        for name, key in keys.items():
            missed = RunRef(name, "2026-11-20T03:00:00Z", "", "")
            preview = connector.preview(ActionSpec(Verb.RERUN, missed, RunState.MISSED), 10)
            assert isinstance(connector.look_up(preview, key, 10), ActionAbsent)
            connector.act(preview, key, 10)
            receipt = connector.act(preview, key, 10)  # the call itself is idempotent; the engine never sends it twice
            assert re.search(
                r"added as entry (\d+); .* unless SELECT cron.unschedule\(\1\) removes it", receipt.message
            )
            result = connector.look_up(preview, key, 10)
            assert isinstance(result, ActionFound)
            assert result.waits
            assert "SELECT cron.unschedule(" in result.message
        connector.close()
    return keys


def rerun_of(connector: Connector, job: str, keys: dict[str, str]) -> RunRecord | None:
    return next((run for run in runs_of(connector, job) if run.action_key == keys[job]), None)


def test_least_privilege_sees_every_job_and_names_twins_apart(view: Connector) -> None:
    inventory = view.inventory("", 10)
    assert inventory.complete
    assert {"good", "bad", "long", "two", "nodb", "twin"} <= {job.native_id for job in inventory.jobs}
    twins = [(job.native_id, job.run_as) for job in inventory.jobs if job.title == "twin"]
    assert [("twin", "etl"), ("lab:twin", "lab")] == twins
    assert {"pg_cron"} == {job.schedule.dialect for job in inventory.jobs}


def test_a_job_that_could_not_connect_failed_without_start_and_end(view: Connector) -> None:
    run = runs_of(view, "nodb")[0]
    assert (RunState.FAILED, "failed", "connection failed") == (run.state, run.native_state, run.message)
    assert (None, None) == (run.started_at, run.ended_at)
    good = runs_of(view, "good")[0]
    assert run.queued_at is not None
    assert good.started_at is not None
    assert abs((run.queued_at - good.started_at).total_seconds()) < 60


def test_a_later_statement_that_fails_makes_the_run_red(view: Connector) -> None:
    assert [RunState.FAILED] == [run.state for run in runs_of(view, "two")]


def test_hidden_jobs_are_refused_and_never_shown_as_none(blind: Connector, postgres: PostgresServer) -> None:
    """Row security gives no error, only empty lists: the probe names the grants, and with them it sees all."""
    with pytest.raises(AccessRefused, match="row security shows role headway_blind only its own jobs"):
        blind.inventory("", 10)
    with pytest.raises(AccessRefused, match="row security"):
        blind.poll("", (), 10)
    missing = [right for right in blind.probe(10).rights if right.held is False and right.needed_for == "view"]
    assert ["see all rows of cron.job", "see all rows of cron.job_run_details"] == [right.name for right in missing]
    try:
        assert {granted({"role": "headway_blind", "database": "ops"})} == {right.fix for right in missing}
        postgres.run_script(login_script("headway_blind", "headway_act").encode())
        assert blind.inventory("", 10).complete
        assert runs_of(blind, "good")
    finally:
        postgres.execute("REVOKE headway_act FROM headway_blind")


def test_the_page_of_uninstalling_removes_what_the_grants_made(postgres: PostgresServer) -> None:
    """In a transaction that is rolled back."""
    script = INSTALL_PAGE.read_text(encoding="utf-8").partition("```sql\n")[2].partition("```")[0]
    left = """SELECT rolname FROM pg_roles WHERE rolname IN ('headway', 'headway_view', 'headway_act')
        UNION ALL SELECT polname FROM pg_policy WHERE polname LIKE 'headway%'
        UNION ALL SELECT nspname FROM pg_namespace WHERE nspname LIKE 'headway%'"""
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute("CREATE ROLE headway LOGIN IN ROLE headway_act")
        assert 6 == len(connection.execute(left).fetchall())
        connection.execute(script.encode())
        assert [] == connection.execute(left).fetchall()
        connection.rollback()


def test_a_role_with_jobs_of_its_own_sees_an_incomplete_list(postgres: PostgresServer, jobs: dict[str, int]) -> None:
    connector = CONNECTOR.open(
        CONNECTOR.options(host="127.0.0.1", port=postgres.port, dbname="ops", user="etl"), "x", SecretStore()
    )
    inventory, poll = connector.inventory("", 10), connector.poll("", (), 10)
    connector.close()
    assert "good" in {job.native_id for job in inventory.jobs}
    assert not inventory.complete
    assert not poll.complete
    assert poll.seen_until is None
    assert any("row security" in warning for warning in poll.warnings)


def test_a_wrong_password_is_refused_and_not_shown(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_PG", "wr0ng-passw0rd")
    connector = connect(postgres, "headway_view")
    with pytest.raises(AccessRefused, match="password authentication failed") as caught:
        connector.probe(10)
    assert "wr0ng-passw0rd" not in str(caught.value)


def test_a_database_without_pg_cron_says_where_it_is(postgres: PostgresServer) -> None:
    options = CONNECTOR.options(host="127.0.0.1", port=postgres.port, dbname="postgres", user="lab")
    connector = CONNECTOR.open(options, "x", SecretStore())
    with pytest.raises(NotSupported, match='not in this database; connect to database "ops"'):
        connector.inventory("", 10)
    connector.close()


def test_the_view_role_can_read_and_learns_what_reruns_need(view: Connector) -> None:
    run = runs_of(view, "bad")[-1]
    preview = view.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    assert preview.refused is not None
    assert "headway connector grants pg_cron --login headway_view | psql ops" in preview.refused
    with pytest.raises(AccessRefused, match="permission denied"):  # the database refuses by itself too
        view.act(replace(preview, refused=None), new_key(), 10)


def test_act_cannot_run_sql_of_its_own_as_others(postgres: PostgresServer, jobs: dict[str, int]) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        postgres.execute(
            "SELECT cron.schedule_in_database('x', '* * * * *', 'select 1', 'ops', 'etl', true)", role="headway_act"
        )
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        postgres.execute("SELECT headway.rerun(%s, 'x''; drop table t; --')", jobs["bad"], role="headway_act")


def test_a_rerun_of_seconds_ends_unharmed_and_its_entry_goes(
    act: Connector, view: Connector, postgres: PostgresServer, reruns: dict[str, str]
) -> None:
    """pg_cron cancels a run whose entry goes away, so polls in between must leave it; a viewer cannot take it away."""
    assert not [job for job in act.inventory("", 10).jobs if "headway" in job.native_id]
    entry = f"headway:rerun:%:{reruns['long']}"
    entries = "SELECT count(*) FROM cron.job WHERE jobname LIKE %s"
    wait_until(lambda: rerun_of(act, "long", reruns) is not None, "the rerun to start")
    overlap = act.preview(ActionSpec(Verb.RERUN, RunRef("long", "x", "", ""), RunState.FAILED), 10).overlap
    assert overlap is not None
    assert "is running since" in overlap

    def has_ended_for_the_viewer() -> bool:
        run = rerun_of(view, "long", reruns)
        return run is not None and not run.state.is_open

    wait_until(has_ended_for_the_viewer, "its end")
    assert [(1,)] == postgres.execute(entries, entry)
    warnings = view.poll("", (), 10).warnings
    assert any("may not remove it. SELECT cron.unschedule(" in warning for warning in warnings), warnings
    record = rerun_of(act, "long", reruns)
    assert record is not None
    assert (RunState.SUCCEEDED, RunEvidence.NATIVE, "1 row") == (record.state, record.evidence, record.message)
    assert [(0,)] == postgres.execute(entries, entry)


def test_an_entry_that_missed_its_minute_is_removed(
    act: Connector, postgres: PostgresServer, jobs: dict[str, int]
) -> None:
    """PostgreSQL was down at its minute: pg_cron catches nothing up, and the entry would run in a year."""
    run, key = runs_of(act, "bad")[-1], new_key()
    preview = act.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    act.act(preview, key, 10)
    past = time.strftime("%M %H %d %m *", time.gmtime(time.time() - 3600))
    postgres.execute("UPDATE cron.job SET schedule = %s WHERE jobname = %s", past, f"headway:rerun:{jobs['bad']}:{key}")
    warnings = act.poll("", (), 10).warnings
    assert any("never started" in warning for warning in warnings), warnings
    assert isinstance(act.look_up(preview, key, 10), ActionAbsent)


def test_a_zone_that_this_pg_cron_ignores_does_not_move_the_minute_of_a_rerun(
    postgres: PostgresServer, jobs: dict[str, int]
) -> None:
    """pg_cron 1.4 has no cron.timezone and runs in GMT; the server keeps the setting all the same."""
    key = new_key()
    postgres.execute("ALTER DATABASE ops SET cron.timezone = 'Pacific/Kiritimati'")
    try:
        asked_at = datetime.now(UTC)
        [(entry,)] = postgres.execute("SELECT headway.rerun(%s, %s)", jobs["bad"], key, role="headway_act")
        [(schedule,)] = postgres.execute("SELECT schedule FROM cron.job WHERE jobid = %s", entry)
    finally:
        postgres.execute("ALTER DATABASE ops RESET cron.timezone")
        postgres.execute("SELECT headway.unschedule(%s)", key, role="headway_act")
    due = due_of(schedule, "UTC", asked_at)
    assert due is not None
    assert timedelta(0) < due - asked_at < timedelta(minutes=2)


def test_frozen_server_costs_the_deadline_and_is_read_again_after_it(view: Connector, postgres: PostgresServer) -> None:
    view.poll("", (), 10)
    postgres.freeze()
    try:
        with pytest.raises(SystemUnreachable, match=r"within (1|0\.\d+) s"):
            view.poll("", (), 1.0)
    finally:
        postgres.thaw()
    assert runs_of(view, "good")


def test_restart_in_the_middle_loses_nothing(
    view: Connector, act: Connector, postgres: PostgresServer, reruns: dict[str, str]
) -> None:
    """The connection of the poll before is dead; the run that the crash cut is failed, without an end, for ever."""
    before = view.poll("", (), 10)

    def is_running() -> bool:
        run = rerun_of(act, "longer", reruns)
        return run is not None and run.state == RunState.RUNNING

    wait_until(is_running, "the rerun to run")
    postgres.stop(crash=True)
    with pytest.raises(SystemUnreachable):
        view.poll(before.cursor, (), 2)
    postgres.start()

    def is_cut() -> bool:
        run = rerun_of(act, "longer", reruns)
        return run is not None and not run.state.is_open

    wait_until(is_cut, "pg_cron to mark the run")
    record = rerun_of(act, "longer", reruns)
    assert record is not None
    assert record.state is RunState.FAILED
    if record.ended_at is None:  # pg_cron died with the server and found the run after its restart
        assert "server restarted" == record.message
    else:  # it lived long enough to see its connection break
        assert "server closed the connection" in record.message
    assert view.poll(before.cursor, (), 10).runs
