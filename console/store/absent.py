"""What is said where there is no store yet: why it could not be made, that it was moved away, that it is half made."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from console.store.errors import gone_words

LEAST_BYTES = 1024 * 1024
"""Below this no store can be made."""
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
"""Its rows are for `is_half_made`."""


def missing_words(path: Path) -> str:
    """For a path at which there is no file, or an empty one."""
    if path.with_name(f"{path.name}-wal").exists() and not path.exists():  # whoever works on it has it open
        return gone_words(path, "its log still stands beside it")
    if full := full_words(path.parent):
        return f'there is no store at {path} yet, and {full}: free some, then "headway engine" makes it'
    return f'there is no store at {path} yet; "headway engine" makes it'


def full_words(folder: Path) -> str:
    """That the disk of a folder is full; empty where it is not, or nobody can tell."""
    try:
        free = free_bytes(folder)
    except OSError:
        return ""
    return f"its disk is full ({free // 1024} KiB are free)" if free < LEAST_BYTES else ""


def free_bytes(folder: Path) -> int:
    """What this user may still write there. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def is_half_made(tables: Iterable[tuple[Any, ...]]) -> bool:
    """Whether a file is as a store is before its tables are written, all at once."""
    return not [*tables]


def half_made_words(place: str) -> str:
    return f'the store at {place} is half made: it is being made, or its disk was full; "headway engine" makes the rest'
