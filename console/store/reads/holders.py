"""Who holds a lease, by name: whether that is a process of this machine, provably dead, or unable to write."""

from __future__ import annotations

import math
import os
import socket
from datetime import datetime
from functools import cache
from pathlib import Path

LEAST_BYTES = 64 * 1024
"""Less space than that is none for a commit of the store."""
CLOCK_SLACK_SECONDS = 5.0
"""The boot's time is told in whole seconds, and a clock may have been set since."""


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


def stuck_words(place: str, holder: str = "", since: datetime | None = None) -> str:
    """Why no other engine should be started though none has renewed its lease: in words, empty where one may be.
    `place`: the store's file, or its database."""
    full = "the disk of the store is full" if _is_full(Path(place)) else ""
    if (pid := living_holder(holder, since)) is None:
        return f"{full}: no engine can write there; free space first" if full else ""
    why = full or "the disk is full, a limit is reached, or it was stopped"
    return f"process {pid} lives and cannot write ({why}); it goes on by itself once it can; start no other"


def living_holder(holder: str, since: datetime | None) -> int | None:
    """The process of `holder` where it lives on this machine. One that began after `since`, when the lease
    was got, has nothing but its number."""
    pid = pid_here(holder)
    if pid is None or since is None or not is_alive(pid) or _begun(pid) > since.timestamp() + CLOCK_SLACK_SECONDS:
        return None
    return pid


def _is_full(store: Path) -> bool:
    try:
        found = os.statvfs(store)
    except OSError:
        return False  # a database elsewhere
    return found.f_bavail * found.f_frsize < LEAST_BYTES


def _begun(pid: int) -> float:
    """When a process began, in seconds since 1970; endless for one that is gone."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        [boot] = [line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime")]
    except (OSError, ValueError, IndexError):
        return math.inf
    return int(boot) + ticks / os.sysconf("SC_CLK_TCK")


@cache
def _where() -> str:
    import hashlib  # noqa: PLC0415 - 2 ms that only a lease held on this host needs

    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space = Path("/proc/self/ns/pid").stat().st_ino
    return hashlib.sha256(f"{boot} {space}".encode()).hexdigest()[:6]
