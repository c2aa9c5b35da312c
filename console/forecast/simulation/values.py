"""Inputs and outputs of the simulation: values, start rules of jobs, and random numbers.

Times are seconds since the night's start, as floats; jobs are numbered 0 … n-1; a missing figure is NaN. Random
numbers are fixed by a hash of the job's name, so that a job draws the same in every run (common random numbers, Kahn &
Marshall 1953; splitmix64, Steele, Lea & Flood 2014). A start rule is for a job that does not simply start after the
last of its upstreams: a gate opens with the k-th of them (k-out-of-n systems, Birnbaum, Esary & Saunders 1961), a
clock start on stale data is rerun.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
Booleans = npt.NDArray[np.bool_]

AT_ONCE = 0.05
"""Seconds within which two instants are the same: finishes have four bytes."""


def clip_within(values: Floats, least: float, most: float) -> Floats:
    """As `np.clip`, which takes several times as long for a few values."""
    return np.asarray(np.minimum(np.maximum(values, least), most))


class JobPhase:
    """State of a job now: plain numbers, as numpy takes five times as long to compare with an enum's."""

    WAITS: Final = 0
    READY: Final = 1
    """Not started, though its upstreams are done."""
    RUNS: Final = 2
    DONE: Final = 3
    FAILED: Final = 4
    """Failed, and not restarted."""


@dataclass(frozen=True, slots=True)
class NightHistory:
    """Nights that had ended when this one began, oldest first: rows are nights, columns jobs."""

    takes: Floats
    """Run time, s."""
    waits: Floats
    """Start minus ready, s."""
    repairs: Floats
    """From a failure to the restart, s; NaN: did not fail; infinite: was not restarted that night."""
    similarity: Floats | None = None
    """Weight of each night, at most 1, by its similarity to tonight; None: all 1."""
    declared: Floats | None = None
    """By job: declared duration, s; NaN: none. For a job without usable runs; its duration then
    varies as others do."""
    unsure: Floats | None = None
    """By job: uncertainty of `declared`, in logarithms; NaN: as the jobs that ran often vary."""
    done: Integers | None = None
    """By job: number of nights on which it was done; None: as `takes` has values."""


@dataclass(frozen=True, slots=True)
class SlotPool:
    """No more of these jobs run at once than there are slots."""

    slots: int
    jobs: Sequence[int]


@dataclass(frozen=True, slots=True)
class SimulationGraph:
    """Dependencies and start times of the jobs."""

    upstreams: Sequence[Sequence[int]]
    """By job."""
    earliest: Floats
    """Not before, by job."""
    rules: Mapping[int, StartRule] = field(default_factory=dict)
    """Of the jobs that do not start after the last of their upstreams."""
    names: Sequence[str] = ()
    """By job: seeds of its random numbers, the same for two points of one job. Empty: seeded by number."""
    pools: Sequence[SlotPool] = ()
    """A job is in one at most; its past waits are then ignored."""


@dataclass(frozen=True, slots=True)
class Tonight:
    """The observed state of this night, by job."""

    phase: Integers
    """A JobPhase."""
    ready: Floats
    start: Floats
    end: Floats
    failed: Booleans | None = None
    """Jobs that failed tonight already, and run or will run again: they do not fail a second time. None: none did."""


@dataclass(frozen=True, slots=True)
class ServicePromise:
    """A service that is not delivered yet."""

    name: str
    ends: Integers
    """The jobs that must be done."""
    deadline: float


STEP, FIRST, SECOND = (np.uint64(constant) for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def seeds(names: Sequence[str], jobs: int) -> Integers:
    """By job, of its name; of its number where there are no names."""
    if not names:
        return np.arange(jobs, dtype=np.uint64)
    digests = (blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digests), "<u8")


