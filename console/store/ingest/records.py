"""Records and the cursor that follows them, in one transaction; unchanged rows are not written.

Reads the stored attempts of the batch, merges in memory (`merge`), writes only differences. Benchmark against a bare
upsert of the same rows: `python -m tests.bench.ingest`.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter

from connectors.sdk.records import SkippedRecord
from connectors.sdk.states import PeriodKind
from console.domain.ids import micros, optional_micros
from console.failpoints import failpoint
from console.store.db.database import Database
from console.store.db.fence import Fence
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
    RunKey,
    RunOrigin,
    StoredAttempt,
    StoredRun,
    build_run,
    finality,
    is_another_attempt,
    merge_content,
    number_attempts,
    stored_attempt,
)
from console.store.meta import next_changed_seq
from console.store.names import encode_name

_ATTEMPTS = ", ".join(f"t.{column}" for column in ATTEMPT_COLUMNS)
_RUNS = ", ".join(f"r.{column}" for column in StoredRun._fields)
# ruff: noqa: S608  (only our own names; every value is bound)
_ATTEMPTS_BY_IDENTITY = f"SELECT {_ATTEMPTS} FROM {{keys}} JOIN attempt t ON t.job_id = k.a AND t.attempt_key = k.b"
_ATTEMPTS_OF_RUNS = f"SELECT {_ATTEMPTS} FROM {{keys}} JOIN attempt t ON t.run_id = k.a"
_RUNS_BY_IDENTITY = f"SELECT {_RUNS} FROM {{keys}} JOIN run r ON r.job_id = k.a AND r.period_key = k.b"
_RUNS_BY_ID = f"SELECT {_RUNS} FROM {{keys}} JOIN run r ON r.id = k.a"
_RUN_PLACE = ("job_id", "period_key", "period_us", "period_kind", "period_name", "sort_us", "business_date")
_ATTEMPT_PLACE = ("run_id", "job_id", "attempt_key", "number")
"""Columns in indexes: setting them makes a database update the indexes."""
_RUN_STATE = tuple(column for column in StoredRun._fields if column not in _RUN_PLACE)
_ATTEMPT_STATE = tuple(column for column in ATTEMPT_COLUMNS if column not in _ATTEMPT_PLACE)
_place_of_run, _state_of_run = attrgetter(*_RUN_PLACE), attrgetter(*_RUN_STATE)
_place_of_attempt = attrgetter(*_ATTEMPT_PLACE)


@dataclass(slots=True)
class IngestWork:
    """State of one batch within the transaction."""

    attempts: dict[AttemptIdentity, StoredAttempt] = field(default_factory=dict)
    """Stored attempts of the batch."""
    touched: dict[int, list[StoredAttempt]] = field(default_factory=lambda: defaultdict(list))
    """New or changed attempts, by run id."""
    births: dict[int, dict[str, IncomingAttempt]] = field(default_factory=lambda: defaultdict(dict))
    """Run id -> attempt key -> observation, for runs that may get a new first attempt."""
    renamed: dict[int, StoredAttempt] = field(default_factory=dict)
    """Stored attempts whose keys others have now, by id."""
    lost_attempt: set[int] = field(default_factory=set)
    keys: dict[int, RunKey] = field(default_factory=dict)
    """Key of each new run, by id."""


def ingest_batch(store: Database, target_id: int, batch: IngestBatch, fence: Fence | None) -> IngestResult:
    """Writes a poll's records (up to 5,000 are best) and its cursor; the runs and jobs that really changed.

    A record that cannot be stored (a name over 1,000 bytes, an instant without zone) is skipped and counted at the
    target with its reason. Raises LeaseLost, and then nothing is written.
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
    """A batch creates some 100,000 tuples and no cycle: a garbage collection would cost as much as writing them.
    Used within a write, so by one thread at a time."""
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
    """Ids of changed runs and jobs."""
    work = IngestWork()
    former = {identity: before for identity, attempt in incoming.items() if (before := attempt.formerly) is not None}
    identities = [*incoming, *sorted({*former.values()} - incoming.keys())]
    stored = map(stored_attempt, session.by_keys(_ATTEMPTS_BY_IDENTITY, identities))
    work.attempts = {(row.job_id, row.attempt_key): row for row in stored}
    for identity, before in former.items():  # an open attempt that is observed under another key
        row = None if before in incoming else work.attempts.pop(before, None)
        if row is not None and identity not in work.attempts and finality(row.content) == 0:
            work.attempts[identity] = row
    incoming = _without_namesakes(work, incoming)
    new = [attempt for identity, attempt in incoming.items() if identity not in work.attempts]
    _merge_known(work, incoming)
    if not new and not work.touched and not work.lost_attempt:
        return [], []
    ids = sorted(
        {*work.touched, *work.lost_attempt, *(attempt.run_id for attempt in new if attempt.run_id is not None)}
    )
    keys = sorted({(attempt.job_id, attempt.period_key) for attempt in new if attempt.run_id is None})
    rows = [*session.by_keys(_RUNS_BY_ID, ids), *session.by_keys(_RUNS_BY_IDENTITY, keys)]
    runs = {row.id: StoredRun(*row) for row in rows}
    _assign_new_runs(session, work, runs, new)
    return _write_changes(session, work, runs, batch, next_changed_seq(session))


