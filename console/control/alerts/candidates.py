"""Notification candidates: first notifications, escalations, repeats and passed deadlines.

The store keeps the last notification of each route, so a crash between two evaluations loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from console.control.alerts import business_news, inhibition, suppression
from console.control.alerts.context import (
    AlertContext,
    AlertSubject,
    Notification,
    deadline_passed_since,
    resolved_since,
)
from console.control.alerts.headline import most_urgent
from console.control.alerts.joint_repair import act_bys_of, earlier_act_by
from console.control.alerts.routing import (
    affected_services,
    audience,
    on_call_route,
    services_on_route,
    technical_first,
)
from console.control.alerts.services_table import service_title
from console.control.incidents.correlation import ServiceDayKey, notified_content, parse_last_notification
from console.control.incidents.decisions import list_names
from console.domain.alert import BUSINESS, SHADOW, TECHNICAL, AlertKind, RouteNotification, SuppressionFacts
from console.domain.decision import AffectedServiceVerdict
from console.domain.service import NOT_AT_RISK, UNMET_PROMISE, Timeliness
from console.timing.durations import format_duration
from console.timing.formats import zoned_time


def escalations(context: AlertContext, subject: AlertSubject) -> Iterator[Notification]:
    """Escalations that are due: the notified routes have not acknowledged. A route that is reached from a technical
    and a business route gets the technical one."""
    by_route: dict[str, Notification] = {}
    for last in sorted(subject.notified, key=lambda notice: notice.style != TECHNICAL):
        if last.style != SHADOW:
            for notification in _of_route(context, subject, last):
                by_route.setdefault(notification.route, notification)
    yield from by_route.values()


def escalation_targets(context: AlertContext, route: str) -> list[str]:
    """Routes that a route escalates to, by its current rota."""
    return [on_call_route(context, name) for name in context.rule(route).escalate_to]


def _of_route(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> Iterator[Notification]:
    times = dict(context.rule(last.route).escalate_after)
    after = times.get(subject.tier or 0, times.get(0))
    if after is None:
        return
    first_at = context.now if subject.match.reopened or subject.ack_ended else last.first_at
    for place, target in enumerate(escalation_targets(context, last.route), 1):
        style = TECHNICAL if not subject.decision.services else context.rule(target).style or last.style
        if any(
            subject.last_notification(target, text) is not None for text in (style, TECHNICAL)
        ) or not context.is_due(first_at + place * after):
            continue
        at = zoned_time(first_at, subject.decision.zone, context.now)
        because = f'Route "{last.route}" has not acknowledged it since {at}.'
        yield Notification(subject, target, style, AlertKind.ESCALATED, because=because)


def repeat_reason(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> str:
    """Why the route is notified again now; empty if no repeat is due."""
    every = context.rule(last.route).repeat_every
    if every is None or not context.is_due(last.last_at + every):
        return ""
    open_for = format_duration(context.now - last.first_at)
    return f"Still open {open_for} after the first notification, unacknowledged."


def unannounced_misses(context: AlertContext, subject: AlertSubject, before: RouteNotification) -> list[str]:
    """Names of the services whose deadline passed and whose owners get no business notification: they name no route,
    or one with technical text; without those that another incident announces. Empty for an incident about the promise
    itself."""
    update = _update(subject, before)
    passed = [
        service.service
        for service in subject.decision.services
        if deadline_passed_since(context, service, before) and not _is_announced_elsewhere(context, update, service)
    ]
    if not passed or subject.decision.rule == UNMET_PROMISE:
        return []
    heard = {
        name
        for route, style in audience(context, subject)
        if style == BUSINESS
        for name in services_on_route(context, subject, route)
    }
    return [name for name in passed if name not in heard]


def _update(subject: AlertSubject, last: RouteNotification) -> Notification:
    return Notification(subject, last.route, last.style, AlertKind.UPDATED, last)


def _is_business_news(context: AlertContext, notification: Notification) -> bool:
    """True if a service changed, or the route is notified for the first time of one at risk; apart from a missed or
    lost deadline that another incident announces."""
    news = _changed_services(context, notification)
    return any(not _is_announced_elsewhere(context, notification, service) for service in news)


def _changed_services(context: AlertContext, notification: Notification) -> Iterable[AffectedServiceVerdict]:
    """Services that are news for a business route, whatever other incidents announce. While a plan runs that has
    repaired the cause none is announced as on time: the end of the incident does that."""
    subject, route = notification.subject, notification.route
    if notification.before is not None:
        changed = business_news.changed_services(context, subject, notification.before)
        return (day for day in changed if not subject.match.awaited_plan or day.timeliness is not Timeliness.ON_TIME)
    if not business_news.is_worth_notifying(context, subject, route):
        return ()
    return (day for day in affected_services(context, subject, route) if day.timeliness not in NOT_AT_RISK)


def _is_announced_elsewhere(context: AlertContext, notification: Notification, service: AffectedServiceVerdict) -> bool:
    """True if another incident notifies the route that the service missed its deadline, or will: one did, else the
    first open one by key whose notification nothing suppresses does now. A route is notified of such a day once,
    however many incidents affect it."""
    route, style, before = notification.route, notification.style, notification.before
    if service.timeliness is Timeliness.WILL_MISS and style == BUSINESS:
        styles: tuple[str, ...] = (BUSINESS,)
    elif (
        service.timeliness is Timeliness.BREACHED if before is None else deadline_passed_since(context, service, before)
    ):
        styles = (SHADOW,) if style == SHADOW else (TECHNICAL, BUSINESS)
    else:
        return False
    newest = (_newest_notifications(context).get((route, known_style, service.key)) for known_style in styles)
    if any(_is_known(context, notification, service, *last) for last in newest if last is not None):
        return True
    announcer = _announcer(context, notification, service)
    return announcer is not None and announcer is not notification.subject


def _is_known(
    context: AlertContext,
    notification: Notification,
    service: AffectedServiceVerdict,
    incident_id: int,
    last: RouteNotification,
) -> bool:
    """True if `last`, of that incident, was of the miss, and nothing moved since that only this notification announces.
    An incident that the route was not notified of announces the miss once the other is closed: otherwise the route
    would not be notified of the delivery."""
    subject, is_notified = notification.subject, notification.before is not None
    is_open = any(known.decision.incident_id == incident_id for known in context.open_subjects(service.key))
    if service.timeliness is Timeliness.WILL_MISS:
        return (is_open or is_notified) and business_news.is_known_to_miss(context, subject, service, last)
    if last.last_at <= service.deadline:
        return False
    return is_open or (is_notified and not business_news.has_moved(service, last))


def _newest_notifications(
    context: AlertContext,
) -> Mapping[tuple[str, str, ServiceDayKey], tuple[int, RouteNotification]]:
    """By route, style and service day, the newest notification that named it, with its incident."""
    if context.newest_notifications is None:
        context.newest_notifications = {}
        notified = context.notifications.notified.items()
        for number, last in sorted(
            ((number, last) for number, notices in notified for last in notices), key=lambda pair: pair[1].last_at
        ):
            days = business_news.service_days_of(last)
            context.newest_notifications |= {(last.route, last.style, day): (number, last) for day in days}
    return context.newest_notifications


def _announcer(
    context: AlertContext, notification: Notification, service: AffectedServiceVerdict
) -> AlertSubject | None:
    """The first open incident by key that notifies the route now that the service missed its deadline, or will."""
    route, style = notification.route, notification.style
    if (key := (route, style, service.key)) not in context.announcers:
        sent = (
            announcement.subject
            for subject in context.open_subjects(service.key)
            if (announcement := _announcement(context, subject, route, style)) is not None
            and service.key in {day.key for day in _changed_services(context, announcement)}
            and not any(stage(context, announcement) for stage in _SUPPRESSING)
        )
        context.announcers[key] = next(sent, None)
    return context.announcers[key]


def _announcement(context: AlertContext, subject: AlertSubject, route: str, style: str) -> Notification | None:
    """The update of the route, or its first notification; None if the incident does not notify it."""
    last = subject.last_notification(route, style)
    if last is not None:
        return _update(subject, last)
    is_due = (route, style) in audience(context, subject)
    return Notification(subject, route, style, AlertKind.OPENED) if is_due else None


_SUPPRESSING = (
    suppression.suppress_waiting,
    suppression.suppress_silenced,
    suppression.suppress_in_maintenance,
    suppression.suppress_cancelled,
    suppression.suppress_distant,
    suppression.suppress_flapping,
    suppression.suppress_in_quiet_hours,
    suppression.suppress_grouped,
    inhibition.suppress_inhibited,
)


def missed_deadline_note(context: AlertContext, notification: Notification, before: RouteNotification) -> str:
    """Services past their deadline beside that of the title, for the notification that is sent; empty if none is."""
    missed = unannounced_misses(context, notification.subject, before) if notification.style == TECHNICAL else []
    first = most_urgent(context, notification)
    titles = [service_title(context.index, name) for name in missed if first is None or name != first.service]
    return f"also past the deadline: {list_names(titles)}" if titles else ""


def candidates_for(context: AlertContext, subject: AlertSubject) -> Iterator[Notification]:
    """Notifications to consider, each route once."""
    routes = technical_first(audience(context, subject))
    for route, style in [*routes, *_notified_on(context, subject, routes)]:
        notification = _for_route(context, subject, route, style)
        if notification is not None:
            yield notification
    if not subject.decision.closed and not subject.match.is_repaired:
        yield from escalations(context, subject)


def fingerprint_to_store(context: AlertContext, notification: Notification) -> str:
    """Fingerprint of the content of this notification."""
    if notification.style == BUSINESS:
        return business_news.business_fingerprint(context, notification.subject, notification.route)
    content = parse_last_notification(notification.subject.decision.fingerprint).news()
    return replace(content, act_bys=tuple(act_bys_of(context, notification.subject))).text()


def _notified_on(
    context: AlertContext, subject: AlertSubject, routes: list[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    named = {route for route, _ in routes} | set(subject.decision.in_shadow)
    further = {target for notice in subject.notified for target in escalation_targets(context, notice.route)}
    for notice in subject.notified:
        if (
            notice.route not in named
            and notice.style != SHADOW
            and (subject.decision.closed or notice.route in further)
        ):
            yield notice.route, notice.style


def _for_route(context: AlertContext, subject: AlertSubject, route: str, text: str) -> Notification | None:
    last = subject.last_notification(route, text)
    if last is None:
        if not subject.decision.closed:
            first = Notification(subject, route, text, AlertKind.OPENED)
            return first if text != BUSINESS or _is_business_news(context, first) else None
        fact = subject.suppressed_for(route, text)
        if fact is None or not subject.match.recovered or not _outlasted(context, subject, fact):
            return None
        return Notification(subject, route, text, AlertKind.RECOVERED)
    if subject.decision.closed:
        if suppression.was_notified_resolved(context, subject, last):
            return None
        is_late = text == BUSINESS and business_news.is_late(context, subject, last)
        if is_late and not _is_business_news(context, _update(subject, last)):
            return None  # the end of this cause changes nothing for the owners of its services
        kind = AlertKind.RECOVERED if subject.match.recovered else AlertKind.UPDATED
        return Notification(subject, route, text, kind, last)
    if last.style == BUSINESS:
        is_news = _is_business_news(context, _update(subject, last))
    elif notified_content(last.fingerprint).news() != parse_last_notification(subject.decision.fingerprint).news():
        is_news = True
    else:
        is_news = bool(unannounced_misses(context, subject, last) or earlier_act_by(context, subject, last))
    if is_news or _is_overtaken(context, subject, last):
        return Notification(
            subject, route, text, AlertKind.UPDATED, last, errors_only=_is_error(context, subject, last)
        )
    is_repeated = text not in (BUSINESS, SHADOW) and not subject.match.is_repaired
    again = repeat_reason(context, subject, last) if is_repeated else ""
    return Notification(subject, route, text, AlertKind.REPEATED, last, again) if again else None


def _is_overtaken(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> bool:
    """True if the route has not accepted its last notification, and an act-by or a deadline that it names has passed
    meanwhile: it is sent with the present state instead."""
    if not last.is_undelivered or not last.left_by(context.now):
        return False
    act_bys = (
        [day.act_by for day in business_news.notified_days(last).values()]
        if last.style == BUSINESS
        else [day.act_by for day in notified_content(last.fingerprint).act_bys]
    )
    deadlines = [day.deadline for day in affected_services(context, subject, last.route)]
    return any(at is not None and last.last_at < at <= context.now for at in (*act_bys, *deadlines))


def _is_error(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> bool:
    if last.style == BUSINESS or unannounced_misses(context, subject, last) or earlier_act_by(context, subject, last):
        return False
    now, before = (notified_content(text).news() for text in (subject.decision.fingerprint, last.fingerprint))
    return replace(now, errors=(), causes=()) == replace(before, errors=(), causes=())


def _outlasted(context: AlertContext, subject: AlertSubject, fact: SuppressionFacts) -> bool:
    if fact.stage in (suppression.GROUP_STAGE, suppression.QUIET_HOURS_STAGE):
        return True
    if fact.stage == inhibition.INHIBIT_STAGE:
        until = inhibition.inhibited_until(context, subject)
        return until is None or until < resolved_since(context, subject)
    return fact.until is not None and fact.until <= resolved_since(context, subject)
