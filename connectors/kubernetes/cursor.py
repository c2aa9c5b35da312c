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

    def told(self) -> str:
        """As JSON text."""
        more = {"list": True, "next": self.following, "last": self.last} if self.listing else {}
        return json.dumps({"v": 1, "rv": self.version, "at": self.at, **more})


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
    return Mark(version, at, listing, fields.words(row, "next"), fields.words(row, "last"))
