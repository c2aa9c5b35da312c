"""Names as a person types them: what a shell offers at the Tab key."""

from __future__ import annotations

from typing import Literal

from console.model.ids import incident_name
from console.store.keys import pack
from console.store.reads.base import Base

Named = Literal["job", "service", "system"]
OFFERED = 200
"""Names at most: a shell asks before it prints as many."""

_NAMES = {
    "job": "SELECT name FROM job WHERE substr(name, 1, ?) = ? ORDER BY name LIMIT ?",
    "service": "SELECT name FROM service WHERE substr(name, 1, ?) = ? AND NOT removed ORDER BY name LIMIT ?",
    "system": "SELECT name FROM system WHERE substr(name, 1, ?) = ? AND NOT removed ORDER BY name LIMIT ?",
}


class NameReads(Base):
    """Asked by nothing else than `console.cli.completing`."""

    def names(self, of: Named, begins: str) -> list[str]:
        """The names that begin so, in order, OFFERED at most."""
        typed = pack(begins)
        return [row[0] for row in self.link.rows(_NAMES[of], (len(typed), typed, OFFERED))]

    def incident_names(self) -> list[str]:
        """The incidents that are open, the newest first; the latest ten where none is."""
        rows = self.link.rows("SELECT id FROM incident WHERE closed_us IS NULL ORDER BY id DESC LIMIT ?", (OFFERED,))
        rows = rows or self.link.rows("SELECT id FROM incident ORDER BY id DESC LIMIT 10")
        return [incident_name(row[0]) for row in rows]
