"""Slots that jobs share: no more of a pool's jobs run at once than it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Pool(NamedTuple):
    """A pool by name, and how many of its jobs may run at once."""

    name: str
    slots: int


@dataclass(frozen=True, slots=True)
class DeclaredPool:
    """One `[pools.NAME]`."""

    name: str
    jobs: tuple[str, ...]
    """Patterns of names, `*` for any text."""
    slots: int
