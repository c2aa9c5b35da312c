"""A log that a source keeps as one text, given out in pieces as if it were a file that grows."""

from __future__ import annotations

from connectors.characters import from_character, to_character
from connectors.contract import LogChunk


def piece_of(whole: str, start: str | None, limit_bytes: int, is_open: bool) -> LogChunk:
    """The tail (`start` None), or what follows the byte `start`; `is_open`: more may still be written."""
    text = whole.encode("utf-8", "surrogateescape")
    first = max(0, len(text) - limit_bytes) if start is None else min(_number(start), len(text))
    cut = text[first : first + limit_bytes]
    piece = from_character(cut) if start is None else to_character(cut) or cut
    end = first + limit_bytes if start is None else first + len(piece)
    end = min(end, len(text))
    more = end < len(text)
    return LogChunk(
        text=piece.decode("utf-8", "surrogateescape"),
        next=str(end) if more or is_open else None,
        more=more,
        cut=start is None and first > 0,
    )


def _number(start: str) -> int:
    return int(start) if start.isascii() and start.isdigit() else 0
