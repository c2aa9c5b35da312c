"""Where a person has been in this console, for "last view" and history back and forward. Pure."""

from __future__ import annotations

from typing import Any

Place = tuple[str, Any]
"""What `HeadwayApp.visit` takes: a kind, and a name, id or what a table shows."""
KEPT = 100


class Trail:
    """The places in the order in which they were seen, and which of them is now."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._at = -1
        self._last: Place | None = None
        self._rows: dict[Place, tuple[Any, int]] = {}
        self._latest: dict[str, Place] = {}
        """Of each screen, whatever a table showed there, the place that was left last."""

    @property
    def current(self) -> Place | None:
        return self._places[self._at] if self._places else None

    def seen(self, place: Place) -> None:
        """A place was opened: what was ahead is forgotten, as everywhere."""
        if place == self.current:
            return
        self._last = self.current
        self._places = [*self._places[: self._at + 1], place][-KEPT:]
        self._at = len(self._places) - 1

    def changed(self, place: Place) -> None:
        """The present place looks different, by its filter or sort."""
        if self._places and _is_same(self._places[self._at], place):
            self._places[self._at] = place

    def left(self, place: Place, row: Any, top: int) -> None:
        """A place is left: the row under the cursor there, and the first line in view."""
        self._rows.pop(place, None)
        self._rows[place] = (row, top)
        self._latest[_name(place)] = place
        while len(self._rows) > KEPT:
            del self._rows[next(iter(self._rows))]

    def stood(self, place: Place) -> tuple[Any, int]:
        """Where one stood there when it was left: row and first line; None and 0 where nobody was."""
        return self._rows.get(place, (None, 0))

    def stood_in(self, name: str, place: Place | None) -> tuple[Any, int | None]:
        """Where one stood on the screen of this name when it was left, now that it shows `place`: the first line only
        where it showed the same."""
        left = self._latest.get(name)
        row, top = self.stood(left) if left is not None else (None, None)
        return row, top if left == place else None

    def step(self, by: int) -> Place | None:
        """The place so many steps back (below 0) or forward, which is now the present one; None where there is none."""
        if not 0 <= self._at + by < len(self._places):
            return None
        self._last = self.current
        self._at += by
        return self.current

    def last(self) -> Place | None:
        """The place before this one in time; asked again, back here. None at first."""
        found = self._last
        if found is not None:
            self.seen(found)
        return found


def _name(place: Place) -> str:
    """ "jobs" of the screen or table of that name; else what kind of place it is."""
    kind, what = place
    return str(what[0]) if kind == "table" else str(what) if kind == "screen" else kind


def _is_same(one: Place, other: Place) -> bool:
    """Whether both are one screen; a table by its name, whatever it shows."""
    tables = [what[0] for kind, what in (one, other) if kind == "table"]
    return one[0] == other[0] and (len(tables) < 2 or tables[0] == tables[1])
