"""A console that starts an engine itself: until that has written, what it will write is awaited and not denied."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from console.store.errors import StoreMissing, StoreOlder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from console.model.views import HeaderView, ServiceView

START_SECONDS = 20.0
"""How long an engine that was started from here may need until its store and its services are there."""


class Beginning:
    """What is awaited: `starts` says whether an engine is started from here, where none works; `why_ended`, why that
    one works no more, empty while it does."""

    def __init__(self, starts: bool, why_ended: Callable[[], str] | None = None) -> None:
        self._starts, self._why_ended = starts, why_ended or str
        self._until = time.monotonic() + START_SECONDS if starts else 0.0
        self._worked = self._died = False
        self.starting = False
        """True while no engine works yet, or there is no store, and one may be on its way from here."""
        self.awaits_services = False
        """True until the engine that was started has written a service, as long as it may need for that."""

    def failed(self, error: Exception, is_first: bool) -> None:
        """The store could not be read; `is_first`: it never could."""
        awaited = self.starting or isinstance(error, StoreMissing | StoreOlder)
        self.starting = is_first and self._is_early and awaited and not self._why_ended()
        self.awaits_services = self.starting

    def told(self, error: Exception) -> str:
        """Why the store cannot be read, and what becomes of it."""
        words = f"{error}" or type(error).__name__
        if ended := self._why_ended():
            return f"{ended} · {words}"
        if self._starts and isinstance(error, StoreOlder):
            return f"{error.found}: the engine that was started from here migrates it"
        return words

    def seen(self, header: HeaderView, services: Sequence[ServiceView]) -> bool:
        """The store was read. True once: the engine died under the open console, and one is to be started from here as
        at the beginning; none where somebody ended it, which gives its lease back."""
        engine, was_starting = header.engine, self.starting
        is_missing = not (engine.alive or engine.stuck or header.replay)
        died = self._starts and self._worked and not self._died and is_missing and bool(engine.holder)
        if died:
            self._died, self._until = True, time.monotonic() + START_SECONDS
        self._worked = self._worked or engine.alive
        self.starting = self._is_early and is_missing
        began = self.starting or was_starting or self.awaits_services
        self.awaits_services = began and self._is_early and not services and not engine.stuck
        return died

    @property
    def _is_early(self) -> bool:
        return time.monotonic() < self._until
