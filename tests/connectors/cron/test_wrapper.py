"""The shell wrapper: it proves how a job ends and changes nothing for the job."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.cron.wrapper import CancelRecord, WrapperEnd, WrapperStart, read_record
from tests.fakes.ssh_local import ME, WRAPPER
from tests.lab.process import wait_until


class Cron:
    """Starts commands as cron does with `SHELL=headway-sh`."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.runs = spool / ME / "runs"

    def start(self, command: str, **environment: str) -> subprocess.Popen[bytes]:
        variables = {"PATH": "/usr/bin:/bin", "HOME": "/", "HEADWAY_SPOOL": str(self.spool), **environment}
        argv = ["/bin/sh", str(WRAPPER), "-c", command]
        return subprocess.Popen(
            argv, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, command: str, stdin: bytes = b"", **environment: str) -> tuple[int, bytes]:
        process = self.start(command, **environment)
        out, _ = process.communicate(stdin)
        return process.returncode, out

    def records(self) -> list[WrapperStart | WrapperEnd | CancelRecord]:
        lines = [read_record(line, ME) for line in self.runs.read_text().splitlines()]
        return [item for item in lines if item is not None]

    def output(self) -> bytes:
        (path,) = [path for path in (self.spool / ME / "out").iterdir() if not path.name.startswith(".")]
        return path.read_bytes()


@pytest.fixture
def cron(tmp_path: Path) -> Iterator[Cron]:
    (tmp_path / "spool").mkdir()
    signals = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)  # ignored under nohup or `&`: none could be trapped
    before = {number: signal.signal(number, signal.SIG_DFL) for number in signals}
    yield Cron(tmp_path / "spool")
    for number, handler in before.items():
        signal.signal(number, handler)


def wait_for(path: Path) -> None:
    wait_until(path.exists, str(path))


def test_start_end_status_and_output_are_recorded(cron: Cron) -> None:
    status, out = cron.run("echo said; echo erred >&2; exit 7")
    start, end = cron.records()
    assert (status, out, cron.output()) == (7, b"said\nerred\n", b"said\nerred\n")
    assert isinstance(start, WrapperStart)
    assert isinstance(end, WrapperEnd)
    assert (start.text, start.action, start.parent) == ("echo said; echo erred >&2; exit 7", None, os.getpid())
    assert (end.run_id, end.exit_code) == (start.run_id, 7)


def test_first_jobs_of_a_user_that_start_at_the_same_moment_are_all_recorded(cron: Cron, tmp_path: Path) -> None:
    """The folder that the wrapper found missing is there when it makes it."""
    mkdir = tmp_path / "bin/mkdir"
    mkdir.parent.mkdir()
    mkdir.write_text('#!/bin/sh\nfor folder; do :; done\n/bin/mkdir "$folder"\nexec /bin/mkdir "$@"\n')
    mkdir.chmod(0o755)
    assert cron.run("exit 3", PATH=f"{mkdir.parent}:/usr/bin:/bin")[0] == 3
    assert [type(item) for item in cron.records()] == [WrapperStart, WrapperEnd]


def test_job_gets_crons_input_and_its_own_shell(cron: Cron) -> None:
    command = 'cat; a=(1 2); echo "${a[1]} $SHELL"'
    assert cron.run(command, b"in\n", HEADWAY_SHELL="/bin/bash") == (0, b"in\n2 /bin/bash\n")


