"""Failures by signature: the incidents that had it, and the repairs that were sent for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from console.domain.failure import (
    FailureMemory,
    FailureSignature,
    PastFailure,
    RepairTry,
    memory_of,
)
from console.domain.ids import instant, optional_instant
from console.store.db.session import Row, Session
from console.store.new_actions import SENT_BY
from console.store.row_values import from_row, parse_object, stored_reason
from console.store.subjects import ROOT_JOINS, ROOT_NAME

# ruff: noqa: S608  (statements contain only constants of the code; every value is bound)
MAX_INCIDENTS = 2_000
"""The latest incidents that are read for a list, or for one signature."""
MAX_EARLIER = 200
"""The latest incidents that are read for one incident, at each of its changes."""
_FROM = "FROM incident_failure x JOIN incident c ON c.id = x.incident_id WHERE {where} AND c.merged_into IS NULL"
_COUNT = f"SELECT count(*) AS number {_FROM}"
_NEXT = "SELECT min(n.since_us) FROM incident_failure n WHERE n.incident_id = x.incident_id AND n.since_us > x.since_us"
_FAILURES = (
    "SELECT c.id, c.cause, c.cause_subject, c.root_target_id, x.job_id AS root_job_id, x.run_id AS root_run_id,"
    f" x.failure, x.since_us, ({_NEXT}) AS next_us, c.closed_us, c.close_reason {_FROM}"
    " ORDER BY x.incident_id DESC, x.since_us DESC LIMIT ?"
)
_PAST = (
    f"SELECT i.id AS incident_id, i.failure, {ROOT_NAME} AS job, i.since_us AS failed_since_us, COALESCE(i.next_us,"
    " i.closed_us) AS closed_us, CASE WHEN i.next_us IS NULL THEN i.close_reason ELSE '' END AS close_reason, CASE"
    " WHEN f.state = 'succeeded' AND f.evidence <> 'asserted' AND NOT f.stale_read THEN f.ended_us END AS root_good_us,"
    " (SELECT e.text FROM event e WHERE e.incident_id = i.id AND e.kind = 'note' ORDER BY e.id DESC LIMIT 1) AS note,"
    " a.verb, a.state, a.origin, a.parameters, a.sent_us, COALESCE((SELECT t.ended_us FROM attempt t WHERE t.id ="
    f" a.attempt_id), a.ended_us) AS ended_us, {SENT_BY} AS by FROM ({_FAILURES}) i {ROOT_JOINS} LEFT JOIN action a ON"
    " (a.incident_id = i.id OR a.run_id = i.root_run_id) AND a.sent_us >= i.since_us AND (i.next_us IS NULL OR"
    " a.sent_us < i.next_us) AND a.job_id = i.root_job_id AND a.verb IN ('rerun', 'start') AND a.state <> 'refused' AND"
    " NOT a.unsent ORDER BY i.id DESC, i.since_us DESC, a.sent_us, a.key"
)
"""Failures of incidents, each with a row for every repair of its root that was sent while the incident was about it, or
one row without a repair."""


def load_failures(session: Session) -> list[FailureMemory]:
    """The memory of each signature of the latest incidents, the newest incident first."""
    return [memory_of(*item) for item in _past(session, "x.signature <> ''", MAX_INCIDENTS).items()]


def load_failure(session: Session, signature_id: str) -> FailureMemory | None:
    """The memory of the signature with this id; None if no incident that is kept had it."""
    for item in _past(session, "x.signature = ?", signature_id, MAX_INCIDENTS).items():
        return memory_of(*item)
    return None


def load_earlier(session: Session, signature: FailureSignature, incident_id: int | None) -> FailureMemory:
    """The memory of a signature, of incidents before this one; None: of all."""
    earlier = "" if incident_id is None else " AND x.incident_id < ?"
    where, values = f"x.signature = ?{earlier}", [signature.id, *([] if incident_id is None else [incident_id])]
    past = _past(session, where, *values, MAX_EARLIER)
    [count] = session.rows(_COUNT.format(where=where), values)
    return replace(memory_of(signature, past.get(signature, [])), seen=count.number)


def _past(session: Session, where: str, *values: object) -> dict[FailureSignature, list[PastFailure]]:
    """Failures by signature, the newest first."""
    rows: defaultdict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in session.rows(_PAST.format(where=where), values):
        rows[row.incident_id, row.failed_since_us].append(row)
    past: defaultdict[FailureSignature, list[PastFailure]] = defaultdict(list)
    for [first, *further] in rows.values():
        if signature := FailureSignature.from_json(first.failure):
            past[signature].append(_past_failure(first, [first, *further]))
    return past


def _past_failure(incident: Row, repairs: Sequence[Row]) -> PastFailure:
    return from_row(
        PastFailure,
        incident,
        close_reason=stored_reason(incident.close_reason),
        tries=tuple(
            RepairTry(_method(row), row.state, row.by, instant(row.sent_us), optional_instant(row.ended_us), row.origin)
            for row in repairs
            if row.verb is not None
        ),
    )


def _method(row: Row) -> str:
    scope = parse_object(row.parameters).get("scope", "failed")
    scope_text = "" if scope == "failed" else f" {scope}"
    return "plan" if row.origin == "plan" else str(row.verb).replace("_", " ") + scope_text
