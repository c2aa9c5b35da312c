"""Which schema a store has, and whether this program may touch it: asked at every door. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from console.store.errors import StoreOlder, StoreTooNew

SCHEMA = "0010"
"""The schema this program is written for: the newest in `console/store/migrations` (a test compares)."""
ASKED = (
    "SELECT 'schema', max(version_num) FROM alembic_version"
    " UNION ALL SELECT name, value FROM meta WHERE name = 'version'"
)
"""One cheap statement for either database; its rows are for `check`."""


def check(rows: Iterable[tuple[Any, ...]], place: str) -> None:
    """Raises StoreTooNew, or StoreOlder for one that an engine has to migrate first. `rows`: of `ASKED`."""
    found: dict[str, str | None] = dict(rows)
    schema = found.get("schema") or ""
    if schema > SCHEMA:
        raise too_new(place, schema, SCHEMA, found.get("version"))
    if schema < SCHEMA:
        raise StoreOlder(f"the store at {place} has the older schema {schema or 'none'}")


def too_new(place: str, schema: str, newest: str | None, writer: str | None) -> StoreTooNew:
    """What every door says of such a store. `writer`: the version that the store names."""
    from importlib.metadata import version  # noqa: PLC0415 - no first paint waits for it

    ours = version("headway")
    by = f"Headway {writer}" if writer and writer != ours else "a newer Headway"
    return StoreTooNew(
        f"the store at {place} has schema {schema}, written by {by}; this is Headway {ours} and knows schemas up to "
        f"{newest}. Install {by} or name another store."
    )
