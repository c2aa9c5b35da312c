"""The verdict of an incident: its step, until when, what follows it, the services it saves, and the outlook. It has no
words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from connectors.sdk.states import RunState, is_open
from console.control.services.order import by_urgency, is_savable
from console.control.snapshot.failures import identity_name
from console.domain.failure import RepairRecord
from console.domain.finding import TOO_LONG_FACTOR, TOO_LONG_FLOOR
from console.domain.incident import (
    AffectedServiceView,
    IncidentRow,
    IncidentView,
    MemberView,
    RepairStep,
    blocked_by,
    closing_run,
    has_recovered,
    open_steps,
    sort_by_impact,
)
from console.domain.incident_record import CauseKind
from console.domain.plan import PlanView
from console.domain.reason import JobHeld, Reason, Repetition, ScheduleChanged, stale_starts
from console.domain.service import ENDANGERED, LOST, RepairCase, ServiceEstimate, ServiceView, Timeliness
from console.domain.text import Text

_HOST = re.compile(r"[\w.-]+")


# -- restarts ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Rerun:
    """The rerun of a run: when it started, when it was sent, and the key of its action while its outcome is unknown."""

    started: datetime | None
    sent: datetime | None = None
    unknown: str = ""
    policy: str = ""
    """The policy that requested it; empty for a person."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """The restarts that are left, and the releases of held jobs that follow them."""

    jobs: tuple[RepairStep, ...]
    held: tuple[RepairStep, ...] = ()

    @property
    def act_by(self) -> datetime | None:
        """The earliest of the restarts."""
        return min((step.act_by for step in self.jobs if step.act_by is not None), default=None)

    @property
    def needs_sending(self) -> bool:
        """True if Headway can send one of the restarts."""
        return any(step.needs_sending for step in self.jobs)


def restart_instruction(steps: Iterable[RepairStep], held: Iterable[RepairStep] = ()) -> Instruction | None:
    """The one instruction for all restarts that a service day needs, for notifications, commands and the console;
    without those that run already. None if none is left. `held`: the releases that it needs as well."""
    waiting = tuple(step for step in steps if not step.is_running)
    return Instruction(waiting, tuple(held)) if waiting else None


def releases(services: Iterable[Sequence[Reason]]) -> list[RepairStep]:
    """The jobs that a person holds and that make services with these reasons late, each once."""
    held = (hold.job for reasons in services for hold in reasons if isinstance(hold, JobHeld) and hold.is_of_person)
    return [RepairStep(job, can_rerun=True, is_held=True) for job in dict.fromkeys(held)]


# -- what to do, or what is done --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Step:
    """A step to take, one in progress, or the reason why there is none."""


@dataclass(frozen=True, slots=True)
class Restart(Step):
    instruction: Instruction
    awaits_upstream: bool = False
    """True if it is to be sent once its upstream has finished, instead of now."""
    read_stale: Text = ()
    """The reason of a root that succeeded on stale data: "it read data before load finished"."""
    record: RepairRecord | None = None
    """The results of the best repair of its root's failure, which this is; None without one that was sent."""


@dataclass(frozen=True, slots=True)
class Restore(Step):
    """A target that does not answer."""

    target: str


@dataclass(frozen=True, slots=True)
class FixCause(Step):
    """A cause that many runs have in common, or the cause of a service before its incident is read."""

    name: str
    """ "db07:5432", "user etl"; of a job or target its full name."""


@dataclass(frozen=True, slots=True)
class StartOffered(Step):
    """A start that the changed schedule has later, and that can be sent now."""

    job: str


@dataclass(frozen=True, slots=True)
class Unfinished(Step):
    """A job whose end is awaited, without a failure."""

    job: str
    has_started: bool


@dataclass(frozen=True, slots=True)
class ResumePlan(Step):
    """A job that a paused or stopped plan holds."""

    job: str
    plan: int


@dataclass(frozen=True, slots=True)
class Queued(Step):
    job: str
    state: str


@dataclass(frozen=True, slots=True)
class StillRunning(Step):
    """The first run, which takes too long."""

    job: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Rerunning(Step):
    job: str
    rerun: Rerun
    usual_s: float | None = None
    """The usual duration of its job."""


@dataclass(frozen=True, slots=True)
class Overrunning(Step):
    """A run that takes longer than usual, the first one or a rerun: a person looks whether it hangs."""

    job: str
    since: datetime
    usual_s: float
    """The usual duration of its job."""
    can_rerun: bool


