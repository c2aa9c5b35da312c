"""Decisions into rows: expected runs, judgements, service days, incidents, alerts, and evaluation progress.

One transaction. Rows that already have the decision are not written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from console.domain.decision import Decisions, ExpectedRun
from console.domain.ids import micros
from console.domain.stored import stored_text
from console.failpoints import failpoint
from console.store.alerts import NO_ROUTING, AlertRouting
from console.store.db.database import Database
from console.store.db.session import Values, WriteSession
from console.store.findings import write_findings
from console.store.holds import write_holds
from console.store.incidents import IncidentWriter
from console.store.ingest.latest_run import remove_runs, roll_latest
from console.store.ingest.merge import StoredRun
from console.store.meta import LazyChangedSeq, set_meta
from console.store.names import encode_name
from console.store.policies import open_breakers, withdraw_repairs, write_pending_repairs, write_policy_repairs
from console.store.services import write_days
from console.text.cleaning import clean_line

MAX_TEXT = 500
_EXPECTED = (
    "SELECT r.id, r.job_id, r.period_key, r.attempts, r.state, r.evidence, r.reason, r.expected, r.business_date,"
    " r.period_name, r.period_kind"
    " FROM {keys} JOIN run r ON r.job_id = k.a AND r.period_key = k.b"
)


@dataclass(frozen=True, slots=True)
class AppliedDecisions:
    """Ids created or closed by an evaluation."""

    opened: tuple[int, ...] = ()
    closed: tuple[int, ...] = ()
    """Closed incidents, merged ones included."""
    alerts: tuple[int, ...] = ()


def apply_decisions(
    store: Database,
    decisions: Decisions,
    now: datetime,
    evaluated_seq: int,
    fence: int | None,
    routes: Mapping[str, tuple[str, ...]],
    audience: AlertRouting = NO_ROUTING,
) -> AppliedDecisions:
    """Writes an evaluation of everything up to `evaluated_seq`. `routes`: route -> text of each of its URL
    references; `audience`: routing of alerts that a person is needed.

    A real attempt is never overwritten by an expectation. Raises LeaseLost, and then nothing is written.
    """
    now_us = micros(now)
    with store.write(fence) as session:
        seq = LazyChangedSeq(session)
        jobs = _write_expected(session, decisions.expected, seq, now_us)
        jobs |= _withdraw(session, decisions.withdrawn)
        jobs |= _judge(session, decisions, seq)
        if jobs:
            roll_latest(session, seq(), {}, jobs)
        writer = IncidentWriter(session, seq, now_us, routes)
        for decision in decisions.incidents:
            writer.write(decision)
        writer.finish()
        write_days(session, decisions.service_days, writer.ids, seq, now_us)
        write_findings(session, decisions.findings, now_us)
        write_holds(session, seq, now_us, decisions.holds, audience)
        write_policy_repairs(session, decisions.policy_repairs, writer.ids)
        write_pending_repairs(session, decisions.pending_repairs, writer.ids, seq, now_us)
        withdraw_repairs(session, decisions.withdrawn_repairs, now_us)
        open_breakers(session, decisions.opened_breakers, audience, now_us)
        cycles = [[clean_line(name) for name in path] for path in decisions.cycles]
        set_meta(session, {"evaluated_seq": str(evaluated_seq), "cycles": json.dumps(cycles)})
        failpoint("evaluate.before_commit")
    return AppliedDecisions(tuple(writer.opened), tuple(writer.closed), tuple(writer.alerts))


def _write_expected(
    session: WriteSession, expected: Sequence[ExpectedRun], seq: LazyChangedSeq, now_us: int
) -> set[int]:
    """Jobs with a new or changed run."""
    by_key = {(run.job_id, encode_name(run.period_key)): run for run in expected}
    stored = {(row.job_id, row.period_key): row for row in session.by_keys(_EXPECTED, list(by_key))}
    new = [(key, run) for key, run in by_key.items() if key not in stored]
    rows = [
        _expected_run(run_id, key, run, now_us, seq())
        for run_id, (key, run) in zip(session.new_ids("run", len(new)), new, strict=True)
    ]
    session.insert("run", StoredRun._fields, rows)
    jobs = {run.job_id for _, run in new}
    changed: list[Values] = []
    begun: list[Values] = []
    for key, row in stored.items():
        run = by_key[key]
        day, name = run.business_date.isoformat(), encode_name(run.period_name)
        values = (run.state.value, run.evidence.value, stored_text(run.why), True, day, name, run.period_kind.value)
        stored_values = (row.state, row.evidence, row.reason, row.expected, row.business_date, row.period_name)
        if row.attempts > 0:
            begun += [] if row.expected else [(row.id, True, seq())]
        elif (*stored_values, row.period_kind) != values:
            changed.append((row.id, *values, seq()))
            jobs.add(row.job_id)
    columns = ("id", "state", "evidence", "reason", "expected", "business_date", "period_name", "period_kind")
    session.update("run", (*columns, "changed_seq"), changed)
    session.update("run", ("id", "expected", "changed_seq"), begun)
    return jobs


def _expected_run(run_id: int, key: tuple[int, str], run: ExpectedRun, now_us: int, seq: int) -> StoredRun:
    period_us = micros(run.period_at)
    return StoredRun(
        id=run_id,
        job_id=key[0],
        period_key=key[1],
        period_us=period_us,
        period_kind=run.period_kind.value,
        period_name=encode_name(run.period_name),
        sort_us=period_us,
        business_date=run.business_date.isoformat(),
        state=run.state.value,
        evidence=run.evidence.value,
        native_state="",
        reason=stored_text(run.why),
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


def _withdraw(session: WriteSession, run_ids: Sequence[int]) -> set[int]:
    rows = session.by_keys(
        "SELECT r.id, r.job_id FROM {keys} JOIN run r ON r.id = k.a WHERE r.attempts = 0"
        " AND NOT EXISTS (SELECT 1 FROM action x WHERE x.run_id = r.id)",
        sorted(run_ids),
    )
    remove_runs(session, [row.id for row in rows])
    return {row.job_id for row in rows}


def _judge(session: WriteSession, decisions: Decisions, seq: LazyChangedSeq) -> set[int]:
    judgements = {
        run.run_id: (run.timeliness.value, run.stale_read, run.partial_input[:MAX_TEXT]) for run in decisions.judgements
    }
    query = "SELECT r.id, r.job_id, r.timeliness, r.stale_read, r.partial_input FROM {keys} JOIN run r ON r.id = k.a"
    differing = [
        row
        for row in session.by_keys(query, sorted(judgements))
        if (row.timeliness, row.stale_read, row.partial_input) != judgements[row.id]
    ]
    rows = [(row.id, *judgements[row.id], seq()) for row in differing]
    session.update("run", ("id", "timeliness", "stale_read", "partial_input", "changed_seq"), rows)
    return {row.job_id for row in differing}
