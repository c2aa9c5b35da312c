"""Reruns by hash: the host's own crontab is the only source of what is run, once, under Headway's mark."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Preview
from connectors.sdk.errors import AccessRefused, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import RunRecord, RunRef, instant_key
from connectors.sdk.states import RunState, Verb
from tests.connectors.cron.support import HOSTILE, Breaking, connect
from tests.deep import few
from tests.fakes.ssh_local import ME, LocalHost
from tests.lab.process import wait_until


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    made = LocalHost(tmp_path / "db07")
    made.log.write_text("")
    return made


def ask(job: str, state: RunState = RunState.FAILED) -> ActionSpec:
    return ActionSpec(Verb.RERUN, RunRef(job, "2026-11-20T02:10:00Z", "1.1", ""), state)


def ended(host: LocalHost, key: str) -> RunRecord:
    """The attempt made under `key`, once it has ended."""
    runs: list[RunRecord] = []

    def has_ended() -> bool:
        polled = connect(host).poll("", (), 20).runs
        runs[:] = [run for run in polled if run.action_key == key and not run.state.is_open]
        return bool(runs)

    wait_until(has_ended, f"the end of the attempt under {key}")
    return runs[0]


def rerun(host: LocalHost, job: str) -> tuple[Preview, RunRecord]:
    key = new_key()
    connector = connect(host)
    preview = connector.preview(ask(job), 20)
    assert preview.refused is None
    assert connector.act(preview, key, 20).native_ref == key
    return preview, ended(host, key)


def test_line_runs_once_with_its_crontabs_shell_and_variables(host: LocalHost, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    command = f'a=(1 2); echo "$FOO|${{a[1]}}|$SHELL" >>{seen}; exit 4'
    host.crontab.write_text(f"SHELL=/bin/bash\nFOO = 'a  b' \n# headway: extract\n10 3 * * * {command}\n")
    preview, attempt = rerun(host, "db07:extract")
    assert seen.read_text() == "a  b|2|/bin/bash\n"
    assert (attempt.job, attempt.state, attempt.exit_code) == ("db07:extract", RunState.FAILED, 4)
    assert preview.summary.startswith(f"run this crontab line once on db07 as {ME}: ")


def test_percent_and_input_are_what_cron_makes_of_them(host: LocalHost, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    host.crontab.write_text(f"# headway: pipe\n10 3 * * * cat >{seen}; echo a\\%b >>{seen}%first%second \\% third\n")
    rerun(host, "db07:pipe")
    assert seen.read_text() == "first\nsecond % third\na%b\n"


def test_output_of_a_rerun_is_its_log(host: LocalHost) -> None:
    host.crontab.write_text("# headway: talk\n10 3 * * * echo said; echo erred >&2\n")
    _, attempt = rerun(host, "db07:talk")
    ref = RunRef(attempt.job, "p", attempt.attempt_key, attempt.native_ref)
    wait_until(lambda: connect(host).log(ref, None, 1000, 20).text == "said\nerred\n", "its output")


def test_a_log_that_is_followed_leaves_nothing_out_and_its_tail_says_so(host: LocalHost) -> None:
    """A job's output is followed without a false report of omitted lines."""
    host.crontab.write_text("# headway: talk\n10 3 * * * echo said; echo more\n")
    _, attempt = rerun(host, "db07:talk")
    ref, cron = RunRef(attempt.job, "p", attempt.attempt_key, attempt.native_ref), connect(host)
    wait_until(lambda: cron.log(ref, None, 1000, 20).text == "said\nmore\n", "its output")
    parts = [cron.log(ref, start, 1000, 20) for start in (None, "5", "10")]
    assert [("said\nmore\n", False), ("more\n", False), ("", False)] == [(part.text, part.cut) for part in parts]
    assert cron.log(ref, None, 5, 20).cut
    assert cron.log(ref, "0", 5, 20).more


def test_same_key_again_starts_nothing(host: LocalHost, tmp_path: Path) -> None:
    count = tmp_path / "count"
    host.crontab.write_text(f"# headway: once\n10 3 * * * echo x >>{count}\n")
    connector, key = connect(host), new_key()
    preview = connector.preview(ask("db07:once"), 20)
    assert isinstance(connector.look_up(preview, key, 20), ActionAbsent)
    connector.act(preview, key, 20)
    ended(host, key)
    connector.act(preview, key, 20)
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)
    assert count.read_text() == "x\n"


def test_line_that_changed_since_the_preview_is_not_run(host: LocalHost, tmp_path: Path) -> None:
    host.crontab.write_text("# headway: job\n10 3 * * * echo one\n")
    connector = connect(host)
    preview = connector.preview(ask("db07:job"), 20)
    host.crontab.write_text(f"# headway: job\n10 3 * * * touch {tmp_path}/two\n")
    with pytest.raises(NotSupported, match="no longer in"):
        connector.act(preview, new_key(), 20)
    assert not (tmp_path / "two").exists()


