"""What is usual for a job of a critical path by its own past nights: how long it takes at its present level, and how
long it waits though all that it waits for is there: for a slot, a worker, its scheduler's next look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from statistics import median

from console.control.level_shift import level_shift, shift_words
from console.model.history import MANY_A_DAY, History
from console.model.views.services import PathUsual

LATEST, FEWEST = 14, 5
"""Nights that waits are read from, the newest, and at least."""
WORTH = 60.0
"""Seconds by which a level moved, from which on it is told."""


def path_usual(name: str, history: History, above: Sequence[History], bd: date) -> PathUsual:
    """Of the nights before `bd`. `name`: cleaned; `above`: of its upstreams, and of whose slot it gets."""
    nights = [place for place, day in enumerate(history.days) if 0 <= day < bd.toordinal()]
    waits = _waits(history, [_ends(each) for each in above], nights) if _is_nightly(history) else 0.0
    moved = level_shift(history.takes[place] for place in reversed(nights))
    if moved is None:
        return PathUsual(waits=waits)
    is_worth = abs(moved.since - moved.before) >= WORTH
    words = shift_words(name, moved, [history.days[place] for place in nights], bd) if is_worth else ""
    return PathUsual(moved.since, waits, words)


def _waits(history: History, above: Sequence[Mapping[int, int]], nights: Sequence[int]) -> float:
    """The median; 0 where too few nights tell."""
    known = [wait for place in nights[:LATEST] if (wait := _waited(history, above, place)) is not None]
    return median(known) if len(known) >= FEWEST else 0.0


def _waited(history: History, above: Sequence[Mapping[int, int]], place: int) -> float | None:
    """Of one night; None where it is not known when it could start, or first did."""
    at, delay = history.at[place], history.delays[place]
    ends = [each[history.days[place]] for each in above if history.days[place] in each]
    if len(ends) < len(above) or (delay < 0 and not ends):
        return None
    if delay >= 0:
        return max(at + delay - max([at, *ends]), 0.0)
    if history.attempts[place] > 1 or history.repairs[place] >= 0:
        return None
    return max(history.ended[place] - history.takes[place] - max(ends), 0.0)


def _ends(history: History) -> dict[int, int]:
    """Business date -> end, the newest of it."""
    found: dict[int, int] = {}
    for day, ended in zip(history.days, history.ended, strict=True):
        found.setdefault(day, ended)
    return found if _is_nightly(history) else {}


def _is_nightly(history: History) -> bool:
    return bool(history.days) and min(history.days) > 0 and len(history.days) < MANY_A_DAY * len(set(history.days))
