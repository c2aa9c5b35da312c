"""What people say of alerts: acknowledgements, silences and usefulness; and the rows of the noise report.

Each response is one transaction with its row in the audit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from console.domain.ids import incident_name, micros
from console.domain.noise import NoiseAlert, NoiseReport, noise_report
from console.store import audit
from console.store.audit import ChangeOrigin
from console.store.db.session import Session, WriteSession
from console.store.errors import ItemNotFound
from console.store.events import record_event
from console.text.cleaning import clean_line

if TYPE_CHECKING:
    from console.store.db.database import Database


def acknowledge(
    store: Database, fence: int, incident_id: int, until_us: int, said: ChangeOrigin, until_words: str
) -> str:
    """Somebody is on it until then; the newest word counts. Why not, in words; empty when it is acknowledged."""
    with store.write(fence, durable=True) as session:
        if refused := _not_open_reason(session, incident_id):
            return refused
        session.rows(
            "INSERT INTO acknowledgement (incident_id, made_by, why, made_us, until_us, ended_us, ended_by)"
            " VALUES (?, ?, ?, ?, ?, NULL, '')",
            (incident_id, said.by, said.why, said.now_us, until_us),
        )
        why = f": {clean_line(said.why)}" if said.why else ""
        _record(session, incident_id, said, "acknowledged", f"{said.by} is on it until {until_words}{why}",
              {"until_us": until_us})  # fmt: skip
    return ""


def end_acknowledgement(store: Database, fence: int, incident_id: int, said: ChangeOrigin) -> str:
    """Nobody is on it any more. Why not, in words; empty when it is so."""
    with store.write(fence, durable=True) as session:
        rows = session.rows(
            "SELECT id, made_by FROM acknowledgement WHERE id = (SELECT max(id) FROM acknowledgement WHERE"
            " incident_id = ?) AND ended_us IS NULL AND until_us > ?",
            (incident_id, said.now_us),
        )
        if not rows:
            return f"nobody is on {incident_name(incident_id)}"
        session.rows(
            "UPDATE acknowledgement SET ended_us = ?, ended_by = ? WHERE id = ?", (said.now_us, said.by, rows[0][0])
        )
        words = f"{rows[0][1]} is not on it any more"
        _record(session, incident_id, said, "lapsed", words, {"was": rows[0][1]})
    return ""


def add_silence(
    store: Database, fence: int, matchers: Mapping[str, str], from_us: int, until_us: int, said: ChangeOrigin
) -> int:
    """Mutes what fits all of the matchers; the silence's number."""
    with store.write(fence, durable=True) as session:
        [(number,)] = session.rows(
            "INSERT INTO silence (matchers, from_us, until_us, why, made_by, made_us, ended_us, ended_by)"
            " VALUES (?, ?, ?, ?, ?, ?, NULL, '') RETURNING id",
            (json.dumps(dict(matchers), sort_keys=True), from_us, until_us, said.why, said.by, said.now_us),
        )
        detail = {"matchers": dict(matchers), "from_us": from_us, "until_us": until_us}
        audit.append(session, said.now_us, said.by, said.origin, "silence", f"silence {number}", detail, said.why)
    return int(number)


def end_silence(store: Database, fence: int, number: int, said: ChangeOrigin) -> None:
    """Ends a silence now. Raises ItemNotFound."""
    with store.write(fence, durable=True) as session:
        rows = session.rows(
            "UPDATE silence SET ended_us = ?, ended_by = ? WHERE id = ? AND ended_us IS NULL AND until_us > ?"
            " RETURNING matchers",
            (said.now_us, said.by, number, said.now_us),
        )
        if not rows:
            told = f"there is no silence {number} that lasts; headway silence lists them"
            raise ItemNotFound(f"silence {number}", told)
        detail = {"matchers": json.loads(rows[0][0])}
        audit.append(session, said.now_us, said.by, said.origin, "end silence", f"silence {number}", detail, said.why)


