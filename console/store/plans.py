"""Plans as rows: what is carried out now, and every move of it, each in one transaction with what it causes."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from console.model.carried import EndStep, PlanNow, RunNow, StepNow
from console.model.ids import instant, maybe_instant, micros
from console.model.values import RunFacts
from console.store import audit, facts
from console.store.open import Store

_PLANS = (
    "SELECT p.id, p.kind, p.title, p.incident_id, p.state, p.requested_by, p.requested_us, p.at_once FROM plan p"
    " WHERE p.state IN ('running', 'paused', 'stopped', 'aborted') AND (p.state = 'running' OR EXISTS"
    " (SELECT 1 FROM plan_step s WHERE s.plan_id = p.id AND (s.state = 'asked'"
    " OR (p.state = 'aborted' AND s.state = 'planned')))) ORDER BY p.id"
)
_STEPS = (
    "SELECT s.id, s.plan_id, s.place, s.verb, s.after, s.wait_s, s.due_us, s.state, s.action_key, j.name AS job,"
    " y.name AS system, a.state AS action_state, a.words AS action_words, r.id AS run_id, r.state AS run_state,"
    " r.evidence, r.stale_read, r.started_us, r.ended_us,"
    " (SELECT o.requested_by || ' ' || o.verb FROM action o WHERE o.run_id = r.id"
    " AND o.key <> COALESCE(s.action_key, '') AND o.state IN ('requested', 'sending', 'sent', 'unknown')"
    " ORDER BY o.requested_us LIMIT 1) AS others"
    " FROM plan_step s JOIN plan p ON p.id = s.plan_id"
    " LEFT JOIN job j ON j.id = s.job_id LEFT JOIN system y ON y.id = j.system_id"
    " LEFT JOIN action a ON a.key = s.action_key"
    " LEFT JOIN run r ON r.id = CASE WHEN s.verb = 'wait' AND s.period_key = '' THEN"
    " (SELECT x.id FROM run x WHERE x.job_id = s.job_id AND x.sort_us > p.requested_us - 86400000000"
    " AND x.first_started_us >= p.requested_us ORDER BY x.sort_us DESC LIMIT 1)"
    " ELSE (SELECT x.id FROM run x WHERE x.job_id = s.job_id AND x.period_key = s.period_key) END"
    " WHERE s.plan_id = :plan ORDER BY s.place"
)


def at_work(store: Store) -> list[PlanNow]:
    """Plans that go on, or of which something is still under way, oldest first, each with its steps."""
    with store.read() as connection:
        plans = connection.execute(text(_PLANS)).all()
        return [_plan(row, connection.execute(text(_STEPS), {"plan": row.id}).all()) for row in plans]


def _plan(row: Any, steps: Any) -> PlanNow:
    return PlanNow(
        id=row.id,
        kind=row.kind,
        title=row.title,
        incident_id=row.incident_id,
        state=row.state,
        requested_by=row.requested_by,
        requested=instant(row.requested_us),
        at_once=row.at_once,
        steps=tuple(_step(one) for one in steps),
    )


def _step(row: Any) -> StepNow:
    run = None
    if row.run_state is not None:
        ends = maybe_instant(row.started_us), maybe_instant(row.ended_us)
        run = RunNow(row.run_state, row.evidence, bool(row.stale_read), *ends)
    return StepNow(
        id=row.id,
        place=row.place,
        verb=row.verb,
        job=row.job or "",
        system=row.system or "",
        run_id=row.run_id,
        after=tuple(json.loads(row.after)),
        wait_s=row.wait_s,
        due=maybe_instant(row.due_us),
        state=row.state,
        action_key=row.action_key,
        action_state=row.action_state or "",
        action_words=row.action_words or "",
        run=run,
        others=row.others or "",
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
    " p.requested_by, p.requested_from, p.why, CASE WHEN p.at_once > 1 THEN 'allow' ELSE 'queue' END, :no, '', :now,"
    " '', '', 0, 0, 0 FROM plan_step s JOIN plan p ON p.id = s.plan_id"
    " LEFT JOIN run r ON r.job_id = s.job_id AND r.period_key = s.period_key WHERE s.id = :step"
)


def ask_step(store: Store, fence: int | None, step: StepNow, key: str, now: datetime) -> bool:
    """Makes the step's action under `key`; False when the step is not planned, or its plan not running, any more."""
    with store.write(fence, durable=True) as connection:
        values = {"key": key, "step": step.id, "now": micros(now)}
        if connection.execute(text(_ASK), values).rowcount != 1:
            return False
        connection.execute(text(_ACTION), {**values, "no": False})
        return True


def wait_step(store: Store, fence: int | None, step: StepNow, until: datetime) -> None:
    """The step's wait begins; begun once, it is not begun again."""
    with store.write(fence) as connection:
        sql = "UPDATE plan_step SET due_us = :until WHERE id = :id AND due_us IS NULL AND state = 'planned'"
        connection.execute(text(sql), {"until": micros(until), "id": step.id})


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


def move_plan(store: Store, fence: int | None, plan: PlanNow, state: str, words: str, now: datetime) -> bool:
    """The running plan comes into `state`; False when it is not running any more."""
    sql = (
        "UPDATE plan SET state = :state, words = :words, changed_seq = changed_seq + 1,"
        " ended_us = CASE WHEN :state = 'done' THEN :now ELSE ended_us END WHERE id = :id AND state = 'running'"
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
        return True


def runs_between(store: Store, job_id: int, first: date, last: date) -> list[RunFacts]:
    """The job's runs of those business dates, both included, in order."""
    sql = (
        f"SELECT {facts.RUN} FROM run r WHERE r.job_id = :job AND r.bd BETWEEN :first AND :last"  # noqa: S608
        " ORDER BY r.sort_us"
    )
    with store.read() as connection:
        values = {"job": job_id, "first": first.isoformat(), "last": last.isoformat()}
        return [facts.run(tuple(row), ()) for row in connection.execute(text(sql), values)]


def _tell(connection: Connection, plan: PlanNow, words: str, now: datetime) -> None:
    sql = "INSERT INTO event (at_us, kind, words, incident_id, actor) VALUES (:now, 'plan', :words, :incident, :by)"
    values = {"now": micros(now), "words": words, "incident": plan.incident_id, "by": plan.requested_by}
    connection.execute(text(sql), values)
