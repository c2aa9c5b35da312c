"""Foreign objects of a store's database, which a new store does not have or has otherwise: triggers that another hand
added act on every write, and survive a backup."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from pathlib import Path

from console.store.db.session import Session, SqliteAdapter
from console.store.errors import StoreUnusable

SQLITE_DIGEST = "53c5ebfa01bd44d8e67e64d7c60a79fd53e16aaaf96a1f39f0f5026568eecda2"
"""The digest of a new file's objects: without it each check would have to make a new store (a test compares)."""
_SQLITE_OBJECTS = (
    "SELECT type, name, tbl_name, sql FROM sqlite_master"
    " WHERE sql IS NOT NULL AND NOT (type = 'table' AND name LIKE 'sqlite!_%' ESCAPE '!')"
)
"""Without SQLite's own tables and indexes. Only tables of that name are SQLite's own: PRAGMA writable_schema gives any
name to a trigger."""
_POSTGRES_FOREIGN = """
    WITH own AS (SELECT c.oid, c.relname, c.relrowsecurity FROM pg_class c JOIN pg_class a
        ON a.relnamespace = c.relnamespace AND c.relkind IN ('r', 'p') WHERE a.oid = CAST('audit' AS regclass)),
    calling AS (SELECT d.classid, d.objid FROM pg_depend d WHERE d.refclassid = CAST('pg_proc' AS regclass))
    SELECT 'trigger ' || t.tgname || ' on ' || c.relname AS name FROM pg_trigger t JOIN own c ON c.oid = t.tgrelid
    JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal AND NOT (c.relname = 'audit' AND t.tgqual IS NULL
        AND t.tgattr = '' AND t.tgname || ' ' || t.tgtype || ' ' || md5(p.prosrc) = ANY (?))
    UNION ALL SELECT 'rule ' || r.rulename || ' on ' || c.relname FROM pg_rewrite r JOIN own c ON c.oid = r.ev_class
    UNION ALL SELECT 'policy ' || p.polname || ' on ' || c.relname FROM pg_policy p JOIN own c ON c.oid = p.polrelid
    UNION ALL SELECT 'row security of ' || c.relname FROM own c WHERE c.relrowsecurity
    UNION ALL SELECT 'table ' || CAST(i.inhrelid AS regclass) || ' inherits ' || c.relname
    FROM pg_inherits i JOIN own c ON c.oid = i.inhparent
    UNION ALL SELECT 'constraint ' || k.conname || ' on ' || c.relname FROM pg_constraint k
    JOIN own c ON c.oid = k.conrelid WHERE k.contype IN ('c', 'x') OR k.confupdtype NOT IN ('a', ' ')
    OR k.confdeltype NOT IN ('a', ' ')
    UNION ALL SELECT 'index ' || CAST(x.indexrelid AS regclass) || ' on ' || c.relname FROM pg_index x
    JOIN own c ON c.oid = x.indrelid WHERE x.indexprs IS NOT NULL
    OR (x.indisunique AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = x.indexrelid))
    OR (CAST('pg_class' AS regclass), x.indexrelid) IN (SELECT classid, objid FROM calling)
    UNION ALL SELECT 'default of ' || c.relname || '.' || f.attname FROM pg_attrdef d JOIN own c ON c.oid = d.adrelid
    JOIN pg_attribute f ON f.attrelid = d.adrelid AND f.attnum = d.adnum
    WHERE NOT f.attnotnull OR pg_get_expr(d.adbin, d.adrelid) !~ '^(nextval[(]|true|false|[''0-9-])'
    OR (CAST('pg_attrdef' AS regclass), d.oid) IN (SELECT classid, objid FROM calling)
    ORDER BY 1"""
"""On PostgreSQL only the owner can add any. Our defaults are constants of columns that are never null; a constant that
replaces one is not named."""

AUDIT_TRIGGERS = {
    "audit_notes_last": "5 82f371c370346885bcada8ebec83a68f",
    "audit_refuses": "27 286c36d9175dda2f1647a372157bd735",
    "audit_refuses_truncate": "34 286c36d9175dda2f1647a372157bd735",
}
"""On PostgreSQL: name -> type and digest of the function's body."""
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
    expected = _expected_objects()
    return tuple(
        f"{kind} {name}" if name == table else f"{kind} {name} on {table}"
        for (kind, name), (table, sql) in sorted(objects.items())
        if expected.get((kind, name)) != (table, sql)
    )


@cache
def _expected_objects() -> Objects:
    """The objects of a new store, which a process makes once: it migrates for a fifth of a second."""
    with tempfile.TemporaryDirectory() as folder:
        make_store(path := Path(folder) / "new.db")
        with closing(sqlite3.connect(path)) as new:
            return sqlite_objects(SqliteAdapter(new))


def postgres_foreign(session: Session) -> tuple[str, ...]:
    """As `sqlite_foreign`, of a server's database."""
    return tuple(
        row.name
        for row in session.rows(_POSTGRES_FOREIGN, ([f"{name} {own}" for name, own in AUDIT_TRIGGERS.items()],))
    )


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
