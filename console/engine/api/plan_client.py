"""Plans as the console and the CLI write them: start, pause, resume, abort."""

from __future__ import annotations

import json
from collections.abc import Sequence

from connectors.sdk.states import Verb
from console.control.access.authorization import AccessGranted, AccessRefusal
from console.domain.access import Person
from console.domain.hold import seconds_until_hold
from console.domain.ids import instant
from console.domain.plan import WAIT, DraftStep, PlanDraft, PlanRefused
from console.engine.access import AccessRights, all_granted
from console.engine.api.action_request import EXCLUSIVE_VERBS, AlreadyRequested
from console.engine.api.origin import request_origin
from console.engine.api.queue import RequestQueue, raise_if_refused
from console.store import access, audit
from console.store.db import client
from console.store.db.session import Row, Session
from console.store.errors import PlanNotFound
from console.store.events import record_event
from console.store.names import encode_name
from console.text.cleaning import clean_line
from console.timing.durations import format_duration

_NEW_PLAN = (
    "INSERT INTO plan (key, kind, title, incident_id, state, requested_by, requested_from, why, requested_us, at_once,"
    " words, changed_seq) VALUES (?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, '', 0) RETURNING id"
)
_STEP_COLUMNS = (
    "place", "verb", "job_id", "run_id", "period_key", "parameters", "after", "wait_s", "safety", "expected_s", "saves",
    "preview",
)  # fmt: skip
_NEW_STEPS = f"INSERT INTO plan_step (plan_id, {', '.join(_STEP_COLUMNS)}, state, words) VALUES "  # noqa: S608
_NEW_STEP = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'planned', '')"
MAX_RUNS = 1_000
"""Maximum runs of one bulk plan: their ids fit into the request size that PostgreSQL accepts from a console
(grants.sql)."""
_STEPS_AT_ONCE = 50
"""Rows per INSERT: starting a plan blocks every other writer meanwhile."""
_OPEN = "('running', 'paused', 'stopped')"
_OPEN_PLANS = f"SELECT id, requested_by, requested_us, state FROM plan WHERE state IN {_OPEN}"  # noqa: S608 - our own
_STEPS_TO_COME = (
    "SELECT p.id, s.job_id, s.period_key, s.verb FROM plan_step s JOIN plan p ON p.id = s.plan_id"  # noqa: S608
    f" WHERE p.state IN {_OPEN} AND s.state IN ('planned', 'asked', 'failed') AND s.period_key <> ''"
)
"""Steps that open plans still execute, or execute again when resumed."""
_STEERING = {
    "pause": (("running",), "paused"),
    "resume": (("paused", "stopped"), "running"),
    "abort": (("running", "paused", "stopped"), "aborted"),
}
"""Per order: the states in which it is allowed, and the state it leads to."""


def start_plan(queue: RequestQueue, draft: PlanDraft, key: str, why: str = "", at_once: int = 1) -> int:
    """Starts the plan under `key`; its number. The same key twice is one plan.

    Raises PlanRefused if the plan cannot be executed, AlreadyRequested if one for this incident, or with one of its
    runs, is open.
    """
    _refuse_empty_plan(draft, at_once)
    known = queue.subjects(lambda _: [step.job_id for step in draft.steps])
    with queue.transaction() as session:
        if (existing := session.first("SELECT id FROM plan WHERE key = ?", (key,))) is not None:
            return int(existing.id)
        now = client.store_now_us(session)
        person = queue.person(session)
        recent = access.recent_actions(session, person.name, now, key)
        answer = _authorize_all(AccessRights(session, known), person, draft.steps, why, recent)
        number = 0
        if isinstance(answer, AccessGranted):
            _refuse_duplicate_plan(session, draft, now)
            number = _insert_plan(session, draft, key, person.name, why, at_once, now)
        if not (number and session.is_restricted):
            detail = {"plan": number, "steps": [f"{step.verb} {step.job}" for step in draft.steps]}
            _audit_plan(session, person.name, "start", number, detail, answer, why)
    raise_if_refused(answer)
    return number


