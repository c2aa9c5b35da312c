"""The verdict of an incident: its step, until when, what follows it, the services it saves, and the outlook. It has no
words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
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
    JointRestart,
    MemberView,
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
class RepairStep:
    """The restart of one job; its first start if it did not start."""

    job: str
    can_rerun: bool
    is_missed: bool = False
    unreachable: str = ""
    """The target of its job, while that does not answer or starts nothing: it is restored first."""
    act_by: datetime | None = None
    is_running: bool = False
    """True once its rerun was sent or runs."""
    awaits_approval: bool = False
    is_held: bool = False
    """True for a job that a person holds: it is released."""
    is_moved: bool = False
    """True if the schedule of its job was changed, and the change is not accepted."""

    @property
    def awaits_change(self) -> bool:
        """True for a start that the changed schedule has at another time."""
        return self.is_missed and self.is_moved

    @property
    def needs_sending(self) -> bool:
        """True if Headway can send it, and has not."""
        return self.can_rerun and not self.is_running and not self.awaits_change

    @property
    def verb(self) -> str:
        if self.is_held:
            return "release"
        if self.awaits_approval:
            return f"approve the {'start' if self.is_missed else 'rerun'} of"
        if self.awaits_change:
            return "accept or undo the change of"
        return "run" if not self.can_rerun else "start" if self.is_missed else "restart"

    @property
    def place(self) -> str:
        return "" if self.can_rerun or self.awaits_change else f" by hand in {self.job.partition('/')[0]}"


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

    @property
    def needs_sending(self) -> bool:
        """True if it names a restart, a start or a resume, which a freeze stops."""
        return False


@dataclass(frozen=True, slots=True)
class Restart(Step):
    instruction: Instruction
    awaits_upstream: bool = False
    """True if it is to be sent once its upstream has finished, instead of now."""
    read_stale: Text = ()
    """The reason of a root that succeeded on stale data: "it read data before load finished"."""
    record: RepairRecord | None = None
    """The results of the best repair of its root's failure, which this is; None without one that was sent."""

    @property
    def needs_sending(self) -> bool:
        return self.instruction.needs_sending


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

    @property
    def needs_sending(self) -> bool:
        return True


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

    @property
    def needs_sending(self) -> bool:
        return True


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

    @property
    def needs_sending(self) -> bool:
        return not self.is_outdated or self.again is not None


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
        return self.step.needs_sending


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


