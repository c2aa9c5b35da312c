"""One poll: the runs of a bite of history, or those that changed; with their attempts, and tasks that are not green."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import fields
from connectors.contract import Gap, Poll, RecordUnreadable, RunRef, State, SystemUnreachable
from connectors.gathered import Gathered, Told
from connectors.prefect import changes, parse
from connectors.prefect.client import PAGE_LIMIT, PrefectClient, rows_of
from connectors.prefect.cursor import BEGINNING, Mark, mark_of
from connectors.prefect.names import Names
from connectors.prefect.references import gone, reference

OVERLAP = timedelta(seconds=60)
"""Events are written a moment after the change that they tell of, and the servers behind one address are several."""
PAGES_A_BITE = 3
TASK_PAGES = 10
HISTORIES_KEPT = 1000
RUNS_ASKED = 50
"""Runs whose tasks are asked for in one call."""
RESERVE = 0.25
"""Share of a call's time in which no request for a single run is begun."""


class Poller:
    """Follows one Prefect."""

    def __init__(self, client: PrefectClient, names: Names, ui: str) -> None:
        self._client = client
        self._names = names
        self._ui = ui
        self._told = Told()
        self._histories: dict[str, tuple[str, list[parse.Step]]] = {}
        """Run -> its state and the history up to that."""

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says. A calm poll costs the version, a page of events and the open runs' rows."""
        found, gaps = Gathered(), list[Gap]()
        clock = self._client.version().clock
        now = clock.target if clock else datetime.now(UTC)
        mark = self._mark(cursor, now, found, gaps)
        known = {at.run: one.job for one in open_runs if (at := reference(one))}
        if mark.until is not None:
            following, more = self._walk(mark, now, known, found)
        else:
            following, more = self._follow(mark, now, known, found)
        self._open(open_runs, now, known, found)
        told = following.told()
        return Poll(
            runs=self._told.new(found.records.values(), cursor, told),
            cursor=told,
            more=more,
            complete=found.complete,
            clock=clock,
            skipped=tuple(found.skipped),
            gaps=tuple(gaps),
            seen_until=None if more or following.until is not None or not found.complete else following.at,
            warnings=tuple(found.warnings),
        )

    def _mark(self, cursor: str, now: datetime, found: Gathered, gaps: list[Gap]) -> Mark:
        try:
            mark = mark_of(cursor) if cursor else Mark(BEGINNING, 0, now)
        except RecordUnreadable as error:
            found.warn(f"the cursor cannot be read ({error}); history is read again from its beginning")
            return Mark(BEGINNING, 0, now)
        if mark.until is None and now - mark.at > changes.KEPT:
            gaps.append(Gap(mark.at, now, "events are kept for seven days: old runs rerun since are not seen"))
            return Mark(mark.at - timedelta(days=1), 0, now)
        return mark

    # where the runs come from

    def _walk(self, mark: Mark, now: datetime, known: dict[str, str], found: Gathered) -> tuple[Mark, bool]:
        """A bite of history; the feed begins where the walk began."""
        until = mark.until or now
        for _ in range(PAGES_A_BITE):
            where = {"expected_start_time": {"after_": mark.at.isoformat(), "before_": until.isoformat()}}
            rows = rows_of(self._client.runs(where, "EXPECTED_START_TIME_ASC", mark.skip))
            if rows and not _obeys(rows[0], mark.at):
                raise SystemUnreachable("Prefect: the list of runs does not begin where it was asked to")
            taken = self._take(rows, now, known, found)
            mark = mark.after(rows[:taken])
            if taken == len(rows) < PAGE_LIMIT:
                return Mark(until - OVERLAP), False
            if taken < len(rows) or self._is_late:
                break
        return mark, True

    def _follow(self, mark: Mark, now: datetime, known: dict[str, str], found: Gathered) -> tuple[Mark, bool]:
        since = changes.since(self._client, mark.at, found)
        if not self._rows(since.runs, now, known, found):
            return mark, False
        if since.until is not None:
            return Mark(max(since.until, mark.at + timedelta(microseconds=1))), True
        return Mark(max(now - OVERLAP, mark.at)), False

    def _open(self, open_runs: Sequence[RunRef], now: datetime, known: dict[str, str], found: Gathered) -> None:
        """The runs that the engine thinks open and that did not show up by themselves."""
        missing = {}
        for one in open_runs:
            at = reference(one)
            if at is not None and (one.job, one.attempt_key) not in found.records:
                missing[at.run] = one
        there = self._seen(missing, now, known, found)
        for run, one in missing.items():
            if there is not None and run not in there and found.complete:
                found.add(gone(one))

    def _rows(self, runs: set[str], now: datetime, known: dict[str, str], found: Gathered) -> bool:
        """Reads these runs; False where they could not all be read in time."""
        return self._seen(runs, now, known, found) is not None

    def _seen(self, runs: Iterable[str], now: datetime, known: dict[str, str], found: Gathered) -> set[str] | None:
        """Reads these runs: those that are there. None where time ran out."""
        wanted, there = sorted(runs), set[str]()
        for first in range(0, len(wanted), PAGE_LIMIT):
            some = wanted[first : first + PAGE_LIMIT]
            rows = [row for row in rows_of(self._client.runs_of(some)) if self._was_asked(row, some, found)]
            there |= {str(row["id"]) for row in rows}
            if self._take(rows, now, known, found) < len(rows):
                found.complete = False
                found.warn("time ran out before all runs that changed were read: the rest comes with the next poll")
                return None
        return there

    def _was_asked(self, row: Any, some: list[str], found: Gathered) -> bool:
        if isinstance(row, dict) and row.get("id") in some:
            return True
        found.skip("flow_runs", RecordUnreadable("the answer is about another run than we asked for"), row)
        found.complete = False
        return False

    # what they become

    def _take(self, rows: Sequence[Any], now: datetime, known: dict[str, str], found: Gathered) -> int:
        """Tells these runs; how many, where time ran out before the last."""
        self._names.learn(rows)
        histories: dict[str, list[parse.Step]] = {}
        kept: list[Any] = []
        taken = 0
        for row in rows:
            try:
                if self._counts(row, now) and parse.needs_history(row):
                    if self._is_late:
                        break
                    histories[parse.id_of(row)] = self._history(row, found)
                kept.append(row)
            except RecordUnreadable as error:
                found.skip("flow_runs", error, row)
            taken += 1
        red = self._not_green(kept, histories, found)
        for row in kept:
            self._tell(row, now, histories, red, known, found)
        return taken

    def _counts(self, row: Any, now: datetime) -> bool:
        return isinstance(row, dict) and not parse.is_ahead(row, now)

    def _history(self, row: fields.Row, found: Gathered) -> list[parse.Step]:
        """Read again only once the run's state is another: history is only added to."""
        run, state = parse.id_of(row), fields.words(row, "state_id")
        known = self._histories.pop(run, None)
        if known is None or not state or known[0] != state:
            known = state, self._steps(run, found)
        self._histories[run] = known
        if len(self._histories) > HISTORIES_KEPT:
            del self._histories[next(iter(self._histories))]
        return known[1]

    def _steps(self, run: str, found: Gathered) -> list[parse.Step]:
        steps = []
        for row in rows_of(self._client.states(run)):
            try:
                steps.append(parse.step(row))
            except RecordUnreadable as error:
                found.skip("flow_run_states", error, row)
        return sorted(steps, key=lambda one: one.at)

    def _not_green(
        self, rows: Sequence[Any], histories: dict[str, list[parse.Step]], found: Gathered
    ) -> dict[str, list[parse.Task]]:
        """Tasks that are not green, of the runs of which an attempt completed: Prefect calls those green."""
        wanted = [
            str(row["id"])
            for row in rows
            if isinstance(row, dict)
            and (
                row.get("state_type") == "COMPLETED"
                or any(step.type == "COMPLETED" for step in histories.get(str(row.get("id")), ()))
            )
        ]
        red: dict[str, list[parse.Task]] = {}
        for first in range(0, len(wanted), RUNS_ASKED):
            for one in self._red_tasks(wanted[first : first + RUNS_ASKED], found):
                red.setdefault(one.run, []).append(one)
        return red

    def _red_tasks(self, runs: Sequence[str], found: Gathered) -> list[parse.Task]:
        told = []
        for page in range(TASK_PAGES):
            rows = rows_of(self._client.not_green(runs, page * PAGE_LIMIT))
            for row in rows:
                try:
                    one = parse.task(row)
                except RecordUnreadable as error:
                    found.skip("task_runs", error, row)
                    found.complete = False
                    continue
                told += [one] if one is not None and one.run in runs else []
            if len(rows) < PAGE_LIMIT:
                return told
        if len(runs) > 1:  # the many of one run hide those of the others
            return [task for run in runs for task in self._red_tasks([run], found)]
        found.warn(f"a flow run has {TASK_PAGES * PAGE_LIMIT} or more tasks that are not green: the rest is not read")
        return told or [parse.not_read(runs[0])]

    def _tell(
        self,
        row: Any,
        now: datetime,
        histories: dict[str, list[parse.Step]],
        red: dict[str, list[parse.Task]],
        known: dict[str, str],
        found: Gathered,
    ) -> None:
        try:
            row = fields.table(row)
            run = parse.id_of(row)
            job = known.get(run) or self._names.of_run(row)
            if parse.is_ahead(row, now) or not self._names.watched(job):
                return
            told = parse.runs(row, job, histories.get(run, ()), red.get(run, ()), self._ui)
        except RecordUnreadable as error:
            found.skip("flow_runs", error, row)
            return
        for one in told:
            found.add(one)
            if one.state is State.UNKNOWN:
                found.warn(f"state {one.native_state!r} of a flow run is not known to Headway")

    @property
    def _is_late(self) -> bool:
        return self._client.deadline.left < self._client.deadline.seconds * RESERVE


def _obeys(row: Any, since: datetime) -> bool:
    try:
        at = fields.instant(fields.table(row), "expected_start_time")
    except RecordUnreadable:
        return True
    return at is None or at >= since
