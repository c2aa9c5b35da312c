"""One poll: a bite of history, or what runs, what started since, and some older runs in turns; with their repairs.

A repair changes a run in its old place in the list, and only the run itself tells its repairs: so what runs, what is
not green and what was tried more than once is asked for one by one.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import fields
from connectors.contract import Poll, RecordUnreadable, RunRef, State
from connectors.databricks import parse, walk
from connectors.databricks.client import RUNS_LIMIT, DatabricksClient
from connectors.databricks.cursor import Mark, mark_of
from connectors.databricks.pages import pages, whole
from connectors.databricks.states import word_of
from connectors.gathered import Gathered, Told

OVERLAP = 10 * 60 * 1000
SEEN_AFTER = timedelta(seconds=60)
ACTIVE_PAGES = 40
NEWEST_PAGES = 40
MOST_REQUESTS = 60
"""For single runs, a poll."""
MOST_KEPT = 5000
RESERVE = 0.25
KEPT_MS = parse.KEPT // timedelta(milliseconds=1)
GREEN = (State.SUCCEEDED, State.SKIPPED)


class Poller:
    """Follows one workspace."""

    def __init__(self, client: DatabricksClient, watched: Callable[[str, str], bool], history_days: int) -> None:
        self._client, self._watched = client, watched
        self._history = history_days * 86400 * 1000
        self._told = Told()
        self._ended: OrderedDict[int, tuple[str, fields.Row]] = OrderedDict()
        """Run -> how its row in the list looked when it was asked for, and the run."""
        self._left = 0

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says. A calm poll costs three requests, and one for each run that is open."""
        found, seen = Gathered(), set[int]()
        self._left = MOST_REQUESTS
        clock, active = None, list[Any]()
        for rows, reply in pages(lambda page: self._client.runs(page, active_only="true"), "runs", ACTIVE_PAGES):
            clock, active = reply.clock, active + rows
        now = clock.target if clock else datetime.now(UTC)
        mark = self._mark(cursor, now, found)

        def take(rows: list[Any]) -> None:
            for row in rows:
                self._take(row, seen, found)

        if mark.until:
            following = walk.bite(self._client, mark, take)
        else:
            following = self._follow(mark, _ms(now), take, found)
        take(active)
        self._open(open_runs, seen, found)
        more = bool(mark.until or following.until)
        return Poll(
            runs=self._told.new(found.records.values(), cursor, following.told()),
            cursor=following.told(),
            more=more,
            complete=found.complete,
            clock=clock,
            skipped=tuple(found.skipped),
            seen_until=None if more or not found.complete else now - SEEN_AFTER,
            warnings=tuple(found.warnings),
        )

    def _mark(self, cursor: str, now: datetime, found: Gathered) -> Mark:
        try:
            if cursor:
                return mark_of(cursor)
        except RecordUnreadable as error:
            found.warn(f"the cursor cannot be read ({error}); history is read again")
        return Mark(_ms(now) - self._history, _ms(now))

    # where the runs come from

    def _follow(self, mark: Mark, now: int, take: Callable[[list[Any]], None], found: Gathered) -> Mark:
        since, count, reply = mark.at - OVERLAP, 0, None
        listed = pages(lambda page: self._client.runs(page, start_time_from=since), "runs", NEWEST_PAGES)
        for count, (rows, reply) in enumerate(listed, 1):  # noqa: B007  both are read below
            take(rows)
        if count == NEWEST_PAGES and reply is not None and reply.table().get("next_page_token"):
            return Mark(since, now)
        return Mark(max(now, mark.at), older=self._older(mark.older or since, now, take))

    def _older(self, until: int, now: int, take: Callable[[list[Any]], None]) -> int:
        """A page of runs that started before `until`; where the next look begins."""
        rows, _ = next(pages(lambda page: self._client.runs(page, start_time_to=until), "runs", 1))
        take(rows)
        last = min(walk.started_of(rows[-1]), until - 1) if len(rows) >= RUNS_LIMIT else 0
        return last if last > now - KEPT_MS else 0

    def _open(self, open_runs: Sequence[RunRef], seen: set[int], found: Gathered) -> None:
        """The runs that the engine thinks open and that did not show up by themselves."""
        for known in open_runs:
            run = reference(known).get("run", 0)
            if not run or (known.job, known.attempt_key) in found.records:
                continue
            if self._client.deadline.left < self._client.deadline.seconds * RESERVE:
                found.complete = False
                found.warn("time ran out before all open runs were looked at: the rest comes with the next poll")
                return
            row = self._asked(run)
            if row is None:
                found.add(parse.gone(known, datetime.now(UTC)))
            elif row.get("run_id") != run:
                found.skip("runs", RecordUnreadable("the answer is about another run than we asked for"), row)
                found.complete = False
            else:
                self._tell(row, row, found)

    def _asked(self, run: int) -> fields.Row | None:
        return whole(lambda page: self._client.run(run, page))

    # what they become

    def _take(self, row: Any, seen: set[int], found: Gathered) -> None:
        try:
            row = fields.table(row)
            run = parse.id_of(row, "run_id")
            if run in seen or not self._watched(str(parse.id_of(row, "job_id")), fields.words(row, "run_name")):
                return
            full = self._with_repairs(row, run, found)
        except RecordUnreadable as error:
            found.skip("runs", error, row)
            return
        seen.add(run)
        self._tell(row, full, found)

    def _with_repairs(self, row: fields.Row, run: int, found: Gathered) -> fields.Row:
        """The run with its history, where the list's row may hide some of it."""
        word, tasks, known = word_of(row), parse.tasks_of(row), self._ended.get(run)
        tried = any(task.get("attempt_number") not in (0, None) for task in tasks)
        if word.state in GREEN and not tried and known is None and row.get("has_more") is not True:
            return row
        looks = f"{word.native} {row.get('end_time')} {sorted(str(task.get('run_id')) for task in tasks)}"
        if known is not None and known[0] == looks:
            return known[1]
        if not self._may_ask(found):
            return row
        full = self._asked(run)
        if full is None or full.get("run_id") != run:
            return row
        if not word.state.is_open and word.state is not State.UNKNOWN:
            self._ended[run] = looks, full
            if len(self._ended) > MOST_KEPT:
                self._ended.popitem(last=False)
        return full

    def _may_ask(self, found: Gathered) -> bool:
        self._left -= 1
        if self._left >= 0 and self._client.deadline.left > self._client.deadline.seconds * RESERVE:
            return True
        found.warn("too many runs changed at once: the repairs of some are not read yet")
        return False

    def _tell(self, row: fields.Row, full: fields.Row, found: Gathered) -> None:
        try:
            attempts = parse.runs(full)
            told = [*attempts, *parse.task_runs(full, attempts)]
        except RecordUnreadable as error:
            found.skip("runs", error, row)
            return
        for one in told:
            found.add(one)
            if one.state is State.UNKNOWN:
                found.warn(f"state {one.native_state!r} of a run is not known to Headway")


def reference(known: RunRef) -> dict[str, Any]:
    """What `native_ref` holds of a run that the engine hands us: run, repair, task, task_run; empty where it is not one
    of ours (a MISSED run has none)."""
    try:
        row = fields.table(json.loads(known.native_ref))
        run, task_run = parse.id_of(row, "run"), fields.number(row, "task_run", 0)
        told = {"run": run, "repair": fields.number(row, "repair", 0), "task": fields.words(row, "task")}
        return {**told, "task_run": task_run}
    except (ValueError, RecursionError, RecordUnreadable):
        return {}


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
