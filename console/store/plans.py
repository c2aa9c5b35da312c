"""Plans as rows: the active ones, and their moves, each in one transaction with its effects."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from connectors.sdk.states import Verb
from console.domain.ids import incident_name, instant, micros
from console.domain.plan import (
    AWAITS_APPROVAL,
    STEERING,
    UNTIL_RESUMED,
    ChangePlanState,
    EndStep,
    PlanProgress,
    SavedService,
    StepProgress,
    may_await_approval,
    numbered_step,
    parse_places,
    requester_text,
    resume_commands,
    with_go_on,
)
from console.domain.request import RequestKind
from console.domain.stored import stored_value
from console.domain.text import Title, render, text_of
from console.store import alerts, approvals, audit, new_plans, request_queue
from console.store.alerts import AlertRouting, AttentionRequest
from console.store.db.database import Database
from console.store.db.session import Row, Session, WriteSession
from console.store.events import record_event
from console.store.meta import get_meta
from console.store.names import shortest_suffix
from console.store.new_actions import NewAction, insert_action
from console.store.plan_steps import STEPS, failed_waits, parse_run, parse_step, replacing_incident
from console.store.row_values import from_row, parse_object
from console.store.run_periods import covers_period
from console.store.switches import load_modes
from console.text.cleaning import clean_line
from console.text.normalize import error_line
from console.timing.formats import zoned_time

_PLANS = (
    "SELECT p.id, p.kind, p.title, p.incident_id, p.state, p.requested_by, p.requested_us, p.at_once FROM plan p"
    " WHERE p.state IN ('running', 'paused', 'stopped', 'aborted') AND (p.state = 'running' OR EXISTS"
    " (SELECT 1 FROM plan_step s WHERE s.plan_id = p.id AND (s.state = 'requested'"
    " OR (p.state = 'aborted' AND s.state = 'planned'))) OR (p.state = 'paused' AND NOT EXISTS"
    " (SELECT 1 FROM plan_step s WHERE s.plan_id = p.id AND s.state <> 'verified'))) ORDER BY p.id"
)
_OF_ACTION = (
    "SELECT p.id, p.kind, p.title, p.incident_id, p.state, p.requested_by, p.requested_us, p.at_once, s.place, s.after"
    " FROM plan_step s JOIN plan p ON p.id = s.plan_id WHERE s.action_key = ?"
)
_STARTED_BY = (
    "WITH RECURSIVE under (id, place, job_id) AS (SELECT s.job_id, s.place, s.job_id FROM plan_step s WHERE s.plan_id ="
    " ? UNION SELECT j.id, u.place, u.job_id FROM under u JOIN job j ON j.parent_id = u.id) SELECT DISTINCT b.place,"
    " a.place AS starter FROM under b JOIN dependency d ON d.downstream_id = b.id AND d.origin = 'native' JOIN under a"
    " ON a.id = d.upstream_id WHERE a.job_id <> b.job_id"
)
"""A step's place, and the place of each step whose job triggers it in its scheduler; a task counts as its DAG."""
_NEWEST = (
    "SELECT state AS run_state, evidence, stale_read, started_us, ended_us FROM run"  # noqa: S608  (only our own names)
    " WHERE job_id = ? AND id <> ? AND sort_us > ? AND state NOT IN ('planned', 'held', 'missed') AND NOT EXISTS"
    f" (SELECT 1 FROM run r WHERE r.id = ? AND NOT {covers_period('run', 'r')})"
    " ORDER BY COALESCE(first_started_us, sort_us) DESC LIMIT 1"
)
_LOOKBACK_US = 2 * 86_400_000_000
"""A run is ordered by its data interval, which lies before its start."""

UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)
"""Raised for rows that Headway did not write."""


_ORDERS = "SELECT id, kind, arguments, requested_by FROM request WHERE state = 'ordered' ORDER BY id"


