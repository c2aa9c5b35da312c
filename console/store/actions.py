"""Actions as rows: requests, their status, and withdrawals."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from connectors.sdk.records import RunRef
from connectors.sdk.states import STARTING, RunState, Verb
from console.domain.ids import instant, optional_instant
from console.domain.system import with_fix
from console.store import access, alerts, audit
from console.store.alerts import AlertRouting, AttentionRequest
from console.store.audit import ChangeOrigin
from console.store.db.database import Database
from console.store.db.fence import Fence
from console.store.db.session import Row, Session, WriteSession
from console.store.events import record_event
from console.store.names import decode_name, shortest_suffix
from console.store.new_actions import NewAction
from console.store.row_values import from_row
from console.text.cleaning import clean_line


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRow(NewAction):
    """An action as it was requested, with its present state and the system and target of its job.

    An empty preview is requested from the connector right before the intent; the parameters are for
    `ActionSpec.parameters`, and include the reason as "why"; the text is why it waits, or the reply.
    """

    preview: dict[str, Any]
    parameters: dict[str, Any]
    state: str
    job: str
    system: str
    system_id: int
    target_id: int
    looked_up: int
    sent_us: int | None = None
    first_approver: str = ""


_ACTIONS = (
    "SELECT a.key, a.verb, a.state, a.job_id, j.name AS job, s.name AS system, j.system_id, j.target_id, a.run_id,"
    " a.incident_id, a.preview, a.parameters, a.origin, a.requested_by, a.requested_from, a.why, a.overlap,"
    " a.looked_up, a.requested_us, a.needs_approval, a.approved_by, a.first_approver, a.approved_us,"
    " a.sent_us, a.text"
    " FROM action a JOIN job j ON j.id = a.job_id JOIN system s ON s.id = j.system_id"
)
_APPROVED = " AND (a.state <> 'requested' OR NOT a.needs_approval OR a.approved_us IS NOT NULL)"


def due_actions(store: Database, now_us: int, unreadable: dict[str, tuple[str, str]]) -> list[ActionRow]:
    """Actions to move, approved where required: those of an unknown outcome first, requested ones last, each oldest
    first. Rows not written by Headway that cannot be parsed go into `unreadable`: key -> (state, reason)."""
    states = ("sending", "unknown", "sent", "requested")
    where = f" WHERE a.state IN (?, ?, ?, ?) AND a.next_us <= ?{_APPROVED} ORDER BY a.requested_us, a.key"
    actions = []
    for row in store.rows(_ACTIONS + where, (*states, now_us)):
        try:
            actions.append(_action(row))
        except (ValueError, TypeError, RecursionError) as error:
            unreadable[row.key] = row.state, clean_line(str(error))
    return sorted(actions, key=lambda action: states.index(action.state))


_SELECT_UNAPPROVED = (
    "SELECT key, origin FROM action WHERE state = 'requested' AND needs_approval AND approved_us IS NULL"
)


def unapproved_since(store: Database, before_us: int) -> list[tuple[str, str]]:
    """(key, origin) of actions requested before then that await approval."""
    rows = store.rows(f"{_SELECT_UNAPPROVED} AND requested_us < ? ORDER BY requested_us, key", (before_us,))
    return [(row.key, row.origin) for row in rows]


def unannounced_approvals(store: Database) -> list[str]:
    """Keys of actions that await approval without a notification so far, oldest first."""
    rows = store.rows(f"{_SELECT_UNAPPROVED} AND next_us = 0 ORDER BY requested_us, key")
    return [row.key for row in rows]


def awaiting_in_aborted_plans(store: Database) -> list[tuple[str, int]]:
    """(action key, plan number) of actions that await approval though their plan was aborted."""
    rows = store.rows(
        "SELECT a.key, p.id FROM action a JOIN plan_step s ON s.action_key = a.key JOIN plan p ON p.id = s.plan_id"
        " WHERE a.state = 'requested' AND a.needs_approval AND a.approved_us IS NULL AND p.state = 'aborted'"
        " ORDER BY a.requested_us, a.key"
    )
    return [(row.key, row.id) for row in rows]


def _action(row: Row) -> ActionRow:
    preview, parameters = json.loads(row.preview), json.loads(row.parameters)
    if not isinstance(preview, dict) or row.overlap not in ("refuse", "queue", "allow"):
        raise ValueError("invalid preview or overlap")
    parameters = {**({"why": row.why} if row.why else {}), **parameters}
    return from_row(ActionRow, row, verb=Verb(row.verb), preview=preview, parameters=parameters)


@dataclass(frozen=True, slots=True)
class ActionStep:
    """A transition of an action: its new state, and an event for the timeline."""

    state: str
    text: str = ""
    native_ref: str | None = None
    ended: bool = False
    next_us: int = 0
    is_lookup: bool = False
    event: str = ""
    preview: dict[str, Any] | None = None
    """As the connector returned it just now; None keeps the stored one."""
    notice: str = ""
    """For people to be notified: "outcome stays unknown"; empty: none."""
    code: str = ""
    """`Modes.block_code` of a refusal, for the audit."""
    unsent: bool = False
    """True if a failed action is proved not to have reached its scheduler."""
    fix: str = ""
    """The instruction for a person, which follows its text."""


def step_action(
    store: Database,
    fence: Fence,
    key: str,
    was: str,
    step: ActionStep,
    now_us: int,
    audience: AlertRouting = alerts.NO_ROUTING,
) -> bool:
    """Moves the action if it is still in the state `was`; True if it did. An intent is written through. People are
    notified in the same transaction."""
    with store.write(fence, durable=step.state == "sending") as session:
        moved = move_action(session, key, was, step, now_us)
        if moved and step.notice:
            _request_attention(session, audience, key, step, now_us)
        return moved


def _request_attention(session: WriteSession, audience: AlertRouting, key: str, step: ActionStep, now_us: int) -> None:
    [row] = session.rows(
        "SELECT a.verb, j.name AS job, a.job_id, a.incident_id, a.requested_by FROM action a"
        " JOIN job j ON j.id = a.job_id WHERE a.key = ?",
        (key,),
    )
    what = row.verb.replace("_", " ")
    fixes = [] if step.ended else [("Do", f"headway action withdraw {key}")]
    if step.unsent and row.verb == Verb.RERUN:
        fixes.append(("Do", f"headway rerun {shlex.quote(row.job)}"))
    fixes.append(("Open", f"headway action {key}"))
    notes = () if step.ended else ("Check its scheduler before it is withdrawn.",)
    why = with_fix(step.text, step.fix) if step.ended else step.text
    need = AttentionRequest(
        key, f"{what}: {step.notice}", f"{what} {row.job}", why, tuple(fixes), row.requested_by,
        row.incident_id, row.job_id, notes=notes,
    )  # fmt: skip
    alerts.request_attention(session, audience, need, now_us)


_MOVE = (
    "UPDATE action SET state = ?, text = CASE WHEN ? THEN ? ELSE text END, native_ref = COALESCE(?, native_ref),"
    " next_us = ?, looked_up = looked_up + ?, preview = COALESCE(?, preview), sent_us = COALESCE(?, sent_us),"
    " ended_us = COALESCE(?, ended_us), unsent = ?, changed_seq = changed_seq + 1 WHERE key = ? AND state = ?"
    " AND NOT (? AND EXISTS (SELECT 1 FROM switch WHERE name LIKE 'freeze%' AND value = 'on'))"
    " RETURNING job_id, incident_id, requested_by"
)
"""No intent is committed once a freeze is. The reason for waiting is cleared when an action leaves."""


def move_action(session: Session, key: str, was: str, step: ActionStep, now_us: int) -> bool:
    """`step_action` within the caller's transaction."""
    is_sending = step.state == "sending"
    preview = None if step.preview is None else json.dumps(step.preview)
    row = session.first(
        _MOVE,
        (
            step.state, is_sending or step.text != "", with_fix(step.text, step.fix), step.native_ref, step.next_us,
            int(step.is_lookup), preview, now_us if is_sending else None, now_us if step.ended else None, step.unsent,
            key, was, is_sending,
        ),
    )  # fmt: skip
    if row is None:
        return False
    audit.append_action_state(session, key, was, step.state, now_us, step.code)
    if step.event:
        by = row.requested_by
        record_event(session, now_us, "action", step.event, incident_id=row.incident_id, job_id=row.job_id, actor=by)
    return True


