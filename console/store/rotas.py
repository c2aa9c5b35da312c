"""Rotas as rows: what their calendars said when they were last read, and why the last try failed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from console.model.alerting import Shift
from console.model.ids import instant
from console.store.open import Store
from console.store.wire import wire


@dataclass(frozen=True, slots=True)
class Read:
    """One rota as it was read."""

    name: str
    source: str
    shifts: str
    """JSON: [person, begins µs, ends µs]."""
    until_us: int


def read(store: Store, fence: int, one: Read, now_us: int) -> bool:
    """Keeps its shifts, and nothing else of the calendar: nobody asks for it, and who is ill is nobody's business. True
    where somebody else is on call some time than before."""
    with store.write(fence) as connection:
        lines = wire(connection)
        before = lines.rows("SELECT shifts FROM rota WHERE name = ?", (one.name,))
        lines.rows(
            "INSERT INTO rota (name, source, text, shifts, until_us, read_us, tried_us, error)"
            " VALUES (?, ?, '', ?, ?, ?, ?, '') ON CONFLICT (name) DO UPDATE SET source = excluded.source,"
            " text = '', shifts = excluded.shifts, until_us = excluded.until_us,"
            " read_us = excluded.read_us, tried_us = excluded.tried_us, error = ''",
            (one.name, one.source, one.shifts, one.until_us, now_us, now_us),
        )
    return not before or before[0][0] != one.shifts


def failed(store: Store, fence: int, name: str, source: str, error: str, now_us: int) -> tuple[Shift, ...]:
    """Notes why it could not be read; the shifts that go on."""
    with store.write(fence) as connection:
        rows = wire(connection).rows(
            "INSERT INTO rota (name, source, text, shifts, until_us, read_us, tried_us, error)"
            " VALUES (?, ?, '', '[]', 0, 0, ?, ?) ON CONFLICT (name) DO UPDATE SET source = excluded.source,"
            " tried_us = excluded.tried_us, error = excluded.error RETURNING shifts",
            (name, source, now_us, error),
        )
    return tuple(Shift(person, instant(begins), instant(ends)) for person, begins, ends in json.loads(rows[0][0]))
