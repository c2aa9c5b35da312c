"""Routing of alerts: releases, digests, fallback routes, parked deliveries, Headway's own alerts, rotas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from console.domain.alert import OnCallShift, PendingAlert
from console.domain.message import Lines
from console.domain.request import RequestKind
from console.store.alerts import (
    DIGEST,
    FALLBACK,
    HEADWAY,
    HEADWAY_RESOLVED,
    PERSON,
    NewAlert,
    insert_alert,
    put_into_digest,
)
from console.store.audit import ChangeOrigin
from console.store.db.database import Database
from console.store.db.session import Row
from console.store.events import record_event
from console.store.notification_state import parse_shifts
from console.store.outbox import DUE_US, ORIGIN_KIND, REPLACED_BY, pending_alert
from console.store.row_values import from_row

# ruff: noqa: S608  (only our own names; every value is bound)
Routes = Mapping[str, tuple[str, ...]]
"""Route -> the text of each of its URL references."""


@dataclass(frozen=True, slots=True)
class UndeliveredAlert:
    """An alert that its own route has not accepted in time."""

    id: int
    route: str
    new: NewAlert
    """As it was created."""
    error: str
    """The last error of its URLs."""


@dataclass(frozen=True, slots=True)
class FailedDeliveries:
    """The deliveries of one route that are abandoned, or tried again."""

    route: str
    count: int
    error: str
    """One of their last errors."""
    news_us: int = 0
    """When the latest one not about Headway itself was parked; 0 without one."""


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The outcome at one URL of an alert that was sent from memory."""

    arrived: bool
    at_us: int
    tries: int
    error: str
    maybe_arrived: bool
    """The reply to one of the tries was lost."""


_UNDELIVERED = (
    "SELECT a.id, a.kind, a.message, a.dedup_key, a.plain, a.incident_id, a.version, a.urgent, a.fallback_of,"
    " COALESCE((SELECT max(d.error) FROM delivery d WHERE"
    " d.alert_id = a.id), '') AS error FROM alert a WHERE a.route = ? AND NOT a.waits AND a.digest_id IS NULL"
    " AND a.handed_us IS NULL AND a.kind <> 'test'"
    " AND a.made_us >= ? AND EXISTS (SELECT 1 FROM delivery d WHERE d.alert_id = a.id AND (d.state IN"
    f" ('pending', 'claimed', 'parked') OR (d.state = 'dropped' AND a.kind = '{DIGEST}' AND NOT EXISTS (SELECT 1 FROM"
    " alert m JOIN alert n ON n.incident_id = m.incident_id AND n.route = m.route AND n.id > m.id JOIN delivery o ON"
    " o.alert_id = COALESCE(n.digest_id, n.id) WHERE m.digest_id = a.id AND o.state = 'sent'))))"
    " AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.alert_id = a.id AND"
    " d.state IN ('sent', 'shadow')) AND (COALESCE((SELECT min(e.let_us) FROM alert e WHERE e.digest_id = a.id AND"
    " a.incident_id IS NOT NULL AND e.let_us > 0), a.let_us) <= ? OR NOT EXISTS (SELECT 1 FROM delivery d WHERE"
    " d.alert_id = a.id AND d.state IN ('pending', 'claimed', 'dropped'))) AND NOT EXISTS (SELECT 1 FROM delivery x"
    " JOIN alert y"
    f" ON y.id = x.alert_id WHERE y.id = a.id AND x.state = 'pending' AND EXISTS ({REPLACED_BY}))"
    f" AND (a.incident_id IS NULL OR {ORIGIN_KIND.format('a')} = '{PERSON}' OR EXISTS (SELECT 1 FROM incident i WHERE"
    " i.id = a.incident_id AND i.closed_us IS NULL) OR EXISTS (SELECT 1 FROM alert f JOIN delivery t ON t.alert_id ="
    " COALESCE(f.digest_id, f.id) WHERE f.incident_id = a.incident_id AND f.route = ? AND t.state <> 'dropped'))"
    " ORDER BY a.id"
)


_PENDING = (
    "SELECT a.id, a.route, a.made_us, a.urgent, a.incident_id, a.message, a.plain,"
    f" {ORIGIN_KIND.format('a')} = '{PERSON}' AS needs_person, {DUE_US.format('a')} FROM alert a WHERE"
)


def pending_alerts(store: Database) -> list[PendingAlert]:
    """Oldest first."""
    rows = store.rows(f"{_PENDING} a.waits = ? ORDER BY a.id", (True,))
    return [pending_alert(row) for row in rows]  # not "WHERE waits": for that SQLite would read all alerts each second


def due_ends(store: Database, until_us: int) -> list[PendingAlert]:
    """The ends that wait for an hour, due until then, of incidents that their route was not notified of; by route."""
    rows = store.rows(
        f"{_PENDING} a.kind = 'recovered' AND a.id IN (SELECT d.alert_id FROM delivery d WHERE d.state = 'pending' AND"
        " d.tries = 0 AND d.next_us > 0 AND d.next_us <= ?) AND NOT EXISTS (SELECT 1 FROM alert e WHERE e.incident_id ="
        " a.incident_id AND e.route = a.route AND e.id < a.id) ORDER BY a.route, a.id",
        (until_us,),
    )
    return [pending_alert(row) for row in rows]


