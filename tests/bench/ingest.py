"""How many records a CPU-second takes in: `python -m tests.bench.ingest [--json] [--quick]`.

Through the whole ingest (cleaning, diff, attempts, runs, latest run, counts, changed list), into a store with 1,000,000
runs of 100,000 jobs (--quick: 200,000 of 20,000), in polls of 5,000. Anchors, interleaved with it in the same tables:
a bare sqlite3 `executemany` upsert and a bare COPY + upsert of the same rows; SQLModel's `session.merge` of some.
CPU: of this process, and on PostgreSQL of the backend too.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from sqlmodel import Session, col, select

from console.domain.schema.estate import Attempt, LatestRun, Run
from console.store.db.database import Database, open_database
from console.store.ingest.records import ingest_batch
from tests.bench.bigstore import big_store
from tests.bench.figures import Figure, arguments, emit
from tests.bench.ingest_rows import LATEST_COLUMNS, TABLES, Row, batch, names_of, records, rows, some_jobs, upsert

OURS, THEIRS, NAIVE = 1, 2, 3
"""Remainders by four of the job ids, so that each way has jobs of its own: bigstore's targets."""


@dataclass(frozen=True)
class Size:
    jobs: int
    runs: int
    batch: int
    rounds: int
    naive: int


FULL = Size(100_000, 1_000_000, 5_000, 8, 1_500)
QUICK = Size(20_000, 200_000, 2_500, 4, 300)
SMOKE = Size(2_000, 20_000, 500, 2, 50)


@dataclass
class Spent:
    """Records and CPU seconds of one way. The first round warms up and does not count."""

    records: int = 0
    seconds: float = 0.0
    cpu: Callable[[], float] = field(default=time.process_time)

    def add(self, count: int, work: Callable[[], object], counts: bool = True) -> None:
        before = self.cpu()
        work()
        if counts:
            self.seconds += self.cpu() - before
            self.records += count

    @property
    def rate(self) -> float:
        return self.records / self.seconds


@contextmanager
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="headway-bench-ingest-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


ATTEMPTS = (
    "INSERT INTO attempt (id, run_id, job_id, attempt_key, number, state, evidence, native_state, started_us, ended_us,"
    " exit_code, message, reason, native_ref, native_url, context, observed_us)"
    " SELECT id, id, job_id, period_key, 1, state, evidence, native_state, started_us, ended_us, exit_code, '', '', '',"
    " '', '{}', observed_us FROM run"
)


def filled(folder: Path, size: Size) -> Path:
    """A copy of the big store, every run with its attempt."""
    path = folder / "headway.db"
    shutil.copy(big_store(size.jobs, size.runs), path)
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA synchronous=OFF")
        raw.execute(ATTEMPTS)
        raw.execute("UPDATE run SET attempt_id = id")
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    return path


