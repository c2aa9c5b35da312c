"""The views a person has opened in this console, for "last view" and history back and forward. Pure."""

from __future__ import annotations

from typing import Any

ViewPlace = tuple[str, Any]
"""What `HeadwayApp.visit` takes: a kind, and a name, id or what a table shows."""
MAX_VIEWS = 100


class ViewHistory:
    """The places in the order in which they were seen, and which of them is now."""

    def __init__(self) -> None:
        self._places: list[ViewPlace] = []
        self._at = -1
        self._last: ViewPlace | None = None
        self._rows: dict[ViewPlace, tuple[Any, int]] = {}
        self._latest: dict[str, ViewPlace] = {}
        """Of each screen, whatever a table showed there, the place that was left last."""

    @property
    def current(self) -> ViewPlace | None:
        return self._places[self._at] if self._places else None

    def seen(self, place: ViewPlace) -> None:
        """A place was opened: what was ahead is forgotten, as everywhere."""
        if place == self.current:
            return
        self._last = self.current
        self._places = [*self._places[: self._at + 1], place][-MAX_VIEWS:]
        self._at = len(self._places) - 1

    def changed(self, place: ViewPlace) -> None:
        """The present place looks different, by its filter or sort."""
        if self._places and _is_same(self._places[self._at], place):
            self._places[self._at] = place

    def left(self, place: ViewPlace, row: Any, top: int) -> None:
        """A place is left: the row under the cursor there, and the first line in view."""
        self._rows.pop(place, None)
        self._rows[place] = (row, top)
        self._latest[_name(place)] = place
        while len(self._rows) > MAX_VIEWS:
            del self._rows[next(iter(self._rows))]

    def stood(self, place: ViewPlace) -> tuple[Any, int]:
        """Where one stood there when it was left: row and first line; None and 0 where nobody was."""
        return self._rows.get(place, (None, 0))

    def stood_in(self, name: str, place: ViewPlace | None) -> tuple[Any, int | None]:
        """Where one stood on the screen of this name when it was left, now that it shows `place`: the first line only
        where it showed the same."""
        left = self._latest.get(name)
        row, top = self.stood(left) if left is not None else (None, None)
        return row, top if left == place else None

    def step(self, by: int) -> ViewPlace | None:
        """The place so many steps back (below 0) or forward, which is now the present one; None where there is none."""
        if not 0 <= self._at + by < len(self._places):
            return None
        self._last = self.current
        self._at += by
        return self.current

    def last(self) -> ViewPlace | None:
        """The place before this one in time; asked again, back here. None at first."""
        found = self._last
        if found is not None:
            self.seen(found)
        return found


def _name(place: ViewPlace) -> str:
    """ "jobs" of the screen or table of that name; else what kind of place it is."""
    kind, what = place
    return str(what[0]) if kind == "table" else str(what) if kind == "screen" else kind


def _is_same(place: ViewPlace, other: ViewPlace) -> bool:
    """Whether both are one screen; a table by its name, whatever it shows."""
    tables = [what[0] for kind, what in (place, other) if kind == "table"]
    return place[0] == other[0] and (len(tables) < 2 or tables[0] == tables[1])
