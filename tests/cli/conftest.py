"""The machine's time zone, used where no service gives one, is UTC for every test of a command."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
import structlog

from console.cli import plan_draft, requests


@pytest.fixture(autouse=True, scope="package")
def a_machine_in_utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(autouse=True, scope="package")
def quick_watching() -> Iterator[None]:
    """A command that watches an action or a plan reads its state often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "ACTION_CHECK_SECONDS", 0.02)
        patch.setattr(plan_draft, "PLAN_CHECK_SECONDS", 0.02)
        yield


@pytest.fixture(autouse=True, scope="package")
def logs_apart() -> Iterator[None]:
    """The engine of this process writes its log where a real one does, and not between the lines of a command."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    yield
    structlog.configure(**before)
