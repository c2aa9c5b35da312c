"""Threads that wait so that no screen has to: each owns one resource, the store's reads or the engine's requests.

No textual here: the store is read while textual is still being imported.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from console.store.queries import Queries


Owned = TypeVar("Owned")
Result = TypeVar("Result")
Deliver = Callable[[Callable[[], None]], None]
POLL_SECONDS = 0.25
"""How often another process's commits are looked for: `PRAGMA data_version` is one integer."""
CLOSE_SECONDS = 2.0
ORDER_SECONDS = 12.0
"""A desk that closes is waited for so long; where orders wait, longer than a store is busy for two questions
(`asker.BUSY_SECONDS`)."""


class _Query(Generic[Owned]):
    """What waits at a desk."""

    __slots__ = ("failed", "key", "order", "question", "then")

    def __init__(self, key: Hashable, question: Callable[[Owned], Any], then: Callable[[Any], None],
                 failed: Callable[[Exception], None] | None, order: str) -> None:  # fmt: skip
        self.key, self.question, self.then, self.failed, self.order = key, question, then, failed, order


class ResourceThread(Generic[Owned]):
    """Opens its thing in its own thread and answers questions there; a newer question with the same key replaces one
    that still waits. Answers are handed to `deliver` (the app's message queue); before `attach` they are kept.

    An order is more than a question: a person was told that it goes on. None replaces another, and a desk that closes
    gives them all, or says which it did not (`close`).

    `look` is called every LOOK_SECONDS and its value compared: a new one is delivered to `changed`. `stop` is called
    from the asker's thread to break off what is being answered.
    """

    def __init__(self, opener: Callable[[], Owned], name: str, look: Callable[[Owned], Hashable] | None = None,
                 stop: Callable[[Owned], None] | None = None) -> None:  # fmt: skip
        self._opener, self._look, self._stop = opener, look, stop
        self._owned: Owned | None = None
        self._replaced: _Query[Owned] | None = None
        self._waiting: OrderedDict[Hashable, _Query[Owned]] = OrderedDict()
        self._doing: _Query[Owned] | None = None
        self._refused: dict[_Query[Owned], str] = {}
        """Orders that were not taken, and why, until who asked is told."""
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
        order: str = "",
        instead: bool = False,
    ) -> None:
        """Has `question` answered in the thread; `then` gets the result on the screen's side. `first` goes ahead.
        `order`: what a person ordered with it, in words. `instead`: nobody waits any more for the answer to one with
        this key that is being found now; it is broken off."""
        asked = _Query(key, question, then, failed, order)
        key = asked if order else key
        with self._condition:
            if instead:
                self._break_off(key)
            self._waiting.pop(key, None)
            self._waiting[key] = asked
            if first:
                self._waiting.move_to_end(key, last=False)
            self._condition.notify()

    def _break_off(self, key: Hashable) -> None:
        """Stops what is being answered, where nobody waits for it any more. Under the lock: the thread takes no other
        question meanwhile, so no other can be hit."""
        doing = self._doing
        if self._stop and self._owned is not None and doing is not None and doing.key == key and not doing.order:
            self._replaced = doing
            self._stop(self._owned)

    def beside(self, name: str, deliver: Deliver) -> ResourceThread[Owned]:
        """Another desk with a thing of the same kind: for what takes so long that nobody else may wait for it."""
        other = ResourceThread(self._opener, name, stop=self._stop)
        other.attach(deliver)
        return other

    def leave(self) -> None:
        """Ends it without waiting: nobody wants the answers any more."""
        with self._condition:
            self._closed, self._deliver = True, None
            self._waiting.clear()
            if self._doing is not None:
                self._break_off(self._doing.key)
            self._condition.notify()

    def attach(self, deliver: Deliver, changed: Callable[[], None] | None = None) -> None:
        """From now on answers go to `deliver`; those that came early are taken here and now."""
        with self._condition:
            self._deliver, self._changed = deliver, changed
            early, self._early = list(self._early), deque()
        for answer in early:
            answer()

    def close(self) -> list[str]:
        """Ends the thread once its present question is answered and all orders are given; further questions are
        dropped. In words what of the orders was not taken, or may not have been."""
        with self._condition:
            self._closed, self._deliver = True, None
            self._waiting = OrderedDict((key, one) for key, one in self._waiting.items() if one.order)
            orders = bool(self._waiting or (self._doing and self._doing.order))
            self._condition.notify()
        self._thread.join(ORDER_SECONDS if orders else CLOSE_SECONDS)
        with self._condition:
            left = [f"{value.order}: it was NOT sent, the store was busy" for value in self._waiting.values()]
            self._waiting.clear()
            doing = self._doing if self._doing and self._thread.is_alive() else None
        refused = [f"{one.order}: it was NOT sent: {why}" for one, why in self._refused.items()]
        unknown = "unknown whether it was sent; headway status shows what was"
        return [*refused, *([f"{doing.order}: {unknown}"] if doing and doing.order else []), *left]

    def _work(self) -> None:
        version: Hashable = None
        looked, missing = 0.0, False
        while not self._closed or self._waiting:
            asked = self._next()
            try:
                if self._owned is None and (asked or self._look):
                    missing, was_missing = True, missing
                    self._owned = self._opener()
                    if was_missing and self._changed:  # who was refused before asks at once
                        self._hand(self._changed)
                if self._owned is not None and self._look and time.monotonic() - looked >= POLL_SECONDS:
                    before, version = version, _is_visible(self._look, self._owned)
                    looked = time.monotonic()
                    if before is not None and before != version and self._changed:
                        self._hand(self._changed)
                if self._owned is not None and asked:
                    self._hand(_bind(asked.then, asked.question(self._owned)))
            except Exception as error:  # noqa: BLE001 - whatever it says is shown by the screen that asked
                if asked and asked is not self._replaced:
                    self._refuse(asked, error)
        if self._owned is not None and hasattr(self._owned, "close"):
            self._owned.close()

    def _next(self) -> _Query[Owned] | None:
        with self._condition:
            self._doing = None
            if not self._waiting and not self._closed:
                self._condition.wait(POLL_SECONDS if self._look else None)
            self._doing = self._waiting.popitem(last=False)[1] if self._waiting else None
            return self._doing

    def _refuse(self, asked: _Query[Owned], error: Exception) -> None:
        """An order's refusal is kept until the screen's side has it: that may be gone."""
        if asked.order:
            self._refused[asked] = str(error) or type(error).__name__

        def tell() -> None:
            self._refused.pop(asked, None)
            if asked.failed:
                asked.failed(error)

        self._hand(tell)

    def _hand(self, answer: Callable[[], None]) -> None:
        with self._condition:
            deliver = self._deliver
            if deliver is None and not self._closed:
                self._early.append(answer)
        if deliver is not None:
            deliver(answer)


