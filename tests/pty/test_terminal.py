"""The harness itself: what it reads is what a terminal would show, and it leaves nothing running."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.pty.terminal import Terminal


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_program_draws_on_the_screen_and_is_waited_for() -> None:
    with Terminal(_python(r"print('\x1b[2;5Hhello', flush=True); input()")) as terminal:
        terminal.wait_for("hello")
        assert "    hello" == terminal.text.splitlines()[1]


def test_keys_reach_the_program_and_its_exit_code_comes_back() -> None:
    with Terminal(_python("import sys; sys.exit(int(input('code? ')))")) as terminal:
        terminal.wait_for("code?")
        terminal.press("7", "enter")
        assert 7 == terminal.wait_for_end()


def test_a_text_that_never_comes_fails_with_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.pty.terminal.HANGS_SECONDS", 5.0)
    with (
        Terminal(_python("print('something else', flush=True); input()")) as terminal,
        pytest.raises(AssertionError, match="something else"),
    ):
        terminal.wait_for("never")


def test_the_terminals_questions_are_answered() -> None:
    code = r"""
import os, sys, termios, tty
tty.setraw(0)
os.write(1, b"\x1b[6n")
print(os.read(0, 20)[1:], flush=True)
"""
    with Terminal(_python(code)) as terminal:
        terminal.wait_for("[1;1R")


def test_the_answer_to_a_key_is_timed() -> None:
    code = "import sys, tty, os; tty.setraw(0); os.write(1, b'ready')\nwhile True: os.write(1, os.read(0, 1))"
    with Terminal(_python(code)) as terminal:
        terminal.wait_for("ready")
        took = terminal.answer_ms("x")
        assert took is not None
        assert took > 0
        assert terminal.rss_mib > 1


def test_leaving_ends_a_program_that_ignores_sigterm() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    with Terminal(_python(code)) as terminal:
        terminal.wait_for("up")
        pid = terminal.pid
    assert not Path(f"/proc/{pid}").exists()


def test_a_half_received_screen_is_not_evaluated() -> None:
    """A half-drawn screen is never asserted on."""
    code = r"""
import sys, time
print("\x1b[?2026hwanted", flush=True)
time.sleep(0.3)
print("and more\x1b[?2026l", flush=True)
input()
"""
    with Terminal(_python(code)) as terminal:
        assert "and more" in terminal.wait_for("wanted")
