"""Alertmanager as a receiver: `alertmanager://host:9093` sends each incident as one alert (POST /api/v2/alerts).

An alert ends by itself unless it is sent again before `endsAt`, so that a dead engine leaves nothing open. Those of
open incidents are refreshed each minute; a recovery ends its alert at once. Sending is idempotent: Alertmanager knows
an alert by its labels, so one whose labels change is ended; those sent before the engine's start are read from it once
(GET /api/v2/alerts). Source: prometheus.io, Alertmanager, API v2.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from connectors.sdk.fields import masked_head
from connectors.sdk.transport.http import tls
from connectors.sdk.transport.loopback import is_loopback
from console.domain.ids import incident_id, incident_name
from console.domain.message import body_text, title_text
from console.engine.notify.paging import PageAction
from console.engine.notify.senders import Channel, Outgoing, SendResult, Traits, lost_answer, status_result
from console.store.alerts import TEST
from console.store.db.database import Database
from console.store.outbox import AlertedIncident, alerted_incidents

SCHEMES = {"alertmanager": "http", "alertmanagers": "https"}
PORT = 9093
INCIDENT_ALERT = "HeadwayIncident"
"""Name of the alert of an incident."""
SECONDS = 5.0
"""Timeout of a request."""
REFRESH_SECONDS = 60.0
LASTS = timedelta(minutes=4)
"""An alert that is not refreshed ends after this."""
REPORT_LASTS = timedelta(hours=2)
"""The same for alerts about no incident: Headway's own trouble is repeated hourly."""


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
    if fault := alertmanager_fault(url):
        return SendResult(False, fault, for_good=True)
    try:
        reply = _request(url, "POST", json=alerts)
    except httpx.HTTPError as error:
        return lost_answer(error)
    return status_result(reply.status_code, f": {masked_head(reply.text, 200)}")


def active_alerts(url: str) -> list[dict[str, Any]] | None:
    """The incidents that this Alertmanager has as alerts, also of other senders, without those of another form; None
    if they cannot be read."""
    if alertmanager_fault(url):
        return None
    try:
        reply = _request(url, "GET", params={"filter": f'alertname="{INCIDENT_ALERT}"'})
        alerts = reply.json() if reply.is_success else None
    except (httpx.HTTPError, ValueError):
        return None
    return [alert for alert in alerts if _is_readable(alert)] if isinstance(alerts, list) else None


def _is_readable(alert: Any) -> bool:
    if not isinstance(alert, dict) or not all(isinstance(alert.get(key), str) for key in ("startsAt", "endsAt")):
        return False
    tables = [alert.get("labels"), alert.get("annotations")]
    return all(isinstance(table, dict) and all(isinstance(text, str) for text in table.values()) for table in tables)


