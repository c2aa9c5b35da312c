"""Results of data checks: one row for each span of equal results. The table grows with changes, not with the polling
rate.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import itemgetter

from console.domain.check import CheckHistory, CheckState, CheckVerdict, PastRowCount, ResultSpan
from console.domain.ids import instant, micros
from console.store.db.database import Database
from console.store.db.session import Row, Session, WriteSession
from console.store.meta import next_changed_seq

LOOKBACK = timedelta(days=4)
"""A business date whose deadline lies in the lookback began its day, and its first looks, so long before at most."""
BEFORE = timedelta(minutes=15)
"""How long before a downstream's start its checks are looked at: its hold is decided by them."""
AFTER = timedelta(hours=24)
"""How long after it, while it has not started."""
KEEP = timedelta(days=400)
"""Business dates of which looks are kept; a band of a weekday wants half a year."""
MAX_SPANS = 50
"""Of one check and date: one that passes and fails in turns must not fill the store."""
_SELECT_SPANS = "SELECT id, name, bd, state, since_us, at_us, words FROM check_result WHERE bd >= ?"
"""Unordered: for an order by name SQLite would walk through all that is kept, and not take the index of the dates."""


@dataclass(frozen=True, slots=True)
class CheckMeasurement:
    """One look at one check for one business date, as it is kept."""

    check: str
    business_date: date
    at: datetime
    verdict: CheckVerdict
    rows: int | None
    measured: str
    """JSON."""


def check_histories(session: Session, since: datetime) -> dict[tuple[str, date], CheckHistory]:
    """Everything known of business dates that reach into the time after `since`."""
    rows = session.rows(_SELECT_SPANS, ((since - LOOKBACK).date().isoformat(),))
    found: dict[tuple[str, date], list[ResultSpan]] = {}
    for _, name, business_date, *rest in sorted(rows, key=itemgetter(1, 2, 0)):
        found.setdefault((name, date.fromisoformat(business_date)), []).append(_parse_span(rest))
    return {key: CheckHistory(*key, tuple(stretches)) for key, stretches in found.items()}


def past_row_counts(store: Database, name: str, business_date: date) -> list[PastRowCount]:
    """Of every earlier business date that passed, the row count with which it passed last; oldest first."""
    with store.read() as session:
        rows = session.rows(
            "SELECT bd, row_count FROM check_result WHERE name = ? AND bd < ? AND row_count IS NOT NULL"
            " AND state IN ('passed', 'learning') ORDER BY bd, id",
            (name, business_date.isoformat()),
        )
    last: dict[str, int] = dict(rows)
    return [PastRowCount(date.fromisoformat(day), count) for day, count in last.items()]


def awaited_checks(store: Database, now: datetime) -> set[tuple[str, date]]:
    """Checks that somebody waits for now, each with its business date: a service day whose jobs are done, or a
    downstream that is about to start, or should have."""
    since, soon = micros(now - AFTER), micros(now + BEFORE)
    with store.read() as session:
        days = session.rows(
            "SELECT d.awaits, d.bd FROM service s JOIN service_day d ON d.service_id = s.id AND d.bd >= ?"
            " WHERE s.ready <> '[]' AND NOT s.removed AND d.awaits <> '[]'",
            ((now - AFTER - LOOKBACK).date().isoformat(),),
        )
        starts = session.rows(
            "SELECT DISTINCT d.check_name, r.bd FROM dependency d CROSS JOIN run r"  # job by job, not all runs of a day
            " WHERE d.condition = 'ready' AND r.job_id = d.downstream_id AND r.sort_us BETWEEN ? AND ?"
            " AND r.attempts = 0",
            (since, soon),
        )
    found = {(name, date.fromisoformat(business_date)) for names, business_date in days for name in json.loads(names)}
    return found | {(name, date.fromisoformat(business_date)) for name, business_date in starts}


def awaited_check_names(store: Database) -> set[str]:
    """Names of the checks that config has somebody wait for, whether now or not."""
    with store.read() as session:
        ready = session.rows("SELECT ready FROM service WHERE NOT removed AND ready <> '[]'")
        edges = session.rows("SELECT DISTINCT check_name FROM dependency WHERE condition = 'ready'")
    return {name for (names,) in ready for name in json.loads(names)} | {row[0] for row in edges}


def record_result(store: Database, look: CheckMeasurement, is_awaited: bool, fence: int | None) -> bool:
    """Keeps a look; True where decisions may come out otherwise by it: another state, or a pass that is waited for.
    Raises LeaseLost."""
    with store.write(fence) as session:
        before = _last_span(session, look)
        same = before is not None and before[1] == look.verdict.state
        told = not same or (is_awaited and look.verdict.state in (CheckState.PASSED, CheckState.LEARNING))
        seq = next_changed_seq(session) if told else None
        if before is not None and same:
            _extend_span(session, before, look, seq)
        else:
            _begin_span(session, look, seq or 0)
            _delete_old(session, look)
    return told


def _last_span(session: WriteSession, look: CheckMeasurement) -> Row | None:
    query = "SELECT id, state, changed_seq FROM check_result WHERE name = ? AND bd = ? ORDER BY id DESC LIMIT 1"
    return session.first(query, (look.check, look.business_date.isoformat()))


def _extend_span(session: WriteSession, before: Row, look: CheckMeasurement, seq: int | None) -> None:
    session.rows(
        "UPDATE check_result SET at_us = ?, looks = looks + 1, measured = ?, row_count = ?, words = ?,"
        " changed_seq = ? WHERE id = ?",
        (micros(look.at), look.measured, look.rows, look.verdict.words, seq or before[2], before[0]),
    )


def _begin_span(session: WriteSession, look: CheckMeasurement, seq: int) -> None:
    at_us = micros(look.at)
    columns = (
        "name", "bd", "state", "since_us", "at_us", "looks", "measured", "row_count", "words", "changed_seq",
    )  # fmt: skip
    row = (
        look.check, look.business_date.isoformat(), look.verdict.state.value, at_us, at_us, 1, look.measured, look.rows,
        look.verdict.words, seq,
    )  # fmt: skip
    session.insert("check_result", columns, [row])


def _delete_old(session: WriteSession, look: CheckMeasurement) -> None:
    old = (look.at - KEEP).date().isoformat()
    session.rows("DELETE FROM check_result WHERE name = ? AND bd < ?", (look.check, old))
    session.rows(
        "DELETE FROM check_result WHERE name = ? AND bd = ? AND id NOT IN"
        " (SELECT id FROM check_result WHERE name = ? AND bd = ? ORDER BY id DESC LIMIT ?)",
        (look.check, look.business_date.isoformat(), look.check, look.business_date.isoformat(), MAX_SPANS),
    )


def _parse_span(row: list[object]) -> ResultSpan:
    state, since_us, at_us, words = row
    return ResultSpan(CheckState(str(state)), instant(int(str(since_us))), instant(int(str(at_us))), str(words))