def _without_namesakes(
    work: IngestWork, incoming: dict[AttemptIdentity, IncomingAttempt]
) -> dict[AttemptIdentity, IncomingAttempt]:
    """Without the attempts that ended before a stored one of the same key began. A stored one that ended before an
    incoming one began gives it its key, and keeps it with its start."""
    for identity, row in list(work.attempts.items()):
        content = incoming[identity].content
        if content.started_us == row.content.started_us:
            continue
        if is_another_attempt(content, row.content):
            incoming = {known: attempt for known, attempt in incoming.items() if known != identity}
            del work.attempts[identity]
        elif is_another_attempt(row.content, content):
            former = row._replace(attempt_key=f"{row.attempt_key}@{row.content.started_us}")
            del work.attempts[identity]
            work.renamed[row.id] = row
            work.touched[row.run_id].append(former)
    return incoming


def _merge_known(work: IngestWork, incoming: dict[AttemptIdentity, IncomingAttempt]) -> None:
    """Fills `touched` with the changed stored attempts, and `lost_attempt` where one moves to another run."""
    for identity, row in work.attempts.items():
        attempt = incoming[identity]
        same = (attempt.content, attempt.attempt_key) == (row.content, row.attempt_key)
        if same and attempt.observed_us >= row.observed_us and attempt.run_id in (None, row.run_id):
            continue
        content, observed_us = merge_content(row.content, row.observed_us, attempt.content, attempt.observed_us)
        run_id = row.run_id if attempt.run_id is None else attempt.run_id
        merged = row._replace(attempt_key=attempt.attempt_key, content=content, observed_us=observed_us, run_id=run_id)
        if merged != row:
            work.touched[run_id].append(merged)
            if run_id != row.run_id:
                work.lost_attempt.add(row.run_id)
            elif (content.state, content.started_us) == (attempt.content.state, attempt.content.started_us):
                work.births[run_id][merged.attempt_key] = attempt


def _assign_new_runs(
    session: WriteSession, work: IngestWork, runs: dict[int, StoredRun], new: list[IncomingAttempt]
) -> None:
    """Gives each new attempt an id and its run; a new period gets a new run."""
    run_ids = {(run.job_id, run.period_key): run.id for run in runs.values()}
    missing = {(attempt.job_id, attempt.period_key) for attempt in new if attempt.run_id is None} - run_ids.keys()
    for identity, run_id in zip(sorted(missing), session.new_ids("run", len(missing)), strict=True):
        run_ids[identity] = run_id
        work.keys[run_id] = RunKey(run_id, *identity)
    new.sort(key=lambda attempt: (attempt.job_id, attempt.attempt_key))
    for attempt, attempt_id in zip(new, session.new_ids("attempt", len(new)), strict=True):
        if attempt.run_id is None:
            run_id = run_ids[attempt.job_id, attempt.period_key]
            work.births[run_id][attempt.attempt_key] = attempt
        else:
            run_id = attempt.run_id
        row = StoredAttempt(
            attempt_id, run_id, attempt.job_id, attempt.attempt_key, 0, attempt.content, attempt.observed_us
        )
        work.touched[run_id].append(row)


