"""The connectors of one estate: one instance a target and purpose, opened when used, thrown away on any doubt.

A connector is not thread safe, so polling has its own instance and everything that people ask for has another, behind
a lock a target: at most one action is in flight at a target, and a busy poll never delays a person.
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

from connectors.contract import Connector, SystemUnreachable
from connectors.secrets import SecretStore
from console.config import SystemConfig

log = structlog.get_logger("headway.engine")

QUESTIONS = 16
"""Most of what people ask that waits for one target; a plan previews eight of its steps at once."""


@dataclass(frozen=True, slots=True)
class Place:
    """A target and the system that it belongs to."""

    target_id: int
    system: SystemConfig
    target: str

    @property
    def name(self) -> str:
        return f"{self.system.name}/{self.target}"


class Doors:
    """Opens connectors; the engine's only way to a scheduler."""

    def __init__(self, places: Mapping[int, Place], secrets: SecretStore) -> None:
        self.places = places
        self._secrets = secrets
        self._asked: dict[int, Connector] = {}
        self._locks = {target_id: threading.Lock() for target_id in places}
        self._questions: Counter[int] = Counter()
        self._counting = threading.Lock()

    def open(self, place: Place) -> Connector:
        """A connector of its own, for whoever keeps and closes it. Raises ConnectorError."""
        return place.system.kind.open(place.system.options, place.target, self._secrets)

    @contextmanager
    def asked(self, target_id: int, seconds: float = math.inf) -> Iterator[Connector]:
        """The connector for what people ask of this target, held alone; waited for no longer than that. Raises
        ConnectorError, KeyError."""
        place, lock = self.places[target_id], self._locks[target_id]
        if not lock.acquire(timeout=-1 if seconds == math.inf else seconds):
            raise SystemUnreachable(f"{place.name}: what was asked before has no answer yet; ask again later")
        try:
            connector = self._asked.get(target_id)
            if connector is None:
                connector = self._asked[target_id] = self.open(place)
            try:
                yield connector
            except BaseException:
                self._drop(target_id)
                raise
        finally:
            lock.release()

    @contextmanager
    def question(self, target_id: int, seconds: float) -> Iterator[Connector]:
        """As `asked`, for what a person waits for, and not behind too many others. Raises ConnectorError, KeyError."""
        with self.one_of_few(target_id), self.asked(target_id, seconds) as connector:
            yield connector

    @contextmanager
    def one_of_few(self, target_id: int) -> Iterator[None]:
        """One of the questions that a target may keep waiting. Raises SystemUnreachable where it has its share."""
        with self._counting:
            if self._questions[target_id] >= QUESTIONS:
                name = self.places[target_id].name
                raise SystemUnreachable(f"{name}: {QUESTIONS} questions wait for it already; ask again later")
            self._questions[target_id] += 1
        try:
            yield
        finally:
            with self._counting:
                self._questions[target_id] -= 1

    def close(self, until: float = math.inf) -> None:
        """Closes what nobody uses; a connector that hangs is left behind when `time.monotonic` is `until`."""
        for target_id in list(self._asked):
            left = until - time.monotonic()
            if self._locks[target_id].acquire(timeout=-1 if left == math.inf else max(0.0, left)):
                try:
                    self._drop(target_id)
                finally:
                    self._locks[target_id].release()

    def _drop(self, target_id: int) -> None:
        connector = self._asked.pop(target_id, None)
        if connector is not None:
            close_quietly(connector)


def close_quietly(connector: Connector) -> None:
    """Closes; a connection that is broken already is no news, and must not keep its owner from making another."""
    try:
        connector.close()
    except Exception as error:  # noqa: BLE001 - whatever a library says of a connection that nobody needs any more
        log.debug("a connection did not close", error=type(error).__name__)
