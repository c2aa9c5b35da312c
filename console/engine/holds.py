"""Holds as the targets report them: read as soon as polling starts, then at intervals, and recorded in the store."""

from __future__ import annotations

import time
from datetime import timedelta

import structlog

from connectors.sdk.contract import Connector, NativeHold
from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import Capability
from console.engine.connector_pool import ConnectorTarget
from console.failpoints import failpoint
from console.store import holds
from console.store.db.database import Database
from console.text.cleaning import clean
from console.timing.clock import Clock

log = structlog.get_logger("headway.holds")

REFRESH_INTERVAL = timedelta(minutes=1)
"""By the store's clock. A hold that a person releases at the scheduler is noticed after this long plus one poll."""
RETRY_INTERVAL = timedelta(seconds=15)
"""After an incomplete observation."""


class HoldObserver:
    """Observes the holds of one target, on its poller's thread and connection."""

    def __init__(self, store: Database, clock: Clock, secrets: SecretStore, place: ConnectorTarget) -> None:
        self._store = store
        self._clock = clock
        self._secrets = secrets
        self._place = place
        self._look_at = 0.0
        self._missed: frozenset[str] = frozenset()
        """Holds missing from the last complete observation."""
        self._failed = ""

    def look(self, connector: Connector, fence: int, timeout_seconds: float) -> bool:
        """Records the target's holds; True if anything changed. A failure to read them is logged once, retried, and
        fails no poll. Raises StoreError."""
        if Capability.HOLD not in self._place.system.capabilities or time.monotonic() < self._look_at:
            return False
        self._next_look(REFRESH_INTERVAL)
        looked_at = self._clock.now()
        known = holds.jobs_to_verify(self._store, self._place.target_id, looked_at)
        found = self._found(connector, known, timeout_seconds)
        if found is None:
            return False
        failpoint("hold.looked")
        looked = holds.reconcile_marks(
            self._store, self._place.target_id, found, self._missed, looked_at, self._clock.now(), fence
        )
        self._missed = looked.missed
        if looked.missed:
            self._next_look(RETRY_INTERVAL)
        return looked.changed

    def _found(
        self, connector: Connector, known: tuple[str, ...], timeout_seconds: float
    ) -> tuple[NativeHold, ...] | None:
        """The holds that the target reports; None if they cannot be read."""
        try:
            found = tuple(connector.holds(timeout_seconds, known))
        except Exception as error:  # one row that cannot be read must not end the observation of holds
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