def _write_changes(
    session: WriteSession, work: IngestWork, runs: dict[int, StoredRun], batch: IngestBatch, seq: int
) -> tuple[list[int], list[int]]:
    siblings = _siblings(session, work, runs)
    attempts_new: list[StoredAttempt] = []
    attempts_changed: list[StoredAttempt] = []
    runs_new: list[StoredRun] = []
    runs_changed: list[StoredRun] = []
    emptied: list[StoredRun] = []
    known = {row.id: row for row in work.attempts.values()} | work.renamed
    for run_id in sorted({*work.touched, *work.lost_attempt}):
        rows = {row.id: row for row in siblings.get(run_id, ())}
        stored = {**rows, **{row.id: known[row.id] for row in work.touched.get(run_id, ()) if row.id in known}}
        rows.update((row.id, row) for row in work.touched.get(run_id, ()))
        if not rows:
            emptied.append(runs[run_id])
            continue
        ordered = number_attempts(list(rows.values()))
        attempts_new += [row for row in ordered if row.id not in stored]
        changed = [row for row in ordered if row.id in stored and row != stored[row.id]]
        attempts_changed += changed
        old, origin = runs.get(run_id), None
        if (first := work.births.get(run_id, {}).get(ordered[0].attempt_key)) is not None:
            record, kind = first.record, first.record.denotes
            name = encode_name(record.period_name) or (first.period_key if kind is PeriodKind.NAME else "")
            period_us, business_date = optional_micros(record.period_at), batch.business_date(record).isoformat()
            origin = RunOrigin(period_us, kind.value, name, business_date)
        run = build_run(old, work.keys.get(run_id) or runs[run_id].key, ordered, origin)
        if old is None:
            runs_new.append(run._replace(changed_seq=seq))
        elif run != old or changed:  # snapshots include earlier attempts, which no column of the run has
            runs_changed.append(run._replace(changed_seq=seq))
    session.insert("run", StoredRun._fields, runs_new)
    moved = [
        row
        for row in attempts_changed
        if row.id not in known or _place_of_attempt(row) != _place_of_attempt(known[row.id])
    ]
    moved_ids = {row.id for row in moved}
    same = [(row.id, *row.content, row.observed_us) for row in attempts_changed if row.id not in moved_ids]
    session.update("attempt", _ATTEMPT_STATE, same)
    session.update("attempt", ATTEMPT_COLUMNS, [row.flat() for row in moved])
    session.insert("attempt", ATTEMPT_COLUMNS, [row.flat() for row in attempts_new])
    replaced = [row for row in runs_changed if _place_of_run(row) != _place_of_run(runs[row.id])]
    replaced_ids = {row.id for row in replaced}
    session.update("run", _RUN_STATE, [_state_of_run(row) for row in runs_changed if row.id not in replaced_ids])
    session.update("run", StoredRun._fields, replaced)
    remove_runs(session, [run.id for run in emptied])  # their only attempt belongs to the run that it repairs
    keyed = [(row.id, row.content.action_key) for row in (*attempts_new, *attempts_changed) if row.content.action_key]
    session.many("UPDATE action SET attempt_id = ? WHERE key = ? AND attempt_id IS NULL", keyed)
    jobs = _roll(session, seq, runs, [*runs_new, *runs_changed], emptied)
    written = [*runs_new, *runs_changed]
    return [run.id for run in written], sorted({*jobs, *(run.job_id for run in written)})


def _siblings(session: WriteSession, work: IngestWork, runs: dict[int, StoredRun]) -> dict[int, list[StoredAttempt]]:
    """The other stored attempts of these runs, without those that move."""
    moved = {row.id for rows in work.touched.values() for row in rows}
    run_ids = []
    for run_id in {*work.touched, *work.lost_attempt}:
        if (run := runs.get(run_id)) is not None:
            is_only = run_id not in work.lost_attempt and any(
                row.id == run.attempt_id for row in work.touched.get(run_id, ())
            )
            if run.attempts > int(is_only):
                run_ids.append(run_id)
    siblings: dict[int, list[StoredAttempt]] = defaultdict(list)
    for row in map(stored_attempt, session.by_keys(_ATTEMPTS_OF_RUNS, sorted(run_ids))):
        if row.id not in moved:
            siblings[row.run_id].append(row)
    return siblings


def _roll(
    session: WriteSession, seq: int, old: dict[int, StoredRun], written: list[StoredRun], emptied: list[StoredRun]
) -> list[int]:
    newest: dict[int, LatestRunSummary] = {}
    unsure = {run.job_id for run in emptied}
    for run in written:
        before = newest.get(run.job_id)
        if before is not None and before.sort_us == run.sort_us:
            unsure.add(run.job_id)
        if before is None or before.sort_us < run.sort_us:
            newest[run.job_id] = run_summary(run)
        if run.id in old and run.sort_us < old[run.id].sort_us:
            unsure.add(run.job_id)
    return roll_latest(session, seq, newest, unsure)
