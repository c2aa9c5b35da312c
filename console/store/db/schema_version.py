"""The version of the schema that this program reads and writes, and what it says of others. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from console.store.errors import StoreOutdated, StoreTooNew, StoreUnusable

SCHEMA = "0124"
"""The schema of this program: the newest in `console/store/db/migrations` (a test compares)."""
FIRST_SCHEMA = "0124"
"""The initial schema; lower numbers belong to development versions, whose stores cannot be migrated."""
SCHEMA_QUERY = (
    "SELECT 'schema', max(version_num) FROM alembic_version"
    " UNION ALL SELECT name, value FROM meta WHERE name = 'version'"
)
"""One cheap statement for either database; its rows are for `check_schema`."""


def check_schema(rows: Iterable[tuple[Any, ...]], place: str) -> None:
    """Raises StoreTooNew, or StoreOutdated for one that an engine has to migrate first. `rows`: of SCHEMA_QUERY."""
    values: dict[str, str | None] = dict(rows)
    schema = values.get("schema") or ""
    if schema > SCHEMA:
        raise too_new_text(place, schema, SCHEMA, values.get("version"))
    if "" < schema < FIRST_SCHEMA:
        raise StoreUnusable(development_text(place, schema))
    if schema < SCHEMA:
        raise StoreOutdated(f"the store at {place} has the older schema {schema or 'none'}")


def development_text(place: str, schema: str) -> str:
    """The message for a store whose schema is older than FIRST_SCHEMA."""
    return (
        f"the store at {place} has schema {schema} of a development version, which cannot be migrated. "
        "Fix: move it away with the note .NAME.engine beside it, or name another store, then start "
        '"headway engine", which creates a new one'
    )


def too_new_text(place: str, schema: str, newest: str | None, writer: str | None) -> StoreTooNew:
    """`writer`: the version that wrote the store."""
    from importlib.metadata import version  # noqa: PLC0415 - slow to import

    own_version = version("headway")
    by = f"Headway {writer}" if writer and writer != own_version else "a newer Headway"
    return StoreTooNew(
        f"the store at {place} has schema {schema}, written by {by}; this is Headway {own_version} and knows schemas up"
        f" to {newest}. Install {by} or name another store."
    )
