"""Plans as rows: what is carried out now, and every move of it, each in one transaction with what it causes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from connectors.words import Verb
from console.clean import clean_line
from console.model.carried import EndStep, PlanNow, StepNow, places_of
from console.model.ids import instant, micros
from console.store import audit, covered, told
from console.store.open import Store
from console.store.plan_steps import NEAR, STEPS, run_of, step_of
from console.store.told import Audience, Need
from console.store.wire import wire

_PLANS = (
    "SELECT p.id, p.kind, p.title, p.incident_id, p.state, p.requested_by, p.requested_us, p.at_once FROM plan p"
    " WHERE p.state IN ('running', 'paused', 'stopped', 'aborted') AND (p.state = 'running' OR EXISTS"
    " (SELECT 1 FROM plan_step s WHERE s.plan_id = p.id AND (s.state = 'asked'"
    " OR (p.state = 'aborted' AND s.state = 'planned'))) OR (p.state = 'paused' AND NOT EXISTS"
    " (SELECT 1 FROM plan_step s WHERE s.plan_id = p.id AND s.state NOT IN ('verified', 'left_out')))) ORDER BY p.id"
)
_OF_ACTION = (
    "SELECT p.id, p.kind, p.title, p.incident_id, p.state, p.requested_by, p.requested_us, p.at_once, s.place, s.after"
    " FROM plan_step s JOIN plan p ON p.id = s.plan_id WHERE s.action_key = :key"
)
_STARTED_BY = (
    "WITH RECURSIVE under (id, place, job_id) AS ("
    "SELECT s.job_id, s.place, s.job_id FROM plan_step s WHERE s.plan_id = :plan"
    " UNION SELECT j.id, u.place, u.job_id FROM under u JOIN job j ON j.parent_id = u.id)"
    " SELECT DISTINCT b.place, a.place AS starter FROM under b"
    " JOIN dependency d ON d.downstream_id = b.id AND d.origin = 'native'"
    " JOIN under a ON a.id = d.upstream_id WHERE a.job_id <> b.job_id"
)
"""A step's place, and that of each step whose job its scheduler lets start it; a task counts as its DAG."""
_NEWEST = (
    "SELECT state AS run_state, evidence, stale_read, started_us, ended_us FROM run"
    " WHERE job_id = :job AND id <> :own AND sort_us > :since AND state NOT IN ('planned', 'held', 'missed')"
    " ORDER BY COALESCE(first_started_us, sort_us) DESC LIMIT 1"
)
_LOOKS_BACK_US = 2 * 86_400_000_000
"""A run's place is its data interval's, which lies before its start."""


UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)
"""What a row raises that no program of ours wrote."""


def at_work(store: Store, odd: dict[int, str] | None = None) -> list[PlanNow]:
    """Plans that go on, or of which something is still under way, oldest first, each with its steps. What nobody can
    read is told in `odd`: the plan's number and why."""
    found: list[PlanNow] = []
    with store.read() as connection:
        for row in connection.execute(text(_PLANS)).all():
            try:
                found.append(_plan(row, _steps(connection, row)))
            except UNREADABLE as error:
                if odd is not None:
                    odd[row.id] = clean_line(str(error))
    return found


def before_it_leaves(store: Store, key: str) -> tuple[PlanNow, StepNow] | None:
    """The step whose action has this key, and its plan with no more than the steps that it waits for; None for an
    action of no plan. Raises one of UNREADABLE."""
    with store.read() as connection:
        row = connection.execute(text(_OF_ACTION), {"key": key}).first()
        if row is None:
            return None
        near = [row.place, *places_of(row.after)]
        found = connection.execute(NEAR, {"plan": row.id, "places": near}).all()
    steps = [step_of(one) for one in found]
    return _plan(row, tuple(steps)), next(one for one in steps if one.place == row.place)


def _steps(connection: Connection, plan: Any) -> tuple[StepNow, ...]:
    rows = connection.execute(text(STEPS), {"plan": plan.id}).all()
    if plan.state != "running" or all(row.state != "planned" for row in rows):
        return tuple(step_of(row) for row in rows)
    starters: dict[int, list[int]] = {}
    for place, starter in connection.execute(text(_STARTED_BY), {"plan": plan.id}):
        starters.setdefault(place, []).append(starter)
    return tuple(_with_newest(connection, plan, row, tuple(sorted(starters.get(row.place, ())))) for row in rows)