def carry_out_orders(store: Database, fence: int | None, now: datetime) -> None:
    """Pauses, resumes and aborts plans as logins of a shared store have ordered (`headway_steer_plan`)."""
    if not store.rows(_ORDERS):
        return
    with store.write(fence) as session:
        for order in session.rows(_ORDERS):
            refusal = _carry_out(session, order, now)
            request_queue.set_answer(session, order.id, {}, refusal, micros(now))


def _carry_out(session: Session, order: Row, now: datetime) -> str:
    """Why it cannot be carried out; empty once it is."""
    how, given = next(kind for kind in STEERING if kind == order.kind), parse_object(order.arguments)
    number, (allowed, _, done) = given["plan"], STEERING[how]
    state = new_plans.plan_state(session, number)
    if state not in allowed:
        return f"plan {number} is {state}: it cannot be {done}"
    plan = new_plans.open_plan(session, number)
    may_resume = given["is_own"] or (plan.is_unsent and may_await_approval(plan.state, plan.requested_from))
    if how is RequestKind.RESUME_PLAN and not may_resume:
        return f"plan {number} was started by {plan.requested_by}: only they or headway_store_admin may resume it"
    by, at_us = order.requested_by, micros(now)
    new_plans.steer_plan(session, number, how, by, at_us)
    audit.append(session, at_us, by, given["from"], how, f"plan {number}", {"plan": number}, given["why"])
    return ""


def stop_ordered(session: Session, number: int) -> bool:
    """Whether an order to pause or abort the plan is not carried out yet."""
    orders = session.rows(_ORDERS)
    stops = (order for order in orders if order.kind != RequestKind.RESUME_PLAN)
    return any(parse_object(order.arguments).get("plan") == number for order in stops)


def active_plans(store: Database, unreadable: dict[int, str]) -> list[PlanProgress]:
    """Running plans and those with a step in progress, oldest first. Plans that cannot be parsed go into `unreadable`:
    number -> reason."""
    plans: list[PlanProgress] = []
    with store.read() as session:
        for row in session.rows(_PLANS):
            try:
                plans.append(from_row(PlanProgress, row, steps=_steps(session, row)))
            except UNREADABLE as error:
                unreadable[row.id] = clean_line(str(error))
    return plans


def step_before_sending(store: Database, key: str) -> tuple[PlanProgress, StepProgress] | None:
    """The step of the action with this key, and its plan with only the steps that it waits for; None for an action
    without a plan. Raises one of UNREADABLE."""
    with store.read() as session:
        row = session.first(_OF_ACTION, (key,))
        if row is None:
            return None
        near = [row.place, *parse_places(row.after)]
        rows = session.rows(STEPS, (row.id,))
    steps = [parse_step(step) for step in rows if step.place in near]
    own = next(step for step in steps if step.place == row.place)
    return from_row(PlanProgress, row, steps=tuple(steps)), own


def _steps(session: Session, plan: Any) -> tuple[StepProgress, ...]:
    rows = session.rows(STEPS, (plan.id,))
    if plan.state != "running" or all(row.state != "planned" for row in rows):
        return tuple(parse_step(row) for row in rows)
    starters: dict[int, list[int]] = {}
    for edge in session.rows(_STARTED_BY, (plan.id,)):
        starters.setdefault(edge.place, []).append(edge.starter)
    return tuple(_with_newest(session, plan, row, tuple(sorted(starters.get(row.place, ())))) for row in rows)


def _with_newest(session: Session, plan: Any, row: Any, starters: tuple[int, ...]) -> StepProgress:
    step = replace(parse_step(row), started_by=starters)
    if not starters or row.state != "planned":
        return step
    newest = session.first(_NEWEST, (row.job_id, row.run_id or 0, plan.requested_us - _LOOKBACK_US, row.run_id or 0))
    return replace(step, newest=parse_run(newest, row.skew_s) if newest is not None else None)


