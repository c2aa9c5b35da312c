"""How much longer, given what has already elapsed.

Source: residual life (Cox, Renewal Theory 1962): the rest of the distribution beyond what has elapsed, taken by rank.
A column keeps its rank, so a slow night stays a slow one and more elapsed time never makes an end earlier. Beyond all
of the past the time left is exponential, a part of the job's own spread."""

from __future__ import annotations

import numpy as np

from console.control.forecast.values import Floats

TAIL = 0.7
"""Spreads of its time by which a job that overtook all of its past is late on average."""


def beyond(times: Floats, weights: Floats, elapsed: float, spread: float) -> Floats:
    """`times` (s, by column, with their weights) as they are once `elapsed` is over; `spread`: in s."""
    order = np.argsort(times, kind="stable")
    past = times[order]
    if elapsed < past[0]:
        return times
    share = weights[order] / weights.sum() * (len(times) / (len(times) + 1.0))
    place = np.cumsum(share) - share / 2
    gone = np.interp(elapsed, past, place) if elapsed <= past[-1] else place[-1]
    rank = gone + place * (1 - gone)
    least = 1 - place[-1]
    tail = TAIL * spread * np.log(least / np.maximum(1 - rank, 1e-9))
    told = np.empty_like(times)
    told[order] = np.where(rank > place[-1], max(past[-1], elapsed) + tail, np.interp(rank, place, past))
    return told
