"""Execution of a started plan: its rows and the time in, the next moves out.

A step is requested once those that it waits for are verified; the first that fails stops the plan, and what is in
flight then goes on to its end. A run that became good by other means needs no step. A paused or aborted plan
requests nothing; an aborted one drops what it has not requested.

A job whose own scheduler takes a step's success as the sign to start it is looked up before it is requested: a run
that began meanwhile replaces its step, so that the same work is not done twice.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from connectors.sdk.states import RunState, Verb
from console.domain.hold import HoldReason, HoldState
from console.domain.plan import (
    HOLD_VERBS,
    WAIT,
    BeginWait,
    ChangePlanState,
    EndStep,
    PlanMove,
    PlanProgress,
    RequestStep,
    StepProgress,
    StepRun,
    numbered_step,
    resume_commands,
)
from console.domain.run import CLOCK_SKEW
from console.domain.step_graph import StepGraph

ENDED_BADLY = ("refused", "failed")
_HOLDING = (HoldState.HELD, HoldState.FOREIGN)
_MOVES = (HoldState.PLACING, HoldState.RELEASING)
_MAY_BE_SENT = ("sending", "sent", "unknown", "verified")
"""States of an action that has left, or may have."""


def hold_move(plan: PlanProgress, step: StepProgress, now: datetime, states: Mapping[int, str]) -> PlanMove | None:
    """The hold of a step, if it is needed: not if all inputs of its job are good before, nor once its run has begun.
    It takes no turn of running steps. Its wait counts from the plan's start, also when repeated. While a person holds
    the job there is nothing to place; if they release it before that start, the plan holds it."""
    release = _other_of(plan, step, Verb.RELEASE)
    before = [place for place in release.after if place != step.place] if release is not None else []
    if release is not None and all(states.get(place) == "verified" for place in before):
        return EndStep(step, "verified", "inputs were good; nothing was sent")
    if begun := _begun(plan, step):
        return EndStep(step, "verified", f"{begun}; nothing was sent")
    due = step.due or plan.requested + timedelta(seconds=step.wait_s)
    if step.due is None and now < due:
        return BeginWait(step, due)
    if now < due or step.held_by:
        return None
    if step.start is not None and now >= step.start:
        return EndStep(step, "verified", "too late: its start has passed; nothing was sent")
    return RequestStep(step)


def needs_no_hold(plan: PlanProgress, step: StepProgress) -> str:
    """Why a refused hold is not needed by the plan; empty if it is, and for another step."""
    if step.verb != Verb.HOLD:
        return ""
    if begun := _begun(plan, step):
        return begun
    if step.hold_reason == HoldReason.NOT_SENT_IN_TIME:
        return f"too late: {step.action_text}"
    if step.held_by:
        return f"it is held already by {step.held_by}"
    return "it is paused at its source" if step.is_paused else ""


def _begun(plan: PlanProgress, step: StepProgress) -> str:
    wait = _other_of(plan, step, WAIT)
    is_begun = wait is not None and wait.run is not None and wait.run.started is not None
    return "too late: its own scheduler has started it" if is_begun else ""


def release_move(plan: PlanProgress, step: StepProgress) -> PlanMove | None:
    """The release of a step, once its hold is placed; nothing without a hold. A release requested by a person is
    awaited: it may fail. A hold of a person is not released."""
    hold = _other_of(plan, step, Verb.HOLD)
    if hold is None or hold.action_key is None or hold.action_state == "refused":
        return EndStep(step, "verified", _theirs(step, hold) or "it was not held; nothing was sent")
    if hold.hold_state in _HOLDING:
        return RequestStep(step)
    if hold.hold_state and hold.hold_state not in _MOVES:
        return EndStep(step, "verified", _theirs(step, hold) or "it was released; nothing was sent")
    return None


def _theirs(step: StepProgress, hold: StepProgress | None) -> str:
    if hold is None or not hold.held_by:
        return ""
    held = f"it is held by {hold.held_by}, not by this plan"
    return f"{held}: nothing was sent; headway hold release {shlex.quote(step.job)} releases it"


def _other_of(plan: PlanProgress, step: StepProgress, verb: str) -> StepProgress | None:
    return next(
        (candidate for candidate in plan.steps if candidate.verb == verb and candidate.job_id == step.job_id), None
    )


def jobs_left_held(plan: PlanProgress) -> list[str]:
    """Jobs that an unfinished plan leaves held, or is about to hold."""
    releases = [step for step in plan.steps if step.verb == Verb.RELEASE]
    released = {release.job_id for release in releases if release.state == "verified"}
    refused = {release.job_id for release in releases if release.action_state in ENDED_BADLY}
    held_steps = (
        step
        for step in plan.steps
        if step.hold_state in _HOLDING
        or (step.hold_state == HoldState.RELEASING and step.job_id in refused)
        or (step.verb == Verb.HOLD and step.hold_state in ("", HoldState.PLACING) and step.action_state in _MAY_BE_SENT)
    )
    return [step.job for step in held_steps if step.job_id not in released]


PATIENCE = timedelta(seconds=15)
"""Least time that a scheduler's own start is awaited, and two polls, before its step is requested."""
_TO_COME = (RunState.PLANNED, RunState.WAITING, RunState.HELD)
_GOES_ON = (RunState.RUNNING, RunState.RETRYING)
_RUNS = (Verb.RERUN, Verb.START, WAIT)


