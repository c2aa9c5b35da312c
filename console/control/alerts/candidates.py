"""Notification candidates: first notifications, escalations, repeats and passed deadlines.

The store keeps the last notification of each route, so a crash between two evaluations loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from console.control.alerts import suppression
from console.control.alerts.context import (
    AlertContext,
    AlertSubject,
    Notification,
    resolved_since,
)
from console.control.alerts.joint_repair import earlier_act_by
from console.control.alerts.routing import (
    affected_services,
    audience,
    on_call_route,
)
from console.control.alerts.service_stream import changed_days, is_worth_notifying, new_misses
from console.control.incidents.news import Change, DayOver, Merged, NewDay, Overtaken, changes_of
from console.domain.alert import BUSINESS, SHADOW, TECHNICAL, AlertKind, RouteNotification, SuppressionFacts
from console.domain.service import NOT_AT_RISK
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
    after = context.rule(last.route).escalate_after
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


def candidates_for(context: AlertContext, subject: AlertSubject) -> Iterator[Notification]:
    """Notifications to consider, each route once; technical ones first: the business text says when they were
    notified."""
    routes = sorted(audience(context, subject), key=lambda route: route[1] != TECHNICAL)
    for route, style in [*routes, *_notified_on(context, subject, routes)]:
        notification = _for_route(context, subject, route, style)
        if notification is not None:
            yield notification
    if not subject.decision.closed and not subject.match.is_repaired:
        yield from escalations(context, subject)


def _notified_on(
    context: AlertContext, subject: AlertSubject, routes: list[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Routes that the incident notified before, and at its end those that know its service days from another one, as
    an escalation did not reach them again."""
    named = {route for route, _ in routes} | set(subject.decision.suppressions.in_shadow)
    further = {target for notice in subject.notified for target in escalation_targets(context, notice.route)}
    for notice in subject.notified:
        if (
            notice.route not in named
            and notice.style != SHADOW
            and (subject.decision.closed or notice.route in further)
        ):
            yield notice.route, notice.style
    if subject.decision.closed:
        named |= {notice.route for notice in subject.notified}
        days = {day.key for day in subject.decision.services}
        yield from ((route, BUSINESS) for route in context.business_routes(days) if route not in named)


def _for_route(context: AlertContext, subject: AlertSubject, route: str, style: str) -> Notification | None:
    last = subject.last_notification(route, style)
    if style == BUSINESS:
        return _owner_message(context, subject, route, last)
    if last is None:
        if not subject.decision.closed:
            return Notification(subject, route, style, AlertKind.OPENED)
        return _outlasting(context, subject, route, style)
    decision = subject.decision
    changes = (
        *changes_of(last.content, decision.fingerprint, decision.merges),
        *new_misses(context, subject, last),
        *earlier_act_by(context, subject, last),
        *_overtaken(context, subject, last),
    )
    if decision.closed:
        is_known = suppression.was_notified_resolved(context, subject, last, changes)
        is_known &= not suppression.waited_for_repair(subject, route, style)
        return None if is_known else _end(subject, route, style, last)
    if any(not isinstance(change, Merged) for change in changes):
        return Notification(subject, route, style, AlertKind.UPDATED, last, changes=changes)
    again = repeat_reason(context, subject, last) if style != SHADOW and not subject.match.is_repaired else ""
    return Notification(subject, route, style, AlertKind.REPEATED, last, again) if again else None


def _owner_message(
    context: AlertContext, subject: AlertSubject, route: str, last: RouteNotification | None
) -> Notification | None:
    """The message to the owner of services, in business text, if a day of the route's services changed."""
    changes, is_closed = changed_days(context, subject, route), subject.decision.closed
    affected = affected_services(context, subject, route)
    before = last or context.newest(route, BUSINESS, (day.key for day in affected))
    if is_closed and (changes or (last is not None and not suppression.is_sent(context, subject, last))):
        return _end(subject, route, BUSINESS, before)
    if is_closed:
        return _outlasting(context, subject, route, BUSINESS) if before is None else None
    if not changes and last is not None:
        changes = _overtaken(context, subject, last)
    if not changes:
        return None
    if last is None and not all(isinstance(change, DayOver) for change in changes):
        if not is_worth_notifying(context, subject, route):
            return None
        if any(isinstance(change, NewDay) for change in changes):
            return Notification(subject, route, BUSINESS, AlertKind.OPENED)
    is_over = all(day.timeliness in NOT_AT_RISK for day in affected)
    kind = AlertKind.RECOVERED if is_over else AlertKind.UPDATED
    return Notification(subject, route, BUSINESS, kind, before, changes=changes)


def _end(subject: AlertSubject, route: str, style: str, before: RouteNotification | None) -> Notification:
    kind = AlertKind.RECOVERED if subject.match.recovered else AlertKind.UPDATED
    return Notification(subject, route, style, kind, before)


def _outlasting(context: AlertContext, subject: AlertSubject, route: str, style: str) -> Notification | None:
    """The end of an incident whose first notification was suppressed, if it lasted longer than the suppression."""
    fact = subject.suppressed_for(route, style)
    if fact is None or not subject.match.recovered or not _outlasted(context, subject, fact):
        return None
    return Notification(subject, route, style, AlertKind.RECOVERED)


def _overtaken(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> tuple[Change, ...]:
    if not last.is_undelivered or not last.left_by(context.now):
        return ()
    act_bys = [day.act_by for day in last.content.days]
    deadlines = [day.deadline for day in affected_services(context, subject, last.route)]
    is_passed = any(at is not None and last.last_at < at <= context.now for at in (*act_bys, *deadlines))
    return (Overtaken(),) if is_passed else ()


def _outlasted(context: AlertContext, subject: AlertSubject, fact: SuppressionFacts) -> bool:
    if fact.stage == suppression.QUIET_HOURS_STAGE:
        return True
    if fact.stage == suppression.REPAIR_STAGE:
        return fact.style != BUSINESS
    if fact.stage == suppression.INHIBIT_STAGE:
        until = suppression.inhibited_until(context, subject)
        return until is None or until < resolved_since(context, subject)
    return fact.until is not None and fact.until <= resolved_since(context, subject)
