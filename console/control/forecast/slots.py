"""Chains that meet in a pool: no more of its jobs run at once than it has slots, first come, first served.

Source: the workload recursion of a queue with several servers (Kiefer & Wolfowitz 1955), in every sample; as when a job
comes depends on those that were there before, the whole is repeated until no wait moves (fixed-point iteration)."""

from __future__ import annotations

import numpy as np

from console.control.forecast.values import Floats

SETTLED = 1.0
"""Seconds by which waits may still move."""
MOST_ROUNDS = 6


def starts(ready: Floats, takes: Floats, busy: Floats, slots: int) -> Floats:
    """When each job of a pool gets a slot, jobs x samples. `ready` and `takes`: alike; `busy`: until when those run
    that hold a slot already, running jobs x samples."""
    columns = np.arange(ready.shape[1])
    free = np.full((slots, ready.shape[1]), -np.inf, np.float32)
    held = -np.sort(-busy, axis=0)[:slots]
    free[: len(held)] = held
    found = np.empty_like(ready)
    for row in np.argsort(ready, axis=0, kind="stable"):
        slot = free.argmin(axis=0)
        found[row, columns] = np.maximum(ready[row, columns], free[slot, columns])
        free[slot, columns] = found[row, columns] + takes[row, columns]
    return found