def _with_newest(connection: Connection, plan: Any, row: Any, starters: tuple[int, ...]) -> StepNow:
    step = replace(step_of(row), started_by=starters)
    if not starters or row.state != "planned":
        return step
    values = {"job": row.job_id, "own": row.run_id or 0, "since": plan.requested_us - _LOOKS_BACK_US}
    found = connection.execute(text(_NEWEST), values).first()
    return replace(step, newest=run_of(found, row.skew_s) if found is not None else None)


def _plan(row: Any, steps: tuple[StepNow, ...]) -> PlanNow:
    return PlanNow(
        id=row.id,
        kind=row.kind,
        title=row.title,
        incident_id=row.incident_id,
        state=row.state,
        requested_by=row.requested_by,
        requested=instant(row.requested_us),
        at_once=row.at_once,
        steps=steps,
    )


_ASK = (
    "UPDATE plan_step SET state = 'asked', action_key = :key, started_us = :now, words = ''"
    " WHERE id = :step AND state = 'planned'"
    " AND EXISTS (SELECT 1 FROM plan p WHERE p.id = plan_step.plan_id AND p.state = 'running')"
)
_ACTION = (
    "INSERT INTO action (key, verb, job_id, run_id, incident_id, state, preview, parameters, origin, requested_by,"
    " requested_from, why, overlap, needs_approval, approved_by, requested_us, native_ref, words, next_us, looked_up,"
    " changed_seq) SELECT :key, s.verb, s.job_id, r.id, p.incident_id, 'requested', '{}', s.parameters, 'plan',"
    " p.requested_by, p.requested_from, p.why, CASE WHEN p.at_once > 1 AND p.kind = 'backfill' THEN 'allow'"
    " ELSE 'queue' END, :no, '', :now,"
    " '', '', 0, 0, 0 FROM plan_step s JOIN plan p ON p.id = s.plan_id"
    " LEFT JOIN run r ON r.job_id = s.job_id AND r.period_key = s.period_key WHERE s.id = :step"
)


_LET_GO = (
    "UPDATE plan_step SET parameters = :hold WHERE verb = 'release' AND EXISTS (SELECT 1 FROM plan_step h"
    " WHERE h.id = :step AND h.plan_id = plan_step.plan_id AND h.job_id = plan_step.job_id)"
)
"""The release of what this step holds knows which hold it lets go."""


def ask_step(store: Store, fence: int | None, step: StepNow, key: str, now: datetime) -> bool:
    """Makes the step's action under `key`; False when the step is not planned, or its plan not running, any more."""
    with store.write(fence, durable=True) as connection:
        values = {"key": key, "step": step.id, "now": micros(now)}
        lines = wire(connection)
        approved = covered.approval_of(lines.rows, step.id)
        if connection.execute(text(_ASK), values).rowcount != 1:
            return False
        connection.execute(text(_ACTION), {**values, "no": False})
        if step.verb == Verb.HOLD:
            connection.execute(text(_LET_GO), {"hold": json.dumps({"hold": key}), "step": step.id})
        if approved is not None:
            sql = "UPDATE action SET needs_approval = TRUE, approved_by = ?, approved_us = ? WHERE key = ?"
            lines.rows(sql, (*approved, key))
        return True


def wait_step(store: Store, fence: int | None, step: StepNow, until: datetime, words: str = "") -> None:
    """The step's wait begins; begun once, it is not begun again."""
    with store.write(fence) as connection:
        sql = (
            "UPDATE plan_step SET due_us = :until, words = :words"
            " WHERE id = :id AND due_us IS NULL AND state = 'planned'"
        )
        connection.execute(text(sql), {"until": micros(until), "words": words, "id": step.id})


