"""How a plan that was started goes on: its rows and the time in, the next moves out.

A step is asked once those that it waits for are verified; the first that fails stops the plan, and what is under way
then goes on to its end. A run that became good by other means needs no step. A plan that a person paused or aborted
asks nothing; an aborted one gives up what it has not asked.

A job whose own scheduler takes a step's success as the sign to start it is looked at before it is asked: a run that
began meanwhile stands in for its step, so that the same work is not done twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from connectors.contract import State, Verb
from console.control.carry_holds import ENDED_BADLY, hold_move, needs_no_hold, release_move, stays_held, still_held
from console.control.picture import CLOCKS
from console.model.carried import OVER, Ask, EndStep, Move, MovePlan, PlanNow, RunNow, StepNow, Wait
from console.model.plans import HOLDING, WAIT

PATIENCE = timedelta(seconds=15)
"""A scheduler's own start is awaited at least so long, and for two polls, before its step is asked."""
_TO_COME = (State.PLANNED, State.WAITING, State.HELD)
_GOES_ON = (State.RUNNING, State.RETRYING)
_RUNS = (Verb.RERUN, Verb.START, WAIT)


def next_moves(plan: PlanNow, now: datetime) -> list[Move]:
    """What happens now, in order; none while it waits. Asked again after they were made, it goes on from there."""
    ends = [end for step in plan.steps if step.state == "asked" and (end := _end_of(plan, step)) is not None]
    states = {step.place: step.state for step in plan.steps} | {end.step.place: end.state for end in ends}
    if plan.state == "aborted":
        return [*ends, *_given_up(plan)]
    if plan.state == "paused" and all(state in OVER for state in states.values()):
        return [*ends, *_finish(plan, states)]  # nothing is left that it could go on with
    if plan.state != "running":
        return [*ends]
    red = [end for end in ends if end.state == "failed"]
    if red or "failed" in states.values():
        return [*ends, MovePlan("stopped", _stopped(plan, red, states))]
    moves: list[Move] = [*ends]
    runs = [step for step in plan.steps if step.verb not in HOLDING]
    busy = Counter(step.system for step in runs if states[step.place] == "asked")
    for step in sorted(plan.steps, key=lambda one: one.place):
        if states[step.place] != "planned" or any(states.get(each) not in OVER for each in step.after):
            continue
        move = _move(plan, step, now, busy[step.system], states)
        if isinstance(move, Ask) and step in runs:
            busy[step.system] += 1
        if isinstance(move, EndStep):
            states[step.place] = move.state
        if move is not None:
            moves.append(move)
    return moves + _finish(plan, states)


def _finish(plan: PlanNow, states: Mapping[int, str]) -> list[Move]:
    if "failed" in states.values():
        return [MovePlan("stopped", _stopped(plan, [], states))]
    if all(state in OVER for state in states.values()):
        return [
            MovePlan("done", f"{len(states)} of {len(states)} {'step is' if len(states) == 1 else 'steps are'} over")
        ]
    return []


def _end_of(plan: PlanNow, step: StepNow) -> EndStep | None:
    """How a step that was asked ended, by its action."""
    if step.action_state == "verified":
        return EndStep(step, "verified", step.action_words)
    if step.action_state in ENDED_BADLY:
        needless = by_other_means(plan, step) or needs_no_hold(plan, step)
        if step.action_state == "refused" and needless:
            return EndStep(step, "verified", f"{needless}; nothing was sent")
        words = step.action_words or "its action failed"
        return EndStep(step, "failed", words if step.action_state == "failed" else f"{step.action_state}: {words}")
    return None


def _move(plan: PlanNow, step: StepNow, now: datetime, busy: int, states: Mapping[int, str]) -> Move | None:
    """What becomes of a step whose turn it is."""
    if step.verb == WAIT:
        return _waited(step)
    if step.verb in HOLDING:
        return hold_move(plan, step, now, states) if step.verb == Verb.HOLD else release_move(plan, step)
    if words := by_other_means(plan, step):
        return EndStep(step, "verified", words)
    if _runs_already(plan, step) or _is_to_come(step):
        return None
    starters = _starters(plan, step)
    if (step.wait_s or starters) and step.due is None:
        return _wait(step, now, bool(starters))
    if starters and (own := _own_start(plan, step, starters)) is not None:
        return _stands_in(step, own)
    if starters and (step.polled is None or (step.due is not None and step.polled < step.due)):
        return None
    if (step.due is not None and now < step.due) or step.others or busy >= plan.at_once:
        return None
    return Ask(step)


def _wait(step: StepNow, now: datetime, is_started: bool) -> Wait:
    """As long as a person wants, and until its own scheduler's start of it would have been seen."""
    asked = timedelta(seconds=step.wait_s)
    if not is_started:
        return Wait(step, now + asked)
    patience = max(PATIENCE, timedelta(seconds=2 * step.poll_every_s))
    return Wait(step, now + max(asked, patience), "looks first whether its own scheduler starts it now")


