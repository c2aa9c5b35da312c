"""What config declares, as one document in `meta`: written with the config, read by each evaluation."""

from __future__ import annotations

from functools import lru_cache

from pydantic import TypeAdapter

from console.model.declared import NOTHING, Declared
from console.store.wire import Wire

_ADAPTER = TypeAdapter(Declared)


def text_of(declared: Declared) -> str:
    """The document: JSON, without what is as it is by default."""
    return _ADAPTER.dump_json(declared, exclude_defaults=True).decode()


def read(lines: Wire) -> Declared:
    """What the store's config declares; nothing where no config was written yet."""
    rows = lines.rows("SELECT value FROM meta WHERE name = 'declared'")
    return parsed(rows[0][0]) if rows else NOTHING


@lru_cache(maxsize=8)
def parsed(text: str) -> Declared:
    """The value of `text_of`."""
    return _ADAPTER.validate_json(text)
