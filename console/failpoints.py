"""Named failpoints where a test may kill, stop, slow or fail the engine. Nothing happens unless the environment arms
one.

`HEADWAY_FAILPOINT=send.after_wire:kill`, or `raise`, `stop`, `sleep=5`, `full=5` (for that many seconds this process
cannot write to any file, as on a full disk); `:n` after it arms the n-th passage. Standard library only: store and
engine both import it.
"""

from __future__ import annotations

import os
import signal
import threading
import time

FAILPOINTS = (
    "config.loaded",
    "config.before_swap",
    "poll.before",
    "poll.after_reply",
    "poll.mid_pages",
    "ingest.mid_batch",
    "ingest.before_commit",
    "ingest.after_commit",
    "evaluate.before",
    "policy.recorded",
    "evaluate.before_commit",
    "evaluate.after_commit",
    "outbox.released",
    "outbox.claimed",
    "send.before",
    "send.after_wire",
    "send.after_reply",
    "record.before_commit",
    "record.after_commit",
    "action.requested",
    "action.intent_committed",
    "action.before_wire",
    "action.after_wire",
    "action.after_reply",
    "action.before_verify",
    "action.verified",
    "hold.looked",
    "plan.before_step",
    "plan.after_step",
    "audit.before_append",
    "prune.mid",
    "checkpoint.before",
    "lease.acquired",
    "lease.before_renew",
    "lease.lost",
    "migrate.backed_up",
    "migrate.step",
    "migrate.before_commit",
    "backup.mid",
    "backup.before_swap",
)
VARIABLE = "HEADWAY_FAILPOINT"

_passages: dict[str, int] = {}
_lock = threading.Lock()


class FailpointReached(Exception):
    """Raised where a failpoint is armed with `raise`."""


def failpoint(name: str) -> None:
    """A no-op, unless the environment arms `name`. Raises KeyError for a name that is not listed."""
    armed = os.environ.get(VARIABLE)
    if armed is None:
        return
    if name not in FAILPOINTS:
        raise KeyError(name)
    armed_name, _, rest = armed.partition(":")
    act, _, nth = rest.partition(":")
    if armed_name != name:
        return
    with _lock:
        _passages[name] = _passages.get(name, 0) + 1
        if nth and _passages[name] != int(nth):
            return
    _do(name, act)


def _do(name: str, act: str) -> None:
    if act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif act == "stop":
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # this thread, so that it stops here and not later
    elif act.startswith("sleep="):
        time.sleep(float(act.removeprefix("sleep=")))
    elif act.startswith("full="):
        _fill(float(act.removeprefix("full=")))
    else:
        raise FailpointReached(name)


def _fill(seconds: float) -> None:
    """No file of this process can grow for a while; Python ignores the signal (SIGXFSZ)."""
    import resource  # noqa: PLC0415 - only where a test fills the disk

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    again = threading.Timer(seconds, resource.setrlimit, (resource.RLIMIT_FSIZE, (soft, hard)))
    again.daemon = True
    again.start()
