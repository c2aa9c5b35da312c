"""The JSON of webhooks: one of each kind, and its schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from console.domain.alert import AlertKind, with_incident
from console.domain.ids import micros
from console.domain.message import Message
from console.engine.notify.outbox import page_of
from console.engine.notify.senders import Outgoing
from console.engine.notify.webhook import WebhookNotification, incident_document, notification
from console.store.alerts import DIGEST, FALLBACK, GROUP, HEADWAY, PERSON, TEST
from console.store.outbox import AlertedIncident, AlertedService, DueDelivery
from tests.golden.alerts import messages

AT = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
KINDS = {
    "service at risk": AlertKind.OPENED,
    "not started": AlertKind.OPENED,
    "late": AlertKind.OPENED,
    "missed": AlertKind.UPDATED,
    "reminder": AlertKind.REPEATED,
    "escalation": AlertKind.ESCALATED,
    "resolved": AlertKind.RECOVERED,
    "attention": PERSON,
    "group": GROUP,
    "digest": DIGEST,
    "fallback": AlertKind.OPENED,
    "engine down": HEADWAY,
    "engine up": HEADWAY,
    "test": TEST,
}
"""Message of `tests.golden.alerts` -> kind."""
ABOUT_NONE = (HEADWAY, TEST)
STATUSES = {"late": "will_miss", "missed": "breached", "resolved": "met"}


def webhook_schema() -> str:
    """The JSON schema of a webhook's body, as the docs link it."""
    return json.dumps(WebhookNotification.model_json_schema(mode="serialization"), indent=2) + "\n"


def notifications() -> Iterator[WebhookNotification]:
    """One of each kind."""
    for name, message in messages():
        if name in KINDS:
            yield _notification(name, with_incident(message, "INC-0001"))


def _notification(name: str, message: Message) -> WebhookNotification:
    kind = KINDS[name]
    is_many, is_end = kind in (DIGEST, GROUP), name in ("resolved", "engine up")
    incident_id = None if is_many or kind in ABOUT_NONE else 1
    delivery = DueDelivery(
        id=7,
        route="oncall",
        url_index=0,
        message=message,
        dedup_key="incident:1" if incident_id else f"headway:{kind}",
        tries=1,
        repeats=0,
        maybe_repeat=False,
        kind=FALLBACK if name == "fallback" else kind,
        made_us=micros(AT),
        incident_id=incident_id,
        origin=kind,
        is_resolved=is_end,
    )
    count = 0 if kind in ABOUT_NONE else 2 if is_many else 1
    documents = [
        incident_document(_incident(number, name, is_end), [_service(number, name)], "https://ops.example/{incident}")
        for number in range(1, count + 1)
    ]
    return notification(Outgoing(delivery, message, page_of(delivery)), "night", documents)


def _incident(number: int, name: str, is_end: bool) -> AlertedIncident:
    rule = "not_started" if name in ("not started", "late") else ""
    return AlertedIncident(
        id=number,
        root_job="hosts/extract",
        owner="data",
        runbook="https://wiki.example/extract",
        failed_since=AT,
        act_by=None if name == "missed" else AT + timedelta(hours=2, minutes=28),
        service="supply-plan",
        tier=1,
        cause="rule" if rule else "run",
        rule=rule,
        business_date="2026-11-20",
        opened=AT,
        closed=AT + timedelta(hours=1) if is_end else None,
    )


def _service(number: int, name: str) -> AlertedService:
    due = AT + timedelta(hours=3, minutes=18)
    return AlertedService(
        incident_id=number,
        name="supply-plan",
        title="Supply plan",
        tier=1,
        zone="UTC",
        business_date="2026-11-20",
        deadline=due,
        timeliness=STATUSES.get(name, "at_risk"),
        act_by=None if name == "missed" else AT + timedelta(hours=2),
        expected=due + timedelta(minutes=9),
        delivered=AT + timedelta(hours=1) if name == "resolved" else None,
    )
