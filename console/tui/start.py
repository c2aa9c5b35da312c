"""The console's start: the store is read while textual is still being imported."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from console.clean import clean_line
from console.tui.desk import Desk

if TYPE_CHECKING:
    from console.tui.ports import ReadsLike, RequestsLike


def run_console(
    url: str,
    *,
    screen: str | None = None,
    incident: int | None = None,
    ascii_only: bool = False,
    after_first_paint: Callable[[], object] | None = None,
    command: Sequence[str] = (),
) -> int:
    """The exit code, once the person has left. `after_first_paint` runs in a thread of its own. `command`: `headway`
    with this config and store."""
    gc.disable()  # collecting while importing costs 25 of 172 ms; the app turns it on again after its first paint
    desk = reading(lambda: _open_reads(url))
    from console.tui.app import HeadwayApp
    from console.tui.driver import QuickEscDriver

    app = HeadwayApp(
        desk,
        lambda: _open_requests(url),
        ascii=ascii_only or _is_plain(),
        screen=screen,
        incident=incident,
        on_painted=after_first_paint,
        command=command,
        driver_class=QuickEscDriver,
    )
    try:
        return app.run() or 0
    finally:
        gc.enable()
        desk.close()
        for words in app.not_sent:
            sys.stderr.write(clean_line(f"headway: {words}") + "\n")


def reading(open_reads: Callable[[], ReadsLike]) -> Desk[ReadsLike]:
    """The desk that owns the store's readers; it may be started before textual is imported."""
    return Desk(open_reads, "reads", look=lambda reads: reads.data_version(), stop=lambda reads: reads.interrupt())


def _open_reads(url: str) -> ReadsLike:
    from console.store.reads import open_reads

    return open_reads(url)


def _open_requests(url: str) -> RequestsLike:
    from console.engine.plan_requests import PlanRequests

    return PlanRequests(url)


def _is_plain() -> bool:
    """True where shapes would not be drawn: a plain terminal, or a locale that is not UTF-8."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return os.environ.get("TERM", "") in ("linux", "dumb") or not encoding.startswith("utf")
