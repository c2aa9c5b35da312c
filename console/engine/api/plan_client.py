"""Plans as the console and the CLI write them: start, pause, resume, abort."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.sdk.states import Verb
from console.control.access.authorization import AccessGranted, AccessRefusal
from console.domain.access import Person
from console.domain.ids import utc_minute
from console.domain.plan import (
    AWAITS_APPROVAL,
    REQUESTED,
    STEERING,
    WAIT,
    DraftStep,
    PlanDraft,
    PlanRefused,
    may_await_approval,
    numbered_step,
    requester_text,
    resume_commands,
    step_name,
)
from console.domain.request import RequestKind
from console.domain.text import render
from console.engine.access import AccessRights, all_granted
from console.engine.api.action_request import EXCLUSIVE_VERBS, AlreadyRequested
from console.engine.api.queue import RequestQueue, raise_if_refused
from console.store import access, new_plans, request_queue
from console.store.db import client
from console.store.db.session import Row, Session
from console.store.errors import PlanNotFound
from console.store.names import encode_name
from console.store.plan_steps import failed_waits, replacing_incident
from console.timing.durations import format_duration

MAX_RUNS = 1_000
"""Maximum runs of one bulk plan: their ids fit into the request size that PostgreSQL accepts from a console
(grants.sql)."""
ORDER_SECONDS = 5.0
"""How long an order is waited for; it remains also without an engine."""


class PlanClient(RequestQueue):
    """Requests about plans, written at once. One that only lacks a reason is not recorded in the audit: the console
    asks for it and repeats the request."""

    def start_plan(self, draft: PlanDraft, key: str, why: str = "", at_once: int = 1, is_paused: bool = False) -> int:
        """Starts the plan under `key`, or stores it paused until a person resumes it; its number. A key is one plan.

        Raises PlanRefused if the plan cannot be executed, AlreadyRequested if one for this incident, or with one of its
        runs, is open, KeyReused for the Idempotency-Key of another request.
        """
        _refuse_empty_plan(draft, at_once)
        known = self.subjects(lambda _: [step.job_id for step in draft.steps])
        with self.transaction() as session:
            person = self.person(session)
            if (existing := new_plans.plan_by_key(session, key, person.name)) is not None:
                return existing
            request_queue.check_key(session, key, person.name)
            now = client.store_now_us(session)
            recent = access.recent_actions(session, person.name, now, key)
            answer = _authorize_all(AccessRights(session, known), person, draft.steps, why, recent)
            number = 0
            if isinstance(answer, AccessGranted):
                _refuse_duplicate_plan(session, draft, now)
                waits = REQUESTED if is_paused else ""
                number = new_plans.insert_plan(session, draft, key, person.name, self.origin, why, at_once, now, waits)
            if not (answer.wants_reason or (number and session.is_restricted)):
                steps = [f"{step.verb} {render(step_name(step, (step.job,)), utc_minute)}" for step in draft.steps]
                detail = {"plan": number, "steps": steps}
                what = RequestKind.PROPOSE_PLAN if is_paused else RequestKind.START_PLAN
                about = f"plan {number}" if number else ""
                self.audit_decision(session, person.name, what, about, answer, detail, why)
        raise_if_refused(answer)
        return number

    def steer_plan(self, number: int, how: RequestKind, why: str = "") -> str:
        """Pauses, resumes or aborts a plan; its new state, and since a restricted login only leaves an order, whether
        an engine must first work.

        On resume, failed steps are requested again unless their run has become good. Raises PlanNotFound, and
        PlanRefused if the plan's state does not allow it.
        """
        allowed, state, done = STEERING[how]
        resumes = how is RequestKind.RESUME_PLAN
        known = self.subjects(lambda session: new_plans.jobs_of_plan(session, number))
        order: int | None = None
        with self.transaction() as session:
            present = new_plans.plan_state(session, number)
            if present is None:
                raise PlanNotFound(number)
            now = client.store_now_us(session)
            person = self.person(session)
            rights = AccessRights(session, known)
            answer = all_granted(
                (resumes and rights.mode_refusal(job)) or rights.may(person, how, job, why=why) for job in known
            )
            if isinstance(answer, AccessGranted):
                if present not in allowed:
                    raise PlanRefused(f"plan {number} is {present}: it cannot be {done}")
                if session.is_restricted:
                    order = new_plans.order_restricted(session, number, how, why, self.origin)
                else:
                    new_plans.steer_plan(session, number, how, person.name, now)
            if order is None and not answer.wants_reason:
                self.audit_decision(session, person.name, how, f"plan {number}", answer, {"plan": number}, why)
        raise_if_refused(answer)
        return state if order is None else _ordered_state(self, order, state)


def _ordered_state(queue: RequestQueue, order: int, state: str) -> str:
    outcome = queue.wait_for(order, ORDER_SECONDS)
    if outcome is None:
        return f"{state} once an engine works on it"
    if not outcome.ok:
        raise PlanRefused(outcome.error)
    return state


def _refuse_empty_plan(draft: PlanDraft, at_once: int) -> None:
    if not draft.steps:
        raise PlanRefused("the plan has no steps")
    if at_once < 1:
        raise PlanRefused("at least one action must be allowed at a time")
    for step in draft.steps:
        if step.refusal:
            raise PlanRefused(f"{numbered_step(step, draft.steps)}: {step.refusal}; leave it out")


def _refuse_duplicate_plan(session: Session, draft: PlanDraft, now_us: int) -> None:
    """Raises AlreadyRequested if a plan of anyone for this incident, or with the same step for one of its runs, is
    open."""
    same = new_plans.open_plan_of_incident(session, draft.incident_id)
    if draft.incident_id is not None and same is not None:
        raise AlreadyRequested(*_open_plan_text(session, same, now_us))
    planned = {
        (row.job_id, row.period_key, _exclusive_verbs(row.verb)): row.plan_id
        for row in new_plans.steps_to_come(session)
    }
    for step in draft.steps:
        plan_id = planned.get((step.job_id, encode_name(step.period.key), _exclusive_verbs(step.verb)))
        if plan_id is not None and step.verb != WAIT:
            plan, choices = _open_plan_text(session, new_plans.open_plan(session, plan_id), now_us)
            raise AlreadyRequested(f"{numbered_step(step, draft.steps)}, is already in another plan: {plan}", choices)


def _exclusive_verbs(verb: str) -> tuple[str, ...]:
    """The verbs that exclude each other for a run, `verb` among them."""
    return next((group for group in EXCLUSIVE_VERBS if verb in group), (verb,))


def _open_plan_text(session: Session, plan: Row, now_us: int) -> tuple[str, str]:
    """The requester and state of the plan, and the commands that steer it."""
    ago = format_duration((now_us - plan.requested_us) / 1e6)
    is_proposed = bool(plan.is_unsent) and may_await_approval(plan.state, plan.requested_from)
    how, status = ("requested", f"it {AWAITS_APPROVAL}") if is_proposed else ("started", f"it is {plan.state}")
    started = (
        f"plan {plan.id} was {how} by {requester_text(plan.requested_by, plan.requested_from)} {ago} ago; {status}"
    )
    if outdated := replacing_incident(session, plan.id, plan.incident_id):
        return started, ", then ".join(resume_commands(plan.id, (), outdated))
    if waits := failed_waits(session, plan.id):
        return started, f"{', then '.join(resume_commands(plan.id, waits))}, or plan abort"
    return started, f"headway plan {plan.id}, plan {'pause' if plan.state == 'running' else 'resume'} or abort"


def _authorize_all(
    rights: AccessRights, person: Person, steps: Sequence[DraftStep], why: str, recent: int
) -> AccessGranted | AccessRefusal:
    """Whether the person may do every step. Steps that send nothing need only the right to start plans."""
    sends = [step for step in steps if step.verb != WAIT]
    needed = dict.fromkeys(
        (operation, step.job_id) for step in sends for operation in (RequestKind.START_PLAN, Verb(step.verb))
    )
    needed = needed or dict.fromkeys((RequestKind.START_PLAN, step.job_id) for step in steps)
    return all_granted(
        rights.mode_refusal(job_id) or rights.may(person, operation, job_id, why=why, recent=recent)
        for operation, job_id in dict.fromkeys(needed)
    )
