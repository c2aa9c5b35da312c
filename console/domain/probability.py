"""Shares and probabilities as text."""

from __future__ import annotations


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
