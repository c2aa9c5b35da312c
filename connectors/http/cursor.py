"""How far the runs were read: from which change on, and where in a walk over pages we are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cursor:
    """`since`: the newest change that was read to its end. In a walk `begun` is what it asked for, `page` what it asks
    for next (None: nothing is under way), `newest` the newest change it saw, `told` a digest of the last page, `until`
    the source's clock at its first page: what changed later may stand in a page that was read already."""

    since: datetime = EPOCH
    begun: datetime = EPOCH
    page: str | int | None = None
    newest: datetime = EPOCH
    told: str = ""
    until: datetime = EPOCH

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
            return cls(times["since"], times["begun"], page, times["newest"], told, until) if fits else None
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None
