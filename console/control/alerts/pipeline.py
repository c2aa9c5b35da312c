"""The notification pipeline: each candidate passes the suppression stages in order.

A stage that suppresses a notification records why, and until when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from console.control.alerts import candidates, inhibition, suppression
from console.control.alerts.business_message import business_text
from console.control.alerts.candidates import candidates_for, fingerprint_to_store
from console.control.alerts.context import (
    AlertContext,
    AlertSubject,
    Notification,
    Suppression,
    SuppressionStage,
    alert_context_of,
)
from console.control.alerts.headline import headline
from console.control.alerts.joint_repair import earlier_act_by, is_restartable, other_repairs
from console.control.alerts.services_table import service_title
from console.control.alerts.technical_message import technical_text
from console.control.alerts.template_values import template_fields
from console.control.incidents.correlation import IncidentMatch, notified_content
from console.control.incidents.decisions import cause_text, event_text
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import BUSINESS, SHADOW, SHADOW_LABEL, TECHNICAL, AlertKind
from console.domain.decision import IncidentDecision, Notice, ServiceDayVerdict, SuppressedNotice
from console.domain.dependency import find_components
from console.timing.formats import local_time

STAGES: tuple[SuppressionStage, ...] = (
    # 1. Planned work needs no alert: its planner knows.
    suppression.suppress_in_maintenance,
    # 2. So does the user who cancelled a run through Headway.
    suppression.suppress_cancelled,
    # 3. It may resolve by itself: no later stage has to decide.
    suppression.suppress_waiting,
    # So may a failure long before the deadline, with the next start of its job.
    suppression.suppress_distant,
    # 4. The explaining incident is notified, even if this one is silenced or acknowledged.
    inhibition.suppress_inhibited,
    # 5. A silence holds at any hour: before the stages that only delay.
    suppression.suppress_silenced,
    # 6. Neither repeated nor escalated while it is acknowledged.
    suppression.suppress_acknowledged,
    # 7. Not escalated while no service is at risk.
    suppression.suppress_safe_escalation,
    # 8. Notified once it is stable: after the stages that suppress it, before the one that chooses the hour.
    suppression.suppress_flapping,
    # 9. Delayed until the morning: after the stages that may drop it, so that few wait.
    suppression.suppress_in_quiet_hours,
    # 10. Sent together: last, because only notifications that no other stage suppresses are grouped.
    suppression.suppress_grouped,
)
_RECOVERED_WHILE = {
    "cancelled": "resolved before a notification was due",
    suppression.DISTANT_STAGE: "resolved at night, long before a deadline",
    "wait": "resolved before it had lasted that long",
    "inhibit": "resolved with its parent incident",
    "maintenance": "resolved during maintenance",
    "silence": "resolved while silenced",
    "flapping": "resolved again before it was stable",
}


def add_notifications(
    index: EstateIndex,
    open_cases: Sequence[IncidentMatch],
    decisions: Sequence[IncidentDecision],
    days: Iterable[ServiceDayVerdict],
    log_tails: Mapping[int, str],
) -> tuple[tuple[IncidentDecision, ...], list[datetime]]:
    """The decisions with what is sent now and what is suppressed, and the instants at which time alone changes that."""
    context = alert_context_of(index, open_cases, decisions)
    context.days = {day.key: day for day in days}
    passed = [_run_stages(context, subject) for subject in context.subjects]
    leaving = [result.notification for results in passed for result in results if result.leaves]
    gathered = Counter(notification.route for notification in leaving if suppression.is_grouped(context, notification))
    groups = _MessageGroups(gathered, _joint_groups(context, leaving))
    decided = [
        _decided(context, subject, results, groups, log_tails)
        for subject, results in zip(context.subjects, passed, strict=True)
    ]
    return first_urgent(context, decided), context.turns


@dataclass(frozen=True, slots=True)
class _MessageGroups:
    """The notifications of this evaluation that may be sent as one message."""

    gathered: Mapping[str, int]
    """Route -> number of notifications that its `group_wait` gathered."""
    joint: Mapping[Member, str]
    """First notifications of restarts that one service needs -> their group."""

    def group_of(self, context: AlertContext, notification: Notification) -> str:
        """The group to send it in: gathered by its route, or joint restarts; empty if it is sent alone."""
        if self.gathered[notification.route] > 1 and suppression.is_grouped(context, notification):
            return notification.route
        if notification.kind is not AlertKind.OPENED:
            return ""
        return self.joint.get((id(notification.subject), notification.route), "")


Member = tuple[int, str]
"""`id` of the subject, and route."""


def _joint_groups(context: AlertContext, leaving: Iterable[Notification]) -> dict[Member, str]:
    """Groups of first notifications whose incidents share services that need all their restarts."""
    first = {
        (id(notification.subject), notification.route): notification.subject
        for notification in leaving
        if notification.kind is AlertKind.OPENED and is_restartable(context.index, notification.subject.match)
    }
    pairs = [
        (member, related)
        for member, subject in first.items()
        for repair in other_repairs(context, subject, subject.decision.services)
        if (related := (id(repair), member[1])) in first
    ]
    pairs += [(related, member) for member, related in pairs]
    return {
        member: f"{member[1]}, joint {min(first[joined].decision.key for joined in component)}"
        for component, _ in find_components(pairs)
        for member in component
    }


@dataclass(frozen=True, slots=True)
class _StageResult:
    """A notification, and the first stage that suppresses it."""

    notification: Notification
    suppression: Suppression | None

    @property
    def leaves(self) -> bool:
        """Written now: a closed incident is not decided again, so its suppressed notifications are written with the
        time at which they may be sent."""
        is_closed = self.notification.subject.decision.closed
        return self.suppression is None or (is_closed and self.suppression.until is not None)

    @property
    def suppressed(self) -> SuppressedNotice | None:
        """The notice to decide again at the next evaluation; None if no stage suppresses it, or if it will never be
        sent: its incident is closed and the suppression has no end."""
        notification, suppressed_by = self.notification, self.suppression
        if suppressed_by is None or (notification.subject.decision.closed and not self.leaves):
            return None
        sent_to = notification.route, notification.style, notification.kind
        return SuppressedNotice(*sent_to, suppressed_by.stage, suppressed_by.why, suppressed_by.until)


def _run_stages(context: AlertContext, subject: AlertSubject) -> list[_StageResult]:
    results = []
    for notification in candidates_for(context, subject):
        stages = () if notification.style == SHADOW else STAGES  # shadow shows all that would be sent
        suppressed_by = next(filter(None, (stage(context, notification) for stage in stages)), None)
        if suppressed_by is not None and suppressed_by.until is not None:
            context.turns.append(suppressed_by.until)
        results.append(_StageResult(notification, suppressed_by))
    return results


def _decided(
    context: AlertContext,
    subject: AlertSubject,
    passed: Sequence[_StageResult],
    groups: _MessageGroups,
    log_tails: Mapping[int, str],
) -> IncidentDecision:
    leaving = [result for result in passed if result.leaves]
    technical = frozenset(result.notification.route for result in leaving if result.notification.style == TECHNICAL)
    by_receiver = {(result.notification.route, result.notification.style): result for result in passed}
    dropped = []
    for fact in subject.suppressions:
        result = by_receiver.get((fact.route, fact.style))
        if result is None or (result.suppression is not None and result.suppressed is None):
            stage = result.suppression.stage if result is not None and result.suppression is not None else fact.stage
            dropped.append((fact, _suppression_reason(subject, stage)))
    return replace(
        subject.decision,
        notices=tuple(_written(context, result, technical, groups, log_tails) for result in leaving),
        suppressed=tuple(notice for result in passed if (notice := result.suppressed) is not None),
        dropped=tuple(dropped),
    )


def _written(
    context: AlertContext,
    result: _StageResult,
    technical: Collection[str],
    groups: _MessageGroups,
    log_tails: Mapping[int, str],
) -> Notice:
    group = groups.group_of(context, result.notification)
    until = result.suppression.until if result.suppression is not None else None
    return replace(_notice(context, result.notification, technical, log_tails), group=group, not_before=until)


def _suppression_reason(subject: AlertSubject, stage: str) -> str:
    if not subject.decision.closed:
        return ""
    return _RECOVERED_WHILE.get(stage, "resolved") if subject.match.recovered else "resolved"


def _notice(
    context: AlertContext, notification: Notification, technical: Collection[str], log_tails: Mapping[int, str]
) -> Notice:
    if notification.style == BUSINESS:
        text = business_text(context, notification, technical)
    else:
        text = technical_text(context, notification, log_tails, _changes(context, notification))
    if notification.style == SHADOW:
        first = f"Shadow mode: this would have been sent to {', '.join(notification.subject.decision.in_shadow)}.\n\n"
        titles = f"{SHADOW_LABEL}{text.title}", f"{SHADOW_LABEL}{text.plain_title}"
        bodies = first + text.body, first + text.plain_body
        text = replace(text, title=titles[0], body=bodies[0], plain_title=titles[1], plain_body=bodies[1])
    return Notice(
        notification.kind, notification.route, text.title, text.body, text.plain_title, text.plain_body,
        urgent=notification.style == TECHNICAL and _is_urgent(context, notification),
        style=notification.style,
        fingerprint=fingerprint_to_store(context, notification),
        zone_label=text.zone_label,
        commands=text.commands,
        **template_fields(context, notification, text, log_tails),
    )  # fmt: skip


def _changes(context: AlertContext, notification: Notification) -> str:
    if notification.before is None or notification.because:
        return notification.because
    before = notified_content(notification.before.fingerprint)
    decision = notification.subject.decision
    missed = candidates.missed_deadline_note(context, notification, notification.before)
    flapping = suppression.flapping_note(context, decision)
    is_in_title = decision.closed or decision.reopened
    shown = headline(context, notification, plain=False)
    event = "" if is_in_title else event_text(decision, before, lambda name: service_title(context.index, name), shown)
    causes = () if decision.closed else notified_content(decision.fingerprint).causes[len(before.causes) :]
    known = before.causes[-1] if before.causes else before.root
    moved = cause_text("the cause is now", causes[-1], known, shown) if causes else ""
    return "; ".join(filter(None, [event, moved, missed, _sooner(context, notification), flapping]))


def _sooner(context: AlertContext, notification: Notification) -> str:
    """ "act-by moved from 04:07 to 03:58"; empty unless it is earlier than the route was notified."""
    subject, before = notification.subject, notification.before
    act_bys = earlier_act_by(context, subject, before) if before is not None else None
    if act_bys is None:
        return ""
    was, act_by = (local_time(at, subject.decision.zone, context.now) for at in act_bys)
    return f"act-by moved from {was} to {act_by}{'' if act_bys[1] > context.now else ', which has passed'}"


def _is_urgent(context: AlertContext, notification: Notification) -> bool:
    """First notification about a tier-1 service: no rate limit delays it."""
    notified_days = notification.subject.notified_days
    new = {service.service for service in notification.subject.decision.services if service.key not in notified_days}
    return any(service.tier == 1 for service in context.index.estate.services if service.name in new)


def first_urgent(context: AlertContext, incidents: Sequence[IncidentDecision]) -> tuple[IncidentDecision, ...]:
    """The incidents; of several that affect one tier-1 service on one day only the first is urgent, else each of a
    flood would be."""
    tier_1 = {service.name for service in context.index.estate.services if service.tier == 1}
    notified_days = {day for subject in context.subjects for day in subject.notified_days}
    decisions = []
    for incident in incidents:
        days = {service.key for service in incident.services if service.service in tier_1}
        first = bool(days - notified_days) or not incident.notices
        notified_days |= days if incident.notices else set()
        calm = () if first else tuple(replace(notice, urgent=False) for notice in incident.notices)
        decisions.append(incident if first else replace(incident, notices=calm))
    return tuple(decisions)
