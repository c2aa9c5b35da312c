"""People's responses to alerts: acknowledgements and silences.

Each response is one transaction with its audit row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from console.domain.ids import incident_name, instant
from console.domain.request import RequestKind
from console.domain.text import At
from console.store.audit import ChangeOrigin
from console.store.db.session import Row, Session
from console.store.errors import ItemNotFound
from console.store.events import record_event
from console.store.request_queue import check_key
from console.text.cleaning import clean_line

if TYPE_CHECKING:
    from console.store.db.database import Database


_SENT = "acknowledgement_sent"
"""Kind of event."""


class ActiveAcknowledgement(NamedTuple):
    key: str
    """Of its request."""
    sent: tuple[str, ...] = ()
    """The on-call services that it was sent to."""


def acknowledge(
    store: Database,
    fence: int,
    incident_id: int,
    until_us: int,
    change: ChangeOrigin,
    key: str = "",
    keeps_later: bool = False,
) -> str:
    """Acknowledges the incident until then, once per key; the newest acknowledgement counts. `keeps_later`: it ends no
    earlier than the one that it replaces. The reason for refusal; empty on success. Raises ItemNotFound, KeyReused."""
    name = incident_name(incident_id)
    with store.write(fence, durable=True) as session:
        incident = session.first("SELECT closed_us FROM incident WHERE id = ?", (incident_id,))
        if incident is None:
            raise ItemNotFound(name, f"there is no {name}")
        check_key(session, key, change.by)
        of_key = "SELECT 1 FROM acknowledgement WHERE incident_id = ? AND key = ? AND made_by = ?"
        if key and session.rows(of_key, (incident_id, key, change.by)):
            return ""
        if incident.closed_us is not None:
            return f"{name} is closed and cannot be acknowledged"
        last = _last_acknowledgement(session, incident_id)
        if keeps_later and last is not None and last.ended_us is None:
            until_us = max(until_us, last.until_us)
        session.rows(
            "INSERT INTO acknowledgement (incident_id, made_by, why, made_us, until_us, ended_us, ended_by, key)"
            " VALUES (?, ?, ?, ?, ?, NULL, '', ?)",
            (incident_id, change.by, change.why, change.now_us, until_us, key),
        )
        why = (f": {clean_line(change.why)}",) if change.why else ()
        text = "acknowledged until ", At(instant(until_us)), *why
        record_event(session, change.now_us, "acknowledged", text, incident_id=incident_id, actor=change.by)
        change.audit(session, RequestKind.ACKNOWLEDGE, name, {"until_us": until_us})
    return ""


def acknowledged_until(store: Database, incident_id: int) -> int:
    """End of the newest acknowledgement of an incident; 0: none."""
    with store.read() as session:
        last = _last_acknowledgement(session, incident_id)
        return int(last.until_us) if last is not None else 0


def _last_acknowledgement(session: Session, incident_id: int) -> Row | None:
    newest = "SELECT until_us, ended_us FROM acknowledgement WHERE incident_id = ? ORDER BY id DESC LIMIT 1"
    return session.first(newest, (incident_id,))


def end_acknowledgement(store: Database, fence: int, incident_id: int, change: ChangeOrigin) -> str:
    """Ends the incident's acknowledgement. The reason for refusal; empty on success."""
    name = incident_name(incident_id)
    with store.write(fence, durable=True) as session:
        ended = session.first(
            "UPDATE acknowledgement SET ended_us = ?, ended_by = ? WHERE id = (SELECT max(id) FROM acknowledgement"
            " WHERE incident_id = ?) AND ended_us IS NULL AND until_us > ? RETURNING made_by",
            (change.now_us, change.by, incident_id, change.now_us),
        )
        if ended is None:
            return f"{name} is unacknowledged"
        text = f"unacknowledged (was {ended.made_by})"
        record_event(session, change.now_us, "unacknowledged", text, incident_id=incident_id, actor=change.by)
        change.audit(session, RequestKind.UNACKNOWLEDGE, name, {"was": ended.made_by})
    return ""


def active_acknowledgements(store: Database, now_us: int) -> dict[int, ActiveAcknowledgement]:
    """The valid acknowledgement of each open incident that has one, by incident."""
    rows = store.rows(
        "SELECT a.incident_id, a.key, e.actor FROM incident i JOIN acknowledgement a ON a.id = (SELECT max(x.id)"
        " FROM acknowledgement x WHERE x.incident_id = i.id) LEFT JOIN event e ON e.incident_id = i.id AND e.kind ="
        " ? AND e.at_us >= a.made_us WHERE i.closed_us IS NULL AND a.ended_us IS NULL AND a.until_us > ?",
        (_SENT, now_us),
    )
    active: dict[int, ActiveAcknowledgement] = {}
    for row in rows:
        acknowledgement = active.get(row.incident_id, ActiveAcknowledgement(row.key))
        sent = (*acknowledgement.sent, *filter(None, (row.actor,)))
        active[row.incident_id] = acknowledgement._replace(sent=sent)
    return active


def record_sent_acknowledgement(
    store: Database, fence: int, incident_id: int, service: str, outcome: str, now_us: int
) -> None:
    """Adds to the timeline that the acknowledgement was sent to the service; `outcome`: its answer."""
    with store.write(fence) as session:
        record_event(session, now_us, _SENT, outcome, incident_id=incident_id, actor=service)


def add_silence(
    store: Database, fence: int, matchers: Mapping[str, str], from_us: int, until_us: int, change: ChangeOrigin
) -> int:
    """Silences alerts that match all of the matchers; the silence's number. The same silence of the same person, not
    expired, is not added again: Slack may send a press twice."""
    encoded = json.dumps(dict(matchers), sort_keys=True)
    with store.write(fence, durable=True) as session:
        same = (
            "SELECT id FROM silence WHERE matchers = ? AND from_us = ? AND until_us = ? AND made_by = ?"
            " AND ended_us IS NULL"
        )
        if existing := session.first(same, (encoded, from_us, until_us, change.by)):
            return int(existing.id)
        [row] = session.rows(
            "INSERT INTO silence (matchers, from_us, until_us, why, made_by, made_us, ended_us, ended_by)"
            " VALUES (?, ?, ?, ?, ?, ?, NULL, '') RETURNING id",
            (encoded, from_us, until_us, change.why, change.by, change.now_us),
        )
        detail = {"matchers": dict(matchers), "from_us": from_us, "until_us": until_us}
        change.audit(session, RequestKind.ADD_SILENCE, f"silence {row.id}", detail)
    return int(row.id)


def expire_silence(store: Database, fence: int, number: int, change: ChangeOrigin) -> None:
    """Ends a silence now. Raises ItemNotFound."""
    name = f"silence {number}"
    with store.write(fence, durable=True) as session:
        ended = session.first(
            "UPDATE silence SET ended_us = ?, ended_by = ? WHERE id = ? AND ended_us IS NULL AND until_us > ?"
            " RETURNING matchers",
            (change.now_us, change.by, number, change.now_us),
        )
        if ended is None:
            raise ItemNotFound(name, f"there is no active {name}; headway silence lists them")
        change.audit(session, RequestKind.EXPIRE_SILENCE, name, {"matchers": json.loads(ended.matchers)})
