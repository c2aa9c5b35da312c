"""How many requests leave for a source, and what it says of how many it takes: counted where they leave, by thread.

A poll runs on one thread, and so does everything that it asks; what people ask meanwhile is counted apart.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

LIMITS = (
    ("x-ratelimit-limit", "x-ratelimit-remaining"),  # GitHub, and whoever copied it
    ("ratelimit-limit", "ratelimit-remaining"),  # draft-ietf-httpapi-ratelimit-headers, version 3 to 7
)
_DIGITS = 12
_here = threading.local()


@dataclass(slots=True)
class Tally:
    """What was sent since it was begun."""

    requests: int = 0
    """HTTP requests, commands over SSH, transactions of a database."""
    allowed: str = ""
    """ "4812 of 5000 left", as the last answer told; empty where its API names no limit."""


@contextmanager
def counting(tally: Tally) -> Iterator[None]:
    """Counts what this thread sends."""
    before, _here.tally = getattr(_here, "tally", None), tally
    try:
        yield
    finally:
        _here.tally = before


def count_request() -> None:
    """One more has left."""
    tally: Tally | None = getattr(_here, "tally", None)
    if tally is not None:
        tally.requests += 1


def note_limit(headers: Mapping[str, str]) -> None:
    """What the answer's headers (names in lower case) say is left."""
    tally: Tally | None = getattr(_here, "tally", None)
    if tally is None:
        return
    for limit, remaining in LIMITS:
        most, left = headers.get(limit, ""), headers.get(remaining, "")
        if most[:_DIGITS].isascii() and most.isdigit() and left.isascii() and left.isdigit():
            tally.allowed = f"{left[:_DIGITS]} of {most[:_DIGITS]} left"
