"""Why a job does not run, or so late: reason after reason, down to what can be acted on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Reason:
    """One link of the chain."""

    job: str
    """Whom it is about: "system/native-id", cleaned."""
    kind: str
    """"unreachable", "gone", "pause", "hold", "approval", "freeze", "maintenance", "calendar", "clock", "upstream",
    "slot", "waits", "running", "failed", "missed", "unproved", "stale", "event", "done"."""
    words: str
    depth: int = 0
    """How many upstreams away from the job that was asked."""
    since: datetime | None = None
    until: datetime | None = None
    """When it ends by itself, as far as is known."""
    by: str = ""
    """Who did it; empty where nobody is known."""
    evidence: str = ""
    """Where it is known from: the poll, the source's own word, the hold's key."""
    act: str = ""
    """What a person can do about it; empty where only time helps."""
