"""Names close to a mistyped one: "did you mean". At most three, best first."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

MAX_SUGGESTIONS = 3


def suggest_names(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """At most three names, best first: those that contain the typed text, else similarly spelled ones."""
    typed = _folded(name)
    holding = [name for name in names if typed and typed in _folded(name)]
    if holding:
        return tuple(sorted(holding, key=len)[:MAX_SUGGESTIONS])
    end = _last_part(typed)
    by_end = [name for name in names if end and end in _folded(name)]
    similar = by_end[:MAX_SUGGESTIONS] or get_close_matches(name, names, MAX_SUGGESTIONS, 0.7)
    return tuple(similar) or _similar_last_parts(typed, names)


def _similar_last_parts(typed: str, names: Sequence[str]) -> tuple[str, ...]:
    """Names with a similar last part: most people type a name without its system and host."""
    own = {name: _last_part(_folded(name)) for name in names}
    matches = get_close_matches(_last_part(typed), set(own.values()), MAX_SUGGESTIONS, 0.7)
    similar = (name for name in names if own[name] in matches)
    return tuple(sorted(similar, key=lambda name: matches.index(own[name]))[:MAX_SUGGESTIONS])


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")


def _last_part(name: str) -> str:
    return name.rpartition("/")[2].rpartition(":")[2]
