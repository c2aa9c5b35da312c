"""Probabilities as people read them."""

from __future__ import annotations


def late_words(late: float) -> str:
    """ "61 % late", "under 1 % late"."""
    share = round(late * 100)
    return "under 1 % late" if share < 1 else "over 99 % late" if share > 99 else f"{share} % late"