def released_since(store: Database, route: str, since_us: int, until_us: int) -> tuple[int, int | None]:
    """Number of the route's alerts released on their own in this time, and when its last digest was released (µs)."""
    [row] = store.rows(
        "SELECT (SELECT count(*) FROM alert WHERE route = ? AND let_us >= ? AND let_us <= ? AND kind NOT IN (?, ?)) AS"
        " alone, (SELECT max(let_us) FROM alert WHERE route = ? AND kind = ?) AS digest_us",
        (route, since_us, until_us, DIGEST, HEADWAY, route, DIGEST),
    )
    return int(row.alone), row.digest_us


def release_alerts(
    store: Database,
    fence: int,
    routes: Routes,
    alone: Sequence[int],
    digests: Sequence[tuple[NewAlert, Sequence[int]]],
    now_us: int,
) -> None:
    """Releases some alerts as they are, others in digests, which are written in the same transaction."""
    with store.write(fence) as session:
        session.many(
            "UPDATE alert SET waits = ?, let_us = ? WHERE id = ?", [(False, now_us, alert_id) for alert_id in alone]
        )
        for digest, alert_ids in digests:
            put_into_digest(session, alert_ids, insert_alert(session, routes, digest, now_us))


def undelivered_alerts(
    store: Database, route: str, before_us: int, not_before_us: int, fallback: str
) -> list[UndeliveredAlert]:
    """The route's alerts released in this time, or in place of one that was, neither accepted by a URL nor forwarded;
    parked ones included. Of a closed incident only those that need a person, unless the fallback was sent it."""
    rows = store.rows(_UNDELIVERED, (route, not_before_us, before_us, fallback))
    return [UndeliveredAlert(row.id, route, from_row(NewAlert, row, route=route), row.error) for row in rows]


def forward_to_fallback(
    store: Database, fence: int, routes: Routes, alerts: Sequence[tuple[int, NewAlert]], now_us: int
) -> None:
    """Sends each alert to its fallback route, once: the copy and its mark are one transaction."""
    with store.write(fence) as session:
        for alert_id, new in alerts:
            insert_alert(session, routes, new, now_us)
            session.rows("UPDATE alert SET handed_us = ? WHERE id = ?", (now_us, alert_id))


def park_strays(store: Database, fence: int, routes: Routes, now_us: int) -> list[int]:
    """Parks deliveries to URLs that left the config; their ids. An alert with other URLs keeps waiting for those."""
    with store.write(fence) as session:
        rows = session.rows(
            "SELECT d.id, a.route, d.receiver, d.url_index FROM delivery d JOIN alert a ON a.id = d.alert_id"
            " WHERE d.state = 'pending' ORDER BY d.id"
        )
        strays = [row for row in rows if not is_configured_url(routes, row.route, row.receiver, row.url_index)]
        session.many(
            "UPDATE delivery SET state = 'parked', parked_us = ?, error = ? WHERE id = ?",
            [(now_us, stray_text(row.route, row.receiver), row.id) for row in strays],
        )
        session.many(
            "UPDATE alert SET waits = ? WHERE id = (SELECT alert_id FROM delivery WHERE id = ?) AND NOT EXISTS"
            " (SELECT 1 FROM delivery d WHERE d.alert_id = alert.id AND d.state = 'pending')",
            [(False, row.id) for row in strays],
        )
    return [row.id for row in strays]


def is_configured_url(routes: Routes, route: str, text: str, index: int) -> bool:
    """Whether the config still has this URL of the route: by its reference's text, else by its index."""
    urls = routes.get(route, ())
    return text in urls if text else index < len(urls)


def stray_text(route: str, text: str) -> str:
    """Why a delivery whose URL left the config is parked."""
    return f'route "{route}" has no URL {text or "there"} any more'


def parked_deliveries(store: Database) -> list[FailedDeliveries]:
    """Parked deliveries by route, without tests."""
    rows = store.rows(
        "SELECT a.route, count(*) AS count, max(d.error) AS error,"
        " max(CASE WHEN a.kind = 'headway' THEN 0 ELSE COALESCE(d.parked_us, 0) END) AS news_us FROM delivery d"
        " JOIN alert a ON a.id = d.alert_id WHERE d.state = 'parked' AND a.kind <> 'test'"
        " GROUP BY a.route ORDER BY a.route"
    )
    return [from_row(FailedDeliveries, row) for row in rows]


def retried_deliveries(store: Database) -> list[FailedDeliveries]:
    """Deliveries by route that failed and are tried again, from the second try on, without tests."""
    rows = store.rows(
        "SELECT a.route, count(*) AS count, max(d.error) AS error FROM delivery d JOIN alert a ON a.id = d.alert_id"
        " WHERE d.state IN ('pending', 'claimed') AND d.tries > 1 AND d.error <> '' AND a.kind <> 'test'"
        " GROUP BY a.route ORDER BY a.route"
    )
    return [from_row(FailedDeliveries, row) for row in rows]


