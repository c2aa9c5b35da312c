"""What has finished tonight tells about the rest: jobs of one night are slow together.

Source: ridge regression of every job on what is known, over past nights, in its dual form (kernel ridge, Saunders et
al. 1998); errors are the leave-one-out residuals e = (A y) / diag(A), so that the jobs of a night stay together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.recency import Usual, logs
from console.control.forecast.values import Floats, Truths

RIDGE = 1.5
MOST_SAID = 3.0
"""Spreads that one job can say at most."""
OVERTAKEN_SAYS = 1.0
"""Spreads that a job can say at most that is not over and has taken longer than usual: weak evidence of a slow run."""
FEWEST_NIGHTS = 3


@dataclass(frozen=True, slots=True)
class Known:
    """Which jobs say something tonight, and what: spreads from the level."""

    is_known: Truths
    away: Floats


@dataclass(frozen=True, slots=True)
class Given:
    """What the known jobs say about all, in spreads from the level."""

    shift: Floats
    """By job."""
    errors: Floats
    """Nights x jobs: what this would have missed each past night by."""


def known(usual: Usual, times: Floats, is_over: Truths, is_on: Truths) -> Known:
    """`times`: s, by job: what it took where `is_over`, what has elapsed where `is_on`."""
    away = (logs(np.where(is_over | is_on, times, 0.0)) - usual.level) / usual.spread
    says = (is_over | (is_on & (away > 0))) & (usual.runs > 0)
    return Known(says, np.clip(away, -MOST_SAID, np.where(is_over, MOST_SAID, OVERTAKEN_SAYS)))


def given(away: Floats, weights: Floats, tonight: Known, ridge: float = RIDGE) -> Given:
    """`away`: nights x jobs, with the nights' weights."""
    says = tonight.is_known
    if not says.any() or len(away) < FEWEST_NIGHTS:
        return Given(np.zeros(away.shape[1]), away)
    seen = np.clip(away[:, says], -MOST_SAID, MOST_SAID)
    alike = seen @ seen.T / seen.shape[1]
    inverse = np.linalg.inv(alike + np.diag(ridge / weights))
    parts = inverse @ away
    shift = (seen @ tonight.away[says] / seen.shape[1]) @ parts
    return Given(shift, parts / np.diag(inverse)[:, None])
