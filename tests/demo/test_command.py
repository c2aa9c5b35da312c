"""`headway demo` as a person or a pipe starts it: what it prints, what it answers, what it leaves behind."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from console.cli import demo as command
from console.cli.exits import CommandError
from console.demo.playback import DemoPlayback
from tests.lab.process import wait_until

HEADWAY = [sys.executable, "-m", "console"]


def demo(folder: Path, *more: str) -> subprocess.Popen[str]:
    """The command with a folder of its own for temporary files."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen(
        [*HEADWAY, "demo", *more],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def engines_of(folder: Path) -> list[str]:
    """Command lines of processes that name this folder."""
    results = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in text and "engine" in text:
            results.append(text)
    return results


def test_without_a_terminal_it_prints_board_and_incident_and_leaves_nothing(tmp_path: Path) -> None:
    process = demo(tmp_path)
    out, err = process.communicate()
    assert (0, "") == (process.returncode, err)
    board, _, incident = out.partition("INC-0001")
    assert all(title in board for title in ("Daily revenue", "Supply plan", "Stock cover", "Price list"))
    assert "not seen since" not in board, "each system has been polled"
    assert re.search(r"act by 04:\d\d CET", incident), incident
    assert "No space left on device" in incident
    assert "oncall (env HEADWAY_DEMO_SINK): sent" in incident
    opened = re.search(r"(\S+ \S+ CET)  opened:", incident)
    assert opened is not None, incident
    assert "2026-11-20 03:11:51 CET" <= opened[1], "an incident opens after its cause"
    assert [] == list(tmp_path.iterdir())
    assert [] == engines_of(tmp_path)


def test_a_terminated_demo_ends_its_engine_and_removes_its_folder(tmp_path: Path) -> None:
    process = demo(tmp_path, "--rate", "0.01")
    wait_until(lambda: engines_of(tmp_path), "an engine works")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert 128 + signal.SIGTERM == process.returncode
    wait_until(lambda: not engines_of(tmp_path), "an engine that had only begun stopped too")
    wait_until(lambda: not list(tmp_path.iterdir()), "the folder is gone")


def test_the_night_begins_when_its_first_screen_is_painted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine the failure would else have come before anybody saw the calm night."""
    texts: list[str] = []

    @contextmanager
    def playing(*_: object) -> Iterator[tuple[DemoPlayback, SimpleNamespace]]:
        clock = SimpleNamespace(start=lambda: texts.append("the clock goes"), set_waiting=lambda waits: None)
        yield DemoPlayback(tmp_path), clock

    def console(url: str, after_first_paint: Callable[[], None], **_: object) -> int:
        texts.append("painted")
        after_first_paint()
        return 0

    monkeypatch.setattr(command, "_demo_engine", playing)
    monkeypatch.setattr("console.tui.app.start.run_console", console)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        options = argparse.Namespace(no_screen=False, rate=None, at="03:11", keep=False, no_tour=True, ascii=False)
        assert 0 == command.run_demo(options)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ["painted", "the clock goes"] == texts


def test_a_refresh_delayed_by_a_stopped_terminal_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluations, seconds = iter([False]), count(step=0.03)
    monkeypatch.setattr(command, "time", SimpleNamespace(monotonic=lambda: next(seconds), sleep=lambda _: None))

    def stored() -> bool:
        return next(evaluations, True)

    command._wait(stored, DemoPlayback(tmp_path), None, "reading the history failed", 0.01)
    with pytest.raises(CommandError, match="reading the history failed: 0 s have passed"):
        command._wait(lambda: False, DemoPlayback(tmp_path), None, "reading the history failed", 0.01)


@pytest.mark.parametrize("more, text", [
    (("--at", "3 o'clock"), '--at "3 o\'clock" '),
    (("--rate", "0"), "--rate 0 is out of range"),
])  # fmt: skip
def test_an_unplayable_demo_is_reported_before_anything_starts(
    tmp_path: Path, more: tuple[str, ...], text: str
) -> None:
    process = demo(tmp_path, *more)
    out, err = process.communicate()
    assert (2, "") == (process.returncode, out)
    assert text in err
    assert [] == list(tmp_path.iterdir())
