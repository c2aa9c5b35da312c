"""Findings as rows: the open ones as values, and an evaluation's changes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from operator import attrgetter

from console.domain.finding import (
    DetectionRule,
    Finding,
    FindingChange,
    FindingEvidence,
    FindingSeverity,
    StoredFinding,
)
from console.domain.ids import instant, micros
from console.store.db.session import Row, Session, Values, WriteSession
from console.store.names import decode_name, encode_name

_COLUMNS = ("run_id", "business_date", "since_us", "text", "evidence", "severity")
_OPEN = (
    "SELECT id, rule, job_id, period_key, run_id, business_date, since_us, text, evidence, severity FROM finding"
    " WHERE closed_us IS NULL"
)
"""Unordered: for the order of ids SQLite would walk through all that ever closed, beside the index of the open."""


def open_findings(session: Session) -> tuple[StoredFinding, ...]:
    """All that are open, oldest first; not those of a rule that this version does not know."""
    known = [row for row in session.rows(_OPEN) if row.rule in list(DetectionRule)]
    return tuple(StoredFinding(row.id, _finding(row)) for row in sorted(known, key=attrgetter("id")))


def write_findings(session: WriteSession, changes: Sequence[FindingChange], now_us: int) -> None:
    """Opens, rewrites and closes them; one that is open already under its key is not opened twice."""
    if not changes:
        return
    new = [one.finding for one in changes if one.id is None]
    known = _open_keys(session, [one.job_id for one in new])
    opening = [one for one in new if (one.rule.value, one.job_id, encode_name(one.period_key)) not in known]
    keys = ("id", "rule", "job_id", "period_key", *_COLUMNS, "opened_us", "close_reason")
    ids = session.new_ids("finding", len(opening))
    rows = [
        (number, one.rule.value, one.job_id, encode_name(one.period_key), *_row(one), now_us, "")
        for number, one in zip(ids, opening, strict=True)
    ]
    session.insert("finding", keys, rows)
    rewritten = [(one.id, *_row(one.finding)) for one in changes if one.id is not None and not one.closed]
    session.update("finding", ("id", *_COLUMNS), rewritten)
    closed = [(one.id, now_us, one.closed) for one in changes if one.id is not None and one.closed]
    session.update("finding", ("id", "closed_us", "close_reason"), closed)


def _open_keys(session: WriteSession, job_ids: Sequence[int]) -> set[Values]:
    query = (
        "SELECT f.rule, f.job_id, f.period_key FROM {keys} JOIN finding f ON f.job_id = k.a WHERE f.closed_us IS NULL"
    )
    return {tuple(row) for row in session.by_keys(query, sorted(set(job_ids)))}


def _row(one: Finding) -> Values:
    evidence = json.dumps(asdict(one.evidence))
    return one.run_id, one.business_date.isoformat(), micros(one.since), one.text, evidence, one.severity.value


def _finding(row: Row) -> Finding:
    return Finding(
        DetectionRule(row.rule), row.job_id, decode_name(row.period_key), row.run_id,
        date.fromisoformat(row.business_date),
        instant(row.since_us), row.text, FindingEvidence(**json.loads(row.evidence)), FindingSeverity(row.severity),
    )  # fmt: skip
