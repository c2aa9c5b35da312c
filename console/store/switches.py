"""Switches as rows: freeze, shadow and live modes, paused polling. They survive a restart; each change is audited."""

from __future__ import annotations

from console.domain.ids import instant, micros, optional_instant
from console.domain.switches import (
    FREEZE,
    MODE,
    SCOPES,
    Modes,
    SwitchState,
    SystemPause,
    parse_modes,
    parse_pause,
    polling_switch,
)
from console.store import audit
from console.store.db.session import Session

JOIN_PAUSES = " LEFT JOIN switch w ON w.name = 'polling ' || s.name"
"""Joined to a system `s`: who paused its polls last; `last_pause` reads value, set_by, why and at_us."""
SELECT_SWITCHES = "SELECT name, value, set_by, why, at_us FROM switch ORDER BY name"


def load_modes(session: Session) -> Modes:
    """What is frozen and what is in shadow, as of this transaction."""
    return parse_modes((name, switch_state(*row)) for name, *row in session.rows(SELECT_SWITCHES, ()))


def switch_state(value: str, by: str, why: str, at_us: int) -> SwitchState:
    return SwitchState(value, by, why, optional_instant(at_us or None))


def current_pause(
    system: str, value: str | None, by: str | None, why: str | None, at_us: int | None
) -> SystemPause | None:
    """The pause of a system's polls, lasting or over; None without one."""
    return parse_pause(system, value, by or "", why or "", optional_instant(at_us or None))


def last_pause(
    system: str, value: str | None, by: str | None, why: str | None, at_us: int | None
) -> SystemPause | None:
    """The same; one that a person ended was until then."""
    if value == "" and at_us:
        return SystemPause(system, by or "", why or "", instant(at_us), instant(at_us))
    return current_pause(system, value, by, why, at_us)


def pause_of_system(session: Session, system: str) -> SystemPause | None:
    """The same, by the system's name."""
    rows = session.rows("SELECT value, set_by, why, at_us FROM switch WHERE name = ?", (polling_switch(system),))
    return current_pause(system, *rows[0]) if rows else None


def set_pause(session: Session, said: SystemPause, origin: str, now_us: int) -> None:
    """Stops the polls of a system until then, or has them go on, in the caller's transaction with its line in the
    audit: `until` that is over ends a pause."""
    lasts = micros(said.until) > now_us
    before = pause_of_system(session, said.system)
    value = said.until.isoformat() if lasts else ""
    session.rows(_UPSERT, (polling_switch(said.system), value, said.by, said.why, now_us))
    detail = {"until": value, "before": before.text if before and before.lasts(instant(now_us)) else ""}
    verb = f"{'pause' if lasts else 'resume'} polling"
    audit.append(session, now_us, said.by, origin, verb, said.system, detail, said.why)


def audit_pause_end(session: Session, said: SystemPause, actor: str, origin: str, now_us: int) -> None:
    """Tells the audit once that a pause came to its end by itself, in the caller's transaction; nothing where that is
    told, or a person said something else meanwhile."""
    told = session.rows(
        "UPDATE switch SET value = '', at_us = ? WHERE name = ? AND value = ? RETURNING name",
        (micros(said.until), polling_switch(said.system), said.until.isoformat()),
    )
    if told:
        detail = {"until": "", "before": said.text}
        audit.append(session, now_us, actor, origin, "resume polling", said.system, detail, "its time was over")


_UPSERT = (
    "INSERT INTO switch (name, value, set_by, why, at_us) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE"
    " SET value = excluded.value, set_by = excluded.set_by, why = excluded.why, at_us = excluded.at_us"
)


def set_switch(session: Session, name: str, value: str, by: str, origin: str, why: str, now_us: int) -> bool:
    """Turns one switch, in the caller's transaction with its line in the audit; False where it stood so already. The
    whole estate turned, no scope of it is left out."""
    before = session.rows("SELECT value FROM switch WHERE name = ?", (name,))
    others = _exceptions(session, value) if name == MODE else []
    if before and before[0][0] == value and not others:
        return False
    for each in (name, *others):
        session.rows(_UPSERT, (each, value, by, why, now_us))
    detail = {"before": before[0][0] if before else "", "after": value, "with it": others}
    audit.append(session, now_us, by, origin, switch_verb(name, value), name, detail, why)
    return True


def switch_verb(name: str, value: str) -> str:
    """What the audit calls it."""
    if name == FREEZE:
        return "freeze" if value == "on" else "thaw"
    return f"turn {value}"


def _exceptions(session: Session, value: str) -> list[str]:
    rows = session.rows("SELECT name FROM switch WHERE value <> ? ORDER BY name", (value,))
    return [name for (name,) in rows if name.partition(" ")[0] in SCOPES and " " in name]


def initialize_mode(session: Session, mode: str, now_us: int) -> None:
    """The mode that a store without one starts in; one that has its own keeps it."""
    session.rows(
        "INSERT INTO switch (name, value, set_by, why, at_us) SELECT 'mode', ?, '', 'as the config says', ?"
        " WHERE NOT EXISTS (SELECT 1 FROM switch WHERE name = 'mode')",
        (mode, now_us),
    )