@dataclass(frozen=True, slots=True)
class RepairByPolicy(Step):
    """The rerun that a policy sends at `at`, unless a person stops it."""

    job: str
    policy: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ClosesItself(Step):
    """The next start closes the incident."""

    job: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Blocked(Step):
    """No step can be sent now."""

    why: Reason


@dataclass(frozen=True, slots=True)
class Closed(Step):
    at: datetime
    why: Reason
    has_recovered: bool


@dataclass(frozen=True, slots=True)
class PlanUnderWay(Step):
    """A running plan; with `waits_for` one that does not go on."""

    plan: int
    done: int
    steps: int
    waits_for: str = ""
    end: datetime | None = None
    """When the last of its services is done, as far as that is estimated."""
    may_save: tuple[str, ...] = ()
    """Titles of the services that it may save."""


@dataclass(frozen=True, slots=True)
class ContinuePlan(Step):
    """A paused or stopped plan, with the repairs that come before it is resumed; an outdated one is aborted."""

    plan: int
    state: str
    is_outdated: bool
    again: Instruction | None = None
    """The restarts that an outdated one leaves."""
    restarts: tuple[str, ...] = ()
    """Failed jobs that it waits for."""
    broken: str = ""
    """The job of its first broken step, if it waits for none."""
    held: tuple[RepairStep, ...] = ()


JobStep = Unfinished | StartOffered | ResumePlan | StillRunning | Overrunning | Rerunning
"""The state of the job of an incident."""


# -- until when, and for what -----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Until:
    """Until when a step is of use."""


@dataclass(frozen=True, slots=True)
class ActBy(Until):
    at: datetime


@dataclass(frozen=True, slots=True)
class GreenBy(Until):
    """The run in progress must have succeeded by then."""

    at: datetime


@dataclass(frozen=True, slots=True)
class NextStart(Until):
    """The next start on stale data."""

    at: datetime
    job: str
    is_last: bool = False
    """True if it is the last start in time of a job that starts before it, too."""


@dataclass(frozen=True, slots=True)
class Now(Until):
    passed: datetime | None = None
    """The act-by that has passed, while a restart may still deliver in time."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """The services in the worst state; without a `timeliness` those that are due."""

    title: str
    """The service with the earliest deadline."""
    deadline: datetime
    further: int = 0
    """How many more there are."""
    timeliness: Timeliness | None = None
    expected: datetime | None = None
    repair_case: RepairCase | None = None

    @property
    def is_late(self) -> bool:
        return self.timeliness in LOST


@dataclass(frozen=True, slots=True)
class LaterRestart:
    """The job that starts by its clock then, and must be restarted too unless its upstream has succeeded by then."""

    job: str
    at: datetime | None = None
    """None once that has passed."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan that awaits approval."""

    plan: int
    requester: str


@dataclass(frozen=True, slots=True)
class Verdict:
    step: Step
    until: Until | None = None
    outlook: Outlook | None = None
    saves: tuple[str, ...] = ()
    """Titles of the services that the step still saves."""
    then: LaterRestart | None = None
    proposal: Proposal | None = None
    is_frozen: bool = False
    """True if a freeze stops the step."""
    affects_services: bool = True
    repeated: Repetition | None = None
    """The repetition of the job to restart."""

    @property
    def needs_sending(self) -> bool:
        """True if its step is a restart, a start or a resume, which a freeze stops."""
        match self.step:
            case Restart(instruction):
                return instruction.needs_sending
            case ContinuePlan(is_outdated=is_outdated, again=again):
                return not is_outdated or again is not None
        return isinstance(self.step, StartOffered | ResumePlan)


LEADERS = (Restart, Restore, FixCause, StartOffered, Unfinished)
"""Steps for services that are lost already: these come first then."""


# -- which one --------------------------------------------------------------------------------------------------------
def urgent_service(services: Sequence[ServiceView], now: datetime) -> ServiceView | None:
    """The endangered service to act on first, in the order of all lists. Also one that got stale data: only a rerun
    delivers it."""
    return next(iter(by_urgency((view for view in services if view.is_endangered and not view.delivered), now)), None)


