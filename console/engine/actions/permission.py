"""Permission to send an action, checked right before its intent is committed, by what is permitted at that moment.

An action that is still permitted may be obsolete: by now nothing needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connectors.sdk.states import RunState, Verb
from console.control.access.authorization import AccessGranted, AccessRefusal
from console.control.recovery.execution import why_obsolete
from console.domain.access import EXPIRY, REPAIR_EXPIRY
from console.domain.hold import hold_expired_reason
from console.domain.ids import incident_name, instant, micros, utc_minute
from console.domain.job import Safety
from console.domain.policy import POLICY_ORIGIN, Policy
from console.domain.request import RequestKind
from console.domain.switches import Modes, format_freeze
from console.domain.text import render
from console.engine.access import POLICIES, AccessRights, requester
from console.store import (
    access,
    approvals,
    config_documents,
    conflicts,
    notification_state,
    plans,
    policies,
    subjects,
    switches,
)
from console.store.actions import ActionRow
from console.store.db.database import Database
from console.store.db.fence import Fence, check_fence
from console.store.db.session import Row, Session
from console.store.new_actions import open_incident_of_run
from console.store.plan_steps import open_plan_steps
from console.store.snapshot import facts
from console.timing.durations import format_duration
from console.timing.maintenance import active_maintenance


@dataclass(frozen=True, slots=True)
class SendPermission:
    """Permission to send: granted unless one of these is set."""

    refused: str = ""
    code: str = ""
    """`Modes.block_code` of a refusal."""
    later: str = ""
    """Why it is not sent yet; it is checked again."""
    waits: bool = False
    """True while another person must approve it."""


def send_permission(store: Database, action: ActionRow, now_us: int) -> SendPermission:
    """Whether the requester may still do it, and the approver may still approve it."""
    shared = not store.is_sqlite
    with store.read() as session:
        rights = AccessRights(session)
        if action.origin in POLICIES:  # a start after a hold was decided in live mode: it waits for a freeze to end
            if rights.modes.frozen is not None:
                return SendPermission(later=f"{format_freeze(rights.modes.frozen)}: waiting")
            recent = access.recent_policy_actions(session, action.requested_us, action.key)
        elif refused := rights.modes.why_not_sent(action.system) or _expiry_reason(action, now_us):
            return SendPermission(refused, rights.modes.block_code(action.system))
        elif action.origin == POLICY_ORIGIN:
            if refused := _repair_refusal(session, rights.modes, action, instant(now_us)):
                return SendPermission(refused)
            recent = 0
        elif (plan := access.plan_of(session, action.key)) is not None:  # a step is sent only while its plan runs
            if plan.state in ("paused", "stopped"):
                return SendPermission(later=f"plan {plan.id} is {plan.state}: waiting")
            if plan.state == "aborted":
                return SendPermission(aborted_reason(plan.id))
            if plans.stop_ordered(session, plan.id):
                return SendPermission(later=f"plan {plan.id} is being paused or aborted: waiting")
            if refused := _resumer_refusal(session, rights, plan.resumed_by, action.job_id, shared):
                return SendPermission(refused)
            recent = access.recent_actions_before_plan(session, action.requested_by, action.key)
        else:
            recent = access.recent_actions(session, action.requested_by, action.requested_us, action.key)
        person = requester(session, action.requested_by, action.origin, shared)
        answer = rights.may(person, action.verb, action.job_id, why=action.why, key=action.key, recent=recent)
        if isinstance(answer, AccessRefusal):
            return SendPermission(answer.reason)
        needed = policies.approvers_of(session, action.key) if action.origin == POLICY_ORIGIN else 0
        if not (answer.needs_approval or action.needs_approval or needed):
            return SendPermission()
        return _approved(session, rights, action, now_us, shared, needed)


def approvers(store: Database, key: str) -> str:
    """The possible approvers of the action: names in the config, or "another person"."""
    with store.read() as session:
        action = subjects.requested_action(session, key)
        if action is None:
            return "another person"
        return AccessRights(session).approvers(action.job_id, action.requested_by)


def freeze_reason(store: Database, fence: Fence) -> str:
    """Why no action may be sent now; empty if actions may be sent. Raises LeaseLost if the fence is lost."""
    with store.read() as session:
        check_fence(session, fence)
        frozen = switches.load_modes(session).frozen
    return "" if frozen is None else format_freeze(frozen)


def _repair_refusal(session: Session, modes: Modes, action: ActionRow, now: datetime) -> str:
    """Why the policy may not repair the run any more: it is stopped, the run has changed, or a person decides about it;
    empty if it may. The conditions of the policy are those of the evaluation that decided it."""
    repair = policies.repair_of_action(session, action.key)
    if repair is None:
        return "no policy has decided it"
    policy = config_documents.load_declared(session).policy(repair.policy)
    if policy is None or not policy.is_active:
        return f"policy {repair.policy} is {'in shadow' if policy else 'no longer in the config'}"
    if stop := modes.policy_stop(policy.name) or _failure_stop(session, modes, policy, instant(repair.at_us)):
        return stop
    if not policy.may_rerun(Safety(repair.rerun)):
        return f'the card of {action.job} has rerun = "{repair.rerun}": a person decides'
    state = RunState(repair.state)
    if repair.attempts != repair.attempt or not state.is_red or state is RunState.CANCELLED:
        return f"its run has changed since: attempt {repair.attempts} is {repair.state}"
    return _decided_by_person(session, action, repair, now)


def _failure_stop(session: Session, modes: Modes, policy: Policy, requested: datetime) -> str:
    """Why the policy does not send a repair requested then: it was resumed since, or its breaker is due to open; empty
    if it may."""
    since, breaker = modes.policy_since(policy.name), modes.breakers.get(policy.name)
    if since is not None and requested <= since:
        stop = f"policy {policy.name} was resumed, or its breaker closed, since the request"
        return f"{stop}: older failures are left to people"
    closed_us = micros(breaker.at) if breaker is not None and breaker.at is not None else 0
    failed = policies.count_failed(session, policy.name, closed_us)
    return f"{failed} repairs of policy {policy.name} failed: its breaker opens" if failed >= policy.breaker else ""


def _decided_by_person(session: Session, action: ActionRow, repair: Row, now: datetime) -> str:
    """The decision of a person about the run, its job or its incident, as an evaluation reads it; empty without one."""
    if repair.paused_since_us is not None:
        return f"{action.job} is paused"
    pause = switches.pause_of_system(session, action.system)
    if pause is not None and pause.lasts(now):
        return render(pause.text, utc_minute)
    declared, target = config_documents.load_declared(session), f"{action.system}/{repair.target}"
    if maintenance := active_maintenance(declared, action.system, target, action.job, now):
        return render(maintenance.text, utc_minute)
    if hold := conflicts.open_hold(session, action.job_id):
        return render(hold, utc_minute)
    if by := conflicts.rival_action_of(session, action.key):
        return f"an action requested by {by} on the same run has not ended"
    steps = open_plan_steps(session)
    if action.run_id in facts.load_plans_by_run(steps, set()) or action.run_id in facts.load_planned_repairs(steps):
        return "a plan repairs the run"
    incidents = {action.incident_id, open_incident_of_run(session, repair.run_id)}
    if incidents & facts.load_plans_by_incident(session, set()).keys():
        return "a plan repairs the incident"
    acks = notification_state.load_acknowledgements(session)
    ack = next(((number, acks[number]) for number in acks if number in incidents and acks[number].until > now), None)
    return "" if ack is None or action.needs_approval else f"{ack[1].by} acknowledged {incident_name(ack[0])}"


def _expiry_reason(action: ActionRow, now_us: int) -> str:
    """Why a request is too old to be sent: the state that it was made for no longer holds. Empty if not."""
    expiry, since_us = EXPIRY.total_seconds(), action.requested_us
    if action.origin == POLICY_ORIGIN:
        expiry, since_us = REPAIR_EXPIRY.total_seconds(), action.approved_us or since_us
    if now_us - since_us <= expiry * 1_000_000:
        return ""
    why = f" ({action.text})" if action.text else ""
    return f"not sent within {format_duration(expiry)}{why} and abandoned. Fix: request it again"


def aborted_reason(plan: int) -> str:
    """Why a step of an aborted plan is not sent."""
    return f"plan {plan} was aborted before this step was sent"


def _resumer_refusal(session: Session, rights: AccessRights, by: str, job_id: int, shared: bool) -> str:
    """Why the person who resumed the running plan may not do this step; empty if they may, or if the plan has run
    since its start."""
    if not by:
        return ""
    resumer = access.person_by_name(session, by, shared)
    answer = rights.may(resumer, RequestKind.RESUME_PLAN, job_id)
    if isinstance(answer, AccessGranted):
        return ""
    return f"its plan was resumed by {by}, who does not have the right: {answer.reason_for_others or answer.reason}"


def _approved(
    session: Session, rights: AccessRights, action: ActionRow, now_us: int, shared: bool, needed: int
) -> SendPermission:
    """`needed`: by how many persons, if a policy requested it."""
    if not action.approved_by or action.approved_us is None:
        return SendPermission(waits=True)
    people = [name for name in (action.first_approver, action.approved_by) if name]
    if len(people) < needed:
        return SendPermission(f"approved by {action.approved_by}, and its policy needs {needed} persons by now")
    for name in people:
        approver = access.person_by_name(session, name, shared)
        answer = rights.may(approver, RequestKind.APPROVE, action.job_id, requested_by=action.requested_by)
        if not isinstance(answer, AccessGranted):
            why = answer.reason_for_others or answer.reason
            return SendPermission(f"approved by {name}, who no longer has the right: {why}")
    used_us = max(action.approved_us, approvals.approval_last_used(session, action.key))
    return SendPermission(approvals.expired_reason(used_us, now_us))


def obsolete_reason(store: Database, action: ActionRow, now_us: int) -> str:
    """Why the action is no longer needed; empty while it is: its manual hold has ended, or the run that a plan's
    step repairs has become good. Raises StoreError."""
    if action.verb is Verb.HOLD and action.origin not in POLICIES:
        return hold_expired_reason(action.parameters, instant(now_us))
    if action.origin != "plan":
        return ""
    try:
        step = plans.step_before_sending(store, action.key)
    except plans.UNREADABLE:  # the plan executor ends the step
        return ""
    return why_obsolete(*step) if step is not None else ""
