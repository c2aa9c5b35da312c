"""Critical path, slack and latest restart of each job, sample by sample.

The backward pass of the critical path method (Kelley & Walker 1959) over each sample of the first chunk, so that
slack, criticality (Van Slyke 1963), act-by and green-by come from the same draws as P(late).

A job that waits for a slot starts, in that sample, after the job whose end frees it: a resource link (Wiest 1964;
by sample Bowers 1995). It counts as a dependency, though another slot might be freed earlier: slack errs on the short
side there. The path may contain a job of another service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from console.forecast.simulation.layers import ancestors
from console.forecast.simulation.simulator import SimulationRun, p_late, quantiles, recompute_finishes
from console.forecast.simulation.sweep import CHUNK
from console.forecast.simulation.values import AT_ONCE, Booleans, Floats, Integers, JobPhase, ServicePromise, StartRule

MAX_PASSES = 20
"""Per service: a slot may connect a job to one that was processed already."""


@dataclass(frozen=True, slots=True)
class ServiceSlack:
    """Slack and criticality of the jobs that a service waits for."""

    jobs: Integers
    """Jobs that the service waits for, holders of awaited slots included."""
    latest: Floats
    """These jobs x samples: the latest finish with which the service is in time, all else as drawn."""
    weights: Floats
    """By sample; they add up to 1."""
    seconds: Floats
    """By job, of all: the median of latest finish minus finish; infinite for those it does not wait for."""
    critical: Floats
    """By job, of all: the probability that it is on the path that decides the service's finish."""
    decides: Booleans
    """These jobs x samples: whether it is on that path."""


def slack_of(sim: SimulationRun, promise: ServicePromise) -> ServiceSlack:
    plan, queued = sim.night.plan, sim.queued
    ends = plan.place[promise.ends]
    places = np.flatnonzero(ancestors(plan.upstreams, ends))
    while len(queued.places):
        holders = np.setdiff1d(queued.freed_by[np.isin(queued.places, places)], np.append(places, -1))
        if not len(holders):
            break
        places = np.flatnonzero(ancestors(plan.upstreams, np.append(places, holders)))
    backward = _BackwardPass(sim, places)
    latest, decides = backward.run(ends, promise.deadline)
    weights = sim.weights(1).ravel()
    seconds, critical = np.full(len(plan.place), np.inf), np.zeros(len(plan.place))
    # a job that is never done has infinite slack: no delay of it matters
    is_done = np.isfinite(backward.finish)
    gaps = np.subtract(latest, backward.finish, out=np.full_like(latest, np.inf), where=is_done)
    seconds[plan.order[places]] = _row_medians(gaps, weights)
    critical[plan.order[places]] = decides @ weights
    return ServiceSlack(plan.order[places], latest, weights, seconds, critical, decides)


