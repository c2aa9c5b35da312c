"""Suppression stages: why a notification is held back, and until when.

Waiting for the route's `for`, silenced, acknowledged, in maintenance, cancelled by a person through Headway, quiet
hours, grouped, inhibited by another incident, flapping. Each returns None or a Suppression with its reason; the
pipeline sets the order.

Cancelled: what a person cancelled wakes nobody else, unless it is left until a service that depends on it is nearly
lost, or more breaks than was cancelled. Flapping: from the second return on, "resolved" and "again" wait for a
steady time, `[incidents] steady_for`; a route notified of the resolution and not of the return is not notified a
second time. A service affected for the first time, and a deadline that passes, are notified at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain, product

from connectors.sdk.states import RunState
from console.control.alerts import content
from console.control.alerts.context import (
    AlertContext,
    AlertSubject,
    Notification,
    Suppression,
    deadline_passed_since,
    matches_subject,
    resolved_since,
)
from console.control.incidents.correlation import ServiceDayKey, notified_as_resolved, parse_last_notification
from console.control.incidents.decisions import maintenance_of_incident
from console.control.incidents.titles import is_known_cancellation
from console.domain.alert import BUSINESS, AlertKind, InhibitRule, QuietHours, RouteNotification
from console.domain.decision import IncidentDecision
from console.domain.dependency import find_components
from console.domain.ids import incident_name
from console.domain.service import Timeliness
from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.timing.formats import zoned_time
from console.timing.zones import instant_at, zone_of

WAIT_STAGE = "wait"


def hold_waiting(context: AlertContext, notification: Notification) -> Suppression | None:
    """Holds the first word until the condition has held for the route's `for`; tier 1 waits for nothing."""
    wait = context.rule(notification.route).wait
    if notification.kind is not AlertKind.OPENED or notification.subject.tier == 1:
        return None
    until = notification.subject.decision.failed_since + wait
    if until <= context.now:
        return None
    return Suppression(WAIT_STAGE, f"notified once it has lasted {format_duration(wait.total_seconds())}", until)


def hold_silenced(context: AlertContext, notification: Notification) -> Suppression | None:
    """Holds everything but that it is over: whoever was told of it may rest. Who was not is not told then either."""
    is_over = notification.subject.decision.closed
    if is_over and notification.before is not None:
        return None
    for one in context.telling.silences:
        if one.until <= context.now or not matches_subject(one.matchers, notification.subject, notification.route):
            continue
        if context.is_due(one.begins):
            why = f": {clean_line(one.why)}" if one.why else ""
            return Suppression(
                "silence", f"silence {one.id} of {clean_line(one.by)}{why}", None if is_over else one.until
            )
    return None


def hold_acknowledged(context: AlertContext, notification: Notification) -> Suppression | None:
    """Holds repeats and escalations; what is new is told all the same."""
    ack = notification.subject.ack
    if ack is None or notification.kind not in (AlertKind.REPEATED, AlertKind.ESCALATED):
        return None
    return Suppression(
        "acknowledge",
        f"acknowledged by {clean_line(ack.by)} until {zoned_time(ack.until, 'UTC', context.now)}",
        ack.until,
    )


MAINTENANCE_STAGE = "maintenance"


def hold_in_maintenance(context: AlertContext, notification: Notification) -> Suppression | None:
    """Suppression during maintenance. Routes that were notified before still get the resolution."""
    if not parse_last_notification(notification.subject.decision.fingerprint).quiet:
        return None
    found = maintenance_of_incident(context.index, notification.subject.match)
    return (
        Suppression(MAINTENANCE_STAGE, found.text("UTC"), found.until)
        if found is not None
        else Suppression(MAINTENANCE_STAGE, "a maintenance")
    )


CANCELLED_STAGE = "cancelled"
AHEAD = timedelta(minutes=30)
"""So long before an act-by, or a deadline without one, it is told: in time for a restart."""
LEAST = timedelta(minutes=15)
"""But whoever cancelled has so long to restart it, or to say what they are up to."""
_SYMPTOMS = (RunState.BLOCKED, RunState.MISSED)
"""What a cancel itself brings about below it."""


