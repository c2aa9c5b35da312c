"""The bench of two jobs, one service and one route."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as made:
        yield made
