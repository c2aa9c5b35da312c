"""anacron 2.3 as it really is, on a cron host: what its log proves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.sdk.contract import ActionSpec
from connectors.sdk.records import Poll, RunRef
from connectors.sdk.states import RunEvidence, RunState, Verb
from tests.lab.cronhost import CronHost
from tests.lab.estate import Estate
from tests.lab.process import wait_until
from tests.lab.test_cron_real import connect, rerun

TABLE = """\
SHELL=/bin/sh
1 0 job.good echo fine
1 0 job.bad exit 4
@monthly 0 job.sig kill -15 $$
1 x job.odd true
"""
RUN = "mkdir -p /var/spool/anacron && /usr/sbin/anacron -d -f -n -s -t /etc/anacrontab -S /var/spool/anacron"


@pytest.fixture(scope="module")
def host(lab: Estate) -> Iterator[CronHost]:
    made = lab.host("anahost", cron_level=15)
    made.files.put("etc/anacrontab", TABLE)
    made.run("root", f"{RUN} >/tmp/said 2>&1; true")
    wait_until(lambda: "Normal exit" in made.log_text(), "anacron's last line in the log")
    yield made
    lab.drop("anahost")


def polled(host: CronHost) -> Poll:
    return connect(host).poll("", (), 30)


def test_start_end_status_and_signal_are_proved(host: CronHost) -> None:
    details = {run.job: (run.state, run.exit_code, run.evidence) for run in polled(host).runs}
    assert details == {
        "anahost:anacron/job.good": (RunState.SUCCEEDED, 0, RunEvidence.NATIVE),
        "anahost:anacron/job.bad": (RunState.FAILED, 4, RunEvidence.NATIVE),
        "anahost:anacron/job.sig": (RunState.FAILED, 143, RunEvidence.NATIVE),
    }


def test_the_line_that_anacron_leaves_out_is_the_one_that_we_say(host: CronHost) -> None:
    assert "anacrontab on line 5 - skipping this line" in host.run("root", "cat /tmp/said").replace("/etc/", "")
    skipped = [skip.where for skip in connect(host).inventory("", 30).skipped]
    assert skipped == ["/etc/anacrontab:5"]


@pytest.mark.parametrize("job, state, code", [("job.good", RunState.SUCCEEDED, 0), ("job.bad", RunState.FAILED, 4)])
def test_a_rerun_goes_through_anacron_and_is_one_attempt(host: CronHost, job: str, state: RunState, code: int) -> None:
    run = rerun(host, f"anahost:anacron/{job}", user="root")
    assert (state, code) == (run.state, run.exit_code)
    keys = [run_record.action_key for run_record in polled(host).runs if run_record.job == run.job]
    assert [None, run.action_key] == keys, "anacron's own start and ours: what its log says of ours is no third one"


def test_without_the_right_to_act_as_root_a_rerun_is_refused_with_its_fix(host: CronHost) -> None:
    ask = ActionSpec(Verb.RERUN, RunRef("anahost:anacron/job.good", "", "", ""), RunState.FAILED)
    refused = connect(host).preview(ask, 30).refused
    assert refused is not None
    assert refused.endswith("Add to its sudoers: headway ALL=(root) NOPASSWD: /bin/sh -s")


def test_a_job_that_runs_is_seen_to_run(host: CronHost) -> None:
    host.files.put("etc/anacrontab", "1 0 job.long sleep 60\n")
    host.run("root", f"setsid -f sh -c '{RUN}' >/dev/null 2>&1 </dev/null")
    wait_until(lambda: "`job.long' started" in host.log_text(), "the long job")
    connector = connect(host)
    poll = connector.poll("", (), 30)
    for _ in range(3):
        poll = connector.poll(poll.cursor, (), 30)
        states = {run.job: run.state for run in poll.runs}
        assert states.get("anahost:anacron/job.long") == RunState.RUNNING
