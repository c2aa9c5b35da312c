"""Signals reach the intended process: thousands of engines use up all process numbers within minutes, and a kill by a
remembered number could end an unrelated process."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.invariants.engines import Child, server
from tests.lab import guard
from tests.lab.cronhost import CronHost
from tests.lab.process import HANGS_SECONDS, LabError


@pytest.fixture
def unrelated_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_an_engine_that_has_ended_gets_no_signal_whoever_has_its_number_now(
    tmp_path: Path, unrelated_process: subprocess.Popen[bytes]
) -> None:
    process = server().Process(target=int)
    process.start()
    child = Child(process, tmp_path / "engine.log")
    assert 0 == child.ended()
    popen: Any = vars(process)["_popen"]
    popen.pid = unrelated_process.pid  # as the kernel does once its numbers are used up
    with pytest.raises(ProcessLookupError):
        child.signal(signal.SIGKILL)
    child.kill()
    assert float("inf") == child.cpu_seconds()
    child.close()
    assert unrelated_process.poll() is None


@pytest.mark.parametrize("text", ["session {pid} {begun}", "signal 9 {pid} {begun}"])
def test_the_guard_ends_the_process_it_was_given_and_no_other_with_its_number(
    unrelated_process: subprocess.Popen[bytes], text: str
) -> None:
    begun = guard.begun(unrelated_process.pid)
    guard.end(text.format(pid=unrelated_process.pid, begun=begun - 1))
    assert unrelated_process.poll() is None
    guard.end(text.format(pid=unrelated_process.pid, begun=begun))
    assert -signal.SIGKILL == unrelated_process.wait(HANGS_SECONDS)


def test_an_ended_host_of_the_lab_is_not_searched_for_under_its_number(
    tmp_path: Path, unrelated_process: subprocess.Popen[bytes]
) -> None:
    """A kill of all processes in another process's namespace would stop those of the whole machine."""
    host = CronHost(tmp_path, "db07")
    vars(host).update(_init=unrelated_process.pid, _begun=guard.begun(unrelated_process.pid) - 1)
    with pytest.raises(LabError, match="has ended by itself"):
        assert host.init
