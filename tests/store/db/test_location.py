"""The error where there is no store: the reason, and the fix."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from console.store.db import client
from console.store.errors import StoreMissing, StoreUnusable
from console.store.queries import open_queries
from tests.store.ready import open_ready


def test_a_disk_too_full_for_a_store_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.store.db.location.free_bytes", lambda _: 12 * 1024)
    (tmp_path / "headway.db").touch()
    text = r"there is no store at .*headway\.db yet, and its disk is full \(12 KiB are free\)\. Fix: free some"
    with pytest.raises(StoreMissing, match=text):
        open_queries(str(tmp_path / "headway.db"))
    with pytest.raises(StoreMissing, match=text), client.client_transaction(str(tmp_path / "missing" / "headway.db")):
        pass


def test_a_store_that_was_moved_away_under_its_engine_is_to_be_put_back(tmp_path: Path) -> None:
    """A new engine would make an empty one beside it."""
    opened = open_ready(str(tmp_path / "headway.db"))
    (tmp_path / "headway.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(StoreUnusable, match=r"file is gone: .*Fix: move it back, or restore a copy"):
        open_queries(str(tmp_path / "headway.db"))
    opened.close()


def test_a_half_created_store_is_reported_as_one(tmp_path: Path) -> None:
    path = tmp_path / "headway.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
    with pytest.raises(StoreMissing, match=r"has no tables yet: .* Fix: .*run headway engine"):
        open_queries(str(path))
    open_ready(str(path)).close()
    open_queries(str(path)).close()
