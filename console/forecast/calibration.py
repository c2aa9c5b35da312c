"""Calibration of P(late): the simulation's share, recalibrated by the outcomes of the estate's own forecasts.

Logistic recalibration (Cox 1958; Platt 1999) with a strong prior to leave the figure unchanged. The samples are
then weighted to match the published P(late), so that every other figure of the service has the same odds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from console.domain.forecast import PastForecasts
from console.forecast.simulation.simulator import SimulationRun, p_late, reweight
from console.forecast.simulation.values import Floats, ServicePromise, clip_within

SURE = 0.002
"""Shares are clipped to this and to 1 minus this."""


def logit(share: Floats | Sequence[float] | float) -> Floats:
    sane = clip_within(np.asarray(share), SURE, 1 - SURE)
    return np.asarray(np.log(sane / (1 - sane)))


def share_of_logit(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-clip_within(logits, -30, 30))))


PRIOR = np.array([0.0, 1.0])
"""Constant and slope of the logit: P(late) unchanged."""
PRIOR_WEIGHT = np.array([4.0, 12.0])
"""Weight of the prior, in service nights' curvature, by coefficient."""
HALF_LIFE = 60.0
"""Service nights after which a forecast counts half."""
CORRELATION = 0.5
"""Of services within one night (cluster sampling, Kish 1965; the value is a guess): together they count as two nights
at most, so that one outage is one outage."""
LEAST_SLOPE = 0.1
STEPS, NEAR = 30, 1e-4
"""Limits of the Newton iteration; smaller steps change no published figure."""


def fit_slopes(past: Sequence[PastForecasts]) -> Floats:
    """The coefficients of the recalibration by the estate's own forecasts, oldest first."""
    if not past:
        return PRIOR
    services = Counter(night.night for night in past)
    peers = np.array([services[night.night] - 1 for night in past])
    nights = np.asarray(1 / (1 + peers * CORRELATION))
    ages = nights * 0.5 ** ((nights.sum() - np.cumsum(nights)) / HALF_LIFE)
    rows = np.concatenate([np.column_stack([np.ones(len(night.late)), logit(night.late)]) for night in past])
    counts = [len(night.late) for night in past]
    weights = np.repeat(ages / counts, counts)
    was_late = np.repeat([float(night.was_late) for night in past], counts)
    nights_fit, slopes = _LogisticFit(rows, weights, was_late), PRIOR
    for _ in range(STEPS):
        step, misfit = nights_fit.step(slopes), nights_fit.misfit(slopes)
        while nights_fit.misfit(slopes + step) > misfit and np.abs(step).max() > NEAR:
            step = step / 2  # a full step overshoots if a share is nearly certain
        slopes = slopes + step
        if np.abs(step).max() <= NEAR:
            break
    return slopes


@dataclass(frozen=True, slots=True)
class _LogisticFit:
    rows: Floats
    weights: Floats
    was_late: Floats

    def misfit(self, slopes: Floats) -> float:
        """Negative log-likelihood, prior included."""
        at = self.rows @ slopes
        loss = self.weights @ (np.logaddexp(0.0, at) - self.was_late * at)
        return float(loss + PRIOR_WEIGHT @ (slopes - PRIOR) ** 2 / 2)

    def step(self, slopes: Floats) -> Floats:
        """Newton step to less misfit."""
        late = share_of_logit(self.rows @ slopes)
        gradient = self.rows.T @ (self.weights * (self.was_late - late)) - PRIOR_WEIGHT * (slopes - PRIOR)
        curve = (self.rows * (self.weights * late * (1 - late))[:, None]).T @ self.rows + np.diag(PRIOR_WEIGHT)
        return np.asarray(np.linalg.solve(curve, gradient))


def recalibrated(late: float, slopes: Floats) -> float:
    """P(late) recalibrated; the order of two shares is kept."""
    if slopes is PRIOR:
        return late
    constant, slope = slopes
    return float(share_of_logit(constant + max(slope, LEAST_SLOPE) * logit(late)))


@dataclass(frozen=True, slots=True)
class PublishedOdds:
    own: float
    """P(late) before recalibration; later recalibrations learn from it."""
    sim: SimulationRun
    """Weighted to the published P(late)."""


def publish_odds(sim: SimulationRun, promise: ServicePromise, slopes: Floats) -> PublishedOdds:
    """`slopes`: the recalibration by the estate's own past. An open service past its deadline is late."""
    if sim.now >= promise.deadline:
        return PublishedOdds(1.0, reweight(sim, promise, 1.0))
    own = p_late(sim, promise)
    return PublishedOdds(own, reweight(sim, promise, recalibrated(own, slopes)))
