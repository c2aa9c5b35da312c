"""Reading what changed since the last poll: pages in order of change, with a watermark.

Airflow filters by `updated_at` but does not show it, so the watermark is the Date header of a walk's first page less an
overlap; repeated rows are dropped.

Airflow has no index on changes, so each page reads every run (1.7 s of CPU, twice, for a million runs on SQLite,
measured). Where that is slow the list of runs is walked every few minutes only. Polls in between, and one whose walk is
not answered in time, read what has an index: open runs, recent runs, and ended runs of DAGs with an open one.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pydantic import AwareDatetime

from connectors.airflow.client import ALL_RUNS_PATH, EPOCH, PAGE_LIMIT, AirflowClient
from connectors.airflow.parse import parse_reference
from connectors.sdk import fields
from connectors.sdk.errors import RateLimited, SystemUnreachable
from connectors.sdk.records import RunRef, TargetClock
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpReply

OVERLAP = timedelta(seconds=30)
"""Date has whole seconds, transactions commit later than they stamp, and scheduler and web server may be two hosts."""
PAGES_PER_POLL = 10
MAX_WALK_PAGES = 20_000
"""Of one walk; a server that pages for ever is stopped here."""
OFFSET_OVERLAP = 20
"""Rows that pages share on servers without cursors (before 3.3): a row that moved to the end shifts the others."""


@dataclass(frozen=True, slots=True)
class AirflowCursor:
    """Position of a walk: all changes before `since` are known; `page` "" means that a new walk starts."""

    since: AwareDatetime
    page: str = ""
    until: AwareDatetime | None = None
    """Value of `since` after the walk in progress."""
    pages: int = 0
    anchor: str = ""
    """Digest of the rows of one page of this walk, the one whose number is the last power of two: pages that repeat in
    a cycle of any length meet it (Brent's algorithm)."""


@dataclass(slots=True)
class AirflowChangePages:
    mark: AirflowCursor
    rows: list[Any] = field(default_factory=list)
    clock: TargetClock | None = None
    has_more: bool = False
    broken: str = ""
    """Why the walk was abandoned, or the last one failed; the next one begins where this one began."""


def read_changes(client: AirflowClient, path: str, name: str, mark: AirflowCursor, keep: float) -> AirflowChangePages:
    """The next pages of a walk and its position after them; at least one, and no more once less than `keep` (0 to 1) of
    the call's time is left, so that a slow server is read in smaller parts.

    Changes during a walk are left to the next one: Airflow updates a running run each second, and a hundred of them
    would come again for ever. A page that repeats, or is empty and names another, ends the walk as broken: its rows
    are reported and the mark does not advance."""
    collected = AirflowChangePages(mark)
    for _ in range(PAGES_PER_POLL):
        began = collected.mark.until + OVERLAP if collected.mark.page and collected.mark.until else None
        reply = client.changed(path, collected.mark.since, collected.mark.page, began)
        if reply.status == 400:
            return _abandoned_walk(collected, f"{name}: the server no longer knows its own page cursor")
        rows = reply.rows(name)
        collected.clock = collected.clock or reply.clock
        begun = collected.mark.until or (reply.clock.target if reply.clock else datetime.now(UTC)) - OVERLAP
        following = _next_page_cursor(reply.table(), rows, collected.mark.page)
        if following is None:
            collected.rows += rows
            collected.mark = AirflowCursor(begun)
            return collected
        text = json.dumps(rows, sort_keys=True).encode("utf-8", "backslashreplace")
        pages, digest = collected.mark.pages + 1, hashlib.sha256(text).hexdigest()[:16]
        if following == collected.mark.page or (rows and digest == collected.mark.anchor):
            return _abandoned_walk(collected, f"{name}: a page repeats")
        if pages > MAX_WALK_PAGES or (not rows and client.major > 2):  # a window of Airflow 2 may be empty
            why = f"there are more than {MAX_WALK_PAGES} pages" if rows else "a page without rows names another"
            return _abandoned_walk(collected, f"{name}: {why}")
        collected.rows += rows
        anchor = digest if rows and pages & (pages - 1) == 0 else collected.mark.anchor
        collected.mark = AirflowCursor(collected.mark.since, following, begun, pages, anchor)
        if client.deadline.is_below(keep):
            break
    collected.has_more = True
    return collected


def _abandoned_walk(pages: AirflowChangePages, why: str) -> AirflowChangePages:
    pages.mark, pages.broken = AirflowCursor(pages.mark.since), why
    return pages


def _next_page_cursor(table: fields.Row, rows: list[Any], page: str) -> str | None:
    """The cursor of the next page; for servers without cursors, "offset:N"; None at the end."""
    if "next_cursor" in table:
        return fields.optional_text(table, "next_cursor") or None
    digits = page.removeprefix("offset:")
    following = _next_offset(table, rows, int(digits) if digits.isdigit() else 0, OFFSET_OVERLAP)
    return None if following is None else f"offset:{following}"


class AirflowRows(NamedTuple):
    """A list that was read page by page."""

    rows: list[Any]
    is_whole: bool
    """False if rows are missing."""
    clock: TargetClock | None
    """The server's, at the first page."""
    is_missing: bool = False
    """The server answered with one of the statuses in `missing`."""


class AirflowPages:
    """Reads a list page by page; where `fetch` raises, the next call of `read` goes on with that page."""

    def __init__(
        self, fetch: Callable[[int], HttpReply], name: str, max_pages: int, missing: Collection[int] = ()
    ) -> None:
        self._fetch, self._name, self._max_pages, self._missing = fetch, name, max_pages, missing
        self._rows: list[Any] = []
        self._clock: TargetClock | None = None
        self._last, self._offset, self._pages = b"", 0, 0

    def read(self) -> AirflowRows:
        """The first pages of the list. Raises InvalidAnswer without such a list; not for a status in `missing`."""
        while self._pages < self._max_pages:
            reply = self._fetch(self._offset)
            if reply.status in self._missing:
                return AirflowRows(self._rows, False, self._clock, is_missing=True)
            page, table = reply.rows(self._name), reply.table()
            if reply.body == self._last:
                break
            self._rows = self._rows + page
            self._clock, self._last, self._pages = self._clock or reply.clock, reply.body, self._pages + 1
            following = _next_offset(table, page, self._offset)
            if following is None:
                is_whole = bool(page) or len(self._rows) >= fields.number(table, "total_entries", 0)
                return AirflowRows(self._rows, is_whole, self._clock)
            self._offset = following
        return AirflowRows(self._rows, False, self._clock)


def rows_by_offset(
    fetch: Callable[[int], HttpReply], name: str, max_pages: int, missing: Collection[int] = ()
) -> AirflowRows:
    """The first pages of a list, as `AirflowPages` reads it, in one call."""
    return AirflowPages(fetch, name, max_pages, missing).read()


def _next_offset(table: fields.Row, rows: list[Any], at: int, shared: int = 0) -> int | None:
    """Decided by the total: a server limits pages itself, so a short one need not be the last. Without a total, or with
    one below the rows listed, a full page is followed. The next page repeats the last `shared` rows."""
    count, total = min(len(rows), PAGE_LIMIT), fields.number(table, "total_entries", -1)
    has_more = at + len(rows) < total or (total < at + len(rows) and count == PAGE_LIMIT)
    return at + count - min(shared, count // 2) if rows and has_more else None


SLOW_SECONDS = 2.0
"""A server that needs longer for a page of changes is slow."""
WALK_INTERVAL_SECONDS = 300.0
"""Time between two walks of a slow server."""
WALK_SHARE = 0.6
"""Share of a call's time for a walk. The rest is for what has an index, where the walk is not answered."""
RECENT = timedelta(days=2)
"""By their logical date: nearly all changes are of these."""
MAX_INDEXED_PAGES = 3
"""Pages per indexed query; the walk has the rest."""


def read_part(client: AirflowClient, path: str, name: str, mark: AirflowCursor) -> AirflowChangePages:
    """As `read_changes`, within WALK_SHARE of the time that is left."""
    whole = client.deadline
    client.deadline = Deadline(whole.left * WALK_SHARE)
    try:
        return read_changes(client, path, name, mark, keep=0.5)
    finally:
        client.deadline = whole


class AirflowRunChanges:
    def __init__(self, client: AirflowClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client, self._monotonic = client, monotonic
        self._slow_walk_at = -WALK_INTERVAL_SECONDS
        self.failure = ""
        """Why the last walk failed; "" where it was answered."""

    def read(self, mark: AirflowCursor, open_runs: Sequence[RunRef]) -> AirflowChangePages:
        """The next pages of the walk; between the walks of a slow server, and where a walk is not answered in time,
        what has an index, and the mark stays. A server becomes slow by a slow walk, or by two in a row that are not
        answered: a short outage does not count."""
        if mark.since <= EPOCH:
            return read_changes(self._client, ALL_RUNS_PATH, "dag_runs", mark, keep=0.7)
        began = self._monotonic()
        if began < self._slow_walk_at + WALK_INTERVAL_SECONDS:
            return self._indexed(mark, open_runs)
        try:
            pages = read_part(self._client, ALL_RUNS_PATH, "dag_runs", mark)
        except SystemUnreachable as error:
            if isinstance(error, RateLimited) or self._monotonic() - began <= SLOW_SECONDS:
                raise
            pages = self._indexed(mark, open_runs)
            if self.failure:
                self._slow_walk_at = self._monotonic()
            self.failure = pages.broken = f"dag_runs: {error}"
            return pages
        self.failure = ""
        ended = self._monotonic()
        is_slow = (ended - began) / (1 + len(pages.rows) // PAGE_LIMIT) > SLOW_SECONDS
        if is_slow and not pages.has_more:
            self._slow_walk_at = ended
        return pages

    def _indexed(self, mark: AirflowCursor, open_runs: Sequence[RunRef]) -> AirflowChangePages:
        rows, _, clock, _ = _first_rows(self._client.open_of_all)
        recent = (clock.target if clock else mark.since) - RECENT
        rows += _first_rows(lambda offset: self._client.changed_dated(mark.since, recent, offset)).rows
        dags = _unreported_dags(open_runs, rows)
        if dags:
            rows += _first_rows(lambda offset: self._client.ended_runs(dags, mark.since, offset)).rows
        return AirflowChangePages(mark, rows, clock, broken=self.failure)


def _first_rows(fetch: Callable[[int], HttpReply]) -> AirflowRows:
    return rows_by_offset(fetch, "dag_runs", MAX_INDEXED_PAGES)


def _unreported_dags(open_runs: Iterable[RunRef], rows: list[Any]) -> list[str]:
    """DAGs of which a run was open that is not among these."""
    returned = {(str(row.get("dag_id")), str(row.get("dag_run_id"))) for row in fields.tables(rows)}
    references = (at for open_run in open_runs if (at := parse_reference(open_run)) and not at.task)
    return sorted({at.dag for at in references if (at.dag, at.run) not in returned})
