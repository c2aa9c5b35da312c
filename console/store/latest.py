"""`latest_run` and `job_counts`: one row per job and the header's figures, kept in the transaction that writes runs.

The latest run of a job is the newest by period that began or should have begun; one that is only planned counts where
there is nothing else. Every job has a row from its first sight on (run id 0 before its first run).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from console.store.merging import RunRow
from console.store.ranks import CALM, attention
from console.store.wire import Row, Wire

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


class Shown(NamedTuple):
    """What `latest_run` tells of a run."""

    run_id: int
    sort_us: int
    state: str
    attention: int


def shown(run: RunRow) -> Shown:
    return Shown(run.id, run.sort_us, run.state, attention(run.state, run.evidence, bool(run.stale_read)))


def roll_latest(wire: Wire, seq: int, touched: Mapping[int, Shown], unsure: Iterable[int] = ()) -> list[int]:
    """Jobs whose row changed. `touched`: the newest begun run that this transaction wrote, by job id; `unsure`: jobs
    whose newest run must be looked for (a run moved back in time, went away, or is only planned)."""
    look_for = set(unsure)
    changed: list[Row] = []
    counts: Counter[tuple[int, str]] = Counter()
    found = wire.by_keys(_LATEST, "i", sorted(touched.keys() | look_for))
    ahead = {row[0] for row in found if row[0] in touched and _must_look(row, touched[row[0]])}
    looked = _newest(wire, sorted(look_for | ahead))
    for job_id, system_id, *now in found:
        newest = looked.get(job_id) or touched[job_id]
        if tuple(now) == newest or (job_id not in looked and newest.run_id != now[0] and newest.sort_us < now[1]):
            continue
        changed.append((job_id, *newest, seq))
        if newest.state != now[2]:
            counts[system_id, now[2]] -= 1
            counts[system_id, newest.state] += 1
    wire.update("latest_run", _COLUMNS, changed)
    add_counts(wire, counts)
    return [row[0] for row in changed]


def _must_look(row: Row, newest: Shown) -> bool:
    """True where the row alone cannot tell which run is newer."""
    _, _, run_id, sort_us, state, _ = row
    if run_id in (NO_RUN, newest.run_id):
        return False
    return state in _AHEAD or sort_us == newest.sort_us


def _newest(wire: Wire, job_ids: list[int]) -> dict[int, Shown]:
    run_of_job: dict[int, int] = dict(wire.by_keys(_NEWEST, "i", job_ids))
    facts = {
        row[0]: Shown(row[0], row[1], row[2], attention(row[2], row[3], bool(row[4])))
        for row in wire.by_keys(_FACTS, "i", sorted(set(run_of_job.values())))
    }
    nothing = Shown(NO_RUN, 0, "", CALM)
    return {job_id: facts.get(run_id, nothing) for job_id, run_id in run_of_job.items()}


def add_counts(wire: Wire, changes: Mapping[tuple[int, str], int]) -> None:
    """Adds to `job_counts`."""
    wire.many(
        "INSERT INTO job_counts (system_id, state, n) VALUES (?, ?, ?)"
        " ON CONFLICT (system_id, state) DO UPDATE SET n = job_counts.n + excluded.n",
        [(system_id, state, n) for (system_id, state), n in sorted(changes.items()) if n],
    )


def first_rows(wire: Wire, system_id: int, job_ids: Iterable[int], seq: int) -> None:
    """The rows of jobs that are new: no run yet."""
    columns = ("job_id", "run_id", "sort_us", "state", "attention", "changed_seq")
    rows: list[Row] = [(job_id, NO_RUN, 0, "", CALM, seq) for job_id in job_ids]
    wire.insert("latest_run", columns, rows)
    add_counts(wire, {(system_id, ""): len(rows)})


def remove_runs(wire: Wire, run_ids: Sequence[int]) -> None:
    """Removes runs without attempts; readers that remember runs learn of it by `meta.runs_removed`."""
    if not run_ids:
        return
    wire.forget("run", run_ids)
    wire.rows(
        "INSERT INTO meta (name, value) VALUES ('runs_removed', '1') ON CONFLICT (name)"
        " DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT)"
    )
