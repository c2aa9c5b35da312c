"""Threads that wait so that no screen has to: each owns one thing (the store's readers, the engine's requests)."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Owned = TypeVar("Owned")
Result = TypeVar("Result")
Deliver = Callable[[Callable[[], None]], None]
LOOK_SECONDS = 0.25
"""How often another process's commits are looked for: `PRAGMA data_version` is one integer."""


class Desk(Generic[Owned]):
    """Opens its thing in its own thread and answers questions there; a newer question with the same key replaces one
    that still waits. Answers are handed to `deliver` (the app's message queue); before `attach` they are kept.

    `look` is called every LOOK_SECONDS and its value compared: a new one is delivered to `changed`.
    """

    def __init__(self, opener: Callable[[], Owned], name: str, look: Callable[[Owned], Hashable] | None = None) -> None:
        self._opener, self._look = opener, look
        self._waiting: OrderedDict[Hashable, tuple[Callable[[Owned], Any], Any, Any]] = OrderedDict()
        self._early: deque[Callable[[], None]] = deque()
        self._deliver: Deliver | None = None
        self._changed: Callable[[], None] | None = None
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"headway-{name}", daemon=True)
        self._thread.start()

    def ask(
        self,
        key: Hashable,
        question: Callable[[Owned], Result],
        then: Callable[[Result], None],
        failed: Callable[[Exception], None] | None = None,
        first: bool = False,
    ) -> None:
        """Has `question` answered in the thread; `then` gets the result on the screen's side. `first` goes ahead."""
        with self._condition:
            self._waiting.pop(key, None)
            self._waiting[key] = (question, then, failed)
            if first:
                self._waiting.move_to_end(key, last=False)
            self._condition.notify()

    def attach(self, deliver: Deliver, changed: Callable[[], None] | None = None) -> None:
        """From now on answers go to `deliver`; those that came early are taken here and now."""
        with self._condition:
            self._deliver, self._changed = deliver, changed
            early, self._early = list(self._early), deque()
        for answer in early:
            answer()

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Ends the thread once its present question is answered."""
        with self._condition:
            self._closed, self._deliver = True, None
            self._waiting.clear()
            self._condition.notify()
        self._thread.join(timeout_seconds)

    def _work(self) -> None:
        owned: Owned | None = None
        version: Hashable = None
        looked = 0.0
        while not self._closed:
            asked = self._next()
            try:
                if owned is None and (asked or self._look):
                    owned = self._opener()
                if owned is not None and self._look and time.monotonic() - looked >= LOOK_SECONDS:
                    before, version = version, self._look(owned)
                    looked = time.monotonic()
                    if before is not None and before != version and self._changed:
                        self._hand(self._changed)
                if owned is not None and asked:
                    self._answer(owned, *asked)
            except Exception as error:  # noqa: BLE001 - whatever a store says is shown by the screen that asked
                if asked and asked[2]:
                    self._hand(_bound(asked[2], error))
        if owned is not None and hasattr(owned, "close"):
            owned.close()

    def _next(self) -> tuple[Callable[[Owned], Any], Any, Any] | None:
        with self._condition:
            if not self._waiting and not self._closed:
                self._condition.wait(LOOK_SECONDS if self._look else None)
            return self._waiting.popitem(last=False)[1] if self._waiting else None

    def _answer(self, owned: Owned, question: Callable[[Owned], Any], then: Any, failed: Any) -> None:
        try:
            result = question(owned)
        except Exception as error:  # noqa: BLE001 - the asker gets it, whatever it is
            if failed:
                self._hand(_bound(failed, error))
        else:
            self._hand(_bound(then, result))

    def _hand(self, answer: Callable[[], None]) -> None:
        with self._condition:
            deliver = self._deliver
            if deliver is None and not self._closed:
                self._early.append(answer)
        if deliver is not None:
            deliver(answer)


def _bound(function: Callable[[Any], None], value: Any) -> Callable[[], None]:
    return lambda: function(value)
