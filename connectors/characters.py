"""Cutting bytes and texts of a log where no character is torn. Bytes that are no UTF-8 pass as they are."""

from __future__ import annotations

from collections.abc import Iterable


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


def joined(parts: Iterable[str]) -> str:
    """Lines as one text that ends with a newline; "" without lines."""
    return "".join(f"{part}\n" for part in parts)
