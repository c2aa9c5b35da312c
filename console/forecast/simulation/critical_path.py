"""Critical path, slack and latest restart of each job, sample by sample.

The backward pass of the critical path method (Kelley & Walker 1959) once per sample, so that slack, criticality
(Van Slyke 1963), act-by and green-by come from the same draws as P(late). The first chunk of samples is walked.

A job that waits for a slot starts, in that sample, after the job whose end frees it: a resource link (Wiest 1964;
by sample Bowers 1995). It is as hard as a dependency, though a later end might leave another slot free before:
slack errs on the short side there. So the walk may lead through a job of another service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from console.forecast.simulation.layers import ancestors
from console.forecast.simulation.simulator import SimulationRun, answer_for, quantiles, recompute_finishes
from console.forecast.simulation.sweep import CHUNK
from console.forecast.simulation.values import AT_ONCE, Booleans, Floats, Integers, JobPhase, ServicePromise, StartRule

MOST_WALKS = 20
"""Of one service: a slot may lead to a job that was passed already."""


@dataclass(frozen=True, slots=True)
class ServiceSlack:
    """What a service leaves to the jobs that it waits for."""

    jobs: Integers
    """Those that it waits for, directly, or for a slot that they hold."""
    latest: Floats
    """These jobs x samples: the latest finish with which the service is in time, all else as drawn."""
    weights: Floats
    """By sample; they add up to 1."""
    seconds: Floats
    """By job, of all: the median of latest finish minus finish; infinite for those it does not wait for."""
    critical: Floats
    """By job, of all: the probability that it is on the path that decides the service's finish."""
    decides: Booleans
    """These jobs x samples: where it is."""

    def decides_at(self, job: int) -> Booleans:
        """By sample, of one that it waits for."""
        return np.asarray(self.decides[int(np.flatnonzero(self.jobs == job)[0])])


def slack_of(sim: SimulationRun, promise: ServicePromise) -> ServiceSlack:
    plan = sim.night.plan
    ends = plan.place[promise.ends]
    mine = _awaited(sim, promise)
    back = _BackwardPass(sim, mine)
    latest, decides = back.walk(ends, promise.deadline)
    weights = sim.weights(1).ravel()
    seconds, critical = np.full(len(plan.place), np.inf), np.zeros(len(plan.place))
    seconds[plan.order[mine]] = _medians(_gaps(latest, back.finish), weights)
    critical[plan.order[mine]] = decides @ weights
    return ServiceSlack(plan.order[mine], latest, weights, seconds, critical, decides)


def _awaited(sim: SimulationRun, promise: ServicePromise) -> Integers:
    """Places of the jobs that it waits for, those among them that only hold a slot which others wait for, in order."""
    mine, queued = sim.night.awaited(promise), sim.queued
    while len(queued.places):
        holders = np.setdiff1d(queued.freed_by[np.isin(queued.places, mine)], np.append(mine, -1))
        if not len(holders):
            break
        mine = np.flatnonzero(ancestors(sim.night.plan.upstreams, np.append(mine, holders)))
    return mine