def test_the_second_of_two_equal_lines_is_reported_as_its_own_job(host: LocalHost) -> None:
    host.crontab.write_text("# headway: night\n0 3 * * * echo x\n# headway: noon\n0 12 * * * echo x\n")
    _, attempt = rerun(host, "db07:noon")
    assert attempt.job == "db07:noon"


def test_an_answer_that_is_no_known_refusal_is_an_unknown_outcome(host: LocalHost) -> None:
    host.crontab.write_text("# headway: job\n10 3 * * * echo one\n")
    connector, key = connect(host), new_key()
    preview = connector.preview(ask("db07:job"), 20)
    host.spoil = lambda answer: answer.replace(b" STARTED|", b" NEWER|")
    with pytest.raises(OutcomeUnknown, match=f"db07:job: unknown answer of db07: NEWER {key}"):
        connector.act(preview, key, 20)
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)


def test_a_script_that_is_killed_in_the_middle_is_no_refused_login(host: LocalHost) -> None:
    host.crontab.write_text("# headway: job\n10 3 * * * echo one\n")
    connector, key = connect(host), new_key()
    preview = connector.preview(ask("db07:job"), 20)
    host.shim("setsid", "kill -9 $PPID")
    with pytest.raises(OutcomeUnknown, match="unknown answer of db07: KILLED 9"):
        connector.act(preview, key, 20)


