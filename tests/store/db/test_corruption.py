"""A store with a flipped byte is refused in words, or read, and its audit is never another one in silence (F15)."""

from __future__ import annotations

import random
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
            found, bad = reads(damaged)
        except StoreUnusable as error:
            outcomes.add("refused" if str(damaged) in str(error) else str(error))
        else:
            assert found == entries or bad is not None, f"byte {at} changed the audit in silence"
            outcomes.add("read" if bad is None else "found")
    assert {"read"} <= outcomes <= {"read", "found", "refused"}
