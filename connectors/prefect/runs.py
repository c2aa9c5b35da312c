"""Polling flow runs: part of the history, then those that changed, with their attempts and the tasks that failed.

The history is walked by expected start. Prefect has no filter by change on runs: changes come from its event feed,
and
a run's present state from its row. Events are kept for seven days by default, and a server or account may have none:
then runs that are open, or began or ended recently, are read instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.prefect import parse
from connectors.prefect.client import PAGE_LIMIT, RUN_EVENT_PREFIX, PrefectClient, list_rows, page_token
from connectors.prefect.inventory import FlowNames
from connectors.prefect.parse import parse_reference, vanished_run
from connectors.sdk import fields
from connectors.sdk.errors import RecordUnreadable, SystemUnreachable
from connectors.sdk.poll_result import PollResult, ReportedRuns
from connectors.sdk.records import HistoryGap, Poll, RunRef

OVERLAP = timedelta(seconds=60)
"""Events are written a moment after the change that they report, and one address may have several servers behind it."""
PAGES_PER_POLL = 3
TASK_PAGES = 10
CACHED_HISTORIES = 1000
RUNS_PER_REQUEST = 50  # runs whose tasks are requested in one call
RESERVED_TIME_SHARE = 0.25  # share of a call's time in which no request for a single run is started


class PrefectPoller:
    def __init__(self, client: PrefectClient, names: FlowNames, ui: str) -> None:
        self._client, self._names, self._ui, self._reported = client, names, ui, ReportedRuns()
        self._histories: dict[str, tuple[str, list[parse.PrefectRunState]]] = {}
        """Run -> its state and the history up to that."""

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says. A calm poll costs the version, a page of events and the open runs' rows."""
        result, gaps = PollResult(), list[HistoryGap]()
        clock = self._client.version().clock
        now = clock.target if clock else datetime.now(UTC)
        mark = result.cursor_or_first(cursor, PrefectCursor(EPOCH, 0, now))
        if mark.until is None and now - mark.at > EVENT_RETENTION:
            gaps.append(HistoryGap(mark.at, now, "events are kept for seven days: old runs rerun since are not seen"))
            mark = PrefectCursor(mark.at - timedelta(days=1), 0, now)
        known = {at.run: open_run.job for open_run in open_runs if (at := parse_reference(open_run))}
        if mark.until is not None:
            following, has_more = self._walk(mark, now, known, result)
        else:
            changed, until = read_changes_since(self._client, mark.at, result)
            if self._read_runs(changed, now, known, result) is None:
                following, has_more = mark, False
            elif until is not None:
                following, has_more = PrefectCursor(max(until, mark.at + timedelta(microseconds=1))), True
            else:
                following, has_more = PrefectCursor(max(now - OVERLAP, mark.at)), False
        self._read_open_runs(open_runs, now, known, result)
        seen_until = None if has_more or following.until is not None or not result.complete else following.at
        poll = result.poll(fields.as_json(following), more=has_more, clock=clock, seen_until=seen_until, gaps=gaps)
        return self._reported.filtered(poll, cursor)

    # where the runs come from

    def _walk(
        self, mark: PrefectCursor, now: datetime, known: dict[str, str], result: PollResult
    ) -> tuple[PrefectCursor, bool]:
        """A page of history; the feed begins where the walk began."""
        until = mark.until or now
        for _ in range(PAGES_PER_POLL):
            where = {"expected_start_time": {"after_": mark.at.isoformat(), "before_": until.isoformat()}}
            rows = list_rows(self._client.runs(where, "EXPECTED_START_TIME_ASC", mark.skip))
            first = _expected_start(rows[0]) if rows else None
            if first is not None and first < mark.at:
                raise SystemUnreachable("Prefect: the list of runs does not start at the requested position")
            count = self._add_rows(rows, now, known, result)
            mark = mark.after(rows[:count])
            if count == len(rows) < PAGE_LIMIT:
                return PrefectCursor(until - OVERLAP), False
            if count < len(rows) or self._is_late:
                break
        return mark, True

    def _read_open_runs(
        self, open_runs: Sequence[RunRef], now: datetime, known: dict[str, str], result: PollResult
    ) -> None:
        missing = {
            at.run: open_run
            for open_run in open_runs
            if (at := parse_reference(open_run)) and (open_run.job, open_run.attempt_key) not in result.records
        }
        returned = self._read_runs(missing, now, known, result)
        for run, open_run in missing.items():
            if returned is not None and run not in returned and result.complete:
                result.add(vanished_run(open_run))

    def _read_runs(
        self, runs: Iterable[str], now: datetime, known: dict[str, str], result: PollResult
    ) -> set[str] | None:
        """Reads these runs; returns the ids that exist, None if time ran out."""
        ids, returned = sorted(runs), set[str]()
        for first in range(0, len(ids), PAGE_LIMIT):
            batch = ids[first : first + PAGE_LIMIT]
            rows = list_rows(self._client.runs_of(batch))
            strange = [row for row in rows if not isinstance(row, dict) or row.get("id") not in batch]
            for row in strange:
                result.skip("flow_runs", RecordUnreadable("the reply is about another run than requested"), row)
                result.complete = False
            rows = [row for row in rows if row not in strange]
            returned |= {str(row["id"]) for row in rows}
            if self._add_rows(rows, now, known, result) < len(rows):
                result.complete = False
                result.warn("time ran out before all runs that changed were read: the rest comes with the next poll")
                return None
        return returned

    # records

    def _add_rows(self, rows: Sequence[Any], now: datetime, known: dict[str, str], result: PollResult) -> int:
        """Adds the records of these runs; returns how many, fewer if time ran out."""
        self._names.learn(rows)
        histories: dict[str, list[parse.PrefectRunState]] = {}
        accepted: list[Any] = []
        count = 0
        for row in rows:
            try:
                if isinstance(row, dict) and not parse.is_created_ahead(row, now) and parse.needs_history(row):
                    if self._is_late:
                        break
                    histories[parse.parse_id(row)] = self._history(row, result)
                accepted.append(row)
            except RecordUnreadable as error:
                result.skip("flow_runs", error, row)
            count += 1
        red = self._failed_tasks(accepted, histories, result)
        for row in accepted:
            try:
                run = parse.parse_id(fields.table(row))
                job = known.get(run) or self._names.of_run(row)
                if not parse.is_created_ahead(row, now) and self._names.watched(job):
                    records = parse.run_records(row, job, histories.get(run, ()), red.get(run, ()), self._ui)
                    result.add_all(records)
            except RecordUnreadable as error:
                result.skip("flow_runs", error, row)
        return count

    def _history(self, row: fields.Row, result: PollResult) -> list[parse.PrefectRunState]:
        run, state = parse.parse_id(row), fields.optional_text(row, "state_id")
        known = self._histories.pop(run, None)
        if known is None or not state or known[0] != state:
            known = state, parse.run_history(list_rows(self._client.states(run)), result.skipped)
        self._histories[run] = known
        if len(self._histories) > CACHED_HISTORIES:
            del self._histories[next(iter(self._histories))]
        return known[1]

    def _failed_tasks(
        self, rows: list[Any], histories: dict[str, list[parse.PrefectRunState]], result: PollResult
    ) -> dict[str, list[parse.PrefectFailedTask]]:
        """Tasks that are not green, of the runs of which an attempt completed: Prefect calls those green."""
        run_ids = [
            str(row["id"])
            for row in fields.tables(rows)
            if row.get("state_type") == "COMPLETED"
            or any(state.type == "COMPLETED" for state in histories.get(str(row.get("id")), ()))
        ]
        red: dict[str, list[parse.PrefectFailedTask]] = {}
        for first in range(0, len(run_ids), RUNS_PER_REQUEST):
            for red_task in self._read_failed_tasks(run_ids[first : first + RUNS_PER_REQUEST], result):
                red.setdefault(red_task.run, []).append(red_task)
        return red

    def _read_failed_tasks(self, runs: Sequence[str], result: PollResult) -> list[parse.PrefectFailedTask]:
        tasks = []
        for page in range(TASK_PAGES):
            rows = list_rows(self._client.not_green(runs, page * PAGE_LIMIT))
            failed = fields.readable(rows, parse.parse_failed_task, "task_runs", result.skipped)
            result.complete = result.complete and len(failed) == len(rows)
            tasks += [task for task in failed if task is not None and task.run in runs]
            if len(rows) < PAGE_LIMIT:
                return tasks
        if len(runs) > 1:  # the many of one run hide those of the others
            return [task for run in runs for task in self._read_failed_tasks([run], result)]
        result.warn(f"a flow run has {TASK_PAGES * PAGE_LIMIT} or more tasks that are not green: the rest is not read")
        return tasks or [parse.unread_tasks(runs[0])]

    @property
    def _is_late(self) -> bool:
        return self._client.deadline.is_below(RESERVED_TIME_SHARE)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PrefectCursor:
    """`until` set: a walk goes on; runs expected before `at`, and the first `skip` at `at` itself, are known, and
    the walk ends at `until`. Without it: all changes before `at` are known."""

    at: datetime = EPOCH
    skip: int = 0
    until: datetime | None = None

    def after(self, rows: list[Any]) -> PrefectCursor:
        """After these rows of a page that began here; where their times cannot be read, by their number."""
        at, skip = self.at, self.skip
        for row in rows:
            starts_at = _expected_start(row)
            at, skip = (starts_at, 1) if starts_at is not None and starts_at > at else (at, skip + 1)
        return PrefectCursor(at, skip, self.until)


