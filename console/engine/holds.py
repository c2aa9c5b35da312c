"""Holds as the targets report them: read as soon as polling starts, then at intervals, and recorded in the store."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import structlog

from connectors.sdk.contract import Connector
from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import Capability
from console.engine.connector_pool import ConnectorTarget
from console.failpoints import failpoint
from console.store import holds
from console.store.db.database import Database
from console.store.db.fence import Fence
from console.text.redact import sanitize
from console.timing.clock import Clock

log = structlog.get_logger("headway.holds")

REFRESH_INTERVAL = timedelta(minutes=1)
"""By the store's clock. A hold that a person releases at the scheduler is noticed after this long plus one poll."""
RETRY_INTERVAL = timedelta(seconds=15)
"""After an incomplete observation."""


Waiting = Callable[[], AbstractContextManager[None]]


class HoldObserver:
    """Observes the holds of one target, on its poller's thread and connection."""

    def __init__(
        self, store: Database, clock: Clock, secrets: SecretStore, place: ConnectorTarget, waiting: Waiting
    ) -> None:
        """`waiting` is entered around each call to the target."""
        self._store, self._clock, self._secrets, self._place = store, clock, secrets, place
        self._waiting = waiting
        self._refresh_at = 0.0
        """time.monotonic() of the next observation."""
        self._missed: frozenset[str] = frozenset()
        """Holds missing from the last complete observation."""
        self._error = ""

    def refresh(self, connector: Connector, fence: Fence, timeout_seconds: float) -> bool:
        """Records the target's holds; True if anything changed. A failure to read them is logged once, retried, and
        fails no poll. Raises StoreError."""
        if Capability.HOLD not in self._place.system.capabilities or time.monotonic() < self._refresh_at:
            return False
        rate = max(self._clock.rate, 0.01)
        self._refresh_at = time.monotonic() + REFRESH_INTERVAL.total_seconds() / rate
        queried_at = self._clock.now()
        known = holds.jobs_to_verify(self._store, self._place.target_id, queried_at)
        try:
            with self._waiting():
                reported = tuple(connector.holds(timeout_seconds, known))
        except Exception as error:  # one row that cannot be read must not end the observation of holds
            is_expected = isinstance(error, ConnectorError)
            text = sanitize(str(error) if is_expected else f"{type(error).__name__}: {error}", self._secrets.mask)
            if text != self._error:
                log.warning("holds cannot be read", target=self._place.name, error=text, exc_info=not is_expected)
            self._error = text
            return False
        self._error = ""
        failpoint("hold.looked")
        result = holds.reconcile_marks(
            self._store, self._place.target_id, reported, self._missed, queried_at, self._clock.now(), fence
        )
        self._missed = result.missed
        if result.missed:
            self._refresh_at = time.monotonic() + RETRY_INTERVAL.total_seconds() / rate
        return result.changed