def urgent_incident(
    services: Sequence[ServiceView], incidents: Sequence[IncidentRow], plans: Sequence[PlanView], now: datetime
) -> int | None:
    """The open incident to act on first: that of the urgent service, and while no service is endangered the most
    harmful one, else that of a running plan, which may go on after its incident is resolved. None if no incident
    explains the urgent service. `plans`: those that have not ended."""
    urgent = urgent_service(services, now)
    if urgent is not None:
        return urgent.incident_id
    still_open = (incident.id for incident in sort_by_impact(incidents) if incident.closed is None)
    planned = (plan.incident_id for plan in plans if plan.incident_id is not None and plan.state == "running")
    return next(still_open, next(planned, None))


PRECEDENCE: tuple[type[Step], ...] = (
    PlanUnderWay, ContinuePlan, Closed, ResumePlan, StartOffered, Unfinished, FixCause, Queued, StillRunning, Rerunning,
    Overrunning, Restore, ClosesItself, RepairByPolicy, Restart, Blocked,
)  # fmt: skip
"""The order of the steps that are possible at the same time."""


def verdict_of(
    possible: Iterable[Step],
    services: Sequence[ServiceEstimate],
    act_by: datetime | None,
    now: datetime,
    *,
    is_frozen: bool,
) -> Verdict:
    """The one verdict, on screens and in notifications: the first of the possible steps by `PRECEDENCE`, until when it
    is of use, and the services in danger. `act_by`: of a step that is not a restart with one of its own; `is_frozen`:
    nothing is sent before a thaw."""
    step = min(possible, key=lambda step: PRECEDENCE.index(type(step)))
    lost = _outlook(_lost_services(services, now))
    match step:
        case Closed():
            verdict = Verdict(step)
        case PlanUnderWay() | Blocked() | ClosesItself():
            verdict = Verdict(step, outlook=lost)
        case RepairByPolicy():
            verdict = Verdict(step, outlook=lost, affects_services=bool(services))
        case ContinuePlan():
            verdict = _continued(step, services, act_by, lost, now)
        case ResumePlan():
            verdict = Verdict(step, outlook=_outlook(unsafe_services(services)))
        case StartOffered() | Unfinished():
            verdict = Verdict(step, outlook=_outlook(services))
        case Queued() | StillRunning() | Rerunning() | Overrunning():
            verdict = _awaited(step, services, now)
        case Restart(instruction):
            verdict = step_verdict(step, instruction.act_by or act_by, services, now)
        case _:
            verdict = step_verdict(step, act_by, services, now)
    return replace(verdict, is_frozen=is_frozen and verdict.needs_sending)


def incident_verdict(view: IncidentView, plans: Sequence[PlanView], now: datetime, *, is_frozen: bool) -> Verdict:
    """A plan in progress, a rerun in progress, the next step, or why there is nothing to do; with it a plan that awaits
    approval. `is_frozen`: nothing is sent before a thaw."""
    started = [plan for plan in plans if not plan.awaits_approval]
    steps = _possible_steps(view, started, now)
    verdict = verdict_of(steps, view.services, view.row.act_by, now, is_frozen=is_frozen)
    saves, repeated = verdict.saves, None
    if isinstance(verdict.step, PlanUnderWay):
        saves = _titles(services_in_time(started[0], view)[0])
    elif view.unreachable and isinstance(verdict.step, Restore | Restart):
        saves = _saved_titles(view.services, now, with_running=True) if saves else ()
    elif isinstance(verdict.step, Restart) and view.repeated is not None:
        repeated = view.repeated.as_of(now)
    awaits = next((plan for plan in plans if plan.awaits_approval and view.row.closed is None), None)
    return replace(
        verdict,
        saves=saves,
        repeated=repeated if repeated is not None and repeated.predicate else None,
        then=_later_restart(view, now) if verdict.needs_sending and not plans else None,
        proposal=Proposal(awaits.id, awaits.requester) if awaits is not None else None,
    )


def _later_restart(view: IncidentView, now: datetime) -> LaterRestart | None:
    """Of the service with the earliest act-by that may still be in time: its first job that starts on stale data; once
    a job has read stale data, that one."""
    timed = ((service.act_by, service) for service in view.services if service.act_by is not None)
    open_times = [(act_by, service) for act_by, service in timed if act_by > now or is_savable(service, now)]
    _, service = min(open_times, key=lambda timed: timed[0], default=(now, None))
    start = next(iter(stale_starts(service.reasons if service is not None else ())), None)
    if start is None:
        return None
    if start.at > now:
        steps = (step for step in open_steps(view) if step.role == "stale" and step.repair.needs_sending)
        stale = next((job_label(step.job) for step in steps), "")
        if stale and stale not in (job_label(start.job), job_label(view.row.root_job)):
            return LaterRestart(stale)
    return LaterRestart(job_label(start.job), start.at if start.at > now else None)


