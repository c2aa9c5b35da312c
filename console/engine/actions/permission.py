"""Permission to send an action, checked right before its intent is committed, by what is permitted at that moment.

An action that is still permitted may be obsolete: by now nothing needs it.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.sdk.states import Verb
from console.control.access.authorization import AccessGranted, AccessRefusal, refusal_for_other
from console.control.recovery.execution import why_obsolete
from console.domain.access import ActingRules
from console.domain.hold import hold_expired_reason
from console.domain.ids import instant
from console.domain.request import RequestKind
from console.domain.switches import format_freeze
from console.engine.access import POLICIES, AccessRights, requester
from console.store import access, approvals, plans, subjects, switches
from console.store.actions import ActionRow
from console.store.db.database import Database
from console.store.db.fence import Fence, check_fence
from console.store.db.session import Session
from console.timing.durations import format_duration


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
        elif refused := rights.modes.why_not_sent(action.system) or _expiry_reason(rights.rules, action, now_us):
            return SendPermission(refused, rights.modes.block_code(action.system))
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
        if not (answer.needs_approval or action.needs_approval):
            return SendPermission()
        return _approved(session, rights, action, now_us, shared)


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


def _expiry_reason(rules: ActingRules, action: ActionRow, now_us: int) -> str:
    """Why a person's request is too old to be sent: the state that the person saw no longer holds. Empty if not."""
    limit = rules.valid_for_s
    if not limit or now_us - action.requested_us <= limit * 1_000_000:
        return ""
    why = f" ({action.text})" if action.text else ""
    return f"not sent within {format_duration(limit)}{why} and abandoned. Fix: request it again"


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
    return f"its plan was resumed by {by}, who does not have the right: {refusal_for_other(answer.reason, resumer)}"


def _approved(session: Session, rights: AccessRights, action: ActionRow, now_us: int, shared: bool) -> SendPermission:
    if not action.approved_by or action.approved_us is None:
        return SendPermission(waits=True)
    approver = access.person_by_name(session, action.approved_by, shared)
    answer = rights.may(approver, RequestKind.APPROVE, action.job_id, requested_by=action.requested_by)
    if isinstance(answer, AccessGranted):
        used_us = max(action.approved_us, approvals.approval_last_used(session, action.key))
        return SendPermission(approvals.expired_reason(used_us, now_us))
    why = refusal_for_other(answer.reason, approver)
    return SendPermission(f"approved by {action.approved_by}, who no longer has the right: {why}")


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