def test_rerun_beside_a_running_rerun_is_refused(host: LocalHost, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    host.crontab.write_text(f"# headway: slow\n10 3 * * * while [ ! -e {stop} ]; do sleep 0.05; done\n")
    connector = connect(host)
    preview = connector.preview(ask("db07:slow"), 20)
    connector.act(preview, new_key(), 20)
    wait_until(lambda: list(host.spool.rglob("pid")), "the file with its process id")
    with pytest.raises(NotSupported, match=r"runs on db07 as process|started meanwhile"):
        connector.act(preview, new_key(), 20)
    overlap = connector.preview(ask("db07:slow"), 20).overlap
    stop.touch()
    assert str(overlap).startswith("it runs now as process ")


@pytest.mark.parametrize(
    "status, text",
    [
        ("0\n", "its mark is on db07, exit status 0"),
        ("ended\n", "its mark is on db07, exit status ended"),
        ("SECRET of root\n", "its mark is on db07"),
        ("x" * 12, "its mark is on db07"),
    ],
)
def test_the_exit_status_of_a_mark_is_a_status_or_absent(host: LocalHost, status: str, text: str) -> None:
    """The mark lies in a folder of the user's own, who may have laid a link there; root reads all."""
    host.crontab.write_text("# headway: job\n10 3 * * * true\n")
    connector, key = connect(host), new_key()
    preview = connector.preview(ask("db07:job"), 20)
    mark, elsewhere = host.spool / ME / "actions" / key, host.folder / "elsewhere"
    mark.mkdir(parents=True)
    elsewhere.write_text(status)
    (mark / "status").symlink_to(elsewhere)
    look_up = connector.look_up(preview, key, 20)
    assert isinstance(look_up, ActionFound)
    assert text == look_up.message


def test_rerun_is_absent_only_when_its_host_would_not_start_it_any_more(host: LocalHost) -> None:
    """act.sh may begin two minutes after it was sent: a mark that is not there yet proves nothing before."""
    host.crontab.write_text("# headway: job\n10 3 * * * true\n")
    connector, key = connect(host), new_key()
    preview = connector.preview(ask("db07:job"), 20)

    def sent(seconds_ago: float, skew_seconds: float = 0.0) -> Preview:
        at = instant_key(datetime.now(UTC) - timedelta(seconds=seconds_ago))
        return replace(preview, plan={**preview.plan, "skew_seconds": skew_seconds, SENT_AT: at})

    assert isinstance(connector.look_up(sent(0), key, 20), ActionUnknown)
    assert isinstance(connector.look_up(sent(140), key, 20), ActionUnknown)
    assert isinstance(connector.look_up(sent(160), key, 20), ActionAbsent)
    assert isinstance(connector.look_up(sent(160, skew_seconds=60), key, 20), ActionUnknown)
    with pytest.raises(NotSupported, match="too late"):
        connector.act(sent(130), key, 20)
    connector.act(sent(0), key, 20)
    assert isinstance(connector.look_up(sent(0), key, 20), ActionFound)


@pytest.mark.parametrize("has_pid_file", [True, False])
def test_a_running_rerun_is_running_at_the_first_poll_that_reads_it(
    host: LocalHost, tmp_path: Path, has_pid_file: bool
) -> None:
    """No pid of it was known before, and it is no child of cron."""
    stop = tmp_path / "stop"
    host.crontab.write_text(f"# headway: slow\n10 3 * * * while [ ! -e {stop} ]; do sleep 0.05; done\n")
    connector, key = connect(host), new_key()
    connector.act(connector.preview(ask("db07:slow"), 20), key, 20)
    wait_until(lambda: any("\tS\t" in path.read_text() for path in host.spool.rglob("runs")), "the record of its start")
    runs = list(host.spool.rglob("runs"))
    parts = runs[0].read_text().split("\t")
    parts[3] = str(int(parts[3]) - 60)  # it began a minute ago
    runs[0].write_text("\t".join(parts))
    if not has_pid_file:
        next(host.spool.rglob("pid")).unlink()
    try:
        first = connector.poll("", (), 20)
        last = connector.poll(first.cursor, (), 20) if first.more else first
        assert (not has_pid_file, [RunState.RUNNING]) == (first.more, [run.state for run in last.runs])
        assert set() == {run.state for run in first.runs} - {RunState.RUNNING}
    finally:
        stop.touch()


def test_request_that_arrives_too_late_is_not_started(host: LocalHost, tmp_path: Path) -> None:
    host.crontab.write_text(f"# headway: job\n10 3 * * * touch {tmp_path}/ran\n")
    connector = connect(host)
    preview = connector.preview(ask("db07:job"), 20)
    late = replace(preview, plan={**preview.plan, "skew_seconds": -3600.0})
    with pytest.raises(NotSupported, match="too late"):
        connector.act(late, new_key(), 20)
    assert not (tmp_path / "ran").exists()


def test_an_unwritable_spool_is_refused_with_the_fix(host: LocalHost) -> None:
    host.crontab.write_text("# headway: job\n10 3 * * * true\n")
    blocked = host.folder / "file"
    blocked.write_text("not a folder")
    connector = connect(host, spool=str(blocked))
    with pytest.raises(AccessRefused, match="install -d -o root -g adm -m 3773"):
        connector.act(connector.preview(ask("db07:job"), 20), new_key(), 20)


@pytest.mark.parametrize("number", few(range(len(HOSTILE)), 3))
def test_f54_hostile_names_commands_and_variables_reach_no_shell_of_ours(
    host: LocalHost, tmp_path: Path, number: int
) -> None:
    """The command itself is cron's to run; its name, its crontab's variables and our keys are only data."""
    canary, ran = tmp_path / "canary", tmp_path / "ran"
    evil = HOSTILE[number].format(canary=canary)
    quoted = evil.replace("'", "").replace("%", "")
    host.crontab.write_text(f"FOO={evil}\n# headway: {evil}\n10 3 * * * touch {ran}; : '{quoted}'\n")
    connector = connect(host)
    (job,) = connector.inventory("", 20).jobs
    assert job.native_id == f"db07:{evil}"
    rerun(host, job.native_id)
    assert ran.exists()
    assert not canary.exists()


def test_hostile_key_and_user_never_get_to_the_host(host: LocalHost, tmp_path: Path) -> None:
    host.crontab.write_text("# headway: job\n10 3 * * * true\n")
    connector = connect(host)
    preview = connector.preview(ask("db07:job"), 20)
    canary = tmp_path / "canary"
    for user in (f"x; touch {canary}", "-rf", "", "a b", "$(id)"):
        with pytest.raises(AccessRefused):
            connector.act(replace(preview, plan={**preview.plan, "user": user}), new_key(), 20)
    for key in (f"headway-$(touch {canary})", "../../../../x", ""):
        with pytest.raises(NotSupported, match="not an action key"):
            connector.act(preview, key, 20)
        with pytest.raises(NotSupported, match="not an action key"):
            connector.look_up(preview, key, 20)
    assert not canary.exists()


@pytest.mark.parametrize(
    "how, error, arrived",
    [("before", SystemUnreachable, False), ("after", OutcomeUnknown, True), ("half", OutcomeUnknown, True)],
)
def test_a_lost_answer_is_unknown_only_if_the_host_was_reached_and_then_looked_up(
    host: LocalHost, how: str, error: type[Exception], arrived: bool
) -> None:
    host.crontab.write_text("# headway: job\n10 3 * * * true\n")
    connector, key = connect(host, Breaking(host, how)), new_key()
    preview = connector.preview(ask("db07:job"), 20)
    with pytest.raises(error):
        connector.act(preview, key, 20)
    assert arrived is isinstance(connector.look_up(preview, key, 20), ActionFound)
