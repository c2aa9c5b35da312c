"""Polling runs and reading their output.

First the history, oldest first, in windows of start time that are narrow enough to be read whole: Databricks lists the
latest first and has no other order. Then each poll reads what runs, what started since, and some older runs in turns.
A repair changes a run at its old place in the list, and only the run itself lists its repairs: so runs that are open,
not successful or were tried more than once are read one by one.

A log is what tasks left: errors, traces, logs and results of jobs/runs/get-output, which returns the first 5 MB. A
longer log is in the cluster's log delivery, which Headway does not read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt

from connectors.databricks import parse
from connectors.databricks.client import RUNS_LIMIT, DatabricksClient, read_pages, read_whole
from connectors.databricks.parse import parse_state
from connectors.sdk import fields
from connectors.sdk.errors import NotSupported, RecordUnreadable, SystemUnreachable
from connectors.sdk.log_chunks import chunk_of_parts
from connectors.sdk.poll_result import PollResult, ReportedRuns
from connectors.sdk.records import LogChunk, Poll, RunRef
from connectors.sdk.states import RunState

OVERLAP_MS = 10 * 60 * 1000
VISIBLE_AFTER = timedelta(seconds=60)
ACTIVE_PAGES = 40
NEWEST_PAGES = 40
MAX_REQUESTS = 60  # for single runs, a poll
MAX_KNOWN_RUNS = 5000
RESERVED_TIME_SHARE = 0.25
RETENTION_MS = parse.RETENTION // timedelta(milliseconds=1)
SUCCESS_STATES = (RunState.SUCCEEDED, RunState.SKIPPED)


class DatabricksPoller:
    def __init__(self, client: DatabricksClient, watched: Callable[[str, str], bool]) -> None:
        self._client, self._watched = client, watched
        self._reported = ReportedRuns()
        self._ended: OrderedDict[int, tuple[str, fields.Row]] = OrderedDict()
        """Run -> fingerprint of its list row when it was read, and the run."""
        self._requests_left = 0

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says. A calm poll costs three requests, and one for each run that is open."""
        result, seen = PollResult(), set[int]()
        self._requests_left = MAX_REQUESTS
        clock, active = None, list[Any]()
        for rows, reply in read_pages(lambda page: self._client.runs(page, active_only="true"), "runs", ACTIVE_PAGES):
            clock, active = reply.clock, active + rows
        now = clock.target if clock else datetime.now(UTC)
        first = DatabricksCursor(max(_to_millis(now) - RETENTION_MS, 0), _to_millis(now))
        mark = result.cursor_or_first(cursor, first)

        def take(rows: list[Any]) -> None:
            for row in rows:
                self._add_row(row, seen, result)

        if mark.until:
            following = read_history(self._client, mark, take)
        else:
            following = self._follow(mark, _to_millis(now), take, result)
        take(active)
        self._read_open_runs(open_runs, seen, result)
        has_more = bool(mark.until or following.until)
        seen_until = None if has_more or not result.complete else now - VISIBLE_AFTER
        poll = result.poll(fields.as_json(following), more=has_more, clock=clock, seen_until=seen_until)
        return self._reported.filtered(poll, cursor)

    # where the runs come from

    def _follow(
        self, mark: DatabricksCursor, now: int, take: Callable[[list[Any]], None], result: PollResult
    ) -> DatabricksCursor:
        since, count, reply = mark.at - OVERLAP_MS, 0, None
        listed = read_pages(lambda page: self._client.runs(page, start_time_from=since), "runs", NEWEST_PAGES)
        for count, (rows, reply) in enumerate(listed, 1):  # noqa: B007  both are read below
            take(rows)
        if count == NEWEST_PAGES and reply is not None and reply.table().get("next_page_token"):
            return DatabricksCursor(since, now)
        until = mark.older or since  # a page of runs that started before
        rows, _ = next(read_pages(lambda page: self._client.runs(page, start_time_to=until), "runs", 1))
        take(rows)
        older = min(start_millis(rows[-1]), until - 1) if len(rows) >= RUNS_LIMIT else 0
        return DatabricksCursor(max(now, mark.at), older=older if older > now - RETENTION_MS else 0)

    def _read_open_runs(self, open_runs: Sequence[RunRef], seen: set[int], result: PollResult) -> None:
        for open_run in result.without_record(open_runs, self._client.deadline, RESERVED_TIME_SHARE):
            ref = parse_reference(open_run)
            if ref is None:
                continue
            row = read_run(self._client, ref.run)
            if row is None:
                result.add(parse.vanished_run(open_run, datetime.now(UTC)))
            elif row.get("run_id") != ref.run:
                result.skip("runs", RecordUnreadable("the reply is about another run than requested"), row)
                result.complete = False
            else:
                self._add_records(row, row, result)

    # records

    def _add_row(self, row: Any, seen: set[int], result: PollResult) -> None:
        try:
            row = fields.table(row)
            run = fields.positive(row, "run_id")
            if run in seen or not self._watched(
                str(fields.positive(row, "job_id")), fields.optional_text(row, "run_name")
            ):
                return
            full = self._with_repairs(row, run, result)
        except RecordUnreadable as error:
            result.skip("runs", error, row)
            return
        seen.add(run)
        self._add_records(row, full, result)

    def _with_repairs(self, row: fields.Row, run: int, result: PollResult) -> fields.Row:
        """The run with its history if its list row may be incomplete."""
        status, tasks, cached = parse_state(row), parse.task_rows(row), self._ended.get(run)
        tried = any(task.get("attempt_number") not in (0, None) for task in tasks)
        if status.state in SUCCESS_STATES and not tried and cached is None and row.get("has_more") is not True:
            return row
        fingerprint = f"{status.native_state} {row.get('end_time')} {sorted(str(task.get('run_id')) for task in tasks)}"
        if cached is not None and cached[0] == fingerprint:
            return cached[1]
        self._requests_left -= 1
        if self._requests_left < 0 or self._client.deadline.is_below(RESERVED_TIME_SHARE):
            result.warn("too many runs changed at once: the repairs of some are not read yet")
            return row
        full = read_run(self._client, run)
        if full is None or full.get("run_id") != run:
            return row
        if not status.state.is_open and status.state is not RunState.UNKNOWN:
            self._ended[run] = fingerprint, full
            if len(self._ended) > MAX_KNOWN_RUNS:
                self._ended.popitem(last=False)
        return full

    def _add_records(self, row: fields.Row, full: fields.Row, result: PollResult) -> None:
        try:
            attempts = parse.run_records(full)
            result.add_all([*attempts, *parse.task_records(full, attempts)])
        except RecordUnreadable as error:
            result.skip("runs", error, row)