def hold_cancelled(context: AlertContext, notification: Notification) -> Suppression | None:
    """Holds every word but that it is over."""
    subject, index = notification.subject, context.index
    root = subject.match.group.root
    if root is None or subject.decision.closed:
        return None
    if not is_known_cancellation(index, subject.match, subject.decision.title):
        return None
    others = (run for run in subject.match.group.red if run.job_id != root.job_id)
    cancel = index.estate.cancels.get(root.id)
    if cancel is None or any(run.state.is_red and run.state not in _SYMPTOMS for run in others):
        return None
    by, turns = f"{clean_line(cancel.by)} cancelled it through Headway", list(_turns(subject))
    if not turns:
        return Suppression(CANCELLED_STAGE, by)
    until = max(min(turns), cancel.sent_at + LEAST)
    return (
        None
        if until <= context.now
        else Suppression(CANCELLED_STAGE, f"{by}; notified before a service misses its deadline", until)
    )


def _turns(subject: AlertSubject) -> Iterator[datetime]:
    """When each hurt service must be spoken of."""
    for one in subject.decision.services:
        if one.timeliness not in (Timeliness.MET, Timeliness.MET_LATE):
            yield (one.act_by or one.deadline) - AHEAD


QUIET_HOURS_STAGE = "quiet hours"


def hold_in_quiet_hours(context: AlertContext, notification: Notification) -> Suppression | None:
    """Holds until the quiet hours end, but for the tiers that break through. Who was told within them is told the end
    of it too."""
    quiet = context.rule(notification.route).quiet
    if quiet is None or notification.subject.tier in quiet.break_through:
        return None
    until = quiet_until(quiet, context.now)
    if until is None or (notification.kind is AlertKind.RECOVERED and _woken(quiet, notification, until)):
        return None
    return Suppression(QUIET_HOURS_STAGE, f"quiet hours until {zoned_time(until, quiet.zone, context.now)}", until)


def released_at(context: AlertContext, notification: Notification, at: datetime) -> datetime:
    """When what is put off until then may leave: then, or when the quiet hours of that time are over."""
    quiet = context.rule(notification.route).quiet
    if quiet is None or notification.subject.tier in quiet.break_through:
        return at
    return quiet_until(quiet, at) or at


def quiet_until(quiet: QuietHours, now: datetime) -> datetime | None:
    """When the quiet hours that hold `now` end; None outside of them."""
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
    """Whether the route was told within these very hours that it is broken; that it was over was put off itself."""
    before = notification.before
    return (
        before is not None
        and quiet_until(quiet, before.last_at) == until
        and not notified_as_resolved(before.fingerprint)
    )


GROUP_STAGE = "group"


def hold_grouped(context: AlertContext, notification: Notification) -> Suppression | None:
    """Holds the first word for `group_wait` from the first that waits; what is about tier 1 waits for nothing."""
    wait = context.rule(notification.route).group_wait
    if not is_grouped(context, notification):
        return None
    begun = context.held_since(GROUP_STAGE, notification.route)
    if begun + wait <= context.now:
        return None
    words = f"waits {format_duration(wait.total_seconds())} for related alerts, to be sent together"
    return Suppression(GROUP_STAGE, words, begun + wait)


def is_grouped(context: AlertContext, notification: Notification) -> bool:
    return (
        bool(context.rule(notification.route).group_wait)
        and notification.kind is AlertKind.OPENED
        and notification.subject.tier != 1
    )


INHIBIT_STAGE = "inhibit"
Topic = tuple[object, ...]
"""What explains and what is explained meet in: a target, or a rule with the values that both must have."""


def hold_inhibited(context: AlertContext, notification: Notification) -> Suppression | None:
    """Holds what is not told yet while another incident explains it."""
    if notification.before is not None and notification.kind is not AlertKind.REPEATED:
        return None
    if context.explained is None:
        context.explained = inhibiting_topics(context)
    found = context.explained.get(id(notification.subject))
    if found is None:
        return None
    other, is_target = found
    number = other.decision.incident_id
    name = incident_name(number) if number is not None else clean_line(other.job or other.decision.title)
    reason = "its target is unreachable" if is_target else "inhibited by a rule of the config"
    return Suppression(INHIBIT_STAGE, f"{name}: {reason}")