def test_job_meets_no_signal_that_the_wrapper_took_from_it(cron: Cron) -> None:
    question = "grep -E '^Sig(Ign|Blk)' /proc/self/status"
    without = subprocess.run(["/bin/sh", "-c", question], capture_output=True, check=True).stdout
    assert without == cron.run(question)[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signal_to_the_wrapper_reaches_the_job_and_the_status_is_the_jobs(
    cron: Cron, tmp_path: Path, number: signal.Signals
) -> None:
    ready = tmp_path / "ready"
    process = cron.start(f"trap 'exit 9' {number.name[3:]}; : >{ready}; while :; do sleep 0.02; done")
    wait_for(ready)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == 9
    end = cron.records()[-1]
    assert isinstance(end, WrapperEnd)
    assert end.exit_code == 9


def test_job_killed_by_a_signal_ends_with_128_and_its_number(cron: Cron) -> None:
    assert cron.run("kill -9 $$")[0] == 137


def test_wrapper_killed_with_its_job_leaves_a_start_without_an_end(cron: Cron, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    process = cron.start(f": >{ready}; exec sleep 30")
    wait_for(ready)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (process.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert [type(record) for record in cron.records()] == [WrapperStart]


def test_output_is_capped_while_the_job_runs_and_its_end_is_kept(cron: Cron) -> None:
    status, _ = cron.run("seq 1 900000", HEADWAY_KEEP_BYTES="100000")
    assert (status, len(cron.output()), cron.output()[-7:]) == (0, 100000, b"900000\n")


@pytest.mark.parametrize("spool", ["/proc/nowhere", "/dev/null"])
def test_spool_that_cannot_be_written_changes_nothing_for_the_job(cron: Cron, spool: str) -> None:
    assert cron.run("echo plain; exit 3", HEADWAY_SPOOL=spool) == (3, b"plain\n")


def test_disk_that_is_full_changes_nothing_for_the_job(cron: Cron) -> None:
    """No file may grow by a byte: what the wrapper cannot keep goes on to cron."""
    command = f"ulimit -f 0; trap '' XFSZ; exec /bin/sh {WRAPPER} -c 'seq 1 50000; exit 5'"
    environment = {"PATH": "/usr/bin:/bin", "HEADWAY_SPOOL": str(cron.spool)}
    done = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, check=False)
    assert done.returncode == 5
    assert done.stdout.endswith(b"50000\n")


def test_anything_but_a_command_is_the_plain_shell(cron: Cron) -> None:
    argv = ["/bin/sh", str(WRAPPER), "-s"]
    done = subprocess.run(argv, input=b"echo hi", capture_output=True, check=True)
    assert done.stdout == b"hi\n"


def test_records_are_rotated_when_they_grow(cron: Cron) -> None:
    cron.run("true")
    with cron.runs.open("a") as file:
        file.write("x" * 1_100_000 + "\n")
    cron.run("true")
    assert (cron.runs.exists(), cron.runs.with_name("runs.1").exists()) == (False, True)


def test_old_output_is_pruned(cron: Cron) -> None:
    cron.run("true")
    old = cron.spool / ME / "out/1.1"
    old.write_text("old")
    os.utime(old, (1, 1))
    for number in range(400):  # now and then: one of sixteen pids
        if not old.exists():
            break
        if number % 3 == 0:
            subprocess.run(["true"], check=True)  # or each run may take as many pids as leave sixteen out
        cron.run("true")
    assert not old.exists()


def test_group_may_read_and_others_not(cron: Cron) -> None:
    cron.run("true")
    assert oct((cron.spool / ME).stat().st_mode & 0o777) == "0o750"
    assert oct(cron.runs.stat().st_mode & 0o777) == "0o640"


def test_umask_of_the_job_is_crons(cron: Cron) -> None:
    old = os.umask(0o022)
    try:
        assert cron.run("umask")[1] == b"0022\n"
    finally:
        os.umask(old)


@pytest.mark.parametrize("made", ["link", "dangling link", "link with folders"])
def test_link_in_the_spool_is_not_followed(cron: Cron, tmp_path: Path, made: str) -> None:
    """Everybody may make entries there: a link would have root's jobs write and prune where it leads."""
    victim = tmp_path / "victim"
    if made != "dangling link":
        victim.mkdir()
    if made == "link with folders":
        (victim / "out").mkdir()
        (victim / "out" / "precious").write_text("kept")
        os.utime(victim / "out" / "precious", (0, 0))
        (victim / "runs").write_text("x" * 2_000_000)  # pruned at once
    before = sorted(victim.rglob("*"))
    (cron.spool / ME).symlink_to(victim)
    assert (3, b"said\n") == cron.run("echo said; exit 3")
    assert before == sorted(victim.rglob("*"))
    assert made != "dangling link" or not victim.exists()


@pytest.mark.parametrize("made", ["link", "dangling link"])
def test_the_mark_of_an_action_is_not_written_through_a_link(tmp_path: Path, made: str) -> None:
    spool, victim = tmp_path / "spool", tmp_path / "victim"
    spool.mkdir()
    if made == "link":
        victim.mkdir()
    (spool / ME).symlink_to(victim)
    script = f"N=n\n{(WRAPPER.parent / 'line.sh').read_text()}own_folder {spool} {ME}\n"
    done = subprocess.run(["sh", "-s"], input=script.encode(), capture_output=True)
    assert f"SPOOL|{spool}/{ME}".encode() in done.stdout
    assert not list(victim.glob("*"))
    (spool / ME).unlink()
    subprocess.run(["sh", "-s"], input=script.encode(), capture_output=True, check=True)
    assert {"actions", "out"} == {path.name for path in (spool / ME).iterdir()}