def next_moves(plan: PlanProgress, now: datetime) -> list[PlanMove]:
    """Moves to make now, in order; empty while it waits. Continues from there when called after they were made."""
    ends = [end for step in plan.steps if step.state == "requested" and (end := _end_of(plan, step)) is not None]
    states = {step.place: step.state for step in plan.steps} | {end.step.place: end.state for end in ends}
    if plan.state == "aborted":
        held = jobs_left_held(plan)
        hold_hint = "; it stays held until its hold ends: headway hold release {0} releases it"
        abandoned = [
            EndStep(
                step,
                "abandoned",
                f"the plan was aborted{hold_hint.format(shlex.quote(step.job)) if step.job in held else ''}",
            )
            for step in plan.steps
            if step.state == "planned"
        ]
        return [*ends, *abandoned]
    if plan.state == "paused" and all(state == "verified" for state in states.values()):
        return [*ends, *_finish(plan, ends, states)]  # nothing is left that it could go on with
    if plan.state != "running":
        return [*ends]
    if "failed" in states.values():
        return [*ends, *_finish(plan, ends, states)]
    moves: list[PlanMove] = [*ends]
    runs = [step for step in plan.steps if step.verb not in HOLD_VERBS]
    busy = Counter(step.system for step in runs if states[step.place] == "requested")
    for step in sorted(plan.steps, key=lambda step: step.place):
        if states[step.place] != "planned" or any(states.get(place) != "verified" for place in step.after):
            continue
        move = _move(plan, step, now, busy[step.system], states)
        if isinstance(move, RequestStep) and step in runs:
            busy[step.system] += 1
        if isinstance(move, EndStep):
            states[step.place] = move.state
        if move is not None:
            moves.append(move)
    return moves + _finish(plan, moves, states)


def _finish(plan: PlanProgress, moves: Sequence[PlanMove], states: Mapping[int, str]) -> list[PlanMove]:
    if "failed" in states.values():
        return [_stopped(plan, moves, states)]
    if all(state == "verified" for state in states.values()):
        steps = "step is" if len(states) == 1 else "steps are"
        return [ChangePlanState("done", f"{len(states)} of {len(states)} {steps} over")]
    return []


def _end_of(plan: PlanProgress, step: StepProgress) -> EndStep | None:
    if step.action_state == "verified":
        return EndStep(step, "verified", step.action_text)
    if step.action_state in ENDED_BADLY:
        needless = why_obsolete(plan, step) or needs_no_hold(plan, step)
        if step.action_state == "refused" and needless:
            return EndStep(step, "verified", f"{needless}; nothing was sent")
        text = step.action_text or "its action failed"
        return EndStep(step, "failed", text if step.action_state == "failed" else f"{step.action_state}: {text}")
    return None


def _move(
    plan: PlanProgress, step: StepProgress, now: datetime, busy: int, states: Mapping[int, str]
) -> PlanMove | None:
    if step.verb == WAIT:
        if step.run is None:
            return None
        state = RunState(step.run.state)
        if state is RunState.SUCCEEDED and not step.run.stale:
            return EndStep(step, "verified", f"{state} ({step.run.evidence})")
        if state.is_open or (state is RunState.UNKNOWN and step.run.ended is None) or step.others:
            return None
        return EndStep(step, "failed", f"ended {state}{' on stale data' if step.run.stale else ''}")
    if step.verb in HOLD_VERBS:
        return hold_move(plan, step, now, states) if step.verb == Verb.HOLD else release_move(plan, step)
    if text := why_obsolete(plan, step):
        return EndStep(step, "verified", text)
    if _runs_already(plan, step) or _is_to_come(step):
        return None
    starters = _starters(plan, step)
    if starters and step.due is None:
        patience = max(PATIENCE, timedelta(seconds=2 * step.poll_every_s))
        return BeginWait(step, now + patience, "looks first whether its own scheduler starts it now")
    if starters and (own := _own_start(plan, step, starters)) is not None:
        state = RunState(own.state)
        if state is RunState.SUCCEEDED:
            return EndStep(step, "verified", f"its own scheduler started it: {state} ({own.evidence})")
        if state.is_open or (state is RunState.UNKNOWN and own.ended is None):
            return None
        return EndStep(step, "failed", f"its own scheduler started it, and that run ended {state}")
    if starters and (step.polled is None or (step.due is not None and step.polled < step.due)):
        return None
    if (step.due is not None and now < step.due) or step.others or busy >= plan.at_once:
        return None
    return RequestStep(step)


