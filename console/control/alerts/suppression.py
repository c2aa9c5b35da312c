"""Suppression stages: why a notification is suppressed, and until when.

Waiting for the route's `for`, silenced, acknowledged, in maintenance, cancelled by a person through Headway, quiet
hours, flapping, inhibited by the incident of its target, repaired by a policy. Each returns None or a Suppression with
its reason; the pipeline sets the order.

Cancelled: a cancellation by a person notifies no other user, unless it is left until a service that depends on it is
nearly lost, or more breaks than was cancelled. Flapping: from the second return on, "again" waits for a steady time; a
route notified of the resolution and not of the return is not notified a second time. A service affected for the first
time, one at risk that the route knows as safe, and a deadline that passes, are notified at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta

from connectors.sdk.states import RunState
from console.control.alerts.context import (
    AlertContext,
    AlertRoot,
    AlertSubject,
    Notification,
    Suppression,
    clock_of,
    matches_root,
    resolved_since,
)
from console.control.alerts.service_stream import covered_days, is_known_as_safe
from console.control.incidents.decisions import STEADY_FOR
from console.control.incidents.impact import runs_again
from console.control.incidents.news import Change, DeliveredLate, Merged, Missed, NewDay, NewError, NextCause, Overtaken
from console.control.incidents.restart import needs_restart
from console.control.incidents.run_titles import is_cancelled
from console.control.snapshot.deadlines import next_start, next_start_of_date
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.reachability import Outage, outage_during
from console.control.snapshot.runs import is_under_way, run_time
from console.domain.alert import (
    BUSINESS,
    SHADOW,
    AlertKind,
    IncidentPhase,
    QuietHours,
    RouteNotification,
    SilenceFacts,
)
from console.domain.decision import IncidentDecision
from console.domain.estate import RunFacts
from console.domain.ids import incident_name
from console.domain.incident_record import Flaps
from console.domain.service import DELIVERED, LOST, NOT_AT_RISK, Timeliness
from console.domain.text import render
from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.timing.formats import zoned_time
from console.timing.zones import instant_at, zone_of

REPAIR_STAGE = "repair"


def suppress_until_repaired(context: AlertContext, notification: Notification) -> Suppression | None:
    """While a policy repairs it and no route knows that it is open, until AHEAD before an act-by. Not once a service is
    lost, and not as soon as it has another cause or error or puts another service at risk."""
    subject = notification.subject
    repair, until = subject.match.awaited_repair, _last_call(subject.decision)
    is_known = any(last.style != SHADOW and last.content.phase is not IncidentPhase.CLOSED for last in subject.notified)
    is_change = notification.style == BUSINESS and notification.kind is not AlertKind.OPENED
    is_late = until is not None and until <= context.now
    if repair is None or is_known or is_change or is_late or _is_worse(subject):
        return None
    return Suppression(REPAIR_STAGE, f"policy {repair.policy} repairs it; notified if it does not", until)


def _is_worse(subject: AlertSubject) -> bool:
    """True if a service is lost, or if it has another cause or error, or puts another service at risk, than before."""
    now, before, services = subject.decision.fingerprint.notified, subject.match.continued, subject.decision.services
    at_risk = {day.key for day in services if day.timeliness not in NOT_AT_RISK}
    if now.errors or now.causes or any(day.timeliness in LOST for day in services):
        return True
    return before is not None and (now.cause != before.notified.cause or not at_risk <= before.notified.day_keys)


def waited_for_repair(subject: AlertSubject, route: str, style: str) -> bool:
    """True if a policy was repairing it until now, and the route was not notified meanwhile."""
    fact = subject.suppressed_for(route, style)
    return fact is not None and fact.stage == REPAIR_STAGE


def suppress_until_digest(context: AlertContext, notification: Notification) -> Suppression | None:
    """The end of an incident that a policy was repairing, until the night ends: the ends of then are one digest."""
    route, subject = notification.route, notification.subject
    if not subject.decision.closed or not waited_for_repair(subject, route, notification.style):
        return None
    night = _night(context, route)
    until = night_end(night, context.now)
    return Suppression("digest", f"in the digest of {zoned_time(until, night.zone, context.now)}", until)


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


INHIBIT_STAGE = "inhibit"


def suppress_inhibited(context: AlertContext, notification: Notification) -> Suppression | None:
    """The first notification and repeats about a job while its target is unreachable."""
    if notification.before is not None and notification.kind is not AlertKind.REPEATED:
        return None
    for target_down in _on_target(context, notification.subject):
        incident = target_down.match.incident
        if not target_down.decision.closed and not target_down.match.is_repaired:
            name = incident_name(incident.id) if incident is not None else clean_line(target_down.roots[0].job)
            return Suppression(INHIBIT_STAGE, f"{name}: its target is down")
    return None


def inhibited_until(context: AlertContext, subject: AlertSubject) -> datetime | None:
    """Until when its target was unreachable: now, while that incident is open; None if none is open or was just
    resolved."""
    return max(
        (
            resolved_since(context, target_down) if target_down.decision.closed else context.now
            for target_down in _on_target(context, subject)
        ),
        default=None,
    )


def _on_target(context: AlertContext, subject: AlertSubject) -> Sequence[AlertSubject]:
    """The incidents about the target of its root job."""
    root = subject.match.cause.root
    return () if root is None else context.by_target.get(context.index.job(root.job_id).target_id, ())


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


_MINOR = NewError | NextCause | Merged | Overtaken


def suppress_acknowledged(context: AlertContext, notification: Notification) -> Suppression | None:
    """Repeats, escalations and another error without a success in between; other news is still sent."""
    ack, is_again = notification.subject.ack, notification.kind in (AlertKind.REPEATED, AlertKind.ESCALATED)
    is_minor = notification.style != BUSINESS and all(isinstance(change, _MINOR) for change in notification.changes)
    if ack is None or not (is_again or (notification.changes and is_minor)):
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
    decision = notification.subject.decision
    cover = decision.suppressions.maintenance
    if cover is None:
        return None
    return Suppression(MAINTENANCE_STAGE, render(cover.reason, clock_of(decision, context.now)), cover.until)


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
    root = subject.match.cause.root
    if root is None or subject.decision.closed:
        return None
    if not is_cancelled(index, root):
        return None
    downstream = (run for run in subject.match.cause.red if run.job_id != root.job_id)
    cancel = index.estate.cancels.get(root.id)
    if cancel is None or any(run.state.is_red and run.state not in _SYMPTOMS for run in downstream):
        return None
    by = f"{clean_line(cancel.by)} cancelled it through Headway"
    last_call = _last_call(subject.decision)
    if last_call is None:
        return Suppression(CANCELLED_STAGE, by)
    until = max(last_call, cancel.sent_at + LEAST)
    if until <= context.now:
        return None
    return Suppression(CANCELLED_STAGE, f"{by}; notified before a service misses its deadline", until)


def _last_call(decision: IncidentDecision) -> datetime | None:
    """AHEAD before the first act-by of a service day that is not delivered, or its deadline; None without one."""
    open_days = (day for day in decision.services if day.timeliness not in DELIVERED)
    return min(((day.act_by or day.deadline) - AHEAD for day in open_days), default=None)


DISTANT_STAGE = "distant deadline"
DISTANT = timedelta(hours=12)
"""A deadline that is further away is not notified at night while the job starts again in time by its schedule."""
NIGHT = time(22), time(6)
"""Local hours in which that waits for the morning, of a route without quiet hours."""


def suppress_distant(context: AlertContext, notification: Notification) -> Suppression | None:
    """At night, a failed run whose job starts again for the same business date, or runs again, while each service at
    risk is due later than in DISTANT. By day it is notified: people are at work."""
    subject, index = notification.subject, context.index
    at_risk = [day for day in subject.decision.services if day.timeliness not in NOT_AT_RISK]
    match = subject.match
    may_heal = match.closing or needs_restart(index, match) or (not match.is_repaired and runs_again(index, match))
    if subject.decision.closed or not at_risk or not may_heal:
        return None
    run = match.to_repair
    morning = quiet_until(_night(context, notification.route), context.now)
    if run is None or morning is None:
        return None
    until = min(morning, min(day.deadline for day in at_risk) - DISTANT)
    if until <= context.now or any(day.timeliness is not Timeliness.AT_RISK for day in at_risk):
        return None
    at = next_start_of_date(index, index.job(run.job_id), run.business_date)
    if at is None or at >= min(day.act_by or day.deadline for day in at_risk):
        return None
    start = zoned_time(at, subject.decision.zone, context.now)
    why = f"its job starts again at {start}; notified in the morning, or 12 h before a deadline"
    return Suppression(DISTANT_STAGE, why, until)


def _night(context: AlertContext, route: str) -> QuietHours:
    return context.rule(route).quiet or QuietHours(*NIGHT, context.index.estate.settings.zone)


STOPPED_STAGE = "scheduler stopped"
SOON = timedelta(hours=1)
"""A job that starts again within this closes the incident of a start missed while its scheduler was stopped."""


def suppress_missed_while_stopped(context: AlertContext, notification: Notification) -> Suppression | None:
    """Starts that jobs missed while their scheduler was stopped, if each starts again soon and no service is affected:
    the incident of the outage was notified. A start due before or after the outage is notified."""
    decision, red = notification.subject.decision, notification.subject.match.cause.red
    if notification.kind is not AlertKind.OPENED or decision.services or not red:
        return None
    outages = [outage for run in red if (outage := _stop_at(context, run)) is not None]
    starts = [at for run in red if (at := _starts_again(context.index, run)) is not None and at <= context.now + SOON]
    if len(outages) < len(red) or len(starts) < len(red):
        return None
    start = zoned_time(min(starts), decision.zone, context.now)
    return Suppression(STOPPED_STAGE, f"{outages[0].text} when a start was due; next start {start}")


def _starts_again(index: EstateIndex, run: RunFacts) -> datetime | None:
    """The start of its job that is under way, or that may still come in its grace period, or the next one."""
    job = index.job(run.job_id)
    begun = (run_time(later) for later in index.later_runs(run) if is_under_way(later))
    return next(begun, None) or next_start(index, job, index.now - job.grace)


def _stop_at(context: AlertContext, run: RunFacts) -> Outage | None:
    """The stop of its scheduler during which a start was due and missed."""
    due, job = run_time(run), context.index.job(run.job_id)
    outage = outage_during(context.index.estate, job, due, due) if run.state is RunState.MISSED else None
    return outage if outage is not None and outage.is_stop else None


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


def night_end(night: QuietHours, now: datetime) -> datetime:
    """The next end of these hours."""
    zone = zone_of(night.zone)
    days = (now.astimezone(zone).date() + timedelta(days=ahead) for ahead in range(3))
    return next(at for day in days if (at := instant_at(datetime.combine(day, night.ends), zone)) > now)


def _woken(quiet: QuietHours, notification: Notification, until: datetime) -> bool:
    before = notification.before
    if before is None or quiet_until(quiet, before.last_at) != until:
        return False
    return before.content.phase is not IncidentPhase.CLOSED


FLAPPING_STAGE = "flapping"
FROM = 2
"""First return that is suppressed; the one before is notified."""


def suppress_flapping(context: AlertContext, notification: Notification) -> Suppression | None:
    """Suppress the return of a flapping incident until it is stable, unless the route does not know of a service at
    risk."""
    decision, before = notification.subject.decision, notification.before
    flaps, until = decision.flaps, decision.failed_since + STEADY_FOR
    if flaps is None or flaps.times < FROM or until <= context.now:
        return None
    if before is None or not _returns(notification, before):
        return None
    if _affects_more(notification.changes) or _endangers(context, notification, until):
        return None
    often, steady = _times(context, flaps, decision.zone), format_duration(STEADY_FOR)
    return Suppression(FLAPPING_STAGE, f"{often}; notified again once stable for {steady}", until)


def was_notified_resolved(
    context: AlertContext, subject: AlertSubject, last: RouteNotification, changes: tuple[Change, ...]
) -> bool:
    """True if the last notification of the route was the resolution, because the return was suppressed: a second one
    would be about a failure that the route does not know of."""
    is_resolved = last.content.phase is IncidentPhase.CLOSED and is_sent(context, subject, last)
    return is_resolved and not _affects_more(changes)


def is_sent(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> bool:
    """False for an end that was delayed, and dropped because its incident failed again."""
    return last.left_by(context.now if subject.match.reopened else last.first_at)


def flapping_note(context: AlertContext, decision: IncidentDecision) -> str:
    """How often it was red; empty if it does not flap."""
    flaps, zone = decision.flaps, decision.zone
    if flaps is None or flaps.times < FROM:
        return ""
    since = context.now if decision.closed else decision.failed_since
    state = "green" if decision.closed else "now"
    return f"{_times(context, flaps, zone)}, {state} since {zoned_time(since, zone, context.now)}"


def _times(context: AlertContext, flaps: Flaps, zone: str) -> str:
    return f"red {flaps.times + 1} times since {zoned_time(flaps.since, zone, context.now)}"


def _returns(notification: Notification, before: RouteNotification) -> bool:
    """True for the return of what the route was notified as resolved. In business text each change is one."""
    if notification.subject.decision.closed:
        return False
    if notification.style == BUSINESS:
        return notification.kind in (AlertKind.UPDATED, AlertKind.RECOVERED)
    return notification.kind is AlertKind.UPDATED and before.content.phase is IncidentPhase.CLOSED


def _endangers(context: AlertContext, notification: Notification, until: datetime) -> bool:
    """True if a service is at risk that the route was notified of as safe, or whose act-by or deadline comes before
    `until`."""
    unsafe = [day for day in covered_days(context, notification) if day.timeliness not in NOT_AT_RISK]
    if notification.style != BUSINESS:
        return bool(unsafe)  # its last notification was the resolution
    return any(
        is_known_as_safe(context.known_day(notification.route, BUSINESS, day.key))
        or any(at is not None and context.now <= at <= until for at in (day.act_by, day.deadline))
        for day in unsafe
    )


def _affects_more(changes: Sequence[Change]) -> bool:
    return any(isinstance(change, NewDay | Missed | DeliveredLate) for change in changes)
