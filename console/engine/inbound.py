"""The doors of targets that report by themselves: open for as long as this process lives, whoever works on the store.

What comes in is durable before it is answered, apart from the store, and is told by the target's poll. So a door stays
open while the parts begin anew with another config, and while another engine holds the lease.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from connectors.contract import Listener
from connectors.secrets import SecretStore
from console.engine.doors import Place
from console.engine.health import Pulse

log = structlog.get_logger("headway.inbound")

REFRESH_SECONDS = 60.0
"""How often settings and secrets are read anew."""
AGAIN_SECONDS = 5.0
"""How soon an address that another program had is tried again."""


@dataclass(slots=True)
class _Open:
    """A door: where it is, and what listens there."""

    key: tuple[str, str, str]
    place: Place
    listener: Listener | None = None
    trouble: str = ""


class Inbound:
    """All open doors of this process."""

    def __init__(self, secrets: SecretStore) -> None:
        self._secrets = secrets
        self._open: dict[tuple[str, str, str], _Open] = {}
        self._wake_poller: Callable[[int], None] = lambda _: None
        self._said: dict[tuple[str, str, str], str] = {}
        self.wake = threading.Event()
        self.pulse = Pulse()

    def keep(self, places: Mapping[int, Place], arrived: Callable[[int], None]) -> None:
        """Opens what these places need and is not open, and closes what no place needs any more. `arrived`: told the
        target that has news."""
        self._wake_poller = arrived
        wanted = {_key(place): place for place in places.values() if place.system.kind.listen is not None}
        for key in [key for key in self._open if key not in wanted]:
            self._close(self._open.pop(key))
        for key, place in wanted.items():
            door = self._open.setdefault(key, _Open(key, place))
            door.place = place
            self._listen(door)

    @property
    def is_needed(self) -> bool:
        return bool(self._open)

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Lets in who calls, and reads settings and secrets anew, until the parts end; the doors stay open."""
        while not stopping():
            self.wake.clear()
            for door in self._doors():
                self._refresh(door)
            closed = any(door.listener is None for door in self._doors())
            pause = AGAIN_SECONDS if closed else REFRESH_SECONDS
            self.pulse.beat(pause)
            self.wake.wait(pause)

    def trouble(self) -> str:
        """Which door is not what it should be, in words."""
        told = [(door.place.name, door.listener.trouble if door.listener else door.trouble) for door in self._doors()]
        return "; ".join(f"the door of {name}: {words}" for name, words in told if words)

    def close(self) -> None:
        """All doors; what was answered stays to be read."""
        while self._open:
            self._close(self._open.popitem()[1])

    def _doors(self) -> list[_Open]:
        return list(self._open.values())

    def _listen(self, door: _Open) -> None:
        if door.listener is not None or door.place.system.kind.listen is None:
            return
        try:
            door.listener = door.place.system.kind.listen(
                door.place.system.options, door.place.target, lambda: self._wake_poller(door.place.target_id)
            )
            door.trouble = ""
        except Exception as error:  # noqa: BLE001 - a door that does not open must not end the watch
            door.trouble = f"{type(error).__name__}: {error}"
        self._say(door, door.trouble)

    def _refresh(self, door: _Open) -> None:
        self._listen(door)
        if door.listener is not None:
            self._say(door, door.listener.refresh(door.place.system.options, self._secrets))

    def _say(self, door: _Open, words: str) -> None:
        """Once for as long as it stays the same."""
        words = self._secrets.mask(words)
        if words != self._said.get(door.key, ""):
            self._said[door.key] = words
            log.warning("a door is not as it should be", target=door.place.name, error=words or "it is well again")

    def _close(self, door: _Open) -> None:
        if door.listener is not None:
            door.listener.close()


def _key(place: Place) -> tuple[str, str, str]:
    """Another address is another door; jobs and tokens may change behind it."""
    at = getattr(place.system.options, "listen", "")
    return place.system.name, place.target, f"{at} {getattr(place.system.options, 'spool', '')}"
