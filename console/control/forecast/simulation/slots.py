"""Chains that meet in a pool: no more of its jobs run at once than it has slots, first come, first served.

Source: the workload recursion of a queue with several servers (Kiefer & Wolfowitz 1955), in every sample; as when a job
comes depends on those that were there before, the whole is repeated until no wait moves (fixed-point iteration). In
which samples the pool is never full is told by sorting: they cost next to nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.simulation.values import AT_ONCE, Floats, Truths, Whole

SETTLED = 1.0
"""Seconds by which waits may still move."""
MOST_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Queued:
    """What is not begun and takes a slot of a pool: how long it waits for that once it is ready, and who it gets it
    from. Of the first chunk of samples."""

    places: Whole
    """In order."""
    waits: Floats
    """By these, x samples, s."""
    freed_by: Whole
    """By these, x samples: the place of the one whose end frees the slot; -1 where it does not wait."""


def starts(ready: Floats, takes: Floats, busy: Floats, slots: int) -> tuple[Floats, Whole]:
    """When each job of a pool gets a slot, and whose it was, jobs x samples: a row of these jobs, from their number on
    one of those that run; -1 where none had to end. `ready` and `takes`: alike; `busy`: until when those run that hold
    a slot already, running jobs x samples."""
    held = -np.sort(-busy, axis=0)[:slots]
    full = _may_be_full(ready, np.maximum(ready + takes, np.nextafter(ready, np.float32(np.inf))), held, slots)
    if full.all():
        return _one_by_one(ready, takes, busy, slots)
    found, freed_by = ready.copy(), np.full(ready.shape, -1)
    if full.any():
        found[:, full], freed_by[:, full] = _one_by_one(ready[:, full], takes[:, full], busy[:, full], slots)
    return found, freed_by


def _may_be_full(ready: Floats, ends: Floats, held: Floats, slots: int) -> Truths:
    """By sample: more would run at once than there are slots, if none of these waited; each takes a moment at least."""
    begin = np.sort(np.vstack([np.full_like(held, -np.inf), ready]), axis=0)
    over = np.sort(np.vstack([held, ends]), axis=0)
    return np.asarray((over[: max(len(over) - slots, 0)] > begin[slots:]).any(axis=0))


def _one_by_one(ready: Floats, takes: Floats, busy: Floats, slots: int) -> tuple[Floats, Whole]:
    """As `starts`, whatever comes: in the order in which they come."""
    columns = np.arange(ready.shape[1])
    free = np.full((slots, ready.shape[1]), -np.inf, np.float32)
    owner = np.full(free.shape, -1)
    last = np.argsort(-busy, axis=0, kind="stable")[:slots]
    free[: len(last)] = np.take_along_axis(busy, last, axis=0)
    owner[: len(last)] = last + len(ready)
    found, freed_by = np.empty_like(ready), np.empty(ready.shape, owner.dtype)
    for row in np.argsort(ready, axis=0, kind="stable"):
        slot = free.argmin(axis=0)
        found[row, columns] = np.maximum(ready[row, columns], free[slot, columns])
        freed_by[row, columns] = owner[slot, columns]
        free[slot, columns] = found[row, columns] + takes[row, columns]
        owner[slot, columns] = row
    return found, np.where(found > ready + np.float32(AT_ONCE), freed_by, -1)
