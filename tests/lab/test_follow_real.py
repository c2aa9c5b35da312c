"""`headway log --follow` on a real host: what a running job writes is printed while it runs, each line once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.estate import Estate
from tests.lab.headway import COMMAND, Headway
from tests.lab.headway_config import Options
from tests.lab.jobs import CronJobs, cron_of, next_minute
from tests.lab.process import HANGS_SECONDS, wait_until

NAME = "followed_job"
JOB = f"etl-hosts/db07:{NAME}"


@pytest.fixture
def cron(lab: Estate) -> Iterator[CronJobs]:
    yield CronJobs(lab.db07)
    lab.db07.remove_crontab("etl")


def test_a_running_job_is_followed_to_its_end(lab: Estate, cron: CronJobs, tmp_path: Path) -> None:
    cron.behave(NAME, "hang")
    due = next_minute()
    cron.schedule({NAME: cron_of(due)}, wrapped=True)
    headway = Headway(lab.write_config(tmp_path / "config", Options(systems=("etl-hosts",), hosts=("db07",))))
    printed, messages = tmp_path / "printed", tmp_path / "messages"
    with headway.running_engine():
        wait_until(lambda: headway.listed("job", JOB), "the job", pause=0.5)
        wait_until(lambda: ["running"] == [run["state"] for run in headway.listed("run", JOB)], "its start", pause=0.5)
        argv = [str(COMMAND), "--config", str(headway.config), "log", JOB, "--follow"]
        with (
            printed.open("w") as out,
            messages.open("w") as errors,
            subprocess.Popen(argv, env=headway.environment, stdout=out, stderr=errors) as follower,
        ):
            try:
                first = f"{NAME}: connecting to orders\n"
                wait_until(lambda: printed.read_text() == first, "its first line", pause=0.5)
                assert follower.poll() is None
                cron.behave(NAME, "succeed")
                assert 0 == follower.wait(HANGS_SECONDS)
            finally:
                follower.kill()
    assert f"{first}{NAME}: 4711 orders written\n" == printed.read_text()
    assert "ended: succeeded" in messages.read_text().splitlines()[-1]
