"""anacron: its table, its lines as anacron 2.3 wrote them, and what runs of it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.cron import anacron
from connectors.cron.anacron import AnacronJob, anacron_jobs
from connectors.cron.attempts import AttemptBook
from connectors.cron.wrapper import WrapperStart
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import ActionFound
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import RunRecord
from connectors.sdk.states import ProofLevel, RunEvidence, RunState, Verb
from tests.connectors.cron.support import ask, connect, read_line
from tests.connectors.cron.test_gate import Gated
from tests.fakes.ssh_local import ME, LocalHost
from tests.lab.process import wait_until

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
    result = list(anacron_jobs("/etc/anacrontab", TABLE))
    read = [item for item in result if isinstance(item, AnacronJob)]
    assert [(item.name, item.schedule_text) for item in read] == [
        ("cron.daily", "every day by anacron, 5 min after it starts"),
        ("job.week", "every 7 days by anacron, 10 min after it starts"),
        ("job.month", "every month by anacron, 15 min after it starts"),
    ]
    assert (read[0].command, read[2].command) == ("run-parts --report   /etc/cron.daily", "true # not a comment")
    assert [item for item in result if not isinstance(item, AnacronJob)] == [
        (8, "@never 1 job.odd true"),
        (9, "1 x job.bad true"),
    ]


def heard() -> AttemptBook:
    book = AttemptBook()
    for line in LOG.splitlines():
        if (event := read_line(line, NOW, UTC)) is not None:
            book.add_event(event, lambda _user, text, *_: (f"db07:{text}",), 1)
    return book


def test_its_log_proves_start_end_and_status_of_jobs_that_share_a_process() -> None:
    book = heard()
    assert {attempt.job.partition("/")[2]: (attempt.state, attempt.exit_code) for attempt in book.attempts} == {
        "job.good": (RunState.SUCCEEDED, 0),
        "job.sig": (RunState.FAILED, 143),
        "job.bad": (RunState.FAILED, 4),
        "job.odd": (RunState.UNKNOWN, None),
    }
    assert {attempt.evidence for attempt in book.attempts} == {RunEvidence.NATIVE}
    assert book.warnings == ["unknown entry of anacron: Job terminated abnormally"]
    assert [attempt.ended - attempt.started for attempt in book.attempts] == [2, 4, 1, 1]


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    made = LocalHost(tmp_path / "db07")
    (made.folder / "etc/anacrontab").write_text("1 5 job.good true\n1 x job.bad true\n")
    made.log.write_text("")
    return made


def say(host: LocalHost, pid: int, text: str, at: float) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at))
    with host.log.open("a") as file:
        file.write(f"{stamp} db07 anacron[{pid}]: {text}\n")


def test_anacron_jobs_are_expected_at_no_minute_and_omissions_are_reported(host: LocalHost) -> None:
    inventory = connect(host).inventory("", 20)
    (job,) = inventory.jobs
    assert (job.native_id, job.schedule.dialect, job.proof, job.run_as) == (
        "db07:anacron/job.good", "none", ProofLevel.EXIT, "root",
    )  # fmt: skip
    assert [item.reason for item in inventory.skipped] == [
        'invalid syntax: anacron leaves this line out. Fix "1 x job.bad true" or comment it out.'
    ]


def test_a_job_runs_while_anacron_waits_for_it(host: LocalHost) -> None:
    """The process that the log names is anacron itself; this test's own process stands in for it."""
    began = time.time() - 5
    say(host, os.getpid(), "Job `job.good' started", began)
    connector = connect(host)
    first = connector.poll("", (), 20)
    while first.more:
        first = connector.poll(first.cursor, (), 20)
    assert [run.state for run in first.runs] == [RunState.RUNNING]
    say(host, os.getpid(), "Job `job.good' terminated", began + 4)
    second = connector.poll(first.cursor, (), 20)
    assert [(run.state, run.exit_code, run.evidence) for run in second.runs] == [
        (RunState.SUCCEEDED, 0, RunEvidence.NATIVE)
    ]


