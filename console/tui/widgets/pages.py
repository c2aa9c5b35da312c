"""Rows of the big table: an id for every row, and the views of those that were looked at lately."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from console.tui.widgets.table import Row

AROUND = 64
"""Rows asked for before and after those in view."""
KEPT = 4096


class HasId(Protocol):
    """A view of the store: the same by value, known by its id."""

    @property
    def id(self) -> int: ...


View = TypeVar("View", bound=HasId)


class IdRows(Generic[View]):
    """A source over a vector of ids. `ask` has views fetched elsewhere; `arrived` takes them in. Never waits."""

    def __init__(self, make: Callable[[View], Row], ask: Callable[[list[int]], None]) -> None:
        self.ids: array[int] = array("q")
        self._make, self._ask = make, ask
        self._views: OrderedDict[int, View] = OrderedDict()
        self._asked: frozenset[int] = frozenset()
        self._old: set[int] = set()
        """Views that are asked for anew and have not come yet: whatever is asked meanwhile asks for them too."""

    def __len__(self) -> int:
        return len(self.ids)

    def key_at(self, index: int) -> Hashable:
        return self.ids[index]

    def index_of(self, key: Hashable, near: int) -> int | None:
        if not isinstance(key, int):
            return None
        if 0 <= near < len(self.ids) and self.ids[near] == key:
            return near
        try:
            return self.ids.index(key)
        except ValueError:
            return None

    def row(self, index: int) -> Row | None:
        view = self._views.get(self.ids[index])
        return None if view is None else self._make(view)

    def view(self, row_id: Hashable) -> View | None:
        """The last seen view with that id; None when it was not fetched."""
        return self._views.get(row_id) if isinstance(row_id, int) else None

    def want(self, first: int, last: int) -> None:
        """Asks for what is missing in view and around it, once."""
        around = self.ids[max(0, first - AROUND) : last + 1 + AROUND]
        missing = frozenset(row_id for row_id in around if row_id not in self._views)
        if missing and missing != self._asked:
            self._asked = missing
            self._ask([*(row_id for row_id in around if row_id in missing), *sorted(self._old - missing)])

    def near_edge(self, first: int, last: int) -> None:
        """Prefetches before the cursor runs out of rows that are here."""
        for index in (first - AROUND // 2, last + AROUND // 2):
            if 0 <= index < len(self.ids) and self.ids[index] not in self._views:
                self.want(first, last)
                return

    def again(self, first: int, last: int) -> None:
        """The store has changed: what is in view is asked for anew, the rest is forgotten."""
        visible = list(self.ids[first : last + 1])
        self._old = set(visible)
        self._views = OrderedDict((row_id, self._views[row_id]) for row_id in visible if row_id in self._views)
        self._asked = frozenset()
        if visible:
            self._ask(visible)

    def arrived(self, views: Sequence[View]) -> set[int]:
        """Takes views in; the ids of those that differ from what was here."""
        changed = set()
        for view in views:
            if self._views.get(view.id) != view:
                changed.add(view.id)
            self._views[view.id] = view
            self._views.move_to_end(view.id)
            self._old.discard(view.id)
        while len(self._views) > KEPT:
            self._views.popitem(last=False)
        self._asked = frozenset()
        return changed
