"""Values for a route's own template, by the names that `console.config.templates.SAMPLE` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.control.alerts.context import AlertContext, Notification
from console.control.alerts.headline import REFERENCE
from console.control.alerts.services_table import case_of, service_facts, service_title, service_zone
from console.control.alerts.technical_message import failed_since, tail_lines
from console.control.incidents.titles import cause_name, plain_title
from console.domain.alert import INCIDENT_PLACEHOLDER, SHADOW, TECHNICAL
from console.domain.decision import AffectedServiceVerdict
from console.domain.service import timeliness_label
from console.text.cleaning import clean_line
from console.text.message import MessageText
from console.timing.formats import dated_time, zoned_time


def template_fields(
    context: AlertContext, notification: Notification, text: MessageText, log_tails: Mapping[int, str]
) -> dict[str, Any]:
    """The fields of a notice for the route's own template, if it has one; a person on call without one gets that of
    the route with the rota."""
    own = context.alerting.route(notification.route)
    rule = own if own.templated else context.rule(notification.route)
    if not rule.templated or notification.style == SHADOW:
        return {}
    tail = tail_lines(context.index, notification.subject.match, log_tails)
    plain = _plain_values(context, notification, text)
    return {"template": rule.name, "values": _values(plain, notification, text, tail), "plain_values": plain}


def _values(
    plain: Mapping[str, Any], notification: Notification, text: MessageText, tail: list[str]
) -> Mapping[str, Any]:
    """Business ones have nothing technical."""
    values = {**plain, "subject": text.title, "body": text.body}
    if notification.style == TECHNICAL:
        decision = notification.subject.decision
        values |= {"title": decision.title, "reason": decision.reason, "log": tail}
    return values


def _plain_values(context: AlertContext, notification: Notification, text: MessageText) -> Mapping[str, Any]:
    """The same for routes with body = "link": only names come from outside."""
    decision, match = notification.subject.decision, notification.subject.match
    technical = notification.style == TECHNICAL
    return {
        "incident": INCIDENT_PLACEHOLDER,
        "kind": notification.kind.value,
        "style": notification.style,
        "route": notification.route,
        "owner": clean_line(decision.owner),
        "runbook": clean_line(decision.runbook) if technical else "",
        "business_date": decision.business_date.isoformat(),
        "failed_since": dated_time(failed_since(match, decision), decision.zone),
        "act_by": zoned_time(decision.act_by, decision.zone, context.now) if decision.act_by is not None else "",
        "tier": notification.subject.tier or 0,
        "services": [_service_values(context, service) for service in decision.services],
        "title": plain_title(context.index, match) if technical else text.title.removesuffix(REFERENCE),
        "cause": cause_name(context.index, match) if technical else "",
        "reason": "",
        "log": [],
        "subject": text.plain_title,
        "body": text.plain_body,
    }


def _service_values(context: AlertContext, affected: AffectedServiceVerdict) -> dict[str, Any]:
    known, zone = service_facts(context.index, affected.service), service_zone(context.index, affected.service)
    return {
        "name": clean_line(affected.service),
        "title": service_title(context.index, affected.service),
        "tier": known.tier if known is not None else 0,
        "status": timeliness_label(affected.timeliness),
        "deadline": zoned_time(affected.deadline, zone, context.now),
        "expected": zoned_time(affected.expected_at, zone, context.now) if affected.expected_at is not None else "",
        "repair_case": case_of(context, affected) or "",
        "act_by": zoned_time(affected.act_by, zone, context.now) if affected.act_by is not None else "",
    }
