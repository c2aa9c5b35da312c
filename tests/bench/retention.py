"""What a year costs with retention: `python -m tests.bench.retention [--json] [--quick]`.

One run of each job a night for 365 nights, through the ingest that an engine uses, and a pass of retention after each
night: 10,000 jobs (--quick: 500 for 150 nights), a hundredth of an estate of a million runs a day. Anchor of each
figure of the last ten nights: the ten nights when the first run was deleted; a store that stays small has ratios near
1. `*_million` is extrapolated by the bytes per run. On SQLite.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import median

from connectors.sdk.records import JobRecord, RunRecord, instant_key
from connectors.sdk.states import RunEvidence, RunState
from console.domain.filter import JobFilter
from console.domain.inventory import InventoryChanges
from console.domain.settings import EstateSettings, RetentionRules
from console.store.config_sync import sync_config
from console.store.db import retention
from console.store.db.database import Database, open_database
from console.store.ingest.batch import IngestBatch
from console.store.ingest.inventory import write_inventory
from console.store.ingest.records import ingest_batch
from console.store.queries import open_queries
from tests.bench.figures import Figure, Scale, arguments, emit
from tests.store.estate import MIDNIGHT, SYSTEMS, target_id

RULES = RetentionRules()
MILLION = 1_000_000
POLL_RUNS = 5_000
WINDOW = 10
"""Nights whose figures stand beside each other."""
FAILED_SHARE = 100
"""One run in so many fails."""


@dataclass
class Costs:
    """Per night."""

    size: list[int] = field(default_factory=list)
    ingest_us: list[float] = field(default_factory=list)
    """CPU per run."""
    prune_us: list[float] = field(default_factory=list)
    board_ms: list[float] = field(default_factory=list)
    longest_ms: list[float] = field(default_factory=list)
    """Of the transactions of retention: as long may a poll wait."""


def record(job: str, night: datetime, place: int, number: int) -> RunRecord:
    """The run of a job in this night."""
    due = night + timedelta(seconds=place % 3600)
    is_red = (place * 31 + number) % FAILED_SHARE == 0
    return RunRecord(
        job=job, attempt_key=f"{number}", period_key=instant_key(due), period_at=due, started_at=due,
        ended_at=due + timedelta(minutes=5 + place % 7), native_ref=f"ref:{number}", exit_code=int(is_red),
        state=RunState.FAILED if is_red else RunState.SUCCEEDED, native_state=f"exit {int(is_red)}",
        evidence=RunEvidence.NATIVE, message="disk full" if is_red else "",
    )  # fmt: skip


def business_date(record: RunRecord) -> date:
    assert record.period_at is not None
    return record.period_at.date()


def live(path: Path, jobs: int, nights: int, queries: int, costs: Costs) -> None:
    """Ingests night after night; after each, retention and so many of the board's queries."""
    store = open_database(str(path))
    sync_config(store, EstateSettings(systems=SYSTEMS, name="bench"), MIDNIGHT, None)
    names = [f"db07:job_{number:06d}" for number in range(jobs)]
    host = target_id(store, "etl-hosts")
    write_inventory(store, host, InventoryChanges(new=tuple(map(JobRecord, names)), hash="h"), MIDNIGHT, None)
    begin = MIDNIGHT - timedelta(days=nights)
    for number in range(nights):
        night = begin + timedelta(days=number)
        runs = [record(name, night, place, number) for place, name in enumerate(names)]
        started = time.process_time()
        for first in range(0, jobs, POLL_RUNS):
            batch = IngestBatch(tuple(runs[first : first + POLL_RUNS]), f"{number}", night + timedelta(hours=3),
                                business_date)  # fmt: skip
            ingest_batch(store, host, batch, None)
        costs.ingest_us.append((time.process_time() - started) * 1e6 / jobs)
        prune(store, night + timedelta(hours=4), jobs, costs)
        with open_queries(str(path)) as reads:
            started = time.perf_counter()
            for _ in range(queries):
                reads.jobs.jobs_first_page(JobFilter())
            costs.board_ms.append((time.perf_counter() - started) * 1e3 / queries)
        with store.read() as session:
            [row] = session.rows(
                "SELECT (c.page_count - f.freelist_count) * s.page_size AS size FROM pragma_page_count c,"
                " pragma_freelist_count f, pragma_page_size s"
            )
        costs.size.append(row.size)
    store.close()


def prune(store: Database, now: datetime, jobs: int, costs: Costs) -> None:
    started, before, longest = time.process_time(), time.perf_counter(), 0.0
    for _ in retention.RetentionPass(RULES, now).steps(store, None):
        longest = max(longest, time.perf_counter() - before)
        before = time.perf_counter()
    costs.prune_us.append((time.process_time() - started) * 1e6 / jobs)
    costs.longest_ms.append(longest * 1e3)


def figures(jobs: int, nights: int, queries: int) -> Iterator[Figure]:
    costs = Costs()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "headway.db"
        live(path, jobs, nights, queries, costs)
        with open_queries(str(path)) as reads:
            sizes = {size.table: size for size in reads.table_sizes(RULES)}
    full = RULES.runs.days + 1
    anchor = f"nights {full} to {full + WINDOW}"

    def beside(name: str, values: list[float] | list[int], unit: str) -> Figure:
        return Figure(name, median(values[-WINDOW:]), unit, anchor, median(values[full : full + WINDOW]))

    runs = sizes["run"].rows
    per_run = sum((sizes[table].size or 0) for table in ("run", "attempt")) / runs
    yield beside("store_size", [size / 1e6 for size in costs.size], "MB")
    yield Figure("bytes_per_run", per_run, "bytes, attempts and indexes")
    yield Figure("bytes_per_job_day", (sizes["job_day"].size or 0) / max(sizes["job_day"].rows, 1), "bytes")
    yield Figure("runs_kept_per_job", runs / jobs, "runs")
    yield Figure("size_million", per_run * runs / jobs * MILLION / 1e9, "GB of runs at a million a day")
    yield beside("ingest_cpu", costs.ingest_us, "us per run")
    yield beside("retention_cpu", costs.prune_us, "us per run of a night")
    yield beside("retention_longest", costs.longest_ms, "ms, reads and one transaction")
    yield beside("board_query", costs.board_ms, "ms")


def main() -> int:
    parsed = arguments(__doc__ or "")
    scale: Scale = parsed.quick
    emit("retention", figures(scale.of(10_000, 500, 2), scale.of(365, 150, 115), scale.of(20, 20, 1)), parsed.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
