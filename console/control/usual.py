"""What is usual for a job tonight, by its own past: rules find what is not, and forecasts tell it in their why.

As where a night is simulated, a run counts less the older it is (Brown 1959) and where its night is of another calendar
class, and what was before a level shift counts at the present level. Quantiles, never a mean: of a long past no one run
moves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from statistics import median

from console.control.level_shift import level_shift

HALF_LIFE = 30.0
"""Runs after which a run counts half: as a night does in what the forecast's level missed."""
OWN_NIGHTS = 6.0
"""With so many nights of its own class, one of another class counts half, as in the forecast."""
LEAST = 1.0
"""Of what is less there is no level that could shift."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Values at the present level, ascending, with their weights."""

    values: Sequence[float]
    weights: Sequence[float]
    what: str
    """What they are: "Thursdays", else "runs"."""
    of_its_kind: float | None = None
    """The median on nights of tonight's class, where these are too few to be compared with alone."""

    def most(self, share: float) -> float:
        """That share of it is no more than this, and half of what there was on nights like tonight."""
        return max(self._quantile(share), self.of_its_kind if self.of_its_kind is not None else 0.0)

    def least(self, share: float) -> float:
        """That share of it is less than this; no more than half of what there was on nights like tonight."""
        found = self._quantile(share)
        return found if self.of_its_kind is None else min(found, self.of_its_kind)

    def _quantile(self, share: float) -> float:
        sums = list(accumulate(self.weights))
        return next(value for value, upto in zip(self.values, sums, strict=True) if upto >= share * sums[-1] - 1e-9)


def usual(times: Sequence[float], kinds: Sequence[str], tonight: str, enough: int) -> Usual | None:
    """Of runs, oldest first, and what kind of night each was of; None for fewer than `enough` of them. Where so many
    are of tonight's kind, of these alone."""
    if len(times) < enough:
        return None
    levelled = _levelled(times)
    own = [kind == tonight for kind in kinds]
    is_own = enough <= sum(own) < len(own)
    other = 0.0 if is_own else OWN_NIGHTS / (OWN_NIGHTS + sum(own))
    ages = range(len(times) - 1, -1, -1)
    weighed = sorted(
        (value, (1.0 if same else other) * 0.5 ** (age / HALF_LIFE))
        for value, same, age in zip(levelled, own, ages, strict=True)
        if same or other
    )
    values, weights = zip(*weighed, strict=True)
    of_its_kind = None if is_own or not any(own) else median(v for v, same in zip(levelled, own, strict=True) if same)
    return Usual(values, weights, f"{tonight}s" if is_own else "runs", of_its_kind)


def _levelled(times: Sequence[float]) -> list[float]:
    """As they would be at the level of the last runs."""
    moved = level_shift(times)
    if moved is None or min(moved.before, moved.since) < LEAST:
        return list(times)
    before = len(times) - moved.nights
    return [each * (moved.since / moved.before if place < before else 1.0) for place, each in enumerate(times)]


def kind_of(on: date) -> str:
    """What kind of night it is: its weekday, or the last of a month."""
    return "month end" if (on + timedelta(days=1)).day == 1 else on.strftime("%A")