def end_step(store: Store, fence: int | None, plan: PlanNow, end: EndStep, now: datetime) -> None:
    """The step is over; told in its incident's timeline where no action of it tells that."""
    with store.write(fence) as connection:
        sql = (
            "UPDATE plan_step SET state = :state, words = :words, ended_us = :now"
            " WHERE id = :id AND state IN ('planned', 'asked')"
        )
        values = {"state": end.state, "words": end.words, "now": micros(now), "id": end.step.id}
        moved = connection.execute(text(sql), values).rowcount == 1
        if moved and end.step.action_key is None and end.state != "given_up":
            _tell(connection, plan, f"step {end.step.place}, {end.step.job}: {end.words}", now)


def move_plan(
    store: Store,
    fence: int | None,
    plan: PlanNow,
    state: str,
    words: str,
    now: datetime,
    audience: Audience = told.NOBODY,
) -> bool:
    """The running plan comes into `state`; False when it is not running any more (a paused one can be done). One that
    stopped waits for a person, who is told."""
    sql = (
        "UPDATE plan SET state = :state, words = :words, changed_seq = changed_seq + 1,"
        " ended_us = CASE WHEN :state = 'done' THEN :now ELSE ended_us END"
        " WHERE id = :id AND (state = 'running' OR (state = 'paused' AND :state = 'done'))"
    )
    with store.write(fence) as connection:
        values = {"state": state, "words": words, "now": micros(now), "id": plan.id}
        if connection.execute(text(sql), values).rowcount != 1:
            return False
        _tell(connection, plan, f"plan {plan.id} {state}: {words}", now)
        detail = {"plan": plan.id, "words": words, "asked_by": plan.requested_by}
        audit.append(
            connection, micros(now), audit.ENGINE, audit.FROM_ENGINE, f"plan {state}", f"plan {plan.id}", detail
        )
        if state == "stopped":
            _call_a_person(connection, audience, plan.id, "stopped", words, now)
        return True


_STOPPED = (
    "SELECT title, requested_by, incident_id, (SELECT s.job_id FROM plan_step s WHERE s.plan_id = p.id"
    " ORDER BY s.state <> 'failed', s.place LIMIT 1) FROM plan p WHERE id = ?"
)


def _call_a_person(
    connection: Connection, audience: Audience, number: int, what: str, words: str, now: datetime
) -> None:
    """It goes no further by itself; told by the routes of its incident, else of the job of the step that failed."""
    lines = wire(connection)
    [(title, by, incident_id, job_id)] = lines.rows(_STOPPED, (number,))
    go_on = f"Go on:  headway recovery {number} --resume (what failed is asked anew), or --abort"
    ways = (f"See it: headway recovery {number}", *((go_on,) if what == "stopped" else ()))
    why = words.partition("; to go on: ")[0]
    need = Need(f"plan:{number}", f"plan {number} {what}", str(title), why, ways, str(by), incident_id, job_id)
    told.tell(lines, audience, need, micros(now))


def give_up(
    store: Store, fence: int | None, number: int, words: str, now: datetime, audience: Audience = told.NOBODY
) -> None:
    """The plan is over, with all of it that is not, whatever it says: nobody can carry it out, and a person is told.
    What was asked for goes on to its own end."""
    with store.write(fence) as connection:
        values = {"id": number, "words": words, "now": micros(now)}
        sql = (
            "UPDATE plan SET state = 'aborted', words = :words, ended_us = :now, changed_seq = changed_seq + 1"
            " WHERE id = :id"
        )
        connection.execute(text(sql), values)
        sql = (
            "UPDATE plan_step SET state = 'given_up', words = :words, ended_us = :now"
            " WHERE plan_id = :id AND state IN ('planned', 'asked')"
        )
        connection.execute(text(sql), values)
        detail = {"plan": number, "words": words}
        audit.append(connection, micros(now), audit.ENGINE, audit.FROM_ENGINE, "plan aborted", f"plan {number}", detail)
        _call_a_person(connection, audience, number, "was given up", words, now)


def _tell(connection: Connection, plan: PlanNow, words: str, now: datetime) -> None:
    sql = "INSERT INTO event (at_us, kind, words, incident_id, actor) VALUES (:now, 'plan', :words, :incident, :by)"
    values = {"now": micros(now), "words": words, "incident": plan.incident_id, "by": plan.requested_by}
    connection.execute(text(sql), values)
