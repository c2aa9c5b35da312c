"""Suppression stages: why a notification is suppressed, and until when.

Waiting for the route's `for`, silenced, acknowledged, in maintenance, cancelled by a person through Headway, quiet
hours, grouped, flapping; inhibition is in its own module. Each returns None or a Suppression with its reason; the
pipeline sets the order.

Cancelled: a cancellation by a person notifies no other user, unless it is left until a service that depends on it is
nearly lost, or more breaks than was cancelled. Flapping: from the second return on, "again" waits for a steady time,
`[incidents] steady_for`; a route notified of the resolution and not of the return is not notified a second time. A
service affected for the first time, one at risk that the route knows as safe, and a deadline that passes, are notified
at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta

from connectors.sdk.states import RunState
from console.control.alerts import business_news
from console.control.alerts.context import (
    AlertContext,
    AlertRoot,
    AlertSubject,
    Notification,
    Suppression,
    deadline_passed_since,
    matches_root,
)
from console.control.alerts.joint_repair import needs_restart
from console.control.alerts.routing import affected_services
from console.control.incidents.correlation import notified_content, parse_last_notification
from console.control.incidents.titles import is_cancelled
from console.control.snapshot.deadlines import next_start_of_date
from console.domain.alert import BUSINESS, AlertKind, QuietHours, RouteNotification, SilenceFacts
from console.domain.decision import AffectedServiceVerdict, IncidentDecision
from console.domain.service import NOT_AT_RISK, Timeliness
from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.timing.formats import zoned_time
from console.timing.zones import instant_at, zone_of

WAIT_STAGE = "wait"


def suppress_waiting(context: AlertContext, notification: Notification) -> Suppression | None:
    """Until the incident has been open for the route's `for`; never for tier 1."""
    wait, subject = context.rule(notification.route).wait, notification.subject
    if notification.kind is not AlertKind.OPENED or subject.tier == 1:
        return None
    fact = subject.suppressed_for(notification.route, notification.style)
    # A success in between does not restart the wait.
    since = [fact.since] if fact is not None and fact.stage == WAIT_STAGE else []
    until = min(subject.decision.failed_since, context.now, *since) + wait  # a source's clock may be ahead
    if until <= context.now:
        return None
    return Suppression(WAIT_STAGE, f"notified once it has lasted {format_duration(wait)}", until)


def suppress_silenced(context: AlertContext, notification: Notification) -> Suppression | None:
    """All but the resolution for a route that was notified before; of several targets, where each is silenced."""
    subject, is_over = notification.subject, notification.subject.decision.closed
    if is_over and notification.before is not None:
        return None
    silences = [_silence_of(context, subject, root, notification.route) for root in subject.roots]
    silence = min(
        (silence for silence in silences if silence is not None), key=lambda silence: silence.until, default=None
    )
    if silence is None or None in silences:
        return None
    why = f": {clean_line(silence.why)}" if silence.why else ""
    text = f"silence {silence.id} of {clean_line(silence.by)}{why}"
    return Suppression("silence", text, None if is_over else silence.until)


def _silence_of(context: AlertContext, subject: AlertSubject, root: AlertRoot, route: str) -> SilenceFacts | None:
    for silence in context.notifications.silences:
        is_active = silence.until > context.now and matches_root(silence.matchers, subject, root, route)
        if is_active and context.is_due(silence.begins):
            return silence
    return None


def suppress_acknowledged(context: AlertContext, notification: Notification) -> Suppression | None:
    """Repeats, escalations and another error without a success in between; other news is still sent."""
    ack, is_again = notification.subject.ack, notification.kind in (AlertKind.REPEATED, AlertKind.ESCALATED)
    if ack is None or not (is_again or notification.errors_only):
        return None
    until = zoned_time(ack.until, notification.subject.decision.zone, context.now)
    return Suppression("acknowledgement", f"acknowledged by {clean_line(ack.by)} until {until}", ack.until)


def suppress_safe_escalation(context: AlertContext, notification: Notification) -> Suppression | None:
    """Escalations while no affected service is at risk."""
    services = notification.subject.decision.services
    is_at_risk = not services or any(service.timeliness not in NOT_AT_RISK for service in services)
    if notification.kind is not AlertKind.ESCALATED or is_at_risk:
        return None
    return Suppression("escalation", "no affected service is at risk", None)


MAINTENANCE_STAGE = "maintenance"


