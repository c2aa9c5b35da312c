"""Polling runs and reading their logs.

A poll reads the runs that changed, page by page, and the open ones that did not change by themselves. Dagster filters
by change and orders by creation, newest first. So a walk reads all its pages before the watermark moves to the
server's clock at the walk's first page, less an overlap.

A run's log is its events in the order in which Dagster stored them, with the errors of failed steps. A position in it
is Dagster's own cursor. Output of steps (compute logs) is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.dagster import parse
from connectors.dagster.client import PAGE_LIMIT, DagsterClient
from connectors.dagster.parse import parse_reference, vanished_run
from connectors.sdk import fields, log_chunks
from connectors.sdk.errors import NotSupported, RecordUnreadable, SystemUnreachable
from connectors.sdk.fields import masked_head
from connectors.sdk.poll_result import PollResult, ReportedRuns
from connectors.sdk.records import LogChunk, Poll, RunRecord, RunRef
from connectors.sdk.states import RunState

EPOCH = datetime(1970, 1, 2, tzinfo=UTC)
OVERLAP = timedelta(seconds=60)
PAGES_PER_POLL = 5
MAX_PAGES = 50_000  # of one walk; a server that pages for ever is stopped here
MAX_OPEN_RUNS = 500
RUNS_OF_STEPS = 20  # of one request: Dagster reads up to LOG_LIMIT events of each


@dataclass(frozen=True, slots=True)
class DagsterCursor:
    """Position of the poll: changes before `since` are known; a walk in progress continues after the run `page`."""

    since: datetime
    page: str = ""
    until: datetime | None = None
    pages: int = 0


class DagsterPoller:
    def __init__(self, client: DagsterClient, watched: Callable[[str], bool], url: str) -> None:
        self._client, self._watched, self._url, self._reported = client, watched, url, ReportedRuns()
        self._rows: dict[str, tuple[Any, Sequence[str]]] = {}
        """Run -> its row and failed steps, of this poll's runs that wait for their next try."""
        self._repeated: set[str] = set()
        """Runs that others of this poll repeat."""

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says. A calm poll costs one call, and one more where runs are open."""
        result = PollResult()
        self._rows, self._repeated = {}, set()
        mark, has_more = self._walk(result.cursor_or_first(cursor, DagsterCursor(EPOCH)), result)
        self._read_open_runs(open_runs, result)
        for run_id in self._rows.keys() & self._repeated:
            result.add(parse.run_record(*self._rows[run_id], self._url, self._repeated))
        seen_until = None if has_more or not result.complete else mark.since
        poll = result.poll(fields.as_json(mark), more=has_more, clock=self._client.clock, seen_until=seen_until)
        return self._reported.filtered(poll, cursor)

    def _walk(self, mark: DagsterCursor, result: PollResult) -> tuple[DagsterCursor, bool]:
        page, until, pages = mark.page, mark.until, mark.pages
        for _ in range(PAGES_PER_POLL):
            rows = self._client.changed(mark.since, page)
            if until is None:
                now = self._client.clock.target if self._client.clock else datetime.now(UTC)
                until = max(now - OVERLAP, mark.since)
            if not rows and page and not self._client.runs_of([page]):
                return DagsterCursor(mark.since), True  # the last run of the page before was deleted: walk again
            self._add_rows(rows, result)
            pages += 1
            if len(rows) < PAGE_LIMIT:
                return DagsterCursor(until), False
            following = fields.subtable(rows[-1]).get("runId")
            if pages > MAX_PAGES or not isinstance(following, str) or following in ("", page):
                raise SystemUnreachable("Dagster: the list of runs does not end")
            page = following
            if self._client.deadline.is_below(0.5):
                break
        return DagsterCursor(mark.since, page, until, pages), True

    def _read_open_runs(self, open_runs: Sequence[RunRef], result: PollResult) -> None:
        known = {run: open_run for open_run in open_runs if (run := parse_reference(open_run))}
        missing = [
            run for run, open_run in known.items() if (open_run.job, open_run.attempt_key) not in result.records
        ][:MAX_OPEN_RUNS]
        for first in range(0, len(missing), PAGE_LIMIT):
            batch = missing[first : first + PAGE_LIMIT]
            rows = self._client.runs_of(batch)
            strange = [row for row in rows if not isinstance(row, dict) or row.get("runId") not in batch]
            for row in strange:
                result.skip("runs", RecordUnreadable("the reply is about another run than requested"), row)
                result.complete = False
            rows = [row for row in rows if row not in strange]
            self._add_rows(rows, result)
            returned = {row["runId"] for row in rows}
            for run in batch:
                if run not in returned and not strange:
                    result.add(vanished_run(known[run]))

    def _add_rows(self, rows: list[Any], result: PollResult) -> None:
        red = self._failed_steps(rows, result)

        def record_of(row: Any) -> RunRecord:
            steps = red.get(str(fields.table(row).get("runId")), [])
            record = parse.run_record(row, steps, self._url)
            self._repeated.add(fields.optional_text(row, "parentRunId"))
            if record.state is RunState.RETRYING and self._watched(record.job):
                self._rows[record.attempt_key] = row, steps
            return record

        records = fields.readable(rows, record_of, "runs", result.skipped)
        result.add_all(record for record in records if self._watched(record.job))

    def _failed_steps(self, runs: list[Any], result: PollResult) -> dict[str, list[str]]:
        run_ids = [
            str(row.get("runId"))
            for row in fields.tables(runs)
            if fields.subtable(row, "stats").get("stepsFailed") not in (0, None)
        ]
        red = dict[str, list[str]]()
        for first in range(0, len(run_ids), RUNS_OF_STEPS):
            rows = self._client.steps_of(run_ids[first : first + RUNS_OF_STEPS])
            red |= fields.readable(rows, parse.failed_steps, "steps", result.skipped)
        return red


MAX_LOG_PAGES = 50
MAX_TAIL_BYTES = 1 << 20  # bytes kept of the end of a long log while it is read
MAX_CAUSES = 5  # causes of an error


@dataclass(frozen=True, slots=True)
class DagsterLogPosition:
    """`cursor`: Dagster's own; `skip`: bytes behind it that were read."""

    run: str
    cursor: str = ""
    skip: int = 0