class _BackwardPass:
    """The jobs of one service, by row: places in order, so that what waits for a job stands below it."""

    def __init__(self, sim: SimulationRun, mine: Integers) -> None:
        self._seen, self._mine, self._rules = sim, mine, sim.night.plan.rules
        self.finish = sim.finish[0, mine]
        self._row = np.full(sim.night.plan.size, -1)
        self._row[mine] = np.arange(len(mine))
        self._waits = sim.tonight.stand[sim.night.plan.order[mine]] == JobPhase.WAITS
        self._plain = self._waits & ~np.isin(mine, list(self._rules))
        self._lasts = self._lasting()
        self._latest = np.full(self.finish.shape, np.inf, np.float32)
        self._decides = np.zeros(self.finish.shape, bool)

    def walk(self, ends: Integers, deadline: float) -> tuple[Floats, Booleans]:
        """Latest finishes, and who decides; rows x samples."""
        rows = self._row[ends]
        self._latest[rows] = deadline
        self._decides[rows] = self.finish[rows] >= self.finish[rows].max(axis=0) - AT_ONCE
        order, queue = self._order()
        for _ in range(MOST_WALKS):
            passed = np.zeros(len(order), bool)
            again = False
            for row in order:
                passed[row] = True
                self._from_below(row)
                if self._waits[row] and int(self._mine[row]) in self._rules:
                    self._by_rule(row, self._rules[int(self._mine[row])])
                if row in queue:
                    again |= self._by_slot(row, queue[row], passed)
            if not again:
                break
        return self._latest, self._decides

    def _order(self) -> tuple[list[int], dict[int, Integers]]:
        """The rows, so that mostly those below come first; and of those that wait for a slot whose it was, as rows."""
        queued = self._seen.queued
        mine = np.flatnonzero(np.isin(queued.places, self._mine) & (queued.freed_by >= 0).any(axis=1))
        holders = np.where(queued.freed_by[mine] >= 0, self._row[queued.freed_by[mine]], -1)
        queue = dict(zip(self._row[queued.places[mine]].tolist(), holders, strict=True))
        rows = np.arange(len(self._mine))
        order = np.lexsort((rows, self.finish.mean(axis=1))) if queue else rows
        return order[::-1].tolist(), queue

    def _from_below(self, row: int) -> None:
        """From those that start after the last of their upstreams."""
        edges = self._seen.night.plan.downstreams
        below = self._row[edges.other[edges.first[self._mine[row]] : edges.first[self._mine[row] + 1]]]
        below = below[(below >= 0) & self._plain[below]]
        if len(below):
            until = (self._latest[below] - self._lasts[below]).min(axis=0)
            starts = self.finish[below] - self._lasts[below]
            self._latest[row] = np.minimum(self._latest[row], until)
            self._decides[row] |= (self._decides[below] & (self.finish[row] >= starts - AT_ONCE)).any(axis=0)

    def _by_rule(self, row: int, rule: StartRule) -> None:
        finish, takes = self._seen.finish[0], self._lasts[row]
        for upstream, until in rule.back(finish, self._latest[row], takes):
            above = self._row[upstream]
            self._latest[above] = np.minimum(self._latest[above], until)
        for upstream, where in rule.deciders(finish, takes):
            self._decides[self._row[upstream]] |= self._decides[row] & where

    def _by_slot(self, row: int, holders: Integers, passed: Booleans) -> bool:
        """True where that moves a row that was `passed`."""
        samples = np.flatnonzero(holders >= 0)
        above = holders[samples]
        latest, decides = self._latest[above, samples], self._decides[above, samples]
        until = np.minimum(latest, (self._latest[row] - self._lasts[row])[samples])
        critical = decides | self._decides[row, samples]
        self._latest[above, samples], self._decides[above, samples] = until, critical
        return bool((passed[above] & ((until < latest) | (critical > decides))).any())

    def _lasting(self) -> Floats:
        """Rows x samples: from the start to the end, with what may fail."""
        draws = self._seen.draws
        lasts = np.tile(draws.lasts[self._mine], (1, CHUNK // draws.columns))
        at = draws.failures.spans(self._mine)
        at = at[draws.failures.sample[at] < CHUNK]
        lasts[self._row[draws.failures.place[at]], draws.failures.sample[at]] += draws.failures.costs[at]
        return lasts


def _gaps(latest: Floats, finish: Floats) -> Floats:
    """Infinite for what is never done: it leaves nobody any room, and nobody can use it."""
    return np.subtract(latest, finish, out=np.full_like(latest, np.inf), where=np.isfinite(finish))


def _medians(rows: Floats, weights: Floats) -> Floats:
    """Of each row."""
    order = np.argsort(rows, axis=1, kind="stable")
    place = np.cumsum(weights[order], axis=1) - weights[order] / 2
    right = np.clip((place < 0.5).sum(axis=1), 1, rows.shape[1] - 1)[:, None]
    sides = [np.take_along_axis(each, right - one, axis=1) for each in (place, np.sort(rows, axis=1)) for one in (1, 0)]
    before, after, low, high = (each[:, 0] for each in sides)
    finite = np.isfinite(low) & np.isfinite(high)
    step = np.subtract(high, low, out=np.zeros_like(low), where=finite)
    return np.asarray(low + np.clip((0.5 - before) / (after - before), 0, 1) * step)


def critical_path(
    sim: SimulationRun, promise: ServicePromise, slack: ServiceSlack, names: Sequence[int]
) -> tuple[int, ...]:
    """The names of the chain of jobs that most likely decides, first to last; what decides nothing goes on with the
    upstream that is done last, what mostly waits for a slot where it decides with the job that it gets it from. Jobs of
    one name are steps of one."""
    finish, place = sim.finish[0], sim.night.plan.place

    def weight(job: int) -> tuple[float, float, int]:
        return float(slack.critical[job]), float(np.median(finish[place[job]])), -job

    job = max(promise.ends.tolist(), key=weight)
    found = [names[job]]
    while True:
        steps, above = _steps(sim.night.graph.upstreams, names, job)
        held = {holder for step in steps if (holder := _holder(sim, slack, step)) is not None}
        ahead = [each for each in held or above if names[each] not in found]
        if not ahead:
            return tuple(reversed(found))
        job = max(ahead, key=weight)
        found.append(names[job])


def _holder(sim: SimulationRun, slack: ServiceSlack, job: int) -> int | None:
    """Whose end most often frees its slot where it decides; None where it mostly does not wait for one then."""
    queued, plan = sim.queued, sim.night.plan
    row = np.flatnonzero(queued.places == plan.place[job])
    if not len(row):
        return None
    freed_by, weights = queued.freed_by[row[0]], slack.weights * slack.decides_at(job)
    waits = freed_by >= 0
    if not waits.any() or 2 * weights[waits].sum() <= weights.sum():
        return None
    return int(plan.order[np.bincount(freed_by[waits], weights[waits]).argmax()])


def _steps(upstreams: Sequence[Sequence[int]], names: Sequence[int], job: int) -> tuple[list[int], set[int]]:
    """All its steps, and their upstreams."""
    steps, found = [job], set[int]()
    for step in steps:
        for each in upstreams[step]:
            (steps.append if names[each] == names[job] else found.add)(each)
    return steps, found


def restart_clocks(
    sim: SimulationRun, promise: ServicePromise, slack: ServiceSlack, jobs: Sequence[int], risk: float
) -> tuple[float, float] | None:
    """The latest restart of all these jobs at once at which P(late) stays within `risk`, and the same for their end; s,
    maybe before now. None where the service is late with more than that probability whatever is done about them, and
    where it does not wait for them."""
    place = sim.night.plan.place
    mine = np.array([job for job in jobs if np.isin(job, slack.jobs)], np.intp)
    latest = slack.latest[np.searchsorted(place[slack.jobs], place[mine])]
    if not np.isfinite(latest).any():
        return None
    takes = np.tile(sim.draws.takes(place[mine]), (1, CHUNK // sim.draws.columns))
    lost = _late_anyway(sim, promise, mine)
    green = np.where(lost, -np.inf, latest.min(axis=0))
    begun = np.where(lost, -np.inf, (latest - takes).min(axis=0))
    begun_by, green_by = kept_rows(np.stack([begun, green]), slack.weights, risk).tolist()
    return (begun_by, green_by) if np.isfinite([begun_by, green_by]).all() else None


def kept_rows(last: Floats, weights: Floats, risk: float) -> Floats:
    """Of each row of samples the latest instant that is too late in no more of them than the risk allows."""
    order = np.argsort(last, axis=1, kind="stable")
    place = (np.cumsum(weights[order], axis=1) <= risk).sum(axis=1)
    chosen = np.minimum(place, last.shape[1] - 1)[:, None]
    return np.asarray(np.take_along_axis(last, np.take_along_axis(order, chosen, axis=1), axis=1)[:, 0], float)


def _late_anyway(sim: SimulationRun, promise: ServicePromise, jobs: Integers) -> Booleans:
    """By sample: the service is late though these jobs were done now."""
    place, finish = sim.night.plan.place, sim.finish[:1].copy()
    stand, end = sim.tonight.stand.copy(), sim.tonight.end.copy()
    stand[jobs], end[jobs] = JobPhase.DONE, sim.now
    recompute_finishes(sim, replace(sim.tonight, stand=stand, end=end), jobs.tolist(), finish)
    return np.asarray(finish[0, place[promise.ends]].max(axis=0) > promise.deadline)


SHARES = (0.5, 0.8, 0.95)
MATTERS = 0.02
"""Share of the samples in which it decides a late finish, from which on a job's clocks are computed with the job done
now; below it, what else is late there counts for nothing."""


@dataclass(frozen=True, slots=True)
class JobSlack:
    """Of one job; s, as the simulation counts them."""

    late: float
    decides: float
    finish: tuple[float, ...]
    """At SHARES."""
    slack: float
    """Infinite: its finish moves nothing."""
    begun_by: float | None
    green_by: float | None


def job_slacks(
    sim: SimulationRun, promise: ServicePromise, slack: ServiceSlack, jobs: Sequence[int], risk: float
) -> list[JobSlack]:
    """Of these jobs, all of which the service waits for, in their order. `risk`: as the samples count it. They are read
    from the first chunk, the service from all, and agree with it: none that is always done before it is likelier late
    or done later, and the one that is done with it in every sample is told as it is."""
    if not jobs:
        return []
    mine, place = np.array(jobs, np.intp), sim.night.plan.place
    rows = np.searchsorted(place[slack.jobs], place[mine])
    finish, latest, decides = sim.finish[0, place[mine]], slack.latest[rows], slack.decides[rows]
    done = sim.finish[0, place[promise.ends]].max(axis=0)
    late = done > promise.deadline
    takes = np.tile(sim.draws.takes(place[mine]), (1, CHUNK // sim.draws.columns))
    own = (np.isfinite(latest) & (finish > latest + AT_ONCE)) @ slack.weights
    begun, green = _clocks(latest, takes, late & ~decides, slack.weights, risk)
    alone = (decides & late) @ slack.weights
    for row in np.flatnonzero(alone >= MATTERS).tolist():
        begun[row], green[row] = restart_clocks(sim, promise, slack, [jobs[row]], risk) or (-np.inf, -np.inf)
    at = _quantiles(finish, slack.weights)
    outcome, told = sim.outcome(promise), answer_for(sim, promise).late
    whole = quantiles(outcome.finish, outcome.weights, np.array(SHARES))
    ahead, as_it = (finish <= done).all(axis=1), (finish == done).all(axis=1)
    at[ahead] = np.minimum(at[ahead], whole)
    at[as_it], own[as_it] = whole, told
    own = np.minimum(own, told)
    return [
        JobSlack(
            float(own[row]), float(slack.critical[job]), tuple(at[row].tolist()), float(slack.seconds[job]),
            _known(begun[row]), _known(green[row]),
        )
        for row, job in enumerate(jobs)
    ]  # fmt: skip


def _clocks(latest: Floats, takes: Floats, lost: Booleans, weights: Floats, risk: float) -> tuple[Floats, Floats]:
    """By job, the latest start and end with which P(late) stays within the risk. `lost`: where others make it late."""
    return (
        kept_rows(np.where(lost, -np.inf, latest - takes), weights, risk),
        kept_rows(np.where(lost, -np.inf, latest), weights, risk),
    )


def _quantiles(finish: Floats, weights: Floats) -> Floats:
    """Jobs x SHARES: the earliest finish that so many samples keep."""
    order = np.argsort(finish, axis=1, kind="stable")
    shares: Floats = np.cumsum(weights[order], axis=1)
    rows: Integers = np.arange(len(finish))
    found = [np.minimum((shares < share - 1e-6).sum(axis=1), finish.shape[1] - 1) for share in SHARES]
    return np.column_stack([finish[rows, order[rows, each]] for each in found])


def _known(at: float) -> float | None:
    return float(at) if np.isfinite(at) else None
