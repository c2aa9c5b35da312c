"""Names close to a mistyped one: "did you mean". At most three, best first."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

MAX_SUGGESTIONS = 3


def suggest_names(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """At most three, best first: those that hold what was typed, else those spelled alike."""
    typed = name.lower()
    holding = [one for one in names if typed and typed in one.lower()]
    if holding:
        return tuple(sorted(holding, key=len)[:MAX_SUGGESTIONS])
    by_end = [one for one in names if typed.rpartition("/")[2] and typed.rpartition("/")[2] in one.lower()]
    alike = by_end[:MAX_SUGGESTIONS] or get_close_matches(name, names, MAX_SUGGESTIONS, 0.7)
    return tuple(alike) or _similar_last_parts(typed, names)


def _similar_last_parts(typed: str, names: Sequence[str]) -> tuple[str, ...]:
    """Whose last part is spelled alike: a name is mostly typed without its system and host."""
    own = {name: _last_part(name.lower()) for name in names}
    alike = get_close_matches(_last_part(typed), set(own.values()), MAX_SUGGESTIONS, 0.7)
    similar = (name for name in names if own[name] in alike)
    return tuple(sorted(similar, key=lambda name: alike.index(own[name]))[:MAX_SUGGESTIONS])


def _last_part(name: str) -> str:
    return name.rpartition("/")[2].rpartition(":")[2]
