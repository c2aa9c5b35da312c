"""Names that a person may have meant."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

SHOWN = 3


def near(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """At most three, best first: those that hold what was typed, else those spelled alike."""
    typed = name.lower()
    holding = [one for one in names if typed and typed in one.lower()]
    if holding:
        return tuple(sorted(holding, key=len)[:SHOWN])
    by_end = [one for one in names if typed.rpartition("/")[2] and typed.rpartition("/")[2] in one.lower()]
    return tuple(by_end[:SHOWN]) or tuple(get_close_matches(name, names, SHOWN, 0.7))
