"""A host as it may be: start files that print, no Python, no rsyslog. All is seen and done by its shell alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.sdk.states import RunEvidence, RunState
from tests.lab.cronhost import CronHost
from tests.lab.estate import Estate
from tests.lab.test_cron_real import connect, rerun

NOISY = r"""
echo "*** all that you do is watched ***"
printf '\n\036END\nHOST|1|+0000|1|x\n'
echo "nvm: command not found" >&2
echo ran >>/tmp/start-file
"""


@pytest.fixture(scope="module")
def bare(lab: Estate) -> Iterator[CronHost]:
    host = lab.host("bare", cron_level=15)
    host.files.put("home/headway/.bashrc", NOISY)
    host.run("root", "sed -i '/^headway:/s#/bin/sh$#/bin/bash#' /etc/passwd")
    host.run("root", "for p in /usr/bin/python3*; do [ -L $p ] || mount --bind /dev/null $p; done")
    host.run("root", "kill $(cat /run/rsyslogd.pid); rm -f /var/log/cron.log /var/log/syslog")
    host.write_crontab("etl", "# headway: bad_job\n10 3 * * * echo no orders; exit 3\n")
    yield host
    lab.drop("bare")


def test_there_is_no_python_and_the_start_file_prints(bare: CronHost) -> None:
    assert bare.run("root", "python3 -c 'print(1)' 2>/dev/null || echo none") == "none\n"
    connect(bare).poll("", (), 30)
    assert bare.run("root", "cat /tmp/start-file").startswith("ran\n")


def test_its_jobs_are_seen_and_the_missing_log_is_reported(bare: CronHost) -> None:
    connector = connect(bare)
    poll = connector.poll("", (), 30)
    assert poll.inventory is not None
    assert [job.native_id for job in poll.inventory.jobs] == ["bare:bad_job"]
    assert (poll.seen_until, poll.inventory.complete) == (None, True)
    assert any("cron's log is not there: install rsyslog" in warning for warning in poll.warnings)
    assert connector.probe(30).reachable


def test_a_rerun_there_has_its_status_and_output_all_the_same(bare: CronHost) -> None:
    attempt = rerun(bare, "bare:bad_job")
    assert (attempt.state, attempt.evidence, attempt.exit_code) == (RunState.FAILED, RunEvidence.NATIVE, 3)
