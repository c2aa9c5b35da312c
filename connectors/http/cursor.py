"""How far the runs were read: from which change on, and where in a walk over pages we are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_EMPTY = 20
"""Pages in a row without a row that a walk asks for: some APIs filter behind their pages."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """`since`: the newest change that was read to its end. In a walk `begun` is what it asked for, `page` what it asks
    for next (None: nothing is under way), `newest` the newest change it saw, `until` the source's clock at its first
    page: what changed later may stand in a page that was read already. By `told`, a digest of one of the `pages` that
    it read, and by `empty`, how many came without a row of late, it knows a walk without end."""

    since: datetime = EPOCH
    begun: datetime = EPOCH
    page: str | int | None = None
    newest: datetime = EPOCH
    told: str = ""
    until: datetime = EPOCH
    pages: int = 0
    empty: int = 0

    def repeats(self, ids: str) -> bool:
        """Whether a page whose rows have this digest ("" without rows) shows that the pages do not end."""
        return self.empty >= MOST_EMPTY if not ids else ids == self.told

    def after(self, ids: str) -> Cursor:
        """With one more page read. The page that is remembered is replaced at every power of two (Brent): so a circle
        of any length is found."""
        pages = self.pages + 1
        told = ids if ids and (not self.told or pages & (pages - 1) == 0) else self.told
        return replace(self, pages=pages, told=told, empty=0 if ids else self.empty + 1)

    def text(self) -> str:
        return json.dumps(asdict(self), default=datetime.isoformat, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """The cursor in `text`; the beginning for "", None for what is none of ours."""
        if not text:
            return cls()
        try:
            found = json.loads(text)
            times = {name: datetime.fromisoformat(found[name]).astimezone(UTC) for name in ("since", "begun", "newest")}
            page, told = found["page"], found["told"]
            fits = (page is None or isinstance(page, str | int)) and isinstance(told, str)
            until = datetime.fromisoformat(found.get("until", EPOCH.isoformat())).astimezone(UTC)
            pages, empty = int(found.get("pages", 0)), int(found.get("empty", 0))
            return (
                cls(times["since"], times["begun"], page, times["newest"], told, until, pages, empty) if fits else None
            )
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None
