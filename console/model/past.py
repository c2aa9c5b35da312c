"""What was when a job was last good: values to compare a failure with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NOTHING = "nothing that Headway sees changed"
UNKNOWN = "no good run of"
"""So begins what is told where there is no change."""


@dataclass(frozen=True, slots=True)
class Past:
    """Of one red run: its own context, and the last good run of its job before it."""

    good_at: datetime | None
    """End of the last good run; None where none is known, and then nothing below but the context is."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """Of the latest attempt, as its connector told it."""
    good_context: Mapping[str, Any] = field(default_factory=dict)
    drift: tuple[tuple[datetime, str, str], ...] = ()
    """Seen since the last good run began, newest first: when, what ("definition", "schedule", "paused"), words."""
    accepted: tuple[tuple[datetime, str, str], ...] = ()
    """Schedules accepted since then, newest first: when, by whom, the expression."""
    booted_at: datetime | None = None
    """When the host of its target started, by our clock, where its connector tells it."""
    target: str = ""
    durations: tuple[float, ...] = ()
    """Seconds of its good runs before this one, newest first."""


def told_anew(before: Sequence[str], now: Sequence[str]) -> str:
    """What is seen only now of an incident that was told before, for its timeline; empty where nothing is."""
    fresh = [one for one in now if one not in before and not one.startswith((NOTHING, UNKNOWN))]
    return f"seen since: {'; '.join(fresh)}" if before and fresh else ""
