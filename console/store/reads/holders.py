"""Who holds a lease, by name: whether that is a process of this machine, and whether it is provably dead."""

from __future__ import annotations

import hashlib
import os
import socket
from functools import cache
from pathlib import Path


def holder_name() -> str:
    """Who holds the lease: "host:pid~where"; `where` tells this boot and process namespace from others."""
    return f"{socket.gethostname()}:{os.getpid()}~{_where()}"


def is_dead_here(holder: str) -> bool:
    """True when `holder` was a process of this very machine, boot and namespace, and is gone."""
    pid = pid_here(holder)
    return pid is not None and not is_alive(pid)


def pid_here(holder: str) -> int | None:
    """The process of `holder`; None where that number means another process here, or none: another host, boot or
    process namespace (a container has its host's name as often as not)."""
    host, _, process = holder.rpartition(":")
    pid, _, where = process.partition("~")
    if not where or not (pid.isascii() and pid.isdigit()) or host != socket.gethostname():
        return None
    return int(pid) if where == _where() else None


def is_alive(pid: int) -> bool:
    """False also for one that has ended and whose parent (a console that started it) has not looked yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


@cache
def _where() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space = Path("/proc/self/ns/pid").stat().st_ino
    return hashlib.sha256(f"{boot} {space}".encode()).hexdigest()[:6]