def _expected_start(row: Any) -> datetime | None:
    try:
        return fields.instant(fields.table(row), "expected_start_time")
    except RecordUnreadable:
        return None


EVENT_PAGES_PER_POLL = 20  # of events, fifty each


def read_changes_since(client: PrefectClient, at: datetime, result: PollResult) -> tuple[set[str], datetime | None]:
    """Ids of the runs that changed, and up to when they were read; None: all of them."""
    changed: set[str] = set()
    reply = client.events(at)
    if reply.status != 200:
        result.warn(f"Prefect's events cannot be read ({reply.status}): their start and end are read instead")
        return _without_events(client, at, result), None
    for page in range(EVENT_PAGES_PER_POLL):
        rows = reply.rows("events")
        events = fields.readable(rows, _parse_event, "events", result.skipped)
        result.complete = result.complete and len(events) == len(rows)
        changed |= {run for run, _ in events}
        following = page_token(reply.table().get("next_page"))
        if not following or not rows:
            break
        if page == EVENT_PAGES_PER_POLL - 1 or client.deadline.is_below(0.5):
            return changed, next((at for _, at in reversed(events) if at is not None), None)
        reply = client.more_events(following)
    return changed, None


def _parse_event(row: Any) -> tuple[str, datetime | None]:
    event = fields.table(row)
    resource = fields.table(event.get("resource"))
    run = fields.text(resource, "prefect.resource.id").removeprefix(RUN_EVENT_PREFIX)
    return parse.parse_id({"id": run}), fields.instant(event, "occurred")