def inhibiting_topics(context: AlertContext) -> Mapping[int, tuple[AlertSubject, bool]]:
    """By `id` of a subject: what explains it, and whether that is its target.

    Of subjects that explain each other, over however many rules, the older explains the younger: one of them is told.
    """
    by, what = _topics(context)
    knots = _knots(by, what)
    first = {topic: _first_two(subjects, knots) for topic, subjects in by.items()}
    found: dict[int, tuple[AlertSubject, bool]] = {}
    for subject, topics in what:
        for topic in topics:
            other = _explaining(subject, first.get(topic, ()), knots)
            if other is not None and id(subject) not in found:
                found[id(subject)] = other, topic[0] == "target"
    return found


def inhibited_until(context: AlertContext, subject: AlertSubject) -> datetime | None:
    """Until when what explains the subject was there: now, while one of them is open; None where nothing explains it
    that is open or was found to be over just now."""
    if context.explaining is None:
        context.explaining = _ends(context)
    topics = chain(_on_target(context, subject), _as(context, subject, by=False))
    ends = (at for topic in topics for at, one in context.explaining.get(topic, ()) if one is not subject)
    return max(ends, default=None)


def _ends(context: AlertContext) -> Mapping[Topic, Sequence[tuple[datetime, AlertSubject]]]:
    """By topic, the two that explain it longest: one of them is another than whoever asks."""
    found: dict[Topic, list[tuple[datetime, AlertSubject]]] = {}
    for subject in context.subjects:
        at = resolved_since(context, subject) if subject.decision.closed else context.now
        for topic in chain(_as_target(subject), _as(context, subject, by=True)):
            found.setdefault(topic, []).append((at, subject))
    return {topic: sorted(ends, key=lambda one: one[0])[-2:] for topic, ends in found.items()}


def _topics(context: AlertContext) -> tuple[dict[Topic, list[AlertSubject]], list[tuple[AlertSubject, list[Topic]]]]:
    """The subjects that explain, by topic, the oldest first; and each subject with the topics that explain it."""
    by: dict[Topic, list[AlertSubject]] = {}
    what: list[tuple[AlertSubject, list[Topic]]] = []
    for subject in sorted(context.subjects, key=_age):
        for topic in () if subject.decision.closed else chain(_as_target(subject), _as(context, subject, by=True)):
            by.setdefault(topic, []).append(subject)
        what.append((subject, [*_on_target(context, subject), *_as(context, subject, by=False)]))
    return by, what


def _as_target(subject: AlertSubject) -> Iterator[Topic]:
    target = subject.match.group.target
    if target is not None:
        yield "target", target.id


def _on_target(context: AlertContext, subject: AlertSubject) -> Iterator[Topic]:
    """The target on which its job runs."""
    root = subject.match.group.root
    if root is not None:
        yield "target", context.index.job(root.job_id).target_id


def _as(context: AlertContext, subject: AlertSubject, by: bool) -> Iterator[Topic]:
    """The rules that it fits on that side, with each of its values that both sides must share."""
    for place, rule in enumerate(context.alerting.inhibit):
        if matches_subject(rule.by if by else rule.what, subject):
            yield from _shared(place, rule, subject)


def _shared(place: int, rule: InhibitRule, subject: AlertSubject) -> Iterator[Topic]:
    values = subject.values()
    for combination in product(*(dict.fromkeys(values[name]) for name in rule.equal)):
        yield "rule", place, *combination


def _knots(
    by: Mapping[Topic, Sequence[AlertSubject]], what: Sequence[tuple[AlertSubject, list[Topic]]]
) -> Mapping[object, int]:
    """`id` of a subject -> the number of the knot of subjects that explain each other of which it is one."""
    pairs: list[tuple[object, object]] = [(id(one), topic) for topic, subjects in by.items() for one in subjects]
    pairs += [(topic, id(subject)) for subject, topics in what for topic in topics if topic in by]
    return {one: number for number, (knot, _) in enumerate(find_components(pairs)) for one in knot}


def _first_two(subjects: Sequence[AlertSubject], knots: Mapping[object, int]) -> list[AlertSubject]:
    """The oldest, and the oldest that is in no knot with it: nobody asks for more."""
    others = (one for one in subjects[1:] if not _is_tied(one, subjects[0], knots))
    return [subjects[0], *([other] if (other := next(others, None)) is not None else [])]


