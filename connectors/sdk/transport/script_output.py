"""Output of fixed scripts on a host, parsed: its sections, the host's clock, journal entries. Pure.

Any bytes give a value or an error.

Output is cut into sections by byte 036 and the nonce of its call, so neither a chatty `~/.bashrc` before it nor a log
line inside it can pass for a section. Journal entries are those of `journalctl --output=json`; sources: journalctl(1),
systemd.journal-fields(7) of systemd 252 (Debian 12).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Generic, TypeVar

from connectors.sdk.errors import InvalidAnswer, RecordUnreadable
from connectors.sdk.fields import masked_head
from connectors.sdk.records import SkippedRecord, TargetClock

OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
CLOCK = re.compile(r"\d{1,12}(\.\d{1,9})?")


def text_of(data: bytes) -> str:
    """Outside bytes as text that turns back into the same bytes."""
    return data.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class ScriptSection:
    """One part of an answer: its kind, the rest of its heading line, and what follows that line."""

    kind: str
    rest: str
    body: bytes

    def fields(self, count: int) -> list[str]:
        """The heading's fields, exactly `count`; the last keeps every further `|`."""
        parts = self.rest.split("|", count - 1)
        return parts + [""] * (count - len(parts))


def sections(data: bytes, nonce: str, where: str) -> list[ScriptSection]:
    """The sections of a whole answer, in order. Raises InvalidAnswer for a truncated answer."""
    result = []
    for part in data.split(b"\n\x1e" + nonce.encode() + b" ")[1:]:
        heading, _, body = part.partition(b"\n")
        kind, _, rest = text_of(heading).partition("|")
        result.append(ScriptSection(kind, rest, body))
    if not result or result[-1].kind != "END":
        reply = masked_head(data.decode("utf-8", "replace"), 120)
        seen = f"{len(result)} sections without an end" if result else reply
        raise InvalidAnswer(f"{where}: the answer was cut short or is not ours: {seen!r}. Headway retries.")
    return result


@dataclass(frozen=True, slots=True)
class HostNow:
    """The host's own clock at the moment of its answer."""

    now: datetime
    offset: tzinfo
    uptime_seconds: float
    boot: str

    @property
    def offset_text(self) -> str:
        """ "+01:00"."""
        seconds = int((self.offset.utcoffset(None) or timedelta()).total_seconds())
        sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
        return f"{sign}{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"

    def clock(self, ours: datetime, zone: str = "") -> TargetClock:
        """The clock of a report. `ours`: our time at that moment; `zone`: its zone where it is known by name."""
        uptime = timedelta(seconds=self.uptime_seconds)
        return TargetClock(self.now, ours, zone or self.offset_text, ours - uptime if uptime else None)


def host_now(section: ScriptSection) -> HostNow:
    """Clock, offset, uptime and boot id. Raises RecordUnreadable for another format."""
    clock, offset, uptime, boot = section.fields(4)
    match = OFFSET.fullmatch(offset)
    if not CLOCK.fullmatch(clock) or match is None or int(match[2]) > 23 or int(match[3]) > 59:
        raise RecordUnreadable(
            f"the host's clock cannot be read: {masked_head(section.rest, 80)!r}; GNU date is needed there"
        )
    minutes = int(match[2]) * 60 + int(match[3])
    zone = timezone(timedelta(minutes=minutes if match[1] == "+" else -minutes))
    try:
        now = datetime.fromtimestamp(float(clock), UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise RecordUnreadable(f"the host's clock is out of range: {masked_head(clock, 40)}") from error
    return HostNow(now, zone, float(uptime) if CLOCK.fullmatch(uptime) else 0.0, boot.strip())


T = TypeVar("T")
JournalEntry = Mapping[str, Any]
SAMPLE = 200
MICRO = 1_000_000
LAST_STAMP = 253402300799 * MICRO
DENIED = ("insufficient permissions", "not seeing messages from other users", "Permission denied")
"""Messages of journalctl where it hides entries from the login."""
MAY_READ = "Put the login user into group systemd-journal or adm."


@dataclass(frozen=True, slots=True)
class JournalBatch(Generic[T]):
    """One answer of journalctl, which may be cut."""

    entries: tuple[T, ...]
    cursor: str
    """Of its last whole entry; "" without one."""
    skipped: tuple[SkippedRecord, ...]
    messages: tuple[str, ...]
    """Messages of journalctl besides its entries."""


def read_journal(body: bytes, is_whole: bool, take: Callable[[datetime, JournalEntry], T | None]) -> JournalBatch[T]:
    """The entries of a batch as `take` returns them; None omits one. A cut or unreadable line, or one for which `take`
    raises ValueError, KeyError or TypeError, is counted as skipped."""
    lines = body.split(b"\n")
    if not is_whole:
        lines = lines[:-1]  # cut in the middle: it comes again
    entries: list[T] = []
    skipped, messages, cursor = [], [], ""
    for line in lines:
        if not line.strip():
            continue
        if not line.startswith(b"{"):
            messages.append(text_of(line[: 2 * SAMPLE]))
            continue
        try:
            entry = json.loads(line)
            cursor = str(entry["__CURSOR"])
            at = journal_instant(entry["__REALTIME_TIMESTAMP"])
            if at is None:
                raise ValueError("no instant")
            taken = take(at, entry)
        except (ValueError, KeyError, TypeError, RecursionError, UnicodeError) as error:
            why = masked_head(f"an entry that cannot be read: {error}", SAMPLE)
            skipped.append(SkippedRecord("journal", why, masked_head(text_of(line), SAMPLE), is_new=True))
            continue
        if taken is not None:
            entries.append(taken)
    shown = tuple(message for message in messages if not message.startswith("-- "))
    return JournalBatch(tuple(entries), cursor, tuple(skipped), shown)


def journal_text(value: object) -> str:
    """A field as text; journalctl returns invalid UTF-8 as an array of bytes."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        return text_of(bytes(value))
    return ""


def journal_instant(value: object) -> datetime | None:
    """Microseconds since 1970 as aware UTC; None for 0, "infinity" and other values."""
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        return None
    try:
        micros = int(value)
    except (ValueError, OverflowError):
        return None
    if not 0 < micros < LAST_STAMP:
        return None
    return datetime.fromtimestamp(micros // MICRO, UTC).replace(microsecond=micros % MICRO)


def is_journal_denied(message: str) -> bool:
    """Whether a message of journalctl means that it hides entries."""
    return any(part in message for part in DENIED)
