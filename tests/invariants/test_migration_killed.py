"""A migration that is killed: the old store is intact, and the next start completes the migration (F21)."""

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
from console.store.db import migrate
from console.store.db.database import open_database, open_read_only
from console.store.db.schema_version import SCHEMA
from tests.deep import one_of_each
from tests.store.estate import build
from tests.store.fixtures import LATER_SCHEMA, put_later_migration
from tests.store.ready import open_ready

POINTS = [failpoint for failpoint in FAILPOINTS if failpoint.startswith("migrate.")]


MIGRATE = """
import sys
from pathlib import Path
from console.store.db import migrate
from console.store.db.database import open_read_only
store = open_read_only(sys.argv[1])
migrate.migrate(store.engine, store.path, Path(sys.argv[2]))
"""


@pytest.mark.parametrize("name", one_of_each(POINTS, type))
def test_f21_a_migration_that_is_killed_leaves_the_old_store_and_the_next_start_ends_it(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "headway.db"
    store = build(open_ready(str(path))).store
    store.close()
    folder = put_later_migration(tmp_path / "migrations", "pass")
    argv = [sys.executable, "-c", MIGRATE, str(path), str(folder)]
    done = subprocess.run(argv, env={**os.environ, VARIABLE: f"{name}:kill"}, check=False)
    assert -signal.SIGKILL == done.returncode
    assert [(SCHEMA,)] == rows(path, "SELECT version_num FROM alembic_version")
    assert [("ok",)] == rows(path, "PRAGMA integrity_check")
    store = open_read_only(str(path))
    migrate.migrate(store.engine, store.path, folder)
    store.close()
    assert [(LATER_SCHEMA,)] == rows(path, "SELECT version_num FROM alembic_version")
    assert ("etl-hosts",) in rows(path, "SELECT name FROM system")


@pytest.mark.parametrize("name", one_of_each(POINTS, type))
def test_a_new_store_whose_making_is_killed_is_made_by_the_next_start(tmp_path: Path, name: str) -> None:
    path = tmp_path / "headway.db"
    makes = "import sys; from console.store.db.database import open_database as make; make(sys.argv[1]).close()"
    argv = [sys.executable, "-c", makes, str(path)]
    done = subprocess.run(argv, env={**os.environ, VARIABLE: f"{name}:kill"}, check=False)
    assert -signal.SIGKILL == done.returncode
    open_database(str(path)).close()
    assert [(SCHEMA,)] == rows(path, "SELECT version_num FROM alembic_version")


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()
