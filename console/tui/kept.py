"""What is found in a long list is found once: a list of thousands is looked at for each picture, and seldom changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar

One = TypeVar("One")
Found = TypeVar("Found")
KEPT, MOST = 8, 64
"""Of so many of the longest lists what was found is kept; of parts of them, such as groups, of more: of as many as are
together no longer, and of no more than `MOST`."""


def kept(find: Callable[[Sequence[One]], Found]) -> Callable[[Sequence[One]], Found]:
    """`find`, asked once of each tuple: its last few answers are kept by which tuple it was, not by what stands in it.
    It may be asked in the reader's thread first, so that no screen waits for it."""
    known: deque[tuple[Sequence[One], Found]] = deque(maxlen=MOST)

    @wraps(find)
    def found(many: Sequence[One]) -> Found:
        for one, answer in tuple(known):
            if one is many:
                return answer
        answer = find(many)
        if isinstance(many, tuple):
            known.append((many, answer))
            while len(known) > KEPT and _total(known) > KEPT * max(len(one) for one, _ in tuple(known)):
                known.popleft()
        return answer

    return found


def _total(known: deque[tuple[Sequence[One], Found]]) -> int:
    return sum(len(one) for one, _ in tuple(known))
