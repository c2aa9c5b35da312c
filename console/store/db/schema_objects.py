"""Foreign objects of a store's database, which a new store does not have or has otherwise: triggers that another hand
added act on every write, and survive a backup."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

from console.store.db.postgres_objects import Objects, new_objects, postgres_objects
from console.store.db.session import Session, SqliteAdapter
from console.store.errors import StoreUnusable

SQLITE_DIGEST = "33750907c9630b5c51a9bdd15b8bece6ec5bde9f6e1f8d50db4e94b9fb9f1d1b"
"""The digest of a new file's objects: without it each check would have to make a new store (a test compares)."""
_SQLITE_OBJECTS = (
    "SELECT type, name, tbl_name, sql FROM sqlite_master"
    " WHERE sql IS NOT NULL AND NOT (type = 'table' AND name LIKE 'sqlite!_%' ESCAPE '!')"
)
"""Without SQLite's own tables and indexes. Only tables of that name are SQLite's own: PRAGMA writable_schema gives any
name to a trigger."""
AUDIT_TRIGGERS = frozenset({"audit_notes_last", "audit_refuses", "audit_refuses_truncate"})
"""On PostgreSQL."""


def sqlite_objects(session: Session) -> Objects:
    """The objects of a file, without those of SQLite itself."""
    return frozenset(
        (f"{row.type} {row.name}" + f" on {row.tbl_name}" * (row.name != row.tbl_name), " ".join(row.sql.split()))
        for row in session.rows(_SQLITE_OBJECTS)
    )


def objects_digest(objects: Objects) -> str:
    return hashlib.sha256(repr(sorted(objects)).encode()).hexdigest()


def foreign_objects(session: Session) -> tuple[str, ...]:
    """Names of objects that a new store does not have, or not in this form: "trigger x on switch"."""
    if session.is_postgres:
        objects, expected = postgres_objects(session), new_objects()
    else:
        objects = sqlite_objects(session)
        expected = objects if objects_digest(objects) == SQLITE_DIGEST else _expected_objects()
    foreign = {name for name, _ in objects - expected}
    return tuple(sorted(name for name in foreign if f"table {_table_of_column(name)}" not in foreign))


def _table_of_column(name: str) -> str:
    return name.removeprefix("column ").rpartition(".")[0]


def tables_as_views(session: Session) -> tuple[str, ...]:
    """Names of a new store's tables that are views in this file: their rows may have no end."""
    views = [row.name for row in session.rows("SELECT name FROM sqlite_master WHERE type = 'view' ORDER BY name")]
    tables = {name for name, _ in _expected_objects()} if views else set()
    return tuple(name for name in views if f"table {name.lower()}" in tables)


@cache
def _expected_objects() -> Objects:
    """The objects of a new store, which a process makes once: it migrates for a fifth of a second."""
    with tempfile.TemporaryDirectory() as folder:
        make_store(path := Path(folder) / "new.db")
        with closing(sqlite3.connect(path)) as new:
            return sqlite_objects(SqliteAdapter(new))


def make_store(path: Path) -> None:
    """Makes a new, empty store there."""
    from sqlalchemy import create_engine  # noqa: PLC0415 - only to restore, and where something is wrong

    from console.store.db.migrate import migrate  # noqa: PLC0415

    engine = create_engine(f"sqlite:///{path}")
    try:
        migrate(engine, path)
    finally:
        engine.dispose()


def refuse_foreign(session: Session, place: str) -> None:
    """Raises StoreUnusable if another hand added to the schema, or changed it."""
    if foreign := foreign_objects(session):
        fix = _DATABASE_FIX if session.is_postgres else _FILE_FIX
        raise StoreUnusable(f"the store at {place} holds what Headway did not make: {', '.join(foreign)}. Fix: {fix}")


_FILE_FIX = "headway store backup COPY, then headway store restore COPY --replace: it takes over the rows alone"
_DATABASE_FIX = "as the owner, drop it there"
