"""`latest_run` and `job_counts`: one row per job and the header's figures, written in the transaction that writes
runs.

The latest run of a job is the newest by period that began or was due; a planned one only without any other. Every
job has a row from the start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from console.domain.run import CALM_RANK, attention_rank
from console.store.db.session import Row, Values, WriteSession
from console.store.ingest.merge import StoredRun
from console.store.meta import count_up

NO_RUN = 0
_AHEAD = ("planned", "held")

_LATEST = (
    "SELECT j.id, j.system_id, l.run_id, l.sort_us, l.state, l.attention FROM {keys}"
    " JOIN job j ON j.id = k.a JOIN latest_run l ON l.job_id = k.a"
)
_BEGUN = "(r.attempts > 0 OR r.state NOT IN ('planned', 'held') OR r.evidence = 'stale')"
_NEWEST = (
    "SELECT k.a, COALESCE("  # noqa: S608  (our own names)
    f"(SELECT r.id FROM run r WHERE r.job_id = k.a AND {_BEGUN} ORDER BY r.sort_us DESC, r.period_key DESC LIMIT 1),"
    " (SELECT r.id FROM run r WHERE r.job_id = k.a ORDER BY r.sort_us, r.period_key LIMIT 1), 0) FROM {keys}"
)
_FACTS = "SELECT r.id, r.sort_us, r.state, r.evidence, r.stale_read FROM {keys} JOIN run r ON r.id = k.a"
_COLUMNS = ("job_id", "run_id", "sort_us", "state", "attention", "changed_seq")


class LatestRunSummary(NamedTuple):
    """A run's columns in `latest_run`."""

    run_id: int
    sort_us: int
    state: str
    attention: int


def run_summary(run: StoredRun | Row) -> LatestRunSummary:
    """`run`: a StoredRun, or a row of _FACTS."""
    attention = attention_rank(run.state, run.evidence, bool(run.stale_read))
    return LatestRunSummary(run.id, run.sort_us, run.state, attention)


def roll_latest(
    session: WriteSession, seq: int, touched: Mapping[int, LatestRunSummary], unsure: Iterable[int] = ()
) -> list[int]:
    """Updates rows; the jobs that changed. `touched`: newest begun run written in this transaction, by job;
    `unsure`: jobs whose newest run must be searched (a run moved back, was removed, or is only planned)."""
    search = set(unsure)
    changed: list[Values] = []
    counts: Counter[tuple[int, str]] = Counter()
    rows = session.by_keys(_LATEST, sorted(touched.keys() | search))
    for row in rows:  # the row alone does not say which run is newer
        newest = touched.get(row.id)
        is_another = newest is not None and row.run_id not in (NO_RUN, newest.run_id)
        if newest is not None and is_another and (row.state in _AHEAD or row.sort_us == newest.sort_us):
            search.add(row.id)
    searched = _newest(session, sorted(search))
    for row in rows:
        newest = searched.get(row.id) or touched[row.id]
        is_older = row.id not in searched and newest.run_id != row.run_id and newest.sort_us < row.sort_us
        if is_older or newest == (row.run_id, row.sort_us, row.state, row.attention):
            continue
        changed.append((row.id, *newest, seq))
        if newest.state != row.state:
            counts[row.system_id, row.state] -= 1
            counts[row.system_id, newest.state] += 1
    session.update("latest_run", _COLUMNS, changed)
    add_counts(session, counts)
    return [job_id for job_id, *_ in changed]


def _newest(session: WriteSession, job_ids: list[int]) -> dict[int, LatestRunSummary]:
    run_of_job: dict[int, int] = dict(session.by_keys(_NEWEST, job_ids))
    rows = session.by_keys(_FACTS, sorted(set(run_of_job.values())))
    summaries = {row.id: run_summary(row) for row in rows}
    none = LatestRunSummary(NO_RUN, 0, "", CALM_RANK)
    return {job_id: summaries.get(run_id, none) for job_id, run_id in run_of_job.items()}


def add_counts(session: WriteSession, changes: Mapping[tuple[int, str], int]) -> None:
    session.many(
        "INSERT INTO job_counts (system_id, state, n) VALUES (?, ?, ?)"
        " ON CONFLICT (system_id, state) DO UPDATE SET n = job_counts.n + excluded.n",
        [(system_id, state, n) for (system_id, state), n in sorted(changes.items()) if n],
    )


def first_rows(session: WriteSession, systems: Mapping[int, int], seq: int) -> None:
    """Rows of new jobs, without a run. `systems`: id of the system, by job."""
    session.insert("latest_run", _COLUMNS, [(job_id, NO_RUN, 0, "", CALM_RANK, seq) for job_id in systems])
    add_counts(session, Counter((system_id, "") for system_id in systems.values()))


def remove_runs(session: WriteSession, run_ids: Sequence[int]) -> None:
    """Removes runs without attempts; caches of runs notice by `meta.runs_removed`."""
    if run_ids:
        session.delete("run", run_ids)
        count_up(session, "runs_removed")
