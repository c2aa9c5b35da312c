"""First lines of notifications: the service at risk, the next step and its time; the incident's number is last.

The first 50 characters have a service that is not safe and its deadline. With `plain`, only names come from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from console.control.alerts.context import AlertContext, AlertSubject, Notification, clock_of
from console.control.alerts.joint_repair import joint_act_by, joint_instruction, other_repairs
from console.control.alerts.services_table import (
    NOT_YET,
    delivery_text,
    is_only_unknown,
    service_title,
    service_zone,
    status_text,
    still_text,
)
from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.repair import repair_of, resolved_at
from console.control.incidents.restart import job_step, possible_steps
from console.control.incidents.run_effects import affected_runs
from console.control.incidents.titles import cause_name, plain_title
from console.control.incidents.verdict.decision import (
    Blocked,
    ClosesItself,
    ContinuePlan,
    PlanUnderWay,
    RepairByPolicy,
    Restart,
    ResumePlan,
    Unfinished,
    Verdict,
    job_label,
    verdict_of,
)
from console.control.incidents.verdict.text import (
    closing_text,
    fix_text,
    in_progress_text,
    job_step_text,
    lateness_text,
    passed_text,
    until_parts,
)
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import (
    CAUSE_RESOLVED_LABEL,
    CLOSED_LABEL,
    INCIDENT_PLACEHOLDER,
    KIND_LABELS,
    PUSH_LENGTH,
    REOPENED_LABEL,
    AlertKind,
)
from console.domain.decision import AffectedServiceVerdict, IncidentDecision
from console.domain.estate import PlanFacts
from console.domain.message import Headline, Label, Reference
from console.domain.service import MISSED, NOT_AT_RISK, SAFE, ServiceEstimate, Timeliness
from console.text.cleaning import CUT, clean_line
from console.text.lists import listed
from console.timing.durations import rough_duration
from console.timing.formats import local_time, zoned_time

LEAST_NAME = 12
NO_SERVICE = "no service affected"
REFERENCE = Reference(INCIDENT_PLACEHOLDER)
WORST_FIRST = (
    Timeliness.BREACHED, Timeliness.WILL_MISS, Timeliness.AT_RISK, Timeliness.NO_ESTIMATE, Timeliness.MET_LATE,
)  # fmt: skip


def headline(context: AlertContext, notification: Notification, plain: bool) -> Headline:
    """ "Daily revenue 07:30 at risk: restart refresh_revenue by 07:29 (in 8 min) [{incident}]"."""
    subject, index = notification.subject, context.index
    decision, match = subject.decision, subject.match
    label = kind_label(notification)
    if decision.closed:
        return _end(context, match, decision, label, plain)
    service = most_urgent(context, notification)
    if service is None or service.timeliness in SAFE:
        if match.awaited_plan is not None and service is not None:
            promise = _promise_status(context, decision, service)
            progress = match.awaited_plan.progress
            return (Label(label), promise, f": {cause_label(index, match)} repaired, {progress}", REFERENCE)
        problem, why = _problem(index, subject, plain)
        outcome = _not_late(index, match) if service is None else _promise_status(context, decision, service)
        return (Label(label), f"{problem}, {outcome}", why, REFERENCE)
    if match.cause.targets and service.deadline < match.cause.since:  # it was late before
        promise = promise_text(index, decision.zone, decision.services, service, "")
        problem = "".join(_problem(index, subject, plain))
        return (Label(label), f"{problem}, late {promise} needs it", REFERENCE)
    what = _what_to_do(context, subject, service, plain)
    promise = promise_text(index, decision.zone, decision.services, service, label)
    return (Label(label), f"{promise} {status_text(service.timeliness)}", ": ", *what, REFERENCE)


def _promise_status(context: AlertContext, decision: IncidentDecision, service: AffectedServiceVerdict) -> str:
    """ "Stock levels 04:02 met at 03:51"."""
    promise = promise_text(context.index, decision.zone, decision.services, service, "")
    return f"{promise} {status_text(service.timeliness)}{delivery_text(context, service, decision.zone)}"


def _not_late(index: EstateIndex, match: IncidentMatch) -> str:
    """ "Daily revenue and 2 more not late yet": the services downstream of a finding, or NO_SERVICE."""
    if not match.feeds:
        return NO_SERVICE
    return f"{listed([service_title(index, name) for name in match.feeds], 1)} not late yet"


def kind_label(notification: Notification) -> str:
    """ "Update: ", "Resolved: ", "Reopened: ": begins its first line."""
    subject, kind = notification.subject, notification.kind
    if subject.decision.closed and not subject.match.recovered:
        return CLOSED_LABEL
    return REOPENED_LABEL if subject.match.reopened and kind is AlertKind.UPDATED else KIND_LABELS[kind]


def most_urgent(context: AlertContext, notification: Notification) -> AffectedServiceVerdict | None:
    """The first of `by_urgency`; None without an affected service."""
    return next(iter(by_urgency(context, notification)), None)


def by_urgency(context: AlertContext, notification: Notification) -> list[AffectedServiceVerdict]:
    """Affected services: those whose deadline has just passed, those that can still be saved, those that are lost; then
    those of later business dates."""
    services = notification.subject.decision.services
    dates = [service.business_date for service in services if service.timeliness not in NOT_AT_RISK]

    def urgency(service: AffectedServiceVerdict) -> tuple[int, datetime]:
        before, is_late = notification.before, service.timeliness in MISSED
        if before is not None and is_late and before.last_at <= service.deadline <= context.now:
            return 0, service.deadline
        act_by = joint_act_by(context, notification.subject, service)
        is_lost = act_by is not None and act_by < context.now
        is_later = service.business_date > min(dates, default=service.business_date)
        rank = 5 if service.timeliness in SAFE else 4 if is_later else 3 if is_late else 2 if is_lost else 1
        return rank, act_by or service.deadline

    return sorted(services, key=urgency)


def promise_text(
    index: EstateIndex,
    zone: str,
    services: Sequence[AffectedServiceVerdict],
    service: AffectedServiceVerdict,
    rest: str,
) -> str:
    """ "Daily revenue 07:30 and 1 more": the service, its deadline and the number of others with its status; the time
    with its zone if that of another service differs: "Night report 00:58 UTC". A locked phone shows the deadline and
    the `rest` of the title, however long the title is."""
    zones = {service_zone(index, row.service) for row in services}
    due = f" {(zoned_time if len(zones) > 1 else local_time)(service.deadline, zone, index.now)}"
    same_status = sum(status_text(row.timeliness) == status_text(service.timeliness) for row in services)
    return dated_title(service_title(index, service.service), due, same_status, rest)


def dated_title(title: str, due: str, number: int, rest: str) -> str:
    """ "Daily revenue 07:30 and 1 more": a title of this `number` of services."""
    suffix = f" and {number - 1} more" if number > 1 else ""
    return cut_title(title, PUSH_LENGTH - len(rest) - len(due)) + due + suffix


def cause_label(index: EstateIndex, match: IncidentMatch) -> str:
    """The cause without its system and host, where it is a job."""
    run = match.to_repair
    return clean_line(job_label(index.job(run.job_id).name)) if run is not None else cause_name(index, match)


def service_verdict(context: AlertContext, subject: AlertSubject, service: AffectedServiceVerdict) -> Verdict:
    """The verdict as far as it is about one service day: with the restarts of all incidents that the day needs."""
    index, decision, day = context.index, subject.decision, context.days.get(service.key)
    act_by = joint_act_by(context, subject, service)
    estimate = ServiceEstimate(
        name=service.service, title=service_title(index, service.service), tier=0, zone=decision.zone,
        business_date=service.business_date.isoformat(), deadline=service.deadline, timeliness=service.timeliness,
        expected=service.expected_at, act_by=act_by, green_by=service.green_by, reasons=service.reasons,
        p_late=day.p_late if day is not None else None,
    )  # fmt: skip
    is_shared = bool(other_repairs(context, subject, [service]))
    steps = possible_steps(index, subject.match, decision, joint_instruction(context, subject, service), is_shared)
    return verdict_of(steps, [estimate], act_by, index.now, is_frozen=index.estate.modes.frozen is not None)


def _what_to_do(context: AlertContext, subject: AlertSubject, service: AffectedServiceVerdict, plain: bool) -> Headline:
    now, verdict = context.now, service_verdict(context, subject, service)
    clock = partial(local_time, zone=subject.decision.zone, near=now)
    step, late = verdict.step, lateness_text(verdict.outlook, now, clock)
    match step:
        case Restart() | ContinuePlan():
            return fix_text(verdict, now, clock)
        case PlanUnderWay() | RepairByPolicy():
            return (f"{in_progress_text(step, now, clock)}{late}",)
        case ClosesItself(job, at):
            return (closing_text(job, at, now, clock),)
    act_by = joint_act_by(context, subject, service)
    problem, until = "".join(_problem(context.index, subject, plain)), until_parts(act_by, now, clock)
    match step:
        case ResumePlan():
            return problem, *(until or (" now",))
        case Unfinished() | Blocked():
            return problem, *((", fix", *until) if until else (late or passed_text(act_by, now, clock),))
    return (f"{problem}, service{late[1:]}" if late else problem,)


def _problem(index: EstateIndex, subject: AlertSubject, plain: bool) -> tuple[str, str]:
    """The problem, then its detail: "load is held by plan 1", ": headway plan resume 1"."""
    match, decision = subject.match, subject.decision
    if match.awaited_plan is not None:
        return match.awaited_plan.progress, ""
    if (step := job_step(index, match, decision)) is not None:
        return job_step_text(step, index.now, lambda at: local_time(at, decision.zone, index.now))
    named = match.cause.problem(index) if match.unrepaired is None and not plain else ""
    return (named, "") if named else plain_title(index, match)


def _end(context: AlertContext, match: IncidentMatch, decision: IncidentDecision, label: str, plain: bool) -> Headline:
    """ "Resolved: Daily revenue safe (INC-0002, 2 min, rerun by anna)"; first the service in the worst state."""
    index = context.index
    if not match.recovered:
        why = "" if plain else f", {decision.closed_because(clock_of(decision, index.now))}"
        return (Label(label), cause_name(index, match), why, REFERENCE)
    plan_end: Headline = ()
    unsafe = [
        service
        for service in decision.services
        if service.timeliness not in SAFE and not is_only_unknown(context, service)
    ]
    plan = match.plan(index)
    if unsafe:
        worst = min(unsafe, key=lambda service: WORST_FIRST.index(service.timeliness))
        is_over = worst.timeliness is Timeliness.MET_LATE
        label = label if is_over else CAUSE_RESOLVED_LABEL
        status = (status_text if is_over else still_text)(worst.timeliness)
        promise = promise_text(index, decision.zone, decision.services, worst, f"{label} {status}")
        what, plan_end = f"{promise} {status}", _plan_end(plan, worst, index, decision.zone)
    elif safe := [service for service in decision.services if service.timeliness in SAFE]:
        plan_continues = plan is not None and any(service.timeliness is Timeliness.ON_TIME for service in safe)
        label, outcome = (CAUSE_RESOLVED_LABEL, " on time") if plan_continues else (label, " safe")
        what = f"{_titles(index, safe, PUSH_LENGTH - len(label) - len(outcome))}{outcome}"
        plan_end = _plan_end(plan, safe[0], index, decision.zone) if plan_continues else ()
    elif unknown := next(iter(decision.services), None):
        label = CAUSE_RESOLVED_LABEL
        promise = promise_text(index, decision.zone, decision.services, unknown, label)
        what, plan_end = f"{promise} {NOT_YET}", _plan_end(plan, unknown, index, decision.zone)
    else:
        what = f"{cause_name(index, match)} {match.cause.end_text}"
    lasted = rough_duration(recovered_at(index, match) - decision.failed_since)
    how = repair_of(index, match.cause.root).text
    return (Label(label), what, *plan_end, f" ({', '.join(filter(None, [INCIDENT_PLACEHOLDER, lasted, how]))})")


def _plan_end(plan: PlanFacts | None, service: AffectedServiceVerdict, index: EstateIndex, zone: str) -> Headline:
    """ ", plan 1 stopped at 4 of 7 steps: headway plan resume 1 by 15:48 (in 8 min)"; empty while it runs: the outbox
    says how far it is when the alert is sent."""
    if plan is None or plan.state == "running":
        return ()
    until = until_parts(service.act_by or service.green_by, index.now, lambda at: local_time(at, zone, index.now))
    return f", {plan.progress}: {plan.command}", *until


def _titles(index: EstateIndex, services: Sequence[AffectedServiceVerdict], room: int) -> str:
    """ "Supply plan, Daily revenue and 2 more"; the first title alone, or its begin, if two do not fit into `room`."""
    titles = list(dict.fromkeys(service_title(index, service.service) for service in services))
    shown, further = ", ".join(titles[:2]), f" and {len(titles) - 2} more" if len(titles) > 2 else ""
    if len(shown + further) > room:
        shown, further = titles[0], f" and {len(titles) - 1} more" if len(titles) > 1 else ""
    return cut_title(shown, room - len(further)) + further


def cut_title(title: str, room: int) -> str:
    room = max(room, LEAST_NAME)
    return title if len(title) <= room else title[: room - 1].rstrip() + CUT


def recovered_at(index: EstateIndex, match: IncidentMatch) -> datetime:
    """When the last of its runs was good again, downstream ones included; now if that is unknown."""
    runs = [*match.cause.roots(), *(affected_runs(index, match.incident) if match.incident is not None else ())]
    return max((resolved_at(index, run) for run in runs), default=index.now)
