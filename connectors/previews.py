"""What previews of all kinds share: how a refusal looks, and instants of an ask."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors.contract import Preview


def refused(verb: str, why: str) -> Preview:
    """A preview of what cannot be done now."""
    return Preview(verb, f"cannot {verb} now", "nothing", refused=why)


def instant(key: Any) -> datetime | None:
    """An aware instant from outside, in UTC, or None for anything else."""
    try:
        at = datetime.fromisoformat(key)
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (TypeError, ValueError, OverflowError):
        return None
