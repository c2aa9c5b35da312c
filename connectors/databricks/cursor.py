"""Where following a workspace stands: a walk through its history by windows of start, then its newest runs."""

from __future__ import annotations

import json
from dataclasses import dataclass

from connectors import fields
from connectors.contract import RecordUnreadable

WIDEST = 7 * 86400 * 1000
NARROWEST = 1000


@dataclass(frozen=True, slots=True)
class Mark:
    """In milliseconds since 1970. All runs that started before `at` are known. `until` above 0: a walk is under way,
    ends there, and its next window is `width` wide. Else `older` is where the next look among older runs begins; 0:
    at the newest."""

    at: int
    until: int = 0
    width: int = WIDEST
    older: int = 0

    def told(self) -> str:
        """As JSON text."""
        more = {"until": self.until, "width": self.width} if self.until else {"older": self.older}
        return json.dumps({"v": 1, "at": self.at, **more})


def mark_of(cursor: str) -> Mark:
    """From JSON text. Raises RecordUnreadable."""
    try:
        row = fields.table(json.loads(cursor))
    except (ValueError, RecursionError):
        raise RecordUnreadable("it is no JSON") from None
    at = fields.number(row, "at", -1)
    if at < 0:
        raise RecordUnreadable("at is missing")
    width = min(max(fields.number(row, "width", WIDEST), NARROWEST), WIDEST)
    return Mark(at, max(fields.number(row, "until", 0), 0), width, max(fields.number(row, "older", 0), 0))
