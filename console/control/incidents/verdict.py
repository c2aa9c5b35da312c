"""The verdict of an incident in one line: action, latest time, services saved. For alerts and the console."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from connectors.sdk.states import RunState, is_open
from console.domain.incident import (
    AffectedServiceView,
    IncidentRow,
    IncidentView,
    JointRestart,
    MemberView,
    blocked_reason,
    closing_run,
    has_recovered,
    open_steps,
    sort_by_impact,
)
from console.domain.plan import RESUME, PlanView
from console.domain.reason import JobHeld, Reason, ScheduleChanged, stale_starts
from console.domain.service import UNMET_PROMISE, RepairCase, ServiceView, Timeliness, timeliness_label
from console.timing.formats import rough_duration

_HOST = re.compile(r"[\w.-]+")
ServiceOfVerdict = ServiceView | AffectedServiceView
Clock = Callable[[datetime], str]
"""Formats an instant as a time of day."""
LATE_MINUTES = 15


class Verdict(NamedTuple):
    """The verdict as (text, style) parts; `saves`: the titles of the services that its step still saves."""

    parts: tuple[tuple[str, str], ...]
    saves: tuple[str, ...] = ()
    proposal: str = ""
    """The plan that awaits approval beside it, with its requester and the command that approves it."""
    needs_sending: bool = False
    """True if it names a restart, a start or a resume, which a freeze stops."""
    until: str = ""
    """The act-by in its text, " by 04:07 (in 54 min)"; without one the next start on stale data, " before 04:30 (next
    start of load)", or the next deadline, ", Daily revenue due 07:30"."""
    then: LaterRestart | None = None
    """The restart that follows its own."""

    @property
    def actions(self) -> list[str]:
        """Its first part with the restart that follows, from the longest text to the shortest: without the time left,
        then without that restart. The act-by is the same in all, and in the rows of the services."""
        text = self.parts[0][0]
        short = text.replace(self.until, self.short_until) if self.until else text
        if self.then is None:
            return [text, short]
        job, at = self.then
        restart = f", after {at} also {job}" if at else f", then {job}"
        return [f"{text}{restart}", f"{short}{restart}", short]

    @property
    def short_until(self) -> str:
        """ " by 04:07", " before 04:30"; a deadline stays as it is, its title may have a bracket."""
        return self.until if self.until.startswith(",") else self.until.partition(" (")[0]

    @property
    def text(self) -> str:
        parts = [self.actions[0], *(text for text, _ in self.parts[1:])]
        text = ", ".join(filter(None, ["".join(parts), saved_text(self.saves)]))
        return "; ".join(filter(None, [text, self.proposal]))


class Rerun(NamedTuple):
    """The rerun of a run: when it started, when it was sent, and the key of its action while its outcome is unknown."""

    started: datetime | None
    sent: datetime | None = None
    unknown: str = ""


class LaterRestart(NamedTuple):
    """The job that starts by its clock then, and must be restarted too unless its upstream has succeeded by then."""

    job: str
    at: str
    """Empty once that has passed."""


def urgent_service(services: Sequence[ServiceView], now: datetime) -> ServiceView | None:
    """The endangered service to act on first: the earliest act-by, without one the deadline, of those that a restart
    may still deliver in time, else the earliest that has passed. Also one that got stale data: only a rerun delivers
    it."""

    def urgency(view: ServiceView) -> tuple[bool, datetime]:
        return view.last_chance <= now and not _is_savable(view, now), view.last_chance

    return min((view for view in services if view.is_endangered and view.delivered is None), key=urgency, default=None)


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


