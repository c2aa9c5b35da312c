"""What many estates taught: a small model that turns facts about a service into its P(late).

Source: a logistic regression and oblivious regression trees (boosted, as in CatBoost, Prokhorenkova et al. 2018),
averaged in the logit. The figures come from a file that `tests/bench/train_risk.py` writes; an estate works without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from console.control.forecast.calibration.logits import share_of
from console.control.forecast.simulation.values import Floats, Whole, within

LOGISTIC_SHARE = 0.6
"""Of the logit; the trees have the rest. They are the sharper part, and cry wolf oftener on machines not seen."""
CLIPPED = 6.0
"""Standard deviations beyond which a fact says no more to the logistic part."""


@dataclass(frozen=True, slots=True)
class Learned:
    mean: Floats
    scale: Floats
    slopes: Floats
    constant: float
    """The logistic part, on facts minus mean over scale."""
    fact: Whole
    """Trees x depth: which fact is asked."""
    bound: Floats
    """Trees x depth: the bit is set above it."""
    leaves: Floats
    """Trees x 2^depth, in the logit."""
    start: float


def learned(figures: Mapping[str, Any]) -> Learned:
    """From the file's content. Raises KeyError for one that is incomplete."""
    return Learned(
        mean=np.array(figures["mean"]),
        scale=np.array(figures["scale"]),
        slopes=np.array(figures["slopes"]),
        constant=float(figures["constant"]),
        fact=np.array(figures["fact"], int),
        bound=np.array(figures["bound"]),
        leaves=np.array(figures["leaves"]),
        start=float(figures["start"]),
    )


def late(model: Learned, facts: Floats) -> Floats:
    """P(late) of each row of facts."""
    linear = model.constant + logistic_facts(facts, model.mean, model.scale) @ model.slopes
    bits = facts[:, model.fact] > model.bound
    leaf = bits @ (1 << np.arange(model.fact.shape[1]))
    trees = model.start + model.leaves[np.arange(len(model.fact)), leaf].sum(axis=1)
    return share_of(LOGISTIC_SHARE * linear + (1 - LOGISTIC_SHARE) * trees)


def logistic_facts(facts: Floats, mean: Floats, scale: Floats) -> Floats:
    return within((facts - mean) / scale, -CLIPPED, CLIPPED)