def _runs_already(plan: PlanNow, step: StepNow) -> bool:
    """True while its own run goes on, begun after what it reads was good: set off by its own scheduler, or by a person.
    Sent beside that it would be refused; how it ends decides whether it is needed."""
    run = step.run
    if run is None or run.started is None or run.ended is not None or State(run.state) not in _GOES_ON:
        return False
    above = [one.run for one in plan.steps if one.place in step.after]
    since = max((one.ended for one in above if one is not None and one.ended is not None), default=plan.requested)
    return step.verb in _RUNS and run.started + CLOCKS >= since and step.found not in _GOES_ON


def _is_to_come(step: StepNow) -> bool:
    """True for a run that its own clock has yet to start: there is nothing to run again before."""
    run = step.run
    return step.verb == Verb.RERUN and run is not None and run.started is None and State(run.state) in _TO_COME


def _starters(plan: PlanNow, step: StepNow) -> list[StepNow]:
    """The steps before it that ran, and whose success its own scheduler takes as the sign to start it."""
    if not step.started_by:
        return []
    steps = {one.place: one for one in plan.steps}
    above: set[int] = set()
    todo = list(step.after)
    while todo:
        place = todo.pop()
        if place in steps and place not in above:
            above.add(place)
            todo += steps[place].after
    return [steps[each] for each in sorted(above & {*step.started_by}) if steps[each].verb in _RUNS]


def _own_start(plan: PlanNow, step: StepNow, starters: list[StepNow]) -> RunNow | None:
    """The run of its job that began since those began again; None for one that ended having read too early."""
    own = step.newest
    if own is None:
        return None
    since = max((one.run.started for one in starters if one.run is not None and one.run.started is not None),
                default=plan.requested)  # fmt: skip
    if own.started is not None and own.started + CLOCKS < since:
        return None
    return None if own.stale and not State(own.state).is_open else own


def _stands_in(step: StepNow, own: RunNow) -> EndStep | None:
    """What the run that its own scheduler started makes of the step; None while that goes on."""
    state = State(own.state)
    if state is State.SUCCEEDED:
        return EndStep(step, "verified", f"its own scheduler started it: {state} ({own.evidence})")
    if state.is_open or (state is State.UNKNOWN and own.ended is None):
        return None
    return EndStep(step, "failed", f"its own scheduler started it, and that run ended {state}")


def _waited(step: StepNow) -> EndStep | None:
    """A run that was running already when the plan was made, or starts by itself: it must end well."""
    if step.run is None:
        return None
    state = State(step.run.state)
    if state is State.SUCCEEDED and not step.run.stale:
        return EndStep(step, "verified", f"{state} ({step.run.evidence})")
    if state.is_open or (state is State.UNKNOWN and step.run.ended is None):
        return None
    return EndStep(step, "failed", f"ended {state}{' on stale data' if step.run.stale else ''}")


def by_other_means(plan: PlanNow, step: StepNow) -> str:
    """Why the step is not needed any more, in words; empty while it is needed. Since the plan was asked for, or since
    the person saw it in another state, its run came to what the step wants, after all that it waits for. Asked right
    before the step leaves, too: it may have waited for the run that made it needless."""
    run = step.run
    if run is None or run.ended is None or (run.ended <= plan.requested and step.found in ("", run.state)):
        return ""
    state = State(run.state)
    if step.verb == Verb.CANCEL:
        return "" if state.is_open or state is State.UNKNOWN else f"it has ended: {state} ({run.evidence})"
    if state is not State.SUCCEEDED or run.stale:
        return ""
    above = (one.run for one in plan.steps if one.place in step.after)
    read_before = any(
        one is not None and one.ended is not None and (run.started or run.ended) + CLOCKS < one.ended for one in above
    )
    return "" if read_before else f"good by other means: {state} ({run.evidence})"


def _stopped(plan: PlanNow, red: list[EndStep], states: Mapping[int, str]) -> str:
    further = (
        f"{still_held(plan)}; to go on: headway recovery {plan.id} --resume (what failed is asked anew), or --abort"
    )
    if red:
        return f"step {red[0].step.place}, {red[0].step.job}: {red[0].words.rstrip('.')}{further}"
    step = next(one for one in plan.steps if states[one.place] == "failed")
    return f"step {step.place}, {step.job}, failed{further}"


def _given_up(plan: PlanNow) -> list[EndStep]:
    held = stays_held(plan)
    lets_go = "; it stays held until its hold is over: headway release {0} lets it go"
    return [
        EndStep(step, "given_up", f"the plan was aborted{lets_go.format(step.job) if step.job in held else ''}")
        for step in plan.steps
        if step.state == "planned"
    ]