def incident_verdict(
    view: IncidentView, plans: Sequence[PlanView], now: datetime, clock: Clock, *, is_frozen: bool
) -> Verdict:
    """A plan in progress, a rerun in progress, the next step, or why there is nothing to do; beside these a plan that
    awaits approval. `is_frozen`: nothing is sent before a thaw."""
    started = [plan for plan in plans if not plan.awaits_approval]
    verdict = _incident_verdict(view, started, now, clock)
    if is_frozen and verdict.needs_sending:
        (text, style), *outlook = verdict.parts
        verdict = verdict._replace(parts=((f"Frozen, thaw first: {text}", style), *outlook))
    if verdict.needs_sending and not plans:
        verdict = verdict._replace(then=_later_restart(view, now, clock))
    awaits = next((plan for plan in plans if plan.awaits_approval and view.row.closed is None), None)
    if awaits is None:
        return verdict
    proposal = f"plan {awaits.id} of {awaits.requester} awaits approval: {RESUME} {awaits.id}"
    return verdict._replace(proposal=proposal)


def _later_restart(view: IncidentView, now: datetime, clock: Clock) -> LaterRestart | None:
    """Of the service with the earliest act-by that may still be in time: its first job that starts on stale data; once
    a job has read stale data, that one."""
    timed = ((service.act_by, service) for service in view.services if service.act_by is not None)
    open_times = [(act_by, service) for act_by, service in timed if act_by > now or _is_savable(service, now)]
    _, service = min(open_times, key=lambda timed: timed[0], default=(now, None))
    start = next(iter(stale_starts(service.reasons if service is not None else ())), None)
    if start is None:
        return None
    if start.at > now:
        steps = (step for step in open_steps(view) if step.role == "stale" and _repair_step(step).needs_sending)
        stale = next((job_label(step.job) for step in steps), "")
        if stale and stale not in (job_label(start.job), job_label(view.row.root_job)):
            return LaterRestart(stale, "")
    return LaterRestart(job_label(start.job), clock(start.at) if start.at > now else "")


def _incident_verdict(view: IncidentView, plans: Sequence[PlanView], now: datetime, clock: Clock) -> Verdict:
    if plans and (view.row.closed is None or plans[0].state == "running"):
        return _plan_verdict(plans[0], view, now, clock)
    if view.row.closed is not None:
        is_good = has_recovered(view)
        ended, reason = "Resolved" if is_good else "Closed", blocked_reason(view).removeprefix("closed: ")
        return Verdict(((f"{ended} {clock(view.row.closed)}: {reason}", "ok" if is_good else "plain"),))
    root = next((member for member in view.members if member.role == "root"), None)
    if root is not None and root.state == RunState.HELD and f": {RESUME} " in root.reason:
        text = f"{job_label(root.job)} is {root.reason.partition(' (hold ')[0]}"
        status = _outlook(unsafe_services(view.services), now, clock, before=", ")
        return Verdict(((text, "bad"), *status), needs_sending=True)
    if view.row.cause == UNMET_PROMISE and root is not None and not open_steps(view):
        return _unmet_verdict(root, view, now, clock)
    if root is not None and is_open(root.state):
        return _running_verdict(root, root.started, view, now, clock)
    if view.unreachable:
        verdict = step_verdict(f"restore {view.unreachable}", view.row.act_by, view.services, now, clock)
        return (
            verdict._replace(saves=_saved_titles(view.services, now, with_running=True)) if verdict.saves else verdict
        )
    steps = open_steps(view)
    if not steps:
        late = _outlook(_lost_services(view.services, now), now, clock, before=", ")
        return Verdict(((_capital(blocked_reason(view)), "warn"), *late))
    if (last := closing_run(view)) is not None and last.period is not None:
        text = f"{_capital(closing_text(last.job, last.period, clock))}: nothing to restart"
        return Verdict(((text, "run"), *_outlook(_lost_services(view.services, now), now, clock, before=", ")))
    repairs = [_repair_step(run) for run in view.joint_restarts or steps[:1]]
    instruction = restart_instruction(repairs, _releases(view))
    if instruction is None:
        return _rerun_verdict(steps[0], view, now, clock)
    act_by = instruction.act_by or view.row.act_by
    needs_sending = any(repair.needs_sending for repair in repairs)
    if view.joint_restarts or steps[0].role != "root" or steps[0].state != RunState.SUCCEEDED:
        verdict = step_verdict(instruction.step, act_by, view.services, now, clock)
        return verdict._replace(needs_sending=needs_sending)
    # it read what was not finished
    awaits = any(member.present_role in ("awaited", "rerun") for member in view.members)
    condition = "once its upstream has finished" if awaits else ""
    verdict = step_verdict(instruction.step, act_by, view.services, now, clock, condition)
    action, *outlook = verdict.parts
    parts = (action, (f": {view.row.reason}", "plain"), *outlook)
    return verdict._replace(parts=parts, needs_sending=needs_sending)


