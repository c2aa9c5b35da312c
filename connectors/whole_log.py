"""A log that a source keeps as one text, given out in pieces as if it were a file that grows."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator

from connectors.characters import from_character, to_character
from connectors.contract import LogChunk


def piece_of(whole: str, start: str | None, limit_bytes: int, is_open: bool) -> LogChunk:
    """The tail (`start` None), or what follows the byte `start`; `is_open`: more may still be written."""
    return piece_of_parts((whole,), start, limit_bytes, is_open)


def piece_of_parts(parts: Iterable[str], start: str | None, limit_bytes: int, is_open: bool) -> LogChunk:
    """The same of a text that comes in parts, of which one is held in memory at a time; those behind the piece are not
    asked for."""
    before, kept = _tail(parts, limit_bytes) if start is None else _from(parts, _number(start), limit_bytes)
    cut = kept[:limit_bytes]
    piece = from_character(cut) if start is None else to_character(cut) or cut
    end = before + (len(kept) if start is None else len(piece))
    more = end < before + len(kept)
    return LogChunk(
        text=piece.decode("utf-8", "surrogateescape"),
        next=str(end) if more or is_open else None,
        more=more,
        cut=start is None and before > 0,
    )


def read_through(read: Callable[[int, int], str | bytes], characters: int) -> Iterator[str]:
    """A long text of a table, part by part: `read` gives so many characters (of binary text: bytes) from the first on,
    and fewer only at the end."""
    decoder, first = getincrementaldecoder("utf-8")("surrogateescape"), 0
    while part := read(first, characters):
        yield decoder.decode(part) if isinstance(part, bytes) else part
        first += len(part)
        if len(part) < characters:
            break
    yield decoder.decode(b"", final=True)


def without_last_newlines(parts: Iterable[str]) -> Iterator[str]:
    """The same text without the newlines at its end."""
    kept = ""
    for part in parts:
        whole = kept + part
        told = whole.rstrip("\n")
        kept = whole[len(told) :]
        yield told


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
    before, kept = 0, b""
    for part in parts:
        kept += part.encode("utf-8", "surrogateescape")
        drop = max(0, len(kept) - limit_bytes)
        before, kept = before + drop, kept[drop:]
    return before, kept


def _from(parts: Iterable[str], first: int, limit_bytes: int) -> tuple[int, bytes]:
    """More than `limit_bytes` from the byte `first` on, where there are so many, and how many come before them."""
    before, kept = 0, b""
    for part in parts:
        data = part.encode("utf-8", "surrogateescape")
        skip = min(len(data), first - before)
        before, kept = before + skip, kept + data[skip : skip + limit_bytes + 1]
        if len(kept) > limit_bytes:
            break
    return before, kept


def _number(start: str) -> int:
    return int(start) if start.isascii() and start.isdigit() else 0