def _explaining(
    subject: AlertSubject, candidates: Sequence[AlertSubject], knots: Mapping[object, int]
) -> AlertSubject | None:
    for one in candidates:
        if one is not subject and (_age(one) < _age(subject) or not _is_tied(one, subject, knots)):
            return one
    return None


def _is_tied(one: AlertSubject, other: AlertSubject, knots: Mapping[object, int]) -> bool:
    return id(one) in knots and knots[id(one)] == knots.get(id(other))


def _age(subject: AlertSubject) -> tuple[bool, int, datetime, str]:
    """What is not written yet is younger than what is."""
    number = subject.decision.incident_id
    return number is None, number or 0, subject.decision.failed_since, subject.decision.key


FLAPPING_STAGE = "flapping"
FROM = 2
"""The return from which on it is held: the first one is told."""


def hold_flapping(context: AlertContext, notification: Notification) -> Suppression | None:
    """Holds the end and the return of what flaps, until it has been steady. Of what is over the time lies ahead: where
    it comes back before that, the store takes the notice back."""
    decision, before = notification.subject.decision, notification.before
    if before is None or not _flaps(context, decision) or not _comes_or_goes(notification, before):
        return None
    if _must_be_known(context, notification.subject, before):
        return None
    steady = context.index.estate.declared.incidents.steady_for
    until = (
        released_at(context, notification, context.now + steady) if decision.closed else decision.failed_since + steady
    )
    lasting = format_duration(steady.total_seconds())
    return Suppression(
        FLAPPING_STAGE, f"flapping: {_times(context, decision)}; notified again once stable for {lasting}", until
    )


def was_notified_resolved(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> bool:
    """Whether the route has heard that it was over and nothing since, as its return was held: a second all-clear would
    be about a failure that it never heard of."""
    decision = subject.decision
    if not last.left_by(context.now if decision.reopened else last.first_at):
        return False
    if last.words == BUSINESS:
        is_over = (
            decision.flaps >= FROM
            and content.notified_as_healthy(last)
            and not content.is_material_change(context, subject, last)
        )
    else:
        is_over = notified_as_resolved(last.fingerprint)
    return is_over and not _must_be_known(context, subject, last)


def flapping_note(context: AlertContext, decision: IncidentDecision) -> str:
    """How often it was red, for the word that leaves; empty where it does not flap."""
    if decision.flaps < FROM:
        return ""
    since = context.now if decision.closed else decision.failed_since
    state = "green" if decision.closed else "now"
    return f"{_times(context, decision)}, {state} since {zoned_time(since, 'UTC', context.now)}"


def _times(context: AlertContext, decision: IncidentDecision) -> str:
    since = decision.flaps_since or decision.failed_since
    return f"red {decision.flaps + 1} times since {zoned_time(since, 'UTC', context.now)}"


def _flaps(context: AlertContext, decision: IncidentDecision) -> bool:
    """Until it has been red for a steady time: what is told then is no flapping."""
    steady = context.index.estate.declared.incidents.steady_for
    return decision.flaps >= FROM and context.now < decision.failed_since + steady


def _comes_or_goes(notification: Notification, before: RouteNotification) -> bool:
    """Whether it is the end, or the return of what the route was told is over. To those who wait for a service each
    change is one of the two."""
    if notification.kind is AlertKind.RECOVERED:
        return True
    if notification.kind is not AlertKind.UPDATED or notification.subject.decision.closed:
        return False
    return notification.words == BUSINESS or parse_last_notification(before.fingerprint).closed


def _must_be_known(context: AlertContext, subject: AlertSubject, before: RouteNotification) -> bool:
    """Whether a service is hit that the route has not heard of, or a deadline passed since its last word."""
    is_business = before.words == BUSINESS
    hurt = content.affected_services(context, subject, before.route) if is_business else subject.decision.services
    heard = _days(before)
    return any(
        (one.service, one.business_date) not in heard or deadline_passed_since(context, one, before) for one in hurt
    )


def _days(before: RouteNotification) -> frozenset[ServiceDayKey]:
    return (
        content.service_days_in(before.fingerprint)
        if before.words == BUSINESS
        else parse_last_notification(before.fingerprint).services
    )
