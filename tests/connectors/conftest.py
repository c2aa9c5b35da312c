"""Marks what takes too long for `make check`."""

from __future__ import annotations

import pytest

CROWD = "test_many_runs_take_bounded_memory"
SHOWN = "tests/connectors/mysql_events"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """40,000 runs take seconds: `make check` reads them with one kind, `make test-all` with every kind."""
    for item in items:
        if item.name == CROWD and not item.nodeid.startswith(SHOWN):
            item.add_marker(pytest.mark.deep)
