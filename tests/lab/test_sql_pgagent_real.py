"""A real pgAgent read by kind `sql`: its own tables, mapped in the config alone, pass conformance in observe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from connectors.sdk.conformance import Deadlines, Logs, Reads
from connectors.sdk.contract import Connector
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState
from connectors.sql.connector import CONNECTOR
from tests.lab.pgagent import DATABASE, PgAgent
from tests.lab.postgres import PASSWORDS, PostgresServer

RUNS = """
SELECT l.jlgid, j.jobname, l.jlgstart, l.jlgstart + l.jlgduration AS ended,
       CASE WHEN l.jlgstatus = 's' AND EXISTS (SELECT FROM pgagent.pga_jobsteplog s
                                                WHERE s.jsljlgid = l.jlgid AND s.jslstatus IN ('f', 'i'))
            THEN 'partly' ELSE l.jlgstatus::text END AS word
  FROM pgagent.pga_joblog l JOIN pgagent.pga_job j ON j.jobid = l.jlgjobid
 WHERE l.jlgid > {cursor} OR l.jlgid::text = ANY({open})"""
MAPPING: dict[str, Any] = {
    "jobs": {
        "query": "SELECT jobname, jobenabled, jobnextrun FROM pgagent.pga_job",
        "id": "jobname",
        "enabled": "jobenabled",
        "next_at": "jobnextrun",
    },
    "runs": {
        "query": RUNS,
        "cursor": "jlgid",
        "id": "jlgid",
        "job": "jobname",
        "state": "word",
        "started": "jlgstart",
        "ended": "ended",
    },
    "states": {
        "r": "running",
        "s": "succeeded",
        "partly": "partial",
        "f": "failed",
        "i": "failed",
        "d": "lost",
    },
    "log": {"query": "SELECT string_agg(jsloutput, E'\\n') FROM pgagent.pga_jobsteplog WHERE jsljlgid::text = {id}"},
}


@pytest.fixture(scope="module")
def agent(postgres: PostgresServer) -> Iterator[PgAgent]:
    """With a job that goes well, one that fails and one that fails in a part, each with an ended run."""
    server = PgAgent(postgres)
    server.build()
    server.start()
    made = {
        "good": server.job("good", ("s", "select generate_series(1, 3)", "f")),
        "bad": server.job("bad", ("s", "select 1/0", "f")),
        "partly": server.job("partly", ("b", "exit 4", "i"), ("s", "select 2", "f")),
    }
    assert {"good": "s", "bad": "f", "partly": "s"} == {name: server.ran(number) for name, number in made.items()}
    yield server
    server.stop()


class TestPgAgentByMapping(Reads, Logs, Deadlines):
    kind = CONNECTOR
    against = "real: PostgreSQL 15, the tables of pgAgent 4.2"
    limits: ClassVar[dict[str, str]] = {
        "unknown_word": "a check constraint keeps other words out of a real pga_joblog",
        "act": "the tables of pgAgent show no key of ours",
    }

    @pytest.fixture(autouse=True)
    def world(self, agent: PgAgent, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HEADWAY_SQL_TEST", PASSWORDS["headway_view"])
        self.agent = agent

    def connector(self) -> Connector:
        return self.connector_at("127.0.0.1", self.agent.postgres.port)

    def connector_at(self, host: str, port: int) -> Connector:
        secret = {"env": "HEADWAY_SQL_TEST"}
        who = {"host": host, "port": port, "dbname": DATABASE, "user": "headway_view", "password": secret}
        return CONNECTOR.open(CONNECTOR.options.model_validate({**who, **MAPPING}), host, SecretStore())

    def make_success(self) -> str:
        return "good"

    def make_failure(self) -> str:
        return "bad"

    def test_a_run_of_which_a_part_failed_is_partial(self) -> None:
        with self.opened() as connector:
            assert {RunState.PARTIAL} == {run.state for run in self.runs_of(connector, "partly").values()}
