"""One key after the other: a key typed ahead reaches the screen that the keys before it open, once it has its rows.

Textual delivers keys at once, and an action moves the focus some messages later. Over a slow line keys come in one
piece: without the queue "/extract" would not fill the filter, and its `r` would open the preview of a rerun.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.message_pump import MessagePump
from textual.screen import Screen

LOOP_TURNS = 2
MAX_WAIT_SECONDS = 0.5
"""A removed widget loses its messages: the queue continues without them."""
URGENT_KEYS = frozenset({"ctrl+c"})
"""Quitting never waits."""
DROP_KEY = "escape"


class KeyQueue:
    """Passes the keys of an app in their order; `handle` is the app's handler.

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
        self._held: deque[events.Key] = deque()
        self._waiting: list[events.Key] = []
        self._waits_on: Screen[Any] | None = None
        self._passed_at = self._back_at = 0.0
        self._number = 0
        self._limit: asyncio.TimerHandle | None = None

    async def take(self, event: events.Key) -> None:
        if event.key in URGENT_KEYS:
            await self._handle(event)
        elif self._limit is not None or self._held:
            self._held.append(event)
        elif self._is_ahead(event):
            self._held.append(event)
            await self._follow()
        else:
            await self._pass(event)

    def rows_arrived(self, screen: Screen[Any]) -> None:
        """Passes the keys that waited for this screen, ahead of those behind them."""
        if self._waiting and screen is self._waits_on and screen is self._app.screen:
            self._held.extendleft(reversed(self._waiting))
            self._set_waiting([])
            if self._limit is None:
                self._app.call_later(self._follow)

    async def follow_click(self, clicked: DOMNode) -> None:
        """Keys wait until the click has been handled by its widget and what it opens has the focus."""
        if self._limit is None:
            await self._follow(clicked)

    def _set_waiting(self, keys: list[events.Key]) -> None:
        if keys or self._waiting:
            self._waiting, self._waits_on = keys, self._app.screen
            self._show_waiting([event.key for event in keys])

    def back(self) -> None:
        self._back_at = time.monotonic()

    def _is_ahead(self, event: events.Key) -> bool:
        """True if it was typed before the last one was handled, or that one is still being delivered."""
        is_away = self._passed_at > self._back_at and time.monotonic() - self._passed_at < MAX_WAIT_SECONDS
        return is_away or event.time <= self._back_at

    async def _pass(self, event: events.Key) -> None:
        before = self._waiting if self._waits_on is self._app.screen else []
        if self._needs_rows(event.key):
            self._set_waiting([*before, event])
            return
        self._set_waiting([])
        if before and event.key == DROP_KEY:
            return
        self._passed_at = time.monotonic()
        await self._handle(event)

    async def _follow(self, clicked: DOMNode | None = None) -> None:
        self._number += 1
        number = self._number
        self._limit = asyncio.get_running_loop().call_later(MAX_WAIT_SECONDS, self._app.call_later, self._open, number)
        clicks = [] if clicked is None else [clicked] * LOOP_TURNS
        await self._turn(number, [*clicks, *[None] * LOOP_TURNS])

    async def _turn(self, number: int, starts: Sequence[DOMNode | None]) -> None:
        """Follows the last key or click up to the app, behind it in each queue: from each of `starts`, None for the
        widget that has the focus by then."""
        if not starts:
            await self._open(number)
            return
        start = starts[0] or self._app.focused or self._app.screen
        await self._hop([*start.ancestors_with_self], number, starts[1:])

    async def _hop(self, way: list[MessagePump], number: int, starts: Sequence[DOMNode | None]) -> None:
        while way:
            if way.pop(0).call_later(self._hop, way, number, starts):
                return
        await self._turn(number, starts)

    async def _open(self, number: int) -> None:
        """Passes the next key; a late limit has another number."""
        if number != self._number or self._limit is None:
            return
        self._limit.cancel()
        self._limit = None
        if self._held:
            await self._pass(self._held.popleft())
        if self._held:
            await self._follow()
