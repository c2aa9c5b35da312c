"""A question to the engine from a screen: put as a row, its answer looked for until it comes; no key waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.widget import Widget

from console.tui.ports import AnswerLike, RequestsLike

if TYPE_CHECKING:
    from console.tui.app import HeadwayApp

LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 45.0
"""Longer than any connector's deadline: then the engine is not there."""


class Asking:
    """One question of a widget. `then` gets the engine's answer, `failed` words for a person; neither after `stop`.
    `order`: what a person orders by asking it, in words."""

    def __init__(
        self,
        board: HeadwayApp,
        asker: Widget,
        name: str,
        put: Callable[[RequestsLike], int],
        then: Callable[[AnswerLike], None],
        failed: Callable[[str], None],
        order: str = "",
    ) -> None:
        self._board, self._asker, self._name = board, asker, name
        self._then, self._failed = then, failed
        self._until = time.monotonic() + PATIENCE_SECONDS
        self._stopped = False
        board.ask_engine(f"{name} put", put, self._put, self._error, order)

    def stop(self) -> None:
        """Nobody waits for the answer any more."""
        self._stopped = True

    def _put(self, request_id: int) -> None:
        if self._open:
            self._board.ask_engine(
                f"{self._name} answer",
                lambda requests: requests.answer(request_id),
                lambda answer: self._answered(request_id, answer),
                self._error,
            )

    @property
    def _open(self) -> bool:
        return not self._stopped and self._asker.is_attached and bool(self._asker.children)

    def _answered(self, request_id: int, answer: AnswerLike | None) -> None:
        if not self._open:
            return
        if answer is not None:
            self._then(answer)
        elif time.monotonic() > self._until:
            self._failed("the engine does not answer; is one running? The banner says since when not")
        else:
            self._asker.set_timer(LOOK_SECONDS, lambda: self._put(request_id))

    def _error(self, error: Exception) -> None:
        if self._open:
            self._failed(str(error) or type(error).__name__)
