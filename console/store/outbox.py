"""Deliveries as rows: claimed, touched the wire, sent, put off or parked. Every step is its own transaction."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from console.store import audit
from console.store.alert_rows import DIGEST
from console.store.open import Store

# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
_SENT_BEFORE = (
    "EXISTS (SELECT 1 FROM alert s JOIN delivery t ON t.alert_id = s.id WHERE s.incident_id = a.incident_id"
    " AND s.route = a.route AND t.url_index = d.url_index AND t.id <> d.id AND t.wire_us IS NOT NULL)"
)
_OWN_BEFORE = (
    "SELECT 1 FROM alert e JOIN delivery o ON o.alert_id = COALESCE(e.digest_id, e.id)"
    " WHERE e.incident_id = y.incident_id"
    " AND e.route = y.route AND o.url_index = x.url_index AND o.id < x.id AND o.state IN ('pending', 'claimed')"
)
"""Something said earlier of the incident that the alert is about."""
_DIGEST_BEFORE = (
    "SELECT 1 FROM alert m JOIN alert e ON e.incident_id = m.incident_id AND e.route = m.route"
    " JOIN delivery o ON o.alert_id = e.digest_id WHERE m.digest_id = y.id"
    " AND o.url_index = x.url_index AND o.id < x.id AND o.state IN ('pending', 'claimed')"
)
"""An earlier digest that speaks of one of the incidents of which this one does."""
_TOLD_OVER = (
    "SELECT e.id FROM alert m JOIN alert e ON e.incident_id = m.incident_id AND e.route = m.route AND e.id < m.id"
    " WHERE m.digest_id = :digest AND m.kind = 'recovered' AND COALESCE(e.digest_id, m.digest_id) = m.digest_id"
    " AND NOT EXISTS"
    " (SELECT 1 FROM alert n WHERE n.digest_id = m.digest_id AND n.incident_id = m.incident_id AND n.id > m.id)"
)
"""Alerts of which a digest says that it is over."""
MOST_PARTS = 20
"""Of an incident into which many were merged, so many are named in the headers of a mail."""
AHEAD = 1 << 60
"""Taken from the number of an urgent delivery, so that it stands before all others."""


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
    url_words: str = ""
    kind: str = ""
    plain_title: str = ""
    plain_body: str = ""
    since_us: int = 0
    refusals: int = 0
    incident_id: int | None = None
    begins: bool = True
    """Nothing else of its incident went to this URL as a message of its own."""
    parts: tuple[str, ...] = ()
    """Dedup keys of the incidents that were merged into its own, the oldest first."""


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


def put_back_strays(store: Store, fence: int, busy: frozenset[tuple[str, int]]) -> None:
    """What is claimed and not at one of the `busy` URLs is nobody's: the answer to the commit of its claim was lost."""
    claimed = (
        "SELECT d.id, a.route, d.url_index FROM delivery d JOIN alert a ON a.id = d.alert_id WHERE d.state = 'claimed'"
    )
    with store.read() as connection:
        strays = [row.id for row in connection.execute(text(claimed)) if (row.route, row.url_index) not in busy]
    for one in strays:
        put_back(store, fence, one)


def claim_due(
    store: Store, fence: int, now_us: int, busy: frozenset[tuple[str, int]], limit: int = 20
) -> list[DueDelivery]:
    """Up to `limit` deliveries that are due and let out: of each (route, url) the oldest, urgent ones first, and
    none of the `busy` ones. However many wait for one that is broken, the others have theirs. Of one incident nothing
    leaves before what was said earlier: "recovered" after "opened", though that was put off, alone or with others. Only
    a digest does not wait for what is about one of many: what it tells as over is not told as open after it."""
    found = text(
        "SELECT d.id, a.route, d.url_index, a.title, a.body, a.dedup_key, d.tries, d.repeats, d.wire_us, d.url_words,"
        " a.kind, a.plain_title, a.plain_body, d.since_us, a.made_us, d.refusals, a.incident_id, a.id AS alert_id,"
        f" {_SENT_BEFORE} AS later"
        " FROM (SELECT MIN(CASE WHEN y.urgent THEN x.id - :ahead ELSE x.id END) AS first"
        " FROM delivery x JOIN alert y ON y.id = x.alert_id"
        " WHERE x.state = 'pending' AND x.next_us <= :now AND NOT y.waits"
        f" AND NOT EXISTS ({_OWN_BEFORE}) AND NOT EXISTS ({_DIGEST_BEFORE})"
        " GROUP BY y.route, x.url_index) q"
        " JOIN delivery d ON d.id = CASE WHEN q.first < 0 THEN q.first + :ahead ELSE q.first END"
        " JOIN alert a ON a.id = d.alert_id ORDER BY q.first"
    )
    with store.write(fence) as connection:
        rows = [
            row
            for row in connection.execute(found, {"now": now_us, "ahead": AHEAD})
            if (row.route, row.url_index) not in busy
        ]
        for row in rows[:limit]:
            connection.execute(
                text("UPDATE delivery SET state = 'claimed', tries = tries + 1 WHERE id = :id"), {"id": row.id}
            )
            if row.kind == DIGEST:
                _take_in(connection, row.alert_id, row.url_index)
        parts = {row.id: _merged_into(connection, row.incident_id) for row in rows[:limit]}
    return [
        DueDelivery(
            row.id, row.route, row.url_index, row.title, row.body, row.dedup_key, row.tries, row.repeats,
            row.wire_us is not None, row.url_words, row.kind, row.plain_title, row.plain_body,
            row.since_us or row.made_us, row.refusals, row.incident_id, not row.later,
            parts[row.id],
        )
        for row in rows[:limit]
    ]  # fmt: skip


