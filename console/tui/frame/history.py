"""The views that were opened in this console, for "last view" and history back and forward. Pure."""

from __future__ import annotations

from typing import Any

ViewPlace = tuple[str, Any]
"""Arguments of `HeadwayApp.visit`: a kind, and a name, id or the settings of a table."""
MAX_VIEWS = 100


class ViewHistory:
    """The visited places in order, and the present one."""

    def __init__(self) -> None:
        self._places: list[ViewPlace] = []
        self._at = -1
        self._last: ViewPlace | None = None
        self._rows: dict[ViewPlace, tuple[Any, int]] = {}
        self._latest: dict[str, ViewPlace] = {}
        """The last place of each screen, whatever filter its table had."""

    @property
    def current(self) -> ViewPlace | None:
        return self._places[self._at] if self._places else None

    def seen(self, place: ViewPlace) -> None:
        if place == self.current:
            return
        self._last = self.current
        self._places = [*self._places[: self._at + 1], place][-MAX_VIEWS:]
        self._at = len(self._places) - 1

    def changed(self, place: ViewPlace) -> None:
        """The filter or sort of the present place has changed."""
        if self._places and _is_same(self._places[self._at], place):
            self._places[self._at] = place

    def left(self, place: ViewPlace, row: Any, top: int) -> None:
        self._rows.pop(place, None)
        self._rows[place] = (row, top)
        self._latest[_name(place)] = place
        while len(self._rows) > MAX_VIEWS:
            del self._rows[next(iter(self._rows))]

    def position(self, place: ViewPlace) -> tuple[Any, int]:
        """The stored row and first line of a place; None and 0 without any."""
        return self._rows.get(place, (None, 0))

    def position_on_screen(self, name: str, place: ViewPlace | None) -> tuple[Any, int | None]:
        """The stored row of a screen, by name; the first line only if it showed the same place."""
        latest = self._latest.get(name)
        row, top = self.position(latest) if latest is not None else (None, None)
        return row, top if latest == place else None

    def step(self, by: int) -> ViewPlace | None:
        if not 0 <= self._at + by < len(self._places):
            return None
        self._last = self.current
        self._at += by
        return self.current

    def last(self) -> ViewPlace | None:
        previous = self._last
        if previous is not None:
            self.seen(previous)
        return previous


def _name(place: ViewPlace) -> str:
    """The screen's or table's name; else the kind of place."""
    kind, what = place
    return str(what[0]) if kind == "table" else str(what) if kind == "screen" else kind


def _is_same(place: ViewPlace, second: ViewPlace) -> bool:
    tables = [what[0] for kind, what in (place, second) if kind == "table"]
    return place[0] == second[0] and (len(tables) < 2 or tables[0] == tables[1])
