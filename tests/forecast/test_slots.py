"""Who gets a slot of a pool when, against one clerk who hands them out one by one."""

from __future__ import annotations

import heapq
import time

import numpy as np
import pytest

from console.forecast.simulation.sweep import slot_starts
from console.forecast.simulation.values import Floats
from tests.rows import each_row

SAMPLES = 64


def some(numbers: np.random.Generator, jobs: int, most: float) -> Floats:
    """Full seconds: many come at one moment, and some take none."""
    return np.asarray((numbers.random((jobs, SAMPLES)) * most).astype(np.float32).round())


@each_row("seed", range(40))
def test_first_come_first_served_whether_the_pool_is_ever_full_or_not(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    jobs, running, slots = (int(integer) for integer in numbers.integers([1, 0, 1], [12, 6, 6]))
    ready, busy = some(numbers, jobs, 100.0), some(numbers, running, 40.0)
    takes = some(numbers, jobs, float(numbers.choice([1.0, 10.0, 60.0])))
    values, freed_by = slot_starts(ready, takes, busy, slots)
    for sample in range(SAMPLES):
        free = [*sorted(busy[:, sample])[-slots:], *[-np.inf] * max(slots - running, 0)]
        heapq.heapify(free)
        for job in np.argsort(ready[:, sample], kind="stable"):
            begins = max(ready[job, sample], heapq.heappop(free))
            heapq.heappush(free, begins + takes[job, sample])
            assert begins == values[job, sample]
            assert (begins > ready[job, sample]) == (freed_by[job, sample] >= 0)


@pytest.mark.quiet
def test_a_large_pool_that_is_never_full_costs_a_fraction_of_one_that_is() -> None:
    """Twenty thousand jobs of a Slurm partition took the engine seconds in every look, whether any of them waited."""
    numbers = np.random.default_rng(1)
    ready, takes = some(numbers, 2000, 80_000.0), some(numbers, 2000, 600.0)
    none = np.zeros((0, SAMPLES), np.float32)

    def seconds(slots: int) -> float:
        begun = time.process_time()
        slot_starts(ready, takes, none, slots)
        return time.process_time() - begun

    assert min(seconds(200) for _ in range(3)) < min(seconds(2) for _ in range(3)) / 3
