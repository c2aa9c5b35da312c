"""A read may be interrupted from another thread, whatever has become of the store's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.store.errors import StoreUnusable
from console.store.queries import open_queries
from tests.store.ready import place_ready


def test_an_interrupt_is_no_error_after_the_file_was_replaced_by_one_that_cannot_be_opened(tmp_path: Path) -> None:
    store, other = tmp_path / "headway.db", tmp_path / "other.db"
    place_ready(str(store))
    other.write_bytes(b"no database, and long enough to be read as one" * 100)
    with open_queries(str(store)) as reads:
        other.replace(store)
        with pytest.raises(StoreUnusable):
            reads.estate.engine()
        reads.interrupt()
