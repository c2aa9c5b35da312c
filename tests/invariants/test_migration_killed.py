"""A migration that is killed: the old store stands, whole, and the next start ends what was begun (F21)."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from console.failpoints import FAILPOINTS, VARIABLE
from console.store.db.database import open_database
from console.store.db.location import SCHEMA
from tests.deep import some
from tests.store.fixtures import older_store

POINTS = [one for one in FAILPOINTS if one.startswith("migrate.")]


@pytest.mark.parametrize("name", some(POINTS, "migrate.before_commit"))
def test_f21_a_migration_that_is_killed_leaves_the_old_store_and_the_next_start_ends_it(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "headway.db"
    older_store(path, tmp_path / "first")
    argv = [
        sys.executable,
        "-c",
        f"from console.store.db.database import open_database as open_store; open_store({str(path)!r})",
    ]
    done = subprocess.run(argv, env={**os.environ, VARIABLE: f"{name}:kill"}, check=False)
    assert -signal.SIGKILL == done.returncode
    with closing(sqlite3.connect(path)) as old:
        assert [("0001",)] == old.execute("SELECT version_num FROM alembic_version").fetchall()
        assert [("ok",)] == old.execute("PRAGMA integrity_check").fetchall()
    opened = open_database(str(path))
    with opened.read() as connection:
        assert SCHEMA == connection.rows("SELECT version_num FROM alembic_version")[0][0]
        assert "hosts" == connection.rows("SELECT name FROM system")[0][0]
    opened.close()
