"""What is found in a long list is found once: a list of thousands is looked at for each picture, and seldom changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar

One = TypeVar("One")
Found = TypeVar("Found")
KEPT = 8


def kept(find: Callable[[Sequence[One]], Found]) -> Callable[[Sequence[One]], Found]:
    """`find`, asked once of each tuple: its last few answers are kept by which tuple it was, not by what stands in it.
    It may be asked in the reader's thread first, so that no screen waits for it."""
    known: deque[tuple[Sequence[One], Found]] = deque(maxlen=KEPT)

    @wraps(find)
    def found(many: Sequence[One]) -> Found:
        for one, answer in tuple(known):
            if one is many:
                return answer
        answer = find(many)
        if isinstance(many, tuple):
            known.append((many, answer))
        return answer

    return found
