"""What a job takes by recent nights: its level and spread, in logarithms, and how far each night lay from it.

Two views, both with exponential weights (Brown 1959) and in logarithms, because times vary by factors. `recent`: the
last nights as they were; right for jobs that repeat the same few times. `followed`: what a level that follows the job
would have missed each night by; right for jobs that drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from console.control.forecast.simulation.values import Floats, Truths, Whole, within

RECENT_HALF_LIFE = 3.0
"""Nights after which a night counts half, in the view of recent nights."""
LEVEL_HALF_LIFE = 1.5
"""The same for the level that is followed: lateness comes in spells."""
MISSED_HALF_LIFE = 30.0
"""The same for what it missed: a spread moves slowly."""
MOST_NIGHTS = 80
OFFSET = 5.0
"""Seconds added before the logarithm: a job of one second may well take three."""
LEAST_SPREAD = 0.015
UNKNOWN_SPREAD = 0.5
"""Of a job without history around its like, in logarithms; and of what a night varies, where no job shows it."""
OFTEN = 12
"""Nights from which on a job's spread is its own, and says how others vary that ran on fewer."""
FEWEST_JOBS = 3
"""Fewer of these say nothing about another one."""
STILL = 1e-6
"""A spread below this is none: a mark in the graph, or what was declared."""
WILD = 4.0
"""Spreads from the level beyond which a night says no more about it."""
MOST_MOVED = 1.0
"""The most that one night moves the level, before its step; in logarithms."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a job's own nights show, however few: times in logarithms, nights x jobs, nights oldest first."""

    level: Floats
    """0 for a job that never ran."""
    spread: Floats
    away: Floats
    """Of each night from the level; 0 where the job did not run."""
    runs: Whole
    weights: Floats


@dataclass(frozen=True, slots=True)
class Usual:
    """Times in logarithms. Nights x jobs, nights oldest first."""

    level: Floats
    """NaN for a job that never ran."""
    spread: Floats
    away: Floats
    """Of each night from the level, in spreads; 0 where the job did not run."""
    runs: Whole
    """How many of the nights it ran, by job."""
    weights: Floats
    """By night, the newest 1."""

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def spread_seconds(self) -> Floats:
        return seconds(self.level + self.spread) - seconds(self.level)


class Others(NamedTuple):
    """The jobs that ran often."""

    spread: float
    """What a night varies in the middle of them, in logarithms; UNKNOWN_SPREAD where they are too few."""
    jobs: int
    """How many; 0: too few."""


def others(spreads: Floats, runs: Whole) -> Others:
    """`spreads`: by job, its own."""
    known = spreads[(runs >= OFTEN) & (spreads >= STILL)]
    if len(known) < FEWEST_JOBS:
        return Others(UNKNOWN_SPREAD, 0)
    return Others(float(np.clip(np.median(known), LEAST_SPREAD, UNKNOWN_SPREAD)), len(known))


def doubt(runs: Whole, varies: float) -> Floats:
    """By how much the level of a job that ran so often may lie elsewhere, in logarithms; `varies`: a night of the
    others."""
    level = 1 / (1 / UNKNOWN_SPREAD**2 + runs / varies**2)
    return np.asarray(np.sqrt((1 - _known(runs)) * level))


def _known(runs: Whole) -> Floats:
    """How much of its own spread a job shows in so many runs."""
    return np.asarray(runs / (runs + 2.0))


def logs(times: Floats) -> Floats:
    return np.log(np.maximum(times, 0.0) + OFFSET)


def seconds(logarithms: Floats) -> Floats:
    return np.maximum(np.exp(logarithms) - OFFSET, 0.0)


def recent(times: Floats, alike: Floats | None = None, half_life: float = RECENT_HALF_LIFE) -> Shown:
    """`times`: nights x jobs, s, NaN where a job did not run. `alike`: how much each night counts besides."""
    past, ran, weights = _window(times, alike, half_life)
    filled = np.where(ran, past, 0.0)
    level, spread = _weighted(filled, ran * weights[:, None])
    for _ in range(2):
        near = np.clip(filled, level - WILD * spread / 2, level + WILD * spread / 2)
        level, _ = _weighted(near, ran * weights[:, None])
    return Shown(level, spread, np.where(ran, filled - level, 0.0), ran.sum(axis=0), weights)


def followed(
    times: Floats,
    alike: Floats | None = None,
    half_life: float = LEVEL_HALF_LIFE,
    missed_half_life: float = MISSED_HALF_LIFE,
) -> Shown:
    """As for `recent`. What the nights are away is what the level known before each of them missed."""
    past, ran, weights = _window(times, alike, missed_half_life)
    level, missed = _follow(past, ran, 1 - 0.5 ** (1 / half_life))
    weight = ran * weights[:, None]
    spread = np.sqrt((weight * missed**2).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-9))
    return Shown(level, spread, missed, ran.sum(axis=0), weights)


def usual(shown: Shown, varies: float) -> Usual:
    """A job that ran on few nights may vary as the `others` do. Uses up what is shown."""
    level = np.where(shown.runs == 0, np.nan, shown.level)
    spread = np.sqrt(_known(shown.runs) * shown.spread**2 + doubt(shown.runs, varies) ** 2)
    spread = np.maximum(spread, LEAST_SPREAD)
    away = np.divide(shown.away, spread, out=shown.away)
    return Usual(level, spread, np.clip(away, -WILD, 2 * WILD, out=away), shown.runs, shown.weights)


def _window(times: Floats, alike: Floats | None, half_life: float) -> tuple[Floats, Truths, Floats]:
    past = logs(np.asarray(times[-MOST_NIGHTS:], float))
    weights = 0.5 ** (np.arange(len(past) - 1, -1, -1) / half_life)
    return past, np.isfinite(past), weights if alike is None else weights * alike[-MOST_NIGHTS:]


def _weighted(filled: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation by job; the latter as from as many nights as the weights amount to."""
    total = np.maximum(weight.sum(axis=0), 1e-9)
    level = (weight * filled).sum(axis=0) / total
    squares = (weight * (filled - level) ** 2).sum(axis=0) / total
    nights = total**2 / np.maximum((weight**2).sum(axis=0), 1e-9)
    return level, np.sqrt(squares * nights / np.maximum(nights - 1, 0.5))


def _follow(past: Floats, ran: Truths, step: float) -> tuple[Floats, Floats]:
    """The level after all nights, and by how much each night missed the level known before it."""
    level = np.zeros(past.shape[1])
    counted = np.zeros(past.shape[1])
    missed = np.zeros(past.shape)
    for night, here in enumerate(ran):
        level = np.where(here & (counted == 0), past[night], level)
        counted += here
        missed[night] = np.where(here, past[night] - level, 0.0)
        moved = within(missed[night], -MOST_MOVED, MOST_MOVED)
        level = level + np.maximum(step, 1 / np.maximum(counted, 1)) * moved
    return level, missed
