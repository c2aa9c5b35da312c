"""Switches as rows: the freeze, and what is in shadow or live. They survive a restart; turning one is in the audit."""

from __future__ import annotations

from console.model.ids import maybe_instant
from console.model.modes import MODE, SCOPES, Modes, Switched, modes_of
from console.store import chain
from console.store.chain import Run

SELECT = "SELECT name, value, set_by, why, at_us FROM switch ORDER BY name"


def modes(run: Run) -> Modes:
    """What is frozen and what is in shadow, as of this transaction."""
    return modes_of((name, switched(*row)) for name, *row in run(SELECT, ()))


def switched(value: str, by: str, why: str, at_us: int) -> Switched:
    return Switched(value, by, why, maybe_instant(at_us or None))


def turn(run: Run, name: str, value: str, by: str, origin: str, why: str, now_us: int) -> bool:
    """Turns one switch, in the caller's transaction with its line in the audit; False where it stood so already. The
    whole estate turned, no scope of it is left out."""
    before = run("SELECT value FROM switch WHERE name = ?", (name,))
    others = _exceptions(run, value) if name == MODE else []
    if before and before[0][0] == value and not others:
        return False
    for each in (name, *others):
        run(
            "INSERT INTO switch (name, value, set_by, why, at_us) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE"
            " SET value = excluded.value, set_by = excluded.set_by, why = excluded.why, at_us = excluded.at_us",
            (each, value, by, why, now_us),
        )
    detail = {"before": before[0][0] if before else "", "after": value, "with it": others}
    chain.append(run, now_us, by, origin, f"turn {value}", name, detail, why)
    return True


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
