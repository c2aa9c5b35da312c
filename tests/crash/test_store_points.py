"""What holds after a crash while the store's log is moved into its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from console.failpoints import VARIABLE, FailpointReached
from console.store.db import database as store_open
from console.store.db.database import Database
from tests.store.ready import open_ready


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A store that moves its log into its file after every write."""
    monkeypatch.setattr(store_open, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(store_open, "QUIET_LOG_BYTES", 0)
    made = open_ready(str(tmp_path / "headway.db"))
    yield made
    made.close()


def note(store: Database, name: str) -> None:
    with store.write(None) as connection:
        connection.rows(f"INSERT INTO meta (name, value) VALUES ('{name}', '1')")


def notes(store: Database) -> list[str]:
    with store.read() as connection:
        return [row[0] for row in connection.rows("SELECT name FROM meta WHERE name LIKE 'note%'")]


def test_what_was_committed_stays_whatever_ends_the_move_of_the_log(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(store, "note 1")
    monkeypatch.setenv(VARIABLE, "checkpoint.before:raise")
    with pytest.raises(FailpointReached):
        note(store, "note 2")
    monkeypatch.delenv(VARIABLE)
    assert ["note 1", "note 2"] == sorted(notes(store))


def test_a_write_is_not_reported_as_failed_because_its_log_could_not_be_moved(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the file cannot grow. The row is committed: whoever heard of a failure would write it again."""
    raw = store_open._raw

    class Full:
        def __init__(self, inner: sqlite3.Connection) -> None:
            self.inner = inner

        def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
            if "wal_checkpoint" in sql:
                raise sqlite3.OperationalError("database or disk is full")
            return self.inner.execute(sql, values)

    monkeypatch.setattr(store_open, "_raw", lambda connection: Full(raw(connection)))
    note(store, "note 1")
    assert ["note 1"] == notes(store)
