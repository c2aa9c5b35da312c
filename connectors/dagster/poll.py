"""One poll: the runs that changed, walked page by page, and the open ones that did not show up by themselves.

Dagster filters by change and orders by creation, newest first. So a walk goes through all its pages before the
watermark moves: to the server's clock at the walk's first page, less an overlap.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import fields
from connectors.contract import Poll, RecordUnreadable, RunRef, State, SystemUnreachable
from connectors.dagster import parse
from connectors.dagster.client import PAGE_LIMIT, DagsterClient
from connectors.dagster.references import gone, reference
from connectors.gathered import Gathered, Told

BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)
OVERLAP = timedelta(seconds=60)
PAGES_A_BITE = 5
MOST_PAGES = 50_000
"""Of one walk; a server that pages for ever is stopped here."""
OPEN_LIMIT = 500


class Mark:
    """Where following stands: what changed before `since` is known; a walk under way goes on after the run `page`."""

    def __init__(self, since: datetime, page: str = "", until: datetime | None = None, pages: int = 0) -> None:
        self.since, self.page, self.until, self.pages = since, page, until, pages

    def told(self) -> str:
        """As JSON text."""
        until = self.until.isoformat() if self.until else None
        return json.dumps(
            {"v": 1, "since": self.since.isoformat(), "page": self.page, "until": until, "pages": self.pages}
        )


class Poller:
    """Follows one Dagster."""

    def __init__(self, client: DagsterClient, watched: Callable[[str], bool], url: str) -> None:
        self._client = client
        self._watched = watched
        self._url = url
        self._told = Told()

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says. A calm poll costs one call, and one more where runs are open."""
        found = Gathered()
        mark, more = self._walk(self._mark(cursor, found), found)
        self._open(open_runs, found)
        told = mark.told()
        return Poll(
            runs=self._told.new(found.records.values(), cursor, told),
            cursor=told,
            more=more,
            complete=found.complete,
            clock=self._client.clock,
            skipped=tuple(found.skipped),
            seen_until=None if more or not found.complete else mark.since,
            warnings=tuple(found.warnings),
        )

    def _mark(self, cursor: str, found: Gathered) -> Mark:
        if not cursor:
            return Mark(BEGINNING)
        try:
            row = fields.table(json.loads(cursor))
            since = fields.instant(row, "since")
            if since is None:
                raise RecordUnreadable("since is missing")
            until, pages = fields.instant(row, "until"), fields.number(row, "pages", 0)
            return Mark(since, fields.words(row, "page"), until, pages)
        except (ValueError, RecursionError, RecordUnreadable) as error:
            found.warn(f"the cursor cannot be read ({error}); history is read again from its beginning")
            return Mark(BEGINNING)

    def _walk(self, mark: Mark, found: Gathered) -> tuple[Mark, bool]:
        page, until, pages = mark.page, mark.until, mark.pages
        for _ in range(PAGES_A_BITE):
            rows = self._client.changed(mark.since, page)
            if until is None:
                now = self._client.clock.target if self._client.clock else datetime.now(UTC)
                until = max(now - OVERLAP, mark.since)
            if not rows and page and not self._client.runs_of([page]):
                return Mark(mark.since), True  # the run that the page hung on was deleted: from the first page again
            self._take(rows, found)
            pages += 1
            if len(rows) < PAGE_LIMIT:
                return Mark(until), False
            following = _last(rows)
            if pages > MOST_PAGES or following in ("", page):
                raise SystemUnreachable("Dagster: the list of runs does not end")
            page = following
            if self._client.deadline.left < self._client.deadline.seconds / 2:
                break
        return Mark(mark.since, page, until, pages), True

    def _open(self, open_runs: Sequence[RunRef], found: Gathered) -> None:
        known = {run: one for one in open_runs if (run := reference(one))}
        missing = [run for run, one in known.items() if (one.job, one.attempt_key) not in found.records][:OPEN_LIMIT]
        for first in range(0, len(missing), PAGE_LIMIT):
            some = missing[first : first + PAGE_LIMIT]
            rows = self._client.runs_of(some)
            strange = [row for row in rows if not isinstance(row, dict) or row.get("runId") not in some]
            for row in strange:
                found.skip("runs", RecordUnreadable("the answer is about another run than we asked for"), row)
                found.complete = False
            rows = [row for row in rows if row not in strange]
            self._take(rows, found)
            there = {row["runId"] for row in rows}
            for run in some:
                if run not in there and not strange:
                    found.add(gone(known[run]))

    def _take(self, rows: Sequence[Any], found: Gathered) -> None:
        red = self._red(rows, found)
        for row in rows:
            try:
                one = parse.run(row, red.get(str(fields.table(row).get("runId")), ()), self._url)
            except RecordUnreadable as error:
                found.skip("runs", error, row)
                continue
            if not self._watched(one.job):
                continue
            found.add(one)
            if one.state is State.UNKNOWN:
                found.warn(f"run status {one.native_state!r} is not known to Headway")

    def _red(self, rows: Sequence[Any], found: Gathered) -> dict[str, list[str]]:
        """The steps that are not green, of the runs that have some."""
        wanted = [str(row.get("runId")) for row in rows if isinstance(row, dict) and _has_red(row)]
        red: dict[str, list[str]] = {}
        for row in self._client.steps_of(wanted) if wanted else ():
            try:
                run, names = parse.red_steps(row)
            except RecordUnreadable as error:
                found.skip("steps", error, row)
                continue
            red[run] = names
        return red


def _has_red(row: fields.Row) -> bool:
    stats = row.get("stats")
    return isinstance(stats, dict) and stats.get("stepsFailed") not in (0, None)


def _last(rows: Sequence[Any]) -> str:
    last = rows[-1]
    found = last.get("runId") if isinstance(last, dict) else None
    return found if isinstance(found, str) else ""
