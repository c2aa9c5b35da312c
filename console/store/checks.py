"""Looks at data, as rows: one for each stretch of looks that came to the same. The table grows with what changes, not
with how often it is looked."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from console.model.checks import CheckFacts, CheckState, CheckVerdict, PastCount, Stretch
from console.model.ids import instant, micros
from console.store.open import Store, next_changed_seq
from console.store.wire import Row, Wire, single, wire

LOOK_BEHIND = timedelta(days=4)
"""A business date whose deadline lies in the lookback began its day, and its first looks, so long before at most."""
KEEP = timedelta(days=400)
"""Business dates of which looks are kept; a band of a weekday wants half a year."""
MOST_STRETCHES = 50
"""Of one check and date: one that passes and fails in turns must not fill the store."""
_STRETCH = "name, bd, state, since_us, at_us, words"


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one check for one business date, as it is kept."""

    check: str
    bd: date
    at: datetime
    verdict: CheckVerdict
    rows: int | None
    measured: str
    """JSON."""


def facts(lines: Wire, since: datetime) -> dict[tuple[str, date], CheckFacts]:
    """Everything known of business dates that reach into the time after `since`."""
    query = f"SELECT {_STRETCH} FROM check_result WHERE bd >= ? ORDER BY name, bd, id"  # noqa: S608  (our own names)
    found: dict[tuple[str, date], list[Stretch]] = {}
    for name, bd, *rest in lines.rows(query, ((since - LOOK_BEHIND).date().isoformat(),)):
        found.setdefault((name, date.fromisoformat(bd)), []).append(_stretch(rest))
    return {key: CheckFacts(*key, tuple(stretches)) for key, stretches in found.items()}


def past_counts(store: Store, name: str, bd: date) -> list[PastCount]:
    """Of every earlier business date that passed, the row count with which it passed last; oldest first."""
    with store.read() as connection:
        rows = wire(connection).rows(
            "SELECT bd, row_count FROM check_result WHERE name = ? AND bd < ? AND row_count IS NOT NULL"
            " AND state IN ('passed', 'learning') ORDER BY bd, id",
            (name, bd.isoformat()),
        )
    last: dict[str, int] = dict(rows)
    return [PastCount(date.fromisoformat(day), count) for day, count in last.items()]


def awaited(store: Store) -> set[tuple[str, date]]:
    """Checks that a service day waits for now, each with its business date."""
    with store.read() as connection:
        rows = wire(connection).rows(
            "SELECT d.awaits, d.bd FROM service_day d JOIN service s ON s.id = d.service_id"
            " WHERE d.awaits <> '[]' AND NOT s.removed"
        )
    return {(name, date.fromisoformat(bd)) for names, bd in rows for name in json.loads(names)}


def last_looks(store: Store, names: Iterable[str], since: datetime) -> dict[tuple[str, date], datetime]:
    """When each of these checks was looked at last, by business date."""
    with store.read() as connection:
        found = facts(wire(connection), since)
    wanted = set(names)
    return {key: one.last.at for key, one in found.items() if key[0] in wanted}


def record(store: Store, look: Look, is_awaited: bool, fence: int | None) -> bool:
    """Keeps a look; True where decisions may come out otherwise by it: another state, or a pass that is waited for.
    Raises LeaseLost."""
    with store.write(fence) as connection:
        lines = wire(connection)
        before = _last(lines, look)
        same = before is not None and before[1] == look.verdict.state
        told = not same or (is_awaited and look.verdict.state in (CheckState.PASSED, CheckState.LEARNING))
        seq = next_changed_seq(connection) if told else None
        if before is not None and same:
            _prolong(lines, before, look, seq)
        else:
            _begin(lines, look, seq or 0)
            _forget(lines, look)
    return told


def _last(lines: Wire, look: Look) -> Row | None:
    query = "SELECT id, state, changed_seq FROM check_result WHERE name = ? AND bd = ? ORDER BY id DESC LIMIT 1"
    return single(lines.rows(query, (look.check, look.bd.isoformat())))


def _prolong(lines: Wire, before: Row, look: Look, seq: int | None) -> None:
    lines.rows(
        "UPDATE check_result SET at_us = ?, looks = looks + 1, measured = ?, row_count = ?, words = ?,"
        " changed_seq = ? WHERE id = ?",
        (micros(look.at), look.measured, look.rows, look.verdict.words, seq or before[2], before[0]),
    )


def _begin(lines: Wire, look: Look, seq: int) -> None:
    at_us = micros(look.at)
    columns = (
        "name", "bd", "state", "since_us", "at_us", "looks", "measured", "row_count", "words", "changed_seq",
    )  # fmt: skip
    row = (
        look.check, look.bd.isoformat(), look.verdict.state.value, at_us, at_us, 1, look.measured, look.rows,
        look.verdict.words, seq,
    )  # fmt: skip
    lines.insert("check_result", columns, [row])


def _forget(lines: Wire, look: Look) -> None:
    """What is too old for any band, and the oldest of what changes too often."""
    old = (look.at - KEEP).date().isoformat()
    lines.rows("DELETE FROM check_result WHERE name = ? AND bd < ?", (look.check, old))
    lines.rows(
        "DELETE FROM check_result WHERE name = ? AND bd = ? AND id NOT IN"
        " (SELECT id FROM check_result WHERE name = ? AND bd = ? ORDER BY id DESC LIMIT ?)",
        (look.check, look.bd.isoformat(), look.check, look.bd.isoformat(), MOST_STRETCHES),
    )


def _stretch(row: list[object]) -> Stretch:
    state, since_us, at_us, words = row
    return Stretch(CheckState(str(state)), instant(int(str(since_us))), instant(int(str(at_us))), str(words))
