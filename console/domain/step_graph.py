"""The order of a plan's steps: which wait for which, and which run in parallel."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Protocol


class PlacedStep(Protocol):
    @property
    def place(self) -> int: ...
    @property
    def after(self) -> tuple[int, ...]: ...


class StepGraph:
    """Steps by their places. A step waits for earlier places only: any other number in `after` is ignored, so the
    places in their order are an order of execution, also of a stored plan that Headway did not write."""

    def __init__(self, after: Mapping[int, Sequence[int]]) -> None:
        self._after = {
            place: tuple(number for number in after[place] if number in after and number < place)
            for place in sorted(after)
        }

    @classmethod
    def of(cls, steps: Iterable[PlacedStep]) -> StepGraph:
        return cls({step.place: step.after for step in steps})

    @cached_property
    def _before(self) -> dict[int, frozenset[int]]:
        before: dict[int, frozenset[int]] = {}
        for place, near in self._after.items():
            before[place] = frozenset(near).union(*(before[number] for number in near))
        return before

    def before(self, place: int) -> frozenset[int]:
        """Returns the places that the step waits for, directly or through others."""
        return self._before[place]

    def nearest(self, place: int, candidates: Collection[int]) -> tuple[int, ...]:
        """Returns the candidates that the step waits for, without those that another of them waits for."""
        places = self._before[place].intersection(candidates)
        return tuple(sorted(places.difference(*(self._before[number] for number in places))))

    def parallel(self, place: int) -> list[int]:
        """Returns the places that neither wait for the step nor it for them."""
        ordered = self._before[place] | {place}
        return [number for number, before in self._before.items() if number not in ordered and place not in before]

    def depths(self) -> dict[int, int]:
        """Returns by place the number of steps on the longest way to it."""
        depth_of: dict[int, int] = {}
        for place, near in self._after.items():
            depth_of[place] = max((depth_of[number] + 1 for number in near), default=0)
        return depth_of
