"""Fences: proof, within the transaction of a write, that its writer still holds the lease or the shard."""

from __future__ import annotations

from typing import NamedTuple

from console.store.db.session import Session
from console.store.errors import LeaseLost


class ShardFence(NamedTuple):
    """The fence under which an engine holds a shard."""

    shard: int
    fence: int


Fence = int | ShardFence
"""Of the engine's lease, or of one shard."""


def check_fence(session: Session, fence: Fence | None) -> None:
    """Raises LeaseLost unless that fence still holds the lease, or its shard. None: not checked."""
    if fence is None:
        return
    if isinstance(fence, ShardFence):
        row = session.first("SELECT fence, holder FROM shard WHERE id = ?", (fence.shard,))
        what, number, held = f"shard {fence.shard}", fence.fence, "it"
    else:
        row = session.first("SELECT fence, holder FROM lease WHERE name = 'engine'")
        what, number, held = "the lease", fence, "the store"
    if row is None or row.fence != number:
        holder = "no engine" if row is None or not row.holder else row.holder
        raise LeaseLost(f"{what} with fence {number} is lost: {holder} holds {held} now; nothing was written")
