"""Alerts of other monitors about the hosts and databases of targets: evidence beside the incidents of their jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ExternalAlert:
    """An alert about one target, as it was last received."""

    target_id: int
    fingerprint: str
    """Of its labels, given by its sender."""
    name: str
    severity: str
    """Empty if it has none."""
    summary: str
    started: datetime
    ended: datetime | None
    """None while it fires."""


@dataclass(frozen=True, slots=True)
class ExternalAlertView:
    """An alert as shown."""

    target: str
    """As "etl-hosts/db07"."""
    name: str
    severity: str
    summary: str
    started: datetime
    ended: datetime | None
    received: datetime
    """When its sender reported it last."""

    @property
    def text(self) -> str:
        """ "etl-hosts/db07: DiskFull (critical): / has 1 % left"."""
        severity = f" ({self.severity})" if self.severity else ""
        return f"{self.target}: {self.name}{severity}" + (f": {self.summary}" if self.summary else "")

    def status(self, time_text: Callable[[datetime], str]) -> str:
        """ "until 04:10"; "firing, last reported 03:40": its sender may be silent since."""
        if self.ended is not None:
            return f"until {time_text(self.ended)}"
        return f"firing, last reported {time_text(self.received)}"
