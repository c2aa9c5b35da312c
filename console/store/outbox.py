"""Deliveries as rows: claimed, touched the wire, sent or put off. Every step is its own transaction."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from console.store.open import Store

RETRY_CAP_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """One alert for one URL of its route, claimed by this engine."""

    id: int
    route: str
    url_index: int
    title: str
    body: str
    dedup_key: str
    tries: int
    repeats: int
    maybe_repeat: bool
    """The wire was touched before and nobody knows whether it arrived."""


def recover_claims(store: Store, fence: int) -> int:
    """Puts back what a dead engine had claimed; what had touched the wire becomes a marked repeat. How many."""
    with store.write(fence) as connection:
        done = connection.execute(
            text(
                "UPDATE delivery SET state = 'pending', next_us = 0,"
                " repeats = repeats + CASE WHEN wire_us IS NULL THEN 0 ELSE 1 END WHERE state = 'claimed'"
            )
        )
        return int(done.rowcount)


def claim_due(
    store: Store, fence: int, now_us: int, busy: frozenset[tuple[str, int]], limit: int = 20
) -> list[DueDelivery]:
    """Up to `limit` deliveries that are due, the oldest of each (route, url) and none of the `busy` ones: however many
    wait for one that is broken, the others have theirs."""
    found = text(
        "SELECT d.id, a.route, d.url_index, a.title, a.body, a.dedup_key, d.tries, d.repeats, d.wire_us"
        " FROM delivery d JOIN alert a ON a.id = d.alert_id WHERE d.id IN"
        " (SELECT MIN(x.id) FROM delivery x JOIN alert y ON y.id = x.alert_id"
        " WHERE x.state = 'pending' AND x.next_us <= :now GROUP BY y.route, x.url_index) ORDER BY a.id, d.url_index"
    )
    with store.write(fence) as connection:
        rows = [row for row in connection.execute(found, {"now": now_us}) if (row.route, row.url_index) not in busy]
        due = [
            DueDelivery(
                row.id, row.route, row.url_index, row.title, row.body, row.dedup_key, row.tries, row.repeats,
                maybe_repeat=row.wire_us is not None,
            )
            for row in rows[:limit]
        ]  # fmt: skip
        for one in due:
            connection.execute(
                text("UPDATE delivery SET state = 'claimed', tries = tries + 1 WHERE id = :id"), {"id": one.id}
            )
    return due


def touch_wire(store: Store, fence: int, delivery_id: int, now_us: int) -> None:
    """From here on nobody but the receiver knows whether it arrived."""
    with store.write(fence) as connection:
        connection.execute(
            text("UPDATE delivery SET wire_us = :now WHERE id = :id"), {"id": delivery_id, "now": now_us}
        )


def put_back(store: Store, fence: int, delivery_id: int) -> None:
    """It was claimed and nobody sends it: due again at once, as a marked repeat where the wire was touched."""
    with store.write(fence) as connection:
        connection.execute(
            text(
                "UPDATE delivery SET state = 'pending', next_us = 0,"
                " repeats = repeats + CASE WHEN wire_us IS NULL THEN 0 ELSE 1 END WHERE id = :id AND state = 'claimed'"
            ),
            {"id": delivery_id},
        )


def record_sent(store: Store, fence: int, delivery_id: int, now_us: int) -> None:
    with store.write(fence) as connection:
        connection.execute(
            text("UPDATE delivery SET state = 'sent', sent_us = :now, error = '' WHERE id = :id"),
            {"id": delivery_id, "now": now_us},
        )


def put_off(store: Store, fence: int, delivery_id: int, error: str, next_us: int, arrived: bool | None) -> None:
    """Tries again at `next_us`. `arrived` False: the receiver refused it or was never reached, so the next try is no
    repeat; where the answer to an earlier one was lost, it stays one. None: nobody knows."""
    with store.write(fence) as connection:
        connection.execute(
            text(
                "UPDATE delivery SET state = 'pending', error = :error, next_us = :next,"
                " wire_us = CASE WHEN :certain = 1 AND repeats = 0 THEN NULL ELSE wire_us END,"
                " repeats = repeats + CASE WHEN :certain = 1 OR wire_us IS NULL THEN 0 ELSE 1 END WHERE id = :id"
            ),
            {"id": delivery_id, "error": error, "next": next_us, "certain": int(arrived is False)},
        )


def next_due(store: Store) -> int | None:
    """When the next pending delivery is due (µs); None without one."""
    with store.read() as connection:
        return connection.execute(text("SELECT min(next_us) FROM delivery WHERE state = 'pending'")).scalar()
