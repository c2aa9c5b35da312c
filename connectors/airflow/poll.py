"""One poll: what changed, put together, and the open runs that did not show up by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from connectors import fields
from connectors.airflow import parse, parse_tasks, walk
from connectors.airflow.client import BEGINNING, RUNS_OF_ALL, TASKS_OF_ALL, AirflowClient
from connectors.airflow.edges import Edges
from connectors.airflow.instances import named, read
from connectors.airflow.parse import Period
from connectors.airflow.parse_tasks import Instance, Key
from connectors.airflow.pools import Pools
from connectors.airflow.questions import Questions
from connectors.airflow.references import Reference, gone, reference, superseded
from connectors.airflow.sparing import Sparing
from connectors.airflow.waiting import still_open
from connectors.contract import Poll, RecordUnreadable, RunRecord, RunRef, State
from connectors.gathered import Gathered, Told

TASK_HISTORY = timedelta(days=14)
"""How far back task instances are read at first; DAG runs are read as far back as Airflow has them."""

OPEN_RUNS_A_POLL = 40
"""Open runs asked for one by one; running ones come by themselves, since Airflow touches them every second."""

OLD_TRIES_A_POLL = 30
"""Histories of tries that one poll reads; the attempts beyond end as UNKNOWN."""

RESERVE = 0.2
"""Share of a call's time that no request for a single run is begun in."""

REMEMBERED_PERIODS = 50_000


