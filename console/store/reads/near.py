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
    alike = by_end[:SHOWN] or get_close_matches(name, names, SHOWN, 0.7)
    return tuple(alike) or _alike_by_own_name(typed, names)


def _alike_by_own_name(typed: str, names: Sequence[str]) -> tuple[str, ...]:
    """Whose last part is spelled alike: a name is mostly typed without its system and host."""
    own = {one: _own(one.lower()) for one in names}
    alike = get_close_matches(_own(typed), set(own.values()), SHOWN, 0.7)
    return tuple(sorted((one for one in names if own[one] in alike), key=lambda one: alike.index(own[one]))[:SHOWN])


def _own(name: str) -> str:
    return name.rpartition("/")[2].rpartition(":")[2]
