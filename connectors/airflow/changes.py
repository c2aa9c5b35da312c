"""Reading what changed since the last poll, by a strategy that the server can afford.

Fast servers: pages in order of change, with a watermark. Airflow filters by `updated_at` but does not show it, so the
watermark is the Date header of a walk's first page less an overlap; repeated rows are dropped.

Slow servers: Airflow has no index on changes, so each page reads every run (1.7 s of CPU, twice, for a million runs
on SQLite, measured). Indexed queries (DAG with logical date, DAG with state) then return recent runs, open runs and
those of DAGs with known open runs in every poll. Everything else is found by a sweep: the whole list in pieces, some
per poll, by spans of logical date (four times as long after a quick answer, half after a slow one). Airflow 3 has
runs without a logical date (started by hand or by an asset): finished ones are read for some DAGs at a time, with
those changed within a day for one DAG in each such piece, which finds a mark on an old run. The watermark stays
where it was until the sweep ends; changes made during a sweep are found by the next one.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from connectors.airflow.client import EPOCH, PAGE_LIMIT, AirflowClient
from connectors.airflow.parse import parse_reference
from connectors.sdk import fields
from connectors.sdk.errors import InvalidAnswer, RecordUnreadable, SystemUnreachable
from connectors.sdk.records import RunRef, TargetClock
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

    since: datetime
    page: str = ""
    until: datetime | None = None
    """Value of `since` after the walk in progress."""
    pages: int = 0
    anchor: str = ""
    """Digest of the rows of one page of this walk, the one whose number is the last power of two: pages that repeat in
    a cycle of any length meet it (Brent's algorithm)."""

    def to_value(self) -> dict[str, Any]:
        """As JSON."""
        until = self.until.isoformat() if self.until else None
        return {**asdict(self), "since": self.since.isoformat(), "until": until}

    @classmethod
    def of(cls, value: Any) -> AirflowCursor:
        """From JSON. Raises RecordUnreadable."""
        row = fields.table(value)
        since = fields.instant(row, "since")
        if since is None:
            raise RecordUnreadable("since is missing")
        until, pages = fields.instant(row, "until"), fields.number(row, "pages", 0)
        return cls(since, fields.optional_text(row, "page"), until, pages, fields.optional_text(row, "anchor"))


@dataclass(slots=True)
class AirflowChangePages:
    """Some pages of a walk."""

    mark: AirflowCursor
    rows: list[Any] = field(default_factory=list)
    clock: TargetClock | None = None
    more: bool = False
    broken: str = ""
    """Why the walk was abandoned; the next one begins where this one began."""


def read_changes(client: AirflowClient, path: str, name: str, mark: AirflowCursor, keep: float) -> AirflowChangePages:
    """The next pages of a walk and its position after them; at least one, and no more once less than `keep` (0 to 1) of
    the call's time is left, so that a slow server is read in smaller parts. Raises as the client.

    Changes during a walk are left to the next one: Airflow updates a running run each second, and a hundred of them
    would come again for ever. A page that repeats, or is empty and names another, ends the walk as broken: its rows
    are reported and the mark does not advance."""
    collected = AirflowChangePages(mark)
    for _ in range(PAGES_PER_POLL):
        began = collected.mark.until + OVERLAP if collected.mark.page and collected.mark.until else None
        reply = client.changed(path, collected.mark.since, collected.mark.page, began)
        if reply.status == 400:
            return _abandoned_walk(collected, f"{name}: the server no longer knows its own page cursor")
        table = reply.table()
        rows = required_rows(reply, table, name)
        collected.clock = collected.clock or reply.clock
        begun = collected.mark.until or (reply.clock.target if reply.clock else datetime.now(UTC)) - OVERLAP
        following = _next_page_cursor(table, rows, collected.mark.page)
        if following is None:
            collected.rows += rows
            collected.mark = AirflowCursor(begun)
            return collected
        pages, content = collected.mark.pages + 1, rows_digest(rows)
        if following == collected.mark.page or (rows and content == collected.mark.anchor):
            return _abandoned_walk(collected, f"{name}: a page repeats")
        if pages > MAX_WALK_PAGES or (not rows and client.major > 2):  # a window of Airflow 2 may be empty
            why = f"there are more than {MAX_WALK_PAGES} pages" if rows else "a page without rows names another"
            return _abandoned_walk(collected, f"{name}: {why}")
        collected.rows += rows
        anchor = content if rows and pages & (pages - 1) == 0 else collected.mark.anchor
        collected.mark = AirflowCursor(collected.mark.since, following, begun, pages, anchor)
        if client.deadline.is_below(keep):
            break
    collected.more = True
    return collected


def rows_digest(rows: list[Any]) -> str:
    """Digest that shows whether two pages have the same rows."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _abandoned_walk(pages: AirflowChangePages, why: str) -> AirflowChangePages:
    pages.mark, pages.broken, pages.more = AirflowCursor(pages.mark.since), why, False
    return pages


def _next_page_cursor(table: fields.Row, rows: list[Any], page: str) -> str | None:
    """The cursor of the next page; for servers without cursors, "offset:N"; None at the end."""
    if "next_cursor" in table:
        return fields.optional_text(table, "next_cursor") or None
    digits = page.removeprefix("offset:")
    following = _next_offset(table, rows, int(digits) if digits.isdigit() else 0)
    return None if following is None else f"offset:{following}"


def page_at_offset(
    reply: HttpReply, name: str, offset: int, shared: int = OFFSET_OVERLAP
) -> tuple[list[Any], int | None]:
    """The rows of a page that starts at the offset, and the offset of the next one, which repeats the last `shared`;
    None at the end. Raises AnswerUnfit without such a list."""
    table = reply.table()
    rows = required_rows(reply, table, name)
    return rows, _next_offset(table, rows, offset, shared)


class AirflowRows(NamedTuple):
    """A list that was read page by page."""

    rows: list[Any]
    is_whole: bool
    """False if more pages follow than were read."""
    clock: TargetClock | None
    """The server's, at the first page."""
    is_missing: bool = False
    """The server answered 404."""


def rows_by_offset(
    fetch: Callable[[int], HttpReply], name: str, max_pages: int, may_be_missing: bool = False
) -> AirflowRows:
    """The first pages of a list. Raises InvalidAnswer without such a list; with `may_be_missing` not for 404."""
    rows: list[Any] = []
    clock: TargetClock | None = None
    offset = 0
    for _ in range(max_pages):
        reply = fetch(offset)
        if reply.status == 404 and may_be_missing:
            return AirflowRows(rows, True, clock, is_missing=True)
        page, following = page_at_offset(reply, name, offset, shared=0)
        rows, clock = rows + page, clock or reply.clock
        if following is None:
            return AirflowRows(rows, True, clock)
        offset = following
    return AirflowRows(rows, False, clock)


def required_rows(reply: HttpReply, table: fields.Row, name: str) -> list[Any]:
    """A required list: a missing one is not an empty one. Raises AnswerUnfit."""
    rows = table.get(name)
    if not isinstance(rows, list):
        raise InvalidAnswer(f"{reply.place} has no list {name!r}; is this Airflow?")
    return rows


def _next_offset(table: fields.Row, rows: list[Any], at: int, shared: int = OFFSET_OVERLAP) -> int | None:
    """Decided by the total: a server limits pages itself, so a short one need not be the last. Without a total, or with
    one below the rows listed, a full page is followed."""
    many, total = min(len(rows), PAGE_LIMIT), fields.number(table, "total_entries", -1)
    has_more = at + len(rows) < total or (total < at + len(rows) and many == PAGE_LIMIT)
    return at + many - min(shared, many // 2) if rows and has_more else None


SWEEP_PREFIX = "round:"
FIRST_SPAN_DAYS, MIN_SPAN_DAYS, MAX_SPAN_DAYS = 2.0, 0.125, 40_000.0
GROW_BELOW_SECONDS, SHRINK_ABOVE_SECONDS = 0.25, 1.0
"""Seconds of a piece."""
GROWTH_FACTOR = 4
RECENTLY_MARKED = timedelta(days=1)
"""How far back marks on runs without a date are searched: each DAG has its turn more often."""


@dataclass(frozen=True, slots=True)
class SweepPosition:
    """Position of a round. Dated runs from `before` on were read (None: none yet); `dag` is the number of the DAG whose
    runs without a date are read next, -1 before these; `offset` is the first row of the next page."""

    before: datetime | None = None
    days: float = FIRST_SPAN_DAYS
    offset: int = 0
    dag: int = -1
    dags: int = PAGE_LIMIT
    """How many DAGs a piece has at most."""
    turn: int = 0
    """Index of the DAG of a part whose marks are read; one further in each round."""
    slowest: float = 0.0
    """Seconds of the slowest piece of this round so far."""
    rows: str = ""
    """Digest of the previous page's rows in a list of several pages: a repeat would never end."""

    @property
    def is_undated(self) -> bool:
        """Whether the runs without a date are next: three requests at once."""
        return self.dag >= 0

    @property
    def page(self) -> str:
        """As the page of a walk's mark."""
        before = self.before.isoformat() if self.before else None
        return SWEEP_PREFIX + json.dumps({**asdict(self), "before": before, "slowest": round(self.slowest, 2)})

    @classmethod
    def of(cls, page: str) -> SweepPosition:
        """From the page of a mark; any other page is the beginning of a round."""
        try:
            row = fields.parse_table(page.removeprefix(SWEEP_PREFIX)) if page.startswith(SWEEP_PREFIX) else {}
            days, slowest = (row.get(name) for name in ("days", "slowest"))
            return cls(
                fields.instant(row, "before"),
                min(MAX_SPAN_DAYS, max(MIN_SPAN_DAYS, days)) if isinstance(days, int | float) else FIRST_SPAN_DAYS,
                fields.number(row, "offset", 0),
                fields.number(row, "dag", -1),
                min(PAGE_LIMIT, max(1, fields.number(row, "dags", PAGE_LIMIT))),
                fields.number(row, "turn", 0),
                slowest if isinstance(slowest, int | float) else 0.0,
                fields.optional_text(row, "rows"),
            )
        except RecordUnreadable:
            return cls()


@dataclass(frozen=True, slots=True)
class SweepStep:
    """Rows of one step of a round, and the round's position after it; None: the round has ended."""

    rows: list[Any]
    following: SweepPosition | None
    slowest: float = 0.0


class EndlessPages(InvalidAnswer):
    """A list whose pages do not end: the round starts again."""


class AirflowChangeSweep:
    """Runs the steps of a round. One per Airflow; caches only which parts were too long."""

    def __init__(self, client: AirflowClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client, self._monotonic = client, monotonic
        self._longest, self._most = MAX_SPAN_DAYS, PAGE_LIMIT

    def step(self, since: datetime, begun: datetime, place: SweepPosition) -> SweepStep:
        """The next part of the changes since, in the round that started then. Raises Endless, and as the client; the
        same part is then read in smaller pieces."""
        if self._longest < place.days:
            place = replace(place, days=self._longest, offset=0, rows="")
        if self._most < place.dags:
            place = replace(place, dags=self._most, offset=0, rows="")
        began = self._monotonic()
        if place.is_undated:
            self._most = max(1, place.dags // 2)
        else:
            self._longest = max(MIN_SPAN_DAYS, place.days / 2)
        fetch = self._undated if place.is_undated else self._dated
        rows, following = fetch(since, begun, place)
        self._longest, self._most, took = MAX_SPAN_DAYS, PAGE_LIMIT, self._monotonic() - began
        slowest = max(place.slowest, took)
        return SweepStep(rows, replace(_adapt_span(following, took), slowest=slowest) if following else None, slowest)

    def _dated(self, since: datetime, begun: datetime, place: SweepPosition) -> tuple[list[Any], SweepPosition | None]:
        """Those of one span of logical dates; the first is open to the future, the last to the past."""
        until, long = place.before or begun, timedelta(days=place.days)
        begins = until - long if long < until - EPOCH else None
        reply = self._client.changed_dated(since, begins, place.before, place.offset)
        rows, further = page_at_offset(reply, "dag_runs", place.offset)
        if further is not None:
            return rows, _next_position(reply, rows, place, further)
        place = replace(place, offset=0, rows="")
        if begins is not None:
            return rows, replace(place, before=begins)
        return rows, None if self._client.major == 2 else replace(place, dag=0)

    def _undated(
        self, since: datetime, begun: datetime, place: SweepPosition
    ) -> tuple[list[Any], SweepPosition | None]:
        """Ended runs of the next DAGs, and the changed ones of one of these."""
        dag_rows, next_dag = page_at_offset(self._client.dags(place.dag), "dags", place.dag)
        if len(dag_rows) > place.dags:
            dag_rows, next_dag = dag_rows[: place.dags], place.dag + place.dags
        names = [str(row.get("dag_id")) for row in fields.tables(dag_rows)]
        if not names:
            return [], None
        reply = self._client.ended_runs(names, since, place.offset)
        page, further = page_at_offset(reply, "dag_runs", place.offset)
        if further is not None:
            return page, _next_position(reply, page, place, further)
        rows = page + self._marked(names[place.turn % len(names)], begun - RECENTLY_MARKED)
        return rows, None if next_dag is None else replace(place, offset=0, dag=next_dag, rows="")

    def _marked(self, dag: str, since: datetime) -> list[Any]:
        """Runs of a DAG that have no date and changed since: the first made, of which it is news."""
        reply = self._client.changed_of(dag, since)
        rows = page_at_offset(reply, "dag_runs", 0)[0] if reply.status == 200 else []
        return [row for row in fields.tables(rows) if row.get("logical_date") is None]


def _next_position(reply: HttpReply, rows: list[Any], place: SweepPosition, further: int) -> SweepPosition:
    """Raises Endless where a page has the rows of the one before it."""
    content = rows_digest(rows)
    if content == place.rows:
        raise EndlessPages(f"{reply.place} has the rows of the page before it")
    return replace(place, offset=further, rows=content)


def _adapt_span(following: SweepPosition, took: float) -> SweepPosition:
    """With a longer or a shorter span, by the seconds that the last one took, and with more DAGs again where it was
    quick; the pages of one piece keep it."""
    if following.is_undated and not following.offset and took <= SHRINK_ABOVE_SECONDS:
        following = replace(following, dags=min(PAGE_LIMIT, following.dags * 2))
    if following.offset or GROW_BELOW_SECONDS <= took <= SHRINK_ABOVE_SECONDS:
        return following
    days = following.days * (GROWTH_FACTOR if took < GROW_BELOW_SECONDS else 0.5)
    return replace(following, days=min(MAX_SPAN_DAYS, max(MIN_SPAN_DAYS, days)))


SLOW_SECONDS = 2.0
QUICK_SECONDS = 0.3
"""Where no piece of a round took as long, the whole list is tried again."""
MANY_CHANGES_PAGES = 2000
"""A history of so many pages is too long to search for changes as a whole."""
RECENT = timedelta(days=2)
"""By their logical date: nearly all changes are of these."""
MAX_INDEXED_PAGES = 3
"""Pages per query; the rest comes with the round."""
SWEEP_STEPS_PER_POLL, SWEEP_SECONDS_PER_POLL = 2, 1.0
"""Of a round, in one poll; a further one is begun within these seconds only, and none beside one of the undated."""


class AirflowChangeReader:
    """Decides when to walk through the changes, and what is read instead. One per Airflow. The cursor records a round
    in progress, so it continues after a restart."""

    def __init__(self, client: AirflowClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client, self._monotonic = client, monotonic
        self._rounds = AirflowChangeSweep(client, monotonic)
        self._is_slow = False

    def walked(self, mark: AirflowCursor, walk: Callable[[AirflowCursor], AirflowChangePages]) -> AirflowChangePages:
        """A walk from this mark, timed; also one that its server did not answer in time. Raises as it does."""
        began = self._monotonic()
        try:
            pages = walk(mark)
        except SystemUnreachable:
            self._is_slow = self._monotonic() - began > SLOW_SECONDS
            raise
        if not pages.more and not pages.broken:
            whole = mark.since <= EPOCH
            self._is_slow = mark.pages > MANY_CHANGES_PAGES if whole else self._monotonic() - began > SLOW_SECONDS
            if self._is_slow:
                pages.mark = replace(pages.mark, page=SweepPosition().page)
        return pages

    def instead(self, mark: AirflowCursor, open_runs: Sequence[RunRef]) -> AirflowChangePages | None:
        """The pages read instead of a walk; None if a walk is due."""
        if mark.since <= EPOCH or not (mark.page.startswith(SWEEP_PREFIX) or self._is_slow):
            return None
        open_page = _first_rows(self._client.open_of_all)
        rows, clock = open_page.rows, open_page.clock
        dated = (clock.target if clock else mark.since) - RECENT
        rows += _first_rows(lambda offset: self._client.changed_dated(mark.since, dated, None, offset)).rows
        dags = _unreported_dags(open_runs, rows)
        if dags:
            rows += _first_rows(lambda offset: self._client.ended_runs(dags, mark.since, offset)).rows
        pages = AirflowChangePages(mark, rows, clock)
        self._go_on(pages, (clock.target if clock else datetime.now(UTC)) - OVERLAP)
        pages.rows = list({_row_identity(row, number): row for number, row in enumerate(pages.rows)}.values())
        return pages

    def _go_on(self, pages: AirflowChangePages, begins: datetime) -> None:
        """Some pieces of the round; `begins` is when a new one does."""
        began = self._monotonic()
        for _ in range(SWEEP_STEPS_PER_POLL):
            mark = pages.mark
            begun, place = mark.until or begins, SweepPosition.of(mark.page)
            try:
                piece = self._rounds.step(mark.since, begun, place)
            except EndlessPages as error:
                pages.mark, pages.broken = AirflowCursor(mark.since, SweepPosition(turn=place.turn).page), str(error)
                return
            pages.rows += piece.rows
            if piece.following is None:
                self._is_slow = piece.slowest > QUICK_SECONDS
                pages.mark = AirflowCursor(
                    begun, SweepPosition(turn=place.turn + 1, dags=place.dags).page if self._is_slow else ""
                )
                return
            pages.mark = AirflowCursor(mark.since, piece.following.page, begun)
            if piece.following.is_undated or self._monotonic() - began > SWEEP_SECONDS_PER_POLL:
                return


def _first_rows(fetch: Callable[[int], HttpReply]) -> AirflowRows:
    return rows_by_offset(fetch, "dag_runs", MAX_INDEXED_PAGES)


def _row_identity(row: Any, number: int) -> tuple[object, ...]:
    """By which a row that came twice is one; a row without a name is another than any."""
    names = (row.get("dag_id"), row.get("dag_run_id")) if isinstance(row, dict) else ()
    return names if names and all(isinstance(name, str) for name in names) else (number,)


def _unreported_dags(open_runs: Iterable[RunRef], rows: list[Any]) -> list[str]:
    """DAGs of which a run was open that is not among these."""
    returned = {(str(row.get("dag_id")), str(row.get("dag_run_id"))) for row in fields.tables(rows)}
    references = (at for open_run in open_runs if (at := parse_reference(open_run)) and not at.task)
    return sorted({at.dag for at in references if (at.dag, at.run) not in returned})
