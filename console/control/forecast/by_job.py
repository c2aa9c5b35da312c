"""A look's samples by job and view, for those who walk a small night job by job."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.levels import Plan
from console.control.forecast.simulate import Draws
from console.control.forecast.values import Floats


@dataclass(frozen=True, slots=True)
class JobDraws:
    """Jobs x samples of a view, s; NaN for jobs that no service waits for."""

    takes: Floats
    """With what is lost where it fails later tonight."""
    waits: Floats
    weights: Floats
    """By sample; they add up to 1."""


@dataclass(frozen=True, slots=True)
class Drawn:
    draws: JobDraws
    shift: Floats
    """By job: what tonight says about its time, in spreads."""


def drawn(plan: Plan, draws: Draws, shift: Floats, samples: int) -> tuple[Drawn, ...]:
    """By view, of the first `samples`."""
    repeats = samples // draws.columns
    takes = np.tile(draws.lasts if draws.waits is None else draws.lasts - draws.waits, (1, repeats))
    fates = draws.fates
    near = fates.sample < samples
    takes[fates.place[near], fates.sample[near]] += fates.costs[near]
    waits = np.zeros_like(takes) if draws.waits is None else np.tile(draws.waits, (1, repeats))
    weights = np.split(np.tile(draws.weights.reshape(draws.views, 1, -1), (1, repeats, 1)) / repeats, draws.views)
    parts = zip(by_view(plan, draws, takes[None]), by_view(plan, draws, waits[None]), weights, shift, strict=True)
    return tuple(
        Drawn(JobDraws(its_takes, its_waits, of.ravel()), moved[plan.place])
        for its_takes, its_waits, of, moved in parts
    )


def by_view(plan: Plan, draws: Draws, samples: Floats) -> tuple[Floats, ...]:
    """Chunks x places x samples of a chunk become, by view, jobs x samples."""
    chunks, size, _ = samples.shape
    split = samples.reshape(chunks, size, -1, draws.views, draws.columns // draws.views)
    found = np.full((draws.views, len(plan.order), samples.size // max(size * draws.views, 1)), np.nan, np.float32)
    found[:, plan.jobs] = np.moveaxis(split, (3, 1), (0, 1)).reshape(draws.views, size, -1)
    return tuple(found)