def _runs_already(plan: PlanProgress, step: StepProgress) -> bool:
    """True while its own run goes on, begun after what it reads was good: set off by its own scheduler, or by a person.
    Sent beside that it would be refused; how it ends decides whether it is needed."""
    run = step.run
    if run is None or run.started is None or run.ended is not None or RunState(run.state) not in _GOES_ON:
        return False
    upstream_runs = [candidate.run for candidate in plan.steps if candidate.place in step.after]
    since = max(
        (
            upstream_run.ended
            for upstream_run in upstream_runs
            if upstream_run is not None and upstream_run.ended is not None
        ),
        default=plan.requested,
    )
    return step.verb in _RUNS and run.started + CLOCK_SKEW >= since and step.state_at_start not in _GOES_ON


def _is_to_come(step: StepProgress) -> bool:
    """True for a run that its own clock has yet to start: there is nothing to run again before."""
    run = step.run
    return step.verb == Verb.RERUN and run is not None and run.started is None and RunState(run.state) in _TO_COME


def _starters(plan: PlanProgress, step: StepProgress) -> list[StepProgress]:
    """The steps before it that ran, and whose success its own scheduler takes as the sign to start it."""
    if not step.started_by:
        return []
    places = StepGraph.of(plan.steps).before(step.place) & {*step.started_by}
    starters = [candidate for candidate in plan.steps if candidate.place in places and candidate.verb in _RUNS]
    return sorted(starters, key=lambda starter: starter.place)


def _own_start(plan: PlanProgress, step: StepProgress, starters: list[StepProgress]) -> StepRun | None:
    """The run of its job that began since those began again; None for one that ended having read too early."""
    own = step.newest
    if own is None:
        return None
    starts = (starter.run.started for starter in starters if starter.run is not None)
    since = max((start for start in starts if start is not None), default=plan.requested)
    if own.started is not None and own.started + CLOCK_SKEW < since:
        return None
    return None if own.stale and not RunState(own.state).is_open else own


def why_obsolete(plan: PlanProgress, step: StepProgress) -> str:
    """Why the step is not needed any more; empty while it is. Its run reached the wanted state after all that it
    waits for, since the plan was requested or the person saw another state. Checked again right before the step is
    sent."""
    run = step.run
    if run is None or run.ended is None or (run.ended <= plan.requested and step.state_at_start in ("", run.state)):
        return ""
    state = RunState(run.state)
    if step.verb == Verb.CANCEL:
        return "" if state.is_open or state is RunState.UNKNOWN else f"it has ended: {state} ({run.evidence})"
    if state is not RunState.SUCCEEDED or run.stale:
        return ""
    began = (run.started or run.ended) + CLOCK_SKEW
    upstream_runs = (candidate.run for candidate in plan.steps if candidate.place in step.after)
    read_before = any(
        upstream_run is not None and upstream_run.ended is not None and began < upstream_run.ended
        for upstream_run in upstream_runs
    )
    return "" if read_before else f"good by other means: {state} ({run.evidence})"


def _stopped(plan: PlanProgress, moves: Sequence[PlanMove], states: Mapping[int, str]) -> ChangePlanState:
    held = jobs_left_held(plan)
    left_held = f"; {', '.join(held)} stays held meanwhile" if held else ""
    steps = tuple(replace(step, state=states[step.place]) for step in plan.steps)
    outdated = replace(plan, steps=steps).outdated
    waits = [step.job for step in steps if step.verb == WAIT and step.state == "failed"]
    again = "" if waits else " (requests failed steps again)"
    commands = ", then ".join(resume_commands(plan.id, waits, outdated))
    go_on = commands if outdated else f"{commands}{again}, or plan abort"
    texts = {move.step.place: move.text for move in moves if isinstance(move, EndStep)}
    step = next(step for step in steps if step.state == "failed")
    text = texts.get(step.place, step.text).rstrip(".")
    return ChangePlanState("stopped", f"{numbered_step(step, steps)}: {text}{left_held}", go_on)