def _insert_plan(session: Session, draft: PlanDraft, key: str, by: str, why: str, at_once: int, now: int) -> int:
    """Inserts the plan with its steps and its event; its number."""
    if session.is_restricted:
        steps = json.dumps([dict(zip(_STEP_COLUMNS, _step_row(step, now), strict=True)) for step in draft.steps])
        plan = (key, draft.kind, draft.title, draft.incident_id, why, at_once, steps, request_origin())
        return int(session.rows("SELECT headway_start_plan(?, ?, ?, ?, ?, ?, ?, ?) AS id", plan)[0].id)
    values = (key, draft.kind, draft.title, draft.incident_id, by, request_origin(), why, now, at_once)
    number = int(session.rows(_NEW_PLAN, values)[0].id)
    for at in range(0, len(draft.steps), _STEPS_AT_ONCE):
        part = draft.steps[at : at + _STEPS_AT_ONCE]
        rows = [value for step in part for value in (number, *_step_row(step, now))]
        session.rows(_NEW_STEPS + ", ".join([_NEW_STEP] * len(part)), rows)
    text = f"plan {number} started: {draft.title}"
    record_event(session, now, "plan", text, incident_id=draft.incident_id, actor=by)
    return number


def steer_plan(queue: RequestQueue, number: int, how: str, why: str = "") -> str:
    """Pauses, resumes or aborts a plan ("pause", "resume", "abort"); its new state.

    On resume, failed steps are requested again unless their run has become good. Raises PlanNotFound, and
    PlanRefused if the plan's state does not allow it.
    """
    allowed, state = _STEERING[how]
    jobs = "SELECT DISTINCT job_id FROM plan_step WHERE plan_id = ?"
    known = queue.subjects(lambda session: [row.job_id for row in session.rows(jobs, (number,))])
    with queue.transaction() as session:
        plan = session.first("SELECT state, incident_id FROM plan WHERE id = ?", (number,))
        if plan is None:
            raise PlanNotFound(number)
        now = client.store_now_us(session)
        person = queue.person(session)
        rights = AccessRights(session, known)
        answer = all_granted(
            (how == "resume" and rights.mode_refusal(job)) or rights.may(person, f"plan {how}", job, why=why)
            for job in known
        )
        if isinstance(answer, AccessGranted):
            if plan.state not in allowed:
                raise PlanRefused(f"plan {number} is {plan.state}: it cannot {how}")
            if session.is_restricted:
                session.rows("SELECT headway_steer_plan(?, ?, ?, ?)", (number, how, why, request_origin()))
                return state
            done = "resumed" if how == "resume" else state
            held = _remaining_hold(session, number) if how != "resume" else ""
            _set_state(session, number, state, f"{done} by {person.name}{held}", now)
            record_event(session, now, "plan", f"plan {number} {done}", incident_id=plan.incident_id, actor=person.name)
        _audit_plan(session, person.name, how, number, {"plan": number}, answer, why)
    raise_if_refused(answer)
    return state


def _audit_plan(
    session: Session,
    by: str,
    what: str,
    number: int,
    detail: dict[str, object],
    answer: AccessGranted | AccessRefusal,
    why: str,
) -> None:
    """Records the request in the audit, unless only a reason is missing: the console asks for it and repeats the
    request."""
    if isinstance(answer, AccessRefusal) and answer.wants_reason:
        return
    subject, verb = f"plan {number}" if number else "estate", f"plan {what}"
    if isinstance(answer, AccessRefusal):
        verb, detail = f"refuse {verb}", {**detail, "refused": answer.reason}
    audit.append(session, client.store_now_us(session), by, request_origin(), verb, subject, detail, why)


def _refuse_empty_plan(draft: PlanDraft, at_once: int) -> None:
    if not draft.steps:
        raise PlanRefused("the plan has no steps")
    if at_once < 1:
        raise PlanRefused("at least one action must be allowed at a time")
    for step in draft.steps:
        if step.refusal:
            raise PlanRefused(f"step {step.place}, {step.job}: {step.refusal}; leave it out or mark it OK")


def _refuse_duplicate_plan(session: Session, draft: PlanDraft, now_us: int) -> None:
    """Raises AlreadyRequested if a plan of anyone for this incident, or with the same step for one of its runs, is
    open."""
    same = session.first(f"{_OPEN_PLANS} AND incident_id = ? ORDER BY id DESC", (draft.incident_id,))
    if draft.incident_id is not None and same is not None:
        raise AlreadyRequested(_open_plan_text(same, now_us))
    planned = {(row.job_id, row.period_key, _exclusive_verbs(row.verb)): row.id for row in session.rows(_STEPS_TO_COME)}
    for step in draft.steps:
        plan_id = planned.get((step.job_id, encode_name(step.period_key), _exclusive_verbs(step.verb)))
        if plan_id is not None and step.verb != WAIT:
            [row] = session.rows(f"{_OPEN_PLANS} AND id = ?", (plan_id,))
            plan = _open_plan_text(row, now_us)
            raise AlreadyRequested(f"step {step.place}, {step.job}, is already in another plan: {plan}")


