"""Webhook as a receiver: `webhooks://KEY@host/path` posts each notification as signed JSON of a documented form.

Headers and signature are those of Standard Webhooks, so that its libraries verify them: `webhook-id` is the same for
each try of a notification, and the outbox alone retries. Source: standardwebhooks.com, specification.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, cast
from urllib.parse import SplitResult, unquote, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field

from connectors.sdk.transport.http import tls
from console.domain.ids import incident_name, instant
from console.domain.message import body_text, title_text
from console.domain.service import RepairCase, Timeliness
from console.engine.notify.paging import PageAction, opaque_id
from console.engine.notify.senders import Channel, Outgoing, SendResult, lost_answer, status_result
from console.store.alerts import FALLBACK
from console.store.db.database import Database
from console.store.outbox import AlertedIncident, AlertedService, incidents_of_alert
from console.timing.clock import real_now

SCHEMES = {"webhook": "http", "webhooks": "https"}
SECONDS = 10.0
"""Timeout of connecting, of sending and of each wait for the answer."""
MIN_KEY_BYTES = 24
_EXAMPLE = "webhooks://KEY@hooks.example.com/headway"

Kind = Literal[
    "opened", "updated", "recovered", "repeated", "escalated", "person", "digest", "group", "headway", "test"
]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class WebhookService(_Document):
    """A service that the incident affects."""

    name: str
    title: str
    tier: int
    business_date: str
    status: Timeliness = Field(validation_alias="timeliness")
    deadline: datetime
    act_by: datetime | None
    expected: datetime | None
    """Its expected finish."""
    repair_case: RepairCase | None
    """The repair that `expected` assumes, null if none."""


class WebhookIncident(_Document):
    """An incident at the time of the request."""

    incident: str
    """INC-0001."""
    cause: str
    """run, target, shared, check, rule, or undelivered: a service is late without a failure."""
    rule: str
    """The rule that found the cause, as not_started; empty for other causes."""
    root: str = Field(validation_alias="root_job")
    """SYSTEM/JOB or SYSTEM/TARGET of the root cause, else the shared host, database or credential."""
    owner: str
    runbook: str
    business_date: str
    failed_since: datetime
    act_by: datetime | None
    opened: datetime
    closed: datetime | None
    link: str
    services: list[WebhookService]
    """The most important ones first."""


class WebhookNotification(_Document):
    """One notification. Later versions of Headway may add fields; `version` changes if one changes or goes."""

    version: Literal[1] = 1
    id: str
    """As the header webhook-id: the same whenever this notification is sent again."""
    kind: Kind
    action: PageAction
    """Its meaning for `key`."""
    key: str
    """The same for all notifications about one incident, or one problem of Headway itself."""
    resolves: list[str]
    """Keys of other incidents and digests that are resolved with it."""
    estate: str
    route: str
    is_fallback: bool
    """The route is the fallback of one that did not accept it."""
    may_be_repeat: bool
    """The answer to an earlier try was lost."""
    made: datetime
    title: str
    body: str
    """Plain text, as the route's `body` setting allows. It may contain text from jobs and logs: data, not markup."""
    incidents: list[WebhookIncident]
    """Empty for tests, reports and Headway's own trouble; several for digests and groups."""


def webhook_fault(url: str) -> str:
    """Why nothing can be sent by this URL; empty if it can. Names no part of it."""
    try:
        parts = urlsplit(url)
        httpx.URL(_address(parts))
    except (ValueError, httpx.InvalidURL):
        return f"server or port: unreadable. Fix: {_EXAMPLE}"
    if not parts.username or parts.password is not None:
        return f"key: missing, or not alone before the @. Fix: {_EXAMPLE}; make the key by openssl rand -hex 32"
    if not parts.hostname:
        return f"server: missing. Fix: {_EXAMPLE}"
    if parts.fragment:
        return "nothing may follow a #. Fix: write # as %23"
    try:
        size = len(_key(parts))
    except ValueError:
        size = 0
    if size < MIN_KEY_BYTES:
        return f"key: not {MIN_KEY_BYTES} bytes or more in base64. Fix: openssl rand -hex 32"
    return ""


def _address(parts: SplitResult) -> str:
    """Raises ValueError."""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = f":{parts.port}" if parts.port is not None else ""
    query = f"?{parts.query}" if parts.query else ""
    return f"{SCHEMES[parts.scheme.lower()]}://{host}{port}{parts.path or '/'}{query}"


def _key(parts: SplitResult) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(unquote(parts.username or "").removeprefix("whsec_"), validate=True)


def post_webhook(url: str, notification: WebhookNotification) -> SendResult:
    """Sends a notification once. Nothing of the answer but its status is read, and no redirect is followed."""
    if fault := webhook_fault(url):
        return SendResult(False, fault, for_good=True)
    parts, body = urlsplit(url), notification.model_dump_json().encode()
    timestamp = str(int(real_now().timestamp()))
    signed = hmac.digest(_key(parts), f"{notification.id}.{timestamp}.".encode() + body, "sha256")
    headers = {
        "content-type": "application/json",
        "webhook-id": notification.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    verify = tls("the webhook", None) if parts.scheme.lower() == "webhooks" else False
    try:
        with httpx.stream(
            "POST",
            _address(parts),
            content=body,
            headers=headers,
            timeout=SECONDS,
            verify=verify,
            follow_redirects=False,
        ) as reply:
            status = reply.status_code
    except httpx.HTTPError as error:
        return lost_answer(error)
    if 300 <= status < 400:
        return SendResult(False, f"HTTP {status}: redirects are refused. Fix: name the final address", for_good=True)
    return status_result(status)


class WebhookChannel(Channel):
    """A webhook. `link`: address of an incident, with {incident}; empty: none. `store`: None where no message is about
    an incident."""

    def __init__(self, url: str, store: Database | None, estate: str, link: str) -> None:
        self._url, self._store, self._estate, self._link = url, store, estate, link

    def problem(self) -> str:
        return webhook_fault(self._url)

    def send(self, outgoing: Outgoing) -> SendResult:
        alert_id = outgoing.delivery.origin_id
        incidents = incidents_of_alert(self._store, alert_id) if self._store is not None and alert_id else ()
        documents = [incident_document(incident, services, self._link) for incident, services in incidents]
        return post_webhook(self._url, notification(outgoing, self._estate, documents))


def notification(outgoing: Outgoing, estate: str, incidents: Sequence[WebhookIncident] = ()) -> WebhookNotification:
    delivery, message = outgoing.delivery, outgoing.message
    *resolves, (key, action) = outgoing.page.steps
    identity = (delivery.dedup_key, delivery.kind, delivery.route, str(delivery.made_us))
    return WebhookNotification(
        id=f"headway-{opaque_id(*identity)}",
        kind=cast(Any, delivery.origin),
        action=action,
        key=key,
        resolves=[key for key, _ in resolves],
        estate=estate,
        route=delivery.route,
        is_fallback=delivery.kind == FALLBACK,
        may_be_repeat=delivery.maybe_repeat,
        made=instant(delivery.made_us),
        title=title_text(message.title),
        body=body_text(message.blocks),
        incidents=list(incidents),
    )


def incident_document(incident: AlertedIncident, services: Sequence[AlertedService], link: str) -> WebhookIncident:
    name = incident_name(incident.id)
    given = {"incident": name, "link": link.replace("{incident}", name), "services": services}
    return WebhookIncident.model_validate(asdict(incident) | given, from_attributes=True)
