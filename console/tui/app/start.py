"""Starts the console: a thread reads the store while Textual is still being imported."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from console.config.preferences import read_preferences
from console.text.charset import takes_utf8
from console.text.cleaning import clean_line
from console.tui.frame.resource_thread import store_thread

if TYPE_CHECKING:
    from pathlib import Path

    from textual.driver import Driver

    from console.store.queries import Queries
    from console.tui.frame.console_app import EngineRequests
    from console.tui.frame.history import ViewAddress
    from console.tui.frame.tour import GuidedTour

CONSOLE_FAILED = "the console failed: report the traceback above. Actions that were sent continue"
CONSOLE_TERMINATED = "the console was terminated by SIGTERM. Actions that were sent continue"


def run_console(
    url: str,
    *,
    screen: str | None = None,
    address: ViewAddress | None = None,
    ascii_only: bool = False,
    after_first_paint: Callable[[], object] | None = None,
    why_ended: Callable[[], str] | None = None,
    command: Sequence[str] = (),
    in_browser: bool = False,
    visitor: str = "",
    in_utc: bool = False,
    tour: GuidedTour | None = None,
    set_clock_waiting: Callable[[bool], None] | None = None,
    own_file: Path | None = None,
) -> int:
    """Runs the console until the user quits; returns its exit code.

    `screen` is the first one, `address` opens above it. `after_first_paint` runs in a thread; `why_ended` returns why
    the engine that it started has ended. `command` is `headway` with this config and store. `in_browser`: a page of
    `headway console serve` draws the terminal, for `visitor`, whose keys and views are in `own_file`.
    `set_clock_waiting` stops or resumes the clock of a demo.
    """
    gc.disable()  # garbage collection costs 25 ms of the imports; the app enables it after the first paint
    query_thread = store_thread(lambda: _open_reads(url))
    from console.tui.app.navigation import HeadwayApp
    from console.tui.frame.clock_format import ZoneMode

    driver_class: type[Driver]
    if in_browser:
        from console.tui.terminal.browser_driver import BrowserDriver

        driver_class = BrowserDriver
    else:
        from console.tui.terminal.driver import TerminalDriver

        driver_class = TerminalDriver
    app = HeadwayApp(
        query_thread,
        lambda: _open_requests(url),
        ascii=ascii_only or (not in_browser and _is_plain_terminal()),
        screen=screen,
        address=address,
        on_painted=after_first_paint,
        why_ended=why_ended,
        command=command,
        tour=tour,
        set_clock_waiting=set_clock_waiting,
        personal=read_preferences(own_file),
        driver_class=driver_class,
    )
    app.visitor = visitor
    app.clock.mode = ZoneMode.UTC if in_utc else app.clock.mode
    messages: list[str] = []
    try:
        code = app.run()
        if code is None:
            code = app.return_code or 0
            messages += [CONSOLE_FAILED] if code else []
        elif code == 128 + signal.SIGTERM:
            messages.append(CONSOLE_TERMINATED)
        return code
    finally:
        gc.enable()
        query_thread.close()
        with suppress(OSError):  # the terminal is gone
            for text in (*messages, *app.not_sent):
                sys.stderr.write(clean_line(f"headway: {text}") + "\n")


def _open_reads(url: str) -> Queries:
    from console.store.queries import open_queries

    return open_queries(url)


def _open_requests(url: str) -> EngineRequests:
    from console.engine.api.client import EngineClient

    return EngineClient(url)


def _is_plain_terminal() -> bool:
    """True for a terminal without shapes, or a locale that is not UTF-8."""
    return os.environ.get("TERM", "") in ("linux", "dumb") or not takes_utf8(sys.stdout.encoding, os.environ)