def _request(url: str, method: str, **content: Any) -> httpx.Response:
    """The reply of its API to a request about alerts. Raises httpx.HTTPError."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    scheme = SCHEMES[parts.scheme.lower()]
    address = f"{scheme}://{host}:{parts.port or PORT}{parts.path.rstrip('/')}/api/v2/alerts"
    verify = tls("Alertmanager", None) if scheme == "https" else False
    return httpx.request(method, address, auth=login, timeout=SECONDS, verify=verify, **content)


class AlertmanagerChannel(Channel):
    """An Alertmanager, which gets messages as alerts. `store`: None where no message is about an incident. `link`:
    address of an incident, with {incident}; empty: none."""

    traits = Traits(knows_copies=True, opens_pages=True)

    def __init__(self, url: str, store: Database | None, link: str = "") -> None:
        self._url, self._store, self._link = url, store, link
        self._lock = threading.Lock()
        """Held from the reading of messages about incidents until they are sent."""
        self._open: dict[int, dict[str, Any]] = {}
        """Incident -> its alert as sent last, until it ends."""
        self._read_after = 0.0
        """From when on the alerts of an engine before are read into `_open`; infinite once they were."""

    def problem(self) -> str:
        return alertmanager_fault(self._url)

    def send(self, outgoing: Outgoing) -> SendResult:
        """A message about no incident is an alert under the digest of its key, and needs no store."""
        number = outgoing.delivery.incident_id
        if number is None:
            lasts = LASTS if outgoing.delivery.kind == TEST else REPORT_LASTS
            return post_alerts(self._url, [self._alert(outgoing, None, None, lasts)])
        with self._lock:
            return self._send({number: outgoing}, [number])

    def refresh(self, read: Callable[[], Mapping[int, Outgoing]]) -> SendResult:
        """Sends the messages that `read` returns by incident and ends the alerts of all other incidents. No other
        incident is sent meanwhile, so that no alert that was read as open is sent after its recovery. Raises
        StoreError."""
        with self._lock:
            return self._send(read(), None)

    def _send(self, messages: Mapping[int, Outgoing], ids: Sequence[int] | None) -> SendResult:
        """`ids`: incidents whose alerts end unless they are sent again with the same labels; None: all."""
        open_alerts = self._open_alerts()
        ids = list(open_alerts) if ids is None else ids
        incidents = self._incidents(messages)
        alerts = {
            key: self._alert(message, incidents.get(key), open_alerts.get(key)) for key, message in messages.items()
        }
        labels, now = [alert["labels"] for alert in alerts.values()], _text(datetime.now(UTC))
        before = {key: alert for key, alert in open_alerts.items() if key in ids}
        ended = [alert | {"endsAt": now} for alert in before.values() if alert["labels"] not in labels]
        if not alerts and not ended:
            return SendResult(True)
        result = post_alerts(self._url, [*ended, *alerts.values()])
        if result.arrived:
            firing = {key: alert for key, alert in alerts.items() if alert["endsAt"] != alert["startsAt"]}
            for key in ids:
                open_alerts.pop(key, None)
            open_alerts.update({key: alert for key, alert in firing.items() if key in incidents})
        return result

    def _open_alerts(self) -> dict[int, dict[str, Any]]:
        """As sent last; at first those that an engine before has left there, until they could be read."""
        own = self._open
        if self._store is None or time.monotonic() < self._read_after:
            return own
        self._read_after = time.monotonic() + REFRESH_SECONDS
        if (active := active_alerts(self._url)) is None:
            return own
        self._read_after = math.inf
        incidents = self._incidents(filter(None, map(_incident_of, active))).values()
        # another Headway may send there, whose incidents have the same names
        ids = {(incident.id, _text(incident.failed_since)): incident.id for incident in incidents}
        for alert in active:
            known = ids.get((_incident_of(alert) or 0, alert["annotations"].get("failed_since", "")))
            if known is not None:
                own.setdefault(known, {key: alert[key] for key in ("labels", "annotations", "startsAt", "endsAt")})
        return own

    def _incidents(self, ids: Iterable[int]) -> dict[int, AlertedIncident]:
        if self._store is None or not (incident_ids := sorted(set(ids))):
            return {}
        return {incident.id: incident for incident in alerted_incidents(self._store, incident_ids)}

    def _alert(
        self,
        outgoing: Outgoing,
        incident: AlertedIncident | None,
        before: dict[str, Any] | None,
        lasts: timedelta = LASTS,
    ) -> dict[str, Any]:
        """An end has the labels of the alert `before`: Alertmanager ends no other one."""
        now = datetime.now(UTC)
        labels = {"alertname": "Headway", "severity": "warning"}
        lasting = outgoing.message.without_countdown()
        annotations = {"summary": title_text(lasting.title), "description": body_text(lasting.blocks)}
        # from now on: where an alert began before `group_wait`, Alertmanager neither groups nor inhibits it at first
        times = {"startsAt": _text(now), "endsAt": _text(now + lasts)}
        alert: dict[str, Any] = {"labels": labels, "annotations": annotations, **times}
        is_end = outgoing.page.action is PageAction.RESOLVE or (incident is not None and incident.is_closed)
        if is_end:
            alert["endsAt"] = _text(now)
        if incident is None:
            labels["key"] = outgoing.page.steps[-1][0]
            return alert
        name = incident_name(incident.id)
        labels |= {"alertname": INCIDENT_ALERT, "incident": name, "severity": _severity(incident.tier)}
        labels |= {"system": incident.root_job.partition("/")[0], "job": incident.root_job, "owner": incident.owner}
        labels |= {"service": incident.service}
        annotations |= {"failed_since": _text(incident.failed_since), "runbook": incident.runbook}
        annotations |= {"act_by": _text(incident.act_by) if incident.act_by else ""}
        annotations |= {"link": self._link.replace("{incident}", name)}
        own_labels = {label: value for label, value in labels.items() if value}
        alert["labels"] = before["labels"] if is_end and before else own_labels
        alert["annotations"] = {key: value for key, value in annotations.items() if value}
        return alert


def _incident_of(alert: dict[str, Any]) -> int | None:
    """The id by its labels; None if they name none."""
    try:
        return incident_id(alert["labels"]["incident"])
    except (KeyError, ValueError):
        return None


def _severity(tier: int | None) -> str:
    """Of the most important affected service."""
    return "critical" if tier == 1 else "warning" if tier is None or tier <= 3 else "info"


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
