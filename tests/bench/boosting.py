"""Logistic regression and boosted oblivious trees in numpy, for `tests.bench.train_risk` alone.

Both are monotone in the facts that move with the deadline, so that a deadline that is extended never raises P(late)."""

from __future__ import annotations

from typing import Any

import numpy as np

from console.control.forecast.calibration.learned import logistic_facts
from console.control.forecast.calibration.logits import share_of
from console.control.forecast.simulation.values import Floats, Whole

TREES, DEPTH, STEP, BINS = 120, 4, 0.08, 24
LEAF_RIDGE = 8.0
"""Rows' worth of weight that hold a leaf at nothing."""
SLOPE_RIDGE = 30.0
STEPS = 20
"""Of the logistic part; a slope that turns the wrong way is left at nothing from there on."""
PASSES = 50
"""Over the leaves of a tree, after which one that is still not monotone says the same of all."""
FACTS_ASKED = 0.5
"""Share of the facts that a tree may ask."""


def trained(facts: Floats, late: Floats, weights: Floats, signs: Whole, seed: int) -> dict[str, Any]:
    """The figures of `forecast.calibration.learned`. `weights` add up to the number of service nights; `signs`: by
    fact, 1 where more of it is never less likely late, -1 where it is never more, 0 where it may be either."""
    return _logistic(facts, late, weights, signs) | _trees(facts, late, weights, signs, np.random.default_rng(seed))


def _logistic(facts: Floats, late: Floats, weights: Floats, signs: Whole) -> dict[str, Any]:
    mean = np.average(facts, axis=0, weights=weights)
    scale = np.sqrt(np.average((facts - mean) ** 2, axis=0, weights=weights)) + 1e-6
    design = np.column_stack([logistic_facts(facts, mean, scale), np.ones(len(facts))])
    ridge = np.append(np.full(facts.shape[1], SLOPE_RIDGE), 0.0)
    slopes, free = np.zeros(design.shape[1]), np.ones(design.shape[1], bool)
    for _ in range(STEPS):
        share = share_of(design @ slopes)
        slope = design.T @ (weights * (late - share)) - ridge * slopes
        curve = (design * (weights * np.maximum(share * (1 - share), 1e-4))[:, None]).T @ design
        curve = (curve + np.diag(ridge + 1e-6))[np.ix_(free, free)]
        slopes[free] += np.linalg.solve(curve, slope[free])
        wrong = slopes * np.append(signs, 0) < 0
        slopes[wrong], free = 0.0, free & ~wrong
    return {"mean": mean, "scale": scale, "slopes": slopes[:-1], "constant": float(slopes[-1])}


def _trees(facts: Floats, late: Floats, weights: Floats, signs: Whole, random: np.random.Generator) -> dict[str, Any]:
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
        questions, leaf = _tree(binned, some, pull, curve, signs)
        turns = [int(signs[each]) for each, _ in questions]
        values = STEP * _monotone(_leaf_values(leaf, pull, curve), leaf, curve, turns)
        total += values[leaf]
        fact.append([each for each, _ in questions])
        bound.append([float(bounds[each, at]) for each, at in questions])
        leaves.append(values)
    return {"fact": fact, "bound": bound, "leaves": np.array(leaves), "start": start}


def _tree(binned: Any, some: Any, pull: Floats, curve: Floats, signs: Whole) -> tuple[list[tuple[int, int]], Any]:
    """The questions, one a level for all leaves, and each row's leaf."""
    leaf = np.zeros(len(pull), np.int64)
    questions: list[tuple[int, int]] = []
    for level in range(DEPTH):
        gains = [(*_best(binned[each], leaf, 1 << level, pull, curve, int(signs[each])), int(each)) for each in some]
        _, at, each = max(gains)
        questions.append((each, at))
        leaf += (binned[each] > at).astype(np.int64) << level
    return questions, leaf


def _best(column: Any, leaf: Any, leaves: int, pull: Floats, curve: Floats, sign: int) -> tuple[float, int]:
    """The gain of the best bound of a fact, and its place; a leaf gains nothing where it would turn the wrong way."""
    place = leaf * BINS + column
    pulls = np.bincount(place, pull, leaves * BINS).reshape(leaves, BINS).cumsum(axis=1)
    curves = np.bincount(place, curve, leaves * BINS).reshape(leaves, BINS).cumsum(axis=1)
    below, above = curves + LEAF_RIDGE, curves[:, -1:] - curves + LEAF_RIDGE
    rest = pulls[:, -1:] - pulls
    whole = pulls[:, -1:] ** 2 / (curves[:, -1:] + LEAF_RIDGE)
    wrong = sign * (rest / above - pulls / below) < 0
    gain = np.where(wrong, whole, pulls**2 / below + rest**2 / above).sum(axis=0)[:-1]
    at = int(np.argmax(gain))
    return float(gain[at]), at


def _leaf_values(leaf: Any, pull: Floats, curve: Floats) -> Floats:
    count = 1 << DEPTH
    return np.bincount(leaf, pull, count) / (np.bincount(leaf, curve, count) + LEAF_RIDGE)


def _monotone(values: Floats, leaf: Any, curve: Floats, turns: list[int]) -> Floats:
    """The leaves, those together that turn the wrong way along a question (as isotonic regression does), until none
    does. `turns`: by question, as `signs`."""
    worth = np.bincount(leaf, curve, len(values)) + LEAF_RIDGE
    places, told = np.arange(len(values)), values.copy()
    for _ in range(PASSES):
        before = told.copy()
        for bit, sign in enumerate(turns):
            low = places[(places >> bit) & 1 == 0]
            high = low | 1 << bit
            wrong = sign * (told[high] - told[low]) < 0
            low, high = low[wrong], high[wrong]
            both = (worth[low] * told[low] + worth[high] * told[high]) / (worth[low] + worth[high])
            told[low] = told[high] = both
        if np.array_equal(before, told):
            return told
    return np.full_like(values, np.average(values, weights=worth))
