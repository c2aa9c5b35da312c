"""New actions as rows: of people, policies and plans. Small imports: clients write them too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from connectors.sdk.states import Verb
from console.store.db.session import Session

# ruff: noqa: S608  (only our own names; every value is bound)

_REQUESTER = (
    "CASE WHEN a.requested_from = 'MCP' OR a.requested_from LIKE '% (MCP)' THEN 'assistant of ' ELSE '' END ||"
    " a.requested_by"
)
"""As `domain.plan.requester_text`."""
SENT_BY = (
    f"{_REQUESTER} || COALESCE((SELECT ', approved by ' || approver.name FROM (SELECT COALESCE(NULLIF(CASE WHEN"
    " a.approved_by <> '' AND a.first_approver <> '' THEN a.first_approver || ' and ' ELSE '' END || a.approved_by,"
    " ''), (SELECT (SELECT e.actor FROM event e WHERE e.incident_id = COALESCE((SELECT MIN(f.incident_id) FROM"
    " plan_step t JOIN action f ON f.key = t.action_key WHERE t.plan_id = p.id), p.incident_id) AND e.kind || ':' ||"
    " e.text = 'plan:plan ' || p.id || ' resumed' ORDER BY e.id LIMIT 1) FROM plan_step s JOIN plan p ON p.id ="
    " s.plan_id WHERE s.action_key = a.key AND (p.requested_from IN ('MCP', 'HTTP API') OR"
    " p.requested_from LIKE '% (MCP)' OR"
    f" p.requested_from LIKE '% (HTTP API)'))) AS name LIMIT 1) approver WHERE approver.name <> {_REQUESTER}), '')"
)
"""SQL of "assistant of anna, approved by ben": the requester of action `a`, and the approver of it or of its plan.

The plan may have moved to a later incident since: its first action has the one where it was approved.
An incident's events are read in order, up to the first that resumes the plan: it precedes those of the plan's steps.
For PostgreSQL, kind and text are one expression, without which it sorts them all, and LIMIT has them read once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAction:
    """The row of an action that is requested now."""

    key: str
    verb: Verb
    job_id: int
    run_id: int | None
    incident_id: int | None
    preview: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any]
    origin: str
    """ "person", "plan", "policy", or the mode of a dependency."""
    requested_by: str
    requested_from: str = ""
    why: str = ""
    overlap: str
    needs_approval: bool = False
    approved_by: str = ""
    approved_us: int | None = None
    requested_us: int
    text: str = ""


def insert_action(session: Session, action: NewAction) -> bool:
    """Whether the key is new; then the action is inserted as requested."""
    values = {
        **{column.name: getattr(action, column.name) for column in fields(action)}, "verb": action.verb.value,
        "preview": json.dumps(dict(action.preview)), "parameters": json.dumps(dict(action.parameters)),
        "state": "requested", "native_ref": "", "next_us": 0, "looked_up": 0, "changed_seq": 0,
    }  # fmt: skip
    sql = f"INSERT INTO action ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
    return bool(session.rows(f"{sql} ON CONFLICT (key) DO NOTHING RETURNING key", tuple(values.values())))


def insert_restricted(session: Session, action: NewAction, job_id: int | None) -> None:
    """Inserts and audits it under the login's name. `job_id`: only of a request that names no run."""
    about = (action.key, action.verb.value, job_id, action.run_id, action.incident_id)
    rest = (json.dumps(dict(action.parameters)), action.why, action.overlap, action.needs_approval)
    session.rows("SELECT headway_act(?, ?, ?::integer, ?, ?, ?, ?, ?, ?, ?)", (*about, *rest, action.requested_from))


def has_action(session: Session, key: str, by: str) -> bool:
    """Whether this person has requested an action under the key."""
    return bool(session.rows("SELECT 1 FROM action WHERE key = ? AND requested_by = ?", (key, by)))


def run_of_period(session: Session, job_id: int, period_key: str) -> int | None:
    """The id of the job's run of this period, as it is stored; None without one."""
    row = session.first("SELECT id FROM run WHERE job_id = ? AND period_key = ?", (job_id, period_key))
    return None if row is None else int(row.id)


def open_incident(session: Session, job_id: int, period_key: str) -> int | None:
    """The oldest open incident that the job's run of this period is a member of; without a period, any run of it."""
    [row] = session.rows(
        "SELECT MIN(i.id) AS id FROM incident_member m JOIN incident i ON i.id = m.incident_id"
        f" WHERE m.job_id = ? {'AND m.period_key = ? ' if period_key else ''}AND i.closed_us IS NULL",
        (job_id, period_key) if period_key else (job_id,),
    )
    return None if row.id is None else int(row.id)


def open_incident_of_run(session: Session, run_id: int) -> int | None:
    """As `open_incident`, of a run."""
    run = session.first("SELECT job_id, period_key FROM run WHERE id = ?", (run_id,))
    return None if run is None else open_incident(session, run.job_id, run.period_key)
