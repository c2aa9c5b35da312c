"""How well a name fits what was typed: whole, at the start of a word, inside, or only its letters in order. Pure."""

from __future__ import annotations

import re

_WORD_START = r"(?:^|[\W_])"


def misfit(name: str, typed: str) -> int | None:
    """0 for the name itself, more the worse it fits; None where not even the letters stand there in order."""
    name, typed = name.lower(), typed.lower()
    if name == typed:
        return 0
    if name.startswith(typed):
        return 1
    if re.search(_WORD_START + re.escape(typed), name):
        return 2
    if typed in name:
        return 3
    place, gaps = -1, 0
    for letter in typed:
        found = name.find(letter, place + 1)
        if found < 0:
            return None
        gaps += found - place - 1 if place >= 0 else 0
        place = found
    return 4 + gaps


def misfit_of_all(name: str, words: list[str]) -> int | None:
    """The sum over several words, each of which must fit; 0 for none."""
    found = [misfit(name, word) for word in words]
    return None if None in found else sum(one or 0 for one in found)
