"""Switches as rows: freeze, shadow and live modes, paused polling. They survive a restart; each change is audited."""

from __future__ import annotations

from console.domain.ids import instant, micros, optional_instant, utc_minute
from console.domain.request import RequestKind
from console.domain.switches import (
    FREEZE,
    MODE,
    SCOPES,
    Modes,
    SwitchState,
    SystemPause,
    parse_modes,
    polling_switch,
    switch_request,
)
from console.domain.text import render
from console.store import audit
from console.store.db.session import Row, Session

JOIN_PAUSES = " LEFT JOIN switch w ON w.name = 'polling ' || s.name"
"""Joined to a system `s`: the last pause of its polls; `last_pause` reads set_by, why, at_us and until_us."""
SELECT_PAUSES = "SELECT name, set_by, why, at_us, until_us FROM switch WHERE name LIKE 'polling %' ORDER BY name"
SELECT_SWITCHES = "SELECT name, value, set_by, why, at_us FROM switch ORDER BY name"


def load_modes(session: Session) -> Modes:
    """Freeze and shadow modes as of this transaction."""
    return parse_modes(
        (row.name, SwitchState(row.value, row.set_by, row.why, optional_instant(row.at_us or None)))
        for row in session.rows(SELECT_SWITCHES)
    )


def current_pause(system: str, row: Row) -> SystemPause | None:
    """The pause of a system's polls, active or ended; None without one."""
    if row.until_us is None:
        return None
    at = optional_instant(row.at_us or None)
    return SystemPause(system, row.set_by or "", row.why or "", at, instant(row.until_us))


def last_pause(system: str, row: Row) -> SystemPause | None:
    """As `current_pause`; one that a person ended lasted until then."""
    if row.until_us is None and row.at_us:
        return SystemPause(system, row.set_by or "", row.why or "", instant(row.at_us), instant(row.at_us))
    return current_pause(system, row)


def pause_of_system(session: Session, system: str) -> SystemPause | None:
    """As `current_pause`, by the system's name."""
    row = session.first("SELECT set_by, why, at_us, until_us FROM switch WHERE name = ?", (polling_switch(system),))
    return current_pause(system, row) if row is not None else None


def set_pause(session: Session, pause: SystemPause, origin: str, now_us: int) -> None:
    """Pauses the polls of a system, or resumes them if `until` has passed. Audited in the caller's transaction."""
    until_us = micros(pause.until) if micros(pause.until) > now_us else None
    if session.is_restricted:  # by the database's function, which audits it under the login's name
        session.rows("SELECT headway_pause_polling(?, ?, ?, ?)", (pause.system, until_us, pause.why, origin))
        return
    before = pause_of_system(session, pause.system)
    session.rows(
        "INSERT INTO switch (name, value, set_by, why, at_us, until_us) VALUES (?, '', ?, ?, ?, ?) ON CONFLICT (name)"
        " DO UPDATE SET set_by = excluded.set_by, why = excluded.why, at_us = excluded.at_us,"
        " until_us = excluded.until_us",
        (polling_switch(pause.system), pause.by, pause.why, now_us, until_us),
    )
    detail = {"until_us": until_us, "before": before.text if before and before.lasts(instant(now_us)) else ""}
    verb = RequestKind.PAUSE_POLLING if until_us is not None else RequestKind.RESUME_POLLING
    audit.append(session, now_us, pause.by, origin, verb, pause.system, detail, pause.why)


def audit_pause_end(session: Session, pause: SystemPause, now_us: int) -> None:
    """Audits once, in the caller's transaction, that a pause ended by itself; not if a person changed it meanwhile."""
    skip = " FOR UPDATE SKIP LOCKED" if session.is_postgres else ""  # a client's open transaction may have the row
    until_us = micros(pause.until)
    ended = session.rows(
        "UPDATE switch SET until_us = NULL, at_us = ? WHERE name = (SELECT name FROM switch WHERE name = ?"  # noqa: S608
        f" AND until_us = ?{skip}) RETURNING name",
        (until_us, polling_switch(pause.system), until_us),
    )
    if ended:
        detail = {"until_us": None, "before": render(pause.text, utc_minute)}
        verb, why = RequestKind.RESUME_POLLING, "its time had ended"
        audit.append(session, now_us, audit.ENGINE_ACTOR, audit.ENGINE_ORIGIN, verb, pause.system, detail, why)


_UPSERT = (
    "INSERT INTO switch (name, value, set_by, why, at_us) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE"
    " SET value = excluded.value, set_by = excluded.set_by, why = excluded.why, at_us = excluded.at_us"
)


def set_switch(session: Session, name: str, value: str, by: str, origin: str, why: str, now_us: int) -> bool:
    """Sets one switch, audited in the caller's transaction; False if it had the value already. Setting the mode of the
    whole estate sets every scope too."""
    if session.is_restricted:
        call = "SELECT headway_switch(?, ?, ?, ?) AS is_new"  # audits it under the login's name
        return bool(session.rows(call, (name, value, why, origin))[0].is_new)
    before = session.first("SELECT value FROM switch WHERE name = ?", (name,))
    scopes = _set_along(session, name, value)
    if before is not None and before.value == value and not scopes:
        return False
    for switch in (name, *scopes):
        session.rows(_UPSERT, (switch, value, by, why, now_us))
    detail = {"before": before.value if before is not None else "", "after": value, "with it": scopes}
    about = "estate" if name == MODE else name
    audit.append(session, now_us, by, origin, switch_request(name, value), about, detail, why)
    return True


def _set_along(session: Session, name: str, value: str) -> list[str]:
    """The switches set along: every scope with the mode of the estate, the freeze of each login with a thaw."""
    if (name, value) == (FREEZE, "off"):
        return [row.name for row in session.rows("SELECT name FROM switch WHERE name LIKE 'freeze %' AND value = 'on'")]
    if name != MODE:
        return []
    rows = session.rows("SELECT name FROM switch WHERE value <> ? ORDER BY name", (value,))
    return [row.name for row in rows if row.name.partition(" ")[0] in SCOPES and " " in row.name]


def store_switch(
    session: Session, name: str, value: str, by: str, why: str, now_us: int, *, renews: bool = False
) -> bool:
    """Sets one switch in the caller's transaction, which audits it; False if it had the value already, unless this
    `renews` it."""
    before = session.first("SELECT value FROM switch WHERE name = ?", (name,))
    if before is not None and before.value == value and not renews:
        return False
    session.rows(_UPSERT, (name, value, by, why, now_us))
    return True


def initialize_mode(session: Session, mode: str, now_us: int) -> None:
    """Sets the mode of a store that has none yet."""
    session.rows(
        "INSERT INTO switch (name, value, set_by, why, at_us) SELECT 'mode', ?, '', 'as the config says', ?"
        " WHERE NOT EXISTS (SELECT 1 FROM switch WHERE name = 'mode')",
        (mode, now_us),
    )
