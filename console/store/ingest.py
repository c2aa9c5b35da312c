"""Records and the cursor that follows them: one transaction. What changes nothing writes nothing.

Reads what is stored of the batch's attempts, merges in memory (`merging`), writes only what differs. Measured against
a bare upsert of the same rows: `python -m tests.bench.ingest`.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection

from connectors.contract import Skipped
from console.failpoints import failpoint
from console.model.ids import micros
from console.store import target
from console.store.batch import IngestBatch, Ingested
from console.store.incoming import Identity, Incoming, read
from console.store.latest import Shown, remove_runs, roll_latest, shown
from console.store.logs import insert_tails
from console.store.merging import (
    ATTEMPT_COLUMNS,
    AttemptRow,
    Birth,
    RunRow,
    attempt_row,
    finality,
    merge,
    numbered,
    run_of,
)
from console.store.open import Store, next_changed_seq
from console.store.wire import Wire, wire

__all__ = ["IngestBatch", "Ingested", "ingest", "record_failure"]

record_failure = target.record_failure

_ATTEMPTS = ", ".join(f"t.{column}" for column in ATTEMPT_COLUMNS)
_RUNS = ", ".join(f"r.{column}" for column in RunRow._fields)
# ruff: noqa: S608  (the statements are made of our own column names; every value is bound)
_ATTEMPTS_BY_IDENTITY = f"SELECT {_ATTEMPTS} FROM {{keys}} JOIN attempt t ON t.job_id = k.a AND t.attempt_key = k.b"
_ATTEMPTS_OF_RUNS = f"SELECT {_ATTEMPTS} FROM {{keys}} JOIN attempt t ON t.run_id = k.a"
_RUNS_BY_IDENTITY = f"SELECT {_RUNS} FROM {{keys}} JOIN run r ON r.job_id = k.a AND r.period_key = k.b"
_RUNS_BY_ID = f"SELECT {_RUNS} FROM {{keys}} JOIN run r ON r.id = k.a"
_PLACED = RunRow._fields.index("state")
"""Columns of a run before this one say which run it is and where it stands in time."""
_RUN_TOLD = ("id", *RunRow._fields[_PLACED:])
_ATTEMPT_TOLD = ("id", *ATTEMPT_COLUMNS[5:])


@dataclass(slots=True)
class Work:
    """One batch on its way through the transaction."""

    attempts: dict[Identity, AttemptRow] = field(default_factory=dict)
    """Stored attempts that the batch names."""
    touched: dict[int, list[AttemptRow]] = field(default_factory=lambda: defaultdict(list))
    """Attempts that are new or differ, by run id."""
    births: dict[int, dict[str, Incoming]] = field(default_factory=lambda: defaultdict(dict))
    """Run id -> attempt key -> what the batch says, for runs that may get a new first attempt."""
    left: set[int] = field(default_factory=set)
    """Runs that an attempt was taken from."""
    keys: dict[int, tuple[int, int, str]] = field(default_factory=dict)
    """(id, job id, period key) of each run that is new."""


def ingest(store: Store, target_id: int, batch: IngestBatch, fence: int | None) -> Ingested:
    """Writes a poll's records (up to 5,000 are best) and its cursor; the runs and jobs that really changed.

    A record that cannot be kept (a name over 1,000 bytes, an instant without zone) is counted at the target with its
    reason and left out. Raises LeaseLost, and then nothing is written.
    """
    with store.write(fence) as connection, _without_collector():
        lines = wire(connection)
        skipped: list[Skipped] = []
        incoming = read(lines, target_id, batch, skipped)
        runs, jobs = write_runs(connection, lines, batch, incoming)
        insert_tails(lines, target_id, batch.tails, micros(batch.now))
        target.record_success(lines, target_id, batch, skipped)
        failpoint("ingest.before_commit")
    return Ingested(tuple(runs), tuple(jobs), tuple(skipped))


@contextmanager
def _without_collector() -> Iterator[None]:
    """A batch makes some 100,000 tuples and no cycle; looking for cycles among them costs as much as the writing.
    Inside of a write, so that one thread at a time does this."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def write_runs(
    connection: Connection, lines: Wire, batch: IngestBatch, incoming: dict[Identity, Incoming]
) -> tuple[list[int], list[int]]:
    work = Work()
    former = {identity: before for identity, one in incoming.items() if (before := one.formerly) is not None}
    asked = [*incoming, *sorted({*former.values()} - incoming.keys())]
    stored = map(attempt_row, lines.by_keys(_ATTEMPTS_BY_IDENTITY, "it", asked))
    work.attempts = {(row.job_id, row.attempt_key): row for row in stored}
    _take_new_names(work.attempts, incoming, former)
    new = [one for identity, one in incoming.items() if identity not in work.attempts]
    _merge_known(work, incoming)
    if not new and not work.touched and not work.left:
        return [], []
    runs = _runs_of(lines, work, new)
    _place_new(lines, work, runs, new)
    return _write_changes(lines, work, runs, batch, next_changed_seq(connection))


