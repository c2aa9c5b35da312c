"""Alertmanager as a receiver: `alertmanager://host:9093` sends each incident as one alert (POST /api/v2/alerts).

An alert ends by itself unless it is sent again before `endsAt`, so that a dead engine leaves nothing open. Those of
open incidents are refreshed each minute; a recovery ends its alert at once. Sending is idempotent: Alertmanager knows
an alert by its labels. Source: prometheus.io, Alertmanager, API v2.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog

from connectors.sdk.transport.loopback import is_loopback
from console.domain.ids import incident_name
from console.domain.incident import IncidentView
from console.engine.notify.paging import Page, PageAction
from console.engine.notify.senders import PERMANENT_STATUSES, SendResult
from console.store.queries import NotFound, open_queries

log = structlog.get_logger("headway.outbox")

SCHEMES = {"alertmanager": "http", "alertmanagers": "https"}
PORT = 9093
SECONDS = 5.0
"""Timeout of a request."""
REFRESH_SECONDS = 60.0
LASTS = timedelta(minutes=4)
"""An alert that is not refreshed ends after this."""
REPORT_LASTS = timedelta(hours=2)
"""The same for alerts about no incident: Headway's own trouble is repeated hourly."""


def is_alertmanager(url: str) -> bool:
    return url.partition("://")[0].lower() in SCHEMES


def alertmanager_fault(url: str) -> str:
    """Why nothing can be sent by this URL; empty if it can. Names no part of a login."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "server or port: unreadable. Fix: alertmanager://am.example.com:9093"
    if not parts.hostname:
        return "server: missing. Fix: alertmanager://am.example.com:9093"
    if parts.query or parts.fragment:
        return "nothing may follow the path. Fix: alertmanager://am.example.com:9093/prefix"
    if parts.username and parts.scheme == "alertmanager" and not is_loopback(parts.hostname):
        return f"{parts.hostname}: the password would cross the network unencrypted. Fix: write alertmanagers://"
    return ""


def post_alerts(url: str, alerts: list[dict[str, Any]]) -> SendResult:
    """Sends alerts to the Alertmanager of a URL."""
    import httpx  # noqa: PLC0415 - only where such an alert is sent

    if fault := alertmanager_fault(url):
        return SendResult(False, fault, for_good=True)
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    address = f"{SCHEMES[parts.scheme.lower()]}://{host}:{parts.port or PORT}{parts.path.rstrip('/')}/api/v2/alerts"
    try:
        verify = ssl.create_default_context()
        reply = httpx.post(address, json=alerts, auth=login, timeout=SECONDS, verify=verify)
    except httpx.HTTPError as error:
        is_connected = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        return SendResult(None if is_connected else False, f"{type(error).__name__}: {error}")
    if reply.is_success:
        return SendResult(True)
    reason = f"HTTP {reply.status_code}: {reply.text[:200]}"
    return SendResult(False, reason, for_good=reply.status_code in PERMANENT_STATUSES)


class AlertmanagerSender:
    """Sends messages as alerts. `link`: address of an incident, with {incident}; empty: none."""

    def __init__(self, store_url: str, link: str = "") -> None:
        self._store_url, self._link = store_url, link

    def send(
        self, url: str, title: str, body: str, page: Page, incident_id: int | None, lasts: timedelta = LASTS
    ) -> SendResult:
        """The answer. A message about no incident is an alert under the digest of its key, which `lasts` so long.
        Raises StoreError."""
        return post_alerts(url, [self.alert(title, body, page, incident_id, lasts)])

    def alert(
        self, title: str, body: str, page: Page, incident_id: int | None, lasts: timedelta = LASTS
    ) -> dict[str, Any]:
        """Raises StoreError."""
        incident = self._incident(incident_id)
        now = datetime.now(UTC)
        labels, annotations = {"alertname": "Headway", "severity": "warning"}, {"summary": title, "description": body}
        # from now on: where an alert began before `group_wait`, Alertmanager neither groups nor inhibits it at first
        times = {"startsAt": _text(now), "endsAt": _text(now + lasts)}
        alert: dict[str, Any] = {"labels": labels, "annotations": annotations, **times}
        if page.action is PageAction.RESOLVE:
            alert["endsAt"] = _text(now)
        if incident is None:
            labels["key"] = page.steps[-1][0]
            return alert
        row = incident.row
        labels |= {"alertname": "HeadwayIncident", "incident": incident_name(row.id), "severity": _severity(row.tier)}
        labels |= {"system": row.root_job.partition("/")[0], "job": row.root_job, "owner": row.owner}
        labels |= {"service": min((s.tier, s.name) for s in incident.services)[1] if incident.services else ""}
        annotations |= {"failed_since": _text(row.failed_since)}
        annotations |= {"act_by": _text(row.act_by) if row.act_by else "", "runbook": row.runbook}
        annotations |= {"link": self._link.replace("{incident}", incident_name(row.id))}
        alert["labels"] = {name: value for name, value in labels.items() if value}
        alert["annotations"] = {name: value for name, value in annotations.items() if value}
        return alert

    def _incident(self, incident_id: int | None) -> IncidentView | None:
        if incident_id is None:
            return None
        try:
            with open_queries(self._store_url) as queries:
                return queries.incidents.incident(incident_id)
        except NotFound:
            return None


def _severity(tier: int | None) -> str:
    """Of the most important affected service."""
    return "critical" if tier == 1 else "warning" if tier is None or tier <= 3 else "info"


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
