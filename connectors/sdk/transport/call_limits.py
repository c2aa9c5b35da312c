"""The limits of a call: one deadline for the whole call, waits that end with it, and the count of its requests.

Requests are counted by thread. A poll runs on one thread with everything it requests; requests of users are counted
apart. Limits that a source announces are noted with the count.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class Deadline:
    """The end of one call, by the monotonic clock."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._monotonic = monotonic
        self._until = monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; never below zero."""
        return max(0.0, self._until - self._monotonic())

    def is_below(self, share: float) -> bool:
        """Whether less than this share (0 to 1) of the time is left."""
        return self.left < self.seconds * share


def call_on_thread(work: Callable[[], T], seconds: float, name: str, discard: Callable[[T], object]) -> T:
    """The result of `work`, which nothing can interrupt, so that it runs on a thread of its own, called `name`.

    Raises what `work` raises, and TimeoutError when it is late: its result then goes to `discard`."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again by `result`, on the thread that waits
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
            return
        if future.set_running_or_notify_cancel():
            future.set_result(result)
        else:
            discard(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.cancel():
            raise TimeoutError(f"no answer within {seconds:.3g} s") from None
        return future.result()


class UninterruptedCalls:
    """Calls on threads of their own, one per place at a time: while a late one hangs, no further thread is made."""

    def __init__(self, name: str) -> None:
        """`name` of the threads."""
        self._name = name
        self._late: dict[str, threading.Event] = {}

    def call(self, place: str, work: Callable[[], T], seconds: float) -> T:
        """The result of `work`. Raises what it raises, and TimeoutError where it, or an earlier one there, is late."""
        before, ended = self._late.get(place), threading.Event()
        if before is not None and not before.is_set():
            raise TimeoutError("an earlier call has not ended yet")

        def run() -> T:
            try:
                return work()
            finally:
                ended.set()

        try:
            return call_on_thread(run, seconds, self._name, lambda _: None)
        except TimeoutError:
            self._late[place] = ended
            raise


@contextmanager
def watchdog(close: Callable[[], object], seconds: float) -> Iterator[None]:
    """Calls `close` when the time passes inside the block, which wakes waits that have no limit of their own."""
    timer = threading.Timer(max(0.0, seconds), close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def socket_watchdog(fileno: int, seconds: float) -> Iterator[None]:
    """Shuts the socket of that number when the time passes inside the block: waits for it then end."""
    with socket.socket(fileno=os.dup(fileno)) as twin:

        def cut() -> None:
            with suppress(OSError):
                twin.shutdown(socket.SHUT_RDWR)

        with watchdog(cut, seconds):
            yield


LIMITS = (
    ("x-ratelimit-limit", "x-ratelimit-remaining"),  # GitHub
    ("ratelimit-limit", "ratelimit-remaining"),  # draft-ietf-httpapi-ratelimit-headers, version 3 to 7
)
_DIGITS = 12
_thread = threading.local()


@dataclass(slots=True)
class RequestTally:
    """Requests sent while it counts."""

    requests: int = 0
    """HTTP requests, commands over SSH, transactions of a database."""
    allowed: str = ""
    """ "4812 of 5000 left", by the last answer; empty where the API names no limit."""
    calls: Counter[str] | None = None
    """HTTP request, or SQL statement, -> how often it was sent: "GET https://host/api/jobs?limit=100"; None where they
    are not listed."""


@contextmanager
def counting(tally: RequestTally) -> Iterator[None]:
    before, _thread.tally = getattr(_thread, "tally", None), tally
    try:
        yield
    finally:
        _thread.tally = before


def lists_requests() -> bool:
    """Whether this thread's requests are listed, and not only counted."""
    tally: RequestTally | None = getattr(_thread, "tally", None)
    return tally is not None and tally.calls is not None


def count_request(call: str = "") -> None:
    """`call`: as `RequestTally.calls` has it."""
    tally: RequestTally | None = getattr(_thread, "tally", None)
    if tally is not None:
        tally.requests += 1
        list_call(call)


def list_call(call: str) -> None:
    """Lists what a counted request sends, where requests are listed."""
    tally: RequestTally | None = getattr(_thread, "tally", None)
    if tally is not None and tally.calls is not None and call:
        tally.calls[call] += 1


def note_limit(headers: Mapping[str, str]) -> None:
    """Notes the remaining limit that the answer's headers (names in lower case) announce."""
    tally: RequestTally | None = getattr(_thread, "tally", None)
    if tally is None:
        return
    for limit, remaining in LIMITS:
        total, rest = headers.get(limit, ""), headers.get(remaining, "")
        if all(number.isascii() and number.isdigit() for number in (total, rest)):
            tally.allowed = f"{rest[:_DIGITS]} of {total[:_DIGITS]} left"
