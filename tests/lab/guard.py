"""Ends the remains of a lab: reads targets from its standard input and acts when that closes.

A process of its own, so that a lab whose Python was killed with SIGKILL leaves neither processes nor folders.
Lines: `session PID BEGUN` (SIGKILL to every process of that session), `signal NUMBER PID BEGUN`, `folder PATH`, and
`forget LINE` for a target that was ended in good order. BEGUN distinguishes the process from a later one with the same
number. Standard library only: it must start in a few hundredths of a second."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator


def session_members(session: int) -> Iterator[int]:
    """Process ids of one session (setsid), from /proc; renamed and re-parented children included."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] != b"Z" and int(fields[3]) == session:  # proc(5): state, ppid, pgrp, session
                yield int(name)


def begun(pid: int) -> int:
    """When the process with that number began, in the kernel's ticks since boot; 0 where there is none, or only a
    zombie that nothing has reaped yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == b"Z" else int(fields[19])  # proc(5): state, starttime


def is_other_process(pid: int, since: int) -> bool:
    """Whether that number belongs to another process than the one that began then."""
    return begun(pid) not in (0, since)


def send(pid: int, number: int) -> None:
    """Sends one signal; a process that is gone is what was wanted."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def end(target: str) -> None:
    """Ends one target line, as the module says."""
    kind, _, rest = target.partition(" ")
    if kind == "session":
        leader, since = map(int, rest.split())
        if not is_other_process(
            leader, since
        ):  # with its leader gone it keeps its number for as long as it has members
            for pid in session_members(leader):
                send(pid, signal.SIGKILL)
    elif kind == "signal":
        number, pid, since = map(int, rest.split())
        if not is_other_process(pid, since):
            send(pid, number)
    elif kind == "folder":
        shutil.rmtree(rest, ignore_errors=True)


def main() -> None:
    """Collects targets until standard input closes, then ends them, the youngest first."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    targets: list[str] = []
    for line in sys.stdin:
        text = line.rstrip("\n")
        if text.startswith("forget "):
            targets = [target for target in targets if target != text.removeprefix("forget ")]
        else:
            targets.append(text)
    folders = [target for target in targets if target.startswith("folder ")]
    for target in [*reversed([target for target in targets if target not in folders]), *folders]:
        end(target)


if __name__ == "__main__":
    main()
