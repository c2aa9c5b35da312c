"""cron's lines in the journal, for hosts without a log that can be read -> events. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from connectors.cron.logline import Event, event_of
from connectors.transport import journal
from connectors.transport.answer import Section
from connectors.transport.journal import MAY_READ, SAMPLE, Entry


@dataclass(frozen=True, slots=True)
class Heard:
    """What one bite of the journal told of cron."""

    events: tuple[Event, ...]
    cursor: str
    """Of its last entry; "" where there was none."""
    is_whole: bool
    """False: there is more after it."""
    failed: bool
    """True where journalctl did not do what was asked."""
    denied: bool
    """True where it hides entries from the login."""
    warnings: tuple[str, ...]

    def cursor_after(self, cursor: str) -> str:
        """The cursor to ask with next time, after `cursor`: none where journalctl no longer knows it."""
        return self.cursor or ("" if self.failed else cursor)


def heard(parts: Iterable[Section]) -> Heard | None:
    """The journal of an answer; None where it was not read."""
    by_kind = {part.kind: part for part in parts}
    if "JOURNAL" not in by_kind:
        return None
    is_whole = "JEND" in by_kind
    bite = journal.read(by_kind["JOURNAL"].body, is_whole, _event)
    denied = next((one for one in bite.said if journal.is_denied(one)), "")
    failed = is_whole and by_kind["JEND"].rest not in ("0", "") and not bite.cursor
    warnings = [f"journalctl: {one[:SAMPLE]}" for one in bite.said] if not denied else []
    warnings += [f"the journal: denied: {denied[:SAMPLE]} {MAY_READ}"] if denied else []
    warnings += [f"{one.where}: {one.reason}: {one.sample}" for one in bite.skipped]
    return Heard(bite.entries, bite.cursor, is_whole, failed or bool(denied), bool(denied), tuple(warnings))


def _event(at: datetime, entry: Entry) -> Event | None:
    program = journal.text(entry.get("SYSLOG_IDENTIFIER"))
    number = journal.text(entry.get("SYSLOG_PID")) or journal.text(entry.get("_PID"))
    pid = int(number) if number.isascii() and number.isdigit() and len(number) < 11 else 0
    words = journal.text(entry.get("MESSAGE"))
    return event_of(at, f"{at.isoformat()} {program}[{pid}]: {words}", program, pid, words)