def last_alert(store: Database, dedup_key: str, since_us: int) -> Row | None:
    """`version` and `made_us` of the last alert under this key since then."""
    return store.first(
        "SELECT version, made_us FROM alert WHERE dedup_key = ? AND made_us >= ? ORDER BY id DESC LIMIT 1",
        (dedup_key, since_us),
    )


def notified_since(store: Database, dedup_key: str, since_us: int) -> bool:
    """Whether the last alert under this key since then reported a problem, not its resolution."""
    last = last_alert(store, dedup_key, since_us)
    return last is not None and last.version != HEADWAY_RESOLVED


def create_alert(store: Database, fence: int, routes: Routes, new: NewAlert, now_us: int) -> int | None:
    """Creates an alert that is about no incident; its id."""
    with store.write(fence) as session:
        return insert_alert(session, routes, new, now_us)


def record_note(store: Database, fence: int, text: str, since_us: int, now_us: int) -> None:
    """Adds a line to the shadow report, unless it has the same one since then."""
    known = "SELECT 1 FROM event WHERE kind = 'shadow_notified' AND text = ? AND at_us >= ? LIMIT 1"
    if store.rows(known, (text, since_us)):
        return
    with store.write(fence) as session:
        record_event(session, now_us, "shadow_notified", text)


def record_offline_alert(
    store: Database, fence: int, routes: Routes, new: NewAlert, made_us: int, outcomes: Mapping[int, DeliveryOutcome]
) -> None:
    """Stores an alert sent from memory while the store was unusable: delivered URLs are sent, the others due."""
    with store.write(fence) as session:
        alert_id = insert_alert(session, routes, new, made_us)
        for index, outcome in outcomes.items():
            session.rows(
                "UPDATE delivery SET state = ?, sent_us = ?, wire_us = ?, tries = ?, error = ?, repeats = ?"
                " WHERE alert_id = ? AND url_index = ?",
                (
                    "sent" if outcome.arrived else "pending", outcome.at_us if outcome.arrived else None,
                    outcome.at_us if outcome.arrived or outcome.maybe_arrived else None, outcome.tries,
                    "" if outcome.arrived else outcome.error, int(outcome.maybe_arrived), alert_id, index,
                ),
            )  # fmt: skip


def create_route_test(store: Database, fence: int, routes: Routes, new: NewAlert, change: ChangeOrigin) -> int | None:
    """Creates the alert that tests a route, with its audit row; its id."""
    with store.write(fence) as session:
        alert_id = insert_alert(session, routes, new, change.now_us)
        change.audit(session, RequestKind.TEST_ALERT, f"route {new.route}", {"alert": alert_id})
    return alert_id


def as_fallback(alert: UndeliveredAlert, fallback: str, first_line: str, plain_line: str) -> NewAlert:
    """The same alert for another route, with the reason on top. Alerts that need a person have versions of their own,
    which must not be those of their incident."""
    return replace(
        alert.new,
        route=fallback,
        kind=FALLBACK,
        message=alert.new.message.without_countdown().below(Lines((first_line,))),
        plain=alert.new.plain.without_countdown().below(Lines((plain_line,))),
        fallback_of=alert.new.fallback_of or alert.id,
        version=-alert.id if alert.new.kind == PERSON else alert.new.version,
    )


@dataclass(frozen=True, slots=True)
class RotaReading:
    name: str
    source: str
    shifts: str
    """JSON: [person, begins µs, ends µs]."""
    until_us: int
    problem: str = ""
    """The part of the calendar that could not be read."""


def record_rota(store: Database, fence: int, rota: RotaReading, now_us: int) -> bool:
    """Stores only its shifts, not the calendar's private text; True if they changed."""
    with store.write(fence) as session:
        before = session.first("SELECT shifts FROM rota WHERE name = ?", (rota.name,))
        session.rows(
            "INSERT INTO rota (name, source, text, shifts, until_us, read_us, tried_us, error) VALUES (?, ?, '', ?, ?,"
            " ?, ?, ?) ON CONFLICT (name) DO UPDATE SET source = excluded.source, text = '', shifts = excluded.shifts,"
            " until_us = excluded.until_us, read_us = excluded.read_us, tried_us = excluded.tried_us,"
            " error = excluded.error",
            (rota.name, rota.source, rota.shifts, rota.until_us, now_us, now_us, rota.problem),
        )
    return before is None or before.shifts != rota.shifts


def record_rota_failure(
    store: Database, fence: int, name: str, source: str, error: str, now_us: int
) -> tuple[OnCallShift, ...]:
    """Records why it could not be read; its stored shifts, which stay in use."""
    with store.write(fence) as session:
        rows = session.rows(
            "INSERT INTO rota (name, source, text, shifts, until_us, read_us, tried_us, error)"
            " VALUES (?, ?, '', '[]', 0, 0, ?, ?) ON CONFLICT (name) DO UPDATE SET source = excluded.source,"
            " tried_us = excluded.tried_us, error = excluded.error RETURNING shifts",
            (name, source, now_us, error),
        )
    return parse_shifts(rows[0].shifts)
