"""Business notifications: no log and no technical names beyond the service and the team."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from operator import attrgetter

from console.control.alerts.context import AlertContext, AlertSubject, Notification
from console.control.alerts.headline import REFERENCE
from console.control.alerts.routing import affected_services
from console.control.alerts.services_table import FINE, service_title, service_zone
from console.control.snapshot.failures import Blame, identity_blame
from console.control.snapshot.reachability import NO_STATUS_REASONS
from console.domain.alert import INCIDENT_PLACEHOLDER, TECHNICAL, AlertKind
from console.domain.check import CheckState
from console.domain.decision import AffectedServiceVerdict, ServiceDayVerdict
from console.domain.service import Timeliness, format_probability, limit_instances, service_of_instance
from console.text.cleaning import clean_line
from console.text.message import MessageText
from console.timing.formats import local_time, zoned_time

_ZERO, _MINUTE = timedelta(0), timedelta(minutes=1)
"""Expectations are shown in full minutes."""
_BUSINESS_STATUS = {
    Timeliness.AT_RISK: "may be late",
    Timeliness.NO_ESTIMATE: "may be late",
    Timeliness.WILL_MISS: "is likely late",
    Timeliness.BREACHED: "is late",
    Timeliness.ON_TIME: "is expected on time",
    Timeliness.MET: "was delivered on time",
    Timeliness.MET_LATE: "was delivered late",
}

_SHARED = {
    Blame.CREDENTIAL: "a credential that several jobs use is refused",
    Blame.CONNECTION: "a database or server that several jobs use does not answer",
    Blame.HOST: "a server that several jobs use is not found on the network",
    Blame.DISK: "a disk that several jobs write to is full",
    Blame.MEMORY: "a server on which several jobs run has no memory left",
    Blame.TIMEOUT: "a database or server that several jobs use responds too slowly",
    Blame.TARGET: "nearly all jobs of one server fail, though it answers",
}


def business_text(context: AlertContext, notification: Notification, leaves: bool) -> MessageText:
    """Business notification. `leaves`: a technical one is sent in the same evaluation."""
    affected = affected_services(context, notification.subject, notification.route)
    is_resolved = notification.kind is AlertKind.RECOVERED
    lines = list(_lines(context, affected, is_resolved)) or ["No longer at risk."]
    title = f"{_business_title(context, affected, is_resolved) or 'No longer at risk'}{REFERENCE}"
    lines.append("")
    if not is_resolved:
        lines += [_cause(context, notification.subject, affected, leaves), *_next(context, affected), ""]
    text = "\n".join([*lines, f"Reference: {INCIDENT_PLACEHOLDER}"]) + "\n"
    return MessageText(title, text, title, text)


def _business_title(context: AlertContext, affected: list[AffectedServiceVerdict], is_resolved: bool) -> str:
    if not affected:
        return ""
    worst = min(affected, key=lambda service: (service.timeliness in FINE, service.deadline))
    rest = sum(_BUSINESS_STATUS[row.timeliness] == _BUSINESS_STATUS[worst.timeliness] for row in affected) - 1
    suffix = f", and {rest} more" if rest else ""
    return _line(context, worst, is_resolved, in_title=True).rstrip(".") + suffix


def _lines(context: AlertContext, affected: list[AffectedServiceVerdict], is_resolved: bool) -> Iterator[str]:
    for service, hidden in limit_instances(affected, attrgetter("service")):
        yield _line(context, service, is_resolved)
        yield from [f"And {hidden} more of {clean_line(service_of_instance(service.service))}."] if hidden else []


def _line(context: AlertContext, affected: AffectedServiceVerdict, is_resolved: bool, in_title: bool = False) -> str:
    """ "Supply plan, promised 06:30 CET, is likely late (expected 07:05)."; in a title "Supply plan 06:30 is …"."""
    zone, title = service_zone(context.index, affected), service_title(context.index, affected)
    promised = f"{title}, promised {zoned_time(affected.deadline, zone, context.now)},"
    if in_title:
        promised = f"{title} {local_time(affected.deadline, zone, context.now)}"
    day = context.days.get(affected.key)
    if day is not None and day.delivered_at is not None:
        return f"{promised} was delivered at {local_time(day.delivered_at, zone, affected.deadline)}."
    if is_resolved and affected.timeliness is not Timeliness.BREACHED:
        is_lost = affected.timeliness is Timeliness.WILL_MISS
        still = f", but {_BUSINESS_STATUS[affected.timeliness]}" if is_lost else ""
        expected = (_expected if is_lost else _margin)(day, affected, zone, context.now)
        return f"{promised} is no longer at risk from this incident{still}{expected}."
    expected = _expected(day, affected, zone, context.now)
    return f"{promised} {_BUSINESS_STATUS[affected.timeliness]}{expected}."


def _expected(day: ServiceDayVerdict | None, affected: AffectedServiceVerdict, zone: str, now: datetime) -> str:
    if affected.act_by is not None and affected.act_by > now and affected.timeliness is Timeliness.AT_RISK:
        return f" unless it is repaired by {local_time(affected.act_by, zone, affected.deadline)}"
    expected = affected.expected_at or (day.expected_at if day is not None else None)
    return f" (expected {local_time(expected, zone, affected.deadline)})" if expected is not None else ""


def _margin(day: ServiceDayVerdict | None, affected: AffectedServiceVerdict, zone: str, now: datetime) -> str:
    expected = day.expected_at if day is not None else None
    if day is None or expected is None or not _ZERO <= expected - affected.deadline < _MINUTE:
        return _expected(day, affected, zone, now)
    risk = f"; the risk of being late is {format_probability(day.p_late)}" if day.p_late is not None else ""
    return f", with less than a minute to spare{risk}"


def _cause(context: AlertContext, subject: AlertSubject, affected: list[AffectedServiceVerdict], leaves: bool) -> str:
    what = _what_failed(context, subject, affected)
    owner = "its owner" if subject.job_owner else "the responsible team"
    notified_at = min((notice.first_at for notice in subject.notified if notice.style == TECHNICAL), default=None)
    if notified_at is None and not leaves:
        return f"Cause: {what}; {owner} has not been notified yet."
    at = zoned_time(notified_at or context.now, subject.decision.zone, context.now)
    return f"Cause: {what}; {owner} was notified at {at}."


def _what_failed(context: AlertContext, subject: AlertSubject, affected: list[AffectedServiceVerdict]) -> str:
    """ "a job of etl failed". Names of a shared cause and of a check are left to the technical notification."""
    group = subject.match.group
    if group.check:
        return _data_failure(context, subject, affected)
    if group.awaits:
        return "nothing failed, but not all jobs have finished"
    if subject.match.awaits:
        return "the failure is fixed, but not all jobs have finished"
    if group.shared:
        return _SHARED[identity_blame(group.shared)]
    unseen = NO_STATUS_REASONS.get(group.target.error_kind if group.target is not None else "")
    silent = f"{unseen}, so the state of its jobs is unknown" if unseen else "does not answer"
    what, did = ("a job", "failed") if group.root is not None else ("a system", silent)
    owner = clean_line(subject.job_owner)
    return f"{what} of {owner} {did}" if owner else f"{what} {did}"


def _data_failure(context: AlertContext, subject: AlertSubject, affected: list[AffectedServiceVerdict]) -> str:
    """ "all jobs ran, but the data of Supply plan failed a check"."""
    group = subject.match.group
    titles = ", ".join(dict.fromkeys(service_title(context.index, service) for service in affected))
    data = f"the data of {titles}" if titles else "the data"
    known = context.index.estate.checks.get((group.check, group.business_date))
    if known is not None and known.last.state is CheckState.FAILED:
        return f"all jobs ran, but {data} failed a check"
    return f"all jobs ran, but {data} could not be checked"


def _next(context: AlertContext, affected: list[AffectedServiceVerdict]) -> Iterator[str]:
    ahead = [
        (at, row)
        for row in affected
        for at in (row.act_by, row.green_by, row.expected_at, row.deadline)
        if at is not None and at > context.now
    ]
    if ahead:
        at, row = min(ahead, key=lambda pair: pair[0])
        yield f"Next update by {zoned_time(at, service_zone(context.index, row), context.now)}."
