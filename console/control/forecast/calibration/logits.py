"""Shares and their logits, both ways."""

from __future__ import annotations

import numpy as np

from console.control.forecast.simulation.values import Floats, within

SURE = 0.002
"""No share is taken for surer than this."""


def logit(share: Floats | float) -> Floats:
    sane = within(np.asarray(share), SURE, 1 - SURE)
    return np.asarray(np.log(sane / (1 - sane)))


def share_of(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-within(logits, -30, 30))))