def closing_text(job: str, at: datetime, clock: Clock) -> str:
    """ "load starts next 03:16 and closes it": the start after which an incident needs no restart."""
    return f"{job_label(job)} starts next {clock(at)} and closes it"


def _repair_step(run: MemberView | JointRestart) -> RepairStep:
    act_by = run.act_by if isinstance(run, JointRestart) else None
    is_running = run.rerun_sent is not None or run.rerun_started is not None
    is_missed = run.state == RunState.MISSED
    return RepairStep(
        run.job, run.can_rerun, is_missed, run.unreachable, act_by, is_running, run.awaits_approval,
        is_moved=run.is_moved,
    )  # fmt: skip


def step_verdict(
    step: str,
    act_by: datetime | None,
    services: Sequence[ServiceOfVerdict],
    now: datetime,
    clock: Clock,
    condition: str = "",
) -> Verdict:
    """ "Restart extract_orders by 04:07 (in 54 min)", urgent near the act-by, with the services that are late all the
    same; after it, or without one, "Daily revenue 07:30 will miss: restart extract_orders now, expected 07:40, 10 min
    late", "Restart extract_orders before 04:30 (next start of load), Daily revenue due 07:30" or "Restart
    extract_orders now, Daily revenue due 07:30".

    `step`: `step_text`. `condition`: "once its upstream has finished", instead of now.
    """
    late = _lost_services(services, now)
    passed = [service.act_by for service in services if service.act_by is not None and service.act_by <= now
              and _is_savable(service, now)]  # fmt: skip
    act_by = min(passed, default=act_by)
    if act_by is not None and act_by > now:
        is_near = (act_by - now).total_seconds() < LATE_MINUTES * 60
        until = until_text(act_by, now, clock)
        action = f"{_capital(step)}{until}{f', {condition}' if condition else ''}"
        outlook = _outlook(late, now, clock, before=", ")
        return Verdict(((action, "bad" if is_near else "warn"), *outlook), _saved_titles(services, now), until=until)
    action = f"{step} {condition or 'now'}"
    if late and not passed:
        return Verdict(tuple(_outlook(late, now, clock, action=f": {action}")))
    if act_by is not None:
        action = f"{_capital(action)}{passed_text(act_by, now, clock)}"
        outlook = _outlook(late, now, clock, before=", ")
        return Verdict(((action, "bad"), *outlook), _saved_titles(services, now))
    if unsafe := unsafe_services(services):
        due = f", {_promises(unsafe, ' due ', clock)}"
        starts = (reason for service in unsafe if service.act_by is None for reason in service.reasons)
        if start := "" if condition else next_start_text(starts, now, clock):
            return Verdict(((f"{_capital(step)}{start}", "warn"), (due, "plain")), until=start)
        return Verdict(((f"{_capital(action)}{due}", "warn"),), until=due)
    unaffected = "" if services else ", affects no service"
    return Verdict(((f"{_capital(step)}{f' {condition}' if condition else ''}{unaffected}", "warn"),))


def _outlook(
    services: Sequence[ServiceOfVerdict],
    now: datetime,
    clock: Clock,
    *,
    before: str = "",
    action: str = "",
) -> list[tuple[str, str]]:
    """ "Daily revenue 07:30 will miss" + `action`, ", expected 07:40, 10 min late": the services in the worst state;
    empty without one."""
    for timeliness in _WORST_FIRST:
        if same := [service for service in services if service.timeliness == timeliness]:
            first, is_late = min(same, key=lambda service: service.deadline), timeliness in _LATE
            text = f"{before}{_promises(same, ' ', clock)} {timeliness_label(timeliness)}{action}"
            end = late_text(first.expected, first.deadline, now, clock, first.repair_case)
            return [(text, "bad" if is_late else "warn"), *([(end, "plain")] if end else [])]
    return []


