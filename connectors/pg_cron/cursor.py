"""How far we have read: the newest runid, and the runs below it that may still change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_AGAIN = 1000


@dataclass(frozen=True, slots=True)
class Cursor:
    """`after`: every row up to this runid was read. `again`: runids to read once more, with a stand-in start
    (seconds since 1970) for rows that have none. `is_live`: history was read to its end."""

    after: int = 0
    again: Mapping[int, float | None] = field(default_factory=dict)
    is_live: bool = False

    def text(self) -> str:
        """As JSON. The newest of `again` are kept when there are too many; the engine hands open runs back as well."""
        kept = dict(sorted(self.again.items())[-MOST_AGAIN:])
        return json.dumps({"after": self.after, "again": kept, "live": self.is_live}, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """The cursor in `text`; the beginning for "", None for what is none of ours."""
        if not text:
            return cls()
        try:
            found = json.loads(text)
            again = {int(runid): None if at is None else float(at) for runid, at in found["again"].items()}
            return cls(int(found["after"]), again, bool(found["live"]))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None
