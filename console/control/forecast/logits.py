"""Shares and their logits, both ways."""

from __future__ import annotations

import numpy as np

from console.control.forecast.values import Floats

SURE = 0.002
"""No share is taken for surer than this."""


def logit(share: Floats | float) -> Floats:
    within = np.clip(np.asarray(share), SURE, 1 - SURE)
    return np.asarray(np.log(within / (1 - within)))


def share_of(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))))
