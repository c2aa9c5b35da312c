"""Records and the cursor that follows them, in one transaction. What changes nothing writes nothing.

Reads the stored attempts of the batch, merges in memory (`merge`), writes only what differs. Measured against a bare
upsert of the same rows: `python -m tests.bench.ingest`.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from connectors.sdk.records import SkippedRecord
from console.domain.ids import micros
from console.failpoints import failpoint
from console.store.db.database import Database
from console.store.db.session import WriteSession
from console.store.ingest import targets
from console.store.ingest.batch import (
    AttemptIdentity,
    IncomingAttempt,
    IngestBatch,
    IngestResult,
    insert_tails,
    read_batch,
)
from console.store.ingest.latest_run import LatestRunSummary, remove_runs, roll_latest, run_summary
from console.store.ingest.merge import (
    ATTEMPT_COLUMNS,
    RunOrigin,
    StoredAttempt,
    StoredRun,
    build_run,
    finality,
    merge_content,
    number_attempts,
    stored_attempt,
)
from console.store.meta import next_changed_seq

record_failure = targets.record_failure

_ATTEMPTS = ", ".join(f"t.{column}" for column in ATTEMPT_COLUMNS)
_RUNS = ", ".join(f"r.{column}" for column in StoredRun._fields)
# ruff: noqa: S608  (the statements are made of our own column names; every value is bound)
_ATTEMPTS_BY_IDENTITY = f"SELECT {_ATTEMPTS} FROM {{keys}} JOIN attempt t ON t.job_id = k.a AND t.attempt_key = k.b"
_ATTEMPTS_OF_RUNS = f"SELECT {_ATTEMPTS} FROM {{keys}} JOIN attempt t ON t.run_id = k.a"
_RUNS_BY_IDENTITY = f"SELECT {_RUNS} FROM {{keys}} JOIN run r ON r.job_id = k.a AND r.period_key = k.b"
_RUNS_BY_ID = f"SELECT {_RUNS} FROM {{keys}} JOIN run r ON r.id = k.a"
_PLACED = StoredRun._fields.index("state")
"""Columns of a run before this one say which run it is and where it stands in time."""
_RUN_TOLD = ("id", *StoredRun._fields[_PLACED:])
_ATTEMPT_TOLD = ("id", *ATTEMPT_COLUMNS[5:])


@dataclass(slots=True)
class IngestWork:
    """One batch on its way through the transaction."""

    attempts: dict[AttemptIdentity, StoredAttempt] = field(default_factory=dict)
    """Stored attempts that the batch names."""
    touched: dict[int, list[StoredAttempt]] = field(default_factory=lambda: defaultdict(list))
    """Attempts that are new or differ, by run id."""
    births: dict[int, dict[str, IncomingAttempt]] = field(default_factory=lambda: defaultdict(dict))
    """Run id -> attempt key -> what the batch says, for runs that may get a new first attempt."""
    left: set[int] = field(default_factory=set)
    """Runs that an attempt was taken from."""
    keys: dict[int, tuple[int, int, str]] = field(default_factory=dict)
    """(id, job id, period key) of each run that is new."""


def ingest_batch(store: Database, target_id: int, batch: IngestBatch, fence: int | None) -> IngestResult:
    """Writes a poll's records (up to 5,000 are best) and its cursor; the runs and jobs that really changed.

    A record that cannot be kept (a name over 1,000 bytes, an instant without zone) is counted at the target with its
    reason and left out. Raises LeaseLost, and then nothing is written.
    """
    with store.write(fence) as session, _without_gc():
        skipped: list[SkippedRecord] = []
        incoming = read_batch(session, target_id, batch, skipped)
        runs, jobs = write_runs(session, batch, incoming)
        insert_tails(session, target_id, batch.tails, micros(batch.now))
        targets.record_success(session, target_id, batch, skipped)
        failpoint("ingest.before_commit")
    return IngestResult(tuple(runs), tuple(jobs), tuple(skipped))


@contextmanager
def _without_gc() -> Iterator[None]:
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
    session: WriteSession, batch: IngestBatch, incoming: dict[AttemptIdentity, IncomingAttempt]
) -> tuple[list[int], list[int]]:
    work = IngestWork()
    former = {identity: before for identity, one in incoming.items() if (before := one.formerly) is not None}
    asked = [*incoming, *sorted({*former.values()} - incoming.keys())]
    stored = map(stored_attempt, session.by_keys(_ATTEMPTS_BY_IDENTITY, asked))
    work.attempts = {(row.job_id, row.attempt_key): row for row in stored}
    _take_new_names(work.attempts, incoming, former)
    new = [one for identity, one in incoming.items() if identity not in work.attempts]
    _merge_known(work, incoming)
    if not new and not work.touched and not work.left:
        return [], []
    runs = _runs_of(session, work, new)
    _assign_new_runs(session, work, runs, new)
    return _write_changes(session, work, runs, batch, next_changed_seq(session))


def _take_new_names(
    known: dict[AttemptIdentity, StoredAttempt],
    incoming: dict[AttemptIdentity, IncomingAttempt],
    former: dict[AttemptIdentity, AttemptIdentity],
) -> None:
    """An open attempt that the batch tells under another key is known by that from here on."""
    for identity, before in former.items():
        row = None if before in incoming else known.pop(before, None)
        if row is not None and identity not in known and finality(row.content) == 0:
            known[identity] = row


def _merge_known(work: IngestWork, incoming: dict[AttemptIdentity, IncomingAttempt]) -> None:
    """Fills `touched` with the stored attempts that the batch changes, and `left` where one moves to another run."""
    for identity, row in work.attempts.items():
        one = incoming[identity]
        same = (one.content, one.attempt_key) == (row.content, row.attempt_key)
        if same and one.observed_us >= row.observed_us and one.run_id in (None, row.run_id):
            continue
        content, observed_us = merge_content(row.content, row.observed_us, one.content, one.observed_us)
        run_id = row.run_id if one.run_id is None else one.run_id
        merged = row._replace(attempt_key=one.attempt_key, content=content, observed_us=observed_us, run_id=run_id)
        if merged != row:
            work.touched[run_id].append(merged)
            if run_id != row.run_id:
                work.left.add(row.run_id)
            elif (content.state, content.started_us) == (one.content.state, one.content.started_us):
                work.births[run_id][merged.attempt_key] = one


def _runs_of(session: WriteSession, work: IngestWork, new: list[IncomingAttempt]) -> dict[int, StoredRun]:
    """Stored runs that the batch may change, by id."""
    ids = sorted({*work.touched, *work.left, *(one.run_id for one in new if one.run_id is not None)})
    identities = sorted({(one.job_id, one.period_key) for one in new if one.run_id is None})
    found = [*session.by_keys(_RUNS_BY_ID, ids), *session.by_keys(_RUNS_BY_IDENTITY, identities)]
    return {row.id: StoredRun(*row) for row in found}


def _assign_new_runs(
    session: WriteSession, work: IngestWork, runs: dict[int, StoredRun], new: list[IncomingAttempt]
) -> None:
    """Gives each new attempt an id and its run; a period that no run has yet gets one."""
    run_ids = {(run.job_id, run.period_key): run.id for run in runs.values()}
    missing = {(one.job_id, one.period_key) for one in new if one.run_id is None} - run_ids.keys()
    for identity, run_id in zip(sorted(missing), session.new_ids("run", len(missing)), strict=True):
        run_ids[identity] = run_id
        work.keys[run_id] = (run_id, *identity)
    new.sort(key=lambda one: (one.job_id, one.attempt_key))
    for one, attempt_id in zip(new, session.new_ids("attempt", len(new)), strict=True):
        if one.run_id is None:
            run_id = run_ids[one.job_id, one.period_key]
            work.births[run_id][one.attempt_key] = one
        else:
            run_id = one.run_id
        row = StoredAttempt(attempt_id, run_id, one.job_id, one.attempt_key, 0, one.content, one.observed_us)
        work.touched[run_id].append(row)


def _write_changes(
    session: WriteSession, work: IngestWork, runs: dict[int, StoredRun], batch: IngestBatch, seq: int
) -> tuple[list[int], list[int]]:
    siblings = _siblings(session, work, runs)
    attempts_new: list[StoredAttempt] = []
    attempts_changed: list[StoredAttempt] = []
    runs_new: list[StoredRun] = []
    runs_changed: list[StoredRun] = []
    gone: list[StoredRun] = []
    known = {row.id: row for row in work.attempts.values()}
    for run_id in sorted({*work.touched, *work.left}):
        rows = {row.id: row for row in siblings.get(run_id, ())}
        stored = {**rows, **{row.id: known[row.id] for row in work.touched.get(run_id, ()) if row.id in known}}
        rows.update((row.id, row) for row in work.touched.get(run_id, ()))
        if not rows:
            gone.append(runs[run_id])
            continue
        ordered = number_attempts(list(rows.values()))
        attempts_new += [row for row in ordered if row.id not in stored]
        changed = [row for row in ordered if row.id in stored and row != stored[row.id]]
        attempts_changed += changed
        old = runs.get(run_id)
        run = build_run(old, work.keys.get(run_id) or runs[run_id][:3], ordered, _birth(work, ordered[0], batch))
        if old is None:
            runs_new.append(run._replace(changed_seq=seq))
        elif run != old or changed:  # looks remember what earlier attempts say, which no column of the run tells
            runs_changed.append(run._replace(changed_seq=seq))
    session.insert("run", StoredRun._fields, runs_new)
    session.insert("attempt", ATTEMPT_COLUMNS, [row.flat() for row in attempts_new])
    _update_attempts(session, known, attempts_changed)
    _update_runs(session, runs, runs_changed)
    remove_runs(session, [run.id for run in gone])  # their only attempt went to the run that it repairs
    _link_actions(session, attempts_new, attempts_changed)
    jobs = _roll(session, seq, runs, runs_new, runs_changed, gone)
    written = [*runs_new, *runs_changed]
    return [run.id for run in written], sorted({*jobs, *(run.job_id for run in written)})


def _siblings(session: WriteSession, work: IngestWork, runs: dict[int, StoredRun]) -> dict[int, list[StoredAttempt]]:
    """The other stored attempts of runs that have some, by run id; those taken away are left out."""
    moved = {row.id for rows in work.touched.values() for row in rows}
    ask = [
        run_id
        for run_id in {*work.touched, *work.left}
        if (run := runs.get(run_id)) is not None and run.attempts > (1 if _is_only(work, run) else 0)
    ]
    found: dict[int, list[StoredAttempt]] = defaultdict(list)
    for stored in session.by_keys(_ATTEMPTS_OF_RUNS, sorted(ask)):
        row = stored_attempt(stored)
        if row.id not in moved:
            found[row.run_id].append(row)
    return found


def _is_only(work: IngestWork, run: StoredRun) -> bool:
    """True when the run's one stored attempt is the one that the batch changes."""
    return run.id not in work.left and any(row.id == run.attempt_id for row in work.touched.get(run.id, ()))


