"""A crontab line on a real host that is moved a minute earlier and not accepted: its run, mail and repair."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.lab.estate import Estate
from tests.lab.headway import Headway
from tests.lab.headway_config import Options
from tests.lab.jobs import CronJobs, cron_of, next_minute
from tests.lab.process import wait_for_clock, wait_until

JOB = "etl-hosts/db07:moved_job"
GRACE_SECONDS = 5
CONFIG = f"""
[jobs."{JOB}"]
grace = "{GRACE_SECONDS}s"
rerun = "safe"
"""


@pytest.fixture
def cron(lab: Estate) -> Iterator[CronJobs]:
    lab.smtp.mails.clear()
    yield CronJobs(lab.db07)
    lab.db07.remove_crontab("etl")


def test_a_line_that_is_moved_earlier_is_run_repaired_and_accepted_without_a_missed_start(
    lab: Estate, cron: CronJobs, tmp_path: Any
) -> None:
    due = next_minute(timedelta(seconds=80))
    cron.schedule({"moved_job": cron_of(due)}, wrapped=True)
    cron.behave("moved_job", "fail")
    options = Options(systems=("etl-hosts",), hosts=("db07",), extra=CONFIG)
    headway = Headway(lab.write_config(tmp_path / "config", options))

    def runs() -> list[tuple[str, str]]:
        return [(run["period_key"], run["state"]) for run in headway.listed("run", JOB)]

    with headway.running_engine():
        wait_until(lambda: headway.listed("job", JOB), "the job", pause=0.5)
        cron.schedule({"moved_job": cron_of(due - timedelta(minutes=1))}, wrapped=True)
        period = f"{due:%Y-%m-%dT%H:%M:%SZ}"
        wait_until(lambda: (period, "failed") in runs(), "its failure", pause=1.0)
        mail = lab.smtp.wait_for(1)[0]
        wait_for_clock(due + timedelta(seconds=GRACE_SECONDS + 8))
        assert [(period, "failed")] == [run for run in runs() if run[0] <= period]
        assert [JOB] == [incident["root_job"] for incident in headway.json("incident", "list")]
        fix = f"headway system drift accept {JOB}"
        assert 1 == " ".join(mail.text.split()).count(fix)
        assert fix in headway.run_in_process("incident", "INC-0001").stdout
        cron.behave("moved_job", "succeed")
        recovered = headway.run("recover", "INC-0001", "--yes")
        assert 0 == recovered.exit_status, recovered
        wait_until(lambda: [] == headway.json("incident", "list"), "the incident's end", pause=0.5)
        assert [(period, "succeeded")] == [run for run in runs() if run[0] <= period]
        assert 1 == len(headway.json("incident", "list", "--all"))
        accepted = headway.run("system", "drift", "accept", JOB, "--yes")
        assert 0 == accepted.exit_status, accepted
        assert 0 == headway.run_in_process("system", "drift").exit_status