def _possible_steps(view: IncidentView, plans: Sequence[PlanView], now: datetime) -> Iterator[Step]:
    """The steps that its runs, its target and its plan allow."""
    if plans and (view.row.closed is None or plans[0].state == "running"):
        yield _plan_step(plans[0], view)
    if view.row.closed is not None:
        yield Closed(view.row.closed, blocked_by(view), has_recovered(view))
        return
    root = next((member for member in view.members if member.role == "root"), None)
    if root is not None and root.state == RunState.HELD and view.holding_plan is not None:
        yield ResumePlan(root.job, view.holding_plan)
    steps = open_steps(view)
    if view.row.cause == CauseKind.UNDELIVERED and root is not None and not steps:
        offered = offered_job(reason for service in view.services for reason in service.reasons)
        yield StartOffered(offered) if offered else Unfinished(root.job, root.started is not None)
    if root is not None and is_open(root.state):
        yield _running_step(root, view, now)
        return
    if view.unreachable:
        yield _restoration(view, steps, now)
        return
    if not steps:
        yield Blocked(blocked_by(view))
        return
    if (last := closing_run(view)) is not None and last.period is not None:
        yield ClosesItself(last.job, last.period)
        return
    held = _releases(view)
    if root is None and view.row.cause == CauseKind.SHARED:
        steps = _needed_steps(view, steps)
        repeated = [step.repair.is_running for step in steps]
        if not (all(repeated) or held or any(step.awaits_approval for step in steps)):
            yield FixCause(identity_name(view.row.root_job))
    instruction = restart_instruction(view.joint_restarts or [steps[0].repair], held)
    if instruction is None:
        yield _rerunning(steps[0], view, now)
        return
    if view.row.policy and view.row.policy_at is not None and not steps[0].awaits_approval:
        yield RepairByPolicy(steps[0].job, view.row.policy, view.row.policy_at)
    restart = Restart(instruction)
    if not view.joint_restarts and steps[0].role == "root":
        if view.memory is not None and instruction.needs_sending:
            restart = replace(restart, record=view.memory.best_sent)
        if steps[0].state == RunState.SUCCEEDED:  # it read what was not finished
            awaits = any(member.present_role in ("awaited", "rerun") for member in view.members)
            restart = replace(restart, awaits_upstream=awaits, read_stale=view.row.reason)
    yield restart


def _needed_steps(view: IncidentView, steps: list[MemberView]) -> list[MemberView]:
    """The steps that the services wait for; all of them where no service waits for one."""
    pending = (service for service in view.services if service.delivered is None)
    jobs = {estimate.get("job") for service in pending for estimate in service.estimates}
    return [step for step in steps if step.job in jobs] or steps


def _restoration(view: IncidentView, steps: Sequence[MemberView], now: datetime) -> Step:
    """The restoration of the target; behind it the starts that it missed and that the services wait for, of jobs that
    do not start again by the act-by."""
    act_by = view.row.act_by
    again = {
        run.job
        for run in view.members
        if run.state == RunState.PLANNED
        and run.period is not None
        and act_by is not None
        and now < run.period <= act_by
    }
    needed = _needed_steps(view, [step for step in steps if step.target == view.unreachable])
    missed = [step for step in needed if step.state == RunState.MISSED and step.job not in again]
    starts = (replace(step.repair, unreachable=view.unreachable) for step in missed)
    instruction = restart_instruction(starts) if view.services else None
    return Restart(instruction) if instruction is not None else Restore(view.unreachable)


def _rerunning(step: MemberView, view: IncidentView, now: datetime) -> Step:
    policy = view.row.policy if step.role == "root" else ""
    rerun, usual_s = Rerun(step.rerun_started, step.rerun_sent, step.unknown_rerun, policy), _usual_s(step, view)
    return run_in_progress(step.job, rerun, usual_s, now, is_first=False, can_rerun=step.can_rerun)


