"""Health of the engine: overdue workers, hanging calls, undelivered alerts, in texts that stay stable while a
problem lasts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from console.engine.worker import Pulse
from console.store.alert_routing import FailedDeliveries
from console.store.errors import StoreError
from console.text.cleaning import clean_line

SENDING_SECONDS = 120.0
"""A send that takes longer hangs: mail servers and webhooks have 15 s in apprise, actions 60 s."""

ERROR_LENGTH = 100
"""Characters of the receiver's last error."""


class EngineHealth:
    """Problems of the engine, as text that is stable while they last."""

    def __init__(
        self,
        pulses: Callable[[], Mapping[str, Pulse]],
        hanging: Callable[[float], Mapping[str, float]],
        parked_deliveries: Callable[[], Sequence[FailedDeliveries]],
        retried_deliveries: Callable[[], Sequence[FailedDeliveries]],
        slow_calls: Callable[[float], Mapping[str, float]] = lambda _: {},
    ) -> None:
        self._pulses = pulses
        self._hanging = hanging
        """Sends of alerts that take longer than the given seconds, with their duration."""
        self._slow_calls = slow_calls
        """The same for calls to schedulers, which delay no alert."""
        self._parked_deliveries = parked_deliveries
        self._retried_deliveries = retried_deliveries
        """Deliveries that failed and are tried again."""
        self._failed_workers = ""
        self._ping_error = ""
        self._since: dict[str, str] = {}
        self._slow_calls_since: dict[str, str] = {}
        self._lock = threading.Lock()

    def set_failed_workers(self, text: str) -> None:
        """Sets which workers failed lately."""
        self._failed_workers = text

    def set_ping_error(self, error: str) -> None:
        """Sets why the last ping failed; empty if it arrived."""
        self._ping_error = error

    def unhealthy_reason(self) -> str:
        """Why the engine is unhealthy: failed, silent or hanging workers; empty if healthy. Stops the ping."""
        late = {name: pulse.late_seconds for name, pulse in self._pulses().items()}
        silent = {f"{name} does not respond": seconds for name, seconds in late.items() if seconds > 0}
        hangs = {f"{what} hangs": seconds for what, seconds in self._hanging(SENDING_SECONDS).items()}
        return "; ".join(filter(None, [self._failed_workers, *self._dated({**silent, **hangs}, self._since)]))

    def text(self) -> str:
        """Everything a person should know: why it is unhealthy, undelivered alerts, a failing ping."""
        hangs = {f"{what} hangs": seconds for what, seconds in self._slow_calls(SENDING_SECONDS).items()}
        reason = self.unhealthy_reason()
        parts = [reason and f"engine error, see its log: {reason}", *self._dated(hangs, self._slow_calls_since)]
        try:
            parts += [_alerts_text(failed, "abandoned") for failed in self._parked_deliveries()]
            parts += [_alerts_text(failed, "not delivered") for failed in self._retried_deliveries()]
        except StoreError:
            pass  # reported already
        parts.append(f"the heartbeat ping fails: {self._ping_error}" if self._ping_error else "")
        return "; ".join(filter(None, parts))

    def _dated(self, durations: Mapping[str, float], since: dict[str, str]) -> list[str]:
        """Each problem with its start, kept stable: a text that changes would be written each time."""
        with self._lock:
            now = datetime.now(UTC)
            for text in since.keys() - durations.keys():
                del since[text]
            for text, seconds in durations.items():
                since.setdefault(text, f"{now - timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}Z")
            return [f"{text} since {at}" for text, at in sorted(since.items())]


def _alerts_text(failed: FailedDeliveries, status: str) -> str:
    """ "2 alerts abandoned: oncall, connection refused (headway alert)"."""
    number = f"{failed.count} alert{'s' if failed.count > 1 else ''}"
    return f"{number} {status}: {failed.route}, {clean_line(failed.error, ERROR_LENGTH)} (headway alert)"
