"""Threads that own one resource each, the store's queries or the engine's requests, so that no screen waits.

No textual here: the store is read while textual is still being imported.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from console.store.queries.reader import Queries

Owned = TypeVar("Owned")
Result = TypeVar("Result")
Deliver = Callable[[Callable[[], None]], None]
POLL_SECONDS = 0.25
"""How often commits of another process are polled for: `PRAGMA data_version` is one integer."""
CLOSE_SECONDS = 2.0
ORDER_SECONDS = 12.0
"""Wait for unsent orders on close: longer than a store is busy for two requests (`client.BUSY_SECONDS`)."""


@dataclass(eq=False, slots=True)
class _Query(Generic[Owned]):
    """A waiting question."""

    key: Hashable
    question: Callable[[Owned], Any]
    then: Callable[[Any], None]
    failed: Callable[[Exception], None] | None
    order: str


class ResourceThread(Generic[Owned]):
    """Opens its resource in its own thread and answers questions there; a newer question replaces a waiting one with
    the same key. Answers go to `deliver` (the app's message queue); before `attach` they are queued.

    An order is a question that changes something: none replaces another, and `close` sends them all or returns those
    that it could not.
    `probe` is polled, and a new value is delivered to `changed`. `stop` is called from another thread to interrupt the
    running question.
    """

    def __init__(self, opener: Callable[[], Owned], name: str, probe: Callable[[Owned], Hashable] | None = None,
                 stop: Callable[[Owned], None] | None = None) -> None:  # fmt: skip
        self._opener, self._probe, self._stop = opener, probe, stop
        self._owned: Owned | None = None
        self._replaced: _Query[Owned] | None = None
        self._waiting: OrderedDict[Hashable, _Query[Owned]] = OrderedDict()
        self._doing: _Query[Owned] | None = None
        self._refused: dict[_Query[Owned], str] = {}
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
        """Answers `question` in the thread and passes the result to `then`. `first` goes ahead of other questions.

        `order` describes a request that changes something. `instead` interrupts a running question with the same key.
        """
        query = _Query(key, question, then, failed, order)
        key = query if order else key
        with self._condition:
            if instead:
                self._break_off(key)
            self._waiting.pop(key, None)
            self._waiting[key] = query
            if first:
                self._waiting.move_to_end(key, last=False)
            self._condition.notify()

    def _break_off(self, key: Hashable) -> None:
        """Interrupts the running question. Under the lock: the thread starts no other meanwhile."""
        doing = self._doing
        if self._stop and self._owned is not None and doing is not None and doing.key == key and not doing.order:
            self._replaced = doing
            self._stop(self._owned)

    def beside(self, name: str, deliver: Deliver) -> ResourceThread[Owned]:
        thread = ResourceThread(self._opener, name, stop=self._stop)
        thread.attach(deliver)
        return thread

    def leave(self) -> None:
        """Ends the thread without waiting and drops all answers."""
        with self._condition:
            self._closed, self._deliver = True, None
            self._waiting.clear()
            if self._doing is not None:
                self._break_off(self._doing.key)
            self._condition.notify()

    def attach(self, deliver: Deliver, changed: Callable[[], None] | None = None) -> None:
        """Delivers answers from now on, first those that came early."""
        with self._condition:
            self._deliver, self._changed = deliver, changed
            early, self._early = list(self._early), deque()
        for answer in early:
            answer()

    def close(self) -> list[str]:
        """Ends the thread after the present question and all orders; returns a text for each order that was not sent,
        or may not have been."""
        with self._condition:
            self._closed, self._deliver = True, None
            self._waiting = OrderedDict((key, query) for key, query in self._waiting.items() if query.order)
            orders = bool(self._waiting or (self._doing and self._doing.order))
            self._condition.notify()
        self._thread.join(ORDER_SECONDS if orders else CLOSE_SECONDS)
        with self._condition:
            unsent = [f"{value.order}: it was NOT sent, the store was busy" for value in self._waiting.values()]
            self._waiting.clear()
            doing = self._doing if self._doing and self._thread.is_alive() else None
        refused = [f"{query.order}: it was NOT sent: {why}" for query, why in self._refused.items()]
        unknown = "unknown whether it was sent; headway status shows what was"
        return [*refused, *([f"{doing.order}: {unknown}"] if doing and doing.order else []), *unsent]

    def _work(self) -> None:
        version: Hashable = None
        probed, missing = 0.0, False
        while not self._closed or self._waiting:
            query = self._next()
            try:
                if self._owned is None and (query or self._probe):
                    missing, was_missing = True, missing
                    self._owned = self._opener()
                    if was_missing and self._changed:  # failed queries are repeated at once
                        self._hand(self._changed)
                if self._owned is not None and self._probe and time.monotonic() - probed >= POLL_SECONDS:
                    before, version = version, _is_visible(self._probe, self._owned)
                    probed = time.monotonic()
                    if before is not None and before != version and self._changed:
                        self._hand(self._changed)
                if self._owned is not None and query:
                    self._hand(_bind(query.then, query.question(self._owned)))
            except Exception as error:  # noqa: BLE001 - the screen shows it
                if query and query is not self._replaced:
                    self._refuse(query, error)
        if self._owned is not None and hasattr(self._owned, "close"):
            self._owned.close()

    def _next(self) -> _Query[Owned] | None:
        with self._condition:
            self._doing = None
            if not self._waiting and not self._closed:
                self._condition.wait(POLL_SECONDS if self._probe else None)
            self._doing = self._waiting.popitem(last=False)[1] if self._waiting else None
            return self._doing

    def _refuse(self, query: _Query[Owned], error: Exception) -> None:
        if query.order:
            self._refused[query] = str(error) or type(error).__name__

        def report() -> None:
            self._refused.pop(query, None)
            if query.failed:
                query.failed(error)

        self._hand(report)

    def _hand(self, answer: Callable[[], None]) -> None:
        with self._condition:
            deliver = self._deliver
            if deliver is None and not self._closed:
                self._early.append(answer)
        if deliver is not None:
            deliver(answer)


def _is_visible(probe: Callable[[Any], Hashable], owned: Any) -> Hashable:
    """The value of the probe; an error is a new value too, so that the next question reports it."""
    try:
        return probe(owned)
    except Exception as error:  # noqa: BLE001 - whatever it is, the next question meets it too
        return type(error).__name__


def _bind(function: Callable[[Any], None], value: Any) -> Callable[[], None]:
    return lambda: function(value)


ENGINE_CHECK_SECONDS = 1.0


def store_thread(open_queries: Callable[[], Queries]) -> ResourceThread[Queries]:
    return ResourceThread(open_queries, "reads", probe=StoreChangeProbe(), stop=lambda reads: reads.interrupt())


class StoreChangeProbe:
    """Another value after each commit; and, within a second, when the engine has died, which commits nothing."""

    def __init__(self) -> None:
        self._alive, self._at = True, 0.0

    def __call__(self, reads: Queries) -> tuple[int, bool]:
        version, now = reads.data_version(), time.monotonic()
        if now - self._at >= ENGINE_CHECK_SECONDS:
            self._alive, self._at = reads.estate.engine().alive, now
        return version, self._alive
