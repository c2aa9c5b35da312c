"""News for the owners of services: changes since the last notification of their route."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from console.control.alerts.context import AlertContext, AlertSubject
from console.control.alerts.joint_repair import joint_act_by
from console.control.alerts.routing import affected_services
from console.control.incidents.correlation import ServiceDayKey, notified_content
from console.control.snapshot.reachability import NO_STATUS_REASONS
from console.domain.alert import BUSINESS, RouteNotification
from console.domain.decision import AffectedServiceVerdict
from console.domain.service import NOT_AT_RISK, SAFE, Timeliness

UNREACHABLE_FOR = timedelta(minutes=15)
"""How long a reachable system may give no status before the owners of its services are notified."""
MATERIAL = timedelta(minutes=15)
"""An expectation that moves by less is not news; nor is one that is still in time."""


def is_worth_notifying(context: AlertContext, subject: AlertSubject, route: str) -> bool:
    """True if any of the route's services is at risk. A reachable system that gives no status concerns only its
    operators for `UNREACHABLE_FOR`."""
    statuses = {service.timeliness for service in affected_services(context, subject, route)}.difference(NOT_AT_RISK)
    target = subject.match.group.target
    if target is None or target.error_kind not in NO_STATUS_REASONS or target.failing_since is None:
        return bool(statuses)
    is_late = bool(statuses - {Timeliness.AT_RISK})
    return is_late or (bool(statuses) and context.now >= target.failing_since + UNREACHABLE_FOR)


def business_fingerprint(context: AlertContext, subject: AlertSubject, route: str) -> str:
    """Status, expected time and act-by of each service of the route, as the route is notified of them."""
    rows = [
        [service.service, service.business_date.isoformat(), service.timeliness.value, _iso(service.expected_at),
         _iso(joint_act_by(context, subject, service))]
        for service in affected_services(context, subject, route)
    ]  # fmt: skip
    return json.dumps(sorted(rows), separators=(",", ":"))


def changed_services(
    context: AlertContext, subject: AlertSubject, last: RouteNotification
) -> Iterator[AffectedServiceVerdict]:
    """Services whose status changed since the last notification, or whose expectation moved materially."""
    before = notified_days(last)
    for service in affected_services(context, subject, last.route):
        if before.get(service.key, NotifiedDay()).status != service.timeliness.value or has_moved(service, last):
            yield service


def is_known_to_miss(
    context: AlertContext, subject: AlertSubject, service: AffectedServiceVerdict, last: RouteNotification
) -> bool:
    """True if the notification, of any incident, said that the service will miss its deadline, and neither its
    expectation nor its act-by moved materially since."""
    notified = notified_days(last).get(service.key, NotifiedDay())
    if notified.status != Timeliness.WILL_MISS or has_moved(service, last):
        return False
    act_by = joint_act_by(context, subject, service)
    if act_by is None or act_by <= context.now:
        return True
    return notified.act_by is not None and notified.act_by - act_by < MATERIAL


def has_moved(service: AffectedServiceVerdict, last: RouteNotification) -> bool:
    """True if it is expected after its deadline, at a materially different time than that notification said."""
    expected = notified_days(last).get(service.key, NotifiedDay()).expected
    at = service.expected_at
    return bool(expected and at and at > service.deadline and abs(at - expected) >= MATERIAL)


def is_late(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> bool:
    """True if all of its services are past their deadline, undelivered."""
    affected = affected_services(context, subject, last.route)
    return bool(affected) and all(service.timeliness is Timeliness.BREACHED for service in affected)


def notified_as_over(last: RouteNotification) -> bool:
    """True if the last notification of the route said that all its services are safe or delivered late."""
    days = notified_days(last).values()
    return bool(days) and all(day.status in NOT_AT_RISK for day in days)


def notified_as_safe(last: RouteNotification, day: ServiceDayKey) -> bool:
    """True if the last notification of the route said that this service is safe."""
    return notified_days(last).get(day, NotifiedDay()).status in SAFE


def _iso(at: datetime | None) -> str:
    return at.replace(second=0, microsecond=0).isoformat() if at is not None else ""


def service_days_of(last: RouteNotification) -> frozenset[ServiceDayKey]:
    """Service days that the notification named."""
    if last.style != BUSINESS:
        return notified_content(last.fingerprint).services
    return frozenset(notified_days(last))


class NotifiedDay(NamedTuple):
    """One service day as a route was notified of it; without values for one that it was not notified of."""

    status: str = ""
    expected: datetime | None = None
    act_by: datetime | None = None


def notified_days(last: RouteNotification) -> dict[ServiceDayKey, NotifiedDay]:
    """The service days of a business notification. Fingerprints of earlier versions have no act-by."""
    try:
        days: dict[ServiceDayKey, NotifiedDay] = {}
        for name, business_date, status, *times in json.loads(last.fingerprint):
            expected, act_by = (datetime.fromisoformat(at) if at else None for at in (*times, "")[:2])
            days[name, date.fromisoformat(business_date)] = NotifiedDay(status, expected, act_by)
        return days
    except (ValueError, TypeError):
        return {}