def incident_verdict(view: IncidentView, plans: Sequence[PlanView], now: datetime, *, is_frozen: bool) -> Verdict:
    """A plan in progress, a rerun in progress, the next step, or why there is nothing to do; with it a plan that awaits
    approval. `is_frozen`: nothing is sent before a thaw."""
    started = [plan for plan in plans if not plan.awaits_approval]
    verdict = _incident_verdict(view, started, now)
    awaits = next((plan for plan in plans if plan.awaits_approval and view.row.closed is None), None)
    return replace(
        verdict,
        is_frozen=is_frozen and verdict.needs_sending,
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
        steps = (step for step in open_steps(view) if step.role == "stale" and _repair_step(step).needs_sending)
        stale = next((job_label(step.job) for step in steps), "")
        if stale and stale not in (job_label(start.job), job_label(view.row.root_job)):
            return LaterRestart(stale)
    return LaterRestart(job_label(start.job), start.at if start.at > now else None)


def _incident_verdict(view: IncidentView, plans: Sequence[PlanView], now: datetime) -> Verdict:
    if plans and (view.row.closed is None or plans[0].state == "running"):
        return _plan_verdict(plans[0], view, now)
    if view.row.closed is not None:
        return Verdict(Closed(view.row.closed, blocked_by(view), has_recovered(view)))
    root = next((member for member in view.members if member.role == "root"), None)
    if root is not None and root.state == RunState.HELD and view.holding_plan is not None:
        return Verdict(ResumePlan(root.job, view.holding_plan), outlook=_outlook(unsafe_services(view.services)))
    steps = open_steps(view)
    if view.row.cause == CauseKind.UNDELIVERED and root is not None and not steps:
        offered = _offered_job(view)
        step = StartOffered(offered) if offered else Unfinished(root.job, root.started is not None)
        return Verdict(step, outlook=_outlook(view.services))
    if root is not None and is_open(root.state):
        return _awaited(_running_step(root, view, now), view, now)
    if view.unreachable:
        verdict = step_verdict(_restoration(view, steps, now), view.row.act_by, view.services, now)
        saves = _saved_titles(view.services, now, with_running=True) if verdict.saves else ()
        return replace(verdict, saves=saves)
    lost = _outlook(_lost_services(view.services, now))
    if not steps:
        return Verdict(Blocked(blocked_by(view)), outlook=lost)
    if (last := closing_run(view)) is not None and last.period is not None:
        return Verdict(ClosesItself(last.job, last.period), outlook=lost)
    if root is None and view.row.cause == CauseKind.SHARED:
        steps = _needed_steps(view, steps)
        if all(_repair_step(step).is_running for step in steps):
            return _rerunning(steps[0], view, now)
        if not (_releases(view) or any(step.awaits_approval for step in steps)):
            return step_verdict(FixCause(identity_name(view.row.root_job)), view.row.act_by, view.services, now)
    repairs = map(_repair_step, view.joint_restarts or steps[:1])
    instruction = restart_instruction(repairs, _releases(view))
    if instruction is None:
        return _rerunning(steps[0], view, now)
    if view.row.policy and view.row.policy_at is not None and not any(step.awaits_approval for step in steps[:1]):
        rerun = RepairByPolicy(steps[0].job, view.row.policy, view.row.policy_at)
        return Verdict(rerun, outlook=lost, affects_services=bool(view.services))
    restart = Restart(instruction)
    if not view.joint_restarts and steps[0].role == "root":
        if view.memory is not None and instruction.needs_sending:
            restart = replace(restart, record=view.memory.best_sent)
        if steps[0].state == RunState.SUCCEEDED:  # it read what was not finished
            awaits = any(member.present_role in ("awaited", "rerun") for member in view.members)
            restart = replace(restart, awaits_upstream=awaits, read_stale=view.row.reason)
    verdict = step_verdict(restart, instruction.act_by or view.row.act_by, view.services, now)
    repeated = view.repeated.as_of(now) if view.repeated is not None else None
    return replace(verdict, repeated=repeated if repeated is not None and repeated.predicate else None)


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
    starts = (replace(_repair_step(step), unreachable=view.unreachable) for step in missed)
    instruction = restart_instruction(starts) if view.services else None
    return Restart(instruction) if instruction is not None else Restore(view.unreachable)


def _rerunning(step: MemberView, view: IncidentView, now: datetime) -> Verdict:
    policy = view.row.policy if step.role == "root" else ""
    rerun, usual_s = Rerun(step.rerun_started, step.rerun_sent, step.unknown_rerun, policy), _usual_s(step, view)
    overrun = overrunning(step.job, rerun.started, usual_s, now, can_rerun=step.can_rerun)
    return _awaited(overrun or Rerunning(step.job, rerun, usual_s), view, now)


def _repair_step(run: MemberView | JointRestart) -> RepairStep:
    act_by = run.act_by if isinstance(run, JointRestart) else None
    is_running = run.rerun_sent is not None or run.rerun_started is not None
    is_missed = run.state == RunState.MISSED
    return RepairStep(
        run.job, run.can_rerun, is_missed, run.unreachable, act_by, is_running, run.awaits_approval,
        is_moved=run.is_moved,
    )  # fmt: skip


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
    return Outlook(first.title or first.name, first.deadline, len(services) - 1)


def planned_end(plan: PlanView, view: IncidentView) -> datetime | None:
    """When the last of its services is done while the plan runs: while one of them waits for a repair the end that was
    shown at its start, until the forecasts include the first run of the plan; None without an estimate."""
    if plan.state != "running" or plan.standstill:
        return None
    planned = plan.planned_end if any(service.repair_case is not None for service in view.services) else None
    return planned or max((service.expected for service in view.services if service.expected is not None), default=None)


def _plan_verdict(plan: PlanView, view: IncidentView, now: datetime) -> Verdict:
    """Its progress, end and services while it runs; of a paused or stopped one the fix, and what resuming still
    saves."""
    outlook = _outlook(_lost_services(view.services, now))
    if plan.standstill:
        return Verdict(PlanUnderWay(plan.id, plan.done, len(plan.steps), plan.standstill), outlook=outlook)
    if plan.state == "running":
        saved, uncertain = (
            tuple(dict.fromkeys(service.title or service.name for service in services))
            for services in services_in_time(plan, view)
        )
        end = planned_end(plan, view)
        progress = PlanUnderWay(plan.id, plan.done, len(plan.steps), end=end, may_save=uncertain)
        return Verdict(progress, outlook=outlook, saves=saved)
    act_by, held = view.row.act_by, tuple(_releases(view))
    until: Until = Now() if act_by is None or (act_by <= now and outlook) else Now(act_by)
    until = ActBy(act_by) if act_by is not None and act_by > now else until
    if act_by is None and outlook is None and (unsafe := unsafe_services(view.services)):
        outlook = _due(unsafe)
    if plan.is_outdated:
        again = restart_instruction(map(_repair_step, open_steps(view)), held)
        step = ContinuePlan(plan.id, plan.state, is_outdated=True, again=again)
    else:
        broken = next((step.job for step in plan.steps if step.needs_repair), "") if not plan.failed_waits else ""
        restarts = tuple(plan.failed_waits)
        step = ContinuePlan(plan.id, plan.state, is_outdated=False, restarts=restarts, broken=broken, held=held)
    return Verdict(step, until, outlook, _saved_titles(view.services, now))


def _releases(view: IncidentView) -> list[RepairStep]:
    return releases(service.reasons for service in view.services if service.delivered is None)


def _offered_job(view: IncidentView) -> str:
    """The job that waits for its changed schedule alone; empty without one."""
    changed = (reason for service in view.services for reason in service.reasons if isinstance(reason, ScheduleChanged))
    return next((reason.job for reason in changed if reason.start_now), "")


def overrunning(
    job: str, since: datetime | None, usual_s: float | None, now: datetime, *, can_rerun: bool
) -> Overrunning | None:
    """The step for a run that takes too long by the default of the rule `too_long`; None for any other, and without a
    usual duration."""
    if since is None or usual_s is None:
        return None
    is_too_long = (now - since).total_seconds() > max(usual_s * TOO_LONG_FACTOR, usual_s + TOO_LONG_FLOOR)
    return Overrunning(job, since, usual_s, can_rerun) if is_too_long else None


def _running_step(root: MemberView, view: IncidentView, now: datetime) -> Step:
    """The step for a rerun, or for the first run that takes too long."""
    if root.started is None:
        return Queued(root.job, root.state)
    usual_s = _usual_s(root, view)
    if (step := overrunning(root.job, root.started, usual_s, now, can_rerun=root.can_rerun)) is not None:
        return step
    if root.started > view.row.failed_since:
        return Rerunning(root.job, Rerun(root.started), usual_s)
    return StillRunning(root.job, root.started)


def _awaited(step: Step, view: IncidentView, now: datetime) -> Verdict:
    """The next green-by of the run in progress, and the services at risk or late that have none ahead."""
    ahead = [service for service in view.services if service.green_by is not None and service.green_by > now]
    by = min((service.green_by for service in ahead if service.green_by is not None), default=None)
    exposed = [
        service
        for service in view.services
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
    return tuple(dict.fromkeys(service.title or service.name for service in saved))


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
