"""Logistic regression and boosted oblivious trees in numpy, for `tests.bench.train_risk` alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from console.control.forecast.learned import logistic_facts
from console.control.forecast.logits import share_of
from console.control.forecast.values import Floats

TREES, DEPTH, STEP, BINS = 120, 4, 0.08, 24
LEAF_RIDGE = 8.0
"""Rows' worth of weight that hold a leaf at nothing."""
SLOPE_RIDGE = 30.0
FACTS_ASKED = 0.5
"""Share of the facts that a tree may ask."""


def trained(facts: Floats, late: Floats, weights: Floats, seed: int) -> dict[str, Any]:
    """The figures of `console.control.forecast.learned`. `weights` add up to the number of service nights."""
    return _logistic(facts, late, weights) | _trees(facts, late, weights, np.random.default_rng(seed))


def _logistic(facts: Floats, late: Floats, weights: Floats) -> dict[str, Any]:
    mean = np.average(facts, axis=0, weights=weights)
    scale = np.sqrt(np.average((facts - mean) ** 2, axis=0, weights=weights)) + 1e-6
    design = np.column_stack([logistic_facts(facts, mean, scale), np.ones(len(facts))])
    ridge = np.append(np.full(facts.shape[1], SLOPE_RIDGE), 0.0)
    slopes = np.zeros(design.shape[1])
    for _ in range(12):
        share = share_of(design @ slopes)
        slope = design.T @ (weights * (late - share)) - ridge * slopes
        curve = (design * (weights * np.maximum(share * (1 - share), 1e-4))[:, None]).T @ design
        slopes += np.linalg.solve(curve + np.diag(ridge + 1e-6), slope)
    return {"mean": mean, "scale": scale, "slopes": slopes[:-1], "constant": float(slopes[-1])}


def _trees(facts: Floats, late: Floats, weights: Floats, random: np.random.Generator) -> dict[str, Any]:
    bounds = np.quantile(facts, np.linspace(0, 1, BINS + 1)[1:-1], axis=0).T
    binned = np.stack(
        [np.searchsorted(edge, column, side="left") for edge, column in zip(bounds, facts.T, strict=True)]
    )
    binned = binned.astype(np.int64)
    start = float(np.log(np.average(late, weights=weights) / (1 - np.average(late, weights=weights))))
    total = np.full(len(late), start)
    asked = max(1, int(FACTS_ASKED * len(binned)))
    fact, bound, leaves = [], [], []
    for _ in range(TREES):
        share = share_of(total)
        pull, curve = weights * (late - share), weights * share * (1 - share)
        some = random.choice(len(binned), asked, replace=False)
        questions, leaf = _tree(binned, some, pull, curve)
        values = STEP * _leaf_values(leaf, pull, curve)
        total += values[leaf]
        fact.append([each for each, _ in questions])
        bound.append([float(bounds[each, at]) for each, at in questions])
        leaves.append(values)
    return {"fact": fact, "bound": bound, "leaves": np.array(leaves), "start": start}


def _tree(binned: Any, some: Any, pull: Floats, curve: Floats) -> tuple[list[tuple[int, int]], Any]:
    """The questions, one a level for all leaves, and each row's leaf."""
    leaf = np.zeros(len(pull), np.int64)
    questions: list[tuple[int, int]] = []
    for level in range(DEPTH):
        gains = [(*_best(binned[each], leaf, 1 << level, pull, curve), int(each)) for each in some]
        _, at, each = max(gains)
        questions.append((each, at))
        leaf += (binned[each] > at).astype(np.int64) << level
    return questions, leaf


def _best(column: Any, leaf: Any, leaves: int, pull: Floats, curve: Floats) -> tuple[float, int]:
    """The gain of the best bound of a fact, and its place."""
    place = leaf * BINS + column
    pulls = np.bincount(place, pull, leaves * BINS).reshape(leaves, BINS).cumsum(axis=1)
    curves = np.bincount(place, curve, leaves * BINS).reshape(leaves, BINS).cumsum(axis=1)
    below = pulls**2 / (curves + LEAF_RIDGE)
    above = (pulls[:, -1:] - pulls) ** 2 / (curves[:, -1:] - curves + LEAF_RIDGE)
    gain = (below + above).sum(axis=0)[:-1]
    at = int(np.argmax(gain))
    return float(gain[at]), at


def _leaf_values(leaf: Any, pull: Floats, curve: Floats) -> Floats:
    count = 1 << DEPTH
    return np.bincount(leaf, pull, count) / (np.bincount(leaf, curve, count) + LEAF_RIDGE)
