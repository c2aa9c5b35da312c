"""What a file may suffer: other writers, a full disk, a killed engine, a torn copy, a reader that stays."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from console.store.db import database as open_module
from console.store.db.database import open_database
from console.store.errors import StoreUnusable
from console.store.queries import open_queries
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.store.estate import JOBS, Estate, failed, run

ROOT = Path(__file__).parents[3]


def integrity(path: Path) -> str:
    with sqlite3.connect(path) as raw:
        [(result,)] = raw.execute("PRAGMA integrity_check").fetchall()
    raw.close()
    return str(result)


def test_f13_a_writer_waits_for_another_one_and_readers_go_on_reading(night: Estate) -> None:
    assert night.store.path is not None
    night.ingest(run())
    other = sqlite3.connect(night.store.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE run SET message = 'not yet'")
    done: list[str] = []

    def write() -> None:
        night.ingest(failed(JOBS[1]))
        done.append("written")

    writer = threading.Thread(target=write)
    writer.start()
    with open_queries(night.store.url) as reads:
        assert [""] == [run.message for run in reads.runs.list_runs(1)]
    assert [] == done
    other.execute("ROLLBACK")
    writer.join(HANGS_SECONDS)
    other.close()
    assert ["written"] == done
    assert 2 == night.fetch_one("SELECT count(*) FROM run")


def test_f13_writers_of_one_process_queue(night: Estate) -> None:
    """More threads than connections in the pool; each waits for its turn, none fails."""
    threads = [threading.Thread(target=lambda n=n: night.ingest(run(f"db07:{n}", attempt=str(n)))) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS_SECONDS)
    assert 24 == night.fetch_one("SELECT count(*) FROM run")


def test_f12_on_a_full_disk_the_batch_is_rolled_back_and_all_continues_once_there_is_space(night: Estate) -> None:
    night.ingest(run())
    many = [run(f"db07:job {number}", attempt=str(number), message="x" * 1_000) for number in range(500)]
    with night.store.write(None) as connection:
        pages = connection.rows("PRAGMA page_count")[0][0]
    limit = f"PRAGMA max_page_count = {pages + 5}"

    with night.store.engine.connect() as connection:
        connection.connection.driver_connection.execute(limit)  # type: ignore[union-attr]
    with pytest.raises(
        StoreUnusable, match=r"the store at .*headway\.db: database or disk is full. Fix: free space on the disk"
    ):
        night.ingest(*many, cursor="after")
    assert (1, "{}") == (
        night.fetch_one("SELECT count(*) FROM run"),
        night.fetch_one("SELECT cursor FROM target WHERE id = :id", id=night.host),
    )
    with night.store.engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA max_page_count = 1000000")  # type: ignore[union-attr]
    night.ingest(*many, cursor="after")
    assert 501 == night.fetch_one("SELECT count(*) FROM run")


CHILD = """
    import sys
    from tests.store.estate import Estate, run, target_id
    from console.store.db.database import open_database as open_store
    store = open_store(sys.argv[1])
    night = Estate(store, target_id(store, "etl-hosts"), 0)
    number = 0
    while True:
        keys = {"period_key": f"p{number}"}
        records = [run(f"db07:job {place}", attempt=f"{number} {place}", **keys) for place in range(50)]
        night.ingest(*records, cursor=str(number))
        number += 1
        print(number, flush=True)
"""


@pytest.mark.deep
@pytest.mark.parametrize("after", [1, 4, 9])
def test_f01_an_engine_killed_at_any_moment_leaves_whole_batches(night: Estate, after: int) -> None:
    """kill -9 while it writes: what is there is complete up to the cursor, and the next engine goes on."""
    assert night.store.path is not None
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(night.store.path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    while int(child.stdout.readline()) < after:
        pass
    log = Path(f"{night.store.path}-wal")
    written = log.stat().st_mtime_ns
    wait_until(lambda: log.stat().st_mtime_ns != written, "the next commit to begin", pause=0.001)
    os.kill(child.pid, signal.SIGKILL)
    child.wait(HANGS_SECONDS)
    child.stdout.close()
    batches = int(night.fetch_one("SELECT cursor FROM target WHERE id = :id", id=night.host)) + 1
    assert batches >= after
    assert [(50 * batches,)] * 2 == [
        *night.rows("SELECT count(*) FROM run"),
        *night.rows("SELECT count(*) FROM attempt"),
    ]
    assert "ok" == integrity(night.store.path)
    night.ingest(run())


def test_f16_a_copy_that_was_torn_while_writing_opens_at_a_committed_point(night: Estate, tmp_path: Path) -> None:
    assert night.store.path is not None
    for number in range(20):
        night.ingest(*(run(f"db07:job {place}", attempt=f"{number} {place}") for place in range(20)))
    log = night.store.path.with_name(night.store.path.name + "-wal").read_bytes()
    for part in range(1, 8):
        copy = tmp_path / f"copy{part}.db"
        copy.write_bytes(night.store.path.read_bytes())
        copy.with_name(copy.name + "-wal").write_bytes(log[: len(log) * part // 8 + part * 100])
        assert "ok" == integrity(copy)


def test_f17_a_reader_leaves_no_transaction_open_so_that_the_log_can_shrink(night: Estate) -> None:
    assert night.store.path is not None
    with open_queries(night.store.url) as reads:
        for number in range(5):
            night.ingest(*(run(f"db07:job {place}", attempt=f"{number} {place}") for place in range(50)))
            reads.estate.header()
            reads.jobs.job(1)
        with sqlite3.connect(night.store.path) as raw:
            [(busy, in_log, moved)] = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        raw.close()
    assert (0, 0, 0) == (busy, in_log, moved)


def test_f17_the_log_goes_into_the_file_after_a_pause(night: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    assert night.store.path is not None
    log = night.store.path.with_name("headway.db-wal")
    night.ingest(*(run(f"db07:job {place}", attempt=str(place), message="x" * 2_000) for place in range(800)))
    large = log.stat().st_size
    night.ingest(now="03:21")
    assert large <= log.stat().st_size
    monkeypatch.setattr(open_module, "QUIET_SECONDS", 0.0)
    night.ingest(now="03:22")
    night.ingest(now="03:23")
    assert log.stat().st_size <= open_module.QUIET_LOG_BYTES < large


@pytest.mark.deep
def test_f17_the_log_of_a_store_that_is_written_to_without_a_pause_stays_small(night: Estate) -> None:
    assert night.store.path is not None
    log = night.store.path.with_name("headway.db-wal")
    sizes = []
    for batch in range(40):
        night.ingest(*(run(f"db07:job {place}", attempt=f"{batch}", message="x" * 2_000) for place in range(200)))
        sizes.append(log.stat().st_size)
    assert max(sizes) < 20_000_000 < 20 * sizes[0], sizes


def test_a_store_that_is_closed_in_one_process_is_whole_in_the_next(night: Estate) -> None:
    night.ingest(failed())
    night.store.close()
    again = open_database(night.store.url)
    assert [("failed",)] == Estate(again, night.host, night.airflow).rows("SELECT state FROM run")
    again.close()
