"""Cancels: SIGTERM goes to the session that is proved to be the attempt's, once, and to nobody else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.cron.actions import unproved
from connectors.cron.attempts import CronAttempt
from connectors.cron.parse import CronProcesses
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, Preview
from connectors.sdk.errors import NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from connectors.sdk.transport.script_output import HostNow
from tests.connectors.cron.support import Breaking, ask, connect
from tests.fakes.ssh_local import ME, LocalHost
from tests.lab.process import wait_until
from tests.rows import each_row

NOW = datetime(2026, 11, 20, 8, 20, tzinfo=UTC)
UPTIME = 100000.0
HOST = HostNow(NOW, UTC, UPTIME, "boot")
STARTED = NOW.timestamp() - 600


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    made = LocalHost(tmp_path / "db07")
    made.log.write_text("")
    yield made
    for path in made.spool.rglob("pid"):  # whatever a test left running; each leads its session
        end(int(path.read_text().split()[0]))


def end(pid: int) -> None:
    """Kills a session of a job that a test started."""
    for process in sessions(pid):
        with suppress(ProcessLookupError):  # it may end by itself just now
            os.kill(process, 9)


def sessions(leader: int) -> list[int]:
    """The living processes of a session."""
    result = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            result.append(int(path.parent.name))
    return result


def wait(what: str, query: Callable[[], object]) -> None:
    wait_until(query, what)


def running(host: LocalHost, command: str, ready: Path) -> RunRecord:
    """A run of that command, started by us, once it has made `ready`."""
    host.crontab.write_text(f"# headway: job\n10 3 * * * {command}\n")
    connector, key = connect(host), new_key()
    connector.act(connector.preview(ask(Verb.START, "db07:job"), 20), key, 20)
    wait("the job to be ready", ready.exists)
    return polled_run(host, key)


def polled_run(host: LocalHost, key: str) -> RunRecord:
    return next(run for run in connect(host).poll("", (), 20).runs if run.action_key == key)


def cancel(host: LocalHost, run: RunRecord) -> Preview:
    preview = connect(host).preview(ActionSpec(Verb.CANCEL, ref(run), run.state), 20)
    assert preview.refused is None
    return preview


def test_whole_session_ends_and_what_left_it_goes_on(host: LocalHost, tmp_path: Path) -> None:
    ready, stray = tmp_path / "ready", tmp_path / "stray"
    command = f'setsid sh -c "echo \\$\\$ >{stray}; sleep 60" >/dev/null 2>&1 & sleep 60 & (set -m; sleep 60 & wait) & '
    run = running(host, f"{command} while [ ! -s {stray} ]; do :; done; touch {ready}; sleep 60", ready)
    pid = run.context["pid"]
    preview = cancel(host, run)
    assert preview.native_calls[0].startswith(
        f"on db07, sh -s as {run.context['user']}: kill -s TERM -{pid} if born at"
    )
    assert len(sessions(pid)) >= 6
    connect(host).act(preview, new_key(), 20)
    wait("the end of the session", lambda: not sessions(pid))
    outside = int(stray.read_text())
    assert Path(f"/proc/{outside}").exists(), "a process of another session was ended"
    end(outside)
    wait("its end in the records", lambda: polled_run(host, str(run.action_key)).state is RunState.CANCELLED)


def test_same_key_again_sends_no_second_signal(host: LocalHost, tmp_path: Path) -> None:
    ready, count = tmp_path / "ready", tmp_path / "count"
    run = running(host, f"trap 'echo x >>{count}' TERM; touch {ready}; while :; do sleep 0.05; done", ready)
    connector, key, preview = connect(host), new_key(), cancel(host, run)
    assert isinstance(connector.look_up(preview, key, 20), ActionAbsent)
    connector.act(preview, key, 20)
    wait("the signal", count.exists)
    assert "under this key" in connector.act(preview, key, 20).message
    look_up = connector.look_up(preview, key, 20)
    assert isinstance(look_up, ActionFound)
    assert polled_run(host, str(run.action_key)).state is RunState.CANCELLING, (
        "it ignores SIGTERM, so it is still ending"
    )
    records = (host.spool / ME / "runs").read_text()
    assert records.count("\tC\t") == 1, "who is signalled is written down right before"


@pytest.mark.parametrize("changed", ["birth", "boot", "pid"])
def test_process_that_is_not_the_one_that_was_meant_is_left_alone(
    host: LocalHost, tmp_path: Path, changed: str
) -> None:
    ready = tmp_path / "ready"
    run = running(host, f"touch {ready}; sleep 60", ready)
    preview = cancel(host, run)
    plan = {**preview.plan, changed: {"birth": "1", "boot": "x", "pid": os.getppid()}[changed]}
    with pytest.raises(NotSupported, match="has ended meanwhile; nothing was sent"):
        connect(host).act(replace(preview, plan=plan), new_key(), 20)
    assert sessions(run.context["pid"])
    assert [path.name for path in host.spool.glob("*/actions/*")] == [run.action_key], "no mark for what was not sent"


def test_process_that_leads_no_session_is_refused(host: LocalHost, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    run = running(host, f"touch {ready}; sleep 60", ready)
    preview = cancel(host, run)
    member = next(pid for pid in sessions(run.context["pid"]) if pid != run.context["pid"])
    birth = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()[19]
    with pytest.raises(NotSupported, match="does not lead a session of its own"):
        connect(host).act(replace(preview, plan={**preview.plan, "pid": member, "birth": birth}), new_key(), 20)
    assert member in sessions(run.context["pid"])


@pytest.mark.parametrize(
    "how, error, arrived",
    [("before", SystemUnreachable, False), ("after", OutcomeUnknown, True), ("half", OutcomeUnknown, True)],
)
def test_a_lost_answer_of_a_cancel_is_looked_up(
    host: LocalHost, tmp_path: Path, how: str, error: type[Exception], arrived: bool
) -> None:
    ready = tmp_path / "ready"
    run = running(host, f"touch {ready}; sleep 60", ready)
    connector, key, preview = connect(host, Breaking(host, how)), new_key(), cancel(host, run)
    with pytest.raises(error):
        connector.act(preview, key, 20)
    assert arrived is isinstance(connector.look_up(preview, key, 20), ActionFound)


def test_an_answer_to_a_cancel_that_is_no_known_refusal_is_an_unknown_outcome(host: LocalHost, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    preview = cancel(host, running(host, f"touch {ready}; sleep 60", ready))
    host.spoil = lambda answer: answer.replace(b" ENDING|", b" NEWER|")
    with pytest.raises(OutcomeUnknown, match="unknown answer of db07: NEWER"):
        connect(host).act(preview, new_key(), 20)


def test_run_of_which_nothing_is_known_cannot_be_cancelled(host: LocalHost) -> None:
    host.crontab.write_text("# headway: job\n10 3 * * * true\n")
    with pytest.raises(NotSupported, match="no process is known of this run"):
        connect(host).preview(ask(Verb.CANCEL, "db07:job"), 20)


# -- the proof --------------------------------------------------------------------------------------------------------
def attempt(birth: str = "") -> CronAttempt:
    return CronAttempt("1.38", "db07:job", "etl", 38, STARTED, 0, child=37, birth=birth)


def process(seconds_after_start: float = 0, is_job: bool = True) -> CronProcesses:
    """Process 38, begun so many seconds after the attempt's start."""
    ticks = str(int((UPTIME - 600 + seconds_after_start) * 100))
    return CronProcesses(29, 1, False, frozenset({37}), {38: 37} if is_job else {}, {38: ticks})


@each_row("attempted, processes, text", [
    (attempt(), process(), None),
    (attempt(), process(20), None),
    (attempt(), process(31), "did not start when this run did"),
    (attempt(), process(-31), "did not start when this run did"),
    (attempt(), process(is_job=False), "is not a job of cron"),
    (attempt(), replace(process(), births={}), "is gone"),
    (attempt(birth="5"), process(), "belongs to another run now"),
    (attempt(birth=str(int((UPTIME - 600) * 100))), process(is_job=False), None),
])  # fmt: skip
def test_process_is_proved_by_its_birth_or_as_crons_job_of_that_moment(
    attempted: CronAttempt, processes: CronProcesses, text: str | None
) -> None:
    refused = unproved(attempted, processes, HOST)
    assert (refused is None) is (text is None), refused
    assert text is None or text in str(refused)
