"""How long a hold may last: its length as a person says it, its end as it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

LONGEST_HOLD = timedelta(days=30)
"""A job that may not run for longer is paused at its scheduler by those who own it."""


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
