"""Plans that were started: as screens read them, as they are carried out, and what happens to them next."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from connectors.words import State, Verb
from console.model.plans import HOLDING, WAIT

OVER = ("verified", "left_out")
"""States of a step after which others go on."""
_ASKED = {
    "requested": "waits for the engine to take it",
    "sending": "waits for its scheduler to answer",
    "sent": "waits for its scheduler's word on how it ended",
    "unknown": "its scheduler's answer was lost; it is looked up",
}


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of a plan that was started."""

    place: int
    verb: str
    job: str
    job_id: int | None
    run_id: int | None
    period_key: str
    after: tuple[int, ...]
    wait_s: float
    due: datetime | None
    safety: str
    expected_s: float | None
    state: str
    """planned, asked, verified, failed, left_out, given_up."""
    action_key: str | None
    action_state: str
    """Of that action; empty without one."""
    words: str
    started: datetime | None
    ended: datetime | None
    system: str = ""
    run_state: str = ""
    """Of its run now; empty without one."""
    others: str = ""
    """Who else has an action on its run under way, before it was asked: "mara rerun"; empty for nobody."""
    held_by: str = ""
    """Of a hold that was not asked: who holds the job already, and until when; empty for nobody."""

    @property
    def stands(self) -> str:
        """Its state; while its action is under way, that of the action."""
        return (self.action_state or self.state) if self.state == "asked" else self.state


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan that was started, and how far it has come."""

    id: int
    key: str
    kind: str
    title: str
    incident_id: int | None
    state: str
    """running, paused, stopped, done, aborted."""
    requested_by: str
    requested: datetime
    ended: datetime | None
    why: str
    words: str
    at_once: int
    steps: tuple[StepView, ...]

    @property
    def done(self) -> int:
        """Steps that are over, well or left out."""
        return sum(step.state in OVER for step in self.steps)

    def waits_for(self, step: StepView) -> str:
        """What a step whose turn it is waits for, in words; empty where nothing keeps it, and while the plan does not
        go on or steps before it are not over."""
        if step.state == "asked":
            return step.words or _ASKED.get(step.action_state, "")
        before = [one for one in self.steps if one.place in step.after and one.state not in OVER]
        if before or step.state != "planned" or self.state != "running":
            return ""
        if step.verb == WAIT:
            return f"waits until it is good: it is {step.run_state}" if step.run_state else "waits until it has run"
        if step.run_state == State.PLANNED and step.verb == Verb.RERUN:
            return "waits for its own start"
        if step.run_state == State.RUNNING:
            return "its run goes on already: waits for its end"
        if step.others:
            return f"waits for what was asked about its run already: {step.others}"
        if step.verb in HOLDING:
            return f"it is held already by {step.held_by}" if step.held_by else ""
        mine = (one for one in self.steps if one.state == "asked" and one.system == step.system)
        busy = [one for one in mine if one.verb not in HOLDING]
        if len(busy) >= self.at_once:
            return f"waits for its turn at {step.system}, after step {', '.join(str(one.place) for one in busy)}"
        return ""


@dataclass(frozen=True, slots=True)
class RunNow:
    """A step's run as its source tells it now."""

    state: str
    evidence: str
    stale: bool
    started: datetime | None
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class StepNow:
    """One step as it is carried out."""

    id: int
    place: int
    verb: str
    job: str
    system: str
    run_id: int | None
    after: tuple[int, ...]
    wait_s: float
    due: datetime | None
    state: str
    action_key: str | None
    action_state: str
    action_words: str
    run: RunNow | None
    others: str
    """Who else has an action on that run under way, in words; empty for nobody."""
    started_by: tuple[int, ...] = ()
    """Places of the steps whose job its own scheduler takes as the sign to start this one's."""
    newest: RunNow | None = None
    """Of the same job the run that began last, beside the step's own; looked for where `started_by` has a place."""
    polled: datetime | None = None
    """End of the last poll of its target that succeeded."""
    poll_every_s: float = 15.0
    found: str = ""
    """The state of its run that was shown to whoever started the plan; empty where nobody noted it."""
    hold_state: str = ""
    """Of the hold that its action placed; empty without one."""
    job_id: int = 0
    start: datetime | None = None
    """Of a hold: the start that it keeps back."""
    held_by: str = ""
    """Of a hold: who holds the job beside it, and until when; empty for nobody."""
    is_paused: bool = False
    """Of a hold: its source tells the job as paused."""


@dataclass(frozen=True, slots=True)
class PlanNow:
    """A plan as it is carried out."""

    id: int
    kind: str
    title: str
    incident_id: int | None
    state: str
    requested_by: str
    requested: datetime
    at_once: int
    steps: tuple[StepNow, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Make the step's action."""

    step: StepNow


@dataclass(frozen=True, slots=True)
class Wait:
    """The step's wait begins; it is over at `until`."""

    step: StepNow
    until: datetime
    words: str = ""


@dataclass(frozen=True, slots=True)
class EndStep:
    """The step is over: verified, failed, given_up."""

    step: StepNow
    state: str
    words: str


@dataclass(frozen=True, slots=True)
class MovePlan:
    """The plan comes into another state: stopped, done."""

    state: str
    words: str


Move = Ask | Wait | EndStep | MovePlan


def places_of(stored: str) -> tuple[int, ...]:
    """Places of the steps that a step waits for, from its row. Raises ValueError, or RecursionError, for what no
    program of ours wrote."""
    places = json.loads(stored)
    if not isinstance(places, list) or not all(isinstance(one, int) for one in places):
        raise ValueError("what a step waits for is no list of steps")
    return tuple(places)
