"""Notification candidates: what each route has not been notified of yet, escalations, repeats and passed deadlines.

The store keeps the last notification of each route, so a crash between two evaluations loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from console.control.alerts import content, suppression
from console.control.alerts.context import (
    AlertContext,
    AlertSubject,
    Notification,
    deadline_passed_since,
    resolved_since,
)
from console.control.alerts.routing import audience, on_call_route, services_on_route, technical_first
from console.control.incidents.correlation import LastNotification, parse_last_notification
from console.control.incidents.decisions import list_names
from console.control.incidents.titles import is_private_cancellation
from console.domain.alert import BUSINESS, SHADOW, TECHNICAL, AlertKind, RouteNotification, RouteRule, SuppressionFacts
from console.domain.service import UNMET_PROMISE
from console.timing.durations import format_duration
from console.timing.formats import zoned_time


def escalations(context: AlertContext, subject: AlertSubject) -> Iterator[Notification]:
    """The routes that are due to be told, because the ones before them were and nobody took it. Who is called for both
    those who can mend it and those who wait for it is called for the former."""
    found: dict[str, Notification] = {}
    for told in sorted(subject.told, key=lambda one: one.words != TECHNICAL):
        if told.words != SHADOW:
            for notification in _of_route(context, subject, told):
                found.setdefault(notification.route, notification)
    yield from found.values()


def escalation_targets(context: AlertContext, route: str) -> list[str]:
    """Where a route's alerts go on to, as its rota stands now."""
    return [on_call_route(context, name) for name in context.rule(route).escalate_to]


