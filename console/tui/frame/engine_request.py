"""A request to the engine from a screen: stored as a row and polled for its answer, without blocking a key."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from textual.widget import Widget

from console.tui.frame.console_app import ConsoleApp, EngineAnswer, Put
from console.tui.frame.screen import HeadwayScreen

POLL_SECONDS = 0.1
TIMEOUT_SECONDS = 45.0
"""Longer than any connector's deadline."""


class PendingRequest:
    """One request of a widget. `then` gets the answer, `failed` an error text; neither is called after `stop`.

    `order` describes a request that changes something: its failure is shown even after the widget has closed.
    """

    def __init__(
        self, widget: Widget, name: str, put: Put, then: Callable[[EngineAnswer], None],
        failed: Callable[[str], None], order: str = "",
    ) -> None:  # fmt: skip
        self._board, self._widget, self._name = cast(ConsoleApp, widget.app), widget, name
        self._then, self._failed, self._order = then, failed, order
        self._until = time.monotonic() + TIMEOUT_SECONDS
        self._stopped = False
        self._board.ask_engine(f"{name} put", put, self._put, self._error, order)

    def stop(self) -> None:
        self._stopped = True

    def _put(self, request_id: int) -> None:
        if self._open or self._order:
            self._board.ask_engine(
                f"{self._name} answer {request_id}",
                lambda requests: requests.answer(request_id),
                lambda answer: self._answered(request_id, answer),
                self._error,
            )

    @property
    def _open(self) -> bool:
        return not self._stopped and self._widget.is_attached and bool(self._widget.children)

    def _answered(self, request_id: int, answer: EngineAnswer | None) -> None:
        if answer is not None:
            if self._open:
                self._then(answer)
            elif self._order and not answer.ok:
                self._board.show_notice(f"{self._order}: {answer.error}", "bad")
        elif time.monotonic() > self._until:
            self._fail("the engine does not respond; is it running? The banner shows since when not")
        elif self._open or self._order:
            self._board.set_timer(POLL_SECONDS, lambda: self._put(request_id))

    def _error(self, error: Exception) -> None:
        self._fail(str(error) or type(error).__name__)

    def _fail(self, text: str) -> None:
        if self._open:
            self._failed(text)
        elif self._order:
            self._board.show_notice(f"{self._order}: {text}", "bad")


def send_order(screen: HeadwayScreen, name: str, put: Put, order: str, done: str, undone: str = "not done") -> None:
    """Sends a request that changes something, and shows `done`, or `undone` with the reason; `order` describes it after
    the screen has closed."""

    def answered(answer: EngineAnswer) -> None:
        if answer.ok:
            screen.notice(done, "ok")
            screen.fetch()
        else:
            refused(answer.error)

    def refused(why: str) -> None:
        screen.notice(f"{undone}: {why}", "bad")

    PendingRequest(screen, name, put, answered, refused, order)
