"""How late each job may be: the graph walked backwards from the deadline, in every sample.

Source: the backward pass of the critical path method (Kelley & Walker 1959), once for each sample, so that slack,
criticality (Van Slyke 1963) and act-by come from the same draws as P(late). The first chunk of samples is walked.

What waits for a slot starts, in that sample, after the job whose end frees it: a resource link (Wiest 1964; by sample
Bowers 1995). It is as hard as a dependency, though a later end might leave another slot free before: slack errs on the
short side there. So the walk may lead through a job of another service."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.simulation.layers import ancestors
from console.control.forecast.simulation.look import Look
from console.control.forecast.simulation.sweep import CHUNK
from console.control.forecast.simulation.values import AT_ONCE, Floats, Promise, Rule, Stand, Truths, Whole

MOST_WALKS = 20
"""Of one service: a slot may lead to a job that was passed already."""


@dataclass(frozen=True, slots=True)
class Slack:
    """What a service leaves to the jobs that it waits for."""

    jobs: Whole
    """Those that it waits for, directly, or for a slot that they hold."""
    latest: Floats
    """These jobs x samples: the latest finish with which the service is in time, all else as drawn."""
    weights: Floats
    """By sample; they add up to 1."""
    seconds: Floats
    """By job, of all: the median of latest finish minus finish; infinite for those it does not wait for."""
    critical: Floats
    """By job, of all: the probability that it is on the path that decides the service's finish."""
    decides: Truths
    """These jobs x samples: where it is."""

    def decides_at(self, job: int) -> Truths:
        """By sample, of one that it waits for."""
        return np.asarray(self.decides[int(np.flatnonzero(self.jobs == job)[0])])


def slack_of(seen: Look, promise: Promise) -> Slack:
    plan = seen.night.plan
    ends = plan.place[promise.ends]
    mine = _awaited(seen, promise)
    back = _Back(seen, mine)
    latest, decides = back.walk(ends, promise.deadline)
    weights = seen.weights(1).ravel()
    seconds, critical = np.full(len(plan.place), np.inf), np.zeros(len(plan.place))
    seconds[plan.order[mine]] = _medians(_gaps(latest, back.finish), weights)
    critical[plan.order[mine]] = decides @ weights
    return Slack(plan.order[mine], latest, weights, seconds, critical, decides)


def _awaited(seen: Look, promise: Promise) -> Whole:
    """Places of the jobs that it waits for, those among them that only hold a slot which others wait for, in order."""
    mine, queued = seen.night.awaited(promise), seen.queued
    while len(queued.places):
        holders = np.setdiff1d(queued.freed_by[np.isin(queued.places, mine)], np.append(mine, -1))
        if not len(holders):
            break
        mine = np.flatnonzero(ancestors(seen.night.plan.upstreams, np.append(mine, holders)))
    return mine


class _Back:
    """The jobs of one service, by row: places in order, so that what waits for a job stands below it."""

    def __init__(self, seen: Look, mine: Whole) -> None:
        self._seen, self._mine, self._rules = seen, mine, seen.night.plan.rules
        self.finish = seen.finish[0, mine]
        self._row = np.full(seen.night.plan.size, -1)
        self._row[mine] = np.arange(len(mine))
        self._waits = seen.tonight.stand[seen.night.plan.order[mine]] == Stand.WAITS
        self._plain = self._waits & ~np.isin(mine, list(self._rules))
        self._lasts = self._lasting()
        self._latest = np.full(self.finish.shape, np.inf, np.float32)
        self._decides = np.zeros(self.finish.shape, bool)

    def walk(self, ends: Whole, deadline: float) -> tuple[Floats, Truths]:
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

    def _order(self) -> tuple[list[int], dict[int, Whole]]:
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

    def _by_rule(self, row: int, rule: Rule) -> None:
        finish, takes = self._seen.finish[0], self._lasts[row]
        for upstream, until in rule.back(finish, self._latest[row], takes):
            above = self._row[upstream]
            self._latest[above] = np.minimum(self._latest[above], until)
        for upstream, where in rule.deciders(finish, takes):
            self._decides[self._row[upstream]] |= self._decides[row] & where

    def _by_slot(self, row: int, holders: Whole, passed: Truths) -> bool:
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
