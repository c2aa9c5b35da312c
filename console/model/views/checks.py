"""Checks as commands read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from console.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class LookView:
    """Looks in a row that came to the same; the last of them stands in it."""

    bd: str
    state: str
    """"passed", "failed", "error", "learning"."""
    words: str
    since: datetime
    at: datetime
    looks: int
    measured: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CheckView:
    """One check of config, with what it came to last."""

    name: str
    kind: str
    about: str
    severity: str
    every_seconds: float
    timeout_seconds: float
    zone: str
    waits: tuple[str, ...]
    """Services, and downstreams, that wait for it: "supply-plan", "dwh/load"."""
    awaited: bool
    """Somebody waits for it now."""
    last: LookView | None
    """None: never looked at."""
    next_at: datetime | None
    """When it is looked at again; None: as soon as somebody waits for it."""
