"""How red runs are gathered into incidents: what config may say of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Grouping:
    """`[incidents]`: when many are one, and when one comes back."""

    reopen_within: timedelta = timedelta(hours=2)
    """The same root red again this soon after its incident closed reopens it."""
    shared_jobs: int = 3
    """So many jobs that name the same host, database or credential in what they say are one incident."""
    shared_within: timedelta = timedelta(minutes=15)
    """They turned red this close together."""
    steady_for: timedelta = timedelta(minutes=30)
    """What was reopened twice is told again once it has been red or green for so long; at most `reopen_within`."""