def step_verdict(step: Step, act_by: datetime | None, services: Sequence[ServiceEstimate], now: datetime) -> Verdict:
    """The step by its act-by, with the services that are late all the same; after it, or without one, now or before the
    next start on stale data."""
    late = _lost_services(services, now)
    passed = [service.act_by for service in services if service.act_by is not None and service.act_by <= now
              and is_savable(service, now)]  # fmt: skip
    act_by = min(passed, default=act_by)
    outlook = _outlook(late)
    if act_by is not None and act_by > now:
        return Verdict(step, ActBy(act_by), outlook, _saved_titles(services, now))
    if late and not passed:
        return Verdict(step, Now(), outlook)
    if act_by is not None:
        return Verdict(step, Now(act_by), outlook, _saved_titles(services, now))
    if unsafe := unsafe_services(services):
        starts = (reason for service in unsafe if service.act_by is None for reason in service.reasons)
        awaits_upstream = isinstance(step, Restart) and step.awaits_upstream
        return Verdict(step, (None if awaits_upstream else next_start(starts, now)) or Now(), _due(unsafe))
    return Verdict(step, affects_services=bool(services))


def next_start(reasons: Iterable[Reason], now: datetime) -> NextStart | None:
    """The earliest start on stale data that is ahead; None without one."""
    ahead = (start for start in stale_starts(reasons) if start.at > now)
    start = min(ahead, key=lambda start: (start.at, start.job), default=None)
    return NextStart(start.at, start.job, start.is_last) if start is not None else None


def _outlook(services: Sequence[ServiceEstimate]) -> Outlook | None:
    """The services in the worst state; None without one."""
    for timeliness in _WORST_FIRST:
        if same := [service for service in services if service.timeliness == timeliness]:
            first = min(same, key=lambda service: service.deadline)
            return replace(_due(same), timeliness=timeliness, expected=first.expected, repair_case=first.repair_case)
    return None


def _due(services: Sequence[ServiceEstimate]) -> Outlook:
    first = min(services, key=lambda service: service.deadline)
    return Outlook(first.title, first.deadline, len(services) - 1)


def planned_end(plan: PlanView, view: IncidentView) -> datetime | None:
    """When the last of its services is done while the plan runs: while one of them waits for a repair the end that was
    shown at its start, until the forecasts include the first run of the plan; None without an estimate."""
    if plan.state != "running" or plan.standstill:
        return None
    planned = plan.planned_end if any(service.repair_case is not None for service in view.services) else None
    return planned or max((service.expected for service in view.services if service.expected is not None), default=None)


def _plan_step(plan: PlanView, view: IncidentView) -> PlanUnderWay | ContinuePlan:
    """Its progress, end and services while it runs; of a paused or stopped one the fix."""
    if plan.standstill:
        return PlanUnderWay(plan.id, plan.done, len(plan.steps), plan.standstill)
    if plan.state == "running":
        uncertain = _titles(services_in_time(plan, view)[1])
        return PlanUnderWay(plan.id, plan.done, len(plan.steps), end=planned_end(plan, view), may_save=uncertain)
    held = tuple(_releases(view))
    if plan.is_outdated:
        again = restart_instruction((step.repair for step in open_steps(view)), held)
        return ContinuePlan(plan.id, plan.state, is_outdated=True, again=again)
    broken = next((step.job for step in plan.steps if step.needs_repair), "") if not plan.failed_waits else ""
    restarts = tuple(plan.failed_waits)
    return ContinuePlan(plan.id, plan.state, is_outdated=False, restarts=restarts, broken=broken, held=held)


def _continued(
    step: Step, services: Sequence[ServiceEstimate], act_by: datetime | None, lost: Outlook | None, now: datetime
) -> Verdict:
    """The plan to resume, with what that still saves."""
    unsafe, outlook = unsafe_services(services), lost
    until: Until = Now() if act_by is None or lost else Now(act_by)
    if act_by is None and lost is None and unsafe:
        outlook = _due(unsafe)
    until = ActBy(act_by) if act_by is not None and act_by > now else until
    return Verdict(step, until, outlook, _saved_titles(services, now))


