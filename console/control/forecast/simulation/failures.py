"""What may fail later tonight: a job that fails one night in twenty is a risk before it does.

Source: failures as a share of nights, shrunk to the estate's own (beta-binomial; Casella 1985) by as much as its jobs
are alike in that (method of moments; Kleinman 1973), drawn by strata (Neyman 1934) so that few samples hold them in
proportion. What a job draws is fixed by a hash of its name: the same at every look, and the same on an estate that
numbers its jobs otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.simulation.common_random import uniform
from console.control.forecast.simulation.layers import Edges
from console.control.forecast.simulation.recency import OFTEN
from console.control.forecast.simulation.repair import Repair
from console.control.forecast.simulation.values import Floats, Truths, Whole

ESTATE_NIGHTS = 20.0
"""How many of a job's nights the estate's own share of failures is worth at most: where all jobs fail alike."""
LEAST_NIGHTS = 1.0
"""The same at least: where one job fails every night, and the others never."""
MOST = 0.5
"""No job is taken to fail more often."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures that are still to come, by place and then by sample."""

    first: Whole
    """Those of a place are `first[place]` … `first[place + 1]`-1."""
    place: Whole
    sample: Whole
    share: Floats
    """Of the run that is over when it fails."""
    costs: Floats
    """Seconds: what ran in vain, and until the restart."""
    samples: int
    """Of how many."""

    def spans(self, places: Whole) -> Whole:
        """Where those of these places stand."""
        return Edges(self.first, self.sample).spans(places)

    def without(self, places: Truths) -> Failures:
        """`places`: by place, those of which nothing fails any more."""
        keep = ~places[self.place]
        first = np.concatenate([np.zeros(1, np.intp), np.cumsum(np.bincount(self.place[keep], minlength=len(places)))])
        return Failures(first, self.place[keep], self.sample[keep], self.share[keep], self.costs[keep], self.samples)


def shares_failing(repairs: Floats, runs: Whole) -> Floats:
    """P(fails tonight) by job. `repairs`: nights x jobs, as in `Past`; `runs`: on how many nights each job was done.
    None ever failed: none does."""
    failed = (~np.isnan(repairs)).sum(axis=0)
    nights = np.maximum(runs + np.isinf(repairs).sum(axis=0), failed)
    usual = failed.sum() / max(int(nights.sum()), 1)
    worth = _estate_nights(failed, nights)
    return np.asarray(np.minimum((failed + worth * usual) / (nights + worth), MOST))


def _estate_nights(failed: Whole, nights: Whole) -> float:
    """How many of a job's nights the estate's share is worth: the fewer the more those that ran often differ beyond
    chance, so that one that never fails is not blamed for one that often does."""
    failed, nights = failed[nights >= OFTEN], nights[nights >= OFTEN]
    whole, jobs = int(nights.sum()), len(nights)
    usual = failed.sum() / max(whole, 1)
    if jobs < 2 or not 0 < usual < 1:
        return ESTATE_NIGHTS
    apart = float((nights * (failed / nights - usual) ** 2).sum() / (usual * (1 - usual))) - (jobs - 1)
    alike = apart / (whole - float((nights**2).sum()) / whole - (jobs - 1))  # two nights of one job, beyond chance
    return ESTATE_NIGHTS if alike <= 1 / (1 + ESTATE_NIGHTS) else max(1 / alike - 1, LEAST_NIGHTS)


def failures(shares: Floats, takes: Floats, repair: Repair, seed: Whole, samples: int) -> Failures:
    """`shares`: P(fails), `takes`: its usual time, s, `seed`: all by place."""
    strata = np.ceil(shares * samples).astype(np.intp)
    place = np.repeat(np.arange(len(shares)), strata)
    turn = np.arange(len(place)) - np.repeat(np.cumsum(strata) - strata, strata)
    in_stratum, share, lasting = (uniform(seed[place], 3 * turn + which) for which in range(3))
    at = np.floor((turn + in_stratum) / np.maximum(shares[place], 1e-12)).astype(np.intp)
    again = np.zeros(len(at), bool)
    again[1:] = (at[1:] == at[:-1]) & (place[1:] == place[:-1])
    keep = (at < samples) & ~again
    costs = share * takes[place] + repair.taking(lasting)
    counts = np.bincount(place[keep], minlength=len(shares))
    first = np.concatenate([np.zeros(1, np.intp), np.cumsum(counts)])
    return Failures(first, place[keep], at[keep], share[keep], costs[keep].astype(np.float32), samples)
