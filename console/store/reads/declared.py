"""What config declared when it was last written into the store."""

from __future__ import annotations

from console.model.declared import NOTHING, Declared
from console.store.reads.base import Base


class DeclaredReads(Base):
    def declared(self) -> Declared:
        """Calendars and all else that config declares; nothing where no config was written yet."""
        from console.store.declared import parsed  # noqa: PLC0415  pydantic, which no first paint waits for

        rows = self.link.rows("SELECT value FROM meta WHERE name = 'declared'")
        return parsed(rows[0][0]) if rows else NOTHING
