"""How much an earlier night says about one of this kind: a Thursday, a month end, a day before a holiday.

Source: shrinkage of small groups towards the whole (James & Stein 1961): the more nights of its own class there are,
the less the others count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from console.control.forecast.simulation.values import Floats

OWN_NIGHTS = 6.0
"""With so many nights of its own class, a night of another one counts half."""


def alike(classes: Sequence[str], tonight: str) -> Floats:
    """By earlier night: 1 for one of tonight's class, less for others; `classes`: as the calendar names them."""
    same = np.array([each == tonight for each in classes], bool)
    return np.where(same, 1.0, OWN_NIGHTS / (OWN_NIGHTS + same.sum()))
