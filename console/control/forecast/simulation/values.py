"""What the simulation is given and what it answers. Times are seconds since the night's start, as floats; jobs are
numbered 0 … n-1; a missing figure is NaN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Whole = npt.NDArray[np.integer[Any]]
Truths = npt.NDArray[np.bool_]

LEVELS = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
"""The shares of which an answer's quantiles are given."""

AT_ONCE = 0.05
"""Seconds within which two instants are the same: finishes have four bytes."""


def within(values: Floats, least: float, most: float) -> Floats:
    """Nothing below the one or above the other: `np.clip`, which takes several times as long for a few values."""
    return np.asarray(np.minimum(np.maximum(values, least), most))


class Stand:
    """How a job stands now: plain numbers, for numpy takes five times as long to compare with an enum's."""

    WAITS: Final = 0
    READY: Final = 1
    """All it waits for is there; it has not started."""
    RUNS: Final = 2
    DONE: Final = 3
    FAILED: Final = 4
    """And not restarted."""


@dataclass(frozen=True, slots=True)
class Past:
    """Earlier nights that were over when this one began, oldest first: rows are nights, columns jobs."""

    takes: Floats
    """Run time, s."""
    waits: Floats
    """Start minus ready, s."""
    repairs: Floats
    """From a failure to the restart, s; NaN: did not fail; infinite: was not restarted that night."""
    alike: Floats | None = None
    """How much each night counts for one like tonight, at most 1; None: all alike."""
    declared: Floats | None = None
    """By job: what it takes as somebody declared, s; NaN: nobody did. For a job that never ran, or as declared in every
    night, which then varies as others do."""
    unsure: Floats | None = None
    """By job: by how much what is declared may be off, in logarithms; NaN: as the jobs that ran often vary."""
    like: Whole | None = None
    """By job: the number of its group; jobs of a group are like each other. None: all are of one."""
    done: Whole | None = None
    """By job: on how many nights it was done, what it took may say nothing; None: as often as `takes` has it."""


class Rule(Protocol):
    """When a job is done that does not simply start after the last of its upstreams: column by column."""

    def finish(self, finish: Floats, floor: float, takes: Floats) -> Floats:
        """Its finishes, from those of all jobs (jobs x columns), not begun before `floor`."""

    def back(self, finish: Floats, latest: Floats, takes: Floats) -> Iterable[tuple[int, Floats]]:
        """Upstream and the latest finish of it with which this job is done by `latest`, all else as it is."""

    def renumbered(self, place: Mapping[int, int]) -> Rule:
        """The same of jobs with other numbers, by the present ones."""

    def deciders(self, finish: Floats, takes: Floats) -> Iterable[tuple[int, Truths]]:
        """Upstream and where this job's finish is decided by it."""


@dataclass(frozen=True, slots=True)
class Pool:
    """No more of these jobs run at once than there are slots."""

    slots: int
    jobs: Sequence[int]


@dataclass(frozen=True, slots=True)
class Graph:
    """Who waits for whom, and for the clock."""

    upstreams: Sequence[Sequence[int]]
    """By job."""
    earliest: Floats
    """Not before, by job."""
    rules: Mapping[int, Rule] = field(default_factory=dict)
    """Of the jobs that do not simply start after the last of their upstreams."""
    names: Sequence[str] = ()
    """By job, to fix what it draws whatever its number; two that stand for one job have its name. None: by number."""
    pools: Sequence[Pool] = ()
    """A job is in one at most; what it waited for a slot in the past is then left aside."""


@dataclass(frozen=True, slots=True)
class Tonight:
    """What is seen of this night, by job."""

    stand: Whole
    """A Stand."""
    ready: Floats
    start: Floats
    end: Floats
    failed: Truths | None = None
    """What failed tonight already, and is to run, or runs, again: a repair is over with the start that succeeds, so
    that it fails no more. None: nothing did."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A service that is not delivered yet."""

    name: str
    ends: Whole
    """The jobs that must be done."""
    deadline: float
    finishes: Floats = field(default_factory=lambda: np.empty(0))
    """When it was on earlier nights, oldest first, if their deadlines had been tonight's."""
    was_late: Truths = field(default_factory=lambda: np.empty(0, bool))
    """The same nights, each by its own deadline."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One service, now."""

    late: float
    """P(late)."""
    quantiles: Floats
    """Finish at LEVELS."""
