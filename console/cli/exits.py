"""Exit codes of every command; docs/exit-codes.md is made from this table."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a shell sees. 0 and 1 are answers, the rest are reasons why there is none."""

    OK = 0
    """Done, and nothing needs a person."""
    PROBLEM = 1
    """Done, and it found a problem: `check` a system that is refused or out of reach, `rerun` one that failed."""
    USAGE = 2
    """The command line, the config or the store cannot be used; stderr names every fault."""
    NO_ENGINE = 3
    """No engine works on this store, and the command needs one."""
    REFUSED = 4
    """Headway or the scheduler refused; nothing was sent."""
    UNKNOWN = 5
    """Something was sent and its outcome is not known; it is looked up, never repeated."""
    NOT_FOUND = 6
    """No such job, run, incident, service or system; near misses are named."""
    INTERRUPTED = 130
    """Ctrl-C."""
    PIPE = 141
    """The reader of stdout went away."""
