"""Listeners for targets that report by themselves: open while this process lives, with or without the lease.

A report is durable before it is acknowledged, outside the store, and is delivered by the poll of its target. So a
listener stays open across a config reload and while another engine holds the lease.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from connectors.sdk.contract import Listener
from connectors.sdk.secrets import SecretStore
from console.engine.connector_pool import ConnectorTarget
from console.engine.worker import Pulse

log = structlog.get_logger("headway.inbound")

REFRESH_SECONDS = 60.0
"""Interval of reading settings and secrets again."""
RETRY_SECONDS = 5.0
"""Retry interval if another program uses the address."""


@dataclass(slots=True)
class _OpenListener:
    """An open listener with its address."""

    key: tuple[str, str, str]
    place: ConnectorTarget
    listener: Listener | None = None
    trouble: str = ""


class InboundListeners:
    """The open listeners of this process."""

    def __init__(self, secrets: SecretStore) -> None:
        self._secrets = secrets
        self._open: dict[tuple[str, str, str], _OpenListener] = {}
        self._wake_poller: Callable[[int], None] = lambda _: None
        self._said: dict[tuple[str, str, str], str] = {}
        self.wake = threading.Event()
        self.pulse = Pulse()

    def keep(self, places: Mapping[int, ConnectorTarget], arrived: Callable[[int], None]) -> None:
        """Opens missing listeners and closes those that no target needs. `arrived`: called with the target that has
        news."""
        self._wake_poller = arrived
        wanted = {_key(place): place for place in places.values() if place.system.kind.listen is not None}
        for key in [key for key in self._open if key not in wanted]:
            self._close(self._open.pop(key))
        for key, place in wanted.items():
            door = self._open.setdefault(key, _OpenListener(key, place))
            door.place = place
            self._listen(door)

    @property
    def is_needed(self) -> bool:
        return bool(self._open)

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Serves requests and refreshes settings and secrets until `stopping`; the listeners stay open."""
        while not stopping():
            self.wake.clear()
            for door in self._doors():
                self._refresh(door)
            closed = any(door.listener is None for door in self._doors())
            pause = RETRY_SECONDS if closed else REFRESH_SECONDS
            self.pulse.beat(pause)
            self.wake.wait(pause)

    def trouble(self) -> str:
        """Listeners that have a problem, as text."""
        told = [(door.place.name, door.listener.trouble if door.listener else door.trouble) for door in self._doors()]
        return "; ".join(f"inbound endpoint of {name}: {words}" for name, words in told if words)

    def close(self) -> None:
        """Closes all listeners; acknowledged reports stay stored."""
        while self._open:
            self._close(self._open.popitem()[1])

    def _doors(self) -> list[_OpenListener]:
        return list(self._open.values())

    def _listen(self, door: _OpenListener) -> None:
        if door.listener is not None or door.place.system.kind.listen is None:
            return
        try:
            door.listener = door.place.system.kind.listen(
                door.place.system.options, door.place.target, lambda: self._wake_poller(door.place.target_id)
            )
            door.trouble = ""
        except Exception as error:  # noqa: BLE001 - a listener that fails to open must not end the others
            door.trouble = f"{type(error).__name__}: {error}"
        self._say(door, door.trouble)

    def _refresh(self, door: _OpenListener) -> None:
        self._listen(door)
        if door.listener is not None:
            self._say(door, door.listener.refresh(door.place.system.options, self._secrets))

    def _say(self, door: _OpenListener, words: str) -> None:
        """Logs a problem once while it stays the same."""
        words = self._secrets.mask(words)
        if words != self._said.get(door.key, ""):
            self._said[door.key] = words
            log.warning("inbound endpoint has a problem", target=door.place.name, error=words or "resolved")

    def _close(self, door: _OpenListener) -> None:
        if door.listener is not None:
            door.listener.close()


def _key(place: ConnectorTarget) -> tuple[str, str, str]:
    """Identity of a listener: its address. Jobs and tokens may change without reopening it."""
    at = getattr(place.system.options, "listen", "")
    return place.system.name, place.target, f"{at} {getattr(place.system.options, 'spool', '')}"
