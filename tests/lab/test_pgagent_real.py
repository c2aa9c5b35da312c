"""pgAgent 4.2 on a real PostgreSQL with a real agent, as the roles that grants.sql makes.

The agent polls once a second; a job is made due by setting `jobnextrun`, which is all that its clock
does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

import psycopg
import pytest
from psycopg import sql

from connectors.pgagent.connector import CONNECTOR, NO_AGENT
from connectors.sdk.conformance import Deadlines, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, Connector
from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunEvidence, RunState, Verb
from tests.lab.pgagent import DATABASE, PgAgent
from tests.lab.postgres import PASSWORDS, PostgresServer
from tests.lab.process import LabError, wait_until

NUMBERS = itertools.count(1)
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def agent(postgres: PostgresServer) -> Iterator[PgAgent]:
    server = PgAgent(postgres)
    server.build()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def jobs(agent: PgAgent) -> dict[str, int]:
    """Jobs of every outcome, each with an ended run but `quiet`, `sleeper` and `idle`, by name."""
    made = {
        "good": agent.job("good", ("s", "select generate_series(1, 3)", "f")),
        "bad": agent.job("bad", ("s", "select 1/0", "f")),
        "script": agent.job("script", ("b", "echo hello; exit 3", "f")),
        "partly": agent.job("partly", ("s", "select 1/0", "s"), ("b", "exit 4", "i"), ("s", "select 2", "f")),
        "empty": agent.job("empty"),
        "quiet": agent.job("quiet", ("s", "select 1", "f")),
        "sleeper": agent.job("sleeper", ("s", "select pg_sleep(600)", "f")),
        "idle": agent.job("idle", ("s", "select 1", "f")),
    }
    agent.each_new_year(made["quiet"])
    agent.execute("UPDATE pgagent.pga_job SET jobdesc = E'loads\\nthe orders' WHERE jobid = %s", made["quiet"])
    ended = {name: agent.ran(made[name]) for name in ("good", "bad", "script", "partly", "empty")}
    assert {"good": "s", "bad": "f", "script": "f", "partly": "s", "empty": "s"} == ended
    return made


@pytest.fixture(autouse=True)
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for role, password in PASSWORDS.items():
        monkeypatch.setenv(f"HEADWAY_PG_{role.upper()}", password)


def connect(postgres: PostgresServer, role: str, host: str = "127.0.0.1", port: int | None = None) -> Connector:
    """A connector as this role, its password given as a reference."""
    secret = {"env": f"HEADWAY_PG_{role.upper()}"}
    options = CONNECTOR.options(host=host, port=port or postgres.port, dbname=DATABASE, user=role, password=secret)
    return CONNECTOR.open(options, host, SecretStore())


class TestPgAgentConformance(Reads, Logs, Deadlines, Reruns, Starts, Holds):
    """As a member of headway_act."""

    kind = CONNECTOR
    against = "real: PostgreSQL 15 with pgAgent 4.2"
    patience_seconds: ClassVar[float] = PATIENCE_SECONDS
    limits: ClassVar[dict[str, str]] = {"unknown_word": "a check constraint keeps other words out of a real pga_joblog"}

    @pytest.fixture(autouse=True)
    def world(self, agent: PgAgent, jobs: dict[str, int]) -> None:
        self.agent, self.jobs = agent, jobs

    def connector(self) -> Connector:
        return connect(self.agent.postgres, "headway_act")

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(self.agent.postgres, "headway_act", host, port)

    def make_success(self) -> str:
        return self.idle("good")

    def make_failure(self) -> str:
        return self.idle("bad")

    def a_holdable_job(self) -> str:
        return self.idle("quiet")

    def idle(self, name: str) -> str:
        """Its name, once its agent has let it go: that comes moments after the end in the log."""
        wait_until(lambda: is_idle(self.agent, self.jobs[name]), f"{name} to be idle")
        return name

    def pause_by_hand(self, job_id: str) -> None:
        self.agent.execute("UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = %s", self.jobs[job_id])

    def resume_by_hand(self, job_id: str) -> None:
        self.agent.execute("UPDATE pgagent.pga_job SET jobenabled = true WHERE jobid = %s", self.jobs[job_id])

    def let_it_fall_due(self, job_id: str) -> None:
        """Another job that is due a moment later and has run shows that the agent had come to it."""
        self.agent.run_now(self.jobs[job_id])
        self.agent.ran(self.jobs["idle"])
        self.idle(job_id)

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        """The output of one step of its newest run, as a script may have written it."""
        run = self.latest(self.make_failure())
        self.agent.execute(
            "UPDATE pgagent.pga_jobsteplog SET jsloutput = repeat('x', %s) || 'the last word' WHERE jslid ="
            " (SELECT max(jslid) FROM pgagent.pga_jobsteplog WHERE jsljlgid = %s)", size, int(run.attempt_key)
        )  # fmt: skip
        return self.connector(), run

    def test_the_end_of_a_long_output_is_shown(self) -> None:
        """The first 200,000 characters were, and nobody was notified that there are more."""
        connector, run = self.long_log(10_000_000)
        with self.opened(connector):
            tail = connector.log(ref(run), None, 4096, self.timeout_seconds)
        assert (True, True) == (tail.cut, "the last word" in tail.text)

    def native_trace(self) -> object:
        columns = "jobid, jobname, jobdesc, jobenabled, jobhostagent, jobnextrun"
        return self.agent.execute(f"SELECT {columns} FROM pgagent.pga_job ORDER BY jobid")


def is_idle(agent: PgAgent, jobid: int) -> bool:
    rows = agent.execute("SELECT jobagentid, jobnextrun <= now() FROM pgagent.pga_job WHERE jobid = %s", jobid)
    return rows[0][0] is None and not rows[0][1]


def runs_of(connector: Connector, job: str) -> list[RunRecord]:
    """All attempts of one job, oldest first."""
    runs: list[RunRecord] = []
    cursor, more = "", True
    while more:
        poll = connector.poll(cursor, (), 10)
        runs, cursor, more = runs + list(poll.runs), poll.cursor, poll.more
    return [run for run in runs if run.job == job]


@pytest.fixture
def act(postgres: PostgresServer, jobs: dict[str, int]) -> Iterator[Connector]:
    connector = connect(postgres, "headway_act")
    yield connector
    connector.close()


@pytest.fixture
def view(postgres: PostgresServer, jobs: dict[str, int]) -> Iterator[Connector]:
    connector = connect(postgres, "headway_view")
    yield connector
    connector.close()


def test_least_privilege_sees_every_job_with_its_steps_and_its_next_start(view: Connector) -> None:
    inventory = view.inventory("", 10)
    assert inventory.complete
    results = {job.native_id: job for job in inventory.jobs}
    quiet = results["quiet"].schedule
    assert ("pgagent", "*-1-1 0:0:00", "Etc/UTC") == (quiet.dialect, quiet.expression, quiet.zone)
    assert quiet.next_at is not None
    assert (1, 1, 0, 0) == (quiet.next_at.month, quiet.next_at.day, quiet.next_at.hour, quiet.next_at.minute)
    assert "none" == results["good"].schedule.dialect
    assert f"-- step 1 (SQL in {DATABASE})\nselect 1/0\n-- step 2 (batch)\nexit 4" in results["partly"].definition


def test_each_outcome_is_determined_by_its_own_evidence(view: Connector) -> None:
    runs = {name: runs_of(view, name)[0] for name in ("good", "bad", "script", "partly", "empty")}
    states = {name: run.state for name, run in runs.items()}
    assert {
        "good": RunState.SUCCEEDED, "bad": RunState.FAILED, "script": RunState.FAILED, "partly": RunState.PARTIAL,
        "empty": RunState.SKIPPED,
    } == states  # fmt: skip
    assert 3 == runs["script"].exit_code
    assert "step 1: result -1" in runs["partly"].message
    assert "step 2: result 4" in runs["partly"].message
    assert {"rows": 3} == dict(runs["good"].context)
    for run in runs.values():
        assert run.started_at is not None
        assert run.ended_at is not None


def test_the_log_has_every_step_with_its_result(view: Connector) -> None:
    text = view.log(ref(runs_of(view, "script")[0]), None, 4096, 10).text
    assert "hello" in text
    assert "-- failed, result 3\n-- job failed\n" in text


def test_the_view_role_can_read_and_is_refused_by_the_server(view: Connector) -> None:
    run = runs_of(view, "bad")[-1]
    preview = view.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    assert preview.refused is not None
    assert "GRANT headway_act TO headway_view;" in preview.refused
    with pytest.raises(AccessRefused, match="permission denied"):
        view.act(replace(preview, refused=None), new_key(), 10)
    missing = {right.name: right.fix for right in view.probe(10).rights if not right.held}
    assert (2, True) == (len(missing), "rerun or start a job" in missing)
    assert all("GRANT headway_act TO headway_view;" in fix for fix in missing.values())


def test_view_may_write_nothing_and_read_no_connection_string(agent: PgAgent, jobs: dict[str, int]) -> None:
    for statement in (
        sql.SQL("UPDATE pgagent.pga_job SET jobnextrun = now()"),
        sql.SQL("INSERT INTO headway.pgagent_started VALUES ('headway-0123456789', 1, 0)"),
        sql.SQL("SELECT jstconnstr FROM pgagent.pga_jobstep"),
    ):
        for role in ("headway_view", "headway_act"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                agent.execute(sql.Composed([statement]), role=role)


def test_a_role_without_rights_is_refused_with_the_sql_that_gives_them(agent: PgAgent, jobs: dict[str, int]) -> None:
    """Each reported fix is run as printed, and makes the rows visible."""
    connector = connect(agent.postgres, "headway_blind")
    with pytest.raises(AccessRefused, match="GRANT USAGE ON SCHEMA pgagent TO headway_blind;"):
        connector.inventory("", 10)
    with pytest.raises(AccessRefused):
        connector.poll("", (), 10)
    fixes = [right.fix for right in connector.probe(10).rights if right.held is False and right.needed_for == "view"]
    for fix in fixes:
        agent.execute(sql.SQL(fix))  # type: ignore[arg-type]  # ours, made from a name we gave
    assert connector.inventory("", 10).complete
    assert runs_of(connector, "good")
    connector.close()


def test_row_security_that_hides_is_never_no_jobs(agent: PgAgent, jobs: dict[str, int]) -> None:
    """Somebody turned it on: who has our policies still sees all, who has none is refused, with the SQL."""
    blind, view = connect(agent.postgres, "headway_blind"), connect(agent.postgres, "headway_view")
    for right in blind.probe(10).rights:
        if right.held is False and right.needed_for == "view":
            agent.execute(sql.SQL(right.fix))  # type: ignore[arg-type]  # ours, made from a name we gave
    try:
        for table in ("pga_job", "pga_joblog"):
            agent.execute(sql.SQL("ALTER TABLE pgagent.{} ENABLE ROW LEVEL SECURITY").format(sql.Identifier(table)))
        assert view.inventory("", 10).complete
        assert runs_of(view, "good")
        for call in (lambda: blind.inventory("", 10), lambda: blind.poll("", (), 10)):
            with pytest.raises(AccessRefused, match="row security may hide rows of pga_job, pga_joblog"):
                call()
        hidden = [right for right in blind.probe(10).rights if right.name.startswith("see all rows")]
        assert 2 == len(hidden)
        for right in hidden:
            agent.execute(sql.SQL(right.fix))  # type: ignore[arg-type]  # ours, made from a name we gave
        assert blind.inventory("", 10).complete
    finally:
        for table in ("pga_job", "pga_joblog"):
            agent.execute(sql.SQL("ALTER TABLE pgagent.{} DISABLE ROW LEVEL SECURITY").format(sql.Identifier(table)))
        blind.close()
        view.close()


def test_a_database_without_pgagent_says_so(postgres: PostgresServer) -> None:
    options = CONNECTOR.options(host="127.0.0.1", port=postgres.port, dbname="postgres", user="lab")
    connector = CONNECTOR.open(options, "x", SecretStore())
    with pytest.raises(NotSupported, match="extension pgagent is not in this database"):
        connector.inventory("", 10)
    assert "is not in this database" in connector.probe(10).version
    connector.close()


def test_what_cannot_start_is_refused_by_preview_and_by_the_server(act: Connector, agent: PgAgent) -> None:
    jobid = agent.job("far", ("s", "select 1", "f"))
    agent.execute("UPDATE pgagent.pga_job SET jobhostagent = 'nowhere' WHERE jobid = %s", jobid)
    preview = act.preview(ActionSpec(Verb.START, RunRef("far", "x", "", ""), RunState.PLANNED), 10)
    assert preview.refused is not None
    assert preview.refused.startswith("no pgAgent on nowhere is connected")
    with pytest.raises(NotSupported, match="no pgAgent that could start job"):
        act.act(replace(preview, refused=None), new_key(), 10)
    assert isinstance(act.look_up(preview, new_key(), 10), ActionAbsent)


def test_running_overlap_is_named_and_a_killed_agent_loses_its_run(
    act: Connector, agent: PgAgent, jobs: dict[str, int]
) -> None:
    """Its row stays "r": an agent that is gone will not end it; the next agent turns it into "d"."""
    key = new_key()
    preview = act.preview(ActionSpec(Verb.START, RunRef("sleeper", "x", "", ""), RunState.PLANNED), 10)
    act.act(preview, key, 10)
    wait_until(lambda: [("r")] == [term for _, term in agent.runs(jobs["sleeper"])], "the sleeper to run")
    running = runs_of(act, "sleeper")[0]
    assert (RunState.RUNNING, key) == (running.state, running.action_key)
    again = act.preview(ActionSpec(Verb.START, RunRef("sleeper", "x", "", ""), RunState.PLANNED), 10)
    assert again.overlap is not None
    assert "is running since" in again.overlap
    assert "sleeper runs now: pgAgent never starts a job beside itself" == again.refused
    cursor = act.poll("", (), 10).cursor
    agent.stop(kill=True)
    wait_until(lambda: not agent.alive(), "the end of the agent's session")
    poll = act.poll(cursor, (ref(running),), 10)
    lost = next(run for run in poll.runs if run.job == "sleeper")
    assert (RunState.LOST, RunEvidence.INFERRED, None) == (lost.state, lost.evidence, lost.ended_at)
    assert NO_AGENT in (poll.stopped or "")
    assert any(NO_AGENT in right.why for right in act.probe(10).rights if right.held is False)
    agent.start()
    wait_until(lambda: [("d")] == [term for _, term in agent.runs(jobs["sleeper"])], "the next agent's clearing")
    aborted = next(run for run in act.poll(poll.cursor, (), 10).runs if run.job == "sleeper")
    assert (RunState.LOST, RunEvidence.NATIVE) == (aborted.state, aborted.evidence)
    agent.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'select pg_sleep(600)'")
    result = act.look_up(preview, key, 10)
    assert isinstance(result, ActionFound)
    assert not result.waits


def test_restart_in_mid_poll_loses_nothing_and_the_agent_that_left_is_named(
    view: Connector, agent: PgAgent, jobs: dict[str, int], postgres: PostgresServer
) -> None:
    """pgAgent exits when its server goes away, and nothing brings it back: every job is silently missed until then."""
    cursor = view.poll("", (), 10).cursor
    postgres.stop(crash=True)
    with pytest.raises(SystemUnreachable):
        view.poll(cursor, (), 2)
    with suppress(LabError):
        agent.wait_until_ended()
    agent.stop()
    postgres.start()
    poll = view.poll(cursor, (), 10)
    assert poll.complete
    assert "it leaves when PostgreSQL goes away" in (poll.stopped or "")
    agent.start()
    agent.ran(jobs["good"])
    after = view.poll(cursor, (), 10)
    assert [RunState.SUCCEEDED] == [run.state for run in after.runs if run.job == "good"]
    assert () == after.warnings
