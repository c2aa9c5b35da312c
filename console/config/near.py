"""What somebody probably meant by a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near(word: str, known: Iterable[str], table: str = "") -> str:
    """The near miss of `word`, else all that is known; as a sentence. `table`: where such a name is declared, for where
    there is none yet."""
    names = list(known)
    if not names:
        return f"None is configured: add [{table}.{word}]." if table else "None is configured."
    close = get_close_matches(word, names, n=1)
    return f'Did you mean "{close[0]}"?' if close else f"Known: {', '.join(sorted(names))}."
