"""Which past nights stand for tonight: a fixed number of columns, shared among the nights by their weights.

Source: stratified resampling of weighted particles (Kitagawa 1996), by largest remainders rather than at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.simulation.values import Floats, Whole

EACH = 64
"""Columns of a view."""


@dataclass(frozen=True, slots=True)
class Columns:
    night: Whole
    """By column, newest first."""
    weights: Floats
    """By column; they add up to 1."""


def columns(weights: Floats, each: int = EACH) -> Columns:
    """`weights`: by night, oldest first. A night with several columns shares its weight among them."""
    quota = weights / weights.sum() * each
    counts = np.floor(quota).astype(np.intp)
    left = each - int(counts.sum())
    counts[np.argsort(-(quota - counts), kind="stable")[:left]] += 1
    night = np.repeat(np.arange(len(weights)), counts)[::-1]
    shared = weights[night] / counts[night]
    return Columns(night, shared / shared.sum())
