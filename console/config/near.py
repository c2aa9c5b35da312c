"""What somebody probably meant by a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near(word: str, known: Iterable[str]) -> str:
    """The near miss of `word`, else all that is known; as a sentence."""
    names = list(known)
    close = get_close_matches(word, names, n=1)
    return f'Did you mean "{close[0]}"?' if close else f"Known: {', '.join(sorted(names))}."
