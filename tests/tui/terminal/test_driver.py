"""The end of a console whose terminal is gone."""

from __future__ import annotations

import asyncio
import signal
import threading
from types import SimpleNamespace
from typing import Any

from console.tui.terminal.driver import exit_if_lost


def test_the_thread_of_the_input_does_not_wait_for_a_console_that_waits_for_it() -> None:
    """As when SIGHUP ends the console at the moment at which its input ends."""

    async def lose() -> list[int]:
        codes: list[int] = []
        driver: Any = SimpleNamespace(_loop=asyncio.get_running_loop(), _app=SimpleNamespace(exit=codes.append))
        thread = threading.Thread(target=exit_if_lost, args=(driver, threading.Event()), daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        await asyncio.sleep(0)
        return codes

    assert [128 + signal.SIGHUP] == asyncio.run(lose())