def _promises(services: Sequence[ServiceOfVerdict], separator: str, clock: Clock) -> str:
    """ "Daily revenue due 07:30 and 1 more": the earliest deadline; `separator`: between the title and the deadline."""
    first = min(services, key=lambda service: service.deadline)
    suffix = f" and {len(services) - 1} more" if len(services) > 1 else ""
    return f"{first.title or first.name}{separator}{clock(first.deadline)}{suffix}"


def delivery_estimate(plan: PlanView, view: IncidentView, clock: Clock) -> str:
    """ "services done about 06:16": the last of them, while the plan runs, and before its first run begins the end that
    was shown at its start; empty without an estimate."""
    expected = (service.expected for service in view.services if service.expected is not None)
    end = plan.planned_end or max(expected, default=None)
    is_moving = plan.state == "running" and not plan.standstill
    return f"services done about {clock(end)}" if end is not None and is_moving else ""


def _plan_verdict(plan: PlanView, view: IncidentView, now: datetime, clock: Clock) -> Verdict:
    """Its progress, end and services while it runs; of a paused or stopped one the fix, and what resuming still
    saves."""
    progress = f"{plan.done} of {len(plan.steps)} step{'s' * (len(plan.steps) != 1)}"
    late = _lost_services(view.services, now)
    if plan.standstill:
        state = f"Plan {plan.id} waits: {plan.standstill}, {progress}"
        return Verdict(((state, "warn"), *_outlook(late, now, clock, before=", ")))
    if plan.state == "running":
        done = delivery_estimate(plan, view, clock)
        outlook = _outlook(late, now, clock, before=", ") or ([(f", {done}", "plain")] if done else [])
        saved, uncertain = (
            tuple(dict.fromkeys(service.title or service.name for service in services))
            for services in services_in_time(plan, view)
        )
        may = [(f", {saved_text(uncertain, verb='may save')}", "warn")] if uncertain else []
        return Verdict(((f"Plan {plan.id} running: {progress}", "run"), *outlook, *may), saved)
    act_by = view.row.act_by
    passed = "" if late else passed_text(act_by, now, clock)
    if plan.is_outdated:
        again = restart_instruction(map(_repair_step, open_steps(view)), _releases(view))
        fix, needs_sending = (f"abort it, then {again.step}", True) if again is not None else ("abort it", False)
    else:
        restart = f"restart {' and '.join(map(job_label, plan.failed_waits))}, then " if plan.failed_waits else ""
        broken = next((step for step in plan.steps if step.needs_repair), None)
        if not restart and broken is not None:
            restart = f"fix {job_label(broken.job)}, then "
        fix, needs_sending = f"{restart}resume it{_then(_releases(view))}", True
    until = until_text(act_by, now, clock)
    fix = f"{fix}{until or ' now'}{passed}"
    outlook = _outlook(late, now, clock, before=", ")
    unsafe = unsafe_services(view.services) if act_by is None and not outlook else []
    due = f", {_promises(unsafe, ' due ', clock)}" if unsafe else ""
    style = "bad" if plan.state == "stopped" else "warn"
    saves = _saved_titles(view.services, now)
    text = f"Plan {plan.id} {plan.state}: {fix}{due}"
    return Verdict(((text, style), *outlook), saves, needs_sending=needs_sending, until=until or due)


def _releases(view: IncidentView) -> list[RepairStep]:
    return releases(service.reasons for service in view.services if service.delivered is None)


def _offered_job(view: IncidentView) -> str:
    """The job that waits for its changed schedule alone; empty without one."""
    changed = (reason for service in view.services for reason in service.reasons if isinstance(reason, ScheduleChanged))
    return next((reason.job for reason in changed if reason.start_now), "")


