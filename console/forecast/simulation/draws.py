"""Weighted samples of how tonight may continue.

Monte Carlo over an activity network (Van Slyke 1963), with past nights for columns, so that jobs stay correlated, and
the same samples in every run (common random numbers). Samples repeat the columns of the views; future failures differ
by sample.
Residual life (Cox, Renewal Theory 1962): the rest of the distribution beyond the elapsed time, by rank. A column
keeps its rank, so a slow night stays slow and more elapsed time never makes an end earlier. Beyond all of the past
the remaining time is exponential, and grows with the elapsed time (Lomax 1954): the job may hang.
Repair times: about log-normal (Kline 1984); the estate's own against a prior of 25 minutes worth three repairs.
Failures still to come: a share of nights, shrunk to the estate's own (beta-binomial, Casella 1985) by the similarity
of its jobs (method of moments, Kleinman 1973), drawn by strata (Neyman 1934). The draws of a job are fixed by a hash of
its name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.forecast.simulation.layers import EdgeIndex
from console.forecast.simulation.past_views import OFTEN
from console.forecast.simulation.values import Booleans, Floats, Integers, JobPhase, Tonight, uniform

TAIL = 0.7
"""Mean remaining time of a job that has exceeded all of its past, in spreads."""

GROWS = 1.0
"""Share of the time beyond all of the past that is added to it."""


def residual_times(times: Floats, weights: Floats, elapsed: Floats, spread: Floats, grows: float = 0.0) -> Floats:
    """`times` (jobs x columns, s, with the columns' weights) given that `elapsed` (by job, s) has passed. `spread`: by
    job, s; `grows`: as GROWS."""
    residual = np.array(times, float)
    late = np.flatnonzero(elapsed >= times.min(axis=1, initial=np.inf))
    if len(late):
        residual[late] = _overtaking(residual[late], weights, elapsed[late, None], spread[late, None], grows)
    return residual


def _overtaking(times: Floats, weights: Floats, elapsed: Floats, spread: Floats, grows: float) -> Floats:
    """As `residual_times`, for jobs that exceeded their shortest column."""
    order = np.argsort(times, axis=1, kind="stable")
    past = np.take_along_axis(times, order, axis=1)
    columns = times.shape[1]
    share = weights[order] / weights.sum() * (columns / (columns + 1.0))
    place = np.cumsum(share, axis=1) - share / 2
    passed = _between(past, place, elapsed, (past <= elapsed).sum(axis=1, keepdims=True))
    rank = passed + place * (1 - passed)
    right = np.stack([np.searchsorted(at, ranks, side="right") for at, ranks in zip(place, rank, strict=True)])
    inside = _between(place, past, rank, right)
    scale = TAIL * spread + grows * np.maximum(elapsed - past[:, -1:], 0)
    tail = scale * np.log((1 - place[:, -1:]) / np.maximum(1 - rank, 1e-9))
    ordered = np.where(rank > place[:, -1:], np.maximum(past[:, -1:], elapsed) + tail, inside)
    residual = np.empty_like(times)
    np.put_along_axis(residual, order, ordered, axis=1)
    return residual


def _between(ats: Floats, figures: Floats, at: Floats, right: Integers) -> Floats:
    """By row: the figure at `at`, interpolated linearly; `right`: number of `ats` that are not above it."""
    low, high = np.clip(right - 1, 0, ats.shape[1] - 1), np.clip(right, 0, ats.shape[1] - 1)
    low_at, high_at = np.take_along_axis(ats, low, axis=1), np.take_along_axis(ats, high, axis=1)
    share = np.clip((at - low_at) / np.where(high_at > low_at, high_at - low_at, 1.0), 0.0, 1.0)
    begin, end = np.take_along_axis(figures, low, axis=1), np.take_along_axis(figures, high, axis=1)
    return np.asarray(begin + share * (end - begin))


PRIOR, PRIOR_SPREAD, PRIOR_REPAIRS = 1500.0, 0.8, 3.0
"""Seconds; in logarithms; weight of the prior in repairs."""
SHORTEST = 10.0


@dataclass(frozen=True, slots=True)
class RepairTimes:
    """In logarithms of seconds."""

    center: float
    spread: float

    def taking(self, share: Floats) -> Floats:
        """Seconds, by the share of repairs that are quicker (a logistic curve in the normal's place)."""
        within = share * 0.98 + 0.01
        return np.asarray(np.exp(self.center + self.spread * np.log(within / (1 - within)) / 1.7))


def fit_repair_times(repairs: Floats) -> RepairTimes:
    """From all repairs of the estate, s, not finite: none."""
    seen = np.log(np.maximum(repairs[np.isfinite(repairs)], SHORTEST))
    center = (PRIOR_REPAIRS * np.log(PRIOR) + seen.sum()) / (PRIOR_REPAIRS + len(seen))
    squares = PRIOR_REPAIRS * PRIOR_SPREAD**2 + ((seen - center) ** 2).sum()
    return RepairTimes(float(center), float(np.sqrt(squares / (PRIOR_REPAIRS + len(seen)))))


def restarts(of: RepairTimes, weights: Floats, elapsed: Floats) -> Floats:
    """Seconds from the failure to the restart, failures x columns, given that `elapsed` (by failure) has passed."""
    times = of.taking((np.arange(len(weights)) * 0.618034 + 0.5) % 1)
    every = np.repeat(times[None, :], len(elapsed), axis=0)
    return residual_times(every, weights, elapsed, np.full(len(elapsed), np.exp(of.center)))


ESTATE_NIGHTS = 20.0
"""Maximum weight of the estate's share of failures, in nights of a job: all jobs fail equally often."""
LEAST_NIGHTS = 1.0
"""Minimum weight: one job fails every night, and the others never."""
MOST = 0.5
"""Maximum P(fails)."""


@dataclass(frozen=True, slots=True)
class FutureFailures:
    """Failures that may still happen, by place and then by sample."""

    first: Integers
    """Those of a place are `first[place]` … `first[place + 1]`-1."""
    place: Integers
    sample: Integers
    share: Floats
    """Of the run, before it fails."""
    costs: Floats
    """Seconds lost: the failed run, and the time until the restart."""
    samples: int
    """Number of samples in all."""

    def spans(self, places: Integers) -> Integers:
        """Indices of the failures of these places."""
        return EdgeIndex(self.first, self.sample).spans(places)

    def without(self, places: Booleans) -> FutureFailures:
        """Without failures of these places (a mask by place)."""
        keep = ~places[self.place]
        first = np.concatenate([np.zeros(1, np.intp), np.cumsum(np.bincount(self.place[keep], minlength=len(places)))])
        return FutureFailures(
            first, self.place[keep], self.sample[keep], self.share[keep], self.costs[keep], self.samples
        )


def shares_failing(repairs: Floats, runs: Integers) -> Floats:
    """P(fails tonight) by job. `repairs`: as in `NightHistory`; `runs`: number of nights on which each job was done. 0
    for all if no job ever failed."""
    failed = (~np.isnan(repairs)).sum(axis=0)
    nights = np.maximum(runs + np.isinf(repairs).sum(axis=0), failed)
    usual = failed.sum() / max(int(nights.sum()), 1)
    worth = _estate_nights(failed, nights)
    return np.asarray(np.minimum((failed + worth * usual) / (nights + worth), MOST))


def _estate_nights(failed: Integers, nights: Integers) -> float:
    """Weight of the estate's share, in nights of a job: less if the jobs that ran often differ beyond chance, so that a
    reliable job is not rated by an unreliable one."""
    failed, nights = failed[nights >= OFTEN], nights[nights >= OFTEN]
    whole, jobs = int(nights.sum()), len(nights)
    usual = failed.sum() / max(whole, 1)
    if jobs < 2 or not 0 < usual < 1:
        return ESTATE_NIGHTS
    apart = float((nights * (failed / nights - usual) ** 2).sum() / (usual * (1 - usual))) - (jobs - 1)
    similarity = apart / (whole - float((nights**2).sum()) / whole - (jobs - 1))  # two nights of one job, beyond chance
    return ESTATE_NIGHTS if similarity <= 1 / (1 + ESTATE_NIGHTS) else max(1 / similarity - 1, LEAST_NIGHTS)


def draw_failures(shares: Floats, takes: Floats, repair: RepairTimes, seed: Integers, samples: int) -> FutureFailures:
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
    return FutureFailures(first, place[keep], at[keep], share[keep], costs[keep].astype(np.float32), samples)


ENDED = 2.0
"""Progress of a job that can no longer fail."""


@dataclass(frozen=True, slots=True)
class Draws:
    """By place and column, s; the columns of all views side by side."""

    lasts: Floats
    """Wait and run."""
    waits: Floats | None
    """None: nothing ever waits."""
    weights: Floats
    """By column; those of a view add up to 1."""
    views: int
    spreads: Floats
    """Views x places: of the run time, s."""
    waits_spreads: Floats
    usual: Floats
    """By place: usual duration, s."""
    repair: RepairTimes
    """From a failure to the restart, for any job."""
    failures: FutureFailures

    @property
    def columns(self) -> int:
        return len(self.weights)

    def takes(self, places: Integers) -> Floats:
        return self.lasts[places] if self.waits is None else self.lasts[places] - self.waits[places]


@dataclass(frozen=True, slots=True)
class NightState:
    order: Integers
    """Job by place."""
    tonight: Tonight
    """By job."""
    phase: Integers
    earliest: Floats
    """By place."""
    now: float

    def floor(self, places: Integers) -> Floats:
        """Earliest start of waiting jobs."""
        return np.asarray(np.maximum(self.earliest[places], self.now).astype(np.float32))

    def ready(self, places: Integers) -> Floats:
        return self.tonight.ready[self.order[places]]

    def start(self, places: Integers) -> Floats:
        return self.tonight.start[self.order[places]]

    def end(self, places: Integers) -> Floats:
        return self.tonight.end[self.order[places]]

    def progress(self, places: Integers, usual: Floats) -> Floats:
        """Elapsed share of the usual duration (`usual`: by place, s); below 0 before it starts, ENDED once it is done
        or red, as a repair ends with the start that succeeds."""
        phase, shares = self.phase[places], np.full(len(places), -1.0)
        runs = phase == JobPhase.RUNS
        elapsed = (self.now - self.start(places[runs])) / np.maximum(usual[places[runs]], 1.0)
        shares[runs], shares[(phase == JobPhase.DONE) | (phase == JobPhase.FAILED)] = np.clip(elapsed, 0.0, 1.0), ENDED
        return shares


def begun(seen: NightState, draws: Draws, places: Integers) -> Floats:
    """Finish of places that no longer wait for upstreams, places x columns, without future failures."""
    phase = seen.phase[places]
    finish = np.repeat(seen.end(places)[:, None], draws.columns, axis=1)
    for state, finish_of in ((JobPhase.RUNS, _running), (JobPhase.READY, _queued), (JobPhase.FAILED, _red)):
        members = np.flatnonzero(phase == state)
        if len(members):
            finish[members] = np.maximum(finish_of(seen, draws, places[members]), seen.now)
    return finish.astype(np.float32)


def _running(seen: NightState, draws: Draws, places: Integers) -> Floats:
    start = seen.start(places)
    return start[:, None] + _beyond(draws, draws.takes(places), seen.now - start, draws.spreads[:, places], GROWS)


def _queued(seen: NightState, draws: Draws, places: Integers) -> Floats:
    ready, takes = seen.ready(places), draws.takes(places)
    waits = np.zeros(takes.shape) if draws.waits is None else draws.waits[places]
    waited = _beyond(draws, waits, seen.now - ready, draws.waits_spreads[:, places])
    return np.maximum(ready[:, None] + waited, seen.now) + takes


def _red(seen: NightState, draws: Draws, places: Integers) -> Floats:
    end = seen.end(places)
    columns = draws.columns // draws.views
    repaired = restarts(draws.repair, np.ones(columns), seen.now - end)
    return np.maximum(end[:, None] + np.tile(repaired, draws.views), seen.now) + draws.takes(places)


def _beyond(draws: Draws, times: Floats, elapsed: Floats, spreads: Floats, grows: float = 0.0) -> Floats:
    parts = zip(np.split(times, draws.views, axis=1), np.split(draws.weights, draws.views), spreads, strict=True)
    return np.hstack([residual_times(part, weights, elapsed, spread, grows) for part, weights, spread in parts])