class Rounds:
    """The same rounds for every variant: each brings running runs of some jobs, ends them, and reports them again."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self._random = Random(2)

    def play(
        self,
        ours: Callable[[Any], object],
        theirs: Callable[[dict[str, list[Row]]], object],
        first_id: Callable[[], tuple[int, int]],
        cpu: Callable[[], float],
    ) -> dict[str, tuple[Spent, Spent]]:
        """Kind -> what ours and theirs spent. `first_id`: of the next run and attempt that theirs makes."""
        spent = {name: (Spent(cpu=cpu), Spent(cpu=cpu)) for name in ("changed", "unchanged")}
        for number in range(self.size.rounds + 1):
            mine = names_of(some_jobs(self._random, OURS, self.size.jobs, self.size.batch))
            job_ids = some_jobs(self._random, THEIRS, self.size.jobs, self.size.batch)
            names = names_of(job_ids)
            ids = first_id()
            for step, ended, kind in ((0, False, "changed"), (1, True, "changed"), (2, True, "unchanged")):
                minutes = number * 10 + step
                bare = rows(records(names, number, ended), job_ids, ids, minutes)
                poll = batch(records(mine, number, ended), minutes)
                spent[kind][1].add(len(names), lambda bare=bare: theirs(bare), number > 0)  # type: ignore[misc]
                spent[kind][0].add(len(mine), lambda poll=poll: ours(poll), number > 0)  # type: ignore[misc]
        return spent


def largest_ids(raw: Any) -> tuple[int, int]:
    [run_id] = raw.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM run").fetchone()
    [attempt_id] = raw.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM attempt").fetchone()
    return int(run_id), int(attempt_id)


# -- SQLite -----------------------------------------------------------------------------------------------------------
def on_sqlite(size: Size) -> Iterator[Figure]:
    with scratch() as folder:
        path = filled(folder, size)
        store = open_database(str(path))
        raw = sqlite3.connect(path, isolation_level=None)
        for pragma in ("synchronous=NORMAL", "wal_autocheckpoint=20000", "cache_size=-65536", "temp_store=MEMORY"):
            raw.execute(f"PRAGMA {pragma}")
        statements = {table: upsert(table, "?") for table in TABLES}

        def theirs(bare: dict[str, list[Row]]) -> None:
            raw.execute("BEGIN IMMEDIATE")
            for table, statement in statements.items():
                raw.executemany(statement, bare[table])
            raw.execute("COMMIT")

        rounds = Rounds(size)
        spent = rounds.play(
            lambda poll: ingest_batch(store, OURS, poll, None), theirs, lambda: largest_ids(raw), time.process_time
        )
        for kind in ("changed", "unchanged"):
            ours, bare = spent[kind]
            yield Figure(f"sqlite_{kind}", ours.rate, "records/cpu-s", "raw sqlite3 executemany upsert", bare.rate)
        naive = naive_rate(store, size)
        yield Figure("sqlite_vs_naive", spent["changed"][0].rate, "records/cpu-s", "SQLModel session.merge", naive)
        raw.close()
        store.close()


def naive_rate(store: Database, size: Size) -> float:
    """Select what is there, merge objects, commit: the way that an ORM invites to."""
    job_ids = some_jobs(Random(3), NAIVE, size.jobs, size.naive)
    names = names_of(job_ids)
    spent = Spent()
    with store.engine.connect() as connection:
        ids = largest_ids(connection.connection.driver_connection)
    for step, ended in enumerate((False, True)):
        bare = rows(records(names, 1, ended), job_ids, ids, step)
        spent.add(len(names), lambda bare=bare: _merge(store, bare))  # type: ignore[misc]
    return spent.rate


def _merge(store: Database, bare: dict[str, list[Row]]) -> None:
    with Session(store.engine) as session:
        for run_row, attempt_row, latest_row in zip(bare["run"], bare["attempt"], bare["latest_run"], strict=True):
            run, attempt = (
                Run(**dict(zip(TABLES["run"][0], run_row, strict=True))),
                Attempt(**dict(zip(TABLES["attempt"][0], attempt_row, strict=True))),
            )
            stored = session.exec(
                select(Attempt).where(
                    col(Attempt.job_id) == attempt.job_id, col(Attempt.attempt_key) == attempt.attempt_key
                )
            ).first()
            if stored is not None:
                attempt.id, attempt.run_id, run.id = stored.id, stored.run_id, stored.run_id
            session.merge(run)
            session.merge(attempt)
            session.merge(LatestRun(**dict(zip(LATEST_COLUMNS, latest_row, strict=True))))
            session.flush()
        session.commit()


# -- PostgreSQL -------------------------------------------------------------------------------------------------------
def on_postgres(size: Size) -> Iterator[Figure]:
    from tests.lab.postgres import PostgresServer

    with scratch() as folder:
        folder.chmod(0o755)
        server = PostgresServer(folder / "postgres")
        server.start()
        try:
            yield from _against(server.create_database(), size)
        finally:
            server.stop()


def _against(dsn: str, size: Size) -> Iterator[Figure]:
    store = open_database(dsn)
    raw = psycopg.connect(dsn, autocommit=True)
    _fill_postgres(raw, size)
    with store.read() as connection:
        backend = connection.rows("SELECT pg_backend_pid()")[0][0]
    pids = [raw.info.backend_pid, backend]
    for table in TABLES:
        raw.execute(f"CREATE TEMP TABLE bare_{table} (LIKE {table})")

    def theirs(bare: dict[str, list[Row]]) -> None:
        with raw.transaction(), raw.cursor() as cursor:
            for table, (columns, _) in TABLES.items():
                names = ", ".join(columns)
                cursor.execute(f"TRUNCATE bare_{table}")
                with cursor.copy(f"COPY bare_{table} ({names}) FROM STDIN") as copy:
                    for row in bare[table]:
                        copy.write_row(row)
                cursor.execute(upsert(table, "%s", f"SELECT {names} FROM bare_{table}"))

    def first_id() -> tuple[int, int]:
        ids = [
            raw.execute(f"SELECT setval('{table}_id_seq', nextval('{table}_id_seq') + %s)", (size.batch,)).fetchone()
            for table in ("run", "attempt")
        ]
        return tuple(group[0] - size.batch for group in ids if group)

    def cpu() -> float:
        return time.process_time() + sum(map(_cpu_of, pids))

    spent = Rounds(size).play(lambda poll: ingest_batch(store, OURS, poll, None), theirs, first_id, cpu)
    ours, bare = spent["changed"]
    yield Figure("postgres_changed", ours.rate, "records/cpu-s", "COPY to temp + upsert", bare.rate)
    raw.close()
    store.close()


def _cpu_of(pid: int) -> float:
    """CPU seconds of a backend so far (proc(5): utime and stime, in clock ticks)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fill_postgres(raw: psycopg.Connection[Any], size: Size) -> None:
    """What bigstore holds, copied table by table."""
    with sqlite3.connect(big_store(size.jobs, size.runs)) as source:
        for table in ("system", "target", "job", "run", "latest_run", "job_counts"):
            booleans = {
                name for (name,) in raw.execute(
                    "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
                    " AND data_type = 'boolean'",
                    (table,),
                )
            }  # fmt: skip
            cursor = source.execute(f"SELECT * FROM {table}")
            columns = [pair[0] for pair in cursor.description]
            flips = [place for place, name in enumerate(columns) if name in booleans]
            with raw.cursor() as into, into.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in cursor:
                    values = list(row)
                    for place in flips:
                        values[place] = bool(values[place])
                    copy.write_row(values)
    source.close()
    raw.execute(ATTEMPTS)
    raw.execute("UPDATE run SET attempt_id = id")
    for table in ("run", "attempt", "job"):
        raw.execute(f"SELECT setval('{table}_id_seq', (SELECT MAX(id) FROM {table}))")
    raw.execute("ANALYZE")


def main() -> None:
    chosen = arguments(__doc__ or "")
    size = (FULL, QUICK, SMOKE)[chosen.quick]
    emit("ingest", [*on_sqlite(size), *on_postgres(size)], chosen.json)


if __name__ == "__main__":
    main()
