"""A console that starts an engine itself: until that has written, what it will write is awaited and not denied."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from console.store.errors import StoreMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from console.model.views import HeaderView, ServiceView

START_SECONDS = 20.0
"""How long an engine that was started from here may need until its store and its services are there."""


class Beginning:
    """What is awaited: `starts` says whether an engine is started from here, where none works."""

    def __init__(self, starts: bool) -> None:
        self._until = time.monotonic() + START_SECONDS if starts else 0.0
        self.starting = False
        """True while no engine works yet, or there is no store, and one may be on its way from here."""
        self.awaits_services = False
        """True until the engine that was started has written a service, as long as it may need for that."""

    def failed(self, error: Exception, is_first: bool) -> None:
        """The store could not be read; `is_first`: it never could."""
        self.starting = is_first and self._is_early and (self.starting or isinstance(error, StoreMissing))
        self.awaits_services = self.starting

    def seen(self, header: HeaderView, services: Sequence[ServiceView]) -> None:
        """The store was read."""
        engine, was_starting = header.engine, self.starting
        self.starting = self._is_early and not (engine.alive or engine.stuck or header.replay)
        began = self.starting or was_starting or self.awaits_services
        self.awaits_services = began and self._is_early and not services and not engine.stuck

    @property
    def _is_early(self) -> bool:
        return time.monotonic() < self._until
