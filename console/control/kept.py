"""What was made of an estate and serves the next look at it as well: whoever looks again holds it, and passes it in."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from itertools import chain

from console.control.graph import Graph
from console.control.remembered import Remembered
from console.control.shape import Shape
from console.control.shared import Red, failing_of, reds_of
from console.model.values import Estate


@dataclass(frozen=True, slots=True)
class Kept:
    """Of one estate."""

    estate: Estate
    shape: Shape
    graph: Graph
    reds: Mapping[int, Red]
    """Its red jobs that are watched."""
    failing: tuple[int, ...]
    """Targets on which nearly everything may fail."""
    remembered: Remembered
    """What evaluations of it, and of its parts, have found: they add to it."""


def kept_of(estate: Estate, before: Kept | None = None, known: Set[int] | None = None) -> Kept:
    """What is kept of an estate. `before`: of another look, of which all that is the same still is taken over; the
    answer is the same without it. `known`: the jobs whose facts or runs may differ since, from whoever read them; None:
    any."""
    if before is None or not before.shape.is_of(estate):
        reds = reds_of(estate, before.reds if before is not None else {})
        graph = Graph(estate.jobs, estate.dependencies)
        return Kept(estate, Shape(estate), graph, reds, failing_of(estate, reds), Remembered())
    is_same = _is_same_for_all(before.estate, estate)
    remembered = before.remembered if is_same else Remembered()
    remembered.forget(with_other_contexts(before.estate, estate))
    is_renamed = _names(before.estate) != _names(estate)
    reds = reds_of(estate, before.reds, None if is_renamed else known)
    failing = before.failing if is_same and reds is before.reds else failing_of(estate, reds)
    return Kept(estate, before.shape, before.graph, reds, failing, remembered)


def with_other_contexts(before: Estate, after: Estate) -> set[int]:
    """Jobs of the runs of which another cost, or another submission, is known."""
    runs = _differing(before.costs, after.costs) | _differing(before.correlated, after.correlated)
    both = chain(before.runs, after.runs) if runs else ()
    return {run.job_id for run in both if run.id in runs}


def _is_same_for_all(before: Estate, after: Estate) -> bool:
    """True where nothing differs that what is found of every job may rest on."""
    return (before.declared, before.settings) == (after.declared, after.settings)


def _names(estate: Estate) -> list[tuple[int, str, str]]:
    return [(each.id, each.system, each.name) for each in estate.targets.values()]


def _differing(was: Mapping[int, object], now: Mapping[int, object]) -> set[int]:
    """The keys under which they do not have the same."""
    if was is now or was == now:
        return set()
    return {each for each in was.keys() | now.keys() if was.get(each) != now.get(each)}
