"""What people say of alerts, as rows: that they are on an incident, what they mute, whether an alert was useful.

Each is one transaction with its line in the audit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from console.clean import clean_line
from console.model.ids import incident_name
from console.store import audit
from console.store.errors import HasNone
from console.store.open import Store
from console.store.wire import Wire, wire


@dataclass(frozen=True, slots=True)
class Said:
    """Who says it, from where, when and why."""

    by: str
    origin: str
    why: str
    now_us: int


def acknowledge(store: Store, fence: int, incident_id: int, until_us: int, said: Said, until_words: str) -> str:
    """Somebody is on it until then; the newest word counts. Why not, in words; empty when it is acknowledged."""
    with store.write(fence, durable=True) as connection:
        lines = wire(connection)
        if refused := _not_open(lines, incident_id):
            return refused
        lines.rows(
            "INSERT INTO acknowledgement (incident_id, made_by, why, made_us, until_us, ended_us, ended_by)"
            " VALUES (?, ?, ?, ?, ?, NULL, '')",
            (incident_id, said.by, said.why, said.now_us, until_us),
        )
        why = f": {clean_line(said.why)}" if said.why else ""
        _tell(connection, lines, incident_id, said, "acknowledged", f"{said.by} is on it until {until_words}{why}",
              {"until_us": until_us})  # fmt: skip
    return ""


def lapse(store: Store, fence: int, incident_id: int, said: Said) -> str:
    """Nobody is on it any more. Why not, in words; empty when it is so."""
    with store.write(fence, durable=True) as connection:
        lines = wire(connection)
        rows = lines.rows(
            "SELECT id, made_by FROM acknowledgement WHERE id = (SELECT max(id) FROM acknowledgement WHERE"
            " incident_id = ?) AND ended_us IS NULL AND until_us > ?",
            (incident_id, said.now_us),
        )
        if not rows:
            return f"nobody is on {incident_name(incident_id)}"
        lines.rows(
            "UPDATE acknowledgement SET ended_us = ?, ended_by = ? WHERE id = ?", (said.now_us, said.by, rows[0][0])
        )
        words = f"{rows[0][1]} is not on it any more"
        _tell(connection, lines, incident_id, said, "lapsed", words, {"was": rows[0][1]})
    return ""


def add_silence(store: Store, fence: int, matchers: Mapping[str, str], from_us: int, until_us: int, said: Said) -> int:
    """Mutes what fits all of the matchers; the silence's number."""
    with store.write(fence, durable=True) as connection:
        [(number,)] = wire(connection).rows(
            "INSERT INTO silence (matchers, from_us, until_us, why, made_by, made_us, ended_us, ended_by)"
            " VALUES (?, ?, ?, ?, ?, ?, NULL, '') RETURNING id",
            (json.dumps(dict(matchers), sort_keys=True), from_us, until_us, said.why, said.by, said.now_us),
        )
        detail = {"matchers": dict(matchers), "from_us": from_us, "until_us": until_us}
        audit.append(connection, said.now_us, said.by, said.origin, "silence", f"silence {number}", detail, said.why)
    return int(number)


def end_silence(store: Store, fence: int, number: int, said: Said) -> None:
    """Ends a silence now. Raises HasNone."""
    with store.write(fence, durable=True) as connection:
        rows = wire(connection).rows(
            "UPDATE silence SET ended_us = ?, ended_by = ? WHERE id = ? AND ended_us IS NULL AND until_us > ?"
            " RETURNING matchers",
            (said.now_us, said.by, number, said.now_us),
        )
        if not rows:
            told = f"there is no silence {number} that lasts; headway silence lists them"
            raise HasNone(f"silence {number}", told)
        detail = {"matchers": json.loads(rows[0][0])}
        audit.append(
            connection, said.now_us, said.by, said.origin, "end silence", f"silence {number}", detail, said.why
        )


def judge(store: Store, fence: int, alert_id: int, useful: bool, said: Said) -> None:
    """Whether an alert was useful; the last word counts. Raises HasNone."""
    with store.write(fence) as connection:
        lines = wire(connection)
        if not lines.rows("SELECT 1 FROM alert WHERE id = ?", (alert_id,)):
            told = f"there is no alert {alert_id}; each alert names its ID in its last lines"
            raise HasNone(f"alert {alert_id}", told)
        lines.rows(
            "INSERT INTO alert_useful (alert_id, useful, said_by, why, said_us) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (alert_id) DO UPDATE SET useful = excluded.useful, said_by = excluded.said_by,"
            " why = excluded.why, said_us = excluded.said_us",
            (alert_id, useful, said.by, said.why, said.now_us),
        )
        detail = {"alert": alert_id, "useful": useful}
        audit.append(
            connection, said.now_us, said.by, said.origin, "judge alert", f"alert {alert_id}", detail, said.why
        )


def _not_open(lines: Wire, incident_id: int) -> str:
    rows = lines.rows("SELECT closed_us FROM incident WHERE id = ?", (incident_id,))
    name = incident_name(incident_id)
    if not rows:
        raise HasNone(name, f"there is no {name}; headway incidents lists them")
    return f"{name} is closed: there is nothing to be on" if rows[0][0] is not None else ""


def _tell(
    connection: Connection,
    lines: Wire,
    incident_id: int,
    said: Said,
    verb: str,
    words: str,
    detail: Mapping[str, object],
) -> None:
    """Into the incident's timeline and into the audit."""
    lines.rows(
        "INSERT INTO event (at_us, kind, words, incident_id, job_id, actor) VALUES (?, ?, ?, ?, NULL, ?)",
        (said.now_us, verb, words, incident_id, said.by),
    )
    name = incident_name(incident_id)
    verbs = {"acknowledged": "acknowledge", "lapsed": "end acknowledgement"}
    audit.append(connection, said.now_us, said.by, said.origin, verbs[verb], name, detail, said.why)
