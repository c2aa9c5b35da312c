"""What is really held at a target, beside what the store holds: looked at as soon as an engine polls, then again."""

from __future__ import annotations

import time
from datetime import timedelta

import structlog

from connectors.contract import Capability, Connector, ConnectorError, NativeHold
from connectors.secrets import SecretStore
from console.clean import clean
from console.clock import Clock
from console.engine.doors import Place
from console.failpoints import failpoint
from console.store import marks
from console.store.open import Store

log = structlog.get_logger("headway.holds")

LOOK_EVERY = timedelta(minutes=1)
"""Of the store's clock. What a person undoes at the source is known after it, and one look more."""
LOOK_AGAIN = timedelta(seconds=15)
"""Where a look missed something."""


class HoldLooker:
    """One target's marks, on its poller's thread and connection."""

    def __init__(self, store: Store, clock: Clock, secrets: SecretStore, place: Place) -> None:
        self._store = store
        self._clock = clock
        self._secrets = secrets
        self._place = place
        self._look_at = 0.0
        self._missed: frozenset[str] = frozenset()
        """Holds that the last complete look did not find held."""
        self._failed = ""

    def look(self, connector: Connector, fence: int, timeout_seconds: float) -> bool:
        """True when something differed and was written. A source that does not tell its marks, whatever it meets,
        fails no poll: it is said once, and asked again. Raises StoreError."""
        if Capability.HOLD not in self._place.system.capabilities or time.monotonic() < self._look_at:
            return False
        self._next_look(LOOK_EVERY)
        looked_at = self._clock.now()
        known = marks.known_jobs(self._store, self._place.target_id, looked_at)
        found = self._found(connector, known, timeout_seconds)
        if found is None:
            return False
        failpoint("hold.looked")
        looked = marks.reconcile(
            self._store, self._place.target_id, found, self._missed, looked_at, self._clock.now(), fence
        )
        self._missed = looked.missed
        if looked.missed:
            self._next_look(LOOK_AGAIN)
        return looked.changed

    def _found(
        self, connector: Connector, known: tuple[str, ...], timeout_seconds: float
    ) -> tuple[NativeHold, ...] | None:
        """None where it could not be read."""
        try:
            found = tuple(connector.holds(timeout_seconds, known))
        except Exception as error:  # the poll went well; a row of a new kind must not end the holds
            told = isinstance(error, ConnectorError)
            words = clean(self._secrets.mask(str(error) if told else f"{type(error).__name__}: {error}"))
            if words != self._failed:
                log.warning("its holds cannot be read", target=self._place.name, error=words, exc_info=not told)
            self._failed = words
            return None
        self._failed = ""
        return found

    def _next_look(self, pause: timedelta) -> None:
        self._look_at = time.monotonic() + pause.total_seconds() / max(self._clock.rate, 0.01)