def _exclusive_verbs(verb: str) -> tuple[str, ...]:
    """The verbs that exclude each other for a run, `verb` among them."""
    return next((group for group in EXCLUSIVE_VERBS if verb in group), (verb,))


def _open_plan_text(plan: Row, now_us: int) -> str:
    ago = format_duration((now_us - plan.requested_us) / 1e6)
    started = f"plan {plan.id} was started by {plan.requested_by} {ago} ago; it is {plan.state}"
    return f"{started}: headway plan {plan.id}, plan {'pause' if plan.state == 'running' else 'resume'} or abort"


def _authorize_all(
    rights: AccessRights, person: Person, steps: Sequence[DraftStep], why: str, recent: int
) -> AccessGranted | AccessRefusal:
    """Whether the person may do every step. Steps that send nothing need only the right to start plans."""
    sends = [step for step in steps if step.verb != WAIT]
    needed = dict.fromkeys((operation, step.job_id) for step in sends for operation in ("plan start", step.verb))
    needed = needed or dict.fromkeys(("plan start", step.job_id) for step in steps)
    return all_granted(
        rights.mode_refusal(job_id) or rights.may(person, operation, job_id, why=why, recent=recent)
        for operation, job_id in needed
    )


_HELD = (
    "SELECT DISTINCT j.name FROM plan_step s JOIN action a ON a.key = s.action_key JOIN job j ON j.id = s.job_id"
    " LEFT JOIN hold h ON h.key = a.key LEFT JOIN action r ON r.key = h.release_key"
    " WHERE s.plan_id = ? AND s.verb = 'hold' AND (h.state IN ('held', 'found')"
    " OR (h.state = 'releasing' AND r.state IN ('refused', 'failed'))"
    " OR (COALESCE(h.state, 'placing') = 'placing' AND a.state IN ('sending', 'sent', 'unknown', 'verified')))"
    " ORDER BY j.name"
)
"""Jobs that stay held, as in `control.recovery.execution`: holds being placed included, holds being released not."""


def _remaining_hold(session: Session, number: int) -> str:
    """The jobs that the plan leaves held, as the end of a sentence; empty if none."""
    jobs = [clean_line(row.name) for row in session.rows(_HELD, (number,))]
    stay = "stays" if len(jobs) == 1 else "stay"
    return f"; {', '.join(jobs)} {stay} held; release with: headway hold release JOB" if jobs else ""


def _set_state(session: Session, number: int, state: str, text: str, now: int) -> None:
    session.rows(
        "UPDATE plan SET state = ?, words = ?, changed_seq = changed_seq + 1,"
        " ended_us = CASE WHEN CAST(? AS TEXT) = 'aborted' THEN CAST(? AS BIGINT) ELSE ended_us END WHERE id = ?",
        (state, text, state, now, number),
    )
    if state == "running":
        session.rows(
            "UPDATE plan_step SET state = 'planned', action_key = NULL, due_us = NULL, ended_us = NULL"
            " WHERE plan_id = ? AND state = 'failed'",
            (number,),
        )


def _step_row(step: DraftStep, now_us: int) -> tuple[object, ...]:
    """The values of its columns `place` to `preview`. The preview also keeps the state in which the person saw the
    run; the wait of a hold is shortened by the time that has passed since then."""
    shown = {key: value for key, value in step.preview.items() if key != "plan"} | {"found": step.state}
    is_hold = step.verb == Verb.HOLD
    wait_s = seconds_until_hold(step.parameters, step.wait_s, instant(now_us)) if is_hold else step.wait_s
    names = ("service", "business_date", "saved", "words")
    saves = [{name: getattr(save, name) for name in names} for save in step.saves]
    return (
        step.place,
        step.verb,
        step.job_id,
        step.run_id,
        encode_name(step.period_key),
        json.dumps(dict(step.parameters)),
        json.dumps(list(step.after)),
        wait_s,
        step.safety,
        step.expected_s,
        json.dumps(saves),
        json.dumps(shown),
    )
