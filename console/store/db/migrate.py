"""Brings a store to this program's schema: by Alembic, in one transaction that holds the writers' lock.

A store written by a newer Headway is refused. An older SQLite store is copied first, to `headway.db.0124.bak`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from console.failpoints import failpoint
from console.store.db.location import sqlite_uri
from console.store.db.schema_version import FIRST_SCHEMA, development_text, too_new_text
from console.store.errors import StoreUnusable, is_not_permitted

FOLDER = Path(__file__).parent / "migrations"
_VERSION_TABLE = (
    "CREATE TABLE IF NOT EXISTS alembic_version"
    " (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)"
)
"""On PostgreSQL its lock lets one engine migrate at a time; unlike an advisory lock, it needs write access."""

NOT_OWNER = (
    ", and it is to be migrated to schema {}. Fix: start this version's engine once as the login that owns the tables,"
    " then run what `headway store grants` prints"
)


def migrate(engine: Engine, path: Path | None, folder: Path = FOLDER) -> None:
    """Migrates to the newest version in `folder`."""
    scripts = ScriptDirectory(str(folder))
    newest = scripts.get_current_head()
    try:
        with engine.connect() as connection:
            if _current(connection) == newest:
                return
        with engine.connect() as connection:
            connection.execution_options(headway_write=True)
            with connection.begin(), _without_timeout(connection):
                _migrate_locked(connection, path, scripts, folder)
    except DBAPIError as error:
        place = path or engine.url.set(query={}).render_as_string()
        fix = NOT_OWNER.format(newest) if is_not_permitted(error.orig) else ""
        raise StoreUnusable(f"the store at {place}: {error.orig}{fix}") from error


def _migrate_locked(connection: Connection, path: Path | None, scripts: ScriptDirectory, folder: Path) -> None:
    if path is None:
        with suppress(DBAPIError), connection.begin_nested():  # refused once another engine has made it meanwhile
            connection.exec_driver_sql(_VERSION_TABLE)
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")  # another engine's migration may take long
        connection.exec_driver_sql("LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE")
        connection.exec_driver_sql("SET LOCAL lock_timeout = '20s'")  # a reader's open transaction: all wait behind us
    current, newest = _current(connection), scripts.get_current_head()
    place = path or connection.engine.url.set(query={}).render_as_string()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        if current < FIRST_SCHEMA:
            raise StoreUnusable(development_text(f"{place}", current))
        row = connection.exec_driver_sql("SELECT value FROM meta WHERE name = 'version'").first()
        raise too_new_text(f"{place}", current, newest, None if row is None else row.value)
    if current == newest:
        return
    tables = (
        "sqlite_master WHERE type = 'table'"
        if path
        else "pg_tables WHERE schemaname = current_schema() AND tablename <> 'alembic_version'"
    )
    if current is None and connection.exec_driver_sql(f"SELECT count(*) FROM {tables}").scalar_one():  # noqa: S608
        raise StoreUnusable(f"{path or 'the database'} holds tables that Headway did not make; name another store")
    if path is not None and current is not None:
        _back_up(path, path.with_name(f"{path.name}.{current}.bak"))
    failpoint("migrate.backed_up")
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    mark = "?" if path is not None else "%s"
    for name, value in (("schema", newest), ("version", version("headway"))):
        connection.exec_driver_sql(
            f"INSERT INTO meta (name, value) VALUES ({mark}, {mark})"  # noqa: S608  (a placeholder, not a value)
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )
    failpoint("migrate.before_commit")


@contextmanager
def _without_timeout(connection: Connection) -> Iterator[None]:
    """Lifts the answer timeout (`console.store.db.postgres`) for migrations."""
    raw: Any = connection.connection.driver_connection
    is_postgres = connection.dialect.name != "sqlite"
    if is_postgres:
        raw.unhurried = True
    try:
        yield
    finally:
        if is_postgres:
            raw.unhurried = False


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _back_up(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
    with sqlite3.connect(sqlite_uri(source), uri=True) as old, sqlite3.connect(target) as new:
        old.backup(new)
    old.close()
    new.close()
