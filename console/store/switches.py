"""Switches as rows: the freeze, and what is in shadow or live. They survive a restart; turning one is in the audit."""

from __future__ import annotations

from console.model.ids import instant, maybe_instant, micros
from console.model.modes import FREEZE, MODE, SCOPES, Modes, Switched, modes_of
from console.model.pauses import Pause, pause_of, switch_of
from console.store import chain
from console.store.chain import Run

PAUSES = " LEFT JOIN switch w ON w.name = 'polling ' || s.name"
"""Joined to a system `s`: who paused its polls last; `last_pause` reads value, set_by, why and at_us."""
SELECT = "SELECT name, value, set_by, why, at_us FROM switch ORDER BY name"


def modes(run: Run) -> Modes:
    """What is frozen and what is in shadow, as of this transaction."""
    return modes_of((name, switched(*row)) for name, *row in run(SELECT, ()))


def switched(value: str, by: str, why: str, at_us: int) -> Switched:
    return Switched(value, by, why, maybe_instant(at_us or None))


def paused(system: str, value: str | None, by: str | None, why: str | None, at_us: int | None) -> Pause | None:
    """The pause of a system's polls, lasting or over; None without one."""
    return pause_of(system, value, by or "", why or "", maybe_instant(at_us or None))


def last_pause(system: str, value: str | None, by: str | None, why: str | None, at_us: int | None) -> Pause | None:
    """The same; one that a person ended was until then."""
    if value == "" and at_us:
        return Pause(system, by or "", why or "", instant(at_us), instant(at_us))
    return paused(system, value, by, why, at_us)


def pause_in(run: Run, system: str) -> Pause | None:
    """The same, by the system's name."""
    rows = run("SELECT value, set_by, why, at_us FROM switch WHERE name = ?", (switch_of(system),))
    return paused(system, *rows[0]) if rows else None


def pause(run: Run, said: Pause, origin: str, now_us: int) -> None:
    """Stops the polls of a system until then, or has them go on, in the caller's transaction with its line in the
    audit: `until` that is over ends a pause."""
    lasts = micros(said.until) > now_us
    before = pause_in(run, said.system)
    value = said.until.isoformat() if lasts else ""
    run(_TURN, (switch_of(said.system), value, said.by, said.why, now_us))
    detail = {"until": value, "before": before.words if before and before.lasts(instant(now_us)) else ""}
    verb = f"{'pause' if lasts else 'resume'} polling"
    chain.append(run, now_us, said.by, origin, verb, said.system, detail, said.why)


def pause_over(run: Run, said: Pause, actor: str, origin: str, now_us: int) -> None:
    """Tells the audit once that a pause came to its end by itself, in the caller's transaction; nothing where that is
    told, or a person said something else meanwhile."""
    told = run(
        "UPDATE switch SET value = '', at_us = ? WHERE name = ? AND value = ? RETURNING name",
        (micros(said.until), switch_of(said.system), said.until.isoformat()),
    )
    if told:
        detail = {"until": "", "before": said.words}
        chain.append(run, now_us, actor, origin, "resume polling", said.system, detail, "its time was over")


_TURN = (
    "INSERT INTO switch (name, value, set_by, why, at_us) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE"
    " SET value = excluded.value, set_by = excluded.set_by, why = excluded.why, at_us = excluded.at_us"
)


def turn(run: Run, name: str, value: str, by: str, origin: str, why: str, now_us: int) -> bool:
    """Turns one switch, in the caller's transaction with its line in the audit; False where it stood so already. The
    whole estate turned, no scope of it is left out."""
    before = run("SELECT value FROM switch WHERE name = ?", (name,))
    others = _exceptions(run, value) if name == MODE else []
    if before and before[0][0] == value and not others:
        return False
    for each in (name, *others):
        run(_TURN, (each, value, by, why, now_us))
    detail = {"before": before[0][0] if before else "", "after": value, "with it": others}
    chain.append(run, now_us, by, origin, turn_verb(name, value), name, detail, why)
    return True


def turn_verb(name: str, value: str) -> str:
    """What the audit calls it."""
    if name == FREEZE:
        return "freeze" if value == "on" else "thaw"
    return f"turn {value}"


def _exceptions(run: Run, value: str) -> list[str]:
    """Scoped switches that stand otherwise."""
    rows = run("SELECT name FROM switch WHERE value <> ? ORDER BY name", (value,))
    return [name for (name,) in rows if name.partition(" ")[0] in SCOPES and " " in name]


def begin_in(run: Run, mode: str, now_us: int) -> None:
    """The mode that a store without one starts in; one that has its own keeps it."""
    run(
        "INSERT INTO switch (name, value, set_by, why, at_us) SELECT 'mode', ?, '', 'as the config says', ?"
        " WHERE NOT EXISTS (SELECT 1 FROM switch WHERE name = 'mode')",
        (mode, now_us),
    )
