"""Where following a cluster stands: in the middle of a list of all Jobs, or behind a resourceVersion."""

from __future__ import annotations

import json
from dataclasses import dataclass

from connectors import fields
from connectors.contract import RecordUnreadable


@dataclass(frozen=True, slots=True)
class Mark:
    """`version`: the resourceVersion after which changes are asked for; "" before the first list. `at`: seconds of
    1970 by the server's clock, when it was read. While a list is read: `listing`, `following` names its next page,
    `last` the last Job that was told, and `at` is still the time of what was known before it (0: nothing was)."""

    version: str = ""
    at: int = 0
    listing: bool = True
    following: str = ""
    last: str = ""
    moved: int = 0
    """When `version` last changed, as `at`."""
    ahead: str = ""
    """A later resourceVersion that was current at `ahead_at`: what is asked for from `version` later than that tells
    all that came before it."""
    ahead_at: int = 0

    def told(self) -> str:
        """As JSON text."""
        more = {"list": True, "next": self.following, "last": self.last} if self.listing else {}
        ahead = {"ahead": self.ahead, "ahead_at": self.ahead_at} if self.ahead else {}
        return json.dumps({"v": 1, "rv": self.version, "at": self.at, "moved": self.moved, **ahead, **more})


def mark_of(cursor: str) -> Mark:
    """From JSON text. Raises RecordUnreadable."""
    try:
        row = fields.table(json.loads(cursor))
    except (ValueError, RecursionError):
        raise RecordUnreadable("it is no JSON") from None
    listing = row.get("list") is True
    version = fields.words(row, "rv")
    if not listing and not version:
        raise RecordUnreadable("rv is missing")
    at = max(fields.number(row, "at", 0), 0)
    moved, ahead_at = fields.number(row, "moved", 0), fields.number(row, "ahead_at", 0)
    following, last, ahead = (fields.words(row, name) for name in ("next", "last", "ahead"))
    return Mark(version, at, listing, following, last, moved, ahead, ahead_at)
