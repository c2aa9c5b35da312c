"""The database schema, as SQLite has it after all migrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path


def schema_text(path: Path) -> str:
    """Tables with columns, foreign keys and indexes, then views and triggers."""
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(_lines(connection)) + "\n"


def _lines(connection: sqlite3.Connection) -> Iterator[str]:
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()
    for kind, name, _, _ in rows:
        if kind == "table" and not name.startswith("sqlite_"):
            yield f"table {name}"
            yield from _columns(connection, name)
            yield from sorted(
                f"  foreign key {key[3]} -> {key[2]}.{key[4]} on delete {key[6].lower()}"
                for key in connection.execute(f"PRAGMA foreign_key_list({name})")
            )
            yield from (
                f"  {' '.join(sql.split())}" for item, _, of, sql in rows if (item, of) == ("index", name) and sql
            )
            yield ""
    yield from (f"{kind} {name}: {' '.join(sql.split())}" for kind, name, _, sql in rows if kind in ("view", "trigger"))


def _columns(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    for _, name, kind, not_null, default, key in connection.execute(f"PRAGMA table_info({table})"):
        texts = [f"  {name} {kind}".rstrip()]
        texts += ["not null"] if not_null else []
        texts += [f"default {default}"] if default is not None else []
        texts += [f"key {key}"] if key else []
        yield " ".join(texts)
