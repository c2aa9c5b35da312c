"""One look at a night: what is known by now goes in, and every open service's outcome comes out, all of them from the
same columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from console.control.forecast.levels import Layer, ancestors, layers
from console.control.forecast.outcome import Outcome, mixed, quantiles
from console.control.forecast.simulate import finishes
from console.control.forecast.values import LEVELS, Answer, Floats, Graph, Past, Promise, Tonight
from console.control.forecast.views import Drawn, View, drawn, views


@dataclass(frozen=True, slots=True)
class Night:
    """What stays the same all night."""

    graph: Graph
    views: tuple[View, ...]
    plan: tuple[Layer, ...]
    """All that the services wait for."""


@dataclass(frozen=True, slots=True)
class Look:
    """By view: what was drawn, and when each job is done (jobs x columns)."""

    night: Night
    tonight: Tonight
    now: float
    drawn: tuple[Drawn, ...]
    finishes: tuple[Floats, ...]

    def outcomes(self, promise: Promise) -> tuple[Outcome, ...]:
        """The service's own, by view."""
        return tuple(
            Outcome(finish[promise.ends].max(axis=0), each.draws.weights / each.draws.weights.sum())
            for each, finish in zip(self.drawn, self.finishes, strict=True)
        )


def night(past: Past, graph: Graph, ends: Sequence[int]) -> Night:
    """`ends`: the jobs that deliver the services. Raises ValueError without a night to learn from, and for a loop."""
    if not len(past.takes):
        raise ValueError("no earlier night to learn from: forecast once one is over, or declare what the jobs take")
    plan = layers(graph.upstreams, sorted(ancestors(graph.upstreams, ends)), graph.rules)
    return Night(graph, views(past), plan)


def look(tonight: Tonight, now: float, night: Night) -> Look:
    found = tuple(drawn(view, tonight, now) for view in night.views)
    done = tuple(finishes(night.plan, night.graph, tonight, each.draws, now) for each in found)
    return Look(night, tonight, now, found, done)


def answer(seen: Look, promise: Promise) -> Answer:
    """Without anything learned: the views together."""
    both = mixed(seen.outcomes(promise))
    return Answer(
        float(np.clip(both.late(promise.deadline, seen.now), 0.0, 1.0)),
        quantiles(both.finish, both.weights, LEVELS),
    )
