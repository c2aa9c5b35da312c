"""Findings as rows: the open ones as values, and an evaluation's changes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from datetime import date

from console.domain.finding import (
    DetectionRule,
    Finding,
    FindingChange,
    FindingEvidence,
    FindingSeverity,
    StoredFinding,
)
from console.domain.ids import instant, micros
from console.domain.stored import stored_text, stored_value
from console.domain.text import text_of
from console.store.db.session import Row, Session, Values, WriteSession
from console.store.meta import get_meta, set_meta
from console.store.names import decode_name, encode_name

_COLUMNS = ("run_id", "business_date", "since_us", "text", "evidence", "severity")
_OPEN = (
    "SELECT id, rule, job_id, period_key, run_id, business_date, since_us, text, evidence, severity FROM finding"
    " WHERE closed_us IS NULL"
)
"""Unordered: for the order of ids SQLite would walk through all that ever closed, beside the index of the open."""
_OPEN_OF_JOBS = (
    "SELECT f.id, f.rule, f.job_id, f.period_key, f.run_id, f.business_date, f.since_us, f.text, f.evidence, f.severity"
    " FROM {keys} JOIN finding f ON f.job_id = k.a WHERE f.closed_us IS NULL"
)
CHANGED = "findings_changed"
"""Name in `meta` of the number of the last change of findings, with the jobs that it changed."""
MAX_NAMED = 500
"""A change of more jobs names none: all open findings are read again."""
_RULES = frozenset(rule.value for rule in DetectionRule)


class OpenFindings:
    """Cached open findings; after one change only those of its jobs are read."""

    def __init__(self) -> None:
        self._number = -1
        self._by_job: dict[int, dict[int, StoredFinding]] = {}
        self.all: tuple[StoredFinding, ...] = ()
        """Oldest first; without those of a rule that this version does not know. Replaced, never changed."""

    @property
    def jobs(self) -> Set[int]:
        return self._by_job.keys()

    def refresh(self, session: Session, changed: str) -> None:
        """`changed`: the value of CHANGED; empty before the first change."""
        number, jobs = json.loads(changed) if changed else (0, [])
        if number == self._number:
            return
        known = {stored.id: stored for stored in self.all}
        if number == self._number + 1 and jobs:
            rows = session.by_keys(_OPEN_OF_JOBS, jobs)
            for ended in [number for job_id in jobs for number in self._by_job.pop(job_id, ())]:
                del known[ended]
        else:
            rows = session.rows(_OPEN)
            known, self._by_job = {}, {}
        for row in rows:
            if row.rule in _RULES:
                known[row.id] = self._by_job.setdefault(row.job_id, {})[row.id] = _stored_finding(row)
        self.all = tuple(map(known.__getitem__, sorted(known)))
        self._number = number


_OPEN_KEYS = (
    "SELECT f.rule, f.job_id, f.period_key FROM {keys} JOIN finding f ON f.job_id = k.a WHERE f.closed_us IS NULL"
)


def write_findings(session: WriteSession, changes: Sequence[FindingChange], now_us: int) -> None:
    """Opens, rewrites and closes them; one that is open already under its key is not opened twice."""
    if not changes:
        return
    number, _ = json.loads(get_meta(session, CHANGED) or "[0, []]")
    jobs = sorted({change.finding.job_id for change in changes})
    set_meta(session, {CHANGED: json.dumps([number + 1, jobs if len(jobs) <= MAX_NAMED else []])})
    new = [change.finding for change in changes if change.id is None]
    known = {tuple(row) for row in session.by_keys(_OPEN_KEYS, sorted({finding.job_id for finding in new}))}
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


def _row(finding: Finding) -> Values:
    day, since = finding.business_date.isoformat(), micros(finding.since)
    return finding.run_id, day, since, stored_text(finding.text), stored_text(finding.evidence), finding.severity.value


def evidence_of(stored: str) -> FindingEvidence:
    """The evidence that `_row` stored; its texts are empty if unreadable."""
    return stored_value(FindingEvidence, stored, FindingEvidence())


def _stored_finding(row: Row) -> StoredFinding:
    finding = Finding(
        DetectionRule(row.rule), row.job_id, decode_name(row.period_key), row.run_id,
        date.fromisoformat(row.business_date),
        instant(row.since_us), text_of(row.text),
        evidence_of(row.evidence),
        FindingSeverity(row.severity),
    )  # fmt: skip
    return StoredFinding(row.id, finding)
