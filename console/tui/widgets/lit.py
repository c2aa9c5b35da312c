"""Rows that say something else than a moment ago: they are lit, so that a glance sees what moved.

Facts count, not countdowns nor marks of one's own: the columns named here, without their figures.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

from console.tui.widgets.table import Column, Row

NEWS = frozenset({"", "state", "stands", "cause", "hurts"})
LIT_SECONDS = 1.5
KEPT = 2_000
"""Rows whose facts are remembered; when there are more it begins anew."""
_FIGURES = re.compile(r"\d+")


class Lit:
    """What each row said when it was last looked at, and which rows are lit."""

    def __init__(self) -> None:
        self.keys: set[Hashable] = set()
        self._said: dict[Hashable, tuple[str, ...]] = {}

    def look(
        self, rows: Sequence[Row], columns: Sequence[Column], fresh: frozenset[Hashable] = frozenset()
    ) -> set[Hashable]:
        """The keys of rows that say something else now, and of those that are `fresh`; they are lit. Another that was
        never seen is no news: somebody scrolled there."""
        watched = [index for index, column in enumerate(columns) if column.title in NEWS]
        changed = set(fresh)
        for row in rows:
            if row.free or len(row.cells) < len(columns):
                continue
            said = tuple(_FIGURES.sub("", row.cells[index][0]) for index in watched)
            if self._said.setdefault(row.key, said) != said:
                changed.add(row.key)
            self._said[row.key] = said
        if len(self._said) > KEPT:
            self._said = {key: said for key, said in self._said.items() if any(key == row.key for row in rows)}
        self.keys |= changed
        return changed