def _birth(work: IngestWork, first: StoredAttempt, batch: IngestBatch) -> RunOrigin | None:
    one = work.births.get(first.run_id, {}).get(first.attempt_key)
    if one is None:
        return None
    record = one.record
    return RunOrigin(
        None if record.period_at is None else micros(record.period_at), batch.business_date(record).isoformat()
    )


def _update_attempts(session: WriteSession, known: dict[int, StoredAttempt], rows: list[StoredAttempt]) -> None:
    """What names a row is written only where it changed: a database mends an index of every column that is set."""
    told = [row for row in rows if row.id in known and row[1:5] == known[row.id][1:5]]
    session.update("attempt", _ATTEMPT_TOLD, [(row.id, *row.content, row.observed_us) for row in told])
    same = {row.id for row in told}
    session.update("attempt", ATTEMPT_COLUMNS, [row.flat() for row in rows if row.id not in same])


def _update_runs(session: WriteSession, old: dict[int, StoredRun], rows: list[StoredRun]) -> None:
    told = [row for row in rows if row[1:_PLACED] == old[row.id][1:_PLACED]]
    session.update("run", _RUN_TOLD, [(row.id, *row[_PLACED:]) for row in told])
    session.update("run", StoredRun._fields, [row for row in rows if row[1:_PLACED] != old[row.id][1:_PLACED]])


def _link_actions(session: WriteSession, *groups: Iterable[StoredAttempt]) -> None:
    told = [(row.id, row.content.action_key) for rows in groups for row in rows if row.content.action_key]
    session.many("UPDATE action SET attempt_id = ? WHERE key = ? AND attempt_id IS NULL", told)


def _roll(
    session: WriteSession,
    seq: int,
    runs: dict[int, StoredRun],
    new: list[StoredRun],
    changed: list[StoredRun],
    gone: list[StoredRun],
) -> list[int]:
    newest: dict[int, LatestRunSummary] = {}
    unsure = {run.job_id for run in gone}
    for run in (*new, *changed):
        before = newest.get(run.job_id)
        if before is not None and before.sort_us == run.sort_us:
            unsure.add(run.job_id)
        if before is None or before.sort_us < run.sort_us:
            newest[run.job_id] = run_summary(run)
        old = runs.get(run.id)
        if old is not None and run.sort_us < old.sort_us:
            unsure.add(run.job_id)
    return roll_latest(session, seq, newest, unsure)
