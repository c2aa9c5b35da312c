"""The answer of a fixed script on a host -> its sections, the host's clock. Pure; any bytes give a value or an error.

An answer is cut into sections by byte 036 and the nonce of its call, so neither a chatty `~/.bashrc` before it nor a
log line inside it can pass for a section.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from connectors.contract import AnswerUnfit, RecordUnreadable

OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
CLOCK = re.compile(r"\d{1,12}(\.\d{1,9})?")


def text_of(data: bytes) -> str:
    """Outside bytes as text that turns back into the same bytes."""
    return data.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """The outside bytes again."""
    return text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Section:
    """One part of an answer: its kind, the rest of its heading line, and what follows that line."""

    kind: str
    rest: str
    body: bytes

    def fields(self, count: int) -> list[str]:
        """The heading's fields, exactly `count`; the last keeps every further `|`."""
        parts = self.rest.split("|", count - 1)
        return parts + [""] * (count - len(parts))


def sections(data: bytes, nonce: str, where: str) -> list[Section]:
    """The sections of a whole answer, in order. AnswerUnfit for an answer that was cut short."""
    found = list(_sections(data, nonce))
    if not found or found[-1].kind != "END":
        seen = data[:120].decode("utf-8", "replace") if not found else f"{len(found)} sections without an end"
        raise AnswerUnfit(f"{where}: the answer was cut short or is not ours: {seen!r}. It is asked again.")
    return found


def _sections(data: bytes, nonce: str) -> Iterator[Section]:
    for part in data.split(b"\n\x1e" + nonce.encode() + b" ")[1:]:
        heading, _, body = part.partition(b"\n")
        kind, _, rest = text_of(heading).partition("|")
        yield Section(kind, rest, body)


@dataclass(frozen=True, slots=True)
class HostNow:
    """The host's own clock at the moment of its answer."""

    now: datetime
    offset: tzinfo
    uptime_seconds: float
    boot: str

    @property
    def offset_words(self) -> str:
        """ "+01:00"."""
        seconds = int((self.offset.utcoffset(None) or timedelta()).total_seconds())
        sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
        return f"{sign}{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"


def host_now(section: Section) -> HostNow:
    """Clock, offset, uptime and boot id. RecordUnreadable where the host's `date` speaks otherwise."""
    clock, offset, uptime, boot = section.fields(4)
    found = OFFSET.fullmatch(offset)
    if not CLOCK.fullmatch(clock) or found is None or int(found[2]) > 23 or int(found[3]) > 59:
        raise RecordUnreadable(f"the host's clock cannot be read: {section.rest[:80]!r}; GNU date is needed there")
    minutes = int(found[2]) * 60 + int(found[3])
    zone = timezone(timedelta(minutes=minutes if found[1] == "+" else -minutes))
    try:
        now = datetime.fromtimestamp(float(clock), UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise RecordUnreadable(f"the host's clock is out of range: {clock[:40]}") from error
    return HostNow(now, zone, float(uptime) if CLOCK.fullmatch(uptime) else 0.0, boot.strip())
