"""Every test of the store once more, on PostgreSQL. What only a file has (modes, copies, pragmas) stays with SQLite."""

from __future__ import annotations

import pytest

from tests.store.fixtures import night, store
from tests.store.test_converge import *  # noqa: F403
from tests.store.test_ingest import *  # noqa: F403
from tests.store.test_lease import *  # noqa: F403
from tests.store.test_open import *  # noqa: F403

__all__ = ["night", "store", "store_url"]

del TestFile  # noqa: F405


@pytest.fixture
def store_url(store_dsn: str) -> str:
    """In the place of a file's path: a fresh database of the lab's server."""
    return store_dsn