def read_run(client: DatabricksClient, run: int) -> fields.Row | None:
    """A run with all of its tasks and repairs; None if it was deleted."""
    return read_whole(lambda page: client.run(run, page))


@dataclass(frozen=True, slots=True)
class DatabricksReference:
    """The attempt that a `native_ref` names: of a run (repair 0: the first), or of a task of it."""

    run: PositiveInt
    repair: int = 0
    task: str = ""
    task_run: int = 0


def parse_reference(ref: RunRef) -> DatabricksReference | None:
    return fields.read_reference(DatabricksReference, ref.native_ref)


def _to_millis(at: datetime) -> int:
    return int(at.timestamp() * 1000)


MAX_WINDOW_MS = 7 * 86400 * 1000
MIN_WINDOW_MS = 1000


@dataclass(frozen=True, slots=True)
class DatabricksCursor:
    """In milliseconds since 1970. All runs that started before `at` are known. `until` above 0: a walk goes on,
    ends there, and its next window is `width` wide. Else `older` is where the next read of older runs starts; 0: at the
    newest."""

    at: NonNegativeInt
    until: NonNegativeInt = 0
    width: Annotated[int, Field(ge=MIN_WINDOW_MS, le=MAX_WINDOW_MS)] = MAX_WINDOW_MS
    older: NonNegativeInt = 0


WINDOW_PAGES = 24
PAGES_PER_POLL = 12
SPARSE_ROWS = 100


