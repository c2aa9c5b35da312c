"""Walking through what changed: pages in the order of change, a watermark by the server's own clock.

Airflow filters by `updated_at` and does not show it. So the watermark is the Date header of the walk's FIRST page
less an overlap, and what the overlap brings twice is dropped where we know it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import fields
from connectors.airflow.client import PAGE_LIMIT, AirflowClient
from connectors.contract import AnswerUnfit, Clock, RecordUnreadable
from connectors.transport.http import Reply

OVERLAP = timedelta(seconds=30)
"""Date has whole seconds, transactions commit later than they stamp, and scheduler and web server may be two hosts."""

PAGES_PER_BITE = 10
MOST_PAGES = 20_000
"""Of one walk; a server that pages for ever is stopped here."""

OFFSET_OVERLAP = 20
"""Rows that pages share on servers without cursors (before 3.3): a row that moved to the end shifts the others."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a walk stands: all changes before `since` are known; `page` "" means that a new walk begins."""

    since: datetime
    page: str = ""
    until: datetime | None = None
    """What `since` becomes when the walk that is under way has ended."""
    pages: int = 0
    anchor: str = ""
    """What the rows of one page of this walk were, of the one whose number is the last power of two: rows that come
    again in a circle of any length meet it (Brent's way of finding one)."""

    def told(self) -> dict[str, Any]:
        """As JSON."""
        until = self.until.isoformat() if self.until else None
        return {
            "since": self.since.isoformat(),
            "page": self.page,
            "until": until,
            "pages": self.pages,
            "anchor": self.anchor,
        }

    @classmethod
    def of(cls, value: Any) -> Mark:
        """From JSON. Raises RecordUnreadable."""
        row = fields.table(value)
        since = fields.instant(row, "since")
        if since is None:
            raise RecordUnreadable("since is missing")
        until, pages = fields.instant(row, "until"), fields.number(row, "pages", 0)
        return cls(since, fields.words(row, "page"), until, pages, fields.words(row, "anchor"))


@dataclass(slots=True)
class Bite:
    """Some pages of a walk."""

    mark: Mark
    rows: list[Any] = field(default_factory=list)
    clock: Clock | None = None
    more: bool = False
    broken: str = ""
    """Why the walk was given up; the next one begins where this one began."""


def bite(client: AirflowClient, path: str, name: str, mark: Mark, keep: float) -> Bite:
    """The next pages of a walk and where it stands then; at least one, and no more once less than `keep` (0 to 1) of
    the call's time is left, so that a slow server is read in smaller bites. Raises as the client.

    What changes while it goes on is the next walk's: a run that runs is touched each second, and a hundred of them
    would come again for ever. A page that repeats, or is empty and names another, ends the walk as broken: what was
    read is kept and the mark does not advance."""
    taken = Bite(mark)
    for _ in range(PAGES_PER_BITE):
        began = taken.mark.until + OVERLAP if taken.mark.page and taken.mark.until else None
        reply = client.changed(path, taken.mark.since, taken.mark.page, began)
        if reply.status == 400:
            return _given_up(taken, f"{name}: the server no longer knows its own page cursor")
        table = reply.table()
        rows = rows_of(reply, table, name)
        taken.clock = taken.clock or reply.clock
        begun = taken.mark.until or (reply.clock.target if reply.clock else datetime.now(UTC)) - OVERLAP
        following = _next_page(table, rows, taken.mark.page)
        if following is None:
            taken.rows += rows
            taken.mark = Mark(begun)
            return taken
        pages, content = taken.mark.pages + 1, digest_of(rows)
        if following == taken.mark.page or (rows and content == taken.mark.anchor):
            return _given_up(taken, f"{name}: a page repeats")
        if pages > MOST_PAGES or (not rows and client.major > 2):  # a window of Airflow 2 may be empty
            why = f"there are more than {MOST_PAGES} pages" if rows else "a page without rows names another"
            return _given_up(taken, f"{name}: {why}")
        taken.rows += rows
        anchor = content if rows and pages & (pages - 1) == 0 else taken.mark.anchor
        taken.mark = Mark(taken.mark.since, following, begun, pages, anchor)
        if client.deadline.left < client.deadline.seconds * keep:
            break
    taken.more = True
    return taken


def digest_of(rows: list[Any]) -> str:
    """What tells whether two pages have the same rows."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _given_up(taken: Bite, why: str) -> Bite:
    taken.mark, taken.broken, taken.more = Mark(taken.mark.since), why, False
    return taken


def _next_page(table: fields.Row, rows: list[Any], page: str) -> str | None:
    """The cursor of the next page; for servers without cursors, "offset:N"; None at the end."""
    if "next_cursor" in table:
        return fields.words(table, "next_cursor") or None
    digits = page.removeprefix("offset:")
    following = _next_offset(table, rows, int(digits) if digits.isdigit() else 0)
    return None if following is None else f"offset:{following}"


def page_at(reply: Reply, name: str, offset: int, shared: int = OFFSET_OVERLAP) -> tuple[list[Any], int | None]:
    """The rows of a page that begins there, and where the next one does, which has the last `shared` again; None at
    the end. Raises AnswerUnfit where there is no such list."""
    table = reply.table()
    rows = rows_of(reply, table, name)
    return rows, _next_offset(table, rows, offset, shared)


def rows_of(reply: Reply, table: fields.Row, name: str) -> list[Any]:
    """A list that must be there: one that is missing is none that is empty. Raises AnswerUnfit."""
    rows = table.get(name)
    if not isinstance(rows, list):
        raise AnswerUnfit(f"{reply.place} has no list {name!r}; is this Airflow?")
    return rows


def _next_offset(table: fields.Row, rows: list[Any], at: int, shared: int = OFFSET_OVERLAP) -> int | None:
    """By the total: a server clips pages to a limit of its own, so that a short one need not be the last. Where it
    tells none, or fewer than it listed, a page that is full is followed."""
    many, total = min(len(rows), PAGE_LIMIT), fields.number(table, "total_entries", -1)
    has_more = at + len(rows) < total or (total < at + len(rows) and many == PAGE_LIMIT)
    return at + many - min(shared, many // 2) if rows and has_more else None
