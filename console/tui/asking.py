"""A question to the engine from a screen: put as a row, its answer looked for until it comes; no key waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.widget import Widget

from console.tui.ports import AnswerLike, RequestsLike

if TYPE_CHECKING:
    from console.tui.app import HeadwayApp
    from console.tui.screens.frame import FrameScreen

LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 45.0
"""Longer than any connector's deadline: then the engine is not there."""


class Asking:
    """One question of a widget. `then` gets the engine's answer, `failed` words for a person; neither after `stop`.
    `order`: what a person orders by asking it, in words; that it was not done is told also where its widget is gone."""

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
        self._then, self._failed, self._order = then, failed, order
        self._until = time.monotonic() + PATIENCE_SECONDS
        self._stopped = False
        board.ask_engine(f"{name} put", put, self._put, self._error, order)

    def stop(self) -> None:
        """Nobody waits for the answer any more."""
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
        return not self._stopped and self._asker.is_attached and bool(self._asker.children)

    def _answered(self, request_id: int, answer: AnswerLike | None) -> None:
        if answer is not None:
            if self._open:
                self._then(answer)
            elif self._order and not answer.ok:
                self._board.tell(f"{self._order}: {answer.error}", "bad")
        elif time.monotonic() > self._until:
            self._fail("the engine does not answer; is one running? The banner says since when not")
        elif self._open or self._order:
            self._board.set_timer(LOOK_SECONDS, lambda: self._put(request_id))

    def _error(self, error: Exception) -> None:
        self._fail(str(error) or type(error).__name__)

    def _fail(self, words: str) -> None:
        if self._open:
            self._failed(words)
        elif self._order:
            self._board.tell(f"{self._order}: {words}", "bad")


def give(
    screen: FrameScreen,
    name: str,
    put: Callable[[RequestsLike], int],
    order: str,
    done: str,
    undone: str = "not done",
) -> None:
    """An order from a screen. What came of it is said there: that it is `done`, or why it is `undone`. `order` names it
    to whoever left before: in words that claim nothing."""

    def answered(answer: AnswerLike) -> None:
        if answer.ok:
            screen.notice(done, "ok")
            screen.fetch()
        else:
            refused(answer.error)

    def refused(why: str) -> None:
        screen.notice(f"{undone}: {why}", "bad")

    Asking(screen.board, screen, name, put, answered, refused, order)
