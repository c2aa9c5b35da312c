"""Where following a repository stands: a walk through its history by windows of creation, then its newest runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors import fields
from connectors.contract import RecordUnreadable

WIDEST_SECONDS = 30 * 86400


@dataclass(frozen=True, slots=True)
class Mark:
    """All runs created before `at` are known. `until` set: a walk is under way and ends there; its window is
    `seconds` wide, and of that the pages from `page` down to 1 are still to be read (0: it is not begun). Without it:
    `older` is the page of the list that is looked at again next."""

    at: datetime
    until: datetime | None = None
    seconds: int = WIDEST_SECONDS
    page: int = 0
    older: int = 2
    owed: tuple[int, ...] = ()
    """Runs whose attempts and jobs are still to be read."""

    @property
    def window_end(self) -> datetime:
        """The end of the present window, itself within it: GitHub's ranges hold both ends, in whole seconds."""
        assert self.until is not None, "only a walk has windows"
        return min(self.at + timedelta(seconds=self.seconds), self.until)

    def told(self) -> str:
        """As JSON text."""
        until = self.until.isoformat() if self.until else None
        walk = {"until": until, "seconds": self.seconds, "page": self.page} if until else {"older": self.older}
        owed = {"owed": self.owed} if self.owed else {}
        return json.dumps({"v": 1, "at": self.at.isoformat(), **walk, **owed})


def mark_of(cursor: str) -> Mark:
    """From JSON text. Raises RecordUnreadable."""
    try:
        row = fields.table(json.loads(cursor))
    except (ValueError, RecursionError):
        raise RecordUnreadable("it is no JSON") from None
    at = fields.instant(row, "at")
    if at is None:
        raise RecordUnreadable("at is missing")
    seconds = min(max(fields.number(row, "seconds", WIDEST_SECONDS), 1), WIDEST_SECONDS)
    page, older = fields.number(row, "page", 0), fields.number(row, "older", 2)
    owed = tuple(one for one in fields.rows(row.get("owed")) if isinstance(one, int) and one > 0)
    return Mark(at, fields.instant(row, "until"), seconds, min(max(page, 0), 10), max(older, 2), owed)