def _take_new_names(
    known: dict[Identity, AttemptRow], incoming: dict[Identity, Incoming], former: dict[Identity, Identity]
) -> None:
    """An open attempt that the batch tells under another key is known by that from here on."""
    for identity, before in former.items():
        row = None if before in incoming else known.pop(before, None)
        if row is not None and identity not in known and finality(row.content) == 0:
            known[identity] = row


def _merge_known(work: Work, incoming: dict[Identity, Incoming]) -> None:
    """Fills `touched` with the stored attempts that the batch changes, and `left` where one moves to another run."""
    for identity, row in work.attempts.items():
        one = incoming[identity]
        same = (one.content, one.attempt_key) == (row.content, row.attempt_key)
        if same and one.observed_us >= row.observed_us and one.run_id in (None, row.run_id):
            continue
        content, observed_us = merge(row.content, row.observed_us, one.content, one.observed_us)
        run_id = row.run_id if one.run_id is None else one.run_id
        merged = row._replace(attempt_key=one.attempt_key, content=content, observed_us=observed_us, run_id=run_id)
        if merged != row:
            work.touched[run_id].append(merged)
            if run_id != row.run_id:
                work.left.add(row.run_id)
            elif (content.state, content.started_us) == (one.content.state, one.content.started_us):
                work.births[run_id][merged.attempt_key] = one


def _runs_of(lines: Wire, work: Work, new: list[Incoming]) -> dict[int, RunRow]:
    """Stored runs that the batch may change, by id."""
    ids = sorted({*work.touched, *work.left, *(one.run_id for one in new if one.run_id is not None)})
    identities = sorted({(one.job_id, one.period_key) for one in new if one.run_id is None})
    found = [*lines.by_keys(_RUNS_BY_ID, "i", ids), *lines.by_keys(_RUNS_BY_IDENTITY, "it", identities)]
    return {row[0]: RunRow(*row) for row in found}


def _place_new(lines: Wire, work: Work, runs: dict[int, RunRow], new: list[Incoming]) -> None:
    """Gives each new attempt an id and its run; a period that no run has yet gets one."""
    run_ids = {(run.job_id, run.period_key): run.id for run in runs.values()}
    missing = {(one.job_id, one.period_key) for one in new if one.run_id is None} - run_ids.keys()
    for identity, run_id in zip(sorted(missing), lines.new_ids("run", len(missing)), strict=True):
        run_ids[identity] = run_id
        work.keys[run_id] = (run_id, *identity)
    new.sort(key=lambda one: (one.job_id, one.attempt_key))
    for one, attempt_id in zip(new, lines.new_ids("attempt", len(new)), strict=True):
        if one.run_id is None:
            run_id = run_ids[one.job_id, one.period_key]
            work.births[run_id][one.attempt_key] = one
        else:
            run_id = one.run_id
        row = AttemptRow(attempt_id, run_id, one.job_id, one.attempt_key, 0, one.content, one.observed_us)
        work.touched[run_id].append(row)


