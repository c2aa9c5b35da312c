"""How far each state machine's executions have been read. AWS lists newest first and knows no "since": a reading
begins at the newest and ends at the floor of the reading before; a long one goes on with AWS's page token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

OVERLAP_SECONDS = 60.0
"""The list is "eventually consistent": executions may appear late."""


MOST_CODES = 3000


def code(attempt_key: str, status: str = "") -> str:
    """A short stand-in for an attempt and its end."""
    return hashlib.blake2s(f"{attempt_key} {status}".encode("utf-8", "surrogateescape"), digest_size=5).hexdigest()


@dataclass(frozen=True, slots=True)
class Mark:
    """One state machine. Times are seconds since 1970 of execution starts."""

    floor: float = 0.0
    """Everything older was read; 0 before the history was."""
    token: str | None = None
    """Page to go on with; None when the next reading begins at the newest."""
    top: float = 0.0
    """Newest start of the reading that goes on."""
    oldest: float | None = None
    """Oldest start of it so far: the next page must not be newer."""
    pages: int = 0
    first: str = ""
    """Code of the first execution of the page before: a page that begins the same is the same."""
    told: tuple[str, ...] = ()
    """Codes of ends that were told and lie above the floor: they need not be told again."""
    near: tuple[str, ...] = ()
    """The same for the reading that goes on."""

    def finished(self) -> Mark:
        """The reading is done: the next begins at the newest and ends here."""
        return Mark(floor=max(self.floor, self.top - OVERLAP_SECONDS), told=self.near[-MOST_CODES:])


@dataclass(frozen=True, slots=True)
class Cursor:
    """Marks by name of state machine. `turn` counts polls, so that what is not asked each time takes turns; `start` is
    the state machine to begin with, so that none waits for ever behind the others."""

    marks: Mapping[str, Mark] = field(default_factory=dict)
    turn: int = 0
    start: int = 0

    def text(self) -> str:
        """As JSON."""
        marks = {
            name: {key: value for key, value in asdict(mark).items() if value} for name, mark in self.marks.items()
        }
        return json.dumps({"turn": self.turn, "start": self.start, "marks": marks}, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """The cursor in `text`; the beginning for "", None for what is none of ours."""
        if not text:
            return cls()
        try:
            found = json.loads(text)
            return cls(
                {str(name): _mark(mark) for name, mark in found["marks"].items()},
                int(found["turn"]),
                int(found["start"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None


def _mark(found: Mapping[str, Any]) -> Mark:
    oldest, token = found.get("oldest"), found.get("token")
    return Mark(
        floor=float(found.get("floor", 0)),
        token=None if token is None else str(token),
        top=float(found.get("top", 0)),
        oldest=None if oldest is None else float(oldest),
        pages=int(found.get("pages", 0)),
        first=str(found.get("first", "")),
        told=tuple(str(one) for one in found.get("told", ())),
        near=tuple(str(one) for one in found.get("near", ())),
    )
