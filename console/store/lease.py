"""Who works on a store. A lease is on real time, never on a replay's clock; on PostgreSQL it is that database's time.

Every new holder gets a greater fence, and `Store.write(fence)` refuses the fences of the others in the same
transaction: a holder that was stopped and comes back can write nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from console.model.ids import instant, micros
from console.store.errors import LeaseLost
from console.store.open import Store
from console.store.wire import Wire, single, wire

ENGINE = "engine"
"""The lease that `Store.write` checks."""

TROUBLE = "engine_trouble"
"""The row of `meta` in which the holder says which of its parts broke lately."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Held by us. `fence` goes into every write."""

    name: str
    holder: str
    fence: int
    until: datetime


@dataclass(frozen=True, slots=True)
class HeldBy:
    """Somebody else holds it."""

    holder: str
    since: datetime
    until: datetime


def acquire(store: Store, name: str, holder: str, seconds: float, now_us: int | None = None) -> Lease | HeldBy:
    """The lease for `seconds`, with a new fence; or who holds it. `now_us` is for tests."""
    with store.write(None) as connection:
        lines = wire(connection)
        now = _now(lines, store) if now_us is None else now_us
        row = single(lines.rows("SELECT holder, fence, until_us, since_us FROM lease WHERE name = ?", (name,)))
        if row is not None and row[0] and row[2] > now:
            return HeldBy(row[0], instant(row[3]), instant(row[2]))
        fence = 1 if row is None else row[1] + 1
        until = now + round(seconds * 1_000_000)
        lines.rows(
            "INSERT INTO lease (name, holder, fence, until_us, since_us, heartbeat_us) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = excluded.fence,"
            " until_us = excluded.until_us, since_us = excluded.since_us, heartbeat_us = excluded.heartbeat_us",
            (name, holder, fence, until, now, now),
        )
        lines.rows("DELETE FROM meta WHERE name = ?", (TROUBLE,))
    return Lease(name, holder, fence, instant(until))


def renew(store: Store, name: str, lease: Lease, seconds: float, now_us: int | None = None) -> Lease:
    """The same lease, longer. Raises LeaseLost when another holder has it. Nobody took it: it is ours again."""
    with store.write(None) as connection:
        lines = wire(connection)
        now = _now(lines, store) if now_us is None else now_us
        until = now + round(seconds * 1_000_000)
        mine = lines.rows(
            "UPDATE lease SET until_us = ?, heartbeat_us = ? WHERE name = ? AND fence = ? AND holder = ?"
            " RETURNING fence",
            (until, now, name, lease.fence, lease.holder),
        )
    if not mine:
        raise LeaseLost(f"the lease with fence {lease.fence} is lost: another engine holds the store now")
    return Lease(name, lease.holder, lease.fence, instant(until))


def begin_anew(store: Store, name: str, lease: Lease) -> Lease:
    """The same lease under the next fence: what still runs under this one can write nothing any more, and nobody else
    gets it in between. Raises LeaseLost."""
    with store.write(None) as connection:
        lines = wire(connection)
        mine = lines.rows(
            "UPDATE lease SET fence = fence + 1 WHERE name = ? AND fence = ? AND holder = ? RETURNING fence",
            (name, lease.fence, lease.holder),
        )
        lines.rows("DELETE FROM meta WHERE name = ?", (TROUBLE,))
    if not mine:
        raise LeaseLost(f"the lease with fence {lease.fence} is lost: another engine holds the store now")
    return Lease(name, lease.holder, mine[0][0], lease.until)


def release(store: Store, name: str, lease: Lease) -> None:
    """Frees it for the next holder at once; nothing when it is lost already."""
    with store.write(None) as connection:
        wire(connection).rows(
            "UPDATE lease SET holder = '', until_us = 0 WHERE name = ? AND fence = ? AND holder = ?",
            (name, lease.fence, lease.holder),
        )


def free_dead(store: Store, name: str, held: HeldBy) -> None:
    """Frees the lease of a holder that is known to be dead; nothing when another has taken it meanwhile."""
    with store.write(None) as connection:
        wire(connection).rows(
            "UPDATE lease SET holder = '', until_us = 0 WHERE name = ? AND holder = ? AND since_us = ?",
            (name, held.holder, micros(held.since)),
        )


def tell_trouble(store: Store, fence: int, words: str) -> None:
    """What every header and "headway status" say of the engine that works; empty when all is well."""
    with store.write(fence) as connection:
        wire(connection).rows(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (TROUBLE, words),
        )


def _now(lines: Wire, store: Store) -> int:
    if store.is_sqlite:
        return time.time_ns() // 1_000
    return int(lines.rows("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)")[0][0])