def _write_changes(
    lines: Wire, work: Work, runs: dict[int, RunRow], batch: IngestBatch, seq: int
) -> tuple[list[int], list[int]]:
    siblings = _siblings(lines, work, runs)
    attempts_new: list[AttemptRow] = []
    attempts_changed: list[AttemptRow] = []
    runs_new: list[RunRow] = []
    runs_changed: list[RunRow] = []
    gone: list[RunRow] = []
    known = {row.id: row for row in work.attempts.values()}
    for run_id in sorted({*work.touched, *work.left}):
        rows = {row.id: row for row in siblings.get(run_id, ())}
        stored = {**rows, **{row.id: known[row.id] for row in work.touched.get(run_id, ()) if row.id in known}}
        rows.update((row.id, row) for row in work.touched.get(run_id, ()))
        if not rows:
            gone.append(runs[run_id])
            continue
        ordered = numbered(list(rows.values()))
        attempts_new += [row for row in ordered if row.id not in stored]
        changed = [row for row in ordered if row.id in stored and row != stored[row.id]]
        attempts_changed += changed
        old = runs.get(run_id)
        run = run_of(old, work.keys.get(run_id) or runs[run_id][:3], ordered, _birth(work, ordered[0], batch))
        if old is None:
            runs_new.append(run._replace(changed_seq=seq))
        elif run != old or changed:  # looks remember what earlier attempts say, which no column of the run tells
            runs_changed.append(run._replace(changed_seq=seq))
    lines.insert("run", RunRow._fields, runs_new)
    lines.insert("attempt", ATTEMPT_COLUMNS, [row.flat() for row in attempts_new])
    _update_attempts(lines, known, attempts_changed)
    _update_runs(lines, runs, runs_changed)
    remove_runs(lines, [run.id for run in gone])  # their only attempt went to the run that it repairs
    _tell_actions(lines, attempts_new, attempts_changed)
    jobs = _roll(lines, seq, runs, runs_new, runs_changed, gone)
    written = [*runs_new, *runs_changed]
    return [run.id for run in written], sorted({*jobs, *(run.job_id for run in written)})


def _siblings(lines: Wire, work: Work, runs: dict[int, RunRow]) -> dict[int, list[AttemptRow]]:
    """The other stored attempts of runs that have some, by run id; those taken away are left out."""
    moved = {row.id for rows in work.touched.values() for row in rows}
    ask = [
        run_id
        for run_id in {*work.touched, *work.left}
        if (run := runs.get(run_id)) is not None and run.attempts > (1 if _is_only(work, run) else 0)
    ]
    found: dict[int, list[AttemptRow]] = defaultdict(list)
    for stored in lines.by_keys(_ATTEMPTS_OF_RUNS, "i", sorted(ask)):
        row = attempt_row(stored)
        if row.id not in moved:
            found[row.run_id].append(row)
    return found


def _is_only(work: Work, run: RunRow) -> bool:
    """True when the run's one stored attempt is the one that the batch changes."""
    return run.id not in work.left and any(row.id == run.attempt_id for row in work.touched.get(run.id, ()))


def _birth(work: Work, first: AttemptRow, batch: IngestBatch) -> Birth | None:
    one = work.births.get(first.run_id, {}).get(first.attempt_key)
    if one is None:
        return None
    record = one.record
    return Birth(None if record.period_at is None else micros(record.period_at), batch.bd(record).isoformat())


def _update_attempts(lines: Wire, known: dict[int, AttemptRow], rows: list[AttemptRow]) -> None:
    """What names a row is written only where it changed: a database mends an index of every column that is set."""
    told = [row for row in rows if row.id in known and row[1:5] == known[row.id][1:5]]
    lines.update("attempt", _ATTEMPT_TOLD, [(row.id, *row.content, row.observed_us) for row in told])
    same = {row.id for row in told}
    lines.update("attempt", ATTEMPT_COLUMNS, [row.flat() for row in rows if row.id not in same])


def _update_runs(lines: Wire, old: dict[int, RunRow], rows: list[RunRow]) -> None:
    told = [row for row in rows if row[1:_PLACED] == old[row.id][1:_PLACED]]
    lines.update("run", _RUN_TOLD, [(row.id, *row[_PLACED:]) for row in told])
    lines.update("run", RunRow._fields, [row for row in rows if row[1:_PLACED] != old[row.id][1:_PLACED]])


def _tell_actions(lines: Wire, *groups: Iterable[AttemptRow]) -> None:
    told = [(row.id, row.content.action_key) for rows in groups for row in rows if row.content.action_key]
    lines.many("UPDATE action SET attempt_id = ? WHERE key = ? AND attempt_id IS NULL", told)


def _roll(
    lines: Wire, seq: int, runs: dict[int, RunRow], new: list[RunRow], changed: list[RunRow], gone: list[RunRow]
) -> list[int]:
    newest: dict[int, Shown] = {}
    unsure = {run.job_id for run in gone}
    for run in (*new, *changed):
        before = newest.get(run.job_id)
        if before is not None and before.sort_us == run.sort_us:
            unsure.add(run.job_id)
        if before is None or before.sort_us < run.sort_us:
            newest[run.job_id] = shown(run)
        old = runs.get(run.id)
        if old is not None and run.sort_us < old.sort_us:
            unsure.add(run.job_id)
    return roll_latest(lines, seq, newest, unsure)