def read_history(
    client: DatabricksClient, mark: DatabricksCursor, take: Callable[[list[Any]], None]
) -> DatabricksCursor:
    """Continues the walk; returns the cursor after it, without `until` at the end. Raises SystemUnreachable for a list
    outside the request."""
    requests = 0
    while requests == 0 or (requests < PAGES_PER_POLL and client.deadline.left > client.deadline.seconds / 2):
        if mark.at >= mark.until:
            return DatabricksCursor(mark.until)
        rows, count, ended = _read_window(client, mark)
        requests += count
        if not ended:
            if mark.width <= MIN_WINDOW_MS:
                raise SystemUnreachable(
                    f"Databricks: {len(rows)} runs and more within a second at {mark.at} ms: its list does not end"
                )
            mark = replace(mark, width=max(mark.width // 2, MIN_WINDOW_MS))
            continue
        take(rows[::-1])
        width = min(mark.width * 2, MAX_WINDOW_MS) if len(rows) < SPARSE_ROWS else mark.width
        mark = DatabricksCursor(_window_end(mark) + 1, mark.until, width)
    return mark


def _window_end(mark: DatabricksCursor) -> int:
    return min(mark.at + mark.width, mark.until)


def _read_window(client: DatabricksClient, mark: DatabricksCursor) -> tuple[list[Any], int, bool]:
    """The rows of a window, the pages that they came in, and whether these are all."""
    rows: list[Any] = []
    count, since, until = 0, mark.at, _window_end(mark)
    listed = read_pages(
        lambda page: client.runs(page, start_time_from=since, start_time_to=until), "runs", WINDOW_PAGES
    )
    ended = True
    for page_rows, reply in listed:
        count += 1
        rows += page_rows
        at = start_millis(page_rows[0]) if page_rows else 0
        if at and not since <= at <= until:
            raise SystemUnreachable(f"{reply.place} lists runs from outside of the requested time")
        ended = not reply.table().get("next_page_token")
        if client.deadline.left < client.deadline.seconds / 4:
            break
    return rows, count, ended


def start_millis(row: Any) -> int:
    """When a run started, in milliseconds; 0 if its row has no start."""
    value = row.get("start_time") if isinstance(row, dict) else 0
    return value if type(value) is int else 0


MAX_TASKS = 20


def read_log(client: DatabricksClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """As the contract says. For a run: its failed tasks, or all tasks, one after the other."""
    ref = parse_reference(run)
    if ref is None:
        raise NotSupported(f"{run.job} {run.period_key} has no run in Databricks, and so no log")
    row = read_run(client, ref.run)
    if row is None:
        raise NotSupported(f"Databricks no longer has the run {ref.run}, and so no log")
    tasks = [task for task in parse.task_rows(row) if not ref.task or task["task_key"] == ref.task]
    red = [task for task in tasks if parse_state(task).state.is_red]
    chosen = (red or tasks)[:MAX_TASKS]
    cut = [len(red or tasks) > MAX_TASKS]

    def parts() -> Iterator[str]:
        for task in chosen:
            number = ref.task_run if ref.task and ref.task_run else fields.positive(task, "run_id")
            text, short = _task_output(client, task, number)
            cut.append(short)
            yield text

    is_open = any(parse_state(task).state.is_open for task in chosen)
    chunk = chunk_of_parts(parts(), start, limit_bytes, is_open)
    return replace(chunk, cut=chunk.cut or any(cut))


def _task_output(client: DatabricksClient, task: fields.Row, number: int) -> tuple[str, bool]:
    """Output of a task's run, and whether Databricks truncated it."""
    kind, detail = parse.task_type(task)
    head = f"== {task['task_key']} ({kind} {detail}): {parse_state(task).native_state}\n"
    reply = client.output(number)
    if reply.status != 200:
        return f"{head}[no output: {reply.error}]\n", False
    row = reply.table()
    notebook = fields.subtable(row, "notebook_output")
    result = notebook.get("result")
    parts = []
    for name in ("info", "logs", "error", "error_trace"):
        try:
            parts.append(fields.optional_text(row, name))
        except RecordUnreadable as error:
            parts.append(f"[{error}]")
    parts.append(f"result: {fields.clean(result)}" if isinstance(result, str) else "")
    cut = row.get("logs_truncated") is True or notebook.get("truncated") is True
    return head + "".join(part if part.endswith("\n") else f"{part}\n" for part in parts if part), cut