def _titles(services: Iterable[ServiceEstimate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(service.title for service in services))


def _releases(view: IncidentView) -> list[RepairStep]:
    return releases(service.reasons for service in view.services if service.delivered is None)


def offered_job(reasons: Iterable[Reason]) -> str:
    """The job that waits for its changed schedule alone, by the reasons of services; empty without one."""
    return next((reason.job for reason in reasons if isinstance(reason, ScheduleChanged) and reason.start_now), "")


def run_in_progress(
    job: str, rerun: Rerun, usual_s: float | None, now: datetime, *, is_first: bool, can_rerun: bool
) -> StillRunning | Rerunning | Overrunning:
    """The step for a rerun, for the first run, or for either once it takes too long by the default of the rule
    `too_long`."""
    since = rerun.started
    ran_s = (now - since).total_seconds() if since is not None else 0
    if since is not None and usual_s is not None and ran_s > max(usual_s * TOO_LONG_FACTOR, usual_s + TOO_LONG_FLOOR):
        return Overrunning(job, since, usual_s, can_rerun)
    return StillRunning(job, since) if is_first and since is not None else Rerunning(job, rerun, usual_s)


def _running_step(root: MemberView, view: IncidentView, now: datetime) -> Step:
    if root.started is None:
        return Queued(root.job, root.state)
    is_first, usual_s = root.started <= view.row.failed_since, _usual_s(root, view)
    return run_in_progress(root.job, Rerun(root.started), usual_s, now, is_first=is_first, can_rerun=root.can_rerun)


def _awaited(step: Step, services: Sequence[ServiceEstimate], now: datetime) -> Verdict:
    """The next green-by of the run in progress, and the services at risk or late that have none ahead."""
    ahead = [service for service in services if service.green_by is not None and service.green_by > now]
    by = min((service.green_by for service in ahead if service.green_by is not None), default=None)
    exposed = [
        service
        for service in services
        if service.timeliness == Timeliness.BREACHED or (service.timeliness in ENDANGERED and service not in ahead)
    ]
    return Verdict(step, GreenBy(by) if by is not None else None, _outlook(exposed))


def _usual_s(run: MemberView, view: IncidentView) -> float | None:
    """The usual duration of its job, from the estimates of the affected services; None without one."""
    estimates = (estimate for service in view.services for estimate in service.estimates)
    usual = next((estimate.get("p50_s") for estimate in estimates if estimate.get("job") == run.job), None)
    return usual if isinstance(usual, float | int) else None


def _saved_titles(services: Sequence[ServiceEstimate], now: datetime, *, with_running: bool = False) -> tuple[str, ...]:
    """By act-by: the first is the one whose act-by the verdict names. `with_running`: behind them those at risk without
    an act-by, whose jobs may still run where they cannot be seen."""

    def act_by(service: ServiceEstimate) -> tuple[bool, datetime, datetime]:
        return service.act_by is None, service.act_by or service.deadline, service.deadline

    saved = [
        service
        for service in sorted(services, key=act_by)
        if is_savable(service, now)
        or (with_running and service.timeliness == Timeliness.AT_RISK and service.act_by is None)
    ]
    return _titles(saved)


_SAVABLE = (Timeliness.AT_RISK, Timeliness.WILL_MISS)
_UNSAFE = (*_SAVABLE, Timeliness.NO_ESTIMATE)
_WORST_FIRST = (*ENDANGERED, Timeliness.NO_ESTIMATE)


def services_in_time(plan: PlanView, view: IncidentView) -> tuple[list[AffectedServiceView], list[AffectedServiceView]]:
    """Those that the plan saves, as it was shown, and those that it may save: not delivered, and not expected after
    their deadline; by deadline. None of a plan that has stopped."""
    if plan.standstill or plan.state == "stopped":
        return [], []
    services = [service for service in view.services if service.delivered is None and service.timeliness not in LOST]
    services.sort(key=lambda service: service.deadline)
    saved = [service for service in services if plan.saves(service.name, service.business_date)]
    return saved, [service for service in services if plan.may_save(service.name, service.business_date)]


def unsafe_services(services: Sequence[ServiceEstimate]) -> list[ServiceEstimate]:
    """Those that need an act-by: not delivered, and not known to be in time."""
    return [service for service in services if service.timeliness in _UNSAFE]


def _lost_services(services: Sequence[ServiceEstimate], now: datetime) -> list[ServiceEstimate]:
    """Those that are late whatever is done."""
    return [service for service in services if service.timeliness in LOST and not is_savable(service, now)]


def job_label(job: str) -> str:
    """The job's name without its system and host: "extract_orders" of "etl-hosts/db07:extract_orders"."""
    native = job.partition("/")[2] or job
    host, _, name = native.partition(":")
    if not _HOST.fullmatch(host):
        return native
    return name or (job if ":" in native else native)


def cause_label(cause: str) -> str:
    """The name of a cause: a job's without its system and host; "db07:5432", which several jobs share, has no
    system."""
    return job_label(cause) if "/" in cause else cause