def _merged_into(connection: Connection, incident_id: int | None) -> tuple[str, ...]:
    """The keys of all that ended as a symptom of the incident, or of a symptom of it."""
    if incident_id is None:
        return ()
    found = text(
        "WITH RECURSIVE part (id, key) AS (SELECT id, key FROM incident WHERE merged_into = :id"
        " UNION SELECT i.id, i.key FROM part p JOIN incident i ON i.merged_into = p.id)"
        " SELECT key FROM part ORDER BY id LIMIT :most"
    )
    return tuple(row.key for row in connection.execute(found, {"id": incident_id, "most": MOST_PARTS}))


def _take_in(connection: Connection, digest_id: int, url_index: int) -> None:
    """What was put off at that URL and is told there as over by the digest is part of it from now on."""
    pending = (
        f"SELECT d.id FROM delivery d WHERE d.state = 'pending' AND d.url_index = :url AND d.alert_id IN ({_TOLD_OVER})"
    )
    found = [row.id for row in connection.execute(text(pending), {"digest": digest_id, "url": url_index})]
    for one in found:
        connection.execute(text("UPDATE delivery SET state = 'digested' WHERE id = :id"), {"id": one})
        connection.execute(
            text("UPDATE alert SET digest_id = :digest WHERE id = (SELECT alert_id FROM delivery WHERE id = :id)"),
            {"digest": digest_id, "id": one},
        )


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


def put_off(
    store: Store, fence: int, delivery_id: int, error: str, next_us: int, arrived: bool | None, refusals: int = 0
) -> None:
    """Tries again at `next_us`. `arrived` False: the receiver refused it or was never reached, so the next try is no
    repeat; where the answer to an earlier one was lost, it stays one. None: nobody knows."""
    _failed(store, fence, delivery_id, "pending", error, arrived, refusals, next_us, None)


def park(
    store: Store, fence: int, delivery_id: int, error: str, now_us: int, arrived: bool | None, refusals: int = 0
) -> None:
    """Given up: never tried again but by a person's word. `arrived` as for `put_off`."""
    _failed(store, fence, delivery_id, "parked", error, arrived, refusals, 0, now_us)


def _failed(
    store: Store,
    fence: int,
    delivery_id: int,
    state: str,
    error: str,
    arrived: bool | None,
    refusals: int,
    next_us: int,
    parked_us: int | None,
) -> None:
    with store.write(fence) as connection:
        connection.execute(
            text(
                "UPDATE delivery SET state = :state, error = :error, next_us = :next, refusals = :refusals,"
                " parked_us = :parked,"
                " wire_us = CASE WHEN :certain = 1 AND repeats = 0 THEN NULL ELSE wire_us END,"
                " repeats = repeats + CASE WHEN :certain = 1 OR wire_us IS NULL THEN 0 ELSE 1 END WHERE id = :id"
            ),
            {"id": delivery_id, "state": state, "error": error, "next": next_us, "certain": int(arrived is False),
             "refusals": refusals, "parked": parked_us},
        )  # fmt: skip


def retry_parked(
    store: Store, fence: int, delivery_id: int | None, now_us: int, by: str = "", origin: str = ""
) -> list[int]:
    """Parked deliveries, this one or all, are due again as if made now; their ids. Tests are not among them. All leave
    as a flood does: within the route's limit alone, the rest in a digest. A digest leaves as it is."""
    with store.write(fence) as connection:
        rows = connection.execute(
            text(
                "UPDATE delivery SET state = 'pending', next_us = 0, since_us = :now, refusals = 0, parked_us = NULL,"
                " tries = 0 WHERE state = 'parked' AND (CAST(:id AS BIGINT) IS NULL OR id = :id)"
                " AND alert_id NOT IN (SELECT id FROM alert WHERE kind = 'test') RETURNING id"
            ),
            {"now": now_us, "id": delivery_id},
        )
        found = sorted(row[0] for row in rows)
        if delivery_id is None:
            connection.execute(text(_WAIT_AGAIN), {"now": now_us})
        if found:
            audit.append(connection, now_us, by, origin, "alert retry", "parked deliveries", {"deliveries": found})
        return found


_WAIT_AGAIN = (
    "UPDATE alert SET waits = TRUE, let_us = 0 WHERE kind NOT IN ('digest', 'group', 'headway') AND digest_id IS NULL"
    " AND id IN (SELECT d.alert_id FROM delivery d WHERE d.state = 'pending' AND d.since_us = :now)"
    " AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.alert_id = alert.id AND d.state IN ('sent', 'claimed'))"
)
"""Whoever of its route has it already gets it in no digest."""


def next_due(store: Store) -> int | None:
    """When the next pending delivery of what is let out is due (µs); None without one."""
    query = (
        "SELECT min(d.next_us) FROM delivery d JOIN alert a ON a.id = d.alert_id"
        " WHERE d.state = 'pending' AND NOT a.waits"
    )
    with store.read() as connection:
        return connection.execute(text(query)).scalar()
