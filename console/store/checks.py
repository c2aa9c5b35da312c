"""Looks at data, as rows: one for each stretch of looks that came to the same. The table grows with what changes, not
with how often it is looked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import itemgetter

from console.model.checks import CheckFacts, CheckState, CheckVerdict, PastCount, Stretch
from console.model.ids import instant, micros
from console.store.open import Store, next_changed_seq
from console.store.wire import Row, Wire, single, wire

LOOK_BEHIND = timedelta(days=4)
"""A business date whose deadline lies in the lookback began its day, and its first looks, so long before at most."""
BEFORE = timedelta(minutes=15)
"""How long before a downstream's start its checks are looked at: its hold is decided by them."""
AFTER = timedelta(hours=24)
"""How long after it, while it has not started."""
KEEP = timedelta(days=400)
"""Business dates of which looks are kept; a band of a weekday wants half a year."""
MOST_STRETCHES = 50
"""Of one check and date: one that passes and fails in turns must not fill the store."""
_STRETCHES = "SELECT id, name, bd, state, since_us, at_us, words FROM check_result WHERE bd >= ?"
"""Unordered: for an order by name SQLite would walk through all that is kept, and not take the index of the dates."""


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
    rows = lines.rows(_STRETCHES, ((since - LOOK_BEHIND).date().isoformat(),))
    found: dict[tuple[str, date], list[Stretch]] = {}
    for _, name, bd, *rest in sorted(rows, key=itemgetter(1, 2, 0)):
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


def awaited(store: Store, now: datetime) -> set[tuple[str, date]]:
    """Checks that somebody waits for now, each with its business date: a service day whose jobs are done, or a
    downstream that is about to start, or should have."""
    since, soon = micros(now - AFTER), micros(now + BEFORE)
    with store.read() as connection:
        lines = wire(connection)
        days = lines.rows(
            "SELECT d.awaits, d.bd FROM service s JOIN service_day d ON d.service_id = s.id AND d.bd >= ?"
            " WHERE s.ready <> '[]' AND NOT s.removed AND d.awaits <> '[]'",
            ((now - AFTER - LOOK_BEHIND).date().isoformat(),),
        )
        starts = lines.rows(
            "SELECT DISTINCT d.check_name, r.bd FROM dependency d CROSS JOIN run r"  # job by job, not all runs of a day
            " WHERE d.condition = 'ready' AND r.job_id = d.downstream_id AND r.sort_us BETWEEN ? AND ?"
            " AND r.attempts = 0",
            (since, soon),
        )
    found = {(name, date.fromisoformat(bd)) for names, bd in days for name in json.loads(names)}
    return found | {(name, date.fromisoformat(bd)) for name, bd in starts}


def waited_for(store: Store) -> set[str]:
    """Names of the checks that config has somebody wait for, whether now or not."""
    with store.read() as connection:
        lines = wire(connection)
        ready = lines.rows("SELECT ready FROM service WHERE NOT removed AND ready <> '[]'")
        edges = lines.rows("SELECT DISTINCT check_name FROM dependency WHERE condition = 'ready'")
    return {name for (names,) in ready for name in json.loads(names)} | {row[0] for row in edges}


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
