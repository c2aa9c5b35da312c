"""Kind `sql` on a real PostgreSQL: the example of its page, on the tables of a real pg_cron, as who may only read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from connectors.sdk.conformance import Deadlines, Faults, Logs, Reads
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.errors import AccessRefused
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import ProofLevel, RunState
from connectors.sql.connector import CONNECTOR
from console.cli.connectors import trial_lines, try_target
from tests.connectors.sql.test_mapped import settings
from tests.lab.postgres import PASSWORDS, PostgresServer
from tests.lab.process import wait_until

pytestmark = pytest.mark.lab

MINUTE = "* * * * *"


@pytest.fixture(scope="module")
def jobs(postgres: PostgresServer) -> Iterator[None]:
    """A job that goes well and one that fails, each with an ended run."""
    made = [postgres.schedule("well", MINUTE, "select 1"), postgres.schedule("ill", MINUTE, "select 1/0")]
    ended = "SELECT count(DISTINCT jobid) FROM cron.job_run_details WHERE jobid = ANY(%s) AND end_time IS NOT NULL"
    wait_until(lambda: postgres.execute(ended, made)[0][0] == 2, "the first runs")
    postgres.execute("SELECT cron.alter_job(jobid, schedule := '0 0 1 1 *') FROM cron.job WHERE jobid = ANY(%s)", made)
    yield
    postgres.execute("SELECT cron.unschedule(jobid) FROM cron.job WHERE jobid = ANY(%s)", made)


def connect(postgres: PostgresServer, role: str, **more: Any) -> Connector:
    here = {"host": "127.0.0.1", "port": postgres.port, "user": role, "password": {"env": "HEADWAY_SQL_TEST"}}
    options = CONNECTOR.options.model_validate(settings(**{**here, **more}))
    return CONNECTOR.open(options, options.host, SecretStore())


class TestTablesOfPgCron(Reads, Logs, Deadlines, Faults):
    """As a member of headway_view."""

    kind = CONNECTOR
    against = "real: PostgreSQL 15, the tables of pg_cron, by the example in the docs"
    limits: ClassVar[dict[str, str]] = {
        "unknown_word": "a real pg_cron says no word that it does not have",
        "act": "the tables of pg_cron show no key of ours",
    }

    @pytest.fixture(autouse=True)
    def world(self, postgres: PostgresServer, jobs: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HEADWAY_SQL_TEST", PASSWORDS["headway_view"])
        self.postgres = postgres

    def connector(self) -> Connector:
        return connect(self.postgres, "headway_view")

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(self.postgres, "headway_view", host=host, port=port)

    def make_success(self) -> str:
        return self._named("well")

    def make_failure(self) -> str:
        return self._named("ill")

    def _named(self, name: str) -> str:
        owner = self.postgres.execute("SELECT username FROM cron.job WHERE jobname = %s", name)[0][0]
        return f"{owner}.{name}"

    def with_a_right_revoked(self) -> Connector:
        runs = {
            **settings()["runs"],
            "query": "SELECT rolconnlimit AS runid FROM pg_authid WHERE rolconnlimit > {cursor} OR '' = ANY({open})",
        }
        return connect(self.postgres, "headway_view", runs=runs)


@pytest.fixture
def view(postgres: PostgresServer, jobs: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connector]:
    monkeypatch.setenv("HEADWAY_SQL_TEST", PASSWORDS["headway_view"])
    connector = connect(postgres, "headway_view")
    yield connector
    connector.close()


def test_the_parsed_mapping_is_printed_line_by_line(view: Connector) -> None:
    trial = try_target(view, "nightly-db/127.0.0.1", 10)
    text = "\n".join(trial_lines(trial))
    assert trial.is_understood, text
    assert "PostgreSQL 15" in text
    assert "'succeeded'" in text
    assert "division by zero" in text


def test_the_log_is_what_its_query_gives(view: Connector) -> None:
    runs = [run for run in view.poll("", (), 10).runs if run.job.endswith(".ill")]
    assert RunState.FAILED is runs[0].state
    assert "division by zero" in view.log(ref(runs[0]), None, 1000, 10).text
    assert {ProofLevel.FULL} == {job.proof for job in view.inventory("", 10).jobs}


def test_a_query_cannot_write(postgres: PostgresServer, jobs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it calls: the transaction is read-only, and the role may not."""
    monkeypatch.setenv("HEADWAY_SQL_TEST", PASSWORDS["headway_act"])
    query = "SELECT cron.schedule('mine', '* * * * *', 'select 1')::text AS jobname, '' AS username"
    connector = connect(postgres, "headway_act", jobs={**settings()["jobs"], "query": query})
    with pytest.raises(Exception, match=r"read-only|permission"):
        connector.inventory("", 10)
    connector.close()
    assert [] == postgres.execute("SELECT 1 FROM cron.job WHERE jobname = 'mine'")


def test_a_password_that_is_wrong_needs_a_person(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_SQL_TEST", "wrong")
    connector = connect(postgres, "headway_view")
    with pytest.raises(AccessRefused, match="password authentication failed"):
        connector.poll("", (), 10)
    connector.close()
