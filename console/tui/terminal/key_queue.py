"""One key after the other: a key typed ahead reaches the screen that the keys before it open, once it has its rows.

Textual delivers keys at once, and an action moves the focus some messages later. Over a slow line keys come in one
piece: without the queue "/extract" would not fill the filter, and its `r` would open the preview of a rerun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.screen import Screen

LOOP_TURNS = 2
REMOVED_SECONDS = 0.05
"""Interval of the question whether a widget was removed, which loses its messages: the queue goes on without them."""
URGENT_KEYS = frozenset({"ctrl+c"})
"""Quitting never waits."""
DROP_KEY = "escape"


class KeyQueue:
    """Passes the keys of an app to `handle`, its own handler, in their order.

    Keys for which `needs_rows` is true wait until their screen calls `rows_arrived`; any other key drops them, and
    Escape does only that. `show_waiting` shows them.
    """

    def __init__(
        self,
        app: App[int],
        handle: Callable[[events.Event], Awaitable[None]],
        needs_rows: Callable[[str], bool],
        show_waiting: Callable[[Sequence[str]], None],
    ) -> None:
        self._app, self._handle = app, handle
        self._needs_rows, self._show_waiting = needs_rows, show_waiting
        self._ahead: list[events.Key | DOMNode] = []
        self._waiting: list[events.Key] = []
        self._waits_on: Screen[Any] | None = None
        self._passing: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        return self._passing is not None

    def take(self, event: events.Key | DOMNode) -> None:
        """Passes the key once those before it are handled. Keys behind a widget that was clicked wait until it has
        handled the click and what it opens has the focus."""
        self._ahead.append(event)
        self._begin()

    def rows_arrived(self, screen: Screen[Any]) -> None:
        """Passes the keys that waited for this screen, ahead of those behind them."""
        if self._waiting and screen is self._waits_on and screen is self._app.screen:
            keys = self._waiting
            self._set_waiting([])
            self._ahead[:0] = keys
            self._begin()

    def _begin(self) -> None:
        if self._passing is None:
            self._passing = asyncio.create_task(self._pass_all())

    def _set_waiting(self, keys: list[events.Key]) -> None:
        if keys or self._waiting:
            self._waiting, self._waits_on = keys, self._app.screen
            self._show_waiting([event.key for event in keys])

    async def _pass_all(self) -> None:
        try:
            while self._ahead and self._app.is_running:
                event = self._ahead.pop(0)
                if isinstance(event, DOMNode):
                    await self._follow(event)
                else:
                    await self._pass(event)
                await self._follow(None)
        finally:
            self._passing = None

    async def _pass(self, event: events.Key) -> None:
        before = self._waiting if self._waits_on is self._app.screen else []
        if self._needs_rows(event.key):
            self._set_waiting([*before, event])
            return
        self._set_waiting([])
        if not before or event.key != DROP_KEY:
            await self._handle(event)

    async def _follow(self, clicked: DOMNode | None) -> None:
        """Waits until what was passed is handled: behind it in each queue, from the clicked widget or the one that has
        the focus by then, up to the app."""
        for _ in range(LOOP_TURNS):
            start = clicked or self._app.focused or self._app.screen
            for node in start.ancestors_with_self:
                reached = asyncio.Event()
                while not reached.is_set() and node.call_later(reached.set):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(reached.wait(), REMOVED_SECONDS)
