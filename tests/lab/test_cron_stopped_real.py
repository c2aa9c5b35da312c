"""A host that answers and whose cron does not run: said as such everywhere, and what was due there is missed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from console.store.db.lease import is_alive
from tests.lab import guard
from tests.lab.cronhost import CronHost
from tests.lab.headway import Answer, Headway
from tests.lab.jobs import CronJobs, cron_of, next_minute
from tests.lab.process import wait_until

pytestmark = pytest.mark.lab
CONFIG = """
[estate]
name = "night"
[systems.etl]
kind = "cron"
hosts = [{{ name = "db07", address = "127.0.0.1", port = {port} }}]
user = "headway"
key = "{key}"
known_hosts = "{known}"
poll_every = "2s"
[jobs."etl/db07:due_job"]
grace = "5s"
"""


@pytest.fixture
def stopped(db07: CronHost, tmp_path: Path) -> Iterator[CronHost]:
    """Its cron is killed before the job is due, and runs again afterwards."""
    pid = db07.pid_of("cron")
    guard.send(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "cron to be gone")
    yield db07
    db07.remove_crontab("etl")
    db07.run("root", "/usr/sbin/cron")
    wait_until(lambda: db07.pid_of("cron"), "cron to be back")


def test_a_host_without_its_cron_is_no_green_dot_and_what_is_due_there_is_missed(
    stopped: CronHost, tmp_path: Path
) -> None:
    due = next_minute(timedelta(minutes=2))  # the engine has begun by then, on a busy machine too
    CronJobs(stopped).schedule({"due_job": cron_of(due)})
    config = tmp_path / "headway.toml"
    config.write_text(CONFIG.format(port=stopped.port, key=stopped.key, known=stopped.known_hosts))
    headway = Headway(config)
    with headway.running_engine():
        wait_until(
            lambda: "cron does not run on db07" in headway.run_in_process("system").stdout, "the warning", pause=0.5
        )
        answers: dict[str, Answer] = {}

        def marked() -> bool:  # a host that a busy machine is slow to poll is stale in between
            answers.update({text: headway.run(text) for text in ("system", "status")})
            return all("! NOTHING STARTS" in answer.stdout for answer in answers.values())

        wait_until(marked, "the mark of a host on which nothing starts", pause=0.5)
        assert 1 == answers["system"].exit_status
        assert "cron does not run on db07. Fix: systemctl start cron" in answers["system"].stdout

        def causes() -> list[str]:
            return [str(incident["title"]) for incident in headway.json("incident", "list")]

        wait_until(lambda: causes() == ["etl/db07 starts nothing"], "one incident of its host", pause=0.5)

        def state() -> str:
            return str(headway.json("job", "due_job")["row"]["state"])

        wait_until(lambda: state() == "missed", "due_job to be missed", pause=0.5)
        assert ["etl/db07 starts nothing"] == causes(), "the missed start is its symptom"
