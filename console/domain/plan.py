"""Plans: ordered steps across systems, as proposed, in execution, and as shown. Steps wait for those in `after`, so
that independent branches run in parallel."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from connectors.sdk.records import instant_key
from connectors.sdk.states import RED_STATES, STARTING, RunState, Verb, is_open
from console.domain.action import displayed_preview
from console.domain.history import EstimateBasis
from console.domain.ids import incident_name, utc_minute
from console.domain.incident import NEVER_RERUN
from console.domain.job import Safety
from console.domain.request import RequestKind
from console.domain.step_graph import StepGraph
from console.domain.stored import from_json
from console.domain.text import Text, joined, key_text, render

WAIT = "wait"
"""The verb of a step that sends nothing: its run is already running, or starts by itself, and must succeed before
others go on."""
HOLD_VERBS = (Verb.HOLD, Verb.RELEASE)
STEERING = {
    RequestKind.PAUSE_PLAN: (("running",), "paused", "paused"),
    RequestKind.RESUME_PLAN: (("paused", "stopped"), "running", "resumed"),
    RequestKind.ABORT_PLAN: (("running", "paused", "stopped"), "aborted", "aborted"),
}
"""The states in which a started plan allows the request, the state it leads to, and what is then said of the plan."""


RESUME = "headway plan resume"
"""The command that approves or continues a plan; its number follows."""
ABORT = "headway plan abort"


ENDED_BADLY = RED_STATES - {RunState.BLOCKED}


def is_bad_run(state: str, read_stale: bool) -> bool:
    """True if it has failed, or succeeded on stale data; a blocked one still runs by itself."""
    return state in ENDED_BADLY or (state == RunState.SUCCEEDED and read_stale)


class StepStatus(NamedTuple):
    """A step, as far as it decides whether its plan is outdated."""

    place: int
    verb: str
    after: tuple[int, ...]
    state: str
    is_bad: bool
    """True if its run has failed, or succeeded on stale data."""


AnyStep: TypeAlias = "PlanStepView | StepProgress | StepStatus"


def is_outdated(steps: Sequence[AnyStep]) -> bool:
    """True if a run that waits for steps still to be sent has failed or read stale data already: resuming the plan does
    not run it again."""
    waits = {step.place for step in steps if step.verb == WAIT and step.state == "planned" and step.is_bad}
    pending = {step.place for step in steps if step.verb not in (WAIT, *HOLD_VERBS) and step.state != "verified"}
    graph = StepGraph.of(steps)
    return any(not pending.isdisjoint(graph.before(place)) for place in waits)


def resume_commands(number: int, failed_waits: Iterable[str], outdated: str = "") -> list[str]:
    """Commands that continue a stopped plan: a job that it waited for and that failed is rerun first, as the plan only
    waits for it again. `outdated`: the incident of a plan that would not repair it any more; it is replaced."""
    if outdated:
        return [f"{ABORT} {number}", f"headway recover {outdated}"]
    return [*(f"headway rerun {shlex.quote(job)}" for job in dict.fromkeys(failed_waits)), f"{RESUME} {number}"]


class PlanRefused(Exception):
    """Why a plan cannot be changed or started; shown to the person."""


ON_TIME, LATE, NOT_BY_PLAN, NO_FINISH = "on time", "late", "not by this plan", "no estimate"
AT_RISK = "at risk"
"""Late more often than the service's risk allows, but not more often than not."""
FINISHES = (ON_TIME, AT_RISK, LATE, NOT_BY_PLAN, NO_FINISH)
StepKey: TypeAlias = tuple[int, str]
"""The id of a job, and its period or the verb of a hold or release: the same for a step in two proposals, whatever
its place."""


@dataclass(frozen=True, slots=True)
class StepPeriod:
    """The period that the run of a step works on."""

    key: str = ""
    """Empty for a hold or release."""
    name: str = ""
    """The partition or region, as its source names it; empty without one."""

    @property
    def text(self) -> Text:
        """ "2026-11-29 04:00 EU": its key, and its name where that is another text."""
        return joined(filter(None, (key_text(self.key), (self.name,) * (self.name not in ("", self.key)))), " ")


