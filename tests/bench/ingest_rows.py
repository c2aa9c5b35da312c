"""The records of `tests.bench.ingest`, and the same facts as bare rows for its anchors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from console.domain.ids import instant, micros
from console.domain.run import CALM_RANK
from console.store.ingest.batch import IngestBatch
from console.store.ingest.merge import ATTEMPT_COLUMNS, StoredRun

NOW = datetime.now(UTC).replace(microsecond=0)
LATEST_COLUMNS = ("job_id", "run_id", "sort_us", "state", "attention", "changed_seq")
Row = tuple[Any, ...]

TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "run": (StoredRun._fields, ("job_id", "period_key")),
    "attempt": (ATTEMPT_COLUMNS, ("job_id", "attempt_key")),
    "latest_run": (LATEST_COLUMNS, ("job_id",)),
}
"""Table -> its columns and its natural key, in the order in which rows have to be there."""


def date_of_run(record: RunRecord) -> date:
    return NOW.date()


def names_of(job_ids: Sequence[int]) -> list[str]:
    """What `bigstore` calls these jobs at their source."""
    return [f"host{(job_id - 1) % 50:02d}:job_{job_id - 1:06d}" for job_id in job_ids]


def records(names: Sequence[str], number: int, ended: bool) -> list[RunRecord]:
    """One run of each job in round `number`: running, or succeeded."""
    period = NOW + timedelta(minutes=number)
    details: dict[str, Any] = {"state": RunState.RUNNING, "native_state": "running"}
    if ended:
        details = {"state": RunState.SUCCEEDED, "native_state": "success", "ended_at": period + timedelta(minutes=3),
                "exit_code": 0, "message": "1,204,551 rows copied"}  # fmt: skip
    return [
        RunRecord(
            job=name,
            attempt_key=f"scheduled__{number}@{place}",
            period_key=f"scheduled__{number}",
            period_at=period,
            queued_at=period,
            started_at=period + timedelta(seconds=place % 60),
            native_ref=f"dags/{name}/runs/{number}",
            **details,
        )
        for place, name in enumerate(names)
    ]


def batch(runs: Sequence[RunRecord], minutes: int) -> IngestBatch:
    """A poll that brings these runs."""
    return IngestBatch(tuple(runs), f'{{"page": {minutes}}}', NOW + timedelta(minutes=minutes), date_of_run)


def rows(
    runs: Sequence[RunRecord], job_ids: Sequence[int], first_id: tuple[int, int], minutes: int
) -> dict[str, list[Row]]:
    """The rows that these records end up as, for an anchor; ids of runs and attempts count on from `first_id`."""
    observed = micros(NOW + timedelta(minutes=minutes))
    results: dict[str, list[Row]] = {"run": [], "attempt": [], "latest_run": []}
    for place, (record, job_id) in enumerate(zip(runs, job_ids, strict=True)):
        run_id, attempt_id = first_id[0] + place, first_id[1] + place
        started, queued = micros(record.started_at or NOW), micros(record.queued_at or NOW)
        ended = None if record.ended_at is None else micros(record.ended_at)
        state, term = record.state.value, record.native_state
        results["run"].append(
            (
                run_id, job_id, record.period_key, queued, "", "", queued, NOW.date().isoformat(), state, "native",
                term, "", 1, attempt_id, started, started, ended, record.exit_code, record.message, False,
                "no_estimate", False, "",
                observed, minutes,
            )
        )  # fmt: skip
        results["attempt"].append(
            (
                attempt_id, run_id, job_id, record.attempt_key, 1, state, "native", term, queued, started, ended,
                record.exit_code, record.message, "", record.native_ref, "", None, "{}", observed,
            )
        )  # fmt: skip
        rank = CALM_RANK if record.ended_at else 5
        results["latest_run"].append((job_id, run_id, queued, state, rank, minutes))
    return results


def some_jobs(random: Random, remainder: int, jobs: int, count: int) -> list[int]:
    """`count` different jobs of one of bigstore's four targets: those whose id leaves this remainder by four."""
    return random.sample(range(remainder, jobs + 1, 4), count)


def upsert(table: str, mark: str, source: str = "") -> str:
    """INSERT … ON CONFLICT DO UPDATE of every column but ids, guarded so that an unchanged row writes nothing."""
    columns, key = TABLES[table]
    free = [name for name in columns if name not in key and name not in ("id", "run_id", "attempt_id", *VOLATILE)]
    stored, text = (", ".join(f"{where}.{name}" for name in free) for where in (table, "excluded"))
    settings = ", ".join(
        f"{name} = excluded.{name}" for name in (*free, *(name for name in VOLATILE if name in columns))
    )
    values = source or f"VALUES ({', '.join([mark] * len(columns))})"
    guard = "IS NOT" if mark == "?" else "IS DISTINCT FROM"
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) {values} ON CONFLICT ({', '.join(key)})"
        f" DO UPDATE SET {settings} WHERE ({stored}) {guard} ({text})"
    )


VOLATILE = ("observed_us", "changed_seq")
"""Written when something else changed; not a change by themselves."""

assert instant(micros(NOW)) == NOW
