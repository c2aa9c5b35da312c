"""Decisions into rows: expected runs, judgements, service days, incidents, alerts and their deliveries, and how far the
evaluation got. ONE transaction; what is as decided already is not written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from console.clean import clean_line
from console.failpoints import failpoint
from console.model.decisions import Decisions, ExpectedRun
from console.model.ids import micros
from console.store.findings import write_findings
from console.store.holds import write_holds
from console.store.incident_rows import IncidentWriter
from console.store.keys import pack
from console.store.latest import remove_runs, roll_latest
from console.store.merging import RunRow
from console.store.open import Store, next_changed_seq
from console.store.service_days import write_days
from console.store.told import NOBODY, Audience
from console.store.wire import Row, Wire, wire

WORDS_LIMIT = 500
_EXPECTED = (
    "SELECT r.id, r.job_id, r.period_key, r.attempts, r.state, r.evidence, r.reason, r.expected, r.bd"
    " FROM {keys} JOIN run r ON r.job_id = k.a AND r.period_key = k.b"
)


@dataclass(frozen=True, slots=True)
class Applied:
    """Ids of what came of an evaluation."""

    opened: tuple[int, ...] = ()
    closed: tuple[int, ...] = ()
    """Incidents closed, merged ones among them."""
    alerts: tuple[int, ...] = ()


class ChangedSeq:
    """The changed_seq of this transaction, taken only if something changes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._number: int | None = None

    def __call__(self) -> int:
        if self._number is None:
            self._number = next_changed_seq(self._connection)
        return self._number


def apply(
    store: Store,
    decisions: Decisions,
    now: datetime,
    evaluated_seq: int,
    fence: int | None,
    routes: Mapping[str, tuple[str, ...]],
    audience: Audience = NOBODY,
) -> Applied:
    """Writes an evaluation that saw everything up to `evaluated_seq`. `routes`: route -> words of each of its URLs.
    `audience`: who is told where a person is needed.

    A real attempt is never overwritten by an expectation. Raises LeaseLost, and then nothing is written.
    """
    now_us = micros(now)
    with store.write(fence) as connection:
        lines = wire(connection)
        seq = ChangedSeq(connection)
        jobs = _write_expected(lines, decisions.expected, seq, now_us)
        jobs |= _withdraw(lines, decisions.withdrawn)
        jobs |= _judge(lines, decisions, seq)
        if jobs:
            roll_latest(lines, seq(), {}, jobs)
        writer = IncidentWriter(lines, seq, now_us, routes)
        for decision in decisions.incidents:
            writer.write(decision)
        writer.finish()
        write_days(lines, decisions.service_days, writer.ids, seq, now_us)
        write_findings(lines, decisions.findings, now_us)
        write_holds(connection, lines, seq, now_us, decisions.holds, audience)
        _write_meta(lines, "evaluated_seq", str(evaluated_seq))
        _write_meta(lines, "cycles", json.dumps([[clean_line(name) for name in path] for path in decisions.cycles]))
        failpoint("evaluate.before_commit")
    return Applied(tuple(writer.opened), tuple(writer.closed), tuple(writer.alerts))


def _write_meta(lines: Wire, name: str, value: str) -> None:
    lines.rows(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        " WHERE meta.value <> excluded.value",
        (name, value),
    )


def _write_expected(lines: Wire, expected: Sequence[ExpectedRun], seq: ChangedSeq, now_us: int) -> set[int]:
    """Jobs with a run that is new or stands otherwise than before."""
    wanted = {(one.job_id, pack(one.period_key)): one for one in expected}
    stored = {(row[1], row[2]): row for row in lines.by_keys(_EXPECTED, "it", list(wanted))}
    new = [(key, one) for key, one in wanted.items() if key not in stored]
    rows = [
        _expected_run(run_id, key, one, now_us, seq())
        for run_id, (key, one) in zip(lines.new_ids("run", len(new)), new, strict=True)
    ]
    lines.insert("run", RunRow._fields, rows)
    changed: list[Row] = []
    begun: list[Row] = []
    for key, row in stored.items():
        one = wanted[key]
        told = (one.state.value, one.evidence.value, one.reason[:WORDS_LIMIT], True, one.bd.isoformat())
        if row[3] > 0:
            if not row[7]:
                begun.append((row[0], True, seq()))
        elif tuple(row[4:]) != told:
            changed.append((row[0], *told, seq()))
    lines.update("run", ("id", "state", "evidence", "reason", "expected", "bd", "changed_seq"), changed)
    lines.update("run", ("id", "expected", "changed_seq"), begun)
    touched = {row[0] for row in changed}
    return {one.job_id for _, one in new} | {row[1] for row in stored.values() if row[0] in touched}


def _expected_run(run_id: int, key: tuple[int, str], one: ExpectedRun, now_us: int, seq: int) -> RunRow:
    period_us = micros(one.period_at)
    return RunRow(
        id=run_id,
        job_id=key[0],
        period_key=key[1],
        period_us=period_us,
        sort_us=period_us,
        bd=one.bd.isoformat(),
        state=one.state.value,
        evidence=one.evidence.value,
        native_state="",
        reason=one.reason[:WORDS_LIMIT],
        attempts=0,
        attempt_id=None,
        first_started_us=None,
        started_us=None,
        ended_us=None,
        exit_code=None,
        message="",
        expected=True,
        timeliness="no_estimate",
        stale_read=False,
        partial_input="",
        observed_us=now_us,
        changed_seq=seq,
    )


def _withdraw(lines: Wire, run_ids: Sequence[int]) -> set[int]:
    """Jobs that lost an expected run. One that began meanwhile, or that somebody acts on, stays."""
    rows = lines.by_keys(
        "SELECT r.id, r.job_id FROM {keys} JOIN run r ON r.id = k.a WHERE r.attempts = 0"
        " AND NOT EXISTS (SELECT 1 FROM action x WHERE x.run_id = r.id)",
        "i",
        sorted(run_ids),
    )
    remove_runs(lines, [row[0] for row in rows])
    return {row[1] for row in rows}


def _judge(lines: Wire, decisions: Decisions, seq: ChangedSeq) -> set[int]:
    wanted = {
        one.run_id: (one.timeliness.value, one.stale_read, one.partial_input[:WORDS_LIMIT])
        for one in decisions.judgements
    }
    query = "SELECT r.id, r.job_id, r.timeliness, r.stale_read, r.partial_input FROM {keys} JOIN run r ON r.id = k.a"
    differing = [row for row in lines.by_keys(query, "i", sorted(wanted)) if tuple(row[2:]) != wanted[row[0]]]
    rows = [(row[0], *wanted[row[0]], seq()) for row in differing]
    lines.update("run", ("id", "timeliness", "stale_read", "partial_input", "changed_seq"), rows)
    return {row[1] for row in differing}
