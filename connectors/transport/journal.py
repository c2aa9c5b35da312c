"""What `journalctl --output=json` printed -> its entries. Pure; any bytes give a value.

Sources: journalctl(1), systemd.journal-fields(7) of systemd 252 (Debian 12).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from connectors.contract import Skipped
from connectors.transport.answer import text_of

T = TypeVar("T")
Entry = Mapping[str, Any]
SAMPLE = 200
MICRO = 1_000_000
LAST_STAMP = 253402300799 * MICRO
DENIED = ("insufficient permissions", "not seeing messages from other users", "Permission denied")
"""Its words where it hides entries from us."""
MAY_READ = "Put the login user into group systemd-journal or adm."


@dataclass(frozen=True, slots=True)
class Bite(Generic[T]):
    """One answer of it, which may have been cut."""

    entries: tuple[T, ...]
    cursor: str
    """Of its last whole entry; "" where there was none."""
    skipped: tuple[Skipped, ...]
    said: tuple[str, ...]
    """What journalctl said beside its entries."""


def read(body: bytes, is_whole: bool, take: Callable[[datetime, Entry], T | None]) -> Bite[T]:
    """The entries of a bite as `take` reads them; None leaves one out. A line that is cut or cannot be read is skipped
    and told, as where `take` raises a ValueError, KeyError or TypeError."""
    lines = body.split(b"\n")
    if not is_whole:
        lines = lines[:-1]  # cut in the middle: it comes again
    found: list[T] = []
    skipped, said, cursor = [], [], ""
    for line in lines:
        if not line.strip():
            continue
        if not line.startswith(b"{"):
            said.append(text_of(line[: 2 * SAMPLE]))
            continue
        try:
            entry = json.loads(line)
            cursor = str(entry["__CURSOR"])
            at = instant(entry["__REALTIME_TIMESTAMP"])
            if at is None:
                raise ValueError("no instant")
            taken = take(at, entry)
        except (ValueError, KeyError, TypeError, RecursionError, UnicodeError) as error:
            why = f"an entry that cannot be read: {error}"[:SAMPLE]
            skipped.append(Skipped("journal", why, text_of(line[:SAMPLE])))
            continue
        if taken is not None:
            found.append(taken)
    return Bite(tuple(found), cursor, tuple(skipped), tuple(one for one in said if not one.startswith("-- ")))


def text(value: object) -> str:
    """A field as text: journalctl tells what is not UTF-8 as an array of bytes."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, int) and 0 <= one < 256 for one in value):
        return text_of(bytes(value))
    return ""


def instant(value: object) -> datetime | None:
    """Microseconds since 1970 as aware UTC; None for 0, "infinity" and what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        return None
    try:
        micros = int(value)
    except (ValueError, OverflowError):
        return None
    if not 0 < micros < LAST_STAMP:
        return None
    return datetime.fromtimestamp(micros // MICRO, UTC).replace(microsecond=micros % MICRO)


def is_denied(said: str) -> bool:
    """Whether these words of journalctl say that it hides entries."""
    return any(words in said for words in DENIED)