def _unmet_verdict(root: MemberView, view: IncidentView, now: datetime, clock: Clock) -> Verdict:
    """ "Daily revenue 07:30 will miss: load has not finished, nothing to restart, expected 07:40, 10 min late"; "start
    load now: headway job start etl/load" for a job that waits for its changed schedule."""
    job = _offered_job(view)
    if job:
        text = f"start {job_label(job)} now: headway job start {shlex.quote(job)}"
    else:
        text = f"{unfinished_text(root.job, root.started is not None)}, nothing to restart"
    parts = tuple(_outlook(view.services, now, clock, action=f": {text}")) or ((text, "warn"),)
    return Verdict(parts, needs_sending=bool(job))


def _running_verdict(
    root: MemberView, started: datetime | None, view: IncidentView, now: datetime, clock: Clock
) -> Verdict:
    """Of a rerun, or of the first run that takes too long; its usual end, and the next green-by that has not passed."""
    label = job_label(root.job)
    if started is None:
        text = f"{label} is {root.state}"
    elif started > view.row.failed_since:
        text = rerun_text(label, Rerun(started), _usual_s(root, view), now, clock)
    else:
        text = f"{label} is still running since {clock(started)}"
    return Verdict(((text, "run"), *_must_succeed(view, now, clock)))


def _rerun_verdict(step: MemberView, view: IncidentView, now: datetime, clock: Clock) -> Verdict:
    """Of a step whose rerun was sent, or is a later run of its job."""
    is_seen = step.rerun_started is not None
    rerun = Rerun(step.rerun_started, step.rerun_sent, step.unknown_rerun)
    text = rerun_text(job_label(step.job), rerun, _usual_s(step, view), now, clock)
    style = "warn" if rerun.unknown and not is_seen else "run"
    return Verdict(((text if is_seen else _capital(text), style), *_must_succeed(view, now, clock)))


def _must_succeed(view: IncidentView, now: datetime, clock: Clock) -> list[tuple[str, str]]:
    """The next green-by, and the services at risk or late that have none ahead."""
    ahead = [service for service in view.services if service.green_by is not None and service.green_by > now]
    by = min((service.green_by for service in ahead if service.green_by is not None), default=None)
    exposed = [
        service
        for service in view.services
        if service.timeliness == Timeliness.BREACHED or (service.timeliness in _MISSABLE and service not in ahead)
    ]
    must = [] if by is None else [(f", must succeed{until_text(by, now, clock)}", "plain")]
    return must + _outlook(exposed, now, clock, before=", ")


def _usual_s(run: MemberView, view: IncidentView) -> float | None:
    """The usual duration of its job, from the estimates of the affected services; None without one."""
    estimates = (estimate for service in view.services for estimate in service.estimates)
    usual = next((estimate.get("p50_s") for estimate in estimates if estimate.get("job") == run.job), None)
    return usual if isinstance(usual, float | int) else None


def rerun_text(label: str, rerun: Rerun, usual_s: float | None, now: datetime, clock: Clock) -> str:
    """ "extract runs again since 03:15, done about 03:35"; "rerun of extract sent 03:14" before it is seen to run."""
    if rerun.started is None and rerun.unknown:
        check = f"check its scheduler, then headway action withdraw {rerun.unknown}"
        return f"outcome of the rerun of {label} unknown: {check}"
    if rerun.started is None:
        return f"rerun of {label} sent {clock(rerun.sent)}" if rerun.sent is not None else f"{label} is queued again"
    done = rerun.started + timedelta(seconds=usual_s) if usual_s is not None else now
    return f"{label} runs again since {clock(rerun.started)}{f', done about {clock(done)}' if done > now else ''}"


def _saved_titles(
    services: Sequence[ServiceOfVerdict], now: datetime, *, with_running: bool = False
) -> tuple[str, ...]:
    """By act-by: the first is the one whose act-by the verdict names. `with_running`: behind them those at risk without
    an act-by, whose jobs may still run where they cannot be seen."""

    def act_by(service: ServiceOfVerdict) -> tuple[bool, datetime, datetime]:
        return service.act_by is None, service.act_by or service.deadline, service.deadline

    saved = [
        service
        for service in sorted(services, key=act_by)
        if _is_savable(service, now)
        or (with_running and service.timeliness == Timeliness.AT_RISK and service.act_by is None)
    ]
    return tuple(dict.fromkeys(service.title or service.name for service in saved))


