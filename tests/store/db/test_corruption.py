"""A store with a flipped byte, or with another log, is refused in words or read; its audit never changes in silence
(F15)."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from console.store import audit
from console.store.db.backup import back_up
from console.store.errors import StoreUnusable
from console.store.queries import open_queries
from tests.deep import few
from tests.store.estate import Estate, failed, run

ROWS = 40


@pytest.fixture
def path(night: Estate, tmp_path: Path) -> Path:
    """A copy without a log, of jobs, runs and an audit of many pages."""
    for number in range(ROWS):
        night.ingest(run(attempt=f"a{number}"), failed(f"db07:job {number}", attempt="2"))
        with night.store.write(None) as session:
            audit.append(session, 1, "alice", "desk", "rerun", f"etl-hosts/db07:job {number}", {})
    assert night.store.path is not None
    copy = tmp_path / "copy.db"
    back_up(night.store.path, copy)
    return copy


def reads(path: Path) -> tuple[list[tuple[str, str]], str | int | None]:
    """The audit, and what is wrong with it; a board and a list are read too."""
    with open_queries(str(path)) as queries:
        entries = [(row.verb, row.object) for row in queries.audit.list_entries()]
        queries.estate.header(), queries.incidents.list_incidents()
        return entries, queries.audit.verify_audit().bad


@pytest.mark.parametrize("seed", few(range(20), 1))
def test_f15_a_flipped_byte_is_refused_or_read_and_never_a_false_audit(path: Path, tmp_path: Path, seed: int) -> None:
    draw, whole = random.Random(seed), path.read_bytes()
    entries, bad = reads(path)
    assert (ROWS, None) == (len(entries), bad)
    damaged, outcomes = tmp_path / "damaged.db", set()
    for _ in range(50):
        raw = bytearray(whole)
        at = draw.randrange(len(raw))
        raw[at] ^= 1 << draw.randrange(8)
        damaged.write_bytes(raw)
        try:
            results, bad = reads(damaged)
        except StoreUnusable as error:
            outcomes.add("refused" if str(damaged) in str(error) else str(error))
        else:
            assert results == entries or bad is not None, f"byte {at} changed the audit in silence"
            outcomes.add("read" if bad is None else "found")
    assert {"read"} <= outcomes <= {"read", "found", "refused"}


@pytest.mark.parametrize("is_copy, expected", [(False, {"refused", "found"}), (True, {"other"})])
def test_f15_the_log_of_another_store_is_refused_or_found_and_that_of_a_copy_is_read_whole(
    path: Path, night: Estate, tmp_path: Path, is_copy: bool, expected: set[str]
) -> None:
    """SQLite reads any log that is valid in itself; that of a store with the same pages is a documented limit."""
    assert night.store.path is not None
    if not is_copy:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("DELETE FROM attempt; VACUUM")  # every page is elsewhere than in the log's store
    with closing(sqlite3.connect(night.store.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    log, swapped, outcomes = night.store.path.with_name(f"{night.store.path.name}-wal"), tmp_path / "swapped.db", set()
    for number in range(30):
        with night.store.write(None) as session:
            audit.append(session, 1, "alice", "desk", "hold", f"etl-hosts/db07:job {number}", {})
        shutil.copy(path, swapped)
        shutil.copy(log, swapped.with_name(f"{swapped.name}-wal"))
        swapped.with_name(f"{swapped.name}-shm").unlink(missing_ok=True)
        try:
            results, bad = reads(swapped)
        except StoreUnusable as error:
            outcomes.add("refused" if str(swapped) in str(error) else str(error))
            continue
        is_whole = (results, bad) == (reads(night.store.path)[0], None)
        outcomes.add("other" if is_whole else "found" if bad is not None else "mixed in silence")
    assert outcomes <= expected
