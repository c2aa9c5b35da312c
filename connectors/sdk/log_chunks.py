"""Logs in chunks: a log kept as one text, read as if it were a growing file, and cuts that tear no character.

Bytes that are not UTF-8 pass as they are. Pure.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from connectors.sdk.errors import NotSupported, RecordUnreadable
from connectors.sdk.fields import from_json
from connectors.sdk.records import LogChunk

Position = TypeVar("Position")


def log_position(kind: Callable[..., Position], start: str) -> Position:
    """The position in a log (a dataclass) that `LogChunk.next` named. Raises NotSupported for any other text."""
    try:
        return from_json(kind, start)
    except RecordUnreadable as error:
        raise NotSupported(f"this place in a log cannot be read back: {error}") from None


def byte_offset(start: str) -> int:
    """The byte that `start` names. Raises NotSupported for any other text."""
    if not (start.isascii() and start.isdigit() and len(start) < 19):
        raise NotSupported(f"not a place in a log: {start[:40]!r}")
    return int(start)


def chunk_of_file(data: bytes, begin: int, size: int, start: str | None, limit_bytes: int) -> LogChunk:
    """The chunk of a file of `size` bytes that may still grow: `data` lies in it from the byte `begin` on."""
    data = data[:limit_bytes]
    end = begin + len(data)
    text = data.decode("utf-8", "surrogateescape")
    return LogChunk(text, str(end), end < size and bool(data), cut=start is None and begin > 0)


def from_character(piece: bytes) -> bytes:
    """Without the rest of a character at its start."""
    return piece[next((index for index, byte in enumerate(piece[:4]) if byte & 0xC0 != 0x80), 0) :]


def to_character(piece: bytes) -> bytes:
    """Without the beginning of a character at its end; may be empty."""
    for length in range(1, min(4, len(piece)) + 1):
        lead = piece[-length]
        if lead & 0xC0 != 0x80:
            needed = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2 if lead >= 0xC0 else 1
            return piece[:-length] if length < needed else piece
    return piece


def tail(text: str, limit_bytes: int) -> tuple[str, bool]:
    """The end of `text` within the limit, cut between characters, and whether something was left out."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit_bytes:
        return data.decode(), False
    return data[len(data) - limit_bytes :].decode("utf-8", "ignore") if limit_bytes > 0 else "", True


def head(text: str, limit_bytes: int) -> str:
    """The beginning of `text` within the limit, cut between characters."""
    return text.encode("utf-8", "replace")[:limit_bytes].decode("utf-8", "ignore")


def part_of(text: str, skip: int, limit_bytes: int) -> tuple[str, int | None]:
    """The text after its first `skip` bytes, within the limit, and how many bytes to skip next; None at its end."""
    data = text.encode("utf-8", "replace")[skip:]
    if len(data) <= limit_bytes:
        return data.decode("utf-8", "replace"), None
    part = head(data.decode("utf-8", "ignore"), limit_bytes)
    return part, skip + len(part.encode())


def join_lines(parts: Iterable[str]) -> str:
    """Lines as one text that ends with a newline; "" without lines."""
    return "".join(f"{part}\n" for part in parts)


def chunk_of(whole: str, start: str | None, limit_bytes: int, is_open: bool) -> LogChunk:
    """The tail (`start` None), or what follows the byte `start`; `is_open`: more may still be written."""
    return chunk_of_parts((whole,), start, limit_bytes, is_open)


def chunk_of_parts(parts: Iterable[str], start: str | None, limit_bytes: int, is_open: bool) -> LogChunk:
    """The same of a text in parts, one in memory at a time; parts behind the piece are not read."""
    if start is None:
        before, data = _tail(parts, limit_bytes)
        text = from_character(data[:limit_bytes]).decode("utf-8", "surrogateescape")
        return LogChunk(text, str(before + len(data)) if is_open else None, cut=before > 0)
    before, data = 0, b""  # more than `limit_bytes` from the byte `first` on, where there are so many
    first = int(start) if start.isascii() and start.isdigit() else 0
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        skip = min(len(encoded), first - before)
        before, data = before + skip, data + encoded[skip : skip + limit_bytes + 1]
        if len(data) > limit_bytes:
            break
    piece = to_character(data[:limit_bytes]) or data[:limit_bytes]
    has_more = len(piece) < len(data)
    following = str(before + len(piece)) if has_more or is_open else None
    return LogChunk(piece.decode("utf-8", "surrogateescape"), following, has_more)


def read_through(read: Callable[[int, int], str | bytes], characters: int) -> Iterator[str]:
    """A long text of a table in parts. `read` (first, count) returns fewer characters only at the end."""
    decoder, first = getincrementaldecoder("utf-8")("surrogateescape"), 0
    while part := read(first, characters):
        yield decoder.decode(part) if isinstance(part, bytes) else part
        first += len(part)
        if len(part) < characters:
            break
    yield decoder.decode(b"", final=True)


def without_last_newlines(parts: Iterable[str]) -> Iterator[str]:
    text = ""
    for part in parts:
        whole = text + part
        rstrip = whole.rstrip("\n")
        text = whole[len(rstrip) :]
        yield rstrip


def with_newline(parts: Iterable[str]) -> Iterator[str]:
    """The parts and a newline behind them, where they are any text."""
    has_any = False
    for part in parts:
        has_any = has_any or part != ""
        yield part
    if has_any:
        yield "\n"


def _tail(parts: Iterable[str], limit_bytes: int) -> tuple[int, bytes]:
    """The last bytes of all, and how many come before them."""
    before, cached = 0, bytearray()
    for part in parts:
        cached += part.encode("utf-8", "surrogateescape")
        if len(cached) > 2 * limit_bytes:  # not at each part: many short ones would copy the tail each time
            drop = len(cached) - limit_bytes
            before += drop
            del cached[:drop]
    drop = max(0, len(cached) - limit_bytes)
    return before + drop, bytes(cached[drop:])
