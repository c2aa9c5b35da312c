"""A store on a private PostgreSQL with the rows of a store on SQLite, cached in a temporary folder between
benchmarks."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from console.store.db.database import open_database
from tests.lab.postgres import PostgresServer

DATABASE = "headway"
_INDEXES = (
    "SELECT i.indexname, i.indexdef FROM pg_indexes i WHERE i.schemaname = current_schema() AND i.tablename = %s"
    " AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname)"
)


@contextmanager
def postgres_copy(path: Path) -> Iterator[str]:
    """The URL of the copy, made when it is not there yet; its server runs for as long as the context lasts."""
    folder = Path(tempfile.gettempdir()) / f"headway-bench-postgres-{os.getuid()}" / path.stem
    is_made = folder.exists()
    server = PostgresServer(folder)
    if is_made:  # a cluster keeps the port that it was made with
        settings = (server.data / "postgresql.conf").read_text()
        server.port = int(settings.rpartition("\nport=")[2].split()[0])
    server.start()
    try:
        if not is_made:
            server.execute("CREATE DATABASE headway", database="postgres")
            copy_store(path, server.dsn(DATABASE))
        with psycopg.connect(server.dsn(DATABASE), autocommit=True) as target, closing(sqlite3.connect(path)) as source:
            target.execute("DELETE FROM lease")
            _copy_table(source, target, "lease")
        yield server.dsn(DATABASE)
    finally:
        server.stop()


def copy_store(path: Path, url: str) -> None:
    """Copies all rows into an empty database."""
    open_database(url).close()
    with psycopg.connect(url, autocommit=True) as target, closing(sqlite3.connect(path)) as source:
        target.execute("SET session_replication_role = replica")  # without triggers and foreign keys
        tables = [name for (name,) in source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if table.startswith("sqlite_") or table == "alembic_version":
                continue
            indexes = target.execute(_INDEXES, (table,)).fetchall()
            for name, _ in indexes:
                target.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
            target.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            _copy_table(source, target, table)
            for _, statement in indexes:
                target.execute(statement)
        target.execute("VACUUM ANALYZE")


def _copy_table(source: sqlite3.Connection, target: psycopg.Connection[tuple[object, ...]], table: str) -> None:
    rows = source.execute(f'SELECT * FROM "{table}"')
    columns = sql.SQL(", ").join(sql.Identifier(name) for name, *_ in rows.description)
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)
    with target.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
