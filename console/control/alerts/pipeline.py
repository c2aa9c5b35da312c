"""The notification pipeline: each candidate passes the suppression stages in order.

A stage that holds a notification back records why, and until when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from console.control.alerts import candidates, content, suppression
from console.control.alerts.candidates import candidates_for, fingerprint_to_store
from console.control.alerts.content import MessageText, plain_template_values, template_values
from console.control.alerts.context import (
    AlertContext,
    AlertSubject,
    Notification,
    Suppression,
    SuppressionStage,
    alert_context_of,
    is_shadow_only,
)
from console.control.incidents.correlation import IncidentMatch, LastNotification, parse_last_notification
from console.control.incidents.decisions import event_text
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import BUSINESS, SHADOW, TECHNICAL, SuppressionFacts
from console.domain.decision import IncidentDecision, Notice, ServiceDayVerdict, SuppressedNotice

STAGES: tuple[SuppressionStage, ...] = (
    # 1. What was planned is no alert: whoever planned it knows.
    suppression.hold_in_maintenance,
    # 2. What somebody cancelled through Headway is known to them just so.
    suppression.hold_cancelled,
    # 3. What may be over by itself is no alert yet: nobody below needs to look at it.
    suppression.hold_waiting,
    # 4. What another incident explains is that one's matter, whoever muted or took it.
    suppression.hold_inhibited,
    # 5. What a person muted is muted, whatever the hour: before the stages that only put off.
    suppression.hold_silenced,
    # 6. What somebody is on is neither repeated nor escalated until that lapses.
    suppression.hold_acknowledged,
    # 7. What comes and goes is told once it stays: after the stages that mute it, before the one that chooses the hour.
    suppression.hold_flapping,
    # 8. What may wait until the morning does: after the stages that may drop it, so that the night holds little.
    suppression.hold_in_quiet_hours,
    # 9. What leaves now leaves together: last, for only what nothing else holds has company.
    suppression.hold_grouped,
)
_RECOVERED_WHILE = {
    "cancelled": "resolved before a notification was due",
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
    """The decisions with what leaves now and what is held back, and the instants at which time alone has something
    told. `days`: how every service day stands."""
    context = alert_context_of(index, open_cases, decisions)
    context.days = {(one.service, one.business_date): one for one in days}
    passed = [_run_stages(context, subject) for subject in context.subjects]
    leaving = (one.notification for each in passed for one in each if one.leaves)
    company = Counter(one.route for one in leaving if suppression.is_grouped(context, one))
    told = [
        _decided(context, subject, each, company, log_tails)
        for subject, each in zip(context.subjects, passed, strict=True)
    ]
    return first_urgent(context, told), context.turns


@dataclass(frozen=True, slots=True)
class _StageResult:
    """A notice, and the first stage that holds it."""

    notification: Notification
    held: Suppression | None

    @property
    def leaves(self) -> bool:
        """Whether it is written now: of an incident that is over nothing is decided again, so what is held of it is
        written with the time at which it may leave."""
        return self.held is None or (self.notification.subject.decision.closed and self.held.until is not None)

    @property
    def is_dropped(self) -> bool:
        """Whether nobody is told any more: it is over, and what holds it says no time."""
        return self.notification.subject.decision.closed and not self.leaves


def _run_stages(context: AlertContext, subject: AlertSubject) -> list[_StageResult]:
    found = []
    for notification in candidates_for(context, subject):
        stages = () if is_shadow_only(notification) else STAGES
        held = next(filter(None, (stage(context, notification) for stage in stages)), None)
        context.turns += [held.until] if held is not None and held.until is not None else []
        found.append(_StageResult(notification, held))
    return found


def _decided(
    context: AlertContext,
    subject: AlertSubject,
    passed: Sequence[_StageResult],
    company: Mapping[str, int],
    log_tails: Mapping[int, str],
) -> IncidentDecision:
    leaving = [one for one in passed if one.leaves]
    to_mend = any(one.notification.words == TECHNICAL for one in leaving)
    return replace(
        subject.decision,
        notices=tuple(_written(context, one, to_mend, company, log_tails) for one in leaving),
        held=tuple(
            _suppressed_by(one.notification, one.held) for one in passed if one.held is not None and not one.is_dropped
        ),
        dropped=_dropped(subject, passed),
    )


def _written(
    context: AlertContext, one: _StageResult, to_mend: bool, company: Mapping[str, int], log_tails: Mapping[int, str]
) -> Notice:
    route = one.notification.route
    together = route if company[route] > 1 and suppression.is_grouped(context, one.notification) else ""
    until = one.held.until if one.held is not None else None
    return replace(_notice(context, one.notification, to_mend, log_tails), group=together, not_before=until)


def _suppressed_by(notification: Notification, found: Suppression) -> SuppressedNotice:
    return SuppressedNotice(
        notification.route, notification.words, notification.kind, found.stage, found.why, found.until
    )


def _dropped(subject: AlertSubject, passed: Sequence[_StageResult]) -> tuple[tuple[SuppressionFacts, str], ...]:
    """What was held back and is to be told no more, and why."""
    still = {(one.notification.route, one.notification.words) for one in passed if not one.is_dropped}
    stages = {
        (one.notification.route, one.notification.words): one.held.stage for one in passed if one.held is not None
    }
    gone = [one for one in subject.held if (one.route, one.words) not in still]
    return tuple((one, _suppression_reason(subject, stages.get((one.route, one.words), one.stage))) for one in gone)


def _suppression_reason(subject: AlertSubject, stage: str) -> str:
    """Empty while it is open: it is told otherwise."""
    if not subject.decision.closed:
        return ""
    return _RECOVERED_WHILE.get(stage, "it is over") if subject.match.recovered else "it is over"


def _notice(context: AlertContext, notification: Notification, to_mend: bool, log_tails: Mapping[int, str]) -> Notice:
    text = (
        content.business_text(context, notification, to_mend)
        if notification.words == BUSINESS
        else content.technical_text(context.index, notification, log_tails, _changes(context, notification))
    )
    if notification.words == SHADOW:
        text = _in_shadow(text, notification.subject.decision.in_shadow)
    return Notice(
        notification.kind,
        notification.route,
        text.title,
        text.body,
        text.plain_title,
        text.plain_body,
        urgent=notification.words == TECHNICAL and _is_urgent(context, notification),
        words=notification.words,
        fingerprint=fingerprint_to_store(context, notification),
        **_template(context, notification, text, log_tails),
    )


def _template(
    context: AlertContext, notification: Notification, text: MessageText, log_tails: Mapping[int, str]
) -> dict[str, Any]:
    """What the route's own words are made of, where it has some; whoever is on call without any gets those of the
    route with the rota."""
    own = context.alerting.route(notification.route)
    rule = own if own.templated else context.rule(notification.route)
    if not rule.templated or notification.words == SHADOW:
        return {}
    tail = content.tail_lines(context.index, notification.subject.match, log_tails)
    full, plain = template_values(context, notification, text, tail), plain_template_values(context, notification, text)
    return {"template": rule.name, "values": full, "plain_values": plain}


def _changes(context: AlertContext, notification: Notification) -> str:
    """What is new to this route since its last word, in words."""
    if notification.before is None or notification.because:
        return notification.because
    try:
        before = parse_last_notification(notification.before.fingerprint)
    except (ValueError, TypeError):
        before = LastNotification("", frozenset(), False)
    decision = notification.subject.decision
    return "; ".join(
        filter(
            None,
            [
                event_text(decision, before),
                candidates.missed_deadline_note(context, notification, notification.before),
                suppression.flapping_note(context, decision),
            ],
        )
    )


def _in_shadow(text: MessageText, routes: Sequence[str]) -> MessageText:
    words = f"Shadow mode: this would have been sent to {', '.join(routes)}.\n\n"
    return MessageText(
        f"[shadow] {text.title}", words + text.body, f"[shadow] {text.plain_title}", words + text.plain_body
    )


def _is_urgent(context: AlertContext, notification: Notification) -> bool:
    """The first word about a tier-1 service: no rate limit delays it."""
    told = notification.subject.days_told
    new = {
        one.service for one in notification.subject.decision.services if (one.service, one.business_date) not in told
    }
    return any(service.tier == 1 for service in context.index.estate.services if service.name in new)


def first_urgent(context: AlertContext, incidents: Sequence[IncidentDecision]) -> tuple[IncidentDecision, ...]:
    """The incidents; of many that hurt one tier-1 service on one day only the first is urgent, or each of a flood would
    be."""
    tier_1 = {service.name for service in context.index.estate.services if service.tier == 1}
    told = {day for subject in context.subjects for day in subject.days_told}
    found = []
    for one in incidents:
        days = {(each.service, each.business_date) for each in one.services if each.service in tier_1}
        first = bool(days - told) or not one.notices
        told |= days if one.notices else set()
        found.append(one if first else replace(one, notices=tuple(replace(each, urgent=False) for each in one.notices)))
    return tuple(found)