def test_a_job_whose_anacron_disappeared_is_unknown(host: LocalHost) -> None:
    say(host, 4194303, "Job `job.good' started", time.time() - 60)
    connector = connect(host)
    poll = connector.poll("", (), 20)
    while poll.more:
        poll = connector.poll(poll.cursor, (), 20)
    assert [(run.state, run.evidence) for run in poll.runs] == [(RunState.UNKNOWN, RunEvidence.INFERRED)]
    assert "anacron's log proves the start" in poll.runs[0].message


ANACRON = """\
while [ $# -gt 1 ]; do case $1 in -t) shift; [ -r "$1" ] || exit 9 ;; esac; shift; done
echo "Anacron 2.3 started on 2026-11-21" >&2
[ -f {0}/locked ] && { echo "Job \\`$1' locked by another anacron - skipping" >&2; exit 0; }
line() { echo "$(date -u +%Y-%m-%dT%H:%M:%S+00:00) db07 anacron[$$]: $*" >>{1}; echo "$*" >&2; }
line "Job \\`$1' started"
sleep 0.2
line "Job \\`$1' terminated$(cat {0}/ends)"
"""
"""What anacron 2.3 says under -d, to its log and to whoever called it; whatever the job did, it ends with 0."""


@pytest.fixture
def rerunnable(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> LocalHost:
    """A host with an anacron, whose root is whoever runs this."""
    monkeypatch.setattr(anacron, "USER", ME)
    host.shim("anacron", ANACRON.replace("{0}", str(host.folder)).replace("{1}", str(host.log)))
    (host.folder / "ends").write_text("")
    table = host.folder / "etc/anacrontab"
    table.write_text("SHELL=/bin/sh\n1 5\tjob.good\ttrue \\\n  and more\n1 5 job.* true\n1 5 job.other true\n")
    return host


def reruns(host: LocalHost, job: str = "db07:anacron/job.good") -> list[RunRecord]:
    """Reruns it, again under the same key when it has ended, and returns its outcome."""
    connector = connect(host)
    preview = connector.preview(ask(Verb.RERUN, job), 20)
    assert preview.refused is None
    key = new_key()
    connector.act(preview, key, 20)
    cursor, result = "", dict[str, RunRecord]()

    def has_ended() -> bool:
        nonlocal cursor
        poll = connector.poll(cursor, (), 20)
        cursor = poll.cursor
        result.update({run.attempt_key: run for run in poll.runs})
        return bool(result) and not poll.more and not any(run.state.is_open for run in result.values())

    wait_until(has_ended, f"the end of the rerun of {job}")
    assert [key] == [run.action_key for run in result.values()], "its log and its mark tell one attempt"
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)
    assert "before" in connector.act(preview, key, 20).message
    return list(result.values())


@pytest.mark.parametrize(
    "ends, state, code",
    [
        ("", RunState.SUCCEEDED, 0),
        (" (exit status: 4) (mailing output)", RunState.FAILED, 4),
        (" due to signal 15", RunState.FAILED, 143),
    ],
)
def test_a_rerun_goes_through_anacron_and_ends_as_its_job_did(
    rerunnable: LocalHost, ends: str, state: RunState, code: int
) -> None:
    (rerunnable.folder / "ends").write_text(ends)
    (run,) = reruns(rerunnable)
    assert ("db07:anacron/job.good", state, code) == (run.job, run.state, run.exit_code)


def test_one_that_another_anacron_runs_is_red_and_was_not_run(rerunnable: LocalHost) -> None:
    (rerunnable.folder / "locked").write_text("")
    (run,) = reruns(rerunnable)
    assert (RunState.FAILED, 75) == (run.state, run.exit_code)


