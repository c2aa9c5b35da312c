"""What one look at the server brought: values that the client fills and the others read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """One server at one moment."""

    about: Row
    grants: Sequence[str]
    events: Sequence[Row]
    by_table: bool
    """Read from mysql.event, which hides nothing."""
    log_is_readable: bool
    """False also where no log table is named."""
    log: Sequence[Row] = ()
    again: Sequence[Row] = ()
    newest: int | None = None
    is_full: bool = False
    """There may be more log rows after these."""
    processes: frozenset[int] | None = None
    """Ids of all connections; None where not all may be seen."""
    uptime_seconds: float = 0.0
    running: Sequence[Row] = ()
    """Open log rows of the event that was asked for."""
    held: Sequence[Row] | None = None
    """Our marks, by event; None where the table of them may not be read, or is not there."""
    senders: int = 0
    """Our own connections that may still be sending what was asked for."""