_REQUEST_STEP = (
    "UPDATE plan_step SET state = 'requested', action_key = ?, started_us = ?, text = '' WHERE id = ? AND state ="
    " 'planned' AND EXISTS (SELECT 1 FROM plan p WHERE p.id = plan_step.plan_id AND p.state = 'running') RETURNING id"
)
_REQUESTED_STEP = (
    "SELECT s.verb, s.job_id, s.parameters, r.id AS run_id, p.incident_id, p.kind, p.at_once, p.requested_by,"
    " p.requested_from, p.why FROM plan_step s JOIN plan p ON p.id = s.plan_id"
    " LEFT JOIN run r ON r.job_id = s.job_id AND r.period_key = s.period_key WHERE s.id = ?"
)
_SET_RELEASED_HOLD = (
    "UPDATE plan_step SET parameters = ? WHERE verb = 'release' AND EXISTS (SELECT 1 FROM plan_step h"
    " WHERE h.id = ? AND h.plan_id = plan_step.plan_id AND h.job_id = plan_step.job_id)"
)
"""The release step of this step's job gets the key of the hold."""


def request_step(store: Database, fence: int | None, step: StepProgress, key: str, now: datetime) -> bool:
    """Requests the step's action under `key`; False if the step is no longer planned, or its plan no longer running."""
    with store.write(fence, durable=True) as session:
        approved = approvals.approval_of(session, step.id)
        if not session.rows(_REQUEST_STEP, (key, micros(now), step.id)):
            return False
        [row] = session.rows(_REQUESTED_STEP, (step.id,))
        approved_by, approved_us = approved or ("", None)
        action = from_row(
            NewAction,
            row,
            key=key,
            verb=Verb(row.verb),
            parameters=parse_object(row.parameters),
            origin="plan",
            overlap="allow" if row.at_once > 1 and row.kind == "backfill" else "queue",
            needs_approval=approved is not None,
            approved_by=approved_by,
            approved_us=approved_us,
            requested_us=micros(now),
        )
        insert_action(session, action)
        if step.verb == Verb.HOLD:
            session.rows(_SET_RELEASED_HOLD, (json.dumps({"hold": key}), step.id))
        return True


def begin_wait(store: Database, fence: int | None, step: StepProgress, until: datetime, text: str = "") -> None:
    """Begins the step's wait, once."""
    sql = "UPDATE plan_step SET due_us = ?, text = ? WHERE id = ? AND due_us IS NULL AND state = 'planned'"
    with store.write(fence) as session:
        session.rows(sql, (micros(until), text, step.id))


def end_step(store: Database, fence: int | None, plan: PlanProgress, end: EndStep, now: datetime) -> None:
    """Ends the step; recorded in the incident's timeline if it has no action, which has its own event."""
    sql = (
        "UPDATE plan_step SET state = ?, text = ?, ended_us = ? WHERE id = ? AND state IN ('planned', 'requested')"
        " RETURNING id"
    )
    with store.write(fence) as session:
        moved = session.rows(sql, (end.state, end.text, micros(now), end.step.id))
        if moved and end.step.action_key is None and end.state != "abandoned":
            _record_event(session, plan, f"{numbered_step(end.step, plan.steps)}: {end.text}", now)


