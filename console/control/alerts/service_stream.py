"""The service stream: which changes of a service day are news for a route (docs/notifications.md).

A route knows of a day what its newest message had, whichever incident that was about. A change is notified once: by the
first incident that affects the day and that no stage suppresses.
"""

from __future__ import annotations

from datetime import timedelta

from console.control.alerts.context import AlertContext, AlertSubject, Notification
from console.control.alerts.joint_repair import act_bys_of, joint_act_by
from console.control.alerts.routing import affected_services, audience, services_on_route
from console.control.incidents.news import Change, DayChange, DayOver, DeliveredLate, Missed, NewDay
from console.control.snapshot.reachability import NO_STATUS_REASONS
from console.domain.alert import (
    BUSINESS,
    IncidentPhase,
    NotifiedDay,
    NotifiedIncident,
    RouteNotification,
)
from console.domain.decision import AffectedServiceVerdict
from console.domain.incident_record import CauseKind
from console.domain.service import NOT_AT_RISK, Timeliness

UNREACHABLE_FOR = timedelta(minutes=15)
"""How long a reachable system may give no status before the owners of its services are notified."""
LEAST_MOVE = timedelta(minutes=10)
SLACK_SHARE = 1 / 4
"""An expected time after the deadline is news if it moves by more than both; the share is of the slack that the route
knows."""
_STEPS = {
    Timeliness.ON_TIME: 0,
    Timeliness.MET: 0,
    Timeliness.NO_ESTIMATE: 1,
    Timeliness.AT_RISK: 1,
    Timeliness.WILL_MISS: 2,
    Timeliness.BREACHED: 3,
    Timeliness.MET_LATE: 4,
}
"""A change goes forward, or back to 0: wavering between two steps is without news."""
_SAFE, _MISSED, _OVER = 0, 3, 4


def changed_days(context: AlertContext, subject: AlertSubject, route: str) -> tuple[Change, ...]:
    """Changes of the route's services that it does not know yet, without those already covered."""
    return tuple(
        DeliveredLate() if _STEPS[day.timeliness] == _OVER
        else DayOver() if day.timeliness in NOT_AT_RISK
        else NewDay() if (known := context.known_day(route, BUSINESS, day.key)) is None
        else Missed() if _STEPS[day.timeliness] >= _MISSED > known_step(known)
        else DayChange()
        for day in affected_services(context, subject, route) if _is_news(context, subject, route, day)
    )  # fmt: skip


def _is_news(context: AlertContext, subject: AlertSubject, route: str, day: AffectedServiceVerdict) -> bool:
    known, step = context.known_day(route, BUSINESS, day.key), _STEPS[day.timeliness]
    if context.is_covered(route, BUSINESS, day.key):
        return False
    if known is None:
        return step == _OVER or (step != _SAFE and not subject.decision.closed)
    before = known_step(known)
    if step == _SAFE:
        # While a plan runs that has repaired the cause, the end of the incident notifies of it.
        return before not in (_SAFE, _OVER) and not (
            subject.match.awaited_plan and day.timeliness is Timeliness.ON_TIME
        )
    affecting = context.open_by_day.get(day.key, ()) if subject.decision.closed else ()
    if any(_notifies(context, incident, route) for incident in affecting):
        return False
    if step != before:
        return step > before or before == _OVER
    is_end = subject.decision.closed and step < _MISSED
    return _has_moved(day, known) or (is_end and not context.knows_end(route, BUSINESS, day.key))


def _notifies(context: AlertContext, subject: AlertSubject, route: str) -> bool:
    """True if the incident has notified the route or would; one that an escalation reached it may not."""
    routes = {name for name, _ in audience(context, subject)}
    return route in routes or any(notice.route == route for notice in subject.notified)


def _has_moved(day: AffectedServiceVerdict, known: NotifiedDay) -> bool:
    """True if it is expected after its deadline, at a materially different time than the route knows."""
    if known.expected is None or day.expected_at is None or day.expected_at <= day.deadline:
        return False
    return abs(day.expected_at - known.expected) > max(LEAST_MOVE, abs(day.deadline - known.expected) * SLACK_SHARE)


def known_step(known: NotifiedDay) -> int:
    return _STEPS[Timeliness(known.status)]


def is_known_as_safe(known: NotifiedDay | None) -> bool:
    return known is not None and known_step(known) == _SAFE


def is_worth_notifying(context: AlertContext, subject: AlertSubject, route: str) -> bool:
    """True unless its only reason is a reachable system that gives no status: that concerns only its operators for
    `UNREACHABLE_FOR`, unless a service will miss its deadline."""
    target = next(iter(subject.match.cause.targets), None)
    if target is None or target.error_kind not in NO_STATUS_REASONS or target.failing_since is None:
        return True
    statuses = {day.timeliness for day in affected_services(context, subject, route)}.difference(NOT_AT_RISK)
    return bool(statuses - {Timeliness.AT_RISK}) or context.now >= target.failing_since + UNREACHABLE_FOR


def new_misses(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> list[Missed]:
    """The services whose deadline passed, which the route of the incident does not know and no owner receives in
    business text. Empty for an incident about the promise itself."""
    route, style = last.route, last.style
    missed = [
        day.service
        for day in subject.decision.services
        if _STEPS[day.timeliness] >= _MISSED
        and (known := context.known_day(route, style, day.key)) is not None
        and known_step(known) < _MISSED
        and not context.is_covered(route, style, day.key)
    ]
    if not missed or subject.decision.cause.kind == CauseKind.UNDELIVERED:
        return []
    received = {
        name
        for owner, text in audience(context, subject)
        if text == BUSINESS
        for name in services_on_route(context, subject, owner)
    }
    return [Missed(name) for name in missed if name not in received]


def covered_days(context: AlertContext, notification: Notification) -> list[AffectedServiceVerdict]:
    """The service days that the notification has."""
    if notification.style == BUSINESS:
        return affected_services(context, notification.subject, notification.route)
    return list(notification.subject.decision.services)


def content_of(context: AlertContext, notification: Notification) -> NotifiedIncident:
    """The incident and its days, as the route knows them after this notification."""
    subject = notification.subject
    decision, is_business = subject.decision, notification.style == BUSINESS
    restarts = {} if is_business else act_bys_of(context, subject)
    days = []
    for day in covered_days(context, notification):
        act_by = joint_act_by(context, subject, day) if is_business else restarts.get(day.key)
        days.append(NotifiedDay(*day.key, day.timeliness, day.expected_at, act_by))
    if is_business:
        phase = IncidentPhase.CLOSED if decision.closed else IncidentPhase.OPEN
        return NotifiedIncident(phase=phase, days=tuple(days))
    content = decision.fingerprint.notified
    unseen = content.day_keys - {day.key for day in days}
    return content._replace(days=(*days, *(day for day in content.days if day.key in unseen)))
