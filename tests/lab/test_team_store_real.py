"""A team's store on PostgreSQL: two engines share it, one works; a kill passes the work on, nothing is told twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.lab.estate import Estate
from tests.lab.headway import Headway
from tests.lab.headway_config import EXTRACT, Options
from tests.lab.jobs import Story, next_minute
from tests.lab.process import tail, wait_until

pytestmark = pytest.mark.timeout(240)


def team(lab: Estate, folder: Path, dsn: str) -> Headway:
    """The command of one member: the config names the store by reference."""
    config = lab.write_config(folder, Options(systems=("etl-hosts", "dwh")))
    config.write_text(config.read_text().replace('store = "headway.db"', 'store = { env = "TEAM_STORE" }'))
    return Headway(config, TEAM_STORE=dsn)


def test_two_engines_share_a_store_and_the_second_goes_on_where_the_first_was_killed(
    lab: Estate, store_dsn: str, tmp_path: Path
) -> None:
    lab.smtp.mails.clear()
    with Story(lab, with_airflow=False).all_well_after() as story:
        story.cron.behave("extract_orders", "fail")
        story.schedule(next_minute())
        first, second = team(lab, tmp_path / "one", store_dsn), team(lab, tmp_path / "two", store_dsn)
        with first.running_engine() as one, second.running_engine() as two:
            wait_until(lambda: "standing by" in tail(one.log) + tail(two.log), "one to stand by", 30)
            holder = second.json("status")["header"]["engine"]["holder"]
            holding, other = (one, two) if f":{one.pid}~" in holder else (two, one)
            assert f":{holding.pid}~" in tail(other.log)
            wait_until(lambda: bool(lab.smtp.mails), "the alert", 100)
            os.kill(holding.pid, signal.SIGKILL)
            story.cron.behave("extract_orders", "succeed")
            wait_until(lambda: "standing by" not in tail(other.log).splitlines()[-1], "the other to work", 30)
            answer = second.run("rerun", EXTRACT, "--yes", "--timeout", "40")
            assert (0, "verified") == (answer.exit_status, answer.stdout.splitlines()[-1][:8]), answer
            wait_until(lambda: len(lab.smtp.mails) >= 2, "the recovery note", 30)
    subjects = [mail.subject for mail in lab.smtp.mails]
    assert (2, True) == (len(subjects), "recovered" in subjects[1]), subjects


def test_a_console_on_a_shared_store_never_starts_an_engine_and_says_since_when_there_is_none(
    lab: Estate, store_dsn: str, tmp_path: Path
) -> None:
    member = team(lab, tmp_path, store_dsn)
    with member.running_engine() as engine:
        wait_until(lambda: member.run("status").exit_status == 0, "the engine", 30)
        assert engine.pid > 0
    answer = member.run("status")
    assert (3, True) == (answer.exit_status, "NO ENGINE" in answer.stdout), answer
