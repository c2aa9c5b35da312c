"""The fake's night is of November 2026, whenever the tests run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.airflow import runs
from tests.fakes.airflow import START


@pytest.fixture(autouse=True)
def night_is_not_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are read back for two weeks by the real clock: from December on none of that night would be."""
    monkeypatch.setattr(runs, "TASK_HISTORY", runs.TASK_HISTORY + max(datetime.now(UTC) - START, runs.TASK_HISTORY * 0))
