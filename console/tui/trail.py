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
        if self._places and self._places[self._at][0] == place[0]:
            self._places[self._at] = place

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
