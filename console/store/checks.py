"""Results of data checks: one row for each span of equal results, so that the table grows with changes only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import attrgetter

from console.domain.check import CheckHistory, CheckState, CheckVerdict, PastRowCount, ResultSpan
from console.domain.ids import instant, micros
from console.store.db.database import Database
from console.store.db.session import Session, WriteSession
from console.store.meta import next_changed_seq

LOOKBACK = timedelta(days=4)
"""Longest time from the first measurement of a business date to its deadline."""
BEFORE = timedelta(minutes=15)
"""How long before a downstream's start its checks are measured: they decide on its hold."""
AFTER = timedelta(hours=24)
"""How long after that start, while it has not started."""
KEEP = timedelta(days=400)
"""How long results are kept; a weekday's band needs half a year."""
MAX_SPANS = 50
"""Per check and date, so that a check which passes and fails in turns cannot fill the store."""
_SELECT_SPANS = (
    "SELECT id, name, business_date, state, since_us, at_us, text FROM check_result WHERE business_date >= ?"
)
"""Unordered: ordered by name, SQLite would walk all rows instead of using the index of dates."""


@dataclass(frozen=True, slots=True)
class CheckMeasurement:
    """One measurement of a check for one business date."""

    check: str
    business_date: date
    at: datetime
    verdict: CheckVerdict
    rows: int | None
    measured: str
    """JSON."""


def check_histories(session: Session, since: datetime) -> dict[tuple[str, date], CheckHistory]:
    """Histories of the business dates that may reach beyond `since`."""
    rows = session.rows(_SELECT_SPANS, ((since - LOOKBACK).date().isoformat(),))
    spans: dict[tuple[str, date], list[ResultSpan]] = {}
    for row in sorted(rows, key=attrgetter("name", "business_date", "id")):
        span = ResultSpan(CheckState(row.state), instant(row.since_us), instant(row.at_us), row.text)
        spans.setdefault((row.name, date.fromisoformat(row.business_date)), []).append(span)
    return {key: CheckHistory(*key, tuple(of_date)) for key, of_date in spans.items()}


def past_row_counts(store: Database, name: str, business_date: date) -> list[PastRowCount]:
    """The last row count of each earlier business date that passed, oldest first."""
    rows = store.rows(
        "SELECT business_date, row_count FROM check_result WHERE name = ? AND business_date < ? AND row_count IS"
        " NOT NULL AND state IN ('passed', 'learning') ORDER BY business_date, id",
        (name, business_date.isoformat()),
    )
    last: dict[str, int] = dict(rows)
    return [PastRowCount(date.fromisoformat(day), count) for day, count in last.items()]


def awaited_checks(store: Database, now: datetime) -> set[tuple[str, date]]:
    """(check, business date) that a service day with finished jobs, or a downstream with a start due about now, waits
    for."""
    since, soon = micros(now - AFTER), micros(now + BEFORE)
    with store.read() as session:
        days = session.rows(
            "SELECT d.awaits, d.business_date FROM service s JOIN service_day d ON d.service_id = s.id AND"
            " d.business_date >= ? WHERE s.ready <> '[]' AND NOT s.removed AND d.awaits <> '[]'",
            ((now - AFTER - LOOKBACK).date().isoformat(),),
        )
        starts = session.rows(
            "SELECT DISTINCT d.check_name, r.business_date FROM dependency d CROSS JOIN run"
            " r"  # job by job, not all runs of a day
            " WHERE d.condition = 'ready' AND r.job_id = d.downstream_id AND r.sort_us BETWEEN ? AND ?"
            " AND r.attempts = 0",
            (since, soon),
        )
    ready = {(name, date.fromisoformat(day.business_date)) for day in days for name in json.loads(day.awaits)}
    return ready | {(start.check_name, date.fromisoformat(start.business_date)) for start in starts}


def awaited_check_names(store: Database) -> set[str]:
    """Names of the checks that a service or dependency of the config waits for."""
    with store.read() as session:
        ready = session.rows("SELECT ready FROM service WHERE NOT removed AND ready <> '[]'")
        edges = session.rows("SELECT DISTINCT check_name FROM dependency WHERE condition = 'ready'")
    return {name for row in ready for name in json.loads(row.ready)} | {row.check_name for row in edges}


def record_result(store: Database, result: CheckMeasurement, is_awaited: bool, fence: int | None) -> bool:
    """Stores a measurement; True if it may change decisions: another state, or a pass that something waits for.
    Raises LeaseLost."""
    state, text = result.verdict.state, result.verdict.text
    of_date = (result.check, result.business_date.isoformat())
    with store.write(fence) as session:
        query = (
            "SELECT id, state, changed_seq FROM check_result WHERE name = ? AND business_date = ?"
            " ORDER BY id DESC LIMIT 1"
        )
        last = session.first(query, of_date)
        is_same = last is not None and last.state == state
        is_change = not is_same or (is_awaited and state in (CheckState.PASSED, CheckState.LEARNING))
        seq = next_changed_seq(session) if is_change else None
        if last is not None and is_same:
            session.rows(
                "UPDATE check_result SET at_us = ?, times = times + 1, measured = ?, row_count = ?, text = ?,"
                " changed_seq = ? WHERE id = ?",
                (micros(result.at), result.measured, result.rows, text, seq or last.changed_seq, last.id),
            )
        else:
            _begin_span(session, result, seq or 0)
            old = (result.at - KEEP).date().isoformat()
            session.rows("DELETE FROM check_result WHERE name = ? AND business_date < ?", (result.check, old))
            session.rows(
                "DELETE FROM check_result WHERE name = ? AND business_date = ? AND id NOT IN"
                " (SELECT id FROM check_result WHERE name = ? AND business_date = ? ORDER BY id DESC LIMIT ?)",
                (*of_date, *of_date, MAX_SPANS),
            )
    return is_change


def _begin_span(session: WriteSession, result: CheckMeasurement, seq: int) -> None:
    at_us = micros(result.at)
    columns = (
        "name", "business_date", "state", "since_us", "at_us", "times", "measured", "row_count", "text", "changed_seq",
    )  # fmt: skip
    row = (
        result.check, result.business_date.isoformat(), result.verdict.state.value, at_us, at_us, 1, result.measured,
        result.rows, result.verdict.text, seq,
    )  # fmt: skip
    session.insert("check_result", columns, [row])
