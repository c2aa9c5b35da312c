"""How far a replayed system has been told, as text between two polls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.replay.client import SentAction
from connectors.replay.world import Attempt


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to this position was told, as this many actions had made it."""

    at: datetime | None = None
    key: str = ""
    actions: int = 0

    @classmethod
    def read(cls, text: str) -> Cursor:
        """The cursor of a text of ours; from the beginning for anything else."""
        try:
            row = json.loads(text)
            return cls(datetime.fromisoformat(row["at"]), str(row["key"]), int(row["actions"]))
        except (ValueError, KeyError, TypeError):
            return cls()

    def text(self) -> str:
        at = self.at.isoformat() if self.at is not None else None
        return json.dumps({"at": at, "key": self.key, "actions": self.actions})

    def is_before(self, one: Attempt) -> bool:
        """True for what was not told up to here."""
        return self.at is None or one.position > (self.at, self.key)

    def before(self, actions: Sequence[SentAction]) -> Cursor:
        """Back to where actions that are new since then may have changed something."""
        new = [one.sent_at for one in actions[self.actions :]]
        if not new or self.at is None or min(new) > self.at:
            return self
        return Cursor(min(new), "", self.actions)
