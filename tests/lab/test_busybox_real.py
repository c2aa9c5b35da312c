"""crond of busybox, as on Alpine, on a host of its own: what its log proves, and what it makes of crontabs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from connectors.cron.connector import CONNECTOR, CronConnector
from connectors.sdk.conformance import Deadlines, Logs, Reads
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import Capability, ProofLevel, RunEvidence, RunState
from tests.fakes.login import no_secret
from tests.lab.cronhost import CronHost
from tests.lab.estate import Estate
from tests.lab.process import wait_seconds
from tests.lab.test_cron_real import connect, options, wait

ETL_JOBS = """\
SHELL=/bin/sh
FOO=bar
# headway: percent_job
* * * * * echo 10%d "$FOO" >/tmp/percent # the rest is no command
# headway: long_job
* * * * * sleep 600
# headway: bad_hour
* 25 * * * touch /tmp/bad_hour
# headway: sunday_job
* * * * 7 touch /tmp/sunday
# headway: last_job
10 3 * * * true"""
OBSERVED = replace(
    CONNECTOR,
    capabilities=frozenset({Capability.LOG}),
    missing={**CONNECTOR.missing, **dict.fromkeys(CONNECTOR.capabilities - {Capability.LOG}, "acts: on Debian's cron")},
)
WRAPPED = """\
SHELL=/usr/local/bin/headway-sh
# headway: good_job
* * * * * echo fine
# headway: bad_job
* * * * * echo orders.csv: No such file; exit 3
"""


@pytest.fixture(scope="module")
def alpine(lab: Estate) -> Iterator[CronHost]:
    host = lab.host("alpine", busybox=True)
    host.write_crontab_unchecked("etl", ETL_JOBS)
    host.write_crontab_unchecked("root", WRAPPED)
    host.files.put_crontab("headway", "* * * * * touch /tmp/of_another_owner\n", "headway")
    host.write_cron_d("unread", "* * * * * root touch /tmp/of_cron_d\n")
    host.run("root", "install -d -o root -g adm -m 3773 /var/spool/headway")

    def lived() -> bool | None:
        return host.log_text().count("cmd sleep 600") + host.log_text().count("already running") > 1 or None

    wait("two minutes of crond", lived)
    yield host
    lab.drop("alpine")


def runs_of(host: CronHost, job: str) -> list[RunRecord]:
    return [run for run in connect(host).poll("", (), 30).runs if run.job == f"alpine:{job}"]


def test_a_start_is_proved_and_an_end_is_not(alpine: CronHost) -> None:
    first = runs_of(alpine, "percent_job")[0]
    assert (first.state, first.evidence, first.exit_code) == (RunState.UNKNOWN, RunEvidence.INFERRED, None)
    assert "crond of busybox proves the start" in first.message
    assert alpine.run("root", "cat /tmp/percent") == "10%d \n"


def test_what_runs_is_seen_to_run_and_is_not_started_again(alpine: CronHost) -> None:
    assert [run.state for run in runs_of(alpine, "long_job")] == [RunState.RUNNING]
    assert any("already running: sleep 600" in warning for warning in connect(alpine).poll("", (), 30).warnings)


def test_the_wrapper_reports_all_there_too(alpine: CronHost) -> None:
    details = {run.job.partition(":")[2]: (run.state, run.exit_code) for run in connect(alpine).poll("", (), 30).runs}
    assert details["good_job"] == (RunState.SUCCEEDED, 0)
    assert details["bad_job"] == (RunState.FAILED, 3)
    keys = [run.attempt_key for run in runs_of(alpine, "bad_job")]
    assert len(keys) == len(set(keys)) == alpine.log_text().count("exit 3")


def test_what_busybox_makes_of_a_crontab_is_what_we_say(alpine: CronHost) -> None:
    inventory = connect(alpine, user="root").inventory("", 30)
    jobs = {job.title: job for job in inventory.jobs}
    assert set(jobs) == {"percent_job", "long_job", "bad_hour", "sunday_job", "last_job", "good_job", "bad_job"}
    assert {job.schedule.dialect for job in jobs.values()} == {"busybox"}
    assert jobs["bad_hour"].schedule.expression == jobs["sunday_job"].schedule.expression == "* * * * *"
    assert (jobs["percent_job"].proof, jobs["good_job"].proof) == (ProofLevel.START, ProofLevel.FULL)
    assert alpine.run("root", "ls /tmp").split() == ["bad_hour", "percent", "sunday"]
    reasons = "\n".join(skip.reason for skip in inventory.skipped)
    assert "parse error at 25: crond of busybox reads it as *" in reasons
    assert "parse error at 7: " in reasons
    assert "chown root /var/spool/cron/crontabs/headway" in reasons


def test_no_start_is_missed_where_the_log_records_starts(alpine: CronHost) -> None:
    poll = connect(alpine).poll("", (), 30)
    assert poll.seen_until is not None


@pytest.mark.usefixtures("world")
class TestBusyboxConformance(Reads, Logs, Deadlines):
    kind = OBSERVED
    against = "real: crond of busybox 1.35 over OpenSSH"
    host: CronHost

    @pytest.fixture(scope="class")
    def world(self, alpine: CronHost, request: pytest.FixtureRequest) -> None:
        request.cls.host = alpine

    def connector(self) -> Connector:
        return connect(self.host)

    def connector_at(self, host: str, port: int) -> Connector:
        entry = {"name": self.host.name, "address": host, "port": port}
        return CronConnector(options(self.host, hosts=[entry]), self.host.name, no_secret)

    def make_success(self) -> str:
        return "alpine:good_job"

    def make_failure(self) -> str:
        return "alpine:bad_job"

    def connector_with_an_unknown_state(self) -> Connector:
        self.host.log_to_syslog("USER root pid 99991 cmd echo fine", tag="crond[99]")
        self.host.log_to_syslog("(CRON) error (grandchild #99991 was eaten)", tag="CRON[99990]")
        return self.connector()


def test_a_log_without_times_proves_nothing_and_is_reported(alpine: CronHost) -> None:
    """Last: crond is started again, with a file of its own."""
    alpine.run("root", "kill $(cat /run/crond.pid); /usr/local/sbin/crond -l 8 -L /var/log/own.log")
    alpine.write_crontab_unchecked("root", "* * * * * sleep 20\n")
    connector = connect(alpine, logs=["/var/log/own.log"])
    wait("a line of it", lambda: "cmd sleep 20" in alpine.run("root", "cat /var/log/own.log") or None)
    wait_seconds(1)
    poll = connector.poll("", (), 30)
    assert (poll.seen_until, [run for run in poll.runs if run.job == "alpine:root-sleep-20"]) == (None, [])
    assert any("Start it without -L" in warning for warning in poll.warnings)
