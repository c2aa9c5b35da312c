"""Business notifications: no log and no technical names beyond the service and the team."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial

from connectors.sdk.states import RunState
from console.control.alerts.context import AlertContext, AlertSubject, Notification
from console.control.alerts.headline import REFERENCE, by_urgency, kind_label, promise_text
from console.control.alerts.joint_repair import joint_act_by, remaining_act_by
from console.control.alerts.routing import affected_services, routes_of_job_owner
from console.control.alerts.services_table import (
    business_status_text,
    delivery_text,
    end_status_text,
    is_only_unknown,
    service_title,
    service_zone,
    services_table,
    still_text,
)
from console.control.incidents.correlation import cause_finding
from console.control.incidents.run_titles import is_stale_success
from console.control.incidents.verdict.text import until_parts
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import BUSINESS, CAUSE_RESOLVED_LABEL, KIND_LABELS, TECHNICAL, AlertKind
from console.domain.decision import AffectedServiceVerdict, ServiceDayVerdict
from console.domain.message import Cell, Facts, Headline, Label, Lines, Link, Message, filled_blocks
from console.domain.probability import format_risk
from console.domain.run import CLOCK_SKEW
from console.domain.service import NOT_AT_RISK
from console.text.cleaning import clean_line
from console.timing.formats import local_time, zone_label, zoned_time

_ZERO, _MINUTE = timedelta(0), timedelta(minutes=1)
"""Expectations are shown in full minutes."""
MARGIN = "Margin"
"""Label of the margin of an end."""


def business_message(context: AlertContext, notification: Notification, technical: Collection[str]) -> Message:
    """Business notification. `technical`: the routes to which technical ones are sent in the same evaluation."""
    subject = notification.subject
    affected = affected_services(context, subject, notification.route)
    zone = service_zone(context.index, affected[0].service) if affected else subject.decision.zone
    urgent = by_urgency(context, notification)
    blocks = filled_blocks(
        Lines((notification.because,) if notification.because else ()),
        Facts(tuple(_facts(context, subject, affected, zone, technical))),
        services_table(
            context, subject, [service for service in urgent if service in affected], zone, business_status_text
        ),
    )
    title = (*_title(context, notification, affected, zone), REFERENCE)
    label = zone_label(min((service.deadline for service in affected), default=context.now), zone)
    return Message(title, blocks or (Lines(("No service is affected any more.",)),), label)


def _title(
    context: AlertContext, notification: Notification, affected: Sequence[AffectedServiceVerdict], zone: str
) -> Headline:
    """ "Supply plan 06:30 at risk: repair needed by 05:40 (in 2 h 28 min)"."""
    label, subject = kind_label(notification), notification.subject
    is_closed = subject.decision.closed
    if not affected:
        return Label(label), "no service at risk"

    def urgency(service: AffectedServiceVerdict) -> tuple[bool, bool, datetime]:
        known = context.known_day(notification.route, BUSINESS, service.key)
        is_known_as_over = known is not None and known.status in NOT_AT_RISK
        return service.timeliness in NOT_AT_RISK, is_known_as_over, service.deadline

    worst = min(affected, key=urgency)
    is_unknown = is_only_unknown(context, worst)
    is_fine = worst.timeliness in NOT_AT_RISK or is_unknown
    is_still = notification.kind is AlertKind.RECOVERED and worst.timeliness not in NOT_AT_RISK
    label = CAUSE_RESOLVED_LABEL if is_still else KIND_LABELS[notification.kind] if is_fine and not is_closed else label
    label_of = business_status_text
    text = end_status_text(context, worst, label_of) if is_closed else label_of(worst.timeliness)
    status = still_text(worst.timeliness, label_of) if is_still and not is_unknown else text
    act_by_of = remaining_act_by if is_closed else joint_act_by
    act_by = None if worst.timeliness in NOT_AT_RISK else act_by_of(context, subject, worst)
    until = until_parts(act_by, context.now, partial(local_time, zone=zone, near=context.now))
    promise = promise_text(context.index, zone, affected, worst, f"{label} {status}")
    if until:
        return Label(label), f"{promise} {status}", ": repair needed", *until
    return Label(label), f"{promise} {status}{delivery_text(context, worst, zone)}"


def _facts(
    context: AlertContext,
    subject: AlertSubject,
    affected: Sequence[AffectedServiceVerdict],
    zone: str,
    technical: Collection[str],
) -> Iterator[tuple[str, Cell]]:
    if not subject.decision.closed:
        yield "Cause", _cause(context, subject, affected, zone, technical)
        if at := _next_update(context, subject, affected):
            yield "Next update", f"by {zoned_time(at, zone, context.now)}"
    elif margin := next(filter(None, (_margin(context.days.get(service.key)) for service in affected)), ""):
        yield MARGIN, margin
    if link := context.alerting.link:
        yield "Open", Link(link)


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
    routes = routes_of_job_owner(context, subject)
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
    if subject.match.is_repaired:
        return "the failure is fixed, but not all jobs have finished"
    services = list(dict.fromkeys(service_title(context.index, service.service) for service in affected))
    if text := subject.match.cause.business_text(context.index, services):
        return text
    owner = clean_line(subject.job_owner)
    return f"a job{f' owned by {owner}' if owner else ''} {_job_trouble(context.index, subject)}"


def _job_trouble(index: EstateIndex, subject: AlertSubject) -> str:
    """The kind of its failure, also while its run is repeated."""
    match = subject.match
    if (finding := cause_finding(match)) is not None:
        return finding.rule.predicate
    run = match.to_repair
    if run is None or run.state.is_red:
        return "did not start" if run is not None and run.state is RunState.MISSED else "failed"
    known = subject.decision.fingerprint.failures
    states = [failure.state for failure in known if failure.job == index.name(run.job_id)]
    if not states and is_stale_success(index, run):
        return "read unfinished data"
    is_missed = bool(states) and states[-1] == RunState.MISSED
    if run.state.is_open and run.started_at is not None:
        return "started late" if is_missed else "failed and runs again"
    return "did not start" if is_missed else "failed"


def _next_update(
    context: AlertContext, subject: AlertSubject, affected: Sequence[AffectedServiceVerdict]
) -> datetime | None:
    """When the status of a service changes at the latest: at its act-by or deadline, later when it is expected."""
    at_risk = [service for service in affected if service.timeliness not in NOT_AT_RISK]
    times = (at for service in at_risk for at in (joint_act_by(context, subject, service), service.deadline))
    late = (service.expected_at for service in at_risk if service.deadline <= context.now)
    return min((at for at in (*times, *late) if at is not None and at > context.now), default=None)