@dataclass(frozen=True, slots=True)
class SavedService:
    """A service day that steps help. It is the same for each of them."""

    service: str
    """Its name."""
    business_date: str
    deadline: datetime
    saved: bool | None
    text: Text = ()
    """ "act by 03:58 UTC", "its act-by 03:58 UTC has passed", "not by this plan: …"."""
    title: str = ""
    waits_for: str = ""
    """The job that it needs and this plan does not run: held or left out."""
    expected: datetime | None = None
    """Its usual finish in this plan, from the simulation; None if it was not simulated."""
    late: float | None = None
    """The probability that it is late in this plan; None if it was not simulated."""

    @property
    def shown_title(self) -> str:
        """Its title, or the service's name."""
        return self.title or self.service

    @property
    def day(self) -> tuple[str, str]:
        return self.service, self.business_date

    @property
    def label(self) -> str:
        if self.waits_for:
            return "unsaved"
        return "saves" if self.saved else "too late" if self.saved is False else "may save"

    @property
    def finish(self) -> str:
        """One of the labels of FINISHES."""
        if self.waits_for:
            return NOT_BY_PLAN
        if self.saved is None:
            return AT_RISK if self.late is not None else NO_FINISH
        return ON_TIME if self.saved else LATE


@dataclass(frozen=True, slots=True)
class DraftStep:
    """One step: an action on one run, once the steps in `after` are verified."""

    place: int
    """From 1, in the order shown."""
    verb: str
    job_id: int
    job: str
    system: str
    run_id: int | None
    """None for a period without a run."""
    period: StepPeriod
    state: str
    """Of the run, now."""
    why: Text
    """ "it ended failed"."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[int, ...] = ()
    wait_s: float = 0.0
    """Of a hold: seconds from the proposal until it is placed."""
    safety: str = Safety.ASK.value
    expected_s: float | None = None
    basis: EstimateBasis | None = None
    """Basis of `expected_s`; None if nothing runs."""
    saves: tuple[SavedService, ...] = ()
    preview: Mapping[str, Any] = field(default_factory=dict)
    """Preview of the call; empty if the scheduler was unreachable. It is previewed again before sending."""
    problem: str = ""
    """Why it has no preview."""
    first_tier: tuple[str, ...] = ()
    """Names of downstream services of tier 1."""
    cannot: str = ""
    """Why its system does not support this, and the fix."""

    @property
    def key(self) -> StepKey:
        return self.job_id, self.verb if self.verb in HOLD_VERBS else self.period.key

    @property
    def part(self) -> tuple[str, str]:
        """Its job and the partition or region, if that has a name: a run that another one replaces has the same."""
        return self.job, self.period.name

    @property
    def refusal(self) -> str:
        """Why it can never be sent in this form; empty if it can."""
        if self.cannot:
            return self.cannot
        return NEVER_RERUN if self.verb == Verb.RERUN and self.safety == Safety.NEVER else ""

    @property
    def refusal_now(self) -> str:
        """Why it cannot be sent now; a step that waits for others is previewed again after them."""
        return self.refusal or ("" if self.after else str(self.preview.get("refused") or ""))


HOLD_VALUE = "protects against stale data, not against lateness"
"""The use of a hold, which delays a start and brings none forward."""
AWAITS_APPROVAL = "awaits approval"
UNTIL_RESUMED = "nothing is sent until a person resumes it"
REQUESTED = f"{AWAITS_APPROVAL}: {UNTIL_RESUMED}"
"""Text of a plan that an assistant or the HTTP API proposed, before a person is notified of it."""
"""Before the commands in the text of a stopped plan."""
MCP, HTTP_API = "MCP", "HTTP API"
"""Origins of plans that send nothing until a person resumes them."""


def _origin(requested_from: str) -> str:
    """The origin of a request; a shared store records it as "10.0.0.7 (MCP)"."""
    return requested_from.rpartition(" (")[2].removesuffix(")")


def requester_text(requested_by: str, requested_from: str) -> str:
    """ "anna"; "assistant of anna" for what her assistant requested."""
    return f"assistant of {requested_by}" if _origin(requested_from) == MCP else requested_by


def may_await_approval(state: str, requested_from: str) -> bool:
    """Whether a plan of this state and origin awaits approval, unless one of its steps was sent."""
    return state == "paused" and _origin(requested_from) in (MCP, HTTP_API)


@dataclass(frozen=True, slots=True)
class ExcludedRun:
    """A run without a step, with the reason: good already, starts by its own schedule, left out by a person."""

    job: str
    run_id: int | None
    why: Text
    period: StepPeriod = field(default_factory=StepPeriod)
    """Empty where `why` names it, or several."""

    @property
    def part(self) -> tuple[str, str]:
        return self.job, self.period.name


@dataclass(frozen=True, slots=True)
class PlanDraft:
    """A proposed plan."""

    kind: str
    """"recovery", "backfill", "bulk"."""
    title: str
    incident_id: int | None
    steps: tuple[DraftStep, ...]
    excluded: tuple[ExcludedRun, ...] = ()
    notes: tuple[Text, ...] = ()
    abandoned: tuple[SavedService, ...] = ()
    """Service days that only steps left out by a person would have helped."""

    @property
    def days(self) -> tuple[SavedService, ...]:
        """The service days that the plan is for, the earliest deadline first."""
        saves = (*(save for step in self.steps for save in step.saves), *self.abandoned)
        return tuple(sorted({save.day: save for save in saves}.values(), key=lambda save: (save.deadline, save.day)))

    @property
    def unsaved(self) -> tuple[SavedService, ...]:
        """The service days that the plan does not save."""
        return tuple(day for day in self.days if day.saved is False)

    @property
    def first_tier(self) -> tuple[str, ...]:
        """Names of the services of tier 1 downstream of the steps that send something."""
        return tuple(dict.fromkeys(name for step in self.steps if step.verb != WAIT for name in step.first_tier))

    @property
    def displayed(self) -> PlanDraft:
        """The draft without the data for connectors."""
        return replace(self, steps=tuple(replace(step, preview=displayed_preview(step.preview)) for step in self.steps))

    def as_json(self) -> dict[str, Any]:
        return asdict(self, dict_factory=_with_instant_keys)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> PlanDraft:
        """The draft of a document. Raises ValueError."""
        return from_json(cls, data)


def _with_instant_keys(items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return {name: instant_key(value) if isinstance(value, datetime) else value for name, value in items}


_ACTION_STATE_TEXT = {
    "requested": "waits for the engine",
    "sending": "waits for its scheduler to answer",
    "sent": "waits for its scheduler's word on how it ended",
    "unknown": "its outcome is unknown; its scheduler is checked",
}


_BEGUN = (RunState.RUNNING, RunState.RETRYING)


def after_text(places: Sequence[int]) -> str:
    """ "after step 1", "after steps 1, 5"; empty for no step."""
    return f"after step{'s' * (len(places) > 1)} {', '.join(map(str, places))}" if places else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedStep:
    """One step of a started plan, with its action."""

    place: int
    verb: str
    job: str
    system: str
    run_id: int | None
    after: tuple[int, ...]
    wait_s: float
    due: datetime | None
    state: str
    """planned, requested, verified, failed, abandoned."""
    action_key: str | None
    action_state: str
    """Empty without one."""
    text: str = ""
    """How it ended, or why it waits."""
    others: str = ""
    """Other actions in flight on its run: "mara rerun"; empty if none."""
    held_by: str = ""
    """For a hold: holder and end of another hold of its job; empty if none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStepView(StartedStep):
    """One step of a started plan, as people see it."""

    job_id: int | None
    period: StepPeriod
    safety: str
    expected_s: float | None
    started: datetime | None
    ended: datetime | None
    run_state: str = ""
    """Of its run now; empty without one."""
    is_judged: bool = False
    """True if the last evaluation has seen the present state of its run."""
    saves_by: datetime | None = None
    """When the last service that it saves was expected at the plan's start."""
    saves: tuple[tuple[str, str], ...] = ()
    """Service and business date of the service days that the plan was shown to save with it."""
    may_save: tuple[tuple[str, str], ...] = ()
    """Those that it was shown to save perhaps."""
    read_stale: bool = False
    """True if its run read stale data."""
    error: str = ""
    """The first line of the error of its run, else its exit code, if the step failed."""

    @property
    def is_bad(self) -> bool:
        """True if its run has failed, or succeeded on stale data."""
        return is_bad_run(self.run_state, self.read_stale)

    @property
    def run_error(self) -> str:
        """The error of its run; empty if its action did not reach the run, which the text then says."""
        return self.error if self.action_state in ("", "failed") else ""

    @property
    def needs_repair(self) -> bool:
        """True if it failed, and its run is not good or running again."""
        is_good = self.run_state == RunState.SUCCEEDED and not self.read_stale
        return self.state == "failed" and not is_open(self.run_state) and not is_good

    @property
    def may_still_start(self) -> bool:
        """True if its rerun or start was sent, and its run is not seen to run."""
        is_sent = self.state == "requested" and self.action_state in ("sending", "sent", "unknown")
        return is_sent and self.verb in STARTING and not is_open(self.run_state)

    @property
    def is_needless(self) -> bool:
        """True for a hold or release that was not needed: nothing was sent, `text` says why."""
        return self.verb in HOLD_VERBS and self.state == "verified" and self.action_state != "verified"

    @property
    def status(self) -> str:
        """Its state; while its action is in flight, that of the action; "not needed" for a needless one."""
        if self.is_needless:
            return "not needed"
        return (self.action_state or self.state) if self.state == "requested" else self.state


