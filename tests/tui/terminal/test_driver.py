"""The end of a console whose terminal is gone, and its return from the background."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from console.tui.terminal.driver import exit_if_lost
from console.tui.terminal.signals import POP_TITLE, PUSH_TITLE
from tests.lab.process import HANGS_SECONDS
from tests.pty.terminal import Terminal


def test_the_thread_of_the_input_does_not_wait_for_a_console_that_waits_for_it() -> None:
    """As when SIGHUP ends the console at the moment at which its input ends."""

    async def lose() -> list[int]:
        codes: list[int] = []
        driver: Any = SimpleNamespace(_loop=asyncio.get_running_loop(), _app=SimpleNamespace(exit=codes.append))
        thread = threading.Thread(target=exit_if_lost, args=(driver, threading.Event()), daemon=True)
        thread.start()
        thread.join(HANGS_SECONDS)
        assert not thread.is_alive()
        await asyncio.sleep(0)
        return codes

    assert [128 + signal.SIGHUP] == asyncio.run(lose())


SMALL_APP = """
import os, signal
from textual.app import App
from textual.widgets import Static
from console.tui.terminal.driver import TerminalDriver
class Small(App):
    def compose(self):
        yield Static(f"process {os.getpid()} ready")
    def on_mount(self):
        self._driver.set_title("Headway")
    def on_key(self):
        with self._driver._writer_thread._queue.mutex:
            os.kill(os.getpid(), signal.SIGTSTP)
Small(driver_class=TerminalDriver).run()
"""


@pytest.mark.deep
def test_a_console_that_bg_stopped_again_is_painted_by_fg() -> None:
    """`bg` continues it where it may not use the terminal: it stops, and is continued once more by `fg`. The first stop
    comes amid a write of the console."""
    with Terminal(["bash", "--norc", "--noprofile", "-i"], env={"PS1": "prompt> ", "APP": SMALL_APP}) as terminal:
        terminal.wait_for("prompt>")
        terminal.press(f'{sys.executable} -c "$APP"', "enter")
        [number] = re.findall(r"process (\d+) ready", terminal.wait_for("ready"))

        def is_stopped(_: str) -> bool:
            return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "T"

        terminal.press("z")
        terminal.wait_for("Stopped")
        terminal.press("bg", "enter")
        terminal.wait_for("&")
        terminal.wait_for(is_stopped)
        terminal.press("fg", "enter")
        terminal.wait_for(lambda _: terminal.received.count(b"\x1b[?1049h") == 2)
        terminal.wait_for(lambda _: terminal.received.count(PUSH_TITLE.encode()) >= 2)
        os.kill(int(number), signal.SIGTERM)
        terminal.wait_for(lambda _: terminal.received.count(POP_TITLE.encode()) == 2)
        assert 2 == terminal.received.count(PUSH_TITLE.encode()), "the title before would not come back"