def suppress_in_maintenance(context: AlertContext, notification: Notification) -> Suppression | None:
    """During maintenance. Routes that were notified before still get the resolution."""
    cover = notification.subject.decision.maintenance
    return None if cover is None else Suppression(MAINTENANCE_STAGE, cover.reason, cover.until)


CANCELLED_STAGE = "cancelled"
AHEAD = timedelta(minutes=30)
"""How long before an act-by, or a deadline without one, it is sent: in time for a restart."""
LEAST = timedelta(minutes=15)
"""Time that the user who cancelled has at least, to restart it or to explain."""
_SYMPTOMS = (RunState.BLOCKED, RunState.MISSED)
"""States that a cancellation itself causes downstream."""


def suppress_cancelled(context: AlertContext, notification: Notification) -> Suppression | None:
    """All but the resolution."""
    subject, index = notification.subject, context.index
    root = subject.match.group.root
    if root is None or subject.decision.closed:
        return None
    if not is_cancelled(index, root):
        return None
    downstream = (run for run in subject.match.group.red if run.job_id != root.job_id)
    cancel = index.estate.cancels.get(root.id)
    if cancel is None or any(run.state.is_red and run.state not in _SYMPTOMS for run in downstream):
        return None
    by = f"{clean_line(cancel.by)} cancelled it through Headway"
    services = subject.decision.services
    open_days = [day for day in services if day.timeliness not in (Timeliness.MET, Timeliness.MET_LATE)]
    if not open_days:
        return Suppression(CANCELLED_STAGE, by)
    until = max(min((day.act_by or day.deadline) - AHEAD for day in open_days), cancel.sent_at + LEAST)
    if until <= context.now:
        return None
    return Suppression(CANCELLED_STAGE, f"{by}; notified before a service misses its deadline", until)


DISTANT_STAGE = "distant deadline"
DISTANT = timedelta(hours=12)
"""A deadline that is further away is not notified at night while the job starts again in time by its schedule."""
NIGHT = time(22), time(6)
"""Local hours in which that waits for the morning, of a route without quiet hours."""


def suppress_distant(context: AlertContext, notification: Notification) -> Suppression | None:
    """At night, a failed run whose job starts again for the same business date, while each service at risk is due later
    than in DISTANT. By day it is notified: people are at work."""
    subject, index = notification.subject, context.index
    at_risk = [day for day in subject.decision.services if day.timeliness not in NOT_AT_RISK]
    if subject.decision.closed or not at_risk or not (subject.match.closing or needs_restart(index, subject.match)):
        return None
    run = subject.match.to_repair
    night = context.rule(notification.route).quiet or QuietHours(*NIGHT, index.estate.settings.zone)
    morning = quiet_until(night, context.now)
    if run is None or morning is None:
        return None
    until = min(morning, min(day.deadline for day in at_risk) - DISTANT)
    if until <= context.now or any(day.timeliness is not Timeliness.AT_RISK for day in at_risk):
        return None
    at = next_start_of_date(index.job(run.job_id), run.business_date, context.now)
    if at is None or at >= min(day.act_by or day.deadline for day in at_risk):
        return None
    start = zoned_time(at, subject.decision.zone, context.now)
    why = f"its job starts again at {start}; notified in the morning, or 12 h before a deadline"
    return Suppression(DISTANT_STAGE, why, until)


QUIET_HOURS_STAGE = "quiet hours"


def suppress_in_quiet_hours(context: AlertContext, notification: Notification) -> Suppression | None:
    """Until the quiet hours end, except for the tiers that break through. A route notified within them gets the
    resolution too."""
    quiet = context.rule(notification.route).quiet
    if quiet is None or notification.subject.tier in quiet.break_through:
        return None
    until = quiet_until(quiet, context.now)
    if until is None or (notification.kind is AlertKind.RECOVERED and _woken(quiet, notification, until)):
        return None
    return Suppression(QUIET_HOURS_STAGE, f"quiet hours until {zoned_time(until, quiet.zone, context.now)}", until)


def quiet_until(quiet: QuietHours, now: datetime) -> datetime | None:
    """End of the quiet hours that contain `now`; None outside of them."""
    zone = zone_of(quiet.zone)
    local = now.astimezone(zone)
    at, through_midnight = local.time(), quiet.ends <= quiet.begins
    is_late, is_early = at >= quiet.begins, at < quiet.ends
    if not (is_late or is_early if through_midnight else is_late and is_early):
        return None
    on = local.date() + timedelta(days=1) if through_midnight and is_late else local.date()
    until = instant_at(datetime.combine(on, quiet.ends), zone)
    return until if until > now else None


