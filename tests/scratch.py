"""Where tests keep their files: in memory where it has room, because a disk costs a store most of its time."""

from __future__ import annotations

import os
import re
from pathlib import Path

MEMORY, DISK = Path("/dev/shm"), Path("/tmp")
ROOM_BYTES = 8 * 2**30
"""What has to be free."""


def scratch() -> Path:
    """The folder for temporary files. Every user may enter it, and programs in it may be run."""
    try:
        memory = os.statvfs(MEMORY)
    except OSError:
        return DISK
    room = min(memory.f_bavail * memory.f_frsize, _available_bytes())
    return MEMORY if room >= ROOM_BYTES and not memory.f_flag & os.ST_NOEXEC and os.access(MEMORY, os.W_OK) else DISK


def _available_bytes() -> int:
    """What processes can still be given without swapping, as Linux estimates it."""
    line = re.search(r"^MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return 1024 * int(line[1]) if line else 0
