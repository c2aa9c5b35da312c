"""How much memory the engine keeps of what it has freed: next to none."""

from __future__ import annotations

from contextlib import suppress
from ctypes import CDLL

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # mallopt(3), glibc's malloc.h
_LARGE_BYTES = 131_072
_ARENAS = 2


def give_back_what_is_freed() -> None:
    """For the whole process, before its threads begin: what is large has its own pages, which the machine has back once
    they are free, and few arenas serve all threads. Left alone, glibc raises its thresholds at the first large block
    that is freed, and keeps more than 50 MB after a whole evaluation of a large estate. Elsewhere nothing is done."""
    with suppress(OSError, AttributeError):
        tune = CDLL(None).mallopt
        tune(_MMAP_THRESHOLD, _LARGE_BYTES)
        tune(_TRIM_THRESHOLD, _LARGE_BYTES)
        tune(_ARENA_MAX, _ARENAS)