def move_plan(
    store: Database,
    fence: int | None,
    plan: PlanProgress,
    change: ChangePlanState,
    now: datetime,
    audience: AlertRouting = alerts.NO_ROUTING,
) -> bool:
    """Changes the state of the running plan; False if it is no longer running (a paused one can be done), or its
    failed step is not yet judged. A stopped one needs a person, who is notified, unless by the incident that its failed
    step opened."""
    state, text = change.state, change.text
    is_done = state == "done"
    sql = (
        "UPDATE plan SET state = ?, text = ?, go_on = ?, changed_seq = changed_seq + 1,"
        " ended_us = COALESCE(?, ended_us) WHERE id = ? AND (state = 'running' OR (state = 'paused' AND ?))"
        " RETURNING id"
    )
    with store.write(fence) as session:
        values = (state, text, change.go_on, micros(now) if is_done else None, plan.id, is_done)
        evaluated = int(get_meta(session, "evaluated_seq") or 0)
        if state == "stopped" and session.rows(_UNJUDGED, (plan.id, micros(now - JUDGED_WITHIN), evaluated)):
            return False
        if not session.rows(sql, values):
            return False
        detail = {"plan": plan.id, "text": text, "requested_by": plan.requested_by}
        if state == "stopped" and (moved := _with_open_incident(session, plan, now)) != plan:
            detail |= {"incident": moved.incident_id, "incident_before": plan.incident_id}
            plan = moved
        _record_event(session, plan, f"plan {plan.id} {state}: {with_go_on(text, change.go_on)}", now)
        _audit(session, now, state, plan.id, detail)
        if state == "stopped" and not session.rows(_NOTIFIED_STEP, (plan.id,)):
            outdated = replacing_incident(session, plan.id, plan.incident_id)
            _request_attention(session, audience, plan.id, "stopped", text, now, outdated)
        return True


JUDGED_WITHIN = timedelta(seconds=15)
"""How long the evaluation of a failed run is awaited: the notification of its incident has the commands that continue
the plan."""
_UNJUDGED = (
    "SELECT 1 FROM plan_step s JOIN run r ON r.job_id = s.job_id AND r.period_key = s.period_key WHERE s.plan_id = ?"
    " AND s.state = 'failed' AND s.ended_us > ? AND r.ended_us >= s.started_us AND r.changed_seq > ?"
)
_NOTIFIED_STEP = (
    "SELECT 1 FROM plan p JOIN plan_step s ON s.plan_id = p.id JOIN incident_member m ON m.job_id = s.job_id AND"
    " m.period_key = s.period_key AND m.role = 'root' JOIN incident i ON i.id = m.incident_id JOIN alert_notified n ON"
    " n.incident_id = i.id AND n.style = 'technical' WHERE p.id = ? AND s.state = 'failed' AND"
    " i.closed_us IS NULL AND i.opened_us >= p.requested_us LIMIT 1"
)
"""An incident of a failed step that was opened and notified since the plan began."""
_FAILED_BELOW = (
    "SELECT m.incident_id FROM plan_step s JOIN incident_member m ON m.job_id = s.job_id AND m.period_key ="
    " s.period_key JOIN incident i ON i.id = m.incident_id WHERE s.plan_id = ? AND s.state = 'failed' AND m.role IN"
    " ('root', 'red') AND i.closed_us IS NULL AND NOT EXISTS (SELECT 1 FROM incident_member o JOIN run r ON r.job_id"
    " = o.job_id AND r.period_key = o.period_key WHERE o.incident_id = ? AND o.role IN ('root', 'red') AND r.state"
    " NOT IN ('succeeded', 'skipped')) ORDER BY m.role <> 'root', m.incident_id LIMIT 1"
)


def _with_open_incident(session: WriteSession, plan: PlanProgress, now: datetime) -> PlanProgress:
    """The plan; if its incident is repaired, as one of the incident that the run of its failed step has opened, so that
    the notification and the screens of both name one repair. The repaired one says where it continues."""
    rows = session.rows(_FAILED_BELOW, (plan.id, plan.incident_id)) if plan.incident_id is not None else []
    if not rows:
        return plan
    session.rows("UPDATE plan SET incident_id = ? WHERE id = ?", (rows[0].incident_id, plan.id))
    _record_event(session, plan, f"its plan {plan.id} continues at {incident_name(rows[0].incident_id)}", now)
    return replace(plan, incident_id=rows[0].incident_id)


def _audit(session: Session, now: datetime, state: str, number: int, detail: dict[str, Any]) -> None:
    origin = audit.ENGINE_ORIGIN
    audit.append(session, micros(now), audit.ENGINE_ACTOR, origin, f"plan {state}", f"plan {number}", detail)


