"""How late each job may be: the graph walked backwards from the deadline, in every sample.

Source: the backward pass of the critical path method (Kelley & Walker 1959), once for each sample, so that slack,
criticality (Van Slyke 1963) and act-by come from the same draws as P(late). The first chunk of samples is walked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from console.control.forecast.levels import ancestors
from console.control.forecast.logits import logit, share_of
from console.control.forecast.look import Look, anew
from console.control.forecast.outcome import mixed
from console.control.forecast.sweep import CHUNK
from console.control.forecast.values import Floats, Promise, Rule, Stand, Truths, Whole

EVEN = 0.05
"""Seconds within which two finishes are the same: finishes have four bytes."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a service leaves to the jobs that it waits for."""

    jobs: Whole
    """Those that it waits for."""
    latest: Floats
    """These jobs x samples: the latest finish with which the service is in time, all else as drawn."""
    weights: Floats
    """By sample; they add up to 1."""
    slack: Floats
    """By job, of all: the median of latest finish minus finish, s; infinite for those it does not wait for."""
    critical: Floats
    """By job, of all: the probability that it is on the path that decides the service's finish."""


def room(seen: Look, promise: Promise) -> Room:
    plan = seen.night.plan
    ends = plan.place[promise.ends]
    mine = np.flatnonzero(ancestors(plan.upstreams, ends))
    back = _Back(seen, mine)
    latest, decides = back.walk(ends, promise.deadline)
    weights = seen.weights(1).ravel()
    slack, critical = np.full(len(plan.place), np.inf), np.zeros(len(plan.place))
    slack[plan.order[mine]] = _medians(_gaps(latest, back.finish), weights)
    critical[plan.order[mine]] = decides @ weights
    return Room(plan.order[mine], latest, weights, slack, critical)


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
        self._decides[rows] = self.finish[rows] >= self.finish[rows].max(axis=0) - EVEN
        for row in reversed(range(len(self._mine))):
            self._from_below(row)
            if self._waits[row] and int(self._mine[row]) in self._rules:
                self._by_rule(row, self._rules[int(self._mine[row])])
        return self._latest, self._decides

    def _from_below(self, row: int) -> None:
        """From those that start after the last of their upstreams."""
        edges = self._seen.night.plan.downstreams
        below = self._row[edges.other[edges.first[self._mine[row]] : edges.first[self._mine[row] + 1]]]
        below = below[(below >= 0) & self._plain[below]]
        if len(below):
            until = (self._latest[below] - self._lasts[below]).min(axis=0)
            starts = self.finish[below] - self._lasts[below]
            self._latest[row] = np.minimum(self._latest[row], until)
            self._decides[row] |= (self._decides[below] & (self.finish[row] >= starts - EVEN)).any(axis=0)

    def _by_rule(self, row: int, rule: Rule) -> None:
        finish, takes = self._seen.finish[0], self._lasts[row]
        for upstream, until in rule.back(finish, self._latest[row], takes):
            above = self._row[upstream]
            self._latest[above] = np.minimum(self._latest[above], until)
        for upstream, where in rule.deciders(finish, takes):
            self._decides[self._row[upstream]] |= self._decides[row] & where

    def _lasting(self) -> Floats:
        """Rows x samples: from the start to the end, with what may fail."""
        draws = self._seen.draws
        lasts = np.tile(draws.lasts[self._mine], (1, CHUNK // draws.columns))
        at = draws.fates.spans(self._mine)
        at = at[draws.fates.sample[at] < CHUNK]
        lasts[self._row[draws.fates.place[at]], draws.fates.sample[at]] += draws.fates.costs[at]
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


def act_by(seen: Look, promise: Promise, job: int, risk: float, told: float | None = None) -> float | None:
    """The latest restart of the job, s, at which P(late) stays within `risk`; None: no restart does, not even now.
    `told`: the service's P(late) as it was told, where it is not the columns' own; the risk is then read alike."""
    left = room(seen, promise)
    place = seen.night.plan.place[[job]]
    takes = np.tile(seen.draws.takes(place)[0], CHUNK // seen.draws.columns)
    latest = left.latest[np.searchsorted(seen.night.plan.place[left.jobs], place[0])]
    last = np.where(_late_anyway(seen, promise, job), -np.inf, latest - takes)
    order = np.argsort(last, kind="stable")
    share = np.cumsum(left.weights[order])
    own = _own_share(seen, promise, risk, told)
    at = float(last[order][min(int(np.searchsorted(share, own, side="right")), len(last) - 1)])
    return at if at >= seen.now else None


def _own_share(seen: Look, promise: Promise, risk: float, told: float | None) -> float:
    """The share of columns that stands for this risk: what is told is moved against the columns by so much in the
    logit, and so is the risk."""
    if told is None:
        return risk
    own = mixed(seen.outcomes(promise)).late(promise.deadline, seen.now)
    return float(share_of(logit(risk) - logit(told) + logit(own)))


def _late_anyway(seen: Look, promise: Promise, job: int) -> Truths:
    """By sample: the service is late though this job were done now."""
    place, finish = seen.night.plan.place, seen.finish[:1].copy()
    stand, end = seen.tonight.stand.copy(), seen.tonight.end.copy()
    stand[job], end[job] = Stand.DONE, min(seen.now, end[job]) if stand[job] == Stand.DONE else seen.now
    anew(seen, replace(seen.tonight, stand=stand, end=end), [job], finish)
    return np.asarray(finish[0, place[promise.ends]].max(axis=0) > promise.deadline)