def _woken(quiet: QuietHours, notification: Notification, until: datetime) -> bool:
    before = notification.before
    if before is None or quiet_until(quiet, before.last_at) != until:
        return False
    return not notified_content(before.fingerprint).closed


GROUP_STAGE = "group"


def suppress_grouped(context: AlertContext, notification: Notification) -> Suppression | None:
    """The first notification, for `group_wait` from the first that waits; never for tier 1."""
    wait = context.rule(notification.route).group_wait
    if not is_grouped(context, notification):
        return None
    begun = context.suppressed_since(GROUP_STAGE, notification.route)
    if begun + wait <= context.now:
        return None
    why = f"waits {format_duration(wait)} for related alerts, to be sent together"
    return Suppression(GROUP_STAGE, why, begun + wait)


def is_grouped(context: AlertContext, notification: Notification) -> bool:
    is_first = notification.kind is AlertKind.OPENED
    return is_first and notification.subject.tier != 1 and bool(context.rule(notification.route).group_wait)


FLAPPING_STAGE = "flapping"
FROM = 2
"""First return that is suppressed; the one before is notified."""


def suppress_flapping(context: AlertContext, notification: Notification) -> Suppression | None:
    """Suppress the return of a flapping incident until it is stable, unless the route does not know of a service at
    risk."""
    decision, before = notification.subject.decision, notification.before
    steady = context.index.estate.declared.incidents.steady_for
    until = decision.failed_since + steady
    if before is None or decision.flaps < FROM or until <= context.now or not _returns(notification, before):
        return None
    if _must_be_known(context, notification.subject, before) or _endangers(context, notification, before, until):
        return None
    text = f"flapping: {_times(context, decision)}; notified again once stable for {format_duration(steady)}"
    return Suppression(FLAPPING_STAGE, text, until)


def was_notified_resolved(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> bool:
    """True if the last notification of the route was the resolution, because the return was suppressed: a second one
    would be about a failure that the route does not know of."""
    decision = subject.decision
    if not last.left_by(context.now if decision.reopened else last.first_at):
        return False
    if last.style == BUSINESS:
        is_resolved = decision.flaps >= FROM and business_news.notified_as_over(last)
        is_resolved = is_resolved and not any(business_news.changed_services(context, subject, last))
    else:
        is_resolved = notified_content(last.fingerprint).closed
    return is_resolved and not _must_be_known(context, subject, last)


def flapping_note(context: AlertContext, decision: IncidentDecision) -> str:
    """How often it was red; empty if it does not flap."""
    if decision.flaps < FROM:
        return ""
    since = context.now if decision.closed else decision.failed_since
    state = "green" if decision.closed else "now"
    return f"{_times(context, decision)}, {state} since {zoned_time(since, decision.zone, context.now)}"


def _times(context: AlertContext, decision: IncidentDecision) -> str:
    since = decision.flaps_since or decision.failed_since
    return f"red {decision.flaps + 1} times since {zoned_time(since, decision.zone, context.now)}"


def _returns(notification: Notification, before: RouteNotification) -> bool:
    """True for the return of what the route was notified as resolved. In business text each change is one."""
    if notification.kind is not AlertKind.UPDATED or notification.subject.decision.closed:
        return False
    return notification.style == BUSINESS or parse_last_notification(before.fingerprint).closed


def _endangers(context: AlertContext, notification: Notification, before: RouteNotification, until: datetime) -> bool:
    """True if a service is at risk that the route was notified of as safe, or whose act-by or deadline comes before
    `until`."""
    unsafe = [day for day in _affected(context, notification.subject, before) if day.timeliness not in NOT_AT_RISK]
    if before.style != BUSINESS:
        return bool(unsafe)  # its last notification was the resolution
    return any(
        business_news.notified_as_safe(before, day.key)
        or any(at is not None and context.now <= at <= until for at in (day.act_by, day.deadline))
        for day in unsafe
    )


def _must_be_known(context: AlertContext, subject: AlertSubject, before: RouteNotification) -> bool:
    """True if a service is affected that the route was not notified of, or a deadline passed since its last
    notification."""
    notified_days = business_news.service_days_of(before)
    affected = _affected(context, subject, before)
    return any(day.key not in notified_days or deadline_passed_since(context, day, before) for day in affected)


def _affected(
    context: AlertContext, subject: AlertSubject, before: RouteNotification
) -> Sequence[AffectedServiceVerdict]:
    """The affected services that concern the route."""
    if before.style == BUSINESS:
        return affected_services(context, subject, before.route)
    return subject.decision.services
