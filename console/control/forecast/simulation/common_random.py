"""Random numbers that are always the same: what a job draws is fixed by a hash of its name, so that it draws alike at
every look, whatever its number.

Source: common random numbers (Kahn & Marshall 1953), splitmix64 (Steele, Lea & Flood 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from console.control.forecast.simulation.values import Floats, Whole

STEP, FIRST, SECOND = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def seeds(names: Sequence[str], jobs: int) -> Whole:
    """By job, of its name; of its number where there are no names."""
    if not names:
        return np.arange(jobs, dtype=np.uint64)
    digests = (blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digests), "<u8")


def uniform(seed: Whole, turn: Whole) -> Floats:
    """In [0, 1), by the seed's `turn`-th turn."""
    with np.errstate(over="ignore"):
        mixed = seed.astype(np.uint64) + STEP * (turn + 1).astype(np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * SECOND
        mixed = mixed ^ (mixed >> np.uint64(31))
    return np.asarray((mixed >> np.uint64(11)).astype(float) / 2.0**53)


def normal(seed: Whole, columns: int) -> Floats:
    """Seeds x columns, about standard normal: a logistic curve in its place."""
    share = uniform(seed[:, None], np.arange(columns)[None, :]) * 0.98 + 0.01
    return np.asarray(np.log(share / (1 - share)) / 1.7)
