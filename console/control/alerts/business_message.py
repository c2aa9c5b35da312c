"""Business notifications: no log and no technical names beyond the service and the team."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from connectors.sdk.states import RunState
from console.control.alerts.business_news import NotifiedDay, notified_days
from console.control.alerts.context import AlertContext, AlertSubject, Notification
from console.control.alerts.headline import REFERENCE, by_urgency, kind_label, promise_text
from console.control.alerts.joint_repair import joint_act_by
from console.control.alerts.routing import affected_services, owner_routes
from console.control.alerts.services_table import (
    delivery_text,
    end_status_text,
    is_only_unknown,
    service_title,
    service_zone,
    services_table,
    status_text,
    still_text,
)
from console.control.incidents.correlation import notified_content
from console.control.incidents.titles import is_stale_success
from console.control.incidents.verdict import until_text
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.failures import Blame, identity_blame
from console.control.snapshot.reachability import NO_STATUS_REASONS, outage_text
from console.control.snapshot.runs import CLOCK_SKEW
from console.domain.alert import CAUSE_RESOLVED_LABEL, KIND_LABELS, TECHNICAL, AlertKind
from console.domain.check import CheckState
from console.domain.decision import AffectedServiceVerdict, ServiceDayVerdict
from console.domain.probability import format_risk
from console.domain.service import NOT_AT_RISK
from console.text.cleaning import clean_line
from console.text.message import MessageText, table, text_of
from console.timing.formats import local_time, zone_label, zoned_time

_ZERO, _MINUTE = timedelta(0), timedelta(minutes=1)
"""Expectations are shown in full minutes."""

_SHARED = {
    Blame.CREDENTIAL: "a credential that several jobs use is refused",
    Blame.CONNECTION: "a database or server that several jobs use does not answer",
    Blame.HOST: "a server that several jobs use is not found on the network",
    Blame.DISK: "a disk that several jobs write to is full",
    Blame.MEMORY: "a server on which several jobs run has no memory left",
    Blame.TIMEOUT: "a database or server that several jobs use responds too slowly",
    Blame.TARGET: "nearly all jobs of one server fail, though it answers",
}


def business_text(context: AlertContext, notification: Notification, technical: Collection[str]) -> MessageText:
    """Business notification. `technical`: the routes to which technical ones are sent in the same evaluation."""
    subject = notification.subject
    affected = affected_services(context, subject, notification.route)
    zone = service_zone(context.index, affected[0].service) if affected else subject.decision.zone
    urgent = by_urgency(context, notification)
    blocks = (
        [notification.because] if notification.because else [],
        table(_facts(context, subject, affected, zone, technical)),
        services_table(context, subject, [service for service in urgent if service in affected], zone),
    )
    title = f"{_title(context, notification, affected, zone)}{REFERENCE}"
    body = text_of(blocks if any(blocks) else [["No service is affected any more."]])
    label = zone_label(min((service.deadline for service in affected), default=context.now), zone)
    return MessageText(title, body, title, body, zone_label=label)


def _title(
    context: AlertContext, notification: Notification, affected: Sequence[AffectedServiceVerdict], zone: str
) -> str:
    """ "Supply plan 06:30 at risk: repair needed by 05:40 (in 2 h 28 min)"."""

    def clock(at: datetime) -> str:
        return local_time(at, zone, context.now)

    label, subject = kind_label(notification), notification.subject
    is_closed = subject.decision.closed
    if not affected:
        return f"{label}no service at risk"
    before = notified_days(notification.before) if notification.before is not None else {}

    def urgency(service: AffectedServiceVerdict) -> tuple[bool, bool, datetime]:
        known = before.get(service.key, NotifiedDay()).status
        return service.timeliness in NOT_AT_RISK, known in NOT_AT_RISK, service.deadline

    worst = min(affected, key=urgency)
    is_unknown = is_only_unknown(context, worst)
    is_fine = worst.timeliness in NOT_AT_RISK or is_unknown
    is_still = notification.kind is AlertKind.RECOVERED and worst.timeliness not in NOT_AT_RISK
    label = CAUSE_RESOLVED_LABEL if is_still else KIND_LABELS[notification.kind] if is_fine and not is_closed else label
    text = end_status_text(context, worst) if is_closed else status_text(worst.timeliness)
    status = still_text(worst.timeliness) if is_still and not is_unknown else text
    act_by = None if is_closed or worst.timeliness in NOT_AT_RISK else joint_act_by(context, subject, worst)
    until = until_text(act_by, context.now, clock)
    outcome = f": repair needed{until}" if until else delivery_text(context, worst, zone)
    return f"{label}{promise_text(context.index, zone, affected, worst, f'{label} {status}')} {status}{outcome}"


def _facts(
    context: AlertContext,
    subject: AlertSubject,
    affected: Sequence[AffectedServiceVerdict],
    zone: str,
    technical: Collection[str],
) -> Iterator[tuple[str, str]]:
    if not subject.decision.closed:
        yield "Cause", _cause(context, subject, affected, zone, technical)
        if at := _next_update(context, subject, affected):
            yield "Next update", f"by {zoned_time(at, zone, context.now)}"
    elif margin := next(filter(None, (_margin(context.days.get(service.key)) for service in affected)), ""):
        yield "Margin", margin
    if link := context.alerting.link:
        yield "Open", link


def _margin(day: ServiceDayVerdict | None) -> str:
    """ "less than a minute; 41 % risk of being late", where the expected minute is that of the deadline; else empty."""
    expected = day.expected_at if day is not None and day.delivered_at is None else None
    if day is None or expected is None or not _ZERO <= expected - day.deadline < _MINUTE:
        return ""
    return "; ".join(["less than a minute", *([format_risk(day.p_late)] if day.p_late is not None else [])])


def _cause(
    context: AlertContext,
    subject: AlertSubject,
    affected: Sequence[AffectedServiceVerdict],
    zone: str,
    technical: Collection[str],
) -> str:
    what = _what_failed(context, subject, affected)
    routes = owner_routes(context, subject)
    owner = "its owner" if routes else "the responsible team"
    since = subject.decision.failed_since - CLOCK_SKEW
    notices = [
        notice for notice in subject.notified if notice.style == TECHNICAL and (not routes or notice.route in routes)
    ]
    accepted = min((at for notice in notices for at in notice.accepted if at >= since), default=None)
    if accepted is not None:
        return f"{what}; {owner} was notified at {zoned_time(accepted, zone, context.now)}"
    leaving = routes.intersection(technical) if routes else technical
    is_being_notified = bool(leaving) or any(notice.last_at >= since for notice in notices)
    return f"{what}; {owner} {'is being notified' if is_being_notified else 'has not been notified yet'}"


def _what_failed(context: AlertContext, subject: AlertSubject, affected: Sequence[AffectedServiceVerdict]) -> str:
    """ "a job of etl failed". Names of a shared cause and of a check are left to the technical notification."""
    group = subject.match.group
    if group.check:
        return _data_failure(context, subject, affected)
    if group.awaits:
        return "nothing failed, but not all jobs have finished"
    if subject.match.is_repaired:
        return "the failure is fixed, but not all jobs have finished"
    if group.shared:
        return _SHARED[identity_blame(group.shared)]
    what, did = (
        ("a job", _job_trouble(context.index, subject)) if group.root is not None else ("a system", "does not answer")
    )
    if group.target is not None:
        is_unknown = group.target.error_kind in NO_STATUS_REASONS
        did = f"{outage_text(group.target)}{', so the state of its jobs is unknown' if is_unknown else ''}"
    owner = clean_line(subject.job_owner)
    return f"{what} of {owner} {did}" if owner else f"{what} {did}"


def _job_trouble(index: EstateIndex, subject: AlertSubject) -> str:
    """The kind of its failure, also while its run is repeated."""
    match = subject.match
    if match.group.finding is not None:
        return match.group.finding.rule.predicate
    run = match.to_repair
    if run is None or run.state.is_red:
        return "did not start" if run is not None and run.state is RunState.MISSED else "failed"
    known = notified_content(subject.decision.fingerprint).failures
    states = [failure.state for failure in known if failure.job == index.name(run.job_id)]
    if not states and is_stale_success(index, run):
        return "read unfinished data"
    return "did not start" if states and states[-1] == RunState.MISSED else "failed"


def _data_failure(context: AlertContext, subject: AlertSubject, affected: Sequence[AffectedServiceVerdict]) -> str:
    """ "all jobs ran, but the data of Supply plan failed a check"."""
    group = subject.match.group
    titles = ", ".join(dict.fromkeys(service_title(context.index, service.service) for service in affected))
    data = f"the data of {titles}" if titles else "the data"
    known = context.index.estate.checks.get((group.check, group.business_date))
    if known is not None and known.last.state is CheckState.FAILED:
        return f"all jobs ran, but {data} failed a check"
    return f"all jobs ran, but {data} could not be checked"


def _next_update(
    context: AlertContext, subject: AlertSubject, affected: Sequence[AffectedServiceVerdict]
) -> datetime | None:
    """When the status of a service changes at the latest: at its act-by or deadline, later when it is expected."""
    at_risk = [service for service in affected if service.timeliness not in NOT_AT_RISK]
    times = (at for service in at_risk for at in (joint_act_by(context, subject, service), service.deadline))
    late = (service.expected_at for service in at_risk if service.deadline <= context.now)
    return min((at for at in (*times, *late) if at is not None and at > context.now), default=None)
