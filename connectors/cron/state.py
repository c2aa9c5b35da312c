"""The cursor: places in the logs, attempts without an end, and what the crontabs were. JSON text, ours alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.cron.attempts import Book
from connectors.cron.follow import Place, known_places

VERSION = 1


@dataclass(slots=True)
class Memory:
    """What one poll hands to the next."""

    log: Place | None = None
    records: dict[str, Place] = field(default_factory=dict)
    """The wrapper's files by path."""
    book: Book = field(default_factory=Book)
    journal: str = ""
    """Cursor of the journal, once it told something of cron."""
    level: int = 1
    """cron's log level as last seen."""
    names: dict[str, str] = field(default_factory=dict)
    """Mark of (user, command) -> native id, of the crontabs as last read."""
    old_names: dict[str, str] = field(default_factory=dict)
    """The same of lines that the last change removed: their last starts may still be unread."""
    heard: float = 0.0
    """Stamp of the latest log line read, epoch seconds."""
    warned: list[str] = field(default_factory=list)
    silent: float = 0.0
    """When cron started something that its log should have told and has not; 0 while the log is believed."""
    inventory: str = ""
    """Hash of the inventory that came with an earlier poll."""

    def follow_only(self, logs: Sequence[str], spool: str) -> None:
        """Forgets places in files that the settings of now do not name: another file's place proves nothing."""
        if self.log is not None and self.log.path not in logs:
            self.log, self.heard, self.silent = None, 0.0, 0.0
        self.records = {path: place for path, place in self.records.items() if path.startswith(f"{spool}/")}

    def as_json(self) -> str:
        """The cursor's text."""
        value: dict[str, Any] = {
            "v": VERSION,
            "log": self.log.as_json() if self.log else None,
            "rec": [place.as_json() for place in self.records.values()],
            "att": [attempt.as_json() for attempt in self.book.attempts],
            "lvl": self.level,
            "nam": self.names,
            "old": self.old_names,
            "hrd": self.heard,
            "wrn": self.warned,
            "sil": self.silent,
            "inv": self.inventory,
            **({"jrn": self.journal} if self.journal else {}),
        }
        return json.dumps(value, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Memory:
        """The memory again. What cannot be read begins anew: history is then read twice, which changes nothing."""
        try:
            value = json.loads(text) if text else {}
            if not isinstance(value, dict) or value.get("v") != VERSION:
                return Memory()
            places = known_places({"log": value["log"], **{str(n): entry for n, entry in enumerate(value["rec"])}})
            log = places.pop("log", None)
            return Memory(
                log=log,
                records={place.path: place for place in places.values()},
                book=Book.from_json(value["att"]),
                level=int(value["lvl"]),
                names=_texts(value["nam"]),
                old_names=_texts(value["old"]),
                heard=float(value["hrd"]),
                warned=[str(words) for words in value["wrn"]],
                silent=float(value.get("sil", 0.0)),
                inventory=str(value["inv"]),
                journal=str(value.get("jrn", "")),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return Memory()


def _texts(value: Mapping[str, Any]) -> dict[str, str]:
    return {str(mark): str(name) for mark, name in value.items()}
