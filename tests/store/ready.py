"""Empty stores that are migrated already: the migrations run once for all tests of a session, not before every test."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from console.store.db.database import Database, open_database
from console.store.db.location import POSTGRES_URLS


def open_ready(url: str) -> Database:
    """The store at a file's path as `open_store` opens it; one that is not there yet is a copy of a migrated one.

    Tests of the migration itself, and of the making of the file, call `open_store`.
    """
    place_ready(url)
    return open_database(url)


def place_ready(url: str) -> None:
    """Puts an empty, migrated store where none is yet, for whoever opens it next; a database's URL is left alone."""
    path = Path(url)
    if url.startswith(POSTGRES_URLS) or path.exists():
        return
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    path.touch(0o600)
    path.write_bytes(_migrated())


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "headway.db"
        open_database(str(path)).close()
        return path.read_bytes()
