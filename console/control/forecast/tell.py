"""P(late) and quantiles of every open service, as they are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from console.control.forecast.facts import facts
from console.control.forecast.learned import Learned, late
from console.control.forecast.look import Look, answer
from console.control.forecast.values import Answer, Promise


def tell(seen: Look, promises: Sequence[Promise], model: Learned | None) -> list[Answer]:
    """In the order of the promises. `model` None: the columns' own share, to be recalibrated by what became of one's
    own earlier forecasts. After its deadline a service that is still open is late."""
    answers = [answer(seen, promise) for promise in promises]
    if model is not None and promises:
        learned = late(model, np.array([facts(seen, promise) for promise in promises]))
        answers = [replace(each, late=float(one)) for each, one in zip(answers, learned, strict=True)]
    pairs = zip(answers, promises, strict=True)
    return [replace(each, late=1.0) if seen.now >= promise.deadline else each for each, promise in pairs]
