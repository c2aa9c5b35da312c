"""What an engine keeps in memory depends on its estate and lookback, not on how long it works."""

from __future__ import annotations

import gc
import sys
import weakref
from collections import Counter, deque
from datetime import timedelta
from functools import _lru_cache_wrapper
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from tests.engine.bench import estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.present import present

JOBS, EARLY, LATE, A_POLL = 50, 5_000, 20_000, 1_000
SPAN = timedelta(days=400)


def counts() -> Counter[str]:
    """Living objects of our own classes, and entries of all containers, without what caches of a fixed size keep, and
    without the cursors that a connection of sqlite3 has known: it forgets the ended ones two hundred at a time."""
    for module in [module for name, module in sys.modules.items() if name.startswith(("console.", "connectors."))]:
        for item in vars(module).values():
            if isinstance(item, _lru_cache_wrapper) and item.cache_parameters()["maxsize"] is not None:
                item.cache_clear()
    gc.collect()
    counter: Counter[str] = Counter()
    for item in gc.get_objects():
        if type(item) is list and item and isinstance(item[0], weakref.ref):
            continue
        if type(item) in (dict, list, set, deque):
            counter["entries"] += len(item)
        elif type(item).__module__.startswith(("console.", "connectors.")):
            counter[type(item).__qualname__] += 1
    return counter


@pytest.mark.deep
def test_after_twenty_thousand_runs_the_engine_holds_as_many_objects_as_after_five_thousand(tmp_path: Path) -> None:
    scheduler, counters, began = FakeScheduler(), {}, present() - SPAN - timedelta(days=30)
    for number in range(JOBS):
        scheduler.job(f"job{number}")
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        for number in range(LATE):
            at = began + number * SPAN / LATE
            scheduler.attempt(f"job{number % JOBS}", f"a{number}", RunState.SUCCEEDED, at, period_key=f"p{number}")
            if (number + 1) % A_POLL == 0:
                bench.turn()
                scheduler.runs.clear()
                bench.turn()
            if number + 1 in (EARLY, LATE):
                counters[number + 1] = counts()
    early, late = counters[EARLY], counters[LATE]
    assert {} == {name: (early[name], count) for name, count in late.items() if count > early[name] * 1.05 + 5}
