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
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_MOVED = re.compile(f"[{chr(_PLANE)}-{_NUL}]")


def pack(raw: str) -> str:
    """The name as both databases can hold it."""
    if raw.isascii():
        return raw.replace("\0", _NUL) if "\0" in raw else raw
    return _UNFIT.sub(lambda match: chr(_PLANE + ((ord(match[0]) - 0xD800) if match[0] != "\0" else 0x800)), raw)


def unpack(stored: str) -> str:
    """The raw name, as its source gave it: what a connector needs."""
    if stored.isascii():
        return stored
    return _MOVED.sub(lambda match: "\0" if match[0] == _NUL else chr(ord(match[0]) - _PLANE + 0xD800), stored)


def is_too_long(packed: str) -> bool:
    """True for a name that cannot be an identity."""
    return len(packed) > LONGEST_BYTES // 4 and len(packed.encode()) > LONGEST_BYTES
