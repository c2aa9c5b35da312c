"""First lines of notifications: the service at risk, the next step and its time; the incident's number is last.

The first 50 characters have the service and its deadline. With `plain`, only names come from outside.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.sdk.states import RunEvidence, RunState, Verb
from console.control.alerts.context import AlertContext, Notification, deadline_passed_since
from console.control.alerts.services_table import service_title, status_text
from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.titles import cancelled_by, cause_name, incident_title, plain_title
from console.control.incidents.verdict import fix_text, job_label, passed_text, step_text, until_text
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import CLOCK_SKEW
from console.domain.alert import (
    CAUSE_RESOLVED_LABEL,
    CLOSED_LABEL,
    INCIDENT_PLACEHOLDER,
    KIND_LABELS,
    REOPENED_LABEL,
    AlertKind,
)
from console.domain.decision import AffectedServiceVerdict, IncidentDecision
from console.domain.service import Timeliness
from console.text.cleaning import CUT, clean_line
from console.timing.formats import local_time, rough_duration

PUSH_LENGTH = 50
"""Characters that a locked phone shows."""
LEAST_NAME = 12
REFERENCE = f" [{INCIDENT_PLACEHOLDER}]"
_FINE = (Timeliness.ON_TIME, Timeliness.MET)
_WORST_FIRST = (Timeliness.BREACHED, Timeliness.WILL_MISS, Timeliness.AT_RISK, Timeliness.MET_LATE)
_REPAIRS = {Verb.RERUN: "rerun", Verb.START: "started", Verb.MARK_OK: "marked OK", Verb.SKIP: "skipped"}


def headline(context: AlertContext, notification: Notification, plain: bool) -> str:
    """ "Daily revenue 07:30 at risk: restart refresh_revenue by 07:29 (in 8 min) [{incident}]"."""
    subject, index = notification.subject, context.index
    decision, match = subject.decision, subject.match
    is_again = decision.reopened and notification.kind is AlertKind.UPDATED
    label = REOPENED_LABEL if is_again else KIND_LABELS[notification.kind]
    if decision.closed:
        return _end(index, match, decision, label if match.recovered else CLOSED_LABEL, plain)
    service = _most_urgent(context, notification)
    if service is None or service.timeliness in _FINE:
        problem, _, why = _problem(index, match, decision, plain).partition(": ")
        well = (
            "no service affected"
            if service is None
            else f"{service_title(index, service)} {status_text(service.timeliness)}"
        )
        return f"{label}{problem}, {well}{': ' * bool(why)}{why}{REFERENCE}"
    promise = _promise(index, decision, service, label)
    what = _what_to_do(index, match, decision, service, plain)
    return f"{label}{promise} {status_text(service.timeliness)}: {what}{REFERENCE}"


def _most_urgent(context: AlertContext, notification: Notification) -> AffectedServiceVerdict | None:
    """The service whose deadline has just passed, else the first that can still be saved, else one that is lost."""

    def urgency(service: AffectedServiceVerdict) -> tuple[int, datetime]:
        before = notification.before
        if before is not None and deadline_passed_since(context, service, before):
            return 0, service.deadline
        is_late = service.timeliness in (Timeliness.BREACHED, Timeliness.MET_LATE)
        is_lost = service.act_by is not None and service.act_by < context.now
        rank = 4 if service.timeliness in _FINE else 3 if is_late else 2 if is_lost else 1
        return rank, service.act_by or service.deadline

    return min(notification.subject.decision.services, key=urgency, default=None)


def _promise(index: EstateIndex, decision: IncidentDecision, service: AffectedServiceVerdict, label: str) -> str:
    due = f" {local_time(service.deadline, decision.zone, index.now)}"
    same_status = [row for row in decision.services if status_text(row.timeliness) == status_text(service.timeliness)]
    suffix = f" and {len(same_status) - 1} more" if len(same_status) > 1 else ""
    room = max(PUSH_LENGTH - len(label) - len(due), LEAST_NAME)
    title = service_title(index, service)
    return (title if len(title) <= room else title[: room - 1].rstrip() + CUT) + due + suffix


def cause_label(index: EstateIndex, match: IncidentMatch) -> str:
    """The cause without its system and host, where it is a job."""
    run = match.to_repair
    return clean_line(job_label(index.job(run.job_id).name)) if run is not None else cause_name(index, match)


def needs_restart(index: EstateIndex, match: IncidentMatch) -> bool:
    """True if its cause is a run that failed, did not start or read bad data, and is not running again."""
    run, group = match.to_repair, match.group
    if run is None or run.state.is_open or group.finding is not None or group.target is not None or group.awaits:
        return False
    return not match.awaits and (run.state.is_red or index.is_stale(run))


def _what_to_do(
    index: EstateIndex, match: IncidentMatch, decision: IncidentDecision, service: AffectedServiceVerdict, plain: bool
) -> str:
    def clock(at: datetime) -> str:
        return local_time(at, decision.zone, now)

    run, now, act_by, expected = match.to_repair, index.now, service.act_by, ""
    if service.expected_at is not None and service.timeliness in (Timeliness.WILL_MISS, Timeliness.BREACHED):
        expected = f", expected {clock(service.expected_at)}"
    if run is not None and needs_restart(index, match) and not cancelled_by(index, run):
        job = index.job(run.job_id)
        step = step_text(clean_line(job.name), not job.cannot_rerun, run.state is RunState.MISSED)
        return fix_text(step, act_by, now, clock, expected)
    until = until_text(act_by, now, clock)
    late = f", fix{until}" if until else expected or passed_text(act_by, now, clock)
    return f"{_problem(index, match, decision, plain)}{late}"


def _problem(index: EstateIndex, match: IncidentMatch, decision: IncidentDecision, plain: bool) -> str:
    run, group = match.to_repair, match.group
    if match.awaits or group.awaits:
        waits_for = group.lost_by if group.lost_by is not None else run.job_id if run is not None else None
        return (
            f"{clean_line(job_label(index.job(waits_for).name)) if waits_for is not None else 'a job'} has not finished"
        )
    if run is not None and run.state.is_open and group.finding is None and not group.shared:
        return f"{cause_label(index, match)} is running again"
    is_named = group.shared and match.unrepaired is None and not plain
    return incident_title(index, match, decision.zone) if is_named else plain_title(index, match)


def _end(index: EstateIndex, match: IncidentMatch, decision: IncidentDecision, label: str, plain: bool) -> str:
    """ "Resolved: Daily revenue safe (INC-0002, 2 min, rerun by anna)"; first the service in the worst state."""
    if not match.recovered:
        why = "" if plain else f", {decision.close_reason}"
        return f"{label}{cause_name(index, match)}{why}{REFERENCE}"
    unsafe = [service for service in decision.services if service.timeliness not in _FINE]
    known = [service for service in unsafe if service.timeliness is not Timeliness.NO_ESTIMATE]
    if known:
        worst = min(known, key=lambda service: _WORST_FIRST.index(service.timeliness))
        is_over = worst.timeliness is Timeliness.MET_LATE
        label = label if is_over else CAUSE_RESOLVED_LABEL
        promise = _promise(index, decision, worst, label)
        what = f"{promise} {'' if is_over else 'still '}{status_text(worst.timeliness)}"
    elif unsafe or not decision.services:
        what = f"{cause_name(index, match)} {_good_again(match)}"
    else:
        names = [service_title(index, service) for service in decision.services]
        what = f"{', '.join(names[:2])}{f' and {len(names) - 2} more' if len(names) > 2 else ''} safe"
    lasted = rough_duration(resolved_at(index, match) - decision.failed_since)
    return f"{label}{what} ({', '.join(filter(None, [INCIDENT_PLACEHOLDER, lasted, repair_text(index, match)]))})"


def _good_again(match: IncidentMatch) -> str:
    if match.group.target is not None:
        return "answers again"
    return "passes" if match.group.check else "is good again"


def resolved_at(index: EstateIndex, match: IncidentMatch) -> datetime:
    """When its root was good again; now if that is unknown."""
    root = match.group.root
    at = index.repaired_at(root) if root is not None else None
    return min(at, index.now) if at is not None else index.now


def repair_text(index: EstateIndex, match: IncidentMatch) -> str:
    """ "rerun by anna": how the root was repaired, and the requester. Empty if unknown."""
    root = match.group.root
    run = index.repairing_run(root) if root is not None and not root.state.is_open else None
    if root is None or run is None:
        return ""
    is_asserted = run.evidence is RunEvidence.ASSERTED
    repair = index.estate.repairs.get(root.id)
    if repair is not None and (is_asserted or (run.started_at or index.now) + CLOCK_SKEW >= repair.sent_at):
        return f"{_REPAIRS[repair.verb]} by {clean_line(repair.by)}"
    return f"attempt {run.attempt}" if run.attempt > 1 else ""


def run_length(index: EstateIndex, match: IncidentMatch) -> timedelta | None:
    """How long the run took that repaired the root; None if no run did."""
    run = index.repairing_run(match.group.root) if match.group.root is not None else None
    if run is None or run.started_at is None or run.ended_at is None or run.evidence is RunEvidence.ASSERTED:
        return None
    return run.ended_at - run.started_at
