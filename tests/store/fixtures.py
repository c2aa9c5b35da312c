"""A fresh store for each test. SQLite here; tests/lab/test_store_postgres.py runs the same tests on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from console.store.open import Store, open_store
from tests.store.estate import Estate, build


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "headway.db")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url)
    yield opened
    opened.close()


@pytest.fixture
def night(store: Store) -> Estate:
    """One cron system with one host and three jobs, and an Airflow with one."""
    return build(store)
