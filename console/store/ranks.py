"""How much a job's latest run needs a person: the order of the big table, 0 first. Standard library only."""

from __future__ import annotations

from connectors.words import Evidence, State

CALM = 9
PROBLEM = 3
"""Ranks up to this one are what "only problems" shows."""

ATTENTION: dict[str, int] = {
    State.FAILED: 0,
    State.TIMED_OUT: 0,
    State.LOST: 0,
    State.MISSED: 0,
    State.BLOCKED: 1,
    State.CANCELLED: 1,
    State.PARTIAL: 2,
    State.UNKNOWN: 3,
    State.RETRYING: 4,
    State.CANCELLING: 4,
    State.RUNNING: 5,
    State.QUEUED: 6,
    State.WAITING: 6,
    State.HELD: 7,
    State.PLANNED: 8,
    State.SKIPPED: 8,
    State.SUCCEEDED: CALM,
}


def attention(state: str, evidence: str, stale_read: bool) -> int:
    """The rank of a run: its state's, or worse where it read stale data, contradicts itself or is out of sight."""
    rank = ATTENTION.get(state, CALM)
    if stale_read or evidence == Evidence.CONFLICT:
        rank = min(rank, 2)
    elif evidence == Evidence.STALE:
        rank = min(rank, 3)
    return rank