def repeated_jobs(steps: Iterable[DraftStep | PlanStepView | StepProgress]) -> frozenset[str]:
    """The jobs that several of these steps run, each for another period."""
    times = Counter(job for job, key in {(step.job, step.period.key) for step in steps} if key)
    return frozenset(job for job, many in times.items() if many > 1)


def step_name(step: DraftStep | PlanStepView | StepProgress | ExcludedRun, repeated: Collection[str]) -> Text:
    """ "dwh/load 2026-11-29 04:00 EU": its job, with its period if that has a name or the job is `repeated`."""
    is_one_of_several = bool(step.period.name) or step.job in repeated
    return (step.job, " ", *step.period.text) if step.period.key and is_one_of_several else (step.job,)


def numbered_step(step: DraftStep | StepProgress, steps: Iterable[DraftStep | StepProgress]) -> str:
    """ "step 2, dwh/load 2026-11-29 04:00Z EU": one of these steps in a message."""
    return f"step {step.place}, {render(step_name(step, repeated_jobs(steps)), utc_minute)}"


@dataclass(frozen=True, slots=True)
class StartedPlan:
    """A plan that was started, without its steps."""

    id: int
    kind: str
    title: str
    incident_id: int | None
    state: str
    """running, paused, stopped, done, aborted."""
    requested_by: str
    requested: datetime
    at_once: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView(StartedPlan):
    """A started plan, as people see it."""

    key: str
    ended: datetime | None
    why: str
    text: str
    """Why it is in this state."""
    steps: tuple[PlanStepView, ...]
    requested_from: str = ""
    """The host of the requester, "MCP" or "HTTP API"."""
    standstill: str = ""
    """Why the running plan cannot go on now: "etl-hosts/db07 is unreachable"; empty if it can."""
    go_on: str = ""
    """The commands that continue it, while it is stopped."""
    awaits_approval: bool = field(init=False, default=False)
    """True for a plan that an assistant or the HTTP API proposed, while it is paused and no step was sent: also if a
    person resumed it and paused it again before its first step."""

    def __post_init__(self) -> None:
        is_proposed = may_await_approval(self.state, self.requested_from)
        awaits_approval = is_proposed and all(step.state == "planned" for step in self.steps)
        object.__setattr__(self, "awaits_approval", awaits_approval)

    @property
    def requester(self) -> str:
        return requester_text(self.requested_by, self.requested_from)

    @property
    def status(self) -> str:
        """The state as shown: of a paused plan whether it awaits approval."""
        return AWAITS_APPROVAL if self.awaits_approval else self.state

    @property
    def predicate(self) -> str:
        """ "is running", "awaits approval"."""
        return AWAITS_APPROVAL if self.awaits_approval else f"is {self.state}"

    @property
    def done(self) -> int:
        """Number of verified steps."""
        return sum(step.state == "verified" for step in self.steps)

    @property
    def failed_step(self) -> PlanStepView | None:
        """The first step that failed; None if none has."""
        return next((step for step in self.steps if step.state == "failed"), None)

    @property
    def status_text(self) -> str:
        """Its text, and how to go on while it is stopped."""
        return with_go_on(self.text, self.go_on if self.state == "stopped" else "")

    @property
    def stop_reason(self) -> str:
        """ "step 2, dwh/load: No space left on device": its text with the error."""
        step = self.failed_step
        if step is None or not step.run_error:
            return self.text
        return self.text.replace(f": {step.text.rstrip('.')}", f": {step.error}", 1)

    @property
    def failed_waits(self) -> list[str]:
        """Jobs that it waited for, that failed and that are not good or running again."""
        return list(dict.fromkeys(step.job for step in self.steps if step.verb == WAIT and step.needs_repair))

    @property
    def is_outdated(self) -> bool:
        """True if resuming it would not repair its services."""
        return is_outdated(self.steps)

    def saves(self, service: str, business_date: str) -> bool:
        """True for a service day that the plan was shown to save when it was started, not only perhaps."""
        is_saved = any((service, business_date) in step.saves for step in self.steps)
        return is_saved and not self.may_save(service, business_date)

    def may_save(self, service: str, business_date: str) -> bool:
        """True for a service day that the plan was shown to save perhaps when it was started."""
        return any((service, business_date) in step.may_save for step in self.steps)

    @property
    def planned_end(self) -> datetime | None:
        """When the last of its services was expected at its start; None once one of its runs has ended, or has begun
        and the forecasts include it."""
        sent = [step for step in self.steps if step.verb not in (WAIT, *HOLD_VERBS)]
        is_included = (step.is_judged and step.run_state in _BEGUN for step in sent)
        if any(is_included) or any(step.state not in ("planned", "requested") for step in sent):
            return None
        return max((step.saves_by for step in self.steps if step.saves_by is not None), default=None)

    def waits_for(self, step: PlanStepView) -> str:
        """Reason why the next step has not started; empty if there is none or earlier steps come first."""
        if step.state == "requested":
            return step.text or _ACTION_STATE_TEXT.get(step.action_state, "")
        before = [peer for peer in self.steps if peer.place in step.after and peer.state != "verified"]
        if before or step.state != "planned" or self.state != "running":
            return ""
        if step.run_state == RunState.PLANNED and step.verb in (WAIT, Verb.RERUN):
            return "waits for its start"
        if step.verb == WAIT:
            return f"waits, {step.run_state} now" if step.run_state else "waits for its run"
        if step.run_state == RunState.RUNNING:
            return "runs already, waits for its end"
        if step.others:
            return f"waits for {step.others}, an action in flight on its run"
        if step.verb in HOLD_VERBS:
            return f"it is held already by {step.held_by}" if step.held_by else ""
        requested = (peer for peer in self.steps if peer.state == "requested" and peer.system == step.system)
        busy = [peer for peer in requested if peer.verb not in HOLD_VERBS]
        if len(busy) >= self.at_once:
            return f"waits for its turn at {step.system}, after step {', '.join(str(peer.place) for peer in busy)}"
        return ""


