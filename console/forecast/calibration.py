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
from console.forecast.simulation.simulator import SimulationRun, answer_for, reweight
from console.forecast.simulation.values import Floats, ServicePromise, clip_within

SURE = 0.002
"""No share is taken for surer than this."""


def logit(share: Floats | float) -> Floats:
    sane = clip_within(np.asarray(share), SURE, 1 - SURE)
    return np.asarray(np.log(sane / (1 - sane)))


def share_of_logit(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-clip_within(logits, -30, 30))))


PRIOR = np.array([0.0, 1.0])
"""Constant, slope of the logit: as it is."""
SURE_OF_PRIOR = np.array([4.0, 12.0])
"""How many service nights' curvature the prior is worth, by coefficient."""
HALF_LIFE = 60.0
"""Service nights after which a forecast counts half."""
TOGETHER = 0.5
"""How far services of one night go the same way (the correlation of cluster sampling, Kish 1965; ours is a guess): all
of them together teach as much as two nights at most, so that one outage is one outage, however many it hurt."""
LEAST_SLOPE = 0.1
STEPS, NEAR = 30, 1e-4
"""Of the search for the coefficients; steps so small change no figure that is told."""


@dataclass(frozen=True, slots=True)
class ForecastNight:
    """The forecasts of one service on one night, and how it went."""

    late: Floats
    """P(late) as told before any recalibration, by look."""
    was_late: bool
    night: int | None = None
    """The same for services of one night; None: it is the only one."""


def fit_slopes(past: list[ForecastNight]) -> Floats:
    """The coefficients; `past`: oldest first."""
    if not past:
        return PRIOR
    worth = _worth(past)
    age = worth * 0.5 ** ((worth.sum() - np.cumsum(worth)) / HALF_LIFE)
    rows = np.concatenate([_row(each.late) for each in past])
    weights = np.concatenate(
        [np.full(len(each.late), one / len(each.late)) for each, one in zip(past, age, strict=True)]
    )
    went = np.concatenate([np.full(len(each.late), float(each.was_late)) for each in past])
    seen, slopes = _FittedNights(rows, weights, went), PRIOR
    for _ in range(STEPS):
        step, known = seen.step(slopes), seen.misfit(slopes)
        while seen.misfit(slopes + step) > known and np.abs(step).max() > NEAR:
            step = step / 2  # a whole one leads away where a share is nearly certain
        slopes = slopes + step
        if np.abs(step).max() <= NEAR:
            break
    return slopes


def _worth(past: list[ForecastNight]) -> Floats:
    """Of how many service nights apart each tells."""
    services = Counter(each.night for each in past)
    beside = np.array([0 if each.night is None else services[each.night] - 1 for each in past])
    return np.asarray(1 / (1 + beside * TOGETHER))


@dataclass(frozen=True, slots=True)
class _FittedNights:
    rows: Floats
    weights: Floats
    went: Floats

    def misfit(self, slopes: Floats) -> float:
        """Minus the logarithm of how likely all of it went so, the prior included."""
        at = self.rows @ slopes
        likely = self.weights @ (np.logaddexp(0.0, at) - self.went * at)
        return float(likely + SURE_OF_PRIOR @ (slopes - PRIOR) ** 2 / 2)

    def step(self, slopes: Floats) -> Floats:
        """Newton's, to less misfit."""
        told = share_of_logit(self.rows @ slopes)
        pull = self.rows.T @ (self.weights * (self.went - told)) - SURE_OF_PRIOR * (slopes - PRIOR)
        curve = (self.rows * (self.weights * told * (1 - told))[:, None]).T @ self.rows + np.diag(SURE_OF_PRIOR)
        return np.asarray(np.linalg.solve(curve, pull))


def recalibrated(late: float, slopes: Floats) -> float:
    """Never the other way round: what was more likely stays so."""
    constant, slope = slopes
    return float(share_of_logit(constant + max(slope, LEAST_SLOPE) * logit(late)))


def _row(late: Floats) -> Floats:
    at = logit(late)
    return np.column_stack([np.ones(len(at)), at])


def learned_slopes(forecasts: Sequence[PastForecasts]) -> Floats:
    """The recalibration by the estate's own forecasts, oldest first."""
    return fit_slopes([ForecastNight(np.array(each.late), each.was_late, each.night) for each in forecasts])


def calibrated(own: float, slopes: Floats) -> float:
    """Of the simulation's own P(late); as it is without any past."""
    return own if slopes is PRIOR else recalibrated(own, slopes)


@dataclass(frozen=True, slots=True)
class PublishedOdds:
    own: float
    """P(late) before recalibration; the recalibration learns from it later."""
    look: SimulationRun
    """Weighted to the published P(late)."""


def publish_odds(sim: SimulationRun, promise: ServicePromise, slopes: Floats) -> PublishedOdds:
    """`slopes`: the recalibration by the estate's own past. An open service past its deadline is late."""
    if sim.now >= promise.deadline:
        return PublishedOdds(1.0, reweight(sim, promise, 1.0))
    own = answer_for(sim, promise).late
    return PublishedOdds(own, reweight(sim, promise, calibrated(own, slopes)))
