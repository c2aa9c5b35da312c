"""How raw outside names are kept: as they are, unless a database cannot hold them as text.

A half of a surrogate pair (a byte that was not UTF-8, read with `surrogateescape`) and NUL are moved into the last
private plane and back, so that identity is exact and nothing is lost. Standard library only.
"""

from __future__ import annotations

import re

LONGEST_BYTES = 1_000
"""Of an identity. PostgreSQL refuses index rows over 2,704 bytes (its documentation, "B-Tree Indexes")."""

_PLANE = 0x10F000
_NUL = chr(_PLANE + 0x800)
_ITSELF = chr(_PLANE + 0x801)
"""Before a letter of the plane that was in the name from the start."""
_UNFIT = re.compile(f"[\x00\ud800-\udfff{chr(_PLANE)}-{_ITSELF}]")
_MOVED = re.compile(f"{_ITSELF}.|[{chr(_PLANE)}-{_NUL}]")


def pack(raw: str) -> str:
    """The name as both databases can hold it."""
    if raw.isascii():
        return raw.replace("\0", _NUL) if "\0" in raw else raw
    return _UNFIT.sub(_move, raw)


def unpack(stored: str) -> str:
    """The raw name, as its source gave it: what a connector needs."""
    return stored if stored.isascii() else _MOVED.sub(_move_back, stored)


def _move(match: re.Match[str]) -> str:
    letter = match[0]
    if letter == "\0":
        return _NUL
    return chr(_PLANE + ord(letter) - 0xD800) if letter <= "\udfff" else _ITSELF + letter


def _move_back(match: re.Match[str]) -> str:
    moved = match[0]
    if len(moved) == 2:
        return moved[1]
    return "\0" if moved == _NUL else chr(ord(moved) - _PLANE + 0xD800)


def is_too_long(packed: str) -> bool:
    """True for a name that cannot be an identity."""
    return len(packed) > LONGEST_BYTES // 4 and len(packed.encode()) > LONGEST_BYTES
