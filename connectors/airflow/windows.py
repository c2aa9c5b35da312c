"""Windows of time in a list that can be filtered by change, and not ordered. Pure.

A window that holds more rows than a page is halved until it does not; a moment that still does is paged by number.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connectors import fields
from connectors.contract import RecordUnreadable

SMALLEST = timedelta(milliseconds=2)
MOMENT = timedelta(microseconds=1)
"""The finest that Airflow keeps: two windows share no row."""
WIDER = 2
"""How much wider the window after one that fitted may be."""
PAGE = 100


@dataclass(frozen=True, slots=True)
class Window:
    """Changes from `since` to `until` (both counted in; None: open), from the row of number `offset` on."""

    since: datetime
    until: datetime | None = None
    offset: int = 0

    @classmethod
    def of(cls, page: str, since: datetime) -> Window:
        """From the text of a page; a page that is none of ours is the first one."""
        try:
            row = fields.table(json.loads(page)) if page else {}
            begins = fields.instant(row, "since") or since
            return cls(begins, fields.instant(row, "until"), fields.number(row, "offset", 0))
        except (ValueError, RecursionError, RecordUnreadable):
            return cls(since)

    @property
    def filters(self) -> dict[str, str | int]:
        until = {"updated_at_lte": _told(self.until)} if self.until else {}
        return {"updated_at_gte": _told(self.since), **until, **({"offset": self.offset} if self.offset else {})}

    @property
    def is_smallest(self) -> bool:
        return self.offset > 0 or (self.until is not None and self.until - self.since <= SMALLEST)

    def narrowed(self, total: int, now: datetime) -> Window:
        """The part of it that a page may hold, were its `total` rows spread evenly; at most its first half."""
        width = (self.until or max(now, self.since + SMALLEST)) - self.since
        part = min(0.5, PAGE / 2 / max(1, total))
        return replace(self, until=self.since + max(SMALLEST, width * part))

    def after(self, rows: int, total: int, now: datetime) -> str | None:
        """The page that follows this one of `rows` rows; None at the end."""
        if self.until is None:
            return None
        if rows and self.offset + rows < total:
            return _page(replace(self, offset=self.offset + rows))
        width = (self.until - self.since) * (WIDER if rows < PAGE // 2 else 1)
        begins = self.until + MOMENT
        ends = begins + max(width, SMALLEST)
        return _page(Window(begins, None if ends >= now else ends))


def _page(window: Window) -> str:
    until = {"until": window.until.isoformat()} if window.until else {}
    return json.dumps(
        {"since": window.since.isoformat(), **until, **({"offset": window.offset} if window.offset else {})}
    )


def _told(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