def _without_events(client: PrefectClient, at: datetime, result: PollResult) -> set[str]:
    """A state that was forced upon an ended run is not seen."""
    changed: set[str] = set()
    began = (at - timedelta(seconds=1)).isoformat()
    for where, sort in (
        ({"state": {"type": {"any_": ["RUNNING", "PAUSED", "CANCELLING", "PENDING"]}}}, "ID_DESC"),
        ({"start_time": {"after_": began}}, "START_TIME_ASC"),
        ({"end_time": {"after_": began}}, "END_TIME_DESC"),
    ):
        for page in range(EVENT_PAGES_PER_POLL):
            rows = list_rows(client.runs(where, sort, page * PAGE_LIMIT))
            ids = fields.readable(rows, lambda row: parse.parse_id(fields.table(row)), "flow_runs", result.skipped)
            changed.update(ids)
            if len(rows) < PAGE_LIMIT:
                break
        else:
            result.complete = False
            most = EVENT_PAGES_PER_POLL * PAGE_LIMIT
            result.warn(f"more than {most} runs began or ended since {began}: the rest is not read")
    return changed


EVENT_RETENTION = timedelta(days=6, hours=12)
"""PREFECT_EVENTS_RETENTION_PERIOD is seven days by default: a longer absence is made up for by walking again."""
