"""Alerts on their way to routes: pending release, digests, fallback routes, parked deliveries, Headway's own alerts,
rotas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.domain.alert import OnCallShift
from console.domain.ids import incident_name, instant
from console.store import audit
from console.store.alerts import DIGEST, FALLBACK, HEADWAY, NewAlert, insert_alert
from console.store.db.database import Database
from console.store.db.session import Row
from console.store.events import record_event

RESOLVED = 2
"""Version of an alert about Headway itself which says that its trouble is over."""
Routes = Mapping[str, tuple[str, ...]]
"""Route -> the words of each of its URLs."""


@dataclass(frozen=True, slots=True)
class WaitingAlert:
    """An alert that has not been let out."""

    id: int
    route: str
    made_us: int
    urgent: bool
    incident: str
    title: str
    plain_title: str


@dataclass(frozen=True, slots=True)
class UndeliveredAlert:
    """An alert that its own route has not accepted in time."""

    id: int
    route: str
    new: NewAlert
    """As it was made."""
    error: str
    """What its URLs answered last."""


@dataclass(frozen=True, slots=True)
class ParkedDeliveries:
    """Deliveries of one route that were given up."""

    route: str
    count: int
    news_us: int
    """When the latest of them was given up that was not about Headway itself; 0 without one."""
    error: str


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """How far one URL of an alert came that left from memory."""

    arrived: bool
    at_us: int
    tries: int
    error: str
    maybe_arrived: bool
    """The answer to one of the tries was lost."""


def pending_alerts(store: Database) -> list[WaitingAlert]:
    """Oldest first."""
    with store.read() as session:
        rows = session.rows(
            "SELECT id, route, made_us, urgent, incident_id, title, plain_title FROM alert WHERE waits = ? ORDER BY id",
            (True,),  # not "WHERE waits": for that SQLite reads all alerts that there ever were, once a second
        )
    return [
        WaitingAlert(
            row.id, row.route, row.made_us, bool(row.urgent),
            incident_name(row.incident_id) if row.incident_id else "", row.title, row.plain_title,
        )
        for row in rows
    ]  # fmt: skip


def released_since(store: Database, route: str, since_us: int) -> tuple[int, int | None]:
    """How many alerts of the route were let out alone since then, and when its last digest left (µs)."""
    with store.read() as session:
        [(alone, digest)] = session.rows(
            "SELECT (SELECT count(*) FROM alert WHERE route = ? AND let_us >= ? AND kind NOT IN (?, ?)),"
            " (SELECT max(let_us) FROM alert WHERE route = ? AND kind = ?)",
            (route, since_us, DIGEST, HEADWAY, route, DIGEST),
        )
    return int(alone), digest


def release_alerts(
    store: Database,
    fence: int,
    routes: Routes,
    alone: Sequence[int],
    digests: Sequence[tuple[NewAlert, Sequence[int]]],
    now_us: int,
) -> None:
    """Some alerts leave as they are; others in a digest, which is written in the same transaction."""
    with store.write(fence) as session:
        session.many("UPDATE alert SET waits = ?, let_us = ? WHERE id = ?", [(False, now_us, one) for one in alone])
        for digest, together in digests:
            digest_id = insert_alert(session, routes, digest, now_us)
            session.many(
                "UPDATE alert SET waits = ?, digest_id = ? WHERE id = ?", [(False, digest_id, one) for one in together]
            )
            session.many(
                "UPDATE delivery SET state = 'digested' WHERE alert_id = ? AND state = 'pending'",
                [(one,) for one in together],
            )


def undelivered_alerts(store: Database, route: str, before_us: int, not_before_us: int) -> list[UndeliveredAlert]:
    """Alerts of the route let out in this time that nobody accepted and that were not handed on; those too that all
    URLs have given up."""
    with store.read() as session:
        rows = session.rows(
            "SELECT a.id, a.kind, a.title, a.body, a.dedup_key, a.plain_title, a.plain_body, a.incident_id, a.version,"
            " a.urgent, COALESCE((SELECT max(d.error) FROM delivery d WHERE d.alert_id = a.id), '') AS error"
            " FROM alert a WHERE a.route = ? AND NOT a.waits AND a.digest_id IS NULL AND a.handed_us IS NULL"
            " AND a.kind <> 'test' AND a.made_us >= ?"
            " AND EXISTS (SELECT 1 FROM delivery d WHERE d.alert_id = a.id"
            " AND d.state IN ('pending', 'claimed', 'parked'))"
            " AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.alert_id = a.id AND d.state IN ('sent', 'shadow'))"
            " AND (a.let_us <= ? OR NOT EXISTS"
            " (SELECT 1 FROM delivery d WHERE d.alert_id = a.id AND d.state IN ('pending', 'claimed')))"
            " ORDER BY a.id",
            (route, not_before_us, before_us),
        )
    return [UndeliveredAlert(row.id, route, _alert(route, row), row.error) for row in rows]


def _alert(route: str, row: Row) -> NewAlert:
    return NewAlert(
        route, row.kind, row.title, row.body, row.dedup_key, row.plain_title, row.plain_body, row.incident_id,
        row.version, bool(row.urgent),
    )  # fmt: skip


def forward_to_fallback(
    store: Database, fence: int, routes: Routes, found: Sequence[tuple[int, NewAlert]], now_us: int
) -> None:
    """Each alert once more, to its fallback route, in the transaction that remembers it: once, whatever is killed."""
    with store.write(fence) as session:
        for alert_id, new in found:
            insert_alert(session, routes, new, now_us)
            session.rows("UPDATE alert SET handed_us = ? WHERE id = ?", (now_us, alert_id))


def park_strays(store: Database, fence: int, routes: Routes, now_us: int) -> list[int]:
    """Parks what waits for a URL that its route has no more: nobody can send it. Their ids. An alert that has other
    URLs goes on waiting for them: it still leaves alone or in a digest, as the route's limit lets it."""
    with store.write(fence) as session:
        rows = session.rows(
            "SELECT d.id, a.route, d.url_words, d.url_index FROM delivery d JOIN alert a ON a.id = d.alert_id"
            " WHERE d.state = 'pending' ORDER BY d.id"
        )
        gone = [row for row in rows if not is_configured_url(routes, row.route, row.url_words, row.url_index)]
        session.many(
            "UPDATE delivery SET state = 'parked', parked_us = ?, error = ? WHERE id = ?",
            [(now_us, stray_text(row.route, row.url_words), row.id) for row in gone],
        )
        session.many(
            "UPDATE alert SET waits = ? WHERE id = (SELECT alert_id FROM delivery WHERE id = ?) AND NOT EXISTS"
            " (SELECT 1 FROM delivery d WHERE d.alert_id = alert.id AND d.state = 'pending')",
            [(False, row.id) for row in gone],
        )
    return [row.id for row in gone]


