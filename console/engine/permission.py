"""May this action leave now? Asked right before its intent is committed, by what is permitted at that moment."""

from __future__ import annotations

from dataclasses import dataclass

from console.control.authorize import Granted, Refused, of_another
from console.durations import duration_words
from console.engine.rights import POLICIES, Rights, actor
from console.model.modes import Modes, frozen_words
from console.model.rights import Rules
from console.store import approvals, covered, permissions, switches
from console.store.asked import ActionRow
from console.store.chain import Run
from console.store.open import Store
from console.store.wire import wire


@dataclass(frozen=True, slots=True)
class Right:
    """Neither refused nor waiting: it may leave."""

    refused: str = ""
    later: str = ""
    """Why it is not sent now; it is looked at again."""
    waits: bool = False
    """True until another person has approved it."""


def of_action(store: Store, action: ActionRow, now_us: int) -> Right:
    """Whether whoever is behind it may do it still, and whoever approved it may still approve it."""
    shared = not store.is_sqlite
    with store.read() as connection:
        run = wire(connection).rows
        rights = Rights(run)
        kept = _kept(rights.modes, action)
        if kept is not None:
            return kept
        if late := _too_late(rights.rules, action, now_us):
            return Right(late)
        if (right := _of_plan(run, action)) is not None:
            return right
        person = actor(run, action.requested_by, action.origin, shared)
        recent = _recent(run, action)
        door = action.verb.value
        answer = rights.may(person, door, action.job_id, why=action.why, key=action.key, recent=recent)
        if isinstance(answer, Refused):
            return Right(answer.reason)
        if not (answer.needs_approval or action.needs_approval):
            return Right()
        return _approved(run, rights, action, now_us, shared)


def why_frozen(store: Store) -> str:
    """Why nothing leaves to any scheduler now; empty when it may."""
    with store.read() as connection:
        frozen = switches.modes(wire(connection).rows).frozen
    return "" if frozen is None else frozen_words(frozen)


def _kept(modes: Modes, action: ActionRow) -> Right | None:
    """Frozen or in shadow: what a person asked for is refused; what a hold owes waits, and was decided as live."""
    if action.origin in POLICIES:
        return None if modes.frozen is None else Right(later=f"{frozen_words(modes.frozen)}: it waits")
    why = modes.why_not_sent(action.system)
    return Right(refused=why) if why else None


def _too_late(rules: Rules, action: ActionRow, now_us: int) -> str:
    """Why what waited so long is not sent any more: what the person saw is not what is. What a hold owes stays owed."""
    limit = rules.valid_for_s
    if action.origin in POLICIES or not limit or now_us - action.requested_us <= limit * 1_000_000:
        return ""
    why = f" ({action.words})" if action.words else ""
    return f"it could not be sent within {duration_words(limit)}{why}, and is not sent any more: ask again"


def _of_plan(run: Run, action: ActionRow) -> Right | None:
    """A step that has not left goes no further than its plan does."""
    if action.origin != "plan":
        return None
    number, state = permissions.plan_of(run, action.key)
    if state in ("paused", "stopped"):
        return Right(later=f"plan {number} is {state}: it waits")
    return Right(aborted(number)) if state == "aborted" else None


def aborted(plan: int) -> str:
    """Why a step of a plan that was given up is not sent."""
    return f"plan {plan} was aborted before it was sent"


def _recent(run: Run, action: ActionRow) -> int:
    """What the same asker asked for within the hour before."""
    if action.origin in POLICIES:
        return permissions.policies_lately(run, action.requested_us, action.key)
    if action.origin == "plan":
        return permissions.asked_before_plan(run, action.requested_by, action.key)
    return permissions.asked_lately(run, action.requested_by, action.requested_us, action.key)


def _approved(run: Run, rights: Rights, action: ActionRow, now_us: int, shared: bool) -> Right:
    if not action.approved_by or action.approved_us is None:
        return Right(waits=True)
    approver = permissions.person_named(run, action.approved_by, shared)
    answer = rights.may(approver, "approve", action.job_id, asked_by=action.requested_by)
    if isinstance(answer, Granted):
        return Right(approvals.too_old(max(action.approved_us, covered.last_used(run, action.key)), now_us))
    return Right(f"approved by {action.approved_by}, who may not any more: {of_another(answer.reason, approver)}")
