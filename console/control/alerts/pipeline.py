"""The notification pipeline: each candidate passes the suppression stages in order.

A stage that suppresses a notification records why, and until when.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from console.control.alerts import service_stream, suppression
from console.control.alerts.candidates import candidates_for
from console.control.alerts.context import (
    AlertContext,
    AlertSubject,
    Notification,
    Suppression,
    SuppressionStage,
    alert_context_of,
)
from console.control.alerts.joint_repair import other_repairs
from console.control.alerts.notice import notice_of
from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.restart import is_restartable
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import SHADOW, TECHNICAL, AlertKind, SuppressedNotice
from console.domain.decision import IncidentDecision, Notice, ServiceDayVerdict
from console.domain.dependency import find_components

STAGES: tuple[SuppressionStage, ...] = (
    # 1. Planned work needs no alert: its planner knows.
    suppression.suppress_in_maintenance,
    # 2. So does the user who cancelled a run through Headway.
    suppression.suppress_cancelled,
    # A policy repairs it: before the stages that only delay, as they drop what has ended.
    suppression.suppress_until_repaired,
    # 3. It may resolve by itself: no later stage has to decide.
    suppression.suppress_waiting,
    # So may a failure long before the deadline, with the next start of its job.
    suppression.suppress_distant,
    # And a start missed while its scheduler was stopped.
    suppression.suppress_missed_while_stopped,
    # 4. The incident of its target is notified, even if this one is silenced or acknowledged.
    suppression.suppress_inhibited,
    # 5. A silence holds at any hour: before the stages that only delay.
    suppression.suppress_silenced,
    # 6. Neither repeated nor escalated while it is acknowledged.
    suppression.suppress_acknowledged,
    # 7. Not escalated while no service is at risk.
    suppression.suppress_safe_escalation,
    # 8. Notified once it is stable: after the stages that suppress it, before the one that chooses the hour.
    suppression.suppress_flapping,
    # 9. Delayed until the morning: after the stages that may drop it, so that few wait.
    suppression.suppress_until_digest,
    suppression.suppress_in_quiet_hours,
)
_RECOVERED_WHILE = {
    "cancelled": "resolved before a notification was due",
    suppression.DISTANT_STAGE: "resolved at night, long before a deadline",
    suppression.STOPPED_STAGE: "resolved with the next start",
    "wait": "resolved before it had lasted that long",
    suppression.REPAIR_STAGE: "resolved while a policy repaired it",
    suppression.INHIBIT_STAGE: "resolved with its parent incident",
    "maintenance": "resolved during maintenance",
    "silence": "resolved while silenced",
    "flapping": "resolved again before it was stable",
}


def add_notifications(
    index: EstateIndex,
    open_cases: Sequence[IncidentMatch],
    decisions: Sequence[IncidentDecision],
    days: Iterable[ServiceDayVerdict],
) -> tuple[tuple[IncidentDecision, ...], list[datetime]]:
    """The decisions with what is sent now and what is suppressed, and the instants at which time alone changes that."""
    context = alert_context_of(index, open_cases, decisions)
    context.days = {day.key: day for day in days}
    by_subject = {id(subject): _run_stages(context, subject) for subject in sorted(context.subjects, key=_turn)}
    passed = [by_subject[id(subject)] for subject in context.subjects]
    leaving = [result.notification for results in passed for result in results if result.leaves]
    groups = _joint_groups(context, leaving)
    decided = [
        _decided(context, subject, results, groups) for subject, results in zip(context.subjects, passed, strict=True)
    ]
    return first_urgent(context, decided), context.turns


def _turn(subject: AlertSubject) -> tuple[bool, str]:
    """Ends first, then open incidents by key: the first that notifies of a change of a service day is the only one."""
    return not subject.decision.closed, subject.decision.key


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
        result = _StageResult(notification, suppressed_by)
        if result.leaves:
            days = (day.key for day in service_stream.covered_days(context, notification))
            context.cover(notification.route, notification.style, days)
        results.append(result)
    return results


def _decided(
    context: AlertContext,
    subject: AlertSubject,
    passed: Sequence[_StageResult],
    groups: Mapping[Member, str],
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
    suppressed = tuple(notice for result in passed if (notice := result.suppressed) is not None)
    suppressions = replace(subject.decision.suppressions, notices=suppressed, dropped=tuple(dropped))
    notices = tuple(_written(context, result, technical, groups) for result in leaving)
    return replace(subject.decision, notices=notices, suppressions=suppressions)


def _written(
    context: AlertContext,
    result: _StageResult,
    technical: Collection[str],
    groups: Mapping[Member, str],
) -> Notice:
    notification = result.notification
    is_first = notification.kind is AlertKind.OPENED
    group = groups.get((id(notification.subject), notification.route), "") if is_first else ""
    until = result.suppression.until if result.suppression is not None else None
    return replace(notice_of(context, notification, technical), group=group, not_before=until)


def _suppression_reason(subject: AlertSubject, stage: str) -> str:
    if not subject.decision.closed:
        return ""
    return _RECOVERED_WHILE.get(stage, "resolved") if subject.match.recovered else "resolved"


def first_urgent(context: AlertContext, incidents: Sequence[IncidentDecision]) -> tuple[IncidentDecision, ...]:
    """The incidents; of several that affect one tier-1 service on one day the technical notices of the first are
    urgent, which no rate limit delays: else each of a flood would be."""
    tier_1 = {service.name for service in context.index.estate.services if service.tier == 1}
    sent = (last for subject in context.subjects for last in subject.notified if last.style == TECHNICAL)
    known = {day for last in sent for day in last.content.day_keys}
    decisions = []
    for incident in incidents:
        days = {service.key for service in incident.services if service.service in tier_1 and incident.notices}
        is_first, known = bool(days - known), known | days
        notices = (replace(notice, urgent=notice.style == TECHNICAL) for notice in incident.notices)
        decisions.append(replace(incident, notices=tuple(notices)) if is_first else incident)
    return tuple(decisions)
