"""The README's real start, word by word, on a real cron host and a real pg_cron: only addresses are the lab's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.lab.cronhost import CronHost
from tests.lab.headway import Headway
from tests.lab.jobs import CronJobs, DatabaseJobs
from tests.lab.postgres import PostgresServer
from tests.lab.process import wait_until
from tests.lab.sinks import SmtpSink

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
HOSTS = 'hosts = ["db07"]'
EXTRACT, REVENUE = "etl-hosts/db07:extract_orders", "dwh/refresh_revenue"


def block(language: str, holding: str) -> str:
    """The fenced block of the README in that language that holds a word."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return next(text for text in found if holding in text)


@pytest.fixture
def stranger(db07: CronHost, postgres: PostgresServer, smtp: SmtpSink, tmp_path: Path) -> Headway:
    """Somebody with the README's config in a home of his own, who may sign in and has two jobs to watch."""
    CronJobs(db07).schedule({"extract_orders": "10 3 * * *"})
    DatabaseJobs(postgres).schedule("refresh_revenue", "30 4 * * *")
    login = tmp_path / ".ssh"
    login.mkdir(mode=0o700)
    (login / "headway_ed25519").touch(0o600)
    (login / "headway_ed25519").write_text(db07.key.read_text())
    (login / "known_hosts").write_text(db07.files.known_hosts_line)
    config = tmp_path / "headway.toml"
    text = block("toml", "[systems.etl-hosts]")
    assert HOSTS in text
    address = f'hosts = [{{ name = "db07", address = "127.0.0.1", port = {db07.port} }}]'
    config.write_text(text.replace(HOSTS, address))
    return Headway(config, DWH_DSN=postgres.dsn(role="headway_act"), ONCALL_MAIL=smtp.url())


def test_a_stranger_gets_from_check_to_a_board_by_the_words_of_the_readme(stranger: Headway) -> None:
    commands = [line.partition("#")[0].strip(" &\n") for line in block("bash", "headway check").splitlines()]
    words = [line.removeprefix("headway").split() for line in commands if line.startswith("headway")]
    assert [["check"], ["engine"], ["status"], [], ["shadow", "off"], ["engine", "stop"]] == words

    check = stranger.run("check")
    assert (0, True) == (check.exit_status, "2 systems, 1 service, no fault" in check.stderr), check
    with stranger.running_engine():
        wait_until(lambda: {one["name"] for one in jobs(stranger)} == {EXTRACT, REVENUE}, "both jobs", 30)
        status = stranger.run("status")
        assert (0, True) == (status.exit_status, "daily-revenue" in status.stdout)
        job = stranger.json("job", REVENUE)
        assert ([[EXTRACT, "declared"]], ["daily-revenue"]) == (job["upstreams"], job["services"])
        assert "IN SHADOW: the estate" in status.stdout
        assert "everything is live" in stranger.run("shadow", "off").stdout
        stop = stranger.run("engine", "stop")
        assert (0, True) == (stop.exit_status, "stopped" in stop.stderr)


def jobs(stranger: Headway) -> list[dict[str, object]]:
    """The jobs that are known; none before the engine has made its store."""
    answer = stranger.run("job", "list", "--json")
    found: list[dict[str, object]] = json.loads(answer.stdout) if answer.exit_status == 0 else []
    return found