class _BackwardPass:
    """The jobs of one service; rows are places in order, downstreams after their upstreams."""

    def __init__(self, sim: SimulationRun, places: Integers) -> None:
        self._sim, self._places, self._rules = sim, places, sim.night.plan.rules
        self.finish = sim.finish[0, places]
        self._row = np.full(sim.night.plan.size, -1)
        self._row[places] = np.arange(len(places))
        self._waits = sim.tonight.phase[sim.night.plan.order[places]] == JobPhase.WAITS
        self._plain = self._waits & ~np.isin(places, list(self._rules))
        failures = sim.draws.failures
        self._lasts = np.tile(sim.draws.lasts[places], (1, CHUNK // sim.draws.columns))
        at = failures.spans(places)
        at = at[failures.sample[at] < CHUNK]
        self._lasts[self._row[failures.place[at]], failures.sample[at]] += failures.costs[at]
        self._latest = np.full(self.finish.shape, np.inf, np.float32)
        self._decides = np.zeros(self.finish.shape, bool)

    def run(self, ends: Integers, deadline: float) -> tuple[Floats, Booleans]:
        """Latest finishes, and whether each decides; rows x samples."""
        rows = self._row[ends]
        self._latest[rows] = deadline
        self._decides[rows] = self.finish[rows] >= self.finish[rows].max(axis=0) - AT_ONCE
        queued = self._sim.queued
        waiting = np.flatnonzero(np.isin(queued.places, self._places) & (queued.freed_by >= 0).any(axis=1))
        holders = np.where(queued.freed_by[waiting] >= 0, self._row[queued.freed_by[waiting]], -1)
        queue = dict(zip(self._row[queued.places[waiting]].tolist(), holders, strict=True))
        order = np.arange(len(self._places))
        if queue:  # slot links need not follow the rows: mostly, later finishes come later
            order = np.lexsort((order, self.finish.mean(axis=1)))
        for _ in range(MAX_PASSES):
            passed = np.zeros(len(order), bool)
            again = False
            for row in order[::-1].tolist():
                passed[row] = True
                self._from_downstreams(row)
                if self._waits[row] and int(self._places[row]) in self._rules:
                    self._by_rule(row, self._rules[int(self._places[row])])
                if row in queue:
                    again |= self._by_slot(row, queue[row], passed)
            if not again:
                break
        return self._latest, self._decides

    def _from_downstreams(self, row: int) -> None:
        edges = self._sim.night.plan.downstreams
        below = self._row[edges.linked[edges.first[self._places[row]] : edges.first[self._places[row] + 1]]]
        below = below[(below >= 0) & self._plain[below]]
        if len(below):
            until = (self._latest[below] - self._lasts[below]).min(axis=0)
            starts = self.finish[below] - self._lasts[below]
            self._latest[row] = np.minimum(self._latest[row], until)
            self._decides[row] |= (self._decides[below] & (self.finish[row] >= starts - AT_ONCE)).any(axis=0)

    def _by_rule(self, row: int, rule: StartRule) -> None:
        finish, takes = self._sim.finish[0], self._lasts[row]
        for upstream, until in rule.back(finish, self._latest[row], takes):
            above = self._row[upstream]
            self._latest[above] = np.minimum(self._latest[above], until)
        for upstream, where in rule.deciders(finish, takes):
            self._decides[self._row[upstream]] |= self._decides[row] & where

    def _by_slot(self, row: int, holders: Integers, passed: Booleans) -> bool:
        """Whether this changes a row that was `passed`."""
        samples = np.flatnonzero(holders >= 0)
        above = holders[samples]
        latest, decides = self._latest[above, samples], self._decides[above, samples]
        until = np.minimum(latest, (self._latest[row] - self._lasts[row])[samples])
        critical = decides | self._decides[row, samples]
        self._latest[above, samples], self._decides[above, samples] = until, critical
        return bool((passed[above] & ((until < latest) | (critical > decides))).any())


def _row_medians(rows: Floats, weights: Floats) -> Floats:
    order = np.argsort(rows, axis=1, kind="stable")
    place = np.cumsum(weights[order], axis=1) - weights[order] / 2
    right = np.clip((place < 0.5).sum(axis=1), 1, rows.shape[1] - 1)[:, None]
    before, after, low, high = (
        np.take_along_axis(values, right - offset, axis=1)[:, 0]
        for values in (place, np.sort(rows, axis=1))
        for offset in (1, 0)
    )
    finite = np.isfinite(low) & np.isfinite(high)
    step = np.subtract(high, low, out=np.zeros_like(low), where=finite)
    return np.asarray(low + np.clip((0.5 - before) / (after - before), 0, 1) * step)


def critical_path(
    sim: SimulationRun, promise: ServicePromise, slack: ServiceSlack, names: Sequence[int]
) -> tuple[int, ...]:
    """Names of the chain of jobs that most likely decides the finish, first to last. Each is followed upstream to the
    most critical job, among equals the last to finish, or to the holder of its slot if it mostly waits for one. Points
    of one name are one job."""
    finish, place = sim.finish[0], sim.night.plan.place

    def weight(job: int) -> tuple[float, float, int]:
        return float(slack.critical[job]), float(np.median(finish[place[job]])), -job

    job = max(promise.ends.tolist(), key=weight)
    path = [names[job]]
    while True:
        steps, upstreams = [job], set[int]()
        for step in steps:
            for upstream in sim.night.graph.upstreams[step]:
                if names[upstream] == names[job]:
                    steps.append(upstream)
                else:
                    upstreams.add(upstream)
        holders = {holder for step in steps if (holder := _slot_holder(sim, slack, step)) is not None}
        candidates = [candidate for candidate in holders or upstreams if names[candidate] not in path]
        if not candidates:
            return tuple(reversed(path))
        job = max(candidates, key=weight)
        path.append(names[job])


def _slot_holder(sim: SimulationRun, slack: ServiceSlack, job: int) -> int | None:
    """The job whose end most often frees this job's slot when it is critical; None if it mostly waits for none."""
    queued, plan = sim.queued, sim.night.plan
    row = np.flatnonzero(queued.places == plan.place[job])
    if not len(row):
        return None
    decides = slack.decides[int(np.flatnonzero(slack.jobs == job)[0])]
    freed_by, weights = queued.freed_by[row[0]], slack.weights * decides
    waits = freed_by >= 0
    if not waits.any() or 2 * weights[waits].sum() <= weights.sum():
        return None
    return int(plan.order[np.bincount(freed_by[waits], weights[waits]).argmax()])


NOTHING_WAITS: Mapping[int, float] = MappingProxyType({})


def act_by_times(
    sim: SimulationRun,
    promise: ServicePromise,
    slack: ServiceSlack,
    jobs: Sequence[int],
    risk: float,
    start_within: Mapping[int, float] = NOTHING_WAITS,
) -> tuple[float, float] | None:
    """The latest restart of all these jobs together at which P(late) stays within `risk`, and the latest end; s, maybe
    before now. None if the service is late with more than that probability even if they were done now, and if it does
    not wait for them. `start_within`: seconds until a restart of the job begins, where its duration lacks them."""
    place = sim.night.plan.place
    awaited = np.array([job for job in jobs if np.isin(job, slack.jobs)], np.intp)
    latest = slack.latest[np.searchsorted(place[slack.jobs], place[awaited])]
    if not np.isfinite(latest).any():
        return None
    takes = np.tile(sim.draws.takes(place[awaited]), (1, CHUNK // sim.draws.columns))
    takes = takes + np.array([[start_within.get(job, 0.0)] for job in awaited.tolist()], takes.dtype)
    finish, phase, end = sim.finish[:1].copy(), sim.tonight.phase.copy(), sim.tonight.end.copy()
    phase[awaited], end[awaited] = JobPhase.DONE, sim.now
    recompute_finishes(sim, replace(sim.tonight, phase=phase, end=end), awaited.tolist(), finish)
    late_anyway = finish[0, place[promise.ends]].max(axis=0) > promise.deadline
    green = np.where(late_anyway, -np.inf, latest.min(axis=0))
    begun = np.where(late_anyway, -np.inf, (latest - takes).min(axis=0))
    act_by, green_by = latest_within_risk(np.stack([begun, green]), slack.weights, risk).tolist()
    return (act_by, green_by) if np.isfinite([act_by, green_by]).all() else None


def latest_within_risk(last: Floats, weights: Floats, risk: float) -> Floats:
    """The latest instant of each row that is too late in no more samples than the risk allows."""
    order = np.argsort(last, axis=1, kind="stable")
    place = (np.cumsum(weights[order], axis=1) <= risk).sum(axis=1)
    chosen = np.minimum(place, last.shape[1] - 1)[:, None]
    return np.asarray(np.take_along_axis(last, np.take_along_axis(order, chosen, axis=1), axis=1)[:, 0], float)


SHARES = (0.5, 0.8, 0.95)
MATTERS = 0.02
"""Minimum share of samples in which a job decides a late finish for its act-by and green-by to be simulated with the
job done now."""


@dataclass(frozen=True, slots=True)
class JobSlack:
    """Slack of one job; simulation seconds."""

    late: float
    decides: float
    finish: tuple[float, ...]
    """At SHARES."""
    slack: float
    """Infinite: a later finish changes nothing."""
    act_by: float | None
    green_by: float | None


def job_slacks(
    sim: SimulationRun, promise: ServicePromise, slack: ServiceSlack, jobs: Sequence[int], risk: float
) -> list[JobSlack]:
    """The slack of these jobs, all of which the service waits for. They are read from the first chunk, the service
    from all chunks; they are made to agree: a job that is always done before the service is neither later nor likelier
    late than it, and the job that is done with it in every sample has its figures."""
    if not jobs:
        return []
    places = sim.night.plan.place[np.array(jobs, np.intp)]
    rows = np.searchsorted(sim.night.plan.place[slack.jobs], places)
    finish, latest, decides = sim.finish[0, places], slack.latest[rows], slack.decides[rows]
    done = sim.finish[0, sim.night.plan.place[promise.ends]].max(axis=0)
    is_late = done > promise.deadline
    takes = np.tile(sim.draws.takes(places), (1, CHUNK // sim.draws.columns))
    late = (np.isfinite(latest) & (finish > latest + AT_ONCE)) @ slack.weights
    late_by_others = is_late & ~decides
    begun = latest_within_risk(np.where(late_by_others, -np.inf, latest - takes), slack.weights, risk)
    green = latest_within_risk(np.where(late_by_others, -np.inf, latest), slack.weights, risk)
    for row in np.flatnonzero((decides & is_late) @ slack.weights >= MATTERS).tolist():
        begun[row], green[row] = act_by_times(sim, promise, slack, [jobs[row]], risk) or (-np.inf, -np.inf)
    at = _quantiles(finish, slack.weights)
    outcome, service_late = sim.outcome(promise), p_late(sim, promise)
    of_service = quantiles(outcome.finish, outcome.weights, np.array(SHARES))
    is_before, is_same = (finish <= done).all(axis=1), (finish == done).all(axis=1)
    at[is_before] = np.minimum(at[is_before], of_service)
    at[is_same], late[is_same] = of_service, service_late
    late = np.minimum(late, service_late)
    return [
        JobSlack(
            float(late[row]), float(slack.critical[job]), tuple(at[row].tolist()), float(slack.seconds[job]),
            float(begun[row]) if np.isfinite(begun[row]) else None,
            float(green[row]) if np.isfinite(green[row]) else None,
        )
        for row, job in enumerate(jobs)
    ]  # fmt: skip


def _quantiles(finish: Floats, weights: Floats) -> Floats:
    """Jobs x SHARES: the earliest finish that this share of the samples meets."""
    order = np.argsort(finish, axis=1, kind="stable")
    shares: Floats = np.cumsum(weights[order], axis=1)
    rows: Integers = np.arange(len(finish))
    ranks = [np.minimum((shares < share - 1e-6).sum(axis=1), finish.shape[1] - 1) for share in SHARES]
    return np.column_stack([finish[rows, order[rows, rank]] for rank in ranks])
