"""How long a hold may last: its length as a person says it, its end as it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

LONGEST_HOLD = timedelta(days=30)
"""A job that may not run for longer is paused at its scheduler by those who own it."""

LEAD = timedelta(minutes=10)
"""So long before its start a plan holds it, as a dependency in mode hold does."""
HOLD_FOR = timedelta(hours=6)
"""After its start: what a plan held and nobody has let go by then is let go by the engine."""


def length_fault(length: timedelta) -> str:
    """Why nothing is held for so long, with what to write instead; empty when it may be."""
    if length <= timedelta(0):
        return "no time at all holds nothing; write 6h"
    if length > LONGEST_HOLD:
        return f"a hold lasts {LONGEST_HOLD.days}d at most; write 6h, or pause the job at its scheduler"
    return ""


def hold_end(parameters: Mapping[str, Any]) -> datetime | None:
    """The instant after which nothing is held any more; None where none can be read: its connector refuses that."""
    try:
        found = datetime.fromisoformat(str(parameters.get("until", "")))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def start_of_hold(parameters: Mapping[str, Any]) -> datetime | None:
    """The start that a plan's hold with these parameters keeps back; None where none can be read."""
    end = hold_end(parameters)
    return None if end is None else end - HOLD_FOR


def wait_of_hold(parameters: Mapping[str, Any], wait_s: float, now: datetime) -> float:
    """Seconds until a plan that starts now holds, of which `wait_s` was proposed: LEAD before the start at the latest,
    however long the plan was looked at."""
    start = start_of_hold(parameters)
    return wait_s if start is None else min(wait_s, max(0.0, (start - LEAD - now).total_seconds()))


def end_fault(parameters: Mapping[str, Any], now: datetime) -> str:
    """Why a hold with these parameters is not asked for now; empty when it may be."""
    until = hold_end(parameters)
    fault = "" if until is None else length_fault(until - now)
    return f"until {_words(until)}: {fault}" if until is not None and fault else ""


def is_over(parameters: Mapping[str, Any], now: datetime) -> str:
    """Why a hold that was not placed so far is placed no more; empty while its end is to come."""
    until = hold_end(parameters)
    if until is None or now < until:
        return ""
    return f"it was to end at {_words(until)} and was not placed until then: ask again, for a longer time"


def _words(until: datetime) -> str:
    return until.isoformat(sep=" ", timespec="minutes")
