"""Shares and probabilities: their text, and the uncertainty of a share of few tries."""

from __future__ import annotations

from math import sqrt

_Z = 1.96
"""Standard deviations on both sides of 95 % of a normal distribution."""


def wilson_interval(successes: int, tries: int) -> tuple[float, float]:
    """The bounds of a success rate with 95 % confidence (Wilson score); 0 and 1 without a try."""
    if not tries:
        return 0.0, 1.0
    share, spread = successes / tries, _Z**2 / tries
    middle = (share + spread / 2) / (1 + spread)
    half = sqrt(spread * share * (1 - share) + (spread / 2) ** 2) / (1 + spread)
    return max(min(middle - half, share), 0.0), min(max(middle + half, share), 1.0)  # rounded: 6 of 6 would be below 1


def format_percent(share: float, digits: int | None = None) -> str:
    """ "61 %"; with 1 digit "61.3 %"."""
    return f"{round(share * 100, digits)} %"


def format_probability(p_late: float) -> str:
    """ "61 %"; never certain: "under 1 %", "over 99 %"."""
    share = round(p_late * 100)
    return "under 1 %" if share < 1 else "over 99 %" if share > 99 else format_percent(p_late)


def format_risk(p_late: float, is_short: bool = False) -> str:
    """ "61 % risk of being late", short "61 % risk": the probability that a deadline is missed."""
    return f"{format_probability(p_late)} {'risk' if is_short else 'risk of being late'}"
