"""Rows of the big table: an id for every row, and the views of those that were looked at lately."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

from console.model.views import JobRow
from console.tui.widgets.table import Row

AROUND = 64
"""Rows asked for before and after those in view."""
KEPT = 4096


class IdRows:
    """A source over a vector of ids. `ask` has views fetched elsewhere; `arrived` takes them in. Never waits."""

    def __init__(self, make: Callable[[JobRow], Row], ask: Callable[[list[int]], None]) -> None:
        self.ids: array[int] = array("q")
        self._make, self._ask = make, ask
        self._views: OrderedDict[int, JobRow] = OrderedDict()
        self._asked: frozenset[int] = frozenset()

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

    def view(self, job_id: Hashable) -> JobRow | None:
        """The last seen view of a job; None when it was not fetched."""
        return self._views.get(job_id) if isinstance(job_id, int) else None

    def want(self, first: int, last: int) -> None:
        """Asks for what is missing in view and around it, once."""
        around = self.ids[max(0, first - AROUND) : last + 1 + AROUND]
        missing = frozenset(job_id for job_id in around if job_id not in self._views)
        if missing and missing != self._asked:
            self._asked = missing
            self._ask([job_id for job_id in around if job_id in missing])

    def near_edge(self, first: int, last: int) -> None:
        """Prefetches before the cursor runs out of rows that are here."""
        for index in (first - AROUND // 2, last + AROUND // 2):
            if 0 <= index < len(self.ids) and self.ids[index] not in self._views:
                self.want(first, last)
                return

    def again(self, first: int, last: int) -> None:
        """The store has changed: what is in view is asked for anew, the rest is forgotten."""
        visible = list(self.ids[first : last + 1])
        self._views = OrderedDict((job_id, self._views[job_id]) for job_id in visible if job_id in self._views)
        self._asked = frozenset()
        if visible:
            self._ask(visible)

    def arrived(self, views: Sequence[JobRow]) -> set[int]:
        """Takes views in; the ids of those that differ from what was here."""
        changed = set()
        for view in views:
            if self._views.get(view.id) != view:
                changed.add(view.id)
            self._views[view.id] = view
            self._views.move_to_end(view.id)
        while len(self._views) > KEPT:
            self._views.popitem(last=False)
        self._asked = frozenset()
        return changed
