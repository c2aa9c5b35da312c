"""Fences: proof, within the transaction of a write, that its writer still holds the lease or the shard."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from console.store.db.session import Row, Session
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
        for lost in lost_shards(session, [fence]).values():
            raise lost
        return
    row = session.first("SELECT fence, holder FROM lease WHERE name = 'engine'")
    if row is None or row.fence != fence:
        raise _lease_lost("the lease", fence, row, "the store")


def lost_shards(session: Session, fences: Collection[ShardFence]) -> dict[ShardFence, LeaseLost]:
    """Those of these fences that no longer hold their shard."""
    query = "SELECT s.id, s.fence, s.holder FROM {keys} JOIN shard s ON s.id = k.a"
    rows = {row.id: row for row in session.by_keys(query, [fence.shard for fence in fences])}
    return {
        fence: _lease_lost(f"shard {fence.shard}", fence.fence, row, "it")
        for fence in fences
        if (row := rows.get(fence.shard)) is None or row.fence != fence.fence
    }


def _lease_lost(what: str, fence: int, row: Row | None, held: str) -> LeaseLost:
    holder = "no engine" if row is None or not row.holder else row.holder
    return LeaseLost(f"{what} with fence {fence} is lost: {holder} holds {held} now; nothing was written")
