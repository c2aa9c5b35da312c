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
from console.text.redact import sanitize

log = structlog.get_logger("headway.inbound")

REFRESH_SECONDS = 60.0
"""Interval of reading settings and secrets again."""
RETRY_SECONDS = 5.0
"""Retry interval if another program uses the address."""


@dataclass(slots=True)
class _OpenListener:
    """An open listener with its address."""

    key: tuple[str, str, str]
    target: ConnectorTarget
    endpoint: Listener | None = None
    trouble: str = ""


class InboundListeners:
    """The open listeners of this process."""

    def __init__(self, secrets: SecretStore) -> None:
        self._secrets = secrets
        self._open: dict[tuple[str, str, str], _OpenListener] = {}
        self._wake_poller: Callable[[int], None] = lambda _: None
        self._logged: dict[tuple[str, str, str], str] = {}
        self.wake = threading.Event()
        self.pulse = Pulse()

    def sync_listeners(self, targets: Mapping[int, ConnectorTarget], on_report: Callable[[int], None]) -> None:
        """Opens missing listeners and closes those that no target needs. `on_report`: called with the target that has
        news."""
        self._wake_poller = on_report
        listening = {_key(target): target for target in targets.values() if target.system.kind.listen is not None}
        for key in [key for key in self._open if key not in listening]:
            self._close(self._open.pop(key))
        for key, target in listening.items():
            listener = self._open.setdefault(key, _OpenListener(key, target))
            listener.target = target
            self._listen(listener)

    @property
    def is_needed(self) -> bool:
        return bool(self._open)

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Serves requests and refreshes settings and secrets until `stopping`; the listeners stay open."""
        while not stopping():
            self.wake.clear()
            for listener in self._listeners():
                self._refresh(listener)
            closed = any(listener.endpoint is None for listener in self._listeners())
            pause = RETRY_SECONDS if closed else REFRESH_SECONDS
            self.pulse.beat(pause)
            self.wake.wait(pause)

    def trouble(self) -> str:
        """Listeners that have a problem, as text."""
        troubles = [
            (listener.target.name, listener.endpoint.trouble if listener.endpoint else listener.trouble)
            for listener in self._listeners()
        ]
        return "; ".join(f"inbound endpoint of {name}: {text}" for name, text in troubles if text)

    def close(self) -> None:
        """Closes all listeners; acknowledged reports stay stored."""
        while self._open:
            self._close(self._open.popitem()[1])

    def _listeners(self) -> list[_OpenListener]:
        return list(self._open.values())

    def _listen(self, listener: _OpenListener) -> None:
        if listener.endpoint is not None or listener.target.system.kind.listen is None:
            return
        try:
            listener.endpoint = listener.target.system.kind.listen(
                listener.target.system.options,
                listener.target.target,
                lambda: self._wake_poller(listener.target.target_id),
            )
            listener.trouble = ""
        except Exception as error:  # noqa: BLE001 - a listener that fails to open must not end the others
            listener.trouble = f"{type(error).__name__}: {error}"
        self._log_once(listener, listener.trouble)

    def _refresh(self, listener: _OpenListener) -> None:
        self._listen(listener)
        if listener.endpoint is not None:
            self._log_once(listener, listener.endpoint.refresh(listener.target.system.options, self._secrets))

    def _log_once(self, listener: _OpenListener, text: str) -> None:
        """Logs a problem once while it stays the same."""
        text = sanitize(text, self._secrets.mask)
        if text != self._logged.get(listener.key, ""):
            self._logged[listener.key] = text
            log.warning("inbound endpoint has a problem", target=listener.target.name, error=text or "resolved")

    def _close(self, listener: _OpenListener) -> None:
        if listener.endpoint is not None:
            listener.endpoint.close()


def _key(target: ConnectorTarget) -> tuple[str, str, str]:
    """Identity of a listener: its address. Jobs and tokens may change without reopening it."""
    at = getattr(target.system.options, "listen", "")
    return target.system.name, target.target, f"{at} {getattr(target.system.options, 'spool', '')}"