def notify_requested(store: Database, fence: int | None, now: datetime, audience: AlertRouting) -> None:
    """Notifies a person once of each plan that an assistant or the HTTP API proposed."""
    numbers = [int(row.id) for row in store.rows(_REQUESTED)]
    for number in numbers:
        with store.write(fence) as session:
            if session.rows(_SET_TEXT, (UNTIL_RESUMED, number)):
                _request_attention(session, audience, number, AWAITS_APPROVAL, UNTIL_RESUMED, now)


_IS_NEW = f"state = 'paused' AND text LIKE '%: {UNTIL_RESUMED}'"
"""An older grants.sql begins the text with another word."""
_REQUESTED = f"SELECT id FROM plan WHERE {_IS_NEW}"  # noqa: S608 - our own
_SET_TEXT = f"UPDATE plan SET text = ?, changed_seq = changed_seq + 1 WHERE {_IS_NEW} AND id = ? RETURNING id"  # noqa: S608
_STOPPED = (
    "SELECT title, requested_by, requested_from, incident_id, why, (SELECT i.reason FROM"
    " incident i WHERE i.id = p.incident_id) AS reason, (SELECT i.title FROM incident i WHERE i.id = p.incident_id)"
    " AS incident_title, (SELECT l.text FROM plan_step s JOIN run r ON r.job_id ="
    " s.job_id AND r.period_key = s.period_key AND r.ended_us >= COALESCE(s.started_us, p.requested_us) JOIN"
    " log_tail l ON l.attempt_id = r.attempt_id WHERE s.plan_id = p.id AND s.state = 'failed' ORDER BY s.place LIMIT 1)"
    " AS log, (SELECT j.name FROM plan_step s JOIN job j ON j.id = s.job_id JOIN run r ON r.job_id = s.job_id AND"
    " r.period_key = s.period_key AND r.ended_us >= COALESCE(s.started_us, p.requested_us) WHERE s.plan_id = p.id AND"
    " s.state = 'failed' AND s.verb <> 'wait' AND r.state IN ('failed', 'timed_out') ORDER BY s.place LIMIT 1)"
    " AS broken,"
    " (SELECT s.job_id FROM plan_step s WHERE s.plan_id = p.id"
    " ORDER BY s.state <> 'failed', s.place LIMIT 1) AS job_id, (SELECT y.name FROM plan_step s JOIN job j ON j.id ="
    " s.job_id JOIN system y ON y.id = j.system_id WHERE s.plan_id = p.id ORDER BY s.state <> 'failed', s.place"
    " LIMIT 1) AS system FROM plan p WHERE id = ?"
)


_RESUMING = {
    "stopped": "Resuming requests the failed steps again",
    AWAITS_APPROVAL: "Resuming starts it, with the approvals that its steps need",
}


def _request_attention(
    session: WriteSession, audience: AlertRouting, number: int, what: str, text: str, now: datetime, outdated: str = ""
) -> None:
    [plan] = session.rows(_STOPPED, (number,))
    waits = failed_waits(session, number)
    commands = resume_commands(number, waits, outdated) if what in _RESUMING else []
    broken = plan.broken if commands and not outdated else None
    unblocking = load_modes(session).unblocking(plan.system) if commands else []
    by_hand = [("By hand", f"fix {clean_line(broken)}")] if broken else []
    steps = (*(("Do", command) for command in unblocking), *by_hand, *(("Do", command) for command in commands))
    fixes = (*steps, ("Open", f"headway plan {number}"))
    resuming = f"Resuming only waits again for {', '.join(waits)}" if waits else _RESUMING.get(what, "")
    if outdated:
        resuming = "Resuming would not run again what failed or read stale data meanwhile"
    notes = (f"{resuming}; headway plan abort {number} drops what was not sent.",) if commands else ()
    line = error_line(plan.log or "")
    why = f"{text}: {line}" if line and line not in text else text
    # Resuming is the next of the body's steps.
    next_steps = [f"fix {clean_line(shortest_suffix(session, broken))}"] if broken else commands
    about = ", then ".join([*unblocking, *next_steps]) or plan.title
    facts = (("Plan", clean_line(plan.title)), *_decision_facts(session, number, plan, why, now)) if commands else ()
    need = AttentionRequest(
        f"plan:{number}",
        f"plan {number} {what}",
        about,
        why,
        fixes,
        requester_text(plan.requested_by, plan.requested_from),
        plan.incident_id,
        plan.job_id,
        notes=notes,
        facts=facts,
    )
    alerts.request_attention(session, audience, need, micros(now))