def unpolled_warning(plan: PlanView, paused: Collection[str]) -> str:
    """Systems of its open steps that are not polled, their effect on a resumed plan and the fix; empty if none."""
    steps = (step for step in plan.steps if step.state not in ("verified", "abandoned"))
    systems = dict.fromkeys(step.system for step in steps if step.system in paused)
    if not systems:
        return ""
    fixes = "; ".join(f"headway system pause {system} --off" for system in systems)
    return f"{', '.join(systems)} not polled: no step there can be verified until polling resumes. Fix: {fixes}"


@dataclass(frozen=True, slots=True)
class StepRun:
    state: str
    evidence: str
    stale: bool
    started: datetime | None
    ended: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress(StartedStep):
    """One step in execution."""

    id: int
    action_text: str
    run: StepRun | None
    period: StepPeriod = field(default_factory=StepPeriod)
    started_by: tuple[int, ...] = ()
    """Places of the steps whose job triggers this one in its own scheduler."""
    newest: StepRun | None = None
    """The job's latest run beside the step's own; only with `started_by`."""
    polled: datetime | None = None
    """End of the last successful poll of its target."""
    poll_every_s: float = 15.0
    state_at_start: str = ""
    """The state of its run when the plan started; empty if not recorded."""
    hold_state: str = ""
    """Empty without a hold by its action."""
    hold_reason: str = ""
    job_id: int = 0
    start: datetime | None = None
    """Of a hold: the start that it prevents."""
    is_paused: bool = False
    """For a hold: its source reports the job as paused."""

    @property
    def is_bad(self) -> bool:
        """True if its run has failed, or succeeded on stale data."""
        return self.run is not None and is_bad_run(self.run.state, self.run.stale)


