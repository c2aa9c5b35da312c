"""anacron: its table, its lines as anacron 2.3 wrote them, and what runs of it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.contract import Evidence, NotSupported, Proof, State, Verb
from connectors.cron.anacron import AnacronJob, jobs
from connectors.cron.attempts import Book
from connectors.cron.logline import read_line
from tests.connectors.cron.support import ask, connect
from tests.fakes.ssh_local import LocalHost

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TABLE = """\
SHELL=/bin/sh
START_HOURS_RANGE=3-22
RANDOM_DELAY = 45
1\t5\tcron.daily\trun-parts --report \\
  /etc/cron.daily
7 10 job.week true
@monthly 15 job.month true # not a comment
@never 1 job.odd true
1 x job.bad true
"""
LOG = """\
Nov 21 11:00:00 db07 anacron[50]: Anacron 2.3 started on 2026-11-21
Nov 21 11:00:00 db07 anacron[50]: Will run job `job.good' in 5 min.
Nov 21 11:05:00 db07 anacron[50]: Job `job.good' started
Nov 21 11:05:01 db07 anacron[50]: Job `job.sig' started
Nov 21 11:05:02 db07 anacron[50]: Job `job.good' terminated (mailing output)
Nov 21 11:05:03 db07 anacron[50]: Job `job.bad' started
Nov 21 11:05:04 db07 anacron[50]: Job `job.bad' terminated (exit status: 4) (mailing output)
Nov 21 11:05:05 db07 anacron[50]: Job `job.sig' terminated due to signal 15
Nov 21 11:05:06 db07 anacron[50]: Job `job.odd' started
Nov 21 11:05:07 db07 anacron[50]: Job `job.odd' terminated abnormally
Nov 21 11:05:08 db07 anacron[50]: Normal exit (4 jobs run)
Nov 21 11:05:09 db07 anacron[51]: Job `job.lost' terminated
"""


def test_its_table_is_read_line_by_line() -> None:
    found = list(jobs("/etc/anacrontab", TABLE))
    read = [one for one in found if isinstance(one, AnacronJob)]
    assert [(one.name, one.words) for one in read] == [
        ("cron.daily", "every day by anacron, 5 min after it starts"),
        ("job.week", "every 7 days by anacron, 10 min after it starts"),
        ("job.month", "every month by anacron, 15 min after it starts"),
    ]
    assert (read[0].command, read[2].command) == ("run-parts --report   /etc/cron.daily", "true # not a comment")
    assert [one for one in found if not isinstance(one, AnacronJob)] == [
        (8, "@never 1 job.odd true"),
        (9, "1 x job.bad true"),
    ]


def heard() -> Book:
    book = Book()
    for line in LOG.splitlines():
        if (event := read_line(line, NOW, UTC)) is not None:
            book.hear_log(event, lambda _user, text, *_: (f"db07:{text}",), 1)
    return book


def test_its_log_proves_start_end_and_status_of_jobs_that_share_a_process() -> None:
    book = heard()
    assert {one.job.partition("/")[2]: (one.state, one.exit_code) for one in book.attempts} == {
        "job.good": (State.SUCCEEDED, 0),
        "job.sig": (State.FAILED, 143),
        "job.bad": (State.FAILED, 4),
        "job.odd": (State.UNKNOWN, None),
    }
    assert {one.evidence for one in book.attempts} == {Evidence.NATIVE}
    assert book.warnings == ["unknown word of anacron: Job terminated abnormally"]
    assert [one.ended - one.started for one in book.attempts] == [2, 4, 1, 1]


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    made = LocalHost(tmp_path / "db07")
    (made.folder / "etc/anacrontab").write_text("1 5 job.good true\n1 x job.bad true\n")
    made.log.write_text("")
    return made


def say(host: LocalHost, pid: int, words: str, at: float) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at))
    with host.log.open("a") as file:
        file.write(f"{stamp} db07 anacron[{pid}]: {words}\n")


def test_its_jobs_are_expected_at_no_minute_and_what_it_leaves_out_is_told(host: LocalHost) -> None:
    inventory = connect(host).inventory("", 20)
    (job,) = inventory.jobs
    assert (job.native_id, job.schedule.dialect, job.proof, job.run_as) == (
        "db07:anacron/job.good", "none", Proof.EXIT, "root",
    )  # fmt: skip
    assert [one.reason for one in inventory.skipped] == [
        'invalid syntax: anacron leaves this line out. Mend "1 x job.bad true" or comment it out.'
    ]


def test_a_job_runs_while_anacron_waits_for_it(host: LocalHost) -> None:
    """The process that the log names is anacron itself: this test's own stands for it."""
    began = time.time() - 5
    say(host, os.getpid(), "Job `job.good' started", began)
    connector = connect(host)
    first = connector.poll("", (), 20)
    while first.more:
        first = connector.poll(first.cursor, (), 20)
    assert [run.state for run in first.runs] == [State.RUNNING]
    say(host, os.getpid(), "Job `job.good' terminated", began + 4)
    second = connector.poll(first.cursor, (), 20)
    assert [(run.state, run.exit_code, run.evidence) for run in second.runs] == [(State.SUCCEEDED, 0, Evidence.NATIVE)]


def test_a_job_whose_anacron_is_gone_is_unknown(host: LocalHost) -> None:
    say(host, 4194303, "Job `job.good' started", time.time() - 60)
    connector = connect(host)
    poll = connector.poll("", (), 20)
    while poll.more:
        poll = connector.poll(poll.cursor, (), 20)
    assert [(run.state, run.evidence) for run in poll.runs] == [(State.UNKNOWN, Evidence.INFERRED)]
    assert "anacron's log proves the start" in poll.runs[0].message


def test_acts_are_refused_with_what_to_type(host: LocalHost) -> None:
    for verb in (Verb.START, Verb.HOLD):
        with pytest.raises(NotSupported, match=r"As root on its host: anacron -f -n job\.good"):
            connect(host).preview(ask(verb, "db07:anacron/job.good", {"until": "2026-11-21T20:00:00Z"}), 20)