_LATE = (Timeliness.BREACHED, Timeliness.WILL_MISS)
_SAVABLE = (Timeliness.AT_RISK, Timeliness.WILL_MISS)
_UNSAFE = (*_SAVABLE, Timeliness.NO_ESTIMATE)
_MISSABLE = (*_LATE, Timeliness.AT_RISK)
_WORST_FIRST = (*_MISSABLE, Timeliness.NO_ESTIMATE)


def services_in_time(plan: PlanView, view: IncidentView) -> tuple[list[AffectedServiceView], list[AffectedServiceView]]:
    """Those that the plan saves, as it was shown, and those that it may save: not delivered, and not expected after
    their deadline; by deadline. None of a plan that has stopped."""
    if plan.standstill or plan.state == "stopped":
        return [], []
    services = [service for service in view.services if service.delivered is None and service.timeliness not in _LATE]
    services.sort(key=lambda service: service.deadline)
    saved = [service for service in services if plan.saves(service.name, service.business_date)]
    return saved, [service for service in services if plan.may_save(service.name, service.business_date)]


def unsafe_services(services: Sequence[ServiceOfVerdict]) -> list[ServiceOfVerdict]:
    """Those that need an act-by: not delivered, and not known to be in time."""
    return [service for service in services if service.timeliness in _UNSAFE]


def _lost_services(services: Sequence[ServiceOfVerdict], now: datetime) -> list[ServiceOfVerdict]:
    """Those that are late whatever is done."""
    return [service for service in services if service.timeliness in _LATE and not _is_savable(service, now)]


def _is_savable(service: ServiceOfVerdict, now: datetime) -> bool:
    """True if a restart may deliver it in time: until its act-by, and at risk after it."""
    is_at_risk = service.timeliness == Timeliness.AT_RISK
    return service.timeliness in _SAVABLE and service.act_by is not None and (is_at_risk or service.act_by > now)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def job_label(job: str) -> str:
    """The job's name without its system and host: "extract_orders" of "etl-hosts/db07:extract_orders"."""
    native = job.partition("/")[2] or job
    host, _, name = native.partition(":")
    if not _HOST.fullmatch(host):
        return native
    return name or (job if ":" in native else native)


def unfinished_text(job: str, has_started: bool) -> str:
    """ "load has not finished", "load has not started"."""
    return f"{job_label(job)} has not {'finished' if has_started else 'started'}"


def until_text(act_by: datetime | None, now: datetime, clock: Clock) -> str:
    """ " by 07:29 (in 8 min)"; empty without an act-by, and once it has passed."""
    return f" by {clock(act_by)} (in {rough_duration(act_by - now)})" if act_by is not None and act_by > now else ""


def next_start_text(reasons: Iterable[Reason], now: datetime, clock: Clock) -> str:
    """ " before 04:30 (next start of load)": the earliest start on stale data; " before 04:30 (last start of load in
    time)" if the job starts before that, too. Empty if none is ahead."""
    ahead = (start for start in stale_starts(reasons) if start.at > now)
    start = min(ahead, key=lambda start: (start.at, start.job), default=None)
    if start is None:
        return ""
    job = job_label(start.job)
    which = f"last start of {job} in time" if start.is_last else f"next start of {job}"
    return f" before {clock(start.at)} ({which})"


def passed_text(act_by: datetime | None, now: datetime, clock: Clock) -> str:
    """ ", act-by 07:29 has passed"; empty without one that has."""
    return f", act-by {clock(act_by)} has passed" if act_by is not None and act_by <= now else ""


IF_REPAIRED = "if repaired as usual"
"""The condition of a finish after the usual repair, next to the request for a restart."""


