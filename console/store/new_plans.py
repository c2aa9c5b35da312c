"""Plans as people start and steer them, as rows. Small imports: clients write them too."""

from __future__ import annotations

import json

from connectors.sdk.states import Verb
from console.domain.hold import seconds_until_hold
from console.domain.ids import instant
from console.domain.plan import AWAITS_APPROVAL, STEERING, DraftStep, PlanDraft, requester_text
from console.domain.request import RequestKind
from console.domain.stored import stored_text
from console.store.db.session import Row, Session
from console.store.events import record_event
from console.store.names import encode_name
from console.text.cleaning import clean_line

_NEW_PLAN = (
    "INSERT INTO plan (key, kind, title, incident_id, state, requested_by, requested_from, why, requested_us, at_once,"
    " text, changed_seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) RETURNING id"
)
_STEP_COLUMNS = (
    "place", "verb", "job_id", "run_id", "period_key", "parameters", "after", "wait_s", "safety", "expected_s", "saves",
    "preview",
)  # fmt: skip
_NEW_STEPS = f"INSERT INTO plan_step (plan_id, {', '.join(_STEP_COLUMNS)}, state, text) VALUES "  # noqa: S608
_NEW_STEP = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'planned', '')"
_STEPS_AT_ONCE = 50
"""Rows per INSERT: starting a plan blocks every other writer meanwhile."""
_OPEN = "('running', 'paused', 'stopped')"
_OPEN_PLANS = (
    "SELECT id, incident_id, requested_by, requested_from, requested_us, state, NOT EXISTS (SELECT 1 FROM plan_step s"  # noqa: S608 - our own
    f" WHERE s.plan_id = plan.id AND s.state <> 'planned') AS is_unsent FROM plan WHERE state IN {_OPEN}"
)


def plan_by_key(session: Session, key: str, by: str) -> int | None:
    """The number of this person's plan with this key; None without one. A key of a restricted login begins with it."""
    own = f"{by} {key}" if session.is_restricted else key
    row = session.first("SELECT id FROM plan WHERE key = ? AND requested_by = ?", (own, by))
    return None if row is None else int(row.id)


def insert_plan(
    session: Session,
    draft: PlanDraft,
    key: str,
    by: str,
    origin: str,
    why: str,
    at_once: int,
    now_us: int,
    waits: str = "",
) -> int:
    """Inserts the plan with its steps and its event; its number. `waits`: why it is paused; empty: it runs."""
    if session.is_restricted:
        steps = json.dumps([dict(zip(_STEP_COLUMNS, _step_row(step, now_us), strict=True)) for step in draft.steps])
        plan = (key, draft.kind, draft.title, draft.incident_id, why, at_once, steps, origin)
        number = int(session.rows("SELECT headway_start_plan(?, ?, ?, ?, ?, ?, ?, ?) AS id", plan)[0].id)
        if waits:
            [plan_row] = session.rows("SELECT state FROM plan WHERE id = ?", (number,))
            if plan_row.state == "running":  # an older grants.sql starts every plan
                order_restricted(session, number, RequestKind.PAUSE_PLAN, why, origin)
        return number
    state = "paused" if waits else "running"
    values = (key, draft.kind, draft.title, draft.incident_id, state, by, origin, why, now_us, at_once, waits)
    number = int(session.rows(_NEW_PLAN, values)[0].id)
    for at in range(0, len(draft.steps), _STEPS_AT_ONCE):
        part = draft.steps[at : at + _STEPS_AT_ONCE]
        rows = [value for step in part for value in (number, *_step_row(step, now_us))]
        session.rows(_NEW_STEPS + ", ".join([_NEW_STEP] * len(part)), rows)
    text = f"plan {number} {AWAITS_APPROVAL if waits else 'started'}: {draft.title}"
    requester = requester_text(by, origin)
    record_event(session, now_us, "plan", text, incident_id=draft.incident_id, actor=requester)
    return number


def _step_row(step: DraftStep, now_us: int) -> tuple[object, ...]:
    """The values of its columns `place` to `preview`. The preview also keeps the state in which the person saw the
    run; the wait of a hold is shortened by the time that has passed since then."""
    shown = {key: value for key, value in step.preview.items() if key != "plan"} | {"run_state": step.state}
    is_hold = step.verb == Verb.HOLD
    wait_s = seconds_until_hold(step.parameters, step.wait_s, instant(now_us)) if is_hold else step.wait_s
    return (
        step.place,
        step.verb,
        step.job_id,
        step.run_id,
        encode_name(step.period.key),
        json.dumps(dict(step.parameters)),
        json.dumps(list(step.after)),
        wait_s,
        step.safety,
        step.expected_s,
        stored_text(step.saves),
        json.dumps(shown),
    )