@dataclass(frozen=True, slots=True)
class PlanProgress(StartedPlan):
    """A plan in execution."""

    steps: tuple[StepProgress, ...]

    @property
    def outdated(self) -> str:
        """Its incident, if resuming it would not repair that; else empty."""
        return incident_name(self.incident_id) if self.incident_id is not None and is_outdated(self.steps) else ""


@dataclass(frozen=True, slots=True)
class RequestStep:
    step: StepProgress


@dataclass(frozen=True, slots=True)
class BeginWait:
    """The step's wait begins and ends at `until`."""

    step: StepProgress
    until: datetime
    text: str = ""


@dataclass(frozen=True, slots=True)
class EndStep:
    """state: verified, failed, abandoned."""

    step: StepProgress
    state: str
    text: str


def with_go_on(text: str, go_on: str) -> str:
    """Why a plan stopped, with the commands that continue it."""
    return f"{text}; to go on: {go_on}" if go_on else text


@dataclass(frozen=True, slots=True)
class ChangePlanState:
    """state: stopped, done."""

    state: str
    text: str
    go_on: str = ""
    """The commands that continue a stopped one."""


PlanMove = RequestStep | BeginWait | EndStep | ChangePlanState


def parse_places(stored: str) -> tuple[int, ...]:
    """Places that a step waits for, from its row. Raises ValueError, or RecursionError, for anything else."""
    places = json.loads(stored)
    if not isinstance(places, list) or not all(isinstance(place, int) for place in places):
        raise ValueError("the steps before a step are not a list of numbers")
    return tuple(places)