def _is_visible(look: Callable[[Any], Hashable], owned: Any) -> Hashable:
    """What a look finds. That it finds nothing any more is a change as well: who asks then is told why."""
    try:
        return look(owned)
    except Exception as error:  # noqa: BLE001 - whatever it is, the next question meets it too
        return type(error).__name__


def _bind(function: Callable[[Any], None], value: Any) -> Callable[[], None]:
    return lambda: function(value)


ENGINE_CHECK_SECONDS = 1.0
"""How often it is looked whether an engine is alive."""


def store_thread(open_queries: Callable[[], Queries]) -> ResourceThread[Queries]:
    """The desk that owns the store's readers; it may be started before textual is imported."""
    return ResourceThread(open_queries, "reads", look=StoreChangeProbe(), stop=lambda reads: reads.interrupt())


class StoreChangeProbe:
    """What a look at the store finds: another value after anything was committed; and, a second later at most, where
    the engine is gone, which commits nothing."""

    def __init__(self) -> None:
        self._alive, self._at = True, 0.0

    def __call__(self, reads: Queries) -> tuple[int, bool]:
        version, now = reads.data_version(), time.monotonic()
        if now - self._at >= ENGINE_CHECK_SECONDS:
            self._alive, self._at = reads.estate.engine().alive, now
        return version, self._alive