def open_plan_of_incident(session: Session, incident_id: int | None) -> Row | None:
    """The newest open plan for the incident: `id`, `incident_id`, `requested_by`, `requested_from`, `requested_us`,
    `state`, and `is_unsent`: no step of it was sent."""
    return session.first(f"{_OPEN_PLANS} AND incident_id = ? ORDER BY id DESC", (incident_id,))


def open_plan(session: Session, number: int) -> Row:
    """An open plan, with the columns of `open_plan_of_incident`."""
    return session.rows(f"{_OPEN_PLANS} AND id = ?", (number,))[0]


def steps_to_come(session: Session) -> list[Row]:
    """`plan_id`, `job_id`, `period_key` and `verb` of the steps that open plans still execute, or execute again when
    resumed."""
    return session.rows(
        "SELECT p.id AS plan_id, s.job_id, s.period_key, s.verb FROM plan_step s JOIN plan p ON p.id = s.plan_id"  # noqa: S608
        f" WHERE p.state IN {_OPEN} AND s.state IN ('planned', 'requested', 'failed') AND s.period_key <> ''"
    )


def jobs_of_plan(session: Session, number: int) -> list[int]:
    rows = session.rows("SELECT DISTINCT job_id FROM plan_step WHERE plan_id = ?", (number,))
    return [int(row.job_id) for row in rows]


def plan_state(session: Session, number: int) -> str | None:
    """The state of a plan; None without it."""
    row = session.first("SELECT state FROM plan WHERE id = ?", (number,))
    return None if row is None else str(row.state)


def order_restricted(session: Session, number: int, how: str, why: str, origin: str) -> int:
    """Orders the engine to change the plan (`console.store.plans.carry_out_orders`); the number of the request."""
    return int(session.rows("SELECT headway_steer_plan(?, ?, ?, ?) AS id", (number, how, why, origin))[0].id)


_HELD = (
    "SELECT DISTINCT j.name FROM plan_step s JOIN action a ON a.key = s.action_key JOIN job j ON j.id = s.job_id LEFT"
    " JOIN hold h ON h.key = a.key LEFT JOIN action r ON r.key = h.release_key WHERE s.plan_id = ? AND s.verb = 'hold'"
    " AND (h.state IN ('held', 'foreign') OR (h.state = 'releasing' AND r.state IN ('refused', 'failed')) OR"
    " (COALESCE(h.state, 'placing') = 'placing' AND a.state IN ('sending', 'sent', 'unknown', 'verified'))) ORDER BY"
    " j.name"
)
"""Jobs that stay held, as in `control.recovery.execution`: holds being placed included, holds being released not."""


def steer_plan(session: Session, number: int, how: RequestKind, by: str, now_us: int) -> None:
    """Pauses, resumes or aborts the plan for a person, and records it in the incident's timeline."""
    _, state, done = STEERING[how]
    held = "" if how is RequestKind.RESUME_PLAN else _remaining_hold(session, number)
    _set_state(session, number, state, f"{done} by {by}{held}", now_us)
    if how is RequestKind.RESUME_PLAN:
        session.rows("UPDATE plan SET resumed_by = ? WHERE id = ?", (by, number))
    [plan] = session.rows("SELECT incident_id FROM plan WHERE id = ?", (number,))
    record_event(session, now_us, "plan", f"plan {number} {done}", incident_id=plan.incident_id, actor=by)


def _remaining_hold(session: Session, number: int) -> str:
    """The jobs that the plan leaves held, as the end of a sentence; empty if none."""
    jobs = [clean_line(row.name) for row in session.rows(_HELD, (number,))]
    stay = "stays" if len(jobs) == 1 else "stay"
    return f"; {', '.join(jobs)} {stay} held; release with: headway hold release JOB" if jobs else ""


def _set_state(session: Session, number: int, state: str, text: str, now_us: int) -> None:
    """Sets state and text. On resume, failed steps are planned again."""
    session.rows(
        "UPDATE plan SET state = ?, text = ?, changed_seq = changed_seq + 1,"
        " ended_us = CASE WHEN CAST(? AS TEXT) = 'aborted' THEN CAST(? AS BIGINT) ELSE ended_us END WHERE id = ?",
        (state, text, state, now_us, number),
    )
    if state == "running":
        session.rows(  # a step that waited for the plan to run
            "UPDATE action SET text = '', changed_seq = changed_seq + 1 WHERE state = 'requested' AND key IN"
            " (SELECT action_key FROM plan_step WHERE plan_id = ?)",
            (number,),
        )
        session.rows(
            "UPDATE plan_step SET state = 'planned', action_key = NULL, due_us = NULL, ended_us = NULL"
            " WHERE plan_id = ? AND state = 'failed'",
            (number,),
        )