def test_a_log_read_by_a_later_poll_creates_no_second_attempt() -> None:
    book, at = AttemptBook(), datetime(2026, 11, 21, 11, 5, tzinfo=UTC)
    find = lambda *_: ("db07:anacron/job.good",)  # noqa: E731
    key = new_key()
    book.add_record(WrapperStart("1.77", at, 77, 1, "root", "9", key, "h.1", "anacron"), find)
    book = AttemptBook.from_json([attempt.as_json() for attempt in book.attempts])
    for line in LOG.splitlines()[:5]:
        if (event := read_line(line, NOW, UTC)) is not None and "job.good" in event.text:
            book.add_event(event, find, 1)
    assert [(key, RunState.RUNNING)] == [(attempt.action, attempt.state) for attempt in book.attempts]


def test_a_run_of_anacrons_own_just_before_a_rerun_stays_another(rerunnable: LocalHost) -> None:
    began = time.time() - 8
    say(rerunnable, 4194303, "Job `job.good' started", began)
    say(rerunnable, 4194303, "Job `job.good' terminated (exit status: 4)", began + 2)
    connector = connect(rerunnable)
    preview, key = connector.preview(ask(Verb.RERUN, "db07:anacron/job.good"), 20), new_key()
    first = connector.poll("", (), 20)
    connector.act(preview, key, 20)
    by_key: dict[str, RunRecord] = {}

    def has_ended() -> bool:
        by_key.update({run.attempt_key: run for run in connector.poll(first.cursor, (), 20).runs})
        return any(run.action_key == key and not run.state.is_open for run in by_key.values())

    wait_until(has_ended, "the end of the rerun")
    assert [(key, RunState.SUCCEEDED, 0)] == [
        (run.action_key, run.state, run.exit_code)
        for run in by_key.values()
        if run.attempt_key not in {run.attempt_key for run in first.runs}
    ]
    assert [4] == [run.exit_code for run in first.runs]


def test_a_rerun_says_what_it_does_and_what_it_cannot(rerunnable: LocalHost) -> None:
    preview = connect(rerunnable).preview(ask(Verb.RERUN, "db07:anacron/job.good"), 20)
    table = rerunnable.folder / "etc/anacrontab"
    assert (f"on db07, sh -s as {ME}: anacron -d -f -n -t {table} job.good",) == preview.native_calls
    assert "anacron's own lock" in preview.notes[0]
    odd = connect(rerunnable).preview(ask(Verb.RERUN, "db07:anacron/job.*"), 20)
    assert odd.refused is not None
    assert "as a pattern" in odd.refused
    say(rerunnable, os.getpid(), "Job `job.good' started", time.time() - 5)
    runs = connect(rerunnable).preview(ask(Verb.RERUN, "db07:anacron/job.good"), 20)
    assert runs.refused is not None
    assert "it runs now, by anacron" in runs.refused


def test_a_line_that_changed_since_the_preview_is_not_run(rerunnable: LocalHost) -> None:
    connector = connect(rerunnable)
    preview = connector.preview(ask(Verb.RERUN, "db07:anacron/job.good"), 20)
    (rerunnable.folder / "etc/anacrontab").write_text("1 5 job.good rm -rf /srv\n")
    with pytest.raises(NotSupported, match="this line is no longer in"):
        connector.act(preview, new_key(), 20)


def test_a_read_only_key_is_refused(rerunnable: LocalHost) -> None:
    through = connect(rerunnable, Gated(rerunnable), restricted=True)
    with pytest.raises(NotSupported, match="its key is read-only"):
        through.preview(ask(Verb.RERUN, "db07:anacron/job.good"), 20)


def test_a_hold_is_refused_with_what_to_type(host: LocalHost) -> None:
    with pytest.raises(NotSupported, match=r"as root on its host: anacron -u job\.good"):
        connect(host).preview(ask(Verb.HOLD, "db07:anacron/job.good", {"until": "2026-11-21T20:00:00Z"}), 20)
