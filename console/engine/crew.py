"""The parts' threads: started together, seen when one breaks and started again, ended within seconds.

A part that dies in silence is the worst fault of a watcher: whoever asks "headway status" is told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from connectors.secrets import SecretStore
from console.clean import clean_line
from console.engine.footprint import give_back_what_is_freed
from console.engine.part import Part
from console.store.errors import LeaseLost, StoreError

log = structlog.get_logger("headway.engine")

FIRST_RETRY_SECONDS = 1.0
RETRY_CAP_SECONDS = 30.0
WELL_SECONDS = 60.0
"""A part that has worked this long since it broke is well again."""
WORDS_LIMIT = 160
OFTEN = 3
"""A part that broke as often keeps breaking: somebody is told."""


class Crew:
    """One thread for each part, until `stopping`."""

    def __init__(self, parts: list[tuple[str, Part]], secrets: SecretStore, stopping: Callable[[], bool]) -> None:
        self._parts = parts
        self._secrets = secrets
        self._stopping = stopping
        self._lock = threading.Lock()
        self._broken: dict[str, tuple[float, str]] = {}
        """Part -> (when it broke last, by `time.monotonic`; in words)."""
        self._often: dict[str, tuple[str, bool]] = {}
        """Parts that broke OFTEN times, never well in between: in words, and whether the store was the reason."""
        self._threads: list[threading.Thread] = []

    def start(self, fence: int) -> None:
        give_back_what_is_freed()
        self._threads = [
            threading.Thread(target=self._work, args=(name, part, fence), name=name, daemon=True)
            for name, part in self._parts
        ]
        for thread in self._threads:
            thread.start()

    def gone(self) -> list[str]:
        """Parts without a thread, whatever ended it."""
        return [thread.name for thread in self._threads if not thread.is_alive()]

    def trouble(self) -> str:
        """Which parts broke lately and why, in one line; empty when all is well."""
        with self._lock:
            lately = time.monotonic() - WELL_SECONDS
            self._broken = {name: broken for name, broken in self._broken.items() if broken[0] > lately}
            return "; ".join(f"{name} {broken[1]}" for name, broken in sorted(self._broken.items()))

    def keeps_breaking(self) -> tuple[str, dict[str, str]]:
        """What breaks parts again and again: the store, in words; and, by part, every other reason."""
        self.trouble()
        with self._lock:
            lasting = {name: said for name, said in self._often.items() if name in self._broken}
        store = next((words for words, by_store in lasting.values() if by_store), "")
        return store, {name: words for name, (words, by_store) in lasting.items() if not by_store}

    def join(self, until: float) -> list[str]:
        """Waits for all threads until `time.monotonic` is `until`; the names of those that are left behind."""
        while self.gone() != [thread.name for thread in self._threads] and time.monotonic() < until:
            for _, part in self._parts:
                part.wake.set()  # again and again: a part may clear it just before it looks whether to stop
            time.sleep(0.02)
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _work(self, name: str, part: Part, fence: int) -> None:
        """Runs the part; starts it again, later each time, when it breaks."""
        breaks, said = 0, ""
        while not self._stopping():
            started = time.monotonic()
            try:
                part.run(fence, self._stopping)
                return
            except LeaseLost:
                return  # the renewal finds it too, and says so once
            except Exception as error:  # noqa: BLE001 - a surprise in one part must not end the watch
                breaks = 1 if time.monotonic() - started > WELL_SECONDS else breaks + 1
                said = self._tell(name, error, said if breaks > 1 else "", breaks)
            self._pause(min(FIRST_RETRY_SECONDS * 2.0 ** min(breaks - 1, 30), RETRY_CAP_SECONDS), part)

    def _tell(self, name: str, error: Exception, said: str, breaks: int) -> str:
        """Notes and logs it: once for as long as it stays the same; a store that cannot be used needs no traceback."""
        reason = clean_line(self._secrets.mask(str(error).partition("\n")[0]), WORDS_LIMIT)
        words = reason if isinstance(error, StoreError) else f"broke: {type(error).__name__}: {reason}"
        with self._lock:
            if breaks >= OFTEN:
                self._often[name] = (words, isinstance(error, StoreError))
            else:
                self._often.pop(name, None)
            self._broken[name] = (time.monotonic(), f"{words} (last at {datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z)")
        if words != said and isinstance(error, StoreError):
            log.warning("part waits for the store", part=name, error=words)
        elif words != said:
            log.error("part broke, starting it again", part=name, error=words, exc_info=error)
        return words

    def _pause(self, seconds: float, part: Part) -> None:
        until = time.monotonic() + seconds
        while not self._stopping() and (left := until - time.monotonic()) > 0:
            part.wake.clear()
            part.wake.wait(min(left, 1.0))
