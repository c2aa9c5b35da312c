"""The console's start: the store is read while textual is still being imported."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from console.charset import takes_utf8
from console.clean import clean_line
from console.clock import real_now
from console.personal.file import read_personal
from console.personal.left import Places
from console.tui import lean
from console.tui.desk import Desk

if TYPE_CHECKING:
    from pathlib import Path

    from textual.driver import Driver

    from console.tui.ports import ReadsLike, RequestsLike
    from console.tui.tour import Tour
    from console.tui.trail import Place


ENGINE_SECONDS = 1.0
"""How often it is looked whether an engine is alive."""


def run_console(
    url: str,
    *,
    screen: str | None = None,
    place: Place | None = None,
    ascii_only: bool = False,
    after_first_paint: Callable[[], object] | None = None,
    why_ended: Callable[[], str] | None = None,
    command: Sequence[str] = (),
    in_browser: bool = False,
    visitor: str = "",
    in_utc: bool = False,
    tour: Tour | None = None,
    own_file: Path | None = None,
) -> int:
    """The exit code, once the person has left. `place`: what opens above the first screen. `after_first_paint` runs in
    a thread of its own; `why_ended` then tells why the engine that it started works no more. `command`: `headway` with
    this config and store. `in_browser`: its terminal is drawn by a page of `headway serve`, for this `visitor`.
    `in_utc`: it begins with all times in UTC. `tour`: the demo's. `own_file`: where this person has keys and views,
    if elsewhere than who sits at a terminal."""
    gc.disable()  # collecting while importing costs 25 of 172 ms; the app turns it on again after its first paint
    lean.load_asyncio()
    desk = reading(lambda: _open_reads(url))
    places = (
        Places(url) if not in_browser and screen != "wallboard" else None
    )  # many people look through one browser's server
    left = places.take(real_now()) if places is not None and screen is None and place is None else None
    lean.load_textual()
    from console.tui.app import HeadwayApp
    from console.tui.when import ZoneMode

    app = HeadwayApp(
        desk,
        lambda: _open_requests(url),
        ascii=ascii_only or (not in_browser and _is_plain()),
        screen=screen,
        place=place,
        on_painted=after_first_paint,
        why_ended=why_ended,
        command=command,
        tour=tour,
        personal=read_personal(own_file),
        places=places,
        left=left,
        driver_class=_driver(in_browser),
    )
    app.visitor = visitor
    app.clock.mode = ZoneMode.UTC if in_utc else app.clock.mode
    try:
        return app.run() or 0
    finally:
        if places is not None and not app.was_ended:
            places.forget()
        gc.enable()
        desk.close()
        for words in app.not_sent:
            sys.stderr.write(clean_line(f"headway: {words}") + "\n")


def _driver(in_browser: bool) -> type[Driver]:
    if in_browser:
        from console.tui.browser import BrowserDriver

        return BrowserDriver
    from console.tui.driver import QuickEscDriver

    return QuickEscDriver


def reading(open_reads: Callable[[], ReadsLike]) -> Desk[ReadsLike]:
    """The desk that owns the store's readers; it may be started before textual is imported."""
    return Desk(open_reads, "reads", look=Looks(), stop=lambda reads: reads.interrupt())


class Looks:
    """What a look at the store finds: another value after anything was committed; and, a second later at most, where
    the engine is gone, which commits nothing."""

    def __init__(self) -> None:
        self._alive, self._at = True, 0.0

    def __call__(self, reads: ReadsLike) -> tuple[int, bool]:
        version, now = reads.data_version(), time.monotonic()
        if now - self._at >= ENGINE_SECONDS:
            self._alive, self._at = reads.engine().alive, now
        return version, self._alive


def _open_reads(url: str) -> ReadsLike:
    from console.store.reads import open_reads

    return open_reads(url)


def _open_requests(url: str) -> RequestsLike:
    from console.engine.plan_requests import PlanRequests

    return PlanRequests(url)


def _is_plain() -> bool:
    """True where shapes would not be drawn: a plain terminal, or a locale that is not UTF-8."""
    return os.environ.get("TERM", "") in ("linux", "dumb") or not takes_utf8(sys.stdout.encoding, os.environ)
