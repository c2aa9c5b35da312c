"""What the rules found: the open rows as values, and an evaluation's changes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from operator import itemgetter

from console.model.findings import Evidence, Finding, FindingChange, FindingFacts, Rule, Severity
from console.model.ids import instant, micros
from console.store.keys import pack, unpack
from console.store.wire import Row, Wire

_COLUMNS = ("run_id", "bd", "since_us", "words", "evidence", "severity")
_OPEN = (
    "SELECT id, rule, job_id, period_key, run_id, bd, since_us, words, evidence, severity FROM finding"
    " WHERE closed_us IS NULL"
)
"""Unordered: for the order of ids SQLite would walk through all that ever closed, beside the index of the open."""


def open_findings(lines: Wire) -> tuple[FindingFacts, ...]:
    """All that are open, oldest first; not those of a rule that this version does not know."""
    known = [row for row in lines.rows(_OPEN) if row[1] in list(Rule)]
    return tuple(FindingFacts(row[0], _finding(row[1:])) for row in sorted(known, key=itemgetter(0)))


def write_findings(lines: Wire, changes: Sequence[FindingChange], now_us: int) -> None:
    """Opens, rewrites and closes them; one that is open already under its key is not opened twice."""
    if not changes:
        return
    new = [one.finding for one in changes if one.id is None]
    known = _open_keys(lines, [one.job_id for one in new])
    opening = [one for one in new if (one.rule.value, one.job_id, pack(one.period_key)) not in known]
    keys = ("id", "rule", "job_id", "period_key", *_COLUMNS, "opened_us", "close_reason")
    ids = lines.new_ids("finding", len(opening))
    rows = [
        (number, one.rule.value, one.job_id, pack(one.period_key), *_row(one), now_us, "")
        for number, one in zip(ids, opening, strict=True)
    ]
    lines.insert("finding", keys, rows)
    rewritten = [(one.id, *_row(one.finding)) for one in changes if one.id is not None and not one.closed]
    lines.update("finding", ("id", *_COLUMNS), rewritten)
    closed = [(one.id, now_us, one.closed) for one in changes if one.id is not None and one.closed]
    lines.update("finding", ("id", "closed_us", "close_reason"), closed)


def _open_keys(lines: Wire, job_ids: Sequence[int]) -> set[Row]:
    query = (
        "SELECT f.rule, f.job_id, f.period_key FROM {keys} JOIN finding f ON f.job_id = k.a WHERE f.closed_us IS NULL"
    )
    return {tuple(row) for row in lines.by_keys(query, "i", sorted(set(job_ids)))}


def _row(one: Finding) -> Row:
    evidence = json.dumps(asdict(one.evidence))
    return one.run_id, one.bd.isoformat(), micros(one.since), one.words, evidence, one.severity.value


def _finding(row: Row) -> Finding:
    rule, job_id, period_key, run_id, bd, since, words, evidence, severity = row
    return Finding(
        Rule(rule), job_id, unpack(period_key), run_id, date.fromisoformat(bd), instant(since), words,
        Evidence(**json.loads(evidence)), Severity(severity),
    )  # fmt: skip
