"""Foreign objects of a store's database, which a new store does not have or has otherwise: triggers that another hand
added act on every write, and survive a backup."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from console.store.db.session import Session, SqliteAdapter
from console.store.errors import StoreUnusable

SQLITE_DIGEST = "7c8b9952a4ac415221bf9c01d3f00d32e3d6a77eff49eb416957f06f2c023950"
"""The digest of a new file's objects: without it each check would have to make a new store (a test compares)."""
_SQLITE_OBJECTS = (
    "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
)
_POSTGRES_FOREIGN = """
    WITH ours AS (SELECT c.oid, c.relname FROM pg_class c JOIN pg_class a ON a.relnamespace = c.relnamespace
        WHERE a.oid = CAST('audit' AS regclass))
    SELECT 'trigger ' || t.tgname || ' on ' || c.relname AS name FROM pg_trigger t JOIN ours c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND NOT (c.relname = 'audit' AND CAST(t.tgname AS TEXT) = ANY (?))
    UNION ALL SELECT 'rule ' || r.rulename || ' on ' || c.relname FROM pg_rewrite r JOIN ours c ON c.oid = r.ev_class
    WHERE r.rulename <> '_RETURN'
    UNION ALL SELECT 'default of ' || c.relname || '.' || f.attname FROM pg_attrdef d JOIN ours c ON c.oid = d.adrelid
    JOIN pg_attribute f ON f.attrelid = d.adrelid AND f.attnum = d.adnum
    WHERE pg_get_expr(d.adbin, d.adrelid) ~ '[(]' AND pg_get_expr(d.adbin, d.adrelid) !~ '^nextval[(]'
    ORDER BY 1"""
"""On PostgreSQL only the owner can add any; the bodies of our own are not compared."""

AUDIT_TRIGGERS = ("audit_notes_last", "audit_refuses", "audit_refuses_truncate")
"""On PostgreSQL."""
Objects = Mapping[tuple[str, str], tuple[str, str]]
"""(type, name) -> (table, definition)."""


def sqlite_objects(session: Session) -> Objects:
    """The objects of a file, without those of SQLite itself."""
    rows = session.rows(_SQLITE_OBJECTS)
    return {(row.type, row.name): (row.tbl_name, " ".join(row.sql.split())) for row in rows}


def objects_digest(objects: Objects) -> str:
    return hashlib.sha256(repr(sorted(objects.items())).encode()).hexdigest()


def sqlite_foreign(session: Session) -> tuple[str, ...]:
    """Objects of a file that a new store does not have, or not in this form: "trigger x on switch"."""
    objects = sqlite_objects(session)
    if objects_digest(objects) == SQLITE_DIGEST:
        return ()
    with tempfile.TemporaryDirectory() as folder:
        make_store(path := Path(folder) / "new.db")
        with closing(sqlite3.connect(path)) as new:
            expected = sqlite_objects(SqliteAdapter(new))
    return tuple(
        f"{kind} {name}" if name == table else f"{kind} {name} on {table}"
        for (kind, name), (table, sql) in sorted(objects.items())
        if expected.get((kind, name)) != (table, sql)
    )


def postgres_foreign(session: Session) -> tuple[str, ...]:
    """As `sqlite_foreign`, of a server's database."""
    return tuple(row.name for row in session.rows(_POSTGRES_FOREIGN, (list(AUDIT_TRIGGERS),)))


def make_store(path: Path) -> None:
    """Makes a new, empty store there."""
    from sqlalchemy import create_engine  # noqa: PLC0415 - only to restore, and where something is wrong

    from console.store.db.migrate import migrate  # noqa: PLC0415

    engine = create_engine(f"sqlite:///{path}")
    try:
        migrate(engine, path)
    finally:
        engine.dispose()


def refuse_foreign(foreign: tuple[str, ...], place: str, fix: str) -> None:
    """Raises StoreUnusable if there are any."""
    if foreign:
        raise StoreUnusable(f"the store at {place} holds what Headway did not make: {', '.join(foreign)}. Fix: {fix}")


FILE_FIX = "headway store backup COPY, then headway store restore COPY --replace: it takes over the rows alone"
DATABASE_FIX = "as the owner, drop it there"