def attempt_after(store: Database, action: ActionRow) -> Row | None:
    """`state`, `evidence`, `ended`, `exit_code` and `message` of the attempt of the action: the one with its key, or
    the one named by the receipt (a redrive carries no key). None until the source reports it."""
    return store.first(
        "SELECT t.state, t.evidence, t.ended_us IS NOT NULL AS ended, t.exit_code, t.message FROM attempt t JOIN action"
        " a ON a.key = ? WHERE (t.action_key = a.key AND t.job_id = a.job_id) OR (t.run_id = a.run_id AND a.native_ref"
        " <> '' AND t.attempt_key = a.native_ref) ORDER BY t.number DESC LIMIT 1",
        (action.key,),
    )


def missed_start(store: Database, action: ActionRow) -> datetime | None:
    """By when a rerun or start was to begin as its system promises, if a poll one interval later reports no attempt of
    it; None for others."""
    if action.verb not in STARTING or action.sent_us is None or attempt_after(store, action) is not None:
        return None
    [row] = store.rows(
        "SELECT s.start_within_s, s.poll_every_s, t.last_ok_us FROM target t JOIN system s ON s.id = t.system_id"
        " WHERE t.id = ?",
        (action.target_id,),
    )
    due_us = action.sent_us + int(row.start_within_s * 1e6)
    is_polled = row.last_ok_us is not None and row.last_ok_us >= due_us + row.poll_every_s * 1e6
    return instant(due_us) if row.start_within_s and is_polled else None


