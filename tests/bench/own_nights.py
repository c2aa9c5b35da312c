"""Generated nights of the kinds that are rare among the recorded ones. Made on request, always the same.

`fails`: three jobs of a workflow fail one night in twenty, others hardly ever, and are restarted after some 25 minutes.
`clock`: jobs that start by the clock, read a file that was missing on one night in seven, and run again.
`slots`: chains that meet in a pool of three slots.
`shift`: some jobs take half as long again from one night on, some go back.
`new`: jobs that appear later, some with a declared duration, others with peer jobs.
In every kind jobs of a night are slow together, and a service's deadline is a quantile of its own last 60 nights."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from console.forecast.simulation.values import NightHistory, RerunRule, SimulationGraph, SlotPool

KINDS = ("fails", "clock", "slots", "shift", "new")
MONTH_ENDS = "month_ends"
"""A kind of `tests.bench.month_ends`, which makes its month ends itself."""
WORKFLOWS, NIGHTS, CHAINS, LONG = 6, 130, 4, 4
JOBS = CHAINS * LONG + 1
DAY = 86_400.0
SCORED_FROM, PROMISED_FROM = 40, 30
REPAIR, REPAIR_SPREAD = 1_500.0, 0.5


class Workflow:
    """Chains of jobs that meet in one that delivers. `takes`: nights x jobs, s."""

    def __init__(self, kind: str, number: int, topo: Callable[..., Any], nights: int = NIGHTS) -> None:
        self.kind, self.number, self._topo, self.nights = kind, number, topo, nights
        self.random = np.random.default_rng([(*KINDS, MONTH_ENDS).index(kind), number])
        self.parents = [[job - 1] if job % LONG else [] for job in range(JOBS - 1)]
        self.parents.append(list(range(LONG - 1, JOBS - 1, LONG)))
        self.earliest = np.zeros(JOBS)
        self.rules: dict[int, tuple[int, int]] = {}
        """Rerun -> the start by the clock, and what that should have found."""
        self.slots = 3 if kind == "slots" else 0
        self.pool = list(range(1, JOBS - 1, 2)) if self.slots else []
        level = self.random.normal(6.0, 0.5, JOBS)
        slow = 0.12 * self.random.standard_normal((nights, 1))
        self.takes = np.exp(level + slow + 0.12 * self.random.standard_normal((nights, JOBS)))
        self.fails = np.full(JOBS, 0.0)
        self.since = np.zeros(JOBS, int)
        self.declared = np.full(JOBS, np.nan)
        if kind != MONTH_ENDS:
            getattr(self, f"_{kind}")(level)

    def _fails(self, _level: Any) -> None:
        self.fails[:] = 0.002
        self.fails[self.random.choice(JOBS, 3, replace=False)] = 0.05

    def _clock(self, _level: Any) -> None:
        """The second job of two chains starts by the clock; what reruns it is a job of its own."""
        for chain in range(2):
            above, first, below = (chain * LONG + at for at in range(3))
            self.earliest[first] = float(np.quantile(self.takes[:, above], 0.86))
            self.parents[first] = []
            self.rules[len(self.parents)] = (first, above)
            self.parents[below] = [len(self.parents)]
            self.parents.append([above, first])
        more = len(self.parents) - JOBS
        self.takes = np.hstack([self.takes, self.takes[:, [first for first, _ in self.rules.values()]]])
        self.earliest, self.fails = (np.append(values, np.zeros(more)) for values in (self.earliest, self.fails))
        self.since, self.declared = np.append(self.since, [0] * more), np.append(self.declared, [np.nan] * more)

    def _slots(self, _level: Any) -> None:
        self.takes[:, self.pool] *= 1.3

    def _shift(self, _level: Any) -> None:
        for job in self.random.choice(JOBS, 6, replace=False):
            begin = int(self.random.integers(35, NIGHTS - 20))
            end = NIGHTS if self.random.random() < 0.5 else begin + int(self.random.integers(8, 30))
            self.takes[begin:end, job] *= 1.5

    def _new(self, level: Any) -> None:
        for at, job in enumerate(self.random.choice(JOBS - 1, 6, replace=False)):
            self.since[job] = int(self.random.integers(SCORED_FROM, NIGHTS - 10))
            if at % 2:
                self.declared[job] = float(np.exp(level[job] + 0.15 * self.random.standard_normal()))

    def loaded(self) -> SimpleNamespace:
        """As the shared set's `load` gives a workflow."""
        versions = sorted({0, *(int(item) for item in self.since)})
        dags = {night: self._dag(night) for night in versions}
        runs: list[dict[str, Any]] = []
        finishes: list[float] = []
        for night in range(self.nights):
            version = max(version for version in versions if version <= night)
            run = self._run(night, version, dags[version])
            if night >= PROMISED_FROM:
                share = (0.9, 0.93, 0.95)[self.number % 3]
                run["D"] = {"all": float(np.ceil(np.quantile(finishes[-60:], share) / 60) * 60)}
            run["score"] = ["all"] if night >= SCORED_FROM else []
            finishes.append(max(run["e"]))
            runs.append(run)
        names = [f"{self.kind}{self.number}.job{job}" for job in range(len(self.parents))]
        return SimpleNamespace(
            id=f"{self.kind}.{self.number}", family=self.kind, names=names, dags=dags, runs=runs
        )  # fmt: skip

    def _dag(self, night: int) -> SimpleNamespace:
        """Jobs that are there by then; what a missing one waited for is waited for instead."""
        there = [job for job in range(len(self.parents)) if self.since[job] <= night]
        place = {job: at for at, job in enumerate(there)}
        parents = [
            sorted({place[number] for parent in self.parents[job] for number in self._there(parent, night)})
            for job in there
        ]
        last = np.array([place[JOBS - 1]])
        rules = {place[job]: (place[first], place[above]) for job, (first, above) in self.rules.items()}
        return SimpleNamespace(
            n=len(there), jobs=np.array(there), par=parents, nb=self.earliest[there], order=self._topo(parents),
            svc={"all": last}, rules=rules, slots=self.slots, pool=[place[job] for job in self.pool],
            declared=self.declared[there],
        )  # fmt: skip

    def _there(self, job: int, night: int) -> list[int]:
        if self.since[job] <= night:
            return [job]
        return [number for parent in self.parents[job] for number in self._there(parent, night)]

    def _run(self, night: int, version: int, dag: SimpleNamespace) -> dict[str, Any]:
        start, end, attempts = np.zeros(dag.n), np.zeros(dag.n), {}
        takes = self.takes[night, dag.jobs]
        free = [0.0] * self.slots
        waiting = [(self._ready(job, dag, end), job) for job in range(dag.n) if not dag.par[job]]
        heapq.heapify(waiting)
        missing = [len(item) for item in dag.par]
        while waiting:
            ready, job = heapq.heappop(waiting)
            begun = max(ready, heapq.heappop(free)) if job in dag.pool else ready + self.random.exponential(4.0)
            lasts = self._lasting(job, dag, start, end, takes)
            if job in dag.rules and not lasts:
                begun = ready
            if self.random.random() < self.fails[dag.jobs[job]]:
                red = begun + self.random.random() * lasts
                again = red + REPAIR * float(np.exp(REPAIR_SPREAD * self.random.standard_normal()))
                attempts[str(job)] = [[begun, red, True], [again, again + lasts, False]]
                begun = again
            start[job], end[job] = begun, begun + lasts
            if job in dag.pool:
                heapq.heappush(free, end[job])
            for below in (number for number in range(dag.n) if job in dag.par[number]):
                missing[below] -= 1
                if not missing[below]:
                    heapq.heappush(waiting, (self._ready(below, dag, end), below))
        return {
            "w": f"{self.kind}.{self.number}", "r": night, "v": version, "t0": night * DAY, "s": start.tolist(),
            "e": end.tolist(), "att": attempts, "D": {},
        }  # fmt: skip

    def _ready(self, job: int, dag: SimpleNamespace, end: Any) -> float:
        return max([float(dag.nb[job]), *(float(end[item]) for item in dag.par[job])])

    def _lasting(self, job: int, dag: SimpleNamespace, start: Any, end: Any, takes: Any) -> float:
        """A rerun takes nothing on a night that needs none."""
        if job not in dag.rules:
            return float(takes[job])
        first, above = dag.rules[job]
        return float(takes[job]) if bool(end[above] > start[first]) else 0.0


def workflows(topo: Callable[..., Any], kinds: tuple[str, ...] = KINDS) -> list[SimpleNamespace]:
    """`topo`: the shared set's own order of a graph."""
    return [Workflow(kind, number, topo).loaded() for kind in kinds for number in range(WORKFLOWS)]


def declared_night(past: NightHistory, graph: SimulationGraph, dag: Any) -> tuple[NightHistory, SimulationGraph]:
    """What config says of such a night: starts by the clock, slots, declared durations."""
    takes = np.array(past.takes)
    for again, (first, _) in dag.rules.items():
        takes[:, again] = takes[:, first]
    rules = {again: RerunRule(first, (above,)) for again, (first, above) in dag.rules.items()}
    pools = [SlotPool(dag.slots, dag.pool)] if dag.slots else []
    return replace(past, takes=takes, declared=dag.declared), replace(graph, rules=rules, pools=pools)