def read_log(client: DagsterClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    if start is not None:
        return _read_on(client, start, limit_bytes)
    run_id = parse_reference(run)
    if not run_id:
        raise NotSupported(f"{run.job} {run.period_key} has no run in Dagster, and so no log")
    text, cut, cursor = "", False, ""
    for _ in range(MAX_LOG_PAGES):
        page = client.log(run_id, cursor)
        cursor = fields.optional_text(page, "cursor") or cursor
        text, dropped = log_chunks.tail(text + _page_text(page), MAX_TAIL_BYTES)
        cut = cut or dropped
        has_more = page.get("hasMore") is True
        if not has_more:
            break
    end, dropped = log_chunks.tail(text, limit_bytes)
    is_over = not has_more and _is_run_over(client, run_id)
    following = None if is_over else fields.as_json(DagsterLogPosition(run_id, cursor))
    return LogChunk(end, following, has_more, cut or dropped or has_more)


def _read_on(client: DagsterClient, start: str, limit_bytes: int) -> LogChunk:
    place = log_chunks.log_position(DagsterLogPosition, start)
    page = client.log(place.run, place.cursor)
    text, skip = log_chunks.part_of(_page_text(page), place.skip, limit_bytes)
    if skip is not None:
        return LogChunk(text, fields.as_json(replace(place, skip=skip)), more=True)
    has_more = page.get("hasMore") is True
    if not has_more and not text and _is_run_over(client, place.run):
        return LogChunk(text)
    following = DagsterLogPosition(place.run, fields.optional_text(page, "cursor") or place.cursor)
    return LogChunk(text, fields.as_json(following), has_more)


def _is_run_over(client: DagsterClient, run: str) -> bool:
    rows = fields.tables(client.runs_of([run]))
    return not rows or not parse.state_of(str(rows[0].get("status"))).is_open


def _page_text(page: fields.Row) -> str:
    return log_chunks.join_lines(line for event in fields.rows(page.get("events")) for line in _event_lines(event))


def _event_lines(event: Any) -> Iterator[str]:
    if not isinstance(event, dict):
        yield fields.clean(masked_head(str(event), 1000))
        return
    time = ""
    with suppress(TypeError, ValueError, OverflowError, OSError):
        at = datetime.fromtimestamp(int(event.get("timestamp")) / 1000, UTC)  # type: ignore[arg-type]  # is suppressed
        time = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} "
    step, kind = event.get("stepKey"), event.get("eventType") or event.get("__typename")
    level = event.get("level")
    level_text = "" if level in ("DEBUG", "INFO", None) else f"{level} "
    place = f"{step} " if isinstance(step, str) else ""
    yield fields.clean(f"{time}{level_text}{place}{kind}: {event.get('message') or ''}".rstrip(": "))
    yield from _error_lines(event.get("error"), MAX_CAUSES)


def _error_lines(error: Any, depth: int) -> Iterator[str]:
    """As Python prints it, the stack before the message; the cause, which the code raised, last: the end of a log shows
    it."""
    if not isinstance(error, dict) or depth == 0:
        return
    for line in fields.rows(error.get("stack")):
        yield fields.clean(f"  {str(line).rstrip()}")
    yield fields.clean(f"  {str(error.get('message') or '').rstrip()}")
    yield from _error_lines(error.get("cause"), depth - 1)