_SAVED_DAYS = (
    "SELECT s.name, s.title, s.zone, i.business_date, min(i.deadline_us) AS deadline_us, min(i.act_by_us) AS act_by_us"
    " FROM incident_service i JOIN service s ON s.id = i.service_id WHERE i.incident_id = ? GROUP BY s.name, s.title,"
    " s.zone, i.business_date ORDER BY min(i.act_by_us) IS NULL, min(i.act_by_us), min(i.deadline_us), s.name"
)


def _decision_facts(session: Session, number: int, plan: Row, why: str, now: datetime) -> tuple[tuple[str, str], ...]:
    """Reason of the plan unless `why`, the reason of its stop, has it; latest time to resume it, and the services that
    it saves; unknown ones are left out."""
    steps = session.rows("SELECT saves FROM plan_step WHERE plan_id = ?", (number,))
    read = (stored_value(tuple[SavedService, ...], step.saves, ()) for step in steps)
    saves = {save.day: save for of_step in read for save in of_step}
    days = session.rows(_SAVED_DAYS, (plan.incident_id,))
    saved, act_by, zone = list[str](), "", ""
    for day in days:
        save = saves.get((day.name, day.business_date))
        if save is None or save.saved is False:
            continue
        zone = zone or day.zone  # one for the message
        condition = "" if save.saved else f" ({save.finish})"
        at = zoned_time(instant(day.deadline_us), zone, now)
        saved.append(f"{clean_line(day.title or day.name)} {at}{condition}")
        if day.act_by_us is not None:
            act_by = act_by or zoned_time(instant(day.act_by_us), zone, now)
    clock = partial(zoned_time, zone=zone or "UTC", near=now)
    reason = plan.why or render(text_of(plan.reason or ""), clock)
    if not reason and plan.incident_title:
        reason = Title.from_json(plan.incident_title).text(clock)
    reason = clean_line(reason or "")
    named = (("Why", "" if reason in why else reason), ("Act by", act_by), ("Saves", ", ".join(saved)))
    return tuple((label, text) for label, text in named if text)


def abandon_plan(
    store: Database,
    fence: int | None,
    number: int,
    text: str,
    now: datetime,
    audience: AlertRouting = alerts.NO_ROUTING,
) -> None:
    """Aborts a plan that cannot be executed, with all steps not over; a person is notified. Requested actions go on."""
    with store.write(fence) as session:
        session.rows(
            "UPDATE plan SET state = 'aborted', text = ?, ended_us = ?, changed_seq = changed_seq + 1 WHERE id = ?",
            (text, micros(now), number),
        )
        session.rows(
            "UPDATE plan_step SET state = 'abandoned', text = ?, ended_us = ?"
            " WHERE plan_id = ? AND state IN ('planned', 'requested')",
            (text, micros(now), number),
        )
        _audit(session, now, "aborted", number, {"plan": number, "text": text})
        _request_attention(session, audience, number, "was abandoned", text, now)


def _record_event(session: Session, plan: PlanProgress, text: str, now: datetime) -> None:
    by = plan.requested_by
    record_event(session, micros(now), "plan", text, incident_id=plan.incident_id, actor=by)
