"""Jobs that do not simply start after the last of their upstreams: gates that open with some of them, and reruns of
what its clock started before its upstreams were good.

Source: k-out-of-n systems (Birnbaum, Esary & Saunders 1961): a gate opens with the k-th of its upstreams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from console.control.forecast.simulation.values import AT_ONCE, Floats, Truths


@dataclass(frozen=True, slots=True)
class Rerun:
    """Started by its clock, whatever its upstreams do; where they are good too late, it is rerun after them and after
    itself."""

    first: int
    """The start by the clock, as a job of its own that takes as long."""
    upstreams: Sequence[int]
    again: bool = True
    """False for one that nobody may rerun: its upstreams must be good when it starts."""

    def finish(self, finish: Floats, floor: float, takes: Floats) -> Floats:
        first, ready = finish[self.first], self._ready(finish)
        in_time = ready <= self._start(first, takes)
        return np.asarray(np.where(in_time, first, np.maximum(np.maximum(ready, floor), first) + takes))

    def back(self, finish: Floats, latest: Floats, takes: Floats) -> Iterable[tuple[int, Floats]]:
        first = finish[self.first]
        start = self._start(first, takes)
        green_at_start = np.where(first <= latest + AT_ONCE, start, -np.inf)
        has_time = self.again & (first + takes <= latest + AT_ONCE)
        rerun_after = np.where(has_time, latest - takes, -np.inf)
        by = np.maximum(green_at_start, rerun_after)
        yield from ((each, by) for each in self.upstreams)
        yield self.first, np.where(self._ready(finish) <= start, latest, latest - takes)

    def deciders(self, finish: Floats, takes: Floats) -> Iterable[tuple[int, Truths]]:
        first, ready = finish[self.first], self._ready(finish)
        rerun = ready > self._start(first, takes)
        yield self.first, ~rerun | (ready <= first)
        yield from ((each, rerun & (finish[each] >= ready - AT_ONCE)) for each in self.upstreams)

    def renumbered(self, place: Mapping[int, int]) -> Rerun:
        """The same of other numbers."""
        return Rerun(place[self.first], tuple(place[each] for each in self.upstreams), self.again)

    def _ready(self, finish: Floats) -> Floats:
        return np.asarray(finish[list(self.upstreams)].max(axis=0))

    def _start(self, first: Floats, takes: Floats) -> Floats:
        return first - takes + AT_ONCE


@dataclass(frozen=True, slots=True)
class Opens:
    """One gate: open with so many of its upstreams."""

    need: int
    upstreams: Sequence[int]
    known: Sequence[float]
    """When those are good that are no job of this night; infinite: never."""

    def at(self, finish: Floats) -> Floats:
        columns = finish.shape[1]
        rows = [*(finish[each] for each in self.upstreams), *(np.full(columns, each) for each in self.known)]
        if len(rows) < self.need:
            return np.full(columns, np.inf)
        return np.asarray(np.partition(np.stack(rows), self.need - 1, axis=0)[self.need - 1])


@dataclass(frozen=True, slots=True)
class Gate:
    """Open with the last of its gates; takes no time."""

    gates: Sequence[Opens]

    def finish(self, finish: Floats, floor: float, takes: Floats) -> Floats:
        return self._at(finish, floor)

    def back(self, finish: Floats, latest: Floats, takes: Floats) -> Iterable[tuple[int, Floats]]:
        """Only what the gate cannot do without has to be there by then."""
        for gate in self.gates:
            for each in gate.upstreams:
                others = Opens(gate.need, [one for one in gate.upstreams if one != each], gate.known).at(finish)
                yield each, np.where(others <= latest, np.inf, latest)

    def deciders(self, finish: Floats, takes: Floats) -> Iterator[tuple[int, Truths]]:
        opened = self._at(finish, -np.inf)
        for gate in self.gates:
            last = gate.at(finish) >= opened - AT_ONCE
            yield from ((each, last & (np.abs(finish[each] - opened) <= AT_ONCE)) for each in gate.upstreams)

    def renumbered(self, place: Mapping[int, int]) -> Gate:
        """The same of other numbers."""
        return Gate(tuple(replace(one, upstreams=tuple(place[each] for each in one.upstreams)) for one in self.gates))

    def since(self, origin: float) -> Gate:
        """The same, of times that begin then."""
        return Gate(tuple(replace(one, known=tuple(at - origin for at in one.known)) for one in self.gates))

    def _at(self, finish: Floats, floor: float) -> Floats:
        found = np.full(finish.shape[1], floor)
        for gate in self.gates:
            found = np.maximum(found, gate.at(finish))
        return found