def is_configured_url(routes: Routes, route: str, words: str, index: int) -> bool:
    """Whether config still has this URL of the route: known by the words of its reference, else by its place."""
    urls = routes.get(route, ())
    return words in urls if words else index < len(urls)


def stray_text(route: str, words: str) -> str:
    """Why a delivery whose URL left config is parked."""
    return f'route "{route}" has no URL {words or "there"} any more'


def parked_deliveries(store: Database) -> list[ParkedDeliveries]:
    """What was given up and not asked for again, by route. Tests are not among it."""
    with store.read() as session:
        rows = session.rows(
            "SELECT a.route, count(*), max(CASE WHEN a.kind = 'headway' THEN 0 ELSE COALESCE(d.parked_us, 0) END),"
            " max(d.error) FROM delivery d"
            " JOIN alert a ON a.id = d.alert_id WHERE d.state = 'parked' AND a.kind <> 'test'"
            " GROUP BY a.route ORDER BY a.route"
        )
    return [ParkedDeliveries(*row) for row in rows]


def notified_since(store: Database, dedup_key: str, since_us: int) -> bool:
    """Whether what was told last under this key since then was trouble, and not that it is OVER."""
    with store.read() as session:
        rows = session.rows(
            "SELECT version FROM alert WHERE dedup_key = ? AND made_us >= ? ORDER BY id DESC LIMIT 1",
            (dedup_key, since_us),
        )
    return bool(rows) and rows[0].version != RESOLVED


def create_alert(store: Database, fence: int, routes: Routes, new: NewAlert, now_us: int) -> int | None:
    """An alert that is about no incident; its id."""
    with store.write(fence) as session:
        return insert_alert(session, routes, new, now_us)


