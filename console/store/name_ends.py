"""Ends of a job's name, each from one of its parts on: "db07:extract_orders", "extract_orders". What a person types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

FEWEST = 3
"""Letters of an end that is asked for: who types fewer has not read it."""
_SAME = "SELECT COUNT(*) FROM job WHERE substr(name, length(name) - ?) IN (?, ?)"


def ends_of(name: str) -> Iterator[str]:
    """The longest first; without the whole name."""
    return (name[at + 1 :] for at, letter in enumerate(name) if letter in "/:")


def shortest_end(rows: Callable[[str, Sequence[Any]], Sequence[Sequence[Any]]], name: str) -> str:
    """The shortest end of a job's name, as it is stored, that no other job has; the whole name where there is none."""
    for end in reversed([each for each in ends_of(name) if len(each) >= FEWEST]):
        if rows(_SAME, (len(end), f"/{end}", f":{end}"))[0][0] == 1:
            return end
    return name
