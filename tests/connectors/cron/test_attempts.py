"""The evidence ladder on recorded logs of cron 3.0pl1-162: what each level proves, and the wrapper beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cron.attempts import AttemptBook, CronAttempt, ProcessSnapshot, settle_attempts
from connectors.cron.attempts import run_record as run_of
from connectors.cron.events import CronEvent, CronEventKind
from connectors.cron.parse import CronProcesses
from connectors.cron.wrapper import WrapperStart, read_record
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunEvidence, RunState
from connectors.sdk.transport.script_output import HostNow
from tests.connectors.cron.support import read_line
from tests.rows import each_row

RECORDINGS = Path(__file__).parents[2] / "recordings/cron"
BOOT = "c2a52b64-7439-46a5-a0fb-351ce15ea38a"
NOW = datetime(2026, 11, 20, 8, 20, tzinfo=UTC)


def events(name: str) -> list[CronEvent]:
    lines = (RECORDINGS / name).read_bytes().decode("utf-8", "surrogateescape").splitlines()
    return [event for line in lines if (event := read_line(line, NOW, UTC)) is not None]


def any_job(user: str, text: str, started: datetime, mark: str) -> tuple[str, ...]:
    return (f"db07:{text[:20]}",)


def heard(name: str, level: int) -> AttemptBook:
    book = AttemptBook()
    for event in events(name):
        book.add_event(event, any_job, level)
    return book


def poll_processes(
    book: AttemptBook, level: int, *, at: datetime = NOW, jobs: dict[int, int] | None = None, uptime: float = 1e6,
    births: dict[int, str] | None = None, hidden: bool = False, read: bool = True,
    searched: frozenset[int] | None = None,
) -> None:  # fmt: skip
    running = jobs or {}
    ticks = {pid: str(int((uptime - 60) * 100)) for pid in (*running, *running.values())}
    searched = frozenset(attempt.pid for attempt in book.attempts) if searched is None else searched
    table = CronProcesses(29, level, hidden, frozenset(running.values()), running, ticks | (births or {}), searched)
    settle_attempts(book, ProcessSnapshot(HostNow(at, UTC, uptime, BOOT), table, level, read, read))


def states(book: AttemptBook) -> dict[str, RunState]:
    return {attempt.job: attempt.state for attempt in book.attempts}


def record(text: str) -> WrapperStart:
    result = read_record(text, "root")
    assert isinstance(result, WrapperStart)
    return result


def test_debian_default_proves_only_the_start() -> None:
    book = heard("debian12-L1.log", 1)
    poll_processes(book, 1)
    assert {RunState.UNKNOWN} == set(states(book).values())
    assert {RunEvidence.INFERRED} == {attempt.evidence for attempt in book.attempts}
    assert "cron -L 1 proves the start" in book.attempts[0].message


def test_job_is_running_while_cron_waits_for_it_and_unknown_afterwards() -> None:
    book = heard("debian12-L1.log", 1)
    sleeper = next(attempt for attempt in book.attempts if attempt.job == "db07:sleep 30")
    poll_processes(book, 1, at=NOW, jobs={sleeper.pid: 34})
    assert (sleeper.state, sleeper.evidence) == (RunState.RUNNING, RunEvidence.NATIVE)
    poll_processes(book, 1, at=NOW + timedelta(minutes=1))
    assert sleeper.state is RunState.UNKNOWN


def test_job_whose_process_was_overlooked_once_runs_again() -> None:
    book = heard("debian12-L1.log", 1)
    poll_processes(book, 1)
    sleeper = next(attempt for attempt in book.attempts if attempt.job == "db07:sleep 30")
    assert sleeper.state is RunState.UNKNOWN
    poll_processes(book, 1, jobs={sleeper.pid: 34})
    assert (sleeper.state, sleeper.evidence, sleeper.changed) == (RunState.RUNNING, RunEvidence.NATIVE, True)


def test_level_5_proves_failures_and_leaves_the_rest_unknown() -> None:
    book = heard("debian12-L5.log", 5)
    for at in (NOW, NOW + timedelta(seconds=15)):
        poll_processes(book, 5, at=at)
    result = states(book)
    assert (result["db07:exit 3"], result["db07:kill -9 $$"]) == (RunState.FAILED, RunState.FAILED)
    assert result["db07:true"] is RunState.UNKNOWN


@pytest.mark.parametrize("name, level", [("debian12-L7.log", 7), ("debian12-L15.log", 15)])
def test_end_without_an_error_line_is_success_and_with_one_is_failure(name: str, level: int) -> None:
    book = heard(name, level)
    failed = [attempt for attempt in book.attempts if attempt.state is RunState.FAILED]
    ended = [attempt for attempt in book.attempts if attempt.state is RunState.SUCCEEDED]
    assert all(item.exit_code not in (0, None) and item.evidence is RunEvidence.NATIVE for item in failed)
    assert all(item.exit_code == 0 and item.evidence is RunEvidence.NATIVE for item in ended)
    assert {item.job.partition(":")[2] for item in failed} >= {"exit 3"} if level == 7 else {"echo plain bad >&2; "}
    assert {item.job.partition(":")[2] for item in ended} >= {"true"} if level == 7 else {"echo plain ok"}


def test_end_line_is_no_success_where_cron_does_not_log_errors() -> None:
    book = heard("debian12-L7.log", 3)
    assert RunState.SUCCEEDED not in states(book).values()


def test_helper_that_feeds_input_is_not_the_job() -> None:
    at = NOW
    book = AttemptBook()
    book.add_event(CronEvent(CronEventKind.CMD, at, "", 36, 37, "root", "cat"), any_job, 15)
    book.add_event(CronEvent(CronEventKind.ERROR, at, "", 36, 46, text="terminated by signal 13"), any_job, 15)
    book.add_event(CronEvent(CronEventKind.END, at, "", 36, 37, "root", "cat"), any_job, 15)
    assert states(book) == {"db07:cat": RunState.SUCCEEDED}


def test_an_unknown_end_message_is_unknown_and_a_warning() -> None:
    book = AttemptBook()
    book.add_event(CronEvent(CronEventKind.CMD, NOW, "", 36, 37, "root", "cat"), any_job, 15)
    book.add_event(CronEvent(CronEventKind.ERROR, NOW, "", 36, 37, text="was eaten by a grue"), any_job, 15)
    assert book.attempts[0].state is RunState.UNKNOWN
    assert book.warnings == ["unknown entry in cron's log: was eaten by a grue"]


def wrapped(epoch: int = 1795163041, pid: int = 38, action: str = "-", birth: str = "777") -> WrapperStart:
    return record(f"H2\tS\t{epoch}.{pid}\t{epoch}\t{pid}\t32\troot\t{BOOT}\t{birth}\t{action}\t-\ttrue")


BEGAN = datetime.fromtimestamp(1795163041, UTC) + timedelta(seconds=0.3)
START = CronEvent(CronEventKind.CMD, BEGAN, "line", 38, None, "root", "true")


@each_row("log_first", [True, False])
@each_row("poll_between", [True, False])
def test_wrapper_and_log_report_one_attempt_in_any_order(log_first: bool, poll_between: bool) -> None:
    book = AttemptBook()
    for step in (0, 1):
        if (step == 0) is log_first:
            book.add_event(START, any_job, 1)
        else:
            book.add_record(wrapped(), any_job)
        if poll_between:
            book = AttemptBook.from_json([attempt.as_json() for attempt in book.attempts])
    assert [(attempt.key, attempt.run_id) for attempt in book.attempts] == [("1795163040.38", "1795163041.38")]


def test_wrapper_proves_the_end_that_the_default_log_does_not() -> None:
    book = AttemptBook()
    book.add_event(START, any_job, 1)
    book.add_record(wrapped(), any_job)
    end = read_record("H2\tE\t1795163041.38\t1795163049\t7", "root")
    assert end is not None
    book.add_record(end, any_job)
    poll_processes(book, 1, at=START.at + timedelta(minutes=5))
    (item,) = book.attempts
    assert (item.state, item.evidence, item.exit_code, item.native_state) == (
        RunState.FAILED,
        RunEvidence.NATIVE,
        7,
        "E 7",
    )


def test_wrapped_job_without_an_end_is_running_while_its_very_process_lives_and_lost_after() -> None:
    book = AttemptBook()
    book.add_record(wrapped(), any_job)
    later = START.at + timedelta(minutes=5)
    poll_processes(book, 1, at=later, births={38: "777"})
    assert book.attempts[0].state is RunState.RUNNING
    poll_processes(book, 1, at=later, births={38: "999999"})
    assert (book.attempts[0].state, book.attempts[0].evidence) == (RunState.LOST, RunEvidence.INFERRED)


def test_an_unsearched_process_is_not_lost() -> None:
    """A rerun is no child of cron; what began after the table was taken is in no table."""
    book = AttemptBook()
    book.add_record(wrapped(action="headway-abcdefghij01"), any_job)
    later = START.at + timedelta(minutes=5)
    poll_processes(book, 1, at=later, searched=frozenset())
    assert (RunState.RUNNING, True) == (book.attempts[0].state, book.attempts[0].undecided)
    poll_processes(book, 1, at=later)
    assert (RunState.LOST, False) == (book.attempts[0].state, book.attempts[0].undecided)


def test_record_of_an_end_that_comes_hours_after_its_process_was_lost_still_counts() -> None:
    book = AttemptBook()
    book.add_record(wrapped(), any_job)
    hours = START.at + timedelta(hours=5)
    poll_processes(book, 1, at=hours)
    assert RunState.LOST is book.attempts[0].state
    book.forget((hours + timedelta(hours=6)).timestamp())
    book = AttemptBook.from_json([attempt.as_json() for attempt in book.attempts])
    end = read_record("H2\tE\t1795163041.38\t1795190000\t0", "root")
    assert end is not None
    book.add_record(end, any_job)
    assert [(RunState.SUCCEEDED, RunEvidence.NATIVE)] == [
        (attempt.state, attempt.evidence) for attempt in book.attempts
    ]
    book.forget((hours + timedelta(days=3)).timestamp())
    assert [] == book.attempts


def test_wrapped_job_is_lost_by_a_reboot() -> None:
    book = AttemptBook()
    book.add_record(wrapped(), any_job)
    poll_processes(book, 1, at=START.at + timedelta(minutes=5), births={38: "777"}, uptime=60)
    assert (book.attempts[0].state, book.attempts[0].message) == (RunState.LOST, "the host restarted")


def test_nothing_is_judged_while_its_end_may_still_be_unread() -> None:
    book = heard("debian12-L1.log", 15)
    poll_processes(book, 15, read=False)
    assert {RunState.RUNNING} == set(states(book).values())


def test_hidden_process_table_is_unknown_and_never_running_or_lost() -> None:
    book = heard("debian12-L1.log", 1)
    poll_processes(book, 1, hidden=True)
    assert {RunState.UNKNOWN} == set(states(book).values())
    assert "hidepid" in book.attempts[0].message


def test_rerun_is_an_attempt_of_its_own_even_beside_crons_start() -> None:
    book = AttemptBook()
    book.add_event(START, any_job, 1)
    book.add_record(wrapped(pid=39, action="headway-abcdefghij01"), any_job)
    assert [attempt.action for attempt in book.attempts] == ["", "headway-abcdefghij01"]


def test_start_of_no_known_line_is_counted() -> None:
    book = AttemptBook()
    book.add_event(START, lambda *_: (), 1)
    assert (book.attempts, book.unmatched) == ([], {("root", "true"): [START.at.timestamp()]})


def test_classic_stamp_takes_year_and_zone_from_the_host() -> None:
    january = datetime(2027, 1, 1, 0, 30, tzinfo=UTC)
    event = read_line("Dec 31 23:59:01 db07 CRON[12]: (root) CMD (true)", january, UTC)
    assert event is not None
    assert event.at == datetime(2026, 12, 31, 23, 59, 1, tzinfo=UTC)


def test_lines_that_only_resemble_those_of_cron_are_ignored() -> None:
    for line in (
        "2026-11-20T08:19:01.3+00:00 db07 sshd[9]: CRON[1]: (root) CMD (true)",
        "2026-11-20T08:19:01.3+00:00 db07 CRON: (root) CMD (true)",
        "H1\tS\t1\t2", "", "\x00",
    ):  # fmt: skip
        assert read_line(line, NOW, UTC) is None


def test_files_that_cron_ignores_are_heard() -> None:
    texts = [event.text for event in events("debian12-L15.log") if event.kind is CronEventKind.IGNORED]
    assert any("no_newline" in text and "will be ignored" in text for text in texts)
    assert any("INSECURE MODE" in text for text in texts)


def test_other_lines_of_cron_are_events_that_start_and_end_nothing() -> None:
    others = [
        event.line.partition("]: ")[2]
        for event in events("debian12-L15.log")
        if event.kind in (CronEventKind.OTHER, CronEventKind.RELOADED)
    ]
    for text in (
        "(CRON) INFO (Running @reboot jobs)",
        "(root) REPLACE (root)",
        "(*system*plain) RELOAD (/etc/cron.d/plain)",
    ):
        assert text in others


def test_dst_night_is_read_with_the_offset_of_each_line() -> None:
    starts = {event.text: event.at for event in events("dst-spring-berlin.log") if event.kind is CronEventKind.CMD}
    assert starts["echo nightly-0230"].isoformat(timespec="seconds") == "2026-03-29T01:00:12+00:00"


@given(st.text(max_size=200))
def test_any_line_is_an_event_or_none(line: str) -> None:
    read_line(line, NOW, UTC)
    read_line(f"2026-11-20T08:19:01+00:00 h CRON[1]: {line}", NOW, UTC)
    read_record(line, "root")
    read_record("H2\tS\t" + line, "root")


@given(st.lists(st.sampled_from(range(40)), max_size=40), st.booleans())
def test_repeated_lines_make_no_further_attempt(order: list[int], as_level_15: bool) -> None:
    name, level = ("debian12-L15.log", 15) if as_level_15 else ("debian12-L7.log", 7)
    lines = events(name)
    calm, noisy = heard(name, level), heard(name, level)
    for number in order:
        noisy.add_event(replace(lines[number % len(lines)]), any_job, level)
    reported = [[(attempt.key, attempt.job, attempt.state) for attempt in book.attempts] for book in (calm, noisy)]
    assert reported[0] == reported[1]


def test_attempt_survives_its_cursor() -> None:
    book = heard("debian12-L1.log", 1)
    again = AttemptBook.from_json([attempt.as_json() for attempt in book.attempts])
    assert again.attempts == book.attempts
    assert isinstance(again.attempts[0], CronAttempt)


# -- our own SIGTERM --------------------------------------------------------------------------------------------------
KEY = "headway-0000000000000001"


def cancelled(book: AttemptBook, pid: int = 38, birth: str = "777", at: int = 1795163045) -> None:
    result = read_record(f"H2\tC\t{at}\t{pid}\t{birth}\t{BOOT}\t{KEY}", "root")
    assert result is not None
    book.add_record(result, any_job)


@each_row("end_comes_first", [True, False])
@each_row("status, state", [(143, RunState.CANCELLED), (1, RunState.CANCELLED), (0, RunState.SUCCEEDED)])
def test_run_that_we_ended_is_cancelled_unless_it_ended_well(
    end_comes_first: bool, status: int, state: RunState
) -> None:
    book = AttemptBook()
    book.add_record(wrapped(), any_job)
    end = read_record(f"H2\tE\t1795163041.38\t1795163046\t{status}", "root")
    assert end is not None
    if end_comes_first:
        book.add_record(end, any_job)
        cancelled(book)
    else:
        cancelled(book)
        book.add_record(end, any_job)
    (item,) = book.attempts
    assert (item.state, item.evidence, item.exit_code) == (state, RunEvidence.NATIVE, status)
    assert (KEY in item.message) is (state is RunState.CANCELLED)


@pytest.mark.parametrize("status, message", [(1, ""), (137, "exit 137 (signal 9)"), (0, "")])
def test_an_exit_status_alone_is_no_message(status: int, message: str) -> None:
    """The message explains a failure before the log does."""
    book = AttemptBook()
    book.add_record(wrapped(), any_job)
    end = read_record(f"H2\tE\t1795163041.38\t1795163046\t{status}", "root")
    assert end is not None
    book.add_record(end, any_job)
    (item,) = book.attempts
    assert (item.exit_code, item.message) == (status, message)


@pytest.mark.parametrize("pid, birth, at", [(39, "777", 1795163045), (38, "778", 1795163045), (38, "777", 1795163000)])
def test_cancel_of_another_process_changes_nothing(pid: int, birth: str, at: int) -> None:
    book = AttemptBook()
    book.add_record(wrapped(), any_job)
    cancelled(book, pid, birth, at)
    assert [attempt.cancel for attempt in book.attempts] == [""]


def test_a_cancelled_run_is_reported_as_ending_while_its_process_lives() -> None:
    book = AttemptBook()
    book.add_record(wrapped(), any_job)
    cancelled(book)
    assert [run_of(attempt, "/spool").state for attempt in book.attempts] == [RunState.CANCELLING]
    again = AttemptBook.from_json([attempt.as_json() for attempt in book.attempts])
    assert [attempt.cancel for attempt in again.attempts] == [KEY]


def test_a_cancelled_run_without_a_recorded_end_is_cancelled_by_deduction() -> None:
    """At cron -L 1 nothing is logged of an end."""
    book = heard("debian12-L1.log", 1)
    attempt = book.attempts[0]
    book.attempts = [attempt]
    cancelled(book, attempt.pid, "777", int(attempt.started) + 2)
    poll_processes(book, 1, at=NOW)
    assert (attempt.state, attempt.evidence) == (RunState.CANCELLED, RunEvidence.INFERRED)


@pytest.mark.parametrize("line", ["H2\tC\tx\t1\t2\tb\t" + KEY, "H2\tC\t1\t-1\t2\tb\t" + KEY, "H2\tC\t1\t1\t2\tb\tx"])
def test_torn_or_foreign_record_of_a_cancel_is_none(line: str) -> None:
    assert read_record(line, "root") is None


class Unwalked(list[CronAttempt]):
    """Attempts that nobody may walk through: there are as many as a log has starts."""

    def __iter__(self) -> Iterator[CronAttempt]:
        raise AssertionError("an end looked at every start")


def test_an_end_is_joined_to_its_start_by_its_command_and_not_by_a_walk_through_all() -> None:
    book = AttemptBook()
    for number in range(3):
        start = f"2026-11-20T08:0{number}:01.1+00:00 db07 CRON[{70 + number}]: (root) CMD (/opt/job_{number})"
        event = read_line(start, NOW, UTC)
        assert event is not None
        book.add_event(event, any_job, 7)
    result, book.attempts = list(book.attempts), Unwalked(book.attempts)
    end = read_line("2026-11-20T08:03:01.1+00:00 db07 CRON[69]: (root) END (/opt/job_1)", NOW, UTC)
    assert end is not None
    book.add_event(end, any_job, 7)
    assert [RunState.RUNNING, RunState.SUCCEEDED, RunState.RUNNING] == [item.state for item in result]


@pytest.mark.parametrize("code", [0, 3, None])
def test_an_exit_status_lives_through_a_cursor(code: int | None) -> None:
    """Exit status 0 survives a cursor, like any other."""
    attempt = CronAttempt("1795156261.291", "db07:load", "root", 291, 1795156261.0, text=0)
    attempt.end(RunState.SUCCEEDED if code == 0 else RunState.FAILED, RunEvidence.NATIVE, "END", 1795156270.0, code)
    assert code == CronAttempt.from_json(json.loads(json.dumps(attempt.as_json()))).exit_code


def test_the_evidence_of_an_event_holds_no_known_secret() -> None:
    """Cursor and reference are stored as the connector writes them."""
    secrets = SecretStore()
    secrets.add("canary-seven")
    event = CronEvent(CronEventKind.ERROR, datetime(2026, 11, 30, tzinfo=UTC), "cron: MAILTO canary-seven refused")
    assert "cron: MAILTO ••• refused" == event.evidence
