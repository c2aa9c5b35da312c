"""`headway init` on a real cron host behind a real sshd, and on a real PostgreSQL with pg_cron: found, probed,
read back, and a first service proposed from history."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import pytest

from console.config.loading import load_config
from tests.lab.cronhost import CronHost
from tests.lab.headway import COMMAND
from tests.lab.postgres import PostgresServer
from tests.lab.process import HANGS_SECONDS, clean_environment, wait_until

NIGHTLY = "nightly_revenue"
AS_IF_LAST_NIGHT: LiteralString = """
UPDATE cron.job_run_details SET start_time = night, end_time = night + interval '1 second'
FROM (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '1 day' + interval '5 hours'
AS night) AS last WHERE jobid = %s"""
"""What ran a moment ago stands there as of yesterday's 05:00: at whatever hour this test runs, it is a night's job."""


@dataclass
class First:
    """What a person had after the first minutes."""

    config: Path
    done: subprocess.CompletedProcess[str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return headway(self.config.parents[2], *arguments)


def headway(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(HOME=str(home), **env)
    return subprocess.run(
        [str(COMMAND), *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
    )


@pytest.fixture(scope="module")
def first(db07: CronHost, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[First]:
    home = tmp_path_factory.mktemp("home")
    ssh = home / ".ssh"
    ssh.mkdir(mode=0o700)
    shutil.copy(db07.known_hosts, ssh / "known_hosts")
    (ssh / "config").write_text(
        f"Host db07\n  HostName 127.0.0.1\n  Port {db07.port}\n  User root\n  IdentityFile {db07.key}\n"
    )
    jobid = postgres.schedule(NIGHTLY, "* * * * *", "SELECT 1")
    db07.write_crontab("etl", "# headway: extract_orders\n10 3 * * * true\n")
    try:
        wait_until(lambda: bool(succeeded(postgres, jobid)), "a run of pg_cron")
        postgres.schedule(NIGHTLY, "0 5 * * *", "SELECT 1")
        postgres.execute(AS_IF_LAST_NIGHT, jobid)
        env = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": "lab"}
        done = headway(home, "init", "--yes", "--only", "ssh:db07", "--only", "pg_cron", **env)
        yield First(home / ".config/headway/headway.toml", done)
    finally:
        postgres.unschedule(NIGHTLY)
        db07.remove_crontab("etl")


def succeeded(postgres: PostgresServer, jobid: int) -> list[tuple[str, str]]:
    return [run for run in postgres.runs(jobid) if run[0] == "succeeded"]


def test_both_are_found_probed_and_read_back(first: First) -> None:
    assert 0 == first.done.returncode, first.done.stdout + first.done.stderr
    assert "PostgreSQL with pg_cron, 1 job" in first.done.stdout
    assert "cron-db07/db07: ok" in first.done.stdout
    for target in ("cron-db07/db07: done, ", "pg-"):
        assert target in first.done.stderr


def test_the_config_watches_both_in_shadow_mode(first: First) -> None:
    config = load_config(first.config)
    assert ({"cron", "pg_cron"}, "shadow") == (
        {system.kind.kind for system in config.systems.values()},
        config.estate.starts_in,
    )


def test_the_first_service_is_what_history_proves_with_its_reason(first: First) -> None:
    [(name, service)] = load_config(first.config).services.items()
    assert ("nightly-revenue", True) == (name, service.delivered_by[0].endswith(f"/{NIGHTLY}"))
    text = first.config.read_text()
    assert "headway init proposed it and you accepted it" in text
    assert "at the latest in the one night that is known" in " ".join(text.replace("#", "").split())


def test_what_was_read_is_in_the_store_and_nothing_works_on_it_any_more(first: First) -> None:
    jobs = first.run("job", "list")
    assert "extract_orders" in jobs.stdout
    assert NIGHTLY in jobs.stdout
    assert 3 == first.run("engine", "stop").returncode


def test_missing_grants_come_as_a_line_to_copy(postgres: PostgresServer, tmp_path: Path) -> None:
    done = headway(
        tmp_path, "init", "--yes", "--no-poll", "--dsn", "DWH_DSN", DWH_DSN=postgres.dsn(role="headway_blind")
    )
    line = f"    headway connector grants pg_cron --dsn DWH_DSN | psql -h 127.0.0.1 -p {postgres.port} -U postgres ops"
    assert (0, 1) == (done.returncode, done.stdout.splitlines().count(line)), done


def test_a_selected_variable_is_of_the_job_agent_that_its_database_has(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    dsn = postgres.create_database("agent")
    postgres.execute("CREATE EXTENSION pgagent", database=dsn.rpartition("/")[2])
    try:
        done = headway(tmp_path, "init", "--yes", "--no-poll", "--only", "dsn:DWH_DSN", DWH_DSN=dsn)
    finally:
        postgres.drop_database(dsn)
    assert 0 == done.returncode, done
    assert "pgagent" == load_config(tmp_path / ".config/headway/headway.toml").systems["dwh"].settings.kind
