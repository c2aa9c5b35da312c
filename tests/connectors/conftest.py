"""What holds for the tests of connectors: no pause before a read is repeated, and what `make test` leaves out."""

from __future__ import annotations

import pytest

SHOWN = {"test_many_runs_take_bounded_memory": "mysql_events"}
"""Conformance test -> the kind with which `make test` runs it: 40,000 runs take seconds."""
LEFT = {
    "test_long_log_is_read_in_pieces": {"systemd"},
    "test_run_is_rerun_twice_and_each_rerun_is_found": {"dbt"},
}
"""Conformance test -> the kinds with which it takes over a second: `make test` runs it with the others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the conformance tests that `make test` leaves to `make test-all`."""
    for item in items:
        kind = item.path.parent.name
        if SHOWN.get(item.name, kind) != kind or kind in LEFT.get(item.name, ()):
            item.add_marker(pytest.mark.deep)


@pytest.fixture(autouse=True)
def repeated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that meets a fault of the server is repeated without the pause that a real server gets: a conformance test
    has a fake answer six such statuses. The pause is no 0, by which nothing is repeated."""
    monkeypatch.setattr("connectors.sdk.transport.http.REPEAT_SECONDS", 1e-6)
