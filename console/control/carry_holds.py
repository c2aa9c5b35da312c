"""The steps of a plan that hold and let go, as it is carried out: rows and the time in, the next move out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from connectors.contract import Verb
from console.model.carried import OVER, Ask, EndStep, Move, PlanNow, StepNow, Wait
from console.model.plans import WAIT
from console.model.words import UNSENT_BEFORE_ITS_START, HoldState

ENDED_BADLY = ("refused", "failed")
_STANDS = (HoldState.HELD, HoldState.FOUND)
_MOVES = (HoldState.PLACING, HoldState.RELEASING)
_LEFT = ("sending", "sent", "unknown", "verified")
"""States of an action that has left, or may have."""


def hold_move(plan: PlanNow, step: StepNow, now: datetime, states: Mapping[int, str]) -> Move | None:
    """Only where it comes to that: not where all that its job reads is good before, nor once its run has begun. It
    takes no turn from what runs: it is over at once. Its wait is counted from the plan's start, also when it is asked
    anew: the start that it keeps back stays where it is. While a person holds the job themselves there is nothing to
    place; once they let it go before that start, the plan holds it."""
    release = _other_of(plan, step, Verb.RELEASE)
    if release is not None and all(states.get(each) in OVER for each in release.after if each != step.place):
        return EndStep(step, "verified", "not needed: what it reads was good before its start; nothing was sent")
    if begun := _begun(plan, step):
        return EndStep(step, "verified", f"{begun}; nothing was sent")
    due = step.due or plan.requested + timedelta(seconds=step.wait_s)
    if step.due is None and now < due:
        return Wait(step, due)
    if now < due or step.held_by:
        return None
    if step.start is not None and now >= step.start:
        return EndStep(step, "verified", "too late: its start has passed; nothing was sent")
    return Ask(step)


def needs_no_hold(plan: PlanNow, step: StepNow) -> str:
    """Why a hold that was refused is none that the plan lacks, in words; empty for one that it does, and of another
    step."""
    if step.verb != Verb.HOLD:
        return ""
    if words := _begun(plan, step):
        return words
    if step.action_words == UNSENT_BEFORE_ITS_START:
        return f"too late: {step.action_words}"
    if step.held_by:
        return f"it is held already by {step.held_by}"
    return "it is paused at its source" if step.is_paused else ""


def _begun(plan: PlanNow, step: StepNow) -> str:
    """Why a hold comes too late, in words; empty while it does not."""
    wait = _other_of(plan, step, WAIT)
    is_begun = wait is not None and wait.run is not None and wait.run.started is not None
    return "too late: its own scheduler has started it" if is_begun else ""


def release_move(plan: PlanNow, step: StepNow) -> Move | None:
    """Once what was asked for is held, whoever else asks for a hold beside it; nothing where nothing is held, or not
    any more. A release that somebody asked for is awaited: it may fail. What a person holds themselves is theirs to let
    go."""
    hold = _other_of(plan, step, Verb.HOLD)
    if hold is None or hold.action_key is None or hold.action_state == "refused":
        return EndStep(step, "verified", _theirs(step, hold) or "nothing was held: nothing was sent")
    if hold.hold_state in _STANDS:
        return Ask(step)
    if hold.hold_state and hold.hold_state not in _MOVES:
        return EndStep(step, "verified", _theirs(step, hold) or "it was let go already: nothing was sent")
    return None


def _theirs(step: StepNow, hold: StepNow | None) -> str:
    """That the job of a release is held by somebody else, in words; empty where it is not."""
    if hold is None or not hold.held_by:
        return ""
    held = f"it is held by {hold.held_by}, not by this plan"
    return f"{held}: nothing was sent; headway release {step.job} lets it go"


def _other_of(plan: PlanNow, step: StepNow, verb: str) -> StepNow | None:
    """Of the same job the step that does this."""
    return next((one for one in plan.steps if one.verb == verb and one.job_id == step.job_id), None)


def stays_held(plan: PlanNow) -> list[str]:
    """The jobs that an unfinished plan leaves held, or whose hold is on its way."""
    releases = [one for one in plan.steps if one.verb == Verb.RELEASE]
    let_go = {one.job_id for one in releases if one.state in OVER}
    refused = {one.job_id for one in releases if one.action_state in ENDED_BADLY}
    stand = (
        one
        for one in plan.steps
        if one.hold_state in _STANDS
        or (one.hold_state == HoldState.RELEASING and one.job_id in refused)
        or (one.verb == Verb.HOLD and one.hold_state in ("", HoldState.PLACING) and one.action_state in _LEFT)
    )
    return [one.job for one in stand if one.job_id not in let_go]


def still_held(plan: PlanNow) -> str:
    """The same as the end of a sentence; empty for none."""
    held = stays_held(plan)
    return f"; {', '.join(held)} stays held meanwhile" if held else ""
