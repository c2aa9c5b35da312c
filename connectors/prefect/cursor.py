"""Where following Prefect stands: first a walk through all runs by their expected start, then the feed of events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors import fields
from connectors.contract import RecordUnreadable

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Mark:
    """`until` set: a walk is under way; runs expected before `at`, and the first `skip` at `at` itself, are known, and
    the walk ends at `until`. Without it: all changes before `at` are known."""

    at: datetime = BEGINNING
    skip: int = 0
    until: datetime | None = None

    def told(self) -> str:
        """As JSON text."""
        until = self.until.isoformat() if self.until else None
        return json.dumps({"v": 1, "at": self.at.isoformat(), "skip": self.skip, "until": until})

    def after(self, rows: list[Any]) -> Mark:
        """After these rows of a page that began here; where their times cannot be read, by their number."""
        at, skip = self.at, self.skip
        for row in rows:
            seen = _expected(row)
            at, skip = (seen, 1) if seen is not None and seen > at else (at, skip + 1)
        return Mark(at, skip, self.until)


def mark_of(cursor: str) -> Mark:
    """From JSON text. Raises RecordUnreadable."""
    try:
        row = fields.table(json.loads(cursor))
    except (ValueError, RecursionError):
        raise RecordUnreadable("it is no JSON") from None
    at = fields.instant(row, "at")
    if at is None:
        raise RecordUnreadable("at is missing")
    return Mark(at, fields.number(row, "skip", 0), fields.instant(row, "until"))


def _expected(row: Any) -> datetime | None:
    try:
        return fields.instant(fields.table(row), "expected_start_time")
    except RecordUnreadable:
        return None