def record_usefulness(store: Database, fence: int, alert_id: int, useful: bool, said: ChangeOrigin) -> None:
    """Whether an alert was useful; the last word counts. Raises ItemNotFound."""
    with store.write(fence) as session:
        if not session.rows("SELECT 1 FROM alert WHERE id = ?", (alert_id,)):
            told = f"there is no alert {alert_id}; each alert names its ID in its last lines"
            raise ItemNotFound(f"alert {alert_id}", told)
        session.rows(
            "INSERT INTO alert_useful (alert_id, useful, said_by, why, said_us) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (alert_id) DO UPDATE SET useful = excluded.useful, said_by = excluded.said_by,"
            " why = excluded.why, said_us = excluded.said_us",
            (alert_id, useful, said.by, said.why, said.now_us),
        )
        detail = {"alert": alert_id, "useful": useful}
        audit.append(session, said.now_us, said.by, said.origin, "judge alert", f"alert {alert_id}", detail, said.why)


def _not_open_reason(session: WriteSession, incident_id: int) -> str:
    rows = session.rows("SELECT closed_us FROM incident WHERE id = ?", (incident_id,))
    name = incident_name(incident_id)
    if not rows:
        raise ItemNotFound(name, f"there is no {name}; headway incident lists them")
    return f"{name} is closed: there is nothing to be on" if rows[0][0] is not None else ""


def _record(
    session: WriteSession,
    incident_id: int,
    said: ChangeOrigin,
    verb: str,
    words: str,
    detail: Mapping[str, object],
) -> None:
    """Into the incident's timeline and into the audit."""
    record_event(session, said.now_us, verb, words, incident_id=incident_id, actor=said.by)
    name = incident_name(incident_id)
    verbs = {"acknowledged": "acknowledge", "lapsed": "end acknowledgement"}
    audit.append(session, said.now_us, said.by, said.origin, verbs[verb], name, detail, said.why)


_SELECT_ALERTS = (
    "SELECT a.route, a.kind, i.id, i.owner, CASE WHEN i.rule <> '' THEN i.rule ELSE i.cause END,"
    " COALESCE(j.name, t.words, NULLIF(i.root_shared, ''), i.root_check, ''), u.useful, i.reopened"
    " FROM alert a JOIN incident i ON i.id = a.incident_id LEFT JOIN job j ON j.id = i.root_job_id"
    " LEFT JOIN (SELECT t.id, s.name || '/' || t.name AS words FROM target t JOIN system s ON s.id = t.system_id) t"
    " ON t.id = i.root_target_id LEFT JOIN alert_useful u ON u.alert_id = a.id"
    " WHERE a.made_us >= ? AND a.made_us < ? AND a.kind <> 'person'"
    " AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.alert_id = a.id AND d.state = 'dropped')"
)
_SELECT_SUPPRESSED = (
    "SELECT stage, count(*) FROM alert_held WHERE since_us >= ? AND since_us < ? GROUP BY stage ORDER BY stage"
)
_SELECT_ACKNOWLEDGED = "SELECT DISTINCT incident_id FROM acknowledgement WHERE made_us >= ?"


def noise_since(session: Session, since: datetime, until: datetime) -> NoiseReport:
    """The alerts about incidents that were made from then until then."""
    window = (micros(since), micros(until))
    told = [
        NoiseAlert(
            route,
            kind,
            incident,
            clean_line(owner),
            rule,
            clean_line(root),
            None if useful is None else bool(useful),
            int(reopened),
        )
        for route, kind, incident, owner, rule, root, useful, reopened in session.rows(_SELECT_ALERTS, window)
    ]
    held = [(stage, int(count)) for stage, count in session.rows(_SELECT_SUPPRESSED, window)]
    return noise_report(since, until, told, held, (row[0] for row in session.rows(_SELECT_ACKNOWLEDGED, window[:1])))
