"""`latest_run` and `job_counts`: one row per job and the header's figures, kept in the transaction that writes runs.

The latest run of a job is the newest by period that began or should have begun; a planned one counts only where there
is nothing else. Every job has a row from its first sight on.
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
    "SELECT k.a, COALESCE("  # noqa: S608  (our own words)
    f"(SELECT r.id FROM run r WHERE r.job_id = k.a AND {_BEGUN} ORDER BY r.sort_us DESC, r.period_key DESC LIMIT 1),"
    " (SELECT r.id FROM run r WHERE r.job_id = k.a ORDER BY r.sort_us, r.period_key LIMIT 1), 0) FROM {keys}"
)
_FACTS = "SELECT r.id, r.sort_us, r.state, r.evidence, r.stale_read FROM {keys} JOIN run r ON r.id = k.a"
_COLUMNS = ("job_id", "run_id", "sort_us", "state", "attention", "changed_seq")


class LatestRunSummary(NamedTuple):
    """What `latest_run` tells of a run."""

    run_id: int
    sort_us: int
    state: str
    attention: int


def run_summary(run: StoredRun) -> LatestRunSummary:
    return LatestRunSummary(
        run.id, run.sort_us, run.state, attention_rank(run.state, run.evidence, bool(run.stale_read))
    )


def roll_latest(
    session: WriteSession, seq: int, touched: Mapping[int, LatestRunSummary], unsure: Iterable[int] = ()
) -> list[int]:
    """Jobs whose row changed. `touched`: the newest begun run that this transaction wrote, by job id; `unsure`: jobs
    whose newest run must be looked for (a run moved back in time, went away, or is only planned)."""
    look_for = set(unsure)
    changed: list[Values] = []
    counts: Counter[tuple[int, str]] = Counter()
    found = session.by_keys(_LATEST, sorted(touched.keys() | look_for))
    ahead = {row.id for row in found if row.id in touched and _needs_lookup(row, touched[row.id])}
    looked = _newest(session, sorted(look_for | ahead))
    for job_id, system_id, *now in found:
        newest = looked.get(job_id) or touched[job_id]
        if tuple(now) == newest or (job_id not in looked and newest.run_id != now[0] and newest.sort_us < now[1]):
            continue
        changed.append((job_id, *newest, seq))
        if newest.state != now[2]:
            counts[system_id, now[2]] -= 1
            counts[system_id, newest.state] += 1
    session.update("latest_run", _COLUMNS, changed)
    add_counts(session, counts)
    return [row[0] for row in changed]


def _needs_lookup(row: Row, newest: LatestRunSummary) -> bool:
    """True where the row alone cannot tell which run is newer."""
    if row.run_id in (NO_RUN, newest.run_id):
        return False
    return row.state in _AHEAD or row.sort_us == newest.sort_us


def _newest(session: WriteSession, job_ids: list[int]) -> dict[int, LatestRunSummary]:
    run_of_job: dict[int, int] = dict(session.by_keys(_NEWEST, job_ids))
    facts = {
        row.id: LatestRunSummary(
            row.id, row.sort_us, row.state, attention_rank(row.state, row.evidence, bool(row.stale_read))
        )
        for row in session.by_keys(_FACTS, sorted(set(run_of_job.values())))
    }
    nothing = LatestRunSummary(NO_RUN, 0, "", CALM_RANK)
    return {job_id: facts.get(run_id, nothing) for job_id, run_id in run_of_job.items()}


def add_counts(session: WriteSession, changes: Mapping[tuple[int, str], int]) -> None:
    """Adds to `job_counts`."""
    session.many(
        "INSERT INTO job_counts (system_id, state, n) VALUES (?, ?, ?)"
        " ON CONFLICT (system_id, state) DO UPDATE SET n = job_counts.n + excluded.n",
        [(system_id, state, n) for (system_id, state), n in sorted(changes.items()) if n],
    )


def first_rows(session: WriteSession, system_id: int, job_ids: Iterable[int], seq: int) -> None:
    """The rows of jobs that are new: no run yet."""
    columns = ("job_id", "run_id", "sort_us", "state", "attention", "changed_seq")
    rows: list[Values] = [(job_id, NO_RUN, 0, "", CALM_RANK, seq) for job_id in job_ids]
    session.insert("latest_run", columns, rows)
    add_counts(session, {(system_id, ""): len(rows)})


def remove_runs(session: WriteSession, run_ids: Sequence[int]) -> None:
    """Removes runs without attempts; readers that remember runs learn of it by `meta.runs_removed`."""
    if not run_ids:
        return
    session.delete("run", run_ids)
    count_up(session, "runs_removed")