class Poller:
    """Follows one Airflow. Remembers only what spares requests: periods of runs, and what was told last."""

    def __init__(self, client: AirflowClient, base_url: str, patterns: Sequence[str]) -> None:
        self._client = client
        self._base_url = base_url
        self._patterns = patterns
        self._periods: dict[tuple[str, str], Period] = {}
        self._told = Told()
        self._told_with = (Edges(client, self.watched, self._periods.get), Questions(client), Pools(client))
        self._sparing = Sparing(client)
        self._turn = 0

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says. Requests in a calm poll: two lists, one for failed tasks where runs ended."""
        found = Gathered()
        runs_mark, tasks_mark = self._marks(cursor, found)
        runs = self._runs(runs_mark, open_runs)
        self._take_runs(runs.rows, found)
        tasks = self._tasks(tasks_mark, runs.more)
        self._learn_periods(tasks.rows)
        self._take_tasks(tasks.rows, open_runs, found)
        self._take_open_runs(open_runs, found)
        for told_with in self._told_with:
            told_with.attach(found)
        for broken in (runs.broken, tasks.broken):
            if broken:
                found.complete = False
                found.warn(f"the list of changes was not read to its end: {broken}")
        following = json.dumps({"v": 1, "runs": runs.mark.told(), "tasks": tasks.mark.told()})
        more = runs.more or tasks.more
        return Poll(
            runs=self._told.new(found.records.values(), cursor, following),
            cursor=following,
            more=more,
            complete=found.complete,
            clock=runs.clock,
            skipped=tuple(found.skipped),
            seen_until=None if runs.more or runs.broken else runs.mark.since,
            warnings=tuple(found.warnings),
        )

    def _runs(self, mark: walk.Mark, open_runs: Sequence[RunRef]) -> walk.Bite:
        return self._sparing.instead(mark, open_runs) or self._sparing.walked(
            mark, lambda at: walk.bite(self._client, RUNS_OF_ALL, "dag_runs", at, keep=0.7)
        )

    def _tasks(self, mark: walk.Mark, runs_to_come: bool) -> walk.Bite:
        """Task instances of Airflow 2 do not tell their period: there the runs are read first."""
        if runs_to_come and self._client.major == 2:
            return walk.Bite(mark)
        return walk.bite(self._client, TASKS_OF_ALL, "task_instances", mark, keep=0.4)

    def _learn_periods(self, rows: Sequence[Any]) -> None:
        """Of runs that did not change lately and whose tasks do not tell it (Airflow 2), each by a look at its run."""
        if self._client.major != 2:
            return
        named = {(str(row.get("dag_id")), str(row.get("dag_run_id"))) for row in rows if isinstance(row, dict)}
        for dag, run in sorted(named - self._periods.keys()):
            if self._is_late or not self.watched(dag):
                continue
            reply = self._client.run(dag, run)
            with suppress(RecordUnreadable):
                if reply.status == 200:
                    self._periods[dag, run] = parse.period_of(reply.table())

    def _marks(self, cursor: str, found: Gathered) -> tuple[walk.Mark, walk.Mark]:
        first = walk.Mark(BEGINNING), walk.Mark(datetime.now(UTC) - TASK_HISTORY)
        if not cursor:
            return first
        try:
            table = fields.table(json.loads(cursor))
            return walk.Mark.of(table.get("runs")), walk.Mark.of(table.get("tasks"))
        except (ValueError, RecursionError, RecordUnreadable) as error:
            found.warn(f"the cursor cannot be read ({error}); history is read again from its beginning")
            return first

    def watched(self, dag: str) -> bool:
        """Whether the options ask for this DAG."""
        return any(fnmatchcase(dag, pattern) for pattern in self._patterns)

    @property
    def _is_late(self) -> bool:
        return self._client.deadline.left < self._client.deadline.seconds * RESERVE

    # DAG runs

    def _take_runs(self, rows: Sequence[Any], found: Gathered) -> None:
        rows = [row for row in rows if not isinstance(row, dict) or self.watched(str(row.get("dag_id")))]
        red = self._not_green(rows, found)
        for row in rows:
            self._take_run(row, red, found)

    def _take_run(self, row: Any, red: dict[tuple[str, str], list[str]], found: Gathered) -> RunRecord | None:
        try:
            key = _run_key(row)
            record = parse.run(row, self._base_url, sorted(red.get(key, ())))
        except RecordUnreadable as error:
            found.skip("dagRuns", error, row)
            return None
        if record.state is State.UNKNOWN:
            found.warn(f"DAG run state {record.native_state!r} is not known to Headway")
        while len(self._periods) >= REMEMBERED_PERIODS:
            self._periods.pop(next(iter(self._periods)))
        self._periods[key] = Period(record.period_key or key[1], record.period_at, record.interval_start)
        found.add(record)
        return record

    def _not_green(self, rows: Sequence[Any], found: Gathered) -> dict[tuple[str, str], list[str]]:
        """Failed and blocked tasks of the runs that have ended: a run is a success although tasks failed, when its
        last tasks passed."""
        ended = [row for row in rows if isinstance(row, dict) and row.get("state") in ("success", "failed")]
        red: dict[tuple[str, str], list[str]] = {}
        for first in range(0, len(ended), 100):
            some = ended[first : first + 100]
            answer = named(self._client, {**_named(some), "state": ["failed", "upstream_failed"]}, found)
            for one in answer.read:
                red.setdefault(one.key[:2], []).append(f"{parse_tasks.name_of(one)} ({one.native})")
            for run in {(str(row.get("dag_id")), str(row.get("dag_run_id"))) for row in some}:
                red.setdefault(run, []).extend(f"{name} (cannot be read)" for name in answer.unread_of(run))
        return red

    # tasks

    def _take_tasks(self, rows: Sequence[Any], open_runs: Sequence[RunRef], found: Gathered) -> None:
        changed = self._grouped(one for one in read(rows, found) if self.watched(one.key[0]))
        mapped = [key for key, group in changed.items() if any(one.map_index >= 0 for one in group)]
        for first in range(0, len(mapped), 50):
            some = set(mapped[first : first + 50])
            body = {
                "dag_ids": sorted({key[0] for key in some}),
                "dag_run_ids": sorted({key[1] for key in some}),
                "task_ids": sorted({key[2] for key in some}),
            }
            answer = named(self._client, body, found)
            changed |= self._grouped(one for one in answer.read if one.key in some)
            changed = {key: group for key, group in changed.items() if not answer.is_partly_read(key)}
        for group in changed.values():
            self._take_group(group, found)
        self._close_old_tries(changed, open_runs, found)

    def _grouped(self, instances: Iterable[Instance]) -> dict[Key, list[Instance]]:
        """By task and run; of an instance that came twice, the later row."""
        groups: dict[Key, dict[int, Instance]] = {}
        for one in instances:
            groups.setdefault(one.key, {})[one.map_index] = one
        return {key: list(group.values()) for key, group in groups.items()}

    def _take_group(self, group: Sequence[Instance], found: Gathered) -> None:
        try:
            found.add(parse_tasks.merged(group, self._period(group[0]), self._base_url))
        except RecordUnreadable as error:
            found.skip("taskInstances", error, dict(group[0].row))
        for one in group:
            if one.state is State.UNKNOWN:
                found.warn(f"task state {one.native!r} is not known to Headway")

    def _period(self, one: Instance) -> Period:
        return self._periods.get(one.key[:2]) or parse.period_of(one.row)

    def _close_old_tries(
        self, current: dict[Key, list[Instance]], open_runs: Sequence[RunRef], found: Gathered
    ) -> None:
        """An open attempt of a task whose instance has a new id by now: its end is in Airflow's history of tries."""
        left = OLD_TRIES_A_POLL
        for known in open_runs:
            at = reference(known)
            group = current.get((at.dag, at.run, at.task)) if at else None
            if at is None or not group or found.tells(known):
                continue
            told = len(group) == 1 and group[0].map_index < 0 and left > 0 and not self._is_late
            left -= told
            ended = self._old_try(known, at, group[0], found) if told else None
            found.add(ended or superseded(known, self._period(group[0])))

    def _old_try(self, known: RunRef, at: Reference, one: Instance, found: Gathered) -> RunRecord | None:
        reply = self._client.tries(at.dag, at.run, at.task, -1)
        rows = fields.rows(reply.table().get("task_instances")) if reply.status == 200 else []
        for row in rows:
            if isinstance(row, dict) and row.get("try_number") == at.try_number:
                try:
                    ended = parse_tasks.old_try(one, row, self._period(one), self._base_url, known.attempt_key)
                except RecordUnreadable as error:
                    found.skip("tries", error, row)
                    return None
                return None if ended.state.is_open else ended
        return None

    # open runs that did not show up

    def _take_open_runs(self, open_runs: Sequence[RunRef], found: Gathered) -> None:
        missing = [one for one in open_runs if not found.tells(one)]
        turn = self._turn % len(missing) if missing else 0
        some = (missing[turn:] + missing[:turn])[:OPEN_RUNS_A_POLL]
        self._turn = turn + len(some)
        self._take_open_tasks([one for one in some if (at := reference(one)) and at.task], found)
        runs = [(one, at) for one in missing if (at := reference(one)) and not at.task]
        listed = still_open(self._client, (at.dag for _, at in runs))
        left = OPEN_RUNS_A_POLL
        for known, at in runs[turn % len(runs) :] + runs[: turn % len(runs)] if runs else ():
            row = listed.get((at.dag, at.run))
            if row is not None:
                self._take_listed_run(known, at, row, found)
            elif left and not self._is_late:
                left -= 1
                self._take_open_run(known, at, found)

    def _take_listed_run(self, known: RunRef, at: Reference, row: fields.Row, found: Gathered) -> None:
        record = self._take_run(row, {}, found)
        if record is not None and not found.tells(known):
            found.add(superseded(known, self._periods[at.dag, at.run]))

    def _take_open_run(self, known: RunRef, at: Reference, found: Gathered) -> None:
        reply = self._client.run(at.dag, at.run)
        if reply.status == 404:
            found.add(gone(known))
            return
        row = reply.table()
        if (row.get("dag_id"), row.get("dag_run_id")) != (at.dag, at.run):
            found.skip("dagRuns", RecordUnreadable("the answer is about another run than we asked for"), row)
            return
        record = self._take_run(row, self._not_green([row], found), found)
        if record is not None and not found.tells(known):
            found.add(superseded(known, self._periods[at.dag, at.run]))

    def _take_open_tasks(self, some: Sequence[RunRef], found: Gathered) -> None:
        places = [at for one in some if (at := reference(one))]
        if not places:
            return
        body = {
            "dag_ids": sorted({at.dag for at in places}),
            "dag_run_ids": sorted({at.run for at in places}),
            "task_ids": sorted({at.task for at in places}),
        }
        wanted = {(at.dag, at.run, at.task) for at in places}
        answer = named(self._client, body, found)
        groups = self._grouped(one for one in answer.read if one.key in wanted)
        groups = {key: group for key, group in groups.items() if not answer.is_partly_read(key)}
        for group in groups.values():
            self._take_group(group, found)
        self._close_old_tries(groups, some, found)
        for known in some:
            at = reference(known)
            if at and answer.is_gone((at.dag, at.run, at.task)):
                found.add(gone(known))


def _run_key(row: Any) -> tuple[str, str]:
    row = fields.table(row)
    return fields.text(row, "dag_id"), fields.text(row, "dag_run_id")


def _named(rows: Sequence[fields.Row]) -> dict[str, list[str]]:
    return {
        "dag_ids": sorted({str(row.get("dag_id")) for row in rows}),
        "dag_run_ids": sorted({str(row.get("dag_run_id")) for row in rows}),
    }
