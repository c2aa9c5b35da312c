"""Shards: which engine of a shared store polls which systems, and sends their actions.

Every engine that polls renews its row in `engine`, by the database's clock, and holds an even share of the shards. A
shard whose holder's row has expired goes to an engine with less than its share, under the next fence. As all writers
of a store take turns (`session.lock_writers`), no shard changes hands between the check of a fence and its commit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from console.store.db.database import Database
from console.store.db.lease import database_now_us, is_provably_dead
from console.store.db.schema_version import SCHEMA_QUERY, check_schema
from console.store.db.session import Session

SHARDS = 256
FORGET_US = 3_600_000_000
"""How long a dead engine stays listed."""
_RENEW = (
    "INSERT INTO engine (holder, since_us, heartbeat_us, until_us, trouble) VALUES (?, ?, ?, ?, ?) ON CONFLICT (holder)"
    " DO UPDATE SET heartbeat_us = excluded.heartbeat_us, until_us = excluded.until_us, trouble = excluded.trouble"
)
_TAKE_OVER = "UPDATE engine SET hand_overs = hand_overs + ?, handed_over_us = ? WHERE holder = ?"
_SENDING = "SELECT j.system_id FROM action a JOIN job j ON j.id = a.job_id WHERE a.state = 'sending'"


class HeldShards(NamedTuple):
    """The shards that an engine holds after a renewal."""

    fences: Mapping[int, int]
    surplus: tuple[int, ...] = ()
    """Those of them beyond an even share, to be released once their polls have ended. One with an action that is being
    sent stays until its outcome is written."""
    expiry_s: float = math.inf
    """Seconds until the shards of the next engine are free, unless it renews."""


def shard_of(system_id: int) -> int:
    """The shard of a system. Consecutive ids lie far apart, so that an even share of shards is nearly an even share
    of a small estate."""
    return (system_id * 0x9E3779B1 & 0xFFFFFFFF) >> 24


def hold_shards(
    store: Database, holder: str, held: Mapping[int, int], seconds: float, trouble: str = "", now_us: int | None = None
) -> HeldShards:
    """Counts this engine as live for `seconds`, and claims free shards up to an even share of them. `held`: its shards
    by the last renewal; those that another engine has meanwhile are left out. `now_us` is for tests.

    Raises StoreTooNew or StoreOutdated for a store that an engine of another version has migrated meanwhile.
    """
    with store.write(None) as session:
        check_schema(session.rows(SCHEMA_QUERY), store.place)
        now = database_now_us(session) if now_us is None else now_us
        session.rows(_RENEW, (holder, now, now, now + round(seconds * 1_000_000), trouble))
        session.rows("DELETE FROM engine WHERE heartbeat_us < ?", (now - FORGET_US,))
        live = _live_engines(session, now)
        expiry_us = min((until for name, until in live.items() if name != holder), default=None)
        share = -(-SHARDS // len(live))
        shards = session.rows("SELECT id, holder, fence FROM shard ORDER BY id")
        fences = {row.id: row.fence for row in shards if row.holder == holder and held.get(row.id) == row.fence}
        free = [row for row in shards if row.id not in fences and (row.holder == holder or row.holder not in live)]
        claimed = free[: max(0, share - len(fences))]
        session.many(
            "UPDATE shard SET holder = ?, fence = fence + 1 WHERE id = ?", [(holder, row.id) for row in claimed]
        )
        if taken_over := sum(row.fence > 0 for row in claimed):  # held before, by any engine
            session.rows(_TAKE_OVER, (taken_over, now, holder))
        fences |= {row.id: row.fence + 1 for row in claimed}
        busy = {shard_of(row.system_id) for row in session.rows(_SENDING)} if len(fences) > share else set()
    surplus = tuple(shard for shard in sorted(fences)[share:] if shard not in busy)
    expiry_s = math.inf if expiry_us is None else (expiry_us - now) / 1_000_000
    return HeldShards(fences, surplus, expiry_s)


def release_shards(store: Database, holder: str, held: Mapping[int, int]) -> None:
    """Frees these shards at once; those that are lost already are left alone."""
    with store.write(None) as session:
        _release(session, holder, held)


def poll_nothing(store: Database, holder: str, held: Mapping[int, int], trouble: str) -> None:
    """Frees these shards, and lists the engine as one that polls nothing, with the reason."""
    with store.write(None) as session:
        _release(session, holder, held)
        now = database_now_us(session)
        session.rows(_RENEW, (holder, now, now, 0, trouble))


def leave(store: Database, holder: str, held: Mapping[int, int]) -> None:
    """Frees these shards and removes the engine, as its process ends."""
    with store.write(None) as session:
        _release(session, holder, held)
        session.rows("DELETE FROM engine WHERE holder = ?", (holder,))


def _release(session: Session, holder: str, held: Mapping[int, int]) -> None:
    for shard, fence in held.items():
        session.rows("UPDATE shard SET holder = '' WHERE id = ? AND holder = ? AND fence = ?", (shard, holder, fence))


def _live_engines(session: Session, now_us: int) -> dict[str, int]:
    """Holder -> when it is dead, unless it renews (µs)."""
    rows = session.rows("SELECT holder, until_us FROM engine WHERE until_us > ?", (now_us,))
    return {row.holder: row.until_us for row in rows if not is_provably_dead(row.holder)}
