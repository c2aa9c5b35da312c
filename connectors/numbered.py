"""Reading a log whose rows have rising numbers: how far we have read, and which rows below may still come. Pure.

Writers take a number first and their row is seen moments later, in no order: a number that is missing among fresh rows
is asked for again, for a while.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

MOST_AGAIN = 1000
MAY_COME_SECONDS = 60.0
"""A number whose row is not there by then was taken and never used, or was rolled back."""
MOST_MISSING = 200
"""Numbers before one row that are asked for again, the newest."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """`after`: every row up to this number was asked for. `again`: numbers to ask for once more; for one that was
    missing and may still come, when that was found. `last`: what a kind keeps of each job besides, both in seconds
    since 1970."""

    after: int = 0
    again: Mapping[int, float | None] = field(default_factory=dict)
    last: Mapping[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """As JSON. The newest of `again` are kept when there are too many; the engine hands open runs back as well."""
        kept = dict(sorted(self.again.items())[-MOST_AGAIN:])
        whole = {"after": self.after, "again": kept} | ({"last": dict(self.last)} if self.last else {})
        return json.dumps(whole, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """The cursor in `text`; the beginning for "", None for what is none of ours."""
        if not text:
            return cls()
        try:
            found = json.loads(text)
            again = {int(number): None if at is None else float(at) for number, at in found["again"].items()}
            last = {str(name): float(at) for name, at in found.get("last", {}).items()}
            return cls(int(found["after"]), again, last)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None

    def rows_are_gone(self, newest: int | None) -> bool:
        """Whether the log ends before what was read: rows were deleted, and its numbers may begin anew. An empty log
        tells nothing: its next row does."""
        return newest is not None and newest < self.after

    def still_missing(
        self,
        read: Iterable[tuple[int, datetime | None]],
        there: Collection[int],
        now: datetime,
        may_come_seconds: float = MAY_COME_SECONDS,
    ) -> dict[int, float | None]:
        """Numbers below what was read that are not there and may still come: those asked for again, and fresh holes.
        `read`: number and start of each new row, in order; `there`: the numbers that were asked for again and found."""
        seconds, before = now.timestamp(), self.after
        still: dict[int, float | None] = {
            number: since
            for number, since in self.again.items()
            if since is not None and number not in there and seconds - since < may_come_seconds
        }
        for number, started in read:
            if started is None or seconds - started.timestamp() < may_come_seconds:
                still |= dict.fromkeys(range(max(before + 1, number - MOST_MISSING), number), seconds)
            before = number
        return still
