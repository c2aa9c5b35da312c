"""Findings as rows: the open ones as values, and an evaluation's changes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from functools import lru_cache
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

_RULES = frozenset(rule.value for rule in DetectionRule)


def open_findings(session: Session) -> tuple[StoredFinding, ...]:
    """All that are open, oldest first; not those of a rule that this version does not know."""
    known = [row for row in session.rows(_OPEN) if row.rule in _RULES]
    return tuple(_stored_finding(row) for row in sorted(known, key=attrgetter("id")))


def write_findings(session: WriteSession, changes: Sequence[FindingChange], now_us: int) -> None:
    """Opens, rewrites and closes them; one that is open already under its key is not opened twice."""
    if not changes:
        return
    new = [change.finding for change in changes if change.id is None]
    known = _open_keys(session, [finding.job_id for finding in new])
    opening = [
        finding for finding in new if (finding.rule.value, finding.job_id, encode_name(finding.period_key)) not in known
    ]
    keys = ("id", "rule", "job_id", "period_key", *_COLUMNS, "opened_us", "close_reason")
    ids = session.new_ids("finding", len(opening))
    rows = [
        (number, finding.rule.value, finding.job_id, encode_name(finding.period_key), *_row(finding), now_us, "")
        for number, finding in zip(ids, opening, strict=True)
    ]
    session.insert("finding", keys, rows)
    rewritten = [
        (change.id, *_row(change.finding)) for change in changes if change.id is not None and not change.closed
    ]
    session.update("finding", ("id", *_COLUMNS), rewritten)
    closed = [(change.id, now_us, change.closed) for change in changes if change.id is not None and change.closed]
    session.update("finding", ("id", "closed_us", "close_reason"), closed)


def _open_keys(session: WriteSession, job_ids: Sequence[int]) -> set[Values]:
    query = (
        "SELECT f.rule, f.job_id, f.period_key FROM {keys} JOIN finding f ON f.job_id = k.a WHERE f.closed_us IS NULL"
    )
    return {tuple(row) for row in session.by_keys(query, sorted(set(job_ids)))}


def _row(finding: Finding) -> Values:
    evidence = json.dumps(asdict(finding.evidence))
    day, since = finding.business_date.isoformat(), micros(finding.since)
    return finding.run_id, day, since, finding.text, evidence, finding.severity.value


@lru_cache(maxsize=16384)
def _stored_finding(row: Row) -> StoredFinding:
    """Each refresh reads all open findings, few of them changed."""
    finding = Finding(
        DetectionRule(row.rule), row.job_id, decode_name(row.period_key), row.run_id,
        date.fromisoformat(row.business_date),
        instant(row.since_us), row.text, FindingEvidence(**json.loads(row.evidence)), FindingSeverity(row.severity),
    )  # fmt: skip
    return StoredFinding(row.id, finding)