def run_status(store: Database, run_id: int) -> Row | None:
    """`state` and `evidence` of a run, as its source last reported it; None if the run is not in the store."""
    return store.first("SELECT state, evidence FROM run WHERE id = ?", (run_id,))


def short_name(store: Database, job_id: int | None, run_id: int | None) -> str:
    """The name to type as confirmation: the shortest suffix of the job's name (or of the run's job) that no other job
    has."""
    of_run = "SELECT j.name FROM run r JOIN job j ON j.id = r.job_id WHERE r.id = ?"
    sql = of_run if run_id is not None else "SELECT name FROM job WHERE id = ?"
    with store.read() as session:
        [job] = session.rows(sql, (job_id if run_id is None else run_id,))
        return clean_line(decode_name(shortest_suffix(session, job.name)))


class NativeRef(NamedTuple):
    """A run as its connector finds it."""

    ref: RunRef
    system: str
    target_id: int
    state: str


def job_ref(store: Database, job_id: int) -> NativeRef | None:
    """As `run_ref`, for an action on a job: no run, no attempt, the state "planned"."""
    sql = "SELECT j.source_id, s.name, j.target_id FROM job j JOIN system s ON s.id = j.system_id WHERE j.id = ?"
    row = store.first(sql, (job_id,))
    if row is None:
        return None
    ref = RunRef(decode_name(row.source_id), "", "", "")
    return NativeRef(ref, row.name, row.target_id, RunState.PLANNED.value)


def run_ref(store: Database, run_id: int, attempt_id: int | None = None, job_id: int | None = None) -> NativeRef | None:
    """The run with its latest or the given attempt. None for a run of another job than `job_id`: a permission on one
    job must not reach another's run."""
    sql = (
        "SELECT r.job_id, j.source_id, r.period_key, COALESCE(a.attempt_key, '') AS attempt_key,"
        " COALESCE(a.native_ref, '') AS native_ref, a.started_us, r.period_name, s.name, j.target_id, r.state"
        " FROM run r JOIN job j ON j.id = r.job_id JOIN system s ON s.id = j.system_id LEFT JOIN attempt a"
        " ON a.id = COALESCE(CAST(? AS BIGINT), r.attempt_id) AND a.run_id = r.id WHERE r.id = ?"
    )
    row = store.first(sql, (attempt_id, run_id))
    if row is None or job_id not in (None, row.job_id):
        return None
    ref = RunRef(
        decode_name(row.source_id), decode_name(row.period_key), decode_name(row.attempt_key),
        decode_name(row.native_ref), optional_instant(row.started_us), decode_name(row.period_name),
    )  # fmt: skip
    return NativeRef(ref, row.name, row.target_id, row.state)


_SELECT_REQUESTED = (
    "SELECT a.state, a.origin, a.requested_by, a.verb, a.why, j.name AS job FROM action a JOIN job j ON j.id = a.job_id"
    " WHERE a.key = ?"
)


def withdraw(store: Database, fence: int, key: str, change: ChangeOrigin) -> str:
    """Withdraws the action if it is unsent, or its outcome is unknown: the sender commits its intent by compare-and-set
    on the same row. The reason for refusal; empty on success."""
    with store.write(fence, durable=True) as session:
        action = session.first(_SELECT_REQUESTED, (key,))
        if action is None:
            return f'there is no action "{key}"; headway action withdraw lists the ones that can be withdrawn'
        if action.state == "requested":
            if (plan := access.plan_of(session, key)) is not None:
                return f"it is a step of plan {plan.id}: headway plan abort {plan.id} abandons its unsent steps"
            text = f"withdrawn by {change.by} before it was sent"
            step = ActionStep("refused", text, ended=True, event=text)
        elif action.state == "unknown":
            text = f"withdrawn by {change.by} with an unknown outcome"
            step = ActionStep("failed", text, ended=True, event=text)
        elif action.state in ("sending", "sent"):
            return "it was sent already; headway run cancel ends a running run"
        else:
            return f"it has ended: {action.state}"
        move_action(session, key, action.state, step, change.now_us)
        detail = {"key": key, "requested_by": action.requested_by, "it was": action.state, "requested_why": action.why}
        change.audit(session, f"withdraw {action.verb}", action.job, detail)
    return ""
