"""What one run is worth to those who read it; how that is found: `control.standings`."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class Standing(NamedTuple):
    """Of one run."""

    good_at: datetime | None
    """The end of its first clean success; None while there is none."""
    stale: bool
    partial: str = ""
    """What it read that was partial; empty where nothing was."""
    whole_at: datetime | None = None
    """The end of its first clean success that was whole too, where it was not always so."""
    tainted: str = ""
    """What was partial in it before `whole_at`."""


UNREAD = Standing(None, stale=False)
"""Of a run that reads nothing; of one in a loop that would read itself through others."""
