"""How much longer, given what has already elapsed.

Source: residual life (Cox, Renewal Theory 1962): the rest of the distribution beyond what has elapsed, taken by rank.
A column keeps its rank, so a slow night stays a slow one and more elapsed time never makes an end earlier. Beyond all
of the past the time left is exponential: a part of the job's own spread, and of what runs the more the longer it is
beyond (it may hang; the mean residual life of a power law grows with the time that is over, Lomax 1954)."""

from __future__ import annotations

import numpy as np

from console.control.forecast.simulation.values import Floats, Whole

TAIL = 0.7
"""Spreads of its time by which a job that overtook all of its past is late on average."""

GROWS = 1.0
"""By which part of the time that a run is beyond all of its past, besides."""


def beyond(times: Floats, weights: Floats, elapsed: Floats, spread: Floats, grows: float = 0.0) -> Floats:
    """`times` (jobs x columns, s, with the columns' weights) as they are once `elapsed` (by job, s) is over; `spread`:
    by job, s; `grows`: by which part of the time beyond all of them what is left grows."""
    told = np.array(times, float)
    late = np.flatnonzero(elapsed >= times.min(axis=1, initial=np.inf))
    if len(late):
        told[late] = _overtaking(told[late], weights, elapsed[late, None], spread[late, None], grows)
    return told


def _overtaking(times: Floats, weights: Floats, elapsed: Floats, spread: Floats, grows: float) -> Floats:
    """Of jobs that took longer than the shortest of their columns."""
    order = np.argsort(times, axis=1, kind="stable")
    past = np.take_along_axis(times, order, axis=1)
    columns = times.shape[1]
    share = weights[order] / weights.sum() * (columns / (columns + 1.0))
    place = np.cumsum(share, axis=1) - share / 2
    gone = _between(past, place, elapsed, (past <= elapsed).sum(axis=1, keepdims=True))
    rank = gone + place * (1 - gone)
    right = np.stack([np.searchsorted(at, its, side="right") for at, its in zip(place, rank, strict=True)])
    inside = _between(place, past, rank, right)
    scale = TAIL * spread + grows * np.maximum(elapsed - past[:, -1:], 0)
    tail = scale * np.log((1 - place[:, -1:]) / np.maximum(1 - rank, 1e-9))
    found = np.where(rank > place[:, -1:], np.maximum(past[:, -1:], elapsed) + tail, inside)
    told = np.empty_like(times)
    np.put_along_axis(told, order, found, axis=1)
    return told


def _between(ats: Floats, figures: Floats, at: Floats, right: Whole) -> Floats:
    """By row: the figure at `at` by a straight line between neighbours; `right`: how many of `ats` are not above it."""
    low, high = np.clip(right - 1, 0, ats.shape[1] - 1), np.clip(right, 0, ats.shape[1] - 1)
    here, there = np.take_along_axis(ats, low, axis=1), np.take_along_axis(ats, high, axis=1)
    share = np.clip((at - here) / np.where(there > here, there - here, 1.0), 0.0, 1.0)
    begin, end = np.take_along_axis(figures, low, axis=1), np.take_along_axis(figures, high, axis=1)
    return np.asarray(begin + share * (end - begin))
