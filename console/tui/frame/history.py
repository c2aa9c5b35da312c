"""The views that were opened in this console, for "last view" and history back and forward. Pure."""

from __future__ import annotations

from typing import Any

ViewAddress = tuple[str, Any]
"""Arguments of `Navigator.visit`: a kind, and a name, id or the settings of a table."""
MAX_VIEWS = 100


class ViewHistory:
    """The visited addresses in order, and the present one."""

    def __init__(self) -> None:
        self._addresses: list[ViewAddress] = []
        self._at = -1
        self._last: ViewAddress | None = None
        self._rows: dict[ViewAddress, tuple[Any, int]] = {}
        self._latest: dict[str, ViewAddress] = {}
        """The last address of each screen, whatever filter its table had."""

    @property
    def current(self) -> ViewAddress | None:
        return self._addresses[self._at] if self._addresses else None

    def seen(self, address: ViewAddress) -> None:
        if address == self.current:
            return
        self._last = self.current
        self._addresses = [*self._addresses[: self._at + 1], address][-MAX_VIEWS:]
        self._at = len(self._addresses) - 1

    def changed(self, address: ViewAddress) -> None:
        """The filter or sort of the present address has changed."""
        if self._addresses and _is_same(self._addresses[self._at], address):
            self._addresses[self._at] = address

    def left(self, address: ViewAddress, row: Any, top: int) -> None:
        self._rows.pop(address, None)
        self._rows[address] = (row, top)
        self._latest[_name(address)] = address
        while len(self._rows) > MAX_VIEWS:
            del self._rows[next(iter(self._rows))]

    def position(self, address: ViewAddress) -> tuple[Any, int]:
        """The stored row and first line of a address; None and 0 without any."""
        return self._rows.get(address, (None, 0))

    def position_on_screen(self, name: str, address: ViewAddress | None) -> tuple[Any, int | None]:
        """The stored row of a screen, by name; the first line only if it showed the same address."""
        latest = self._latest.get(name)
        row, top = self.position(latest) if latest is not None else (None, None)
        return row, top if latest == address else None

    def step(self, by: int) -> ViewAddress | None:
        if not 0 <= self._at + by < len(self._addresses):
            return None
        self._last = self.current
        self._at += by
        return self.current

    def last(self) -> ViewAddress | None:
        previous = self._last
        if previous is not None:
            self.seen(previous)
        return previous


def _name(address: ViewAddress) -> str:
    """The screen's or table's name; else the kind of address."""
    kind, what = address
    return str(what[0]) if kind == "table" else str(what) if kind == "screen" else kind


def _is_same(address: ViewAddress, second: ViewAddress) -> bool:
    tables = [what[0] for kind, what in (address, second) if kind == "table"]
    return address[0] == second[0] and (len(tables) < 2 or tables[0] == tables[1])
