"""What has finished tonight tells about the rest: jobs of one night are slow together.

Source: ridge regression of every job on what is known, over past nights, in its dual form (kernel ridge, Saunders et
al. 1998); errors are the leave-one-out residuals e = (A y) / diag(A), so that the jobs of a night stay together. The
matrix that is inverted is nights x nights, however many jobs there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.simulation.recency import Usual, logs
from console.control.forecast.simulation.values import Floats, Truths, within

RIDGE = 1.5
MOST_SAID = 3.0
"""Spreads that one job can say at most."""
OVERTAKEN_SAYS = 1.0
"""Spreads that a job can say at most that is not over and has taken longer than usual: weak evidence of a slow run."""
FEWEST_NIGHTS = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """What has begun or ended tonight, and what it says."""

    jobs: Truths
    """By job: says something."""
    away: Floats
    """By job: spreads from the level."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the known jobs say about all, by way of the past nights: `away @ shift` by job and `away @ errors` jobs x
    nights, in spreads from the level, with `away` jobs x nights."""

    shift: Floats
    """By night."""
    errors: Floats
    """Nights x nights: what this would have missed each past night by."""


def evidence(usual: Usual, times: Floats, is_over: Truths, is_on: Truths) -> Evidence:
    """`times`: s, by job: what it took where `is_over`, what has elapsed where `is_on`; NaN says
    nothing."""
    away = (logs(np.where(is_over | is_on, times, 0.0)) - usual.level) / usual.spread
    says = (is_over | (is_on & (away > 0))) & (usual.runs > 0) & np.isfinite(away)
    return Evidence(says, np.clip(away, -MOST_SAID, np.where(is_over, MOST_SAID, OVERTAKEN_SAYS)))


def given(seen: Floats, tonight: Floats, weights: Floats, ridge: float = RIDGE) -> Given:
    """`seen`: of the known jobs only, jobs x nights, spreads from the level; `tonight`: the same of tonight; `weights`:
    by night."""
    nights = len(weights)
    if not len(seen) or nights < FEWEST_NIGHTS:
        return Given(np.zeros(nights), np.eye(nights))
    sane = within(seen, -MOST_SAID, MOST_SAID)
    alike = sane.T @ sane / len(sane)
    inverse = np.linalg.inv(alike.astype(float) + np.diag(ridge / weights))
    return Given(inverse @ (sane.T @ tonight / len(sane)), inverse / np.diag(inverse))