def late_text(
    expected: datetime | None, deadline: datetime, now: datetime, clock: Clock, case: RepairCase | None = None
) -> str:
    """ ", expected 07:40, 10 min late", after the usual repair ", expected 07:40 if repaired as usual, 10 min late";
    without an estimate of its end that is still to come ", 10 min late so far", empty before the deadline."""
    if expected is None or expected <= now:
        return f", {rough_duration(now - deadline)} late so far" if now > deadline else ""
    late = f", {rough_duration(expected - deadline)} late" if expected > deadline else ""
    return f", expected {clock(expected)}{f' {IF_REPAIRED}' if case is RepairCase.USUAL else ''}{late}"


class RepairStep(NamedTuple):
    """The restart of one job; its first start if it did not start."""

    job: str
    can_rerun: bool
    is_missed: bool = False
    unreachable: str = ""
    """The target of its job, while that does not answer."""
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


class Instruction(NamedTuple):
    """The restarts as `step_text`, and the earliest act-by of them."""

    step: str
    act_by: datetime | None


def restart_instruction(steps: Iterable[RepairStep], held: Sequence[RepairStep] = ()) -> Instruction | None:
    """The one instruction for all restarts that a service day needs, for notifications, commands and the console;
    without those that run already. None if none is left. `held`: the releases that it needs as well."""
    waiting = [step for step in steps if not step.is_running]
    act_by = min((step.act_by for step in waiting if step.act_by is not None), default=None)
    return Instruction(step_text(*waiting) + _then(held), act_by) if waiting else None


def _then(held: Sequence[RepairStep]) -> str:
    return f", then {step_text(*held)}" if held else ""


def releases(services: Iterable[Sequence[Reason]]) -> list[RepairStep]:
    """The jobs that a person holds and that make services with these reasons late, each once."""
    held = (hold.job for reasons in services for hold in reasons if isinstance(hold, JobHeld) and hold.is_of_person)
    return [RepairStep(job, can_rerun=True, is_held=True) for job in dict.fromkeys(held)]


MAX_STEPS = 2
"""Jobs that one instruction names."""


def step_text(*steps: RepairStep) -> str:
    """ "restart extract_orders", "start extract_orders" if it did not start; "run extract_orders by hand in etl-hosts"
    where Headway cannot rerun jobs of its system; "restore etl-hosts/db07, then restart extract_orders" while its host
    does not answer; "approve the rerun of extract_orders" once that is requested; "restart extract and refund and 2
    more" for different jobs, with full names where the short ones are equal."""
    unique = list({step.job: step for step in steps}.values())
    labels = Counter(job_label(step.job) for step in unique)
    names: dict[tuple[str, str], list[str]] = {}
    for step in unique[:MAX_STEPS]:
        label = job_label(step.job)
        names.setdefault((step.verb, step.place), []).append(label if labels[label] == 1 else step.job)
    text = ", ".join(f"{verb} {' and '.join(jobs)}{place}" for (verb, place), jobs in names.items())
    if hosts := list(dict.fromkeys(step.unreachable for step in unique if step.unreachable)):
        text = f"restore {' and '.join(hosts)}, then {text}"
    return f"{text} and {len(unique) - MAX_STEPS} more" if len(unique) > MAX_STEPS else text


def fix_text(
    step: str, act_by: datetime | None, now: datetime, clock: Clock, late: str = "", reasons: Sequence[Reason] = ()
) -> str:
    """ "restart extract_orders by 04:07 (in 54 min)"; later "restart extract_orders now, act-by 04:07 has passed".

    Without an act-by "restart extract_orders before 04:30 (next start of load)", by the `reasons` of the service, or
    "restart extract_orders now". `step`: `step_text`. `late`: `late_text` where the service is late all the same.
    """
    is_unknown = act_by is None and not late
    until = next_start_text(reasons, now, clock) if is_unknown else until_text(act_by, now, clock)
    return f"{step}{until or ' now'}{late or passed_text(act_by, now, clock)}"


def saved_text(services: Sequence[str], at_most: int = 2, *, verb: str = "saves") -> str:
    """ "saves Supply plan, Daily revenue and 3 more"; empty without one."""
    if not services:
        return ""
    further = f" and {len(services) - at_most} more" if len(services) > at_most else ""
    return f"{verb} {', '.join(services[:at_most])}{further}"
