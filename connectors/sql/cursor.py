"""How far the rows were read, and what may have come or changed below that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

MOST_KEPT = 1000
"""Ids and numbers in a cursor; the engine hands open runs back as well."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """`after`: the furthest value of the cursor's column. `again`: ids of runs that were open. `missing`: numbers below
    `after` that were not there, and since when they are missed. `at`: of times, where a walk over bites goes on."""

    after: str = ""
    again: tuple[str, ...] = ()
    missing: Mapping[int, float | None] = field(default_factory=dict)
    at: str = ""

    def text(self) -> str:
        """As JSON; the newest are kept where there are too many."""
        missing = dict(sorted(self.missing.items())[-MOST_KEPT:])
        kept = list(dict.fromkeys(self.again))[-MOST_KEPT:]
        told = {"after": self.after, "again": kept, "missing": missing, "at": self.at}
        return json.dumps(told, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """The cursor in `text`; the beginning for "", None for what is none of ours."""
        if not text:
            return cls()
        try:
            found = json.loads(text)
            after, again, at = found["after"], found["again"], found.get("at", "")
            missing: dict[int, float | None] = {int(one): float(at) for one, at in found.get("missing", {}).items()}
            fits = isinstance(after, str) and isinstance(at, str) and all(isinstance(one, str) for one in again)
            return cls(after, tuple(again), missing, at) if fits else None
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None


def number_of(text: str) -> int:
    """A whole number as the column has it; -1 for what is none."""
    return int(text) if text.lstrip("-").isdigit() and text.isascii() else -1


def earlier(text: str, seconds: float) -> str:
    """A time so many seconds before; as it is where it is none."""
    at = time_of(text)
    return text if at is None else (at - timedelta(seconds=seconds)).isoformat()


def later_of(one: str, other: str, most: datetime) -> str:
    """The later of two times, but none behind `most`: a row may stand in the future."""
    times = {at: text for text in (one, other) if (at := time_of(text)) is not None}
    if not times:
        return other or one
    return times[max(times)] if max(times) <= most else most.isoformat()


def time_of(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