def record_note(store: Database, fence: int, words: str, since_us: int, now_us: int) -> None:
    """A line for the shadow report, where the same was not noted since then."""
    known = "SELECT 1 FROM event WHERE kind = 'shadow' AND words = ? AND at_us >= ? LIMIT 1"
    with store.read() as session:
        if session.rows(known, (words, since_us)):
            return
    with store.write(fence) as session:
        record_event(session, now_us, "shadow", words)


def record_offline_alert(
    store: Database, fence: int, routes: Routes, new: NewAlert, made_us: int, outcomes: Mapping[int, DeliveryOutcome]
) -> None:
    """An alert that left from memory while the store could not be used: what arrived is sent, the rest is due."""
    with store.write(fence) as session:
        alert_id = insert_alert(session, routes, new, made_us)
        for place, one in outcomes.items():
            session.rows(
                "UPDATE delivery SET state = ?, sent_us = ?, wire_us = ?, tries = ?, error = ?, repeats = ?"
                " WHERE alert_id = ? AND url_index = ?",
                (
                    "sent" if one.arrived else "pending", one.at_us if one.arrived else None,
                    one.at_us if one.arrived or one.maybe_arrived else None, one.tries,
                    "" if one.arrived else one.error, int(one.maybe_arrived), alert_id, place,
                ),
            )  # fmt: skip


def create_requested_alert(
    store: Database, fence: int, routes: Routes, new: NewAlert, now_us: int, by: str, origin: str
) -> int | None:
    """An alert that a person asked for, and that they did; its id."""
    with store.write(fence) as session:
        alert_id = insert_alert(session, routes, new, now_us)
        audit.append(session, now_us, by, origin, f"alert {new.kind}", f"route {new.route}", {"alert": alert_id})
    return alert_id


def as_fallback(one: UndeliveredAlert, fallback: str, first_line: str, plain_line: str) -> NewAlert:
    """The same alert for another route, with the reason on top."""
    return NewAlert(
        route=fallback,
        kind=FALLBACK,
        title=one.new.title,
        body=f"{first_line}\n\n{one.new.body}",
        dedup_key=one.new.dedup_key,
        plain_title=one.new.plain_title,
        plain_body=f"{plain_line}\n\n{one.new.plain_body}",
        incident_id=one.new.incident_id,
        version=one.new.version,
        urgent=one.new.urgent,
        fallback_of=one.id,
    )


@dataclass(frozen=True, slots=True)
class RotaReading:
    """One rota as it was read."""

    name: str
    source: str
    shifts: str
    """JSON: [person, begins µs, ends µs]."""
    until_us: int


def record_rota(store: Database, fence: int, one: RotaReading, now_us: int) -> bool:
    """Keeps its shifts, and nothing else of the calendar: nobody asks for it, and who is ill is nobody's business. True
    where somebody else is on call some time than before."""
    with store.write(fence) as session:
        before = session.rows("SELECT shifts FROM rota WHERE name = ?", (one.name,))
        session.rows(
            "INSERT INTO rota (name, source, text, shifts, until_us, read_us, tried_us, error)"
            " VALUES (?, ?, '', ?, ?, ?, ?, '') ON CONFLICT (name) DO UPDATE SET source = excluded.source,"
            " text = '', shifts = excluded.shifts, until_us = excluded.until_us,"
            " read_us = excluded.read_us, tried_us = excluded.tried_us, error = ''",
            (one.name, one.source, one.shifts, one.until_us, now_us, now_us),
        )
    return not before or before[0].shifts != one.shifts


def record_rota_failure(
    store: Database, fence: int, name: str, source: str, error: str, now_us: int
) -> tuple[OnCallShift, ...]:
    """Notes why it could not be read; the shifts that go on."""
    with store.write(fence) as session:
        rows = session.rows(
            "INSERT INTO rota (name, source, text, shifts, until_us, read_us, tried_us, error)"
            " VALUES (?, ?, '', '[]', 0, 0, ?, ?) ON CONFLICT (name) DO UPDATE SET source = excluded.source,"
            " tried_us = excluded.tried_us, error = excluded.error RETURNING shifts",
            (name, source, now_us, error),
        )
    return tuple(
        OnCallShift(person, instant(begins), instant(ends)) for person, begins, ends in json.loads(rows[0].shifts)
    )
