"""The connectors of an estate: one instance per target and purpose, opened on first use, dropped on any error.

A connector is not thread safe. Polling has its own instance; actions and requests share another one behind a lock per
target, so that at most one action is in flight at a target and a slow request never delays a poll.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from connectors.sdk.contract import Connector
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.secrets import SecretStore
from console.config.sections import Config, SystemConfig
from console.store.db.database import Database
from console.store.ingest import targets

log = structlog.get_logger("headway.engine")

REQUESTS_PER_TARGET = 16
"""Most requests that wait for one target; a plan previews eight of its steps at once."""


@dataclass(frozen=True, slots=True)
class ConnectorTarget:
    """A target with its system."""

    target_id: int
    system: SystemConfig
    target: str

    @property
    def name(self) -> str:
        return f"{self.system.name}/{self.target}"

    @property
    def is_local(self) -> bool:
        """True if only the machine of the engine with the lease has it: its reports wait there, or it is that host."""
        from connectors.sdk.transport.hosts import HostOptions  # noqa: PLC0415 - slow to import

        options = self.system.options
        is_this_host = isinstance(options, HostOptions) and options.host(self.target).local
        return is_this_host or self.system.kind.listen is not None


def configured_places(store: Database, config: Config) -> dict[int, ConnectorTarget]:
    """The targets that are both in the store and in this config, by id."""
    return {
        target_id: ConnectorTarget(target_id, config.systems[system], target)
        for target_id, system, target in targets.configured_targets(store)
        if system in config.systems
    }


class ConnectorPool:
    """Opens connectors. The engine reaches schedulers only through it."""

    def __init__(self, places: Mapping[int, ConnectorTarget], secrets: SecretStore) -> None:
        self.places = places
        self._secrets = secrets
        self._shared: dict[int, Connector] = {}
        """Connectors for actions and requests."""
        self._locks = {target_id: threading.Lock() for target_id in places}
        self._requests: Counter[int] = Counter()
        self._counting = threading.Lock()

    def open(self, place: ConnectorTarget) -> Connector:
        """A new connector; the caller closes it. Raises ConnectorError."""
        return place.system.kind.open(place.system.options, place.target, self._secrets)

    @contextmanager
    def exclusive(self, target_id: int, seconds: float = math.inf) -> Iterator[Connector]:
        """The target's connector for actions and requests, held exclusively; waits at most this long. Raises
        ConnectorError, KeyError."""
        place, lock = self.places[target_id], self._locks[target_id]
        if not lock.acquire(timeout=-1 if seconds == math.inf else seconds):
            raise SystemUnreachable(f"{place.name}: an earlier request is still in progress. Fix: try again later")
        try:
            connector = self._shared.get(target_id)
            if connector is None:
                connector = self._shared[target_id] = self.open(place)
            try:
                yield connector
            except BaseException:
                self._drop(target_id)
                raise
        finally:
            lock.release()

    @contextmanager
    def for_request(self, target_id: int, seconds: float) -> Iterator[Connector]:
        """As `exclusive`, for a request that a person waits for; fails if too many wait already. Raises ConnectorError,
        KeyError."""
        with self._counting:
            if self._requests[target_id] >= REQUESTS_PER_TARGET:
                name = self.places[target_id].name
                raise SystemUnreachable(
                    f"{name}: {REQUESTS_PER_TARGET} requests wait for it already. Fix: try again later"
                )
            self._requests[target_id] += 1
        try:
            with self.exclusive(target_id, seconds) as connector:
                yield connector
        finally:
            with self._counting:
                self._requests[target_id] -= 1

    def close(self, until: float = math.inf) -> None:
        """Closes idle connectors; one that hangs is abandoned once `time.monotonic` reaches `until`."""
        for target_id in list(self._shared):
            seconds = until - time.monotonic()
            if self._locks[target_id].acquire(timeout=-1 if seconds == math.inf else max(0.0, seconds)):
                try:
                    self._drop(target_id)
                finally:
                    self._locks[target_id].release()

    def _drop(self, target_id: int) -> None:
        connector = self._shared.pop(target_id, None)
        if connector is not None:
            close_quietly(connector)


def close_quietly(connector: Connector) -> None:
    """Closes the connector. An error is only logged: the connection may be broken already."""
    try:
        connector.close()
    except Exception as error:  # noqa: BLE001 - any error of a library about a connection that is no longer needed
        log.debug("a connection did not close", error=type(error).__name__)