def _of_route(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> Iterator[Notification]:
    after = _after(context.rule(last.route), subject.tier)
    if after is None:
        return
    first_at = context.now if subject.match.reopened else last.first_at
    for place, target in enumerate(escalation_targets(context, last.route), 1):
        words = _words(context, subject, last, target)
        if _knows(subject, target, words) or not context.is_due(first_at + place * after):
            continue
        because = (
            f'Route "{last.route}" was told at {zoned_time(first_at, "UTC", context.now)} and nobody acknowledged it.'
        )
        yield Notification(subject, target, words, AlertKind.ESCALATED, because=because)


def _knows(subject: AlertSubject, target: str, text: str) -> bool:
    """Whether it was told just that already, or what broke: who was told only what it means is still called."""
    return any(subject.told_to(target, each) is not None for each in (text, TECHNICAL))


def _words(context: AlertContext, subject: AlertSubject, last: RouteNotification, target: str) -> str:
    """The target's own words, else those that the route before it was told in. Where no service is hurt there is
    nothing to say in business words."""
    if not subject.decision.services:
        return TECHNICAL
    return context.rule(target).style or last.words


def _after(rule: RouteRule, tier: int | None) -> timedelta | None:
    """How long the route has; None where it does not go on."""
    times = dict(rule.escalate_after)
    return times.get(tier or 0, times.get(0))


def repeat_reason(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> str:
    """Why the route is told again now; empty while it is not."""
    every = context.rule(last.route).repeat_every
    if every is None or not context.is_due(last.last_at + every):
        return ""
    open_for = format_duration((context.now - last.first_at).total_seconds())
    return f"Still open {open_for} after the first notification, and not acknowledged."


def unannounced_misses(context: AlertContext, subject: AlertSubject, before: RouteNotification) -> list[str]:
    """Names of the services whose deadline passed and of which no owner hears in words of their own: they name nobody,
    or a route that is told what broke. An incident that is about the promise itself has said so already.
    """
    passed = [one.service for one in subject.decision.services if deadline_passed_since(context, one, before)]
    if not passed or subject.decision.rule == UNMET_PROMISE:
        return []
    heard = {
        name
        for route, words in audience(context, subject)
        if words == BUSINESS
        for name in services_on_route(context, subject, route)
    }
    return [name for name in passed if name not in heard]


def missed_deadline_note(context: AlertContext, notification: Notification, before: RouteNotification) -> str:
    """What passed, for the word that leaves; empty where nothing did."""
    found = unannounced_misses(context, notification.subject, before) if notification.words == TECHNICAL else []
    return f"past its deadline: {list_names(found)}" if found else ""


def candidates_for(context: AlertContext, subject: AlertSubject) -> Iterator[Notification]:
    """Each route once. Of what a person cancelled by our own hand and nobody needs, nothing, until it turns out to be
    more."""
    if is_private_cancellation(context.index, subject.match, subject.decision.title):
        return
    asked = technical_first(audience(context, subject))
    for route, words in [*asked, *_notified_on(context, subject, asked)]:
        notification = _for_route(context, subject, route, words)
        if notification is not None:
            yield notification
    if not subject.decision.closed and not subject.match.awaits:
        yield from escalations(context, subject)


def fingerprint_to_store(context: AlertContext, notification: Notification) -> str:
    """What the route will have been told by this."""
    if notification.words == BUSINESS:
        return content.business_fingerprint(context, notification.subject, notification.route)
    return technical_fingerprint(notification.subject.decision.fingerprint)


def technical_fingerprint(fingerprint: str) -> str:
    """Root, services and end; which routes are in shadow is no news to those that are not."""
    told = parse_last_notification(fingerprint)
    return LastNotification(told.root, told.services, told.closed).text()


def _notified_on(
    context: AlertContext, subject: AlertSubject, asked: list[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Routes that were told and are asked for no more: those that it was escalated to hear on, the others its end."""
    named = {route for route, _ in asked} | set(subject.decision.in_shadow)
    further = {target for one in subject.told for target in escalation_targets(context, one.route)}
    for one in subject.told:
        if one.route not in named and one.words != SHADOW and (subject.decision.closed or one.route in further):
            yield one.route, one.words


def _for_route(context: AlertContext, subject: AlertSubject, route: str, text: str) -> Notification | None:
    told = subject.told_to(route, text)
    if told is None:
        return _first(context, subject, route, text)
    if subject.decision.closed:
        if suppression.was_notified_resolved(context, subject, told):
            return None
        if text == BUSINESS and content.is_late_as_notified(context, subject, told):
            return None
        kind = AlertKind.RECOVERED if subject.match.recovered else AlertKind.UPDATED
        return Notification(subject, route, text, kind, told)
    if _is_news(context, subject, told):
        return Notification(subject, route, text, AlertKind.UPDATED, told)
    is_repeated = text not in (BUSINESS, SHADOW) and not subject.match.awaits  # there, nothing is left to be mended
    again = repeat_reason(context, subject, told) if is_repeated else ""
    return Notification(subject, route, text, AlertKind.REPEATED, told, again) if again else None


def _first(context: AlertContext, subject: AlertSubject, route: str, text: str) -> Notification | None:
    """The first word; of what is over already only where it was held and is to be told all the same."""
    if not subject.decision.closed:
        is_told = text != BUSINESS or content.is_worth_notifying(context, subject, route)
        return Notification(subject, route, text, AlertKind.OPENED) if is_told else None
    held = subject.held_for(route, text)
    if held is None or not subject.match.recovered or not _outlasted(context, subject, held):
        return None
    return Notification(subject, route, text, AlertKind.RECOVERED)


def _outlasted(context: AlertContext, subject: AlertSubject, held: SuppressionFacts) -> bool:
    """Whether it waited for company or for the morning, or was still so when what held it ended and nobody looked."""
    if held.stage in (suppression.GROUP_STAGE, suppression.QUIET_HOURS_STAGE):
        return True
    if held.stage == suppression.INHIBIT_STAGE:
        until = suppression.inhibited_until(context, subject)
        return until is None or until < resolved_since(context, subject)
    return held.until is not None and held.until <= resolved_since(context, subject)


def _is_news(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> bool:
    if last.words == BUSINESS:
        return content.is_material_change(context, subject, last)
    if last.fingerprint != technical_fingerprint(subject.decision.fingerprint):
        return True
    return bool(unannounced_misses(context, subject, last))