def uniform(seed: Integers, turn: Integers) -> Floats:
    """In [0, 1), by the seed's `turn`-th turn."""
    with np.errstate(over="ignore"):
        mixed = seed.astype(np.uint64) + STEP * (turn + 1).astype(np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * SECOND
        mixed = mixed ^ (mixed >> np.uint64(31))
    return np.asarray((mixed >> np.uint64(11)).astype(float) / 2.0**53)


def normal(seed: Integers, columns: int) -> Floats:
    """Seeds x columns, about standard normal: a logistic curve in its place."""
    share = uniform(seed[:, None], np.arange(columns)[None, :]) * 0.98 + 0.01
    return np.asarray(np.log(share / (1 - share)) / 1.7)


@dataclass(frozen=True, slots=True)
class RerunRule:
    """Started by its clock, whatever its upstreams do; where they are good too late, it is rerun after them and after
    itself."""

    first: int
    """The start by the clock, as a job of its own that takes as long."""
    upstreams: Sequence[int]
    again: bool = True
    """False if it must not be rerun: its upstreams must be good when it starts."""
    start_within: float = 0.0
    """Seconds until a rerun begins."""

    def finish(self, finish: Floats, floor: float, takes: Floats) -> Floats:
        first, ready = finish[self.first], self._ready(finish)
        in_time = ready <= self._start(first, takes)
        rerun = np.maximum(np.maximum(ready, floor), first) + self._again_takes(takes)
        return np.asarray(np.where(in_time, first, rerun))

    def back(self, finish: Floats, latest: Floats, takes: Floats) -> Iterable[tuple[int, Floats]]:
        first = finish[self.first]
        start = self._start(first, takes)
        green_at_start = np.where(first <= latest + AT_ONCE, start, -np.inf)
        rerun_by = latest - self._again_takes(takes)
        has_time = self.again & (first <= rerun_by + AT_ONCE)
        rerun_after = np.where(has_time, rerun_by, -np.inf)
        by = np.maximum(green_at_start, rerun_after)
        yield from ((upstream, by) for upstream in self.upstreams)
        yield self.first, np.where(self._ready(finish) <= start, latest, rerun_by)

    def deciders(self, finish: Floats, takes: Floats) -> Iterable[tuple[int, Booleans]]:
        first, ready = finish[self.first], self._ready(finish)
        rerun = ready > self._start(first, takes)
        yield self.first, ~rerun | (ready <= first)
        yield from ((upstream, rerun & (finish[upstream] >= ready - AT_ONCE)) for upstream in self.upstreams)

    def renumbered(self, place: Mapping[int, int]) -> RerunRule:
        return replace(self, first=place[self.first], upstreams=tuple(place[upstream] for upstream in self.upstreams))

    def _again_takes(self, takes: Floats) -> Floats:
        return np.asarray(takes + np.float32(self.start_within))

    def _ready(self, finish: Floats) -> Floats:
        return np.asarray(finish[list(self.upstreams)].max(axis=0))

    def _start(self, first: Floats, takes: Floats) -> Floats:
        return first - takes + AT_ONCE


@dataclass(frozen=True, slots=True)
class GateThreshold:
    """One gate: open with so many of its upstreams."""

    need: int
    upstreams: Sequence[int]
    known: Sequence[float]
    """When each upstream outside of this night is good; infinite: never."""

    def at(self, finish: Floats) -> Floats:
        columns = finish.shape[1]
        rows = [*(finish[upstream] for upstream in self.upstreams), *(np.full(columns, at) for at in self.known)]
        if len(rows) < self.need:
            return np.full(columns, np.inf)
        return np.asarray(np.partition(np.stack(rows), self.need - 1, axis=0)[self.need - 1])


@dataclass(frozen=True, slots=True)
class GateRule:
    """Open with the last of its gates; takes no time."""

    gates: Sequence[GateThreshold]

    def finish(self, finish: Floats, floor: float, takes: Floats) -> Floats:
        return self._at(finish, floor)

    def back(self, finish: Floats, latest: Floats, takes: Floats) -> Iterable[tuple[int, Floats]]:
        """Only what the gate cannot do without has to be there by then."""
        for gate in self.gates:
            for upstream in gate.upstreams:
                peers = [peer for peer in gate.upstreams if peer != upstream]
                without = GateThreshold(gate.need, peers, gate.known).at(finish)
                yield upstream, np.where(without <= latest, np.inf, latest)

    def deciders(self, finish: Floats, takes: Floats) -> Iterator[tuple[int, Booleans]]:
        opened = self._at(finish, -np.inf)
        for gate in self.gates:
            last = gate.at(finish) >= opened - AT_ONCE
            yield from ((job, last & (np.abs(finish[job] - opened) <= AT_ONCE)) for job in gate.upstreams)

    def renumbered(self, place: Mapping[int, int]) -> GateRule:
        return GateRule(
            tuple(replace(gate, upstreams=tuple(place[upstream] for upstream in gate.upstreams)) for gate in self.gates)
        )

    def since(self, origin: float) -> GateRule:
        """The same, of times that begin then."""
        return GateRule(tuple(replace(gate, known=tuple(at - origin for at in gate.known)) for gate in self.gates))

    def _at(self, finish: Floats, floor: float) -> Floats:
        opened = np.full(finish.shape[1], floor)
        for gate in self.gates:
            opened = np.maximum(opened, gate.at(finish))
        return opened


StartRule = RerunRule | GateRule
"""When a job is done that does not simply start after the last of its upstreams, column by column.

`finish`: its finishes, from those of all jobs (jobs x columns), not begun before `floor`. `back`: each upstream with
its latest finish for this job to be done by `latest`. `deciders`: each upstream with the columns where it decides the
finish. `renumbered`: the same rule for jobs with other numbers, by the present ones."""
