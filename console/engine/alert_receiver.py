"""Receives alerts of Alertmanager and Grafana (webhooks), as evidence about the targets that they are about.

Source: prometheus.io, Alertmanager, webhook_config, version 4; grafana.com, webhook notifier, which sends the same
fields.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.hosts import HostOptions
from connectors.sdk.transport.http_server import ServerReply
from console.domain.external_alert import ExternalAlert
from console.domain.ids import EPOCH, micros
from console.engine.connector_pool import ConnectorTarget
from console.engine.endpoints import (
    Endpoint,
    ItemBatch,
    ItemFault,
    LeftOut,
    check_time,
    json_body,
    partly_validated,
    validated,
)
from console.store.db.database import Database
from console.store.events import record_external_alerts
from console.text.redact import Mask, sanitize
from console.timing.clock import Clock

HOST_LABELS = ("instance", "host", "hostname", "node", "nodename", "server")
TARGET_LABEL = "headway_target"
"""Names a target as "system/target", or the only one of its system; then the other labels do not count."""
OWN_ALERTS = "Headway"
"""Alerts whose name begins so are Headway's own, and no evidence."""
NAME_LIMIT, SUMMARY_LIMIT = 100, 300
FIX = "send a webhook of Alertmanager (version 4) or Grafana"


class _Alert(BaseModel):
    status: Literal["firing", "resolved"]
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    started: AwareDatetime = Field(alias="startsAt")
    ended: AwareDatetime | None = Field(default=None, alias="endsAt")
    fingerprint: Annotated[str, Field(min_length=1, max_length=NAME_LIMIT)]


class _Webhook(BaseModel):
    alerts: list[Any]


def _rows(body: bytes, mask: Mask) -> list[tuple[str, Any]]:
    """The alerts, each with its position and name: "alerts.2 (DiskFull).". Raises ItemFault."""
    rows = validated(_Webhook, json_body(body, FIX), FIX).alerts
    names = (sanitize(_name_of(row), mask, NAME_LIMIT, on_one_line=True) for row in rows)
    return [
        (f"alerts.{number}{f' ({name})' if name else ''}.", row)
        for number, (row, name) in enumerate(zip(rows, names, strict=True))
    ]


def _name_of(row: Any) -> str:
    """Empty if it cannot be read."""
    labels = row.get("labels") if isinstance(row, Mapping) else None
    name = labels.get("alertname") if isinstance(labels, Mapping) else None
    return name if isinstance(name, str) else ""


def _parse_body(body: bytes, now: datetime, mask: Mask) -> ItemBatch[_Alert]:
    left_out: list[str] = []
    batch = ItemBatch.of(partial(_rows, body, mask), partial(_parse_alert, now=now, left_out=left_out))
    batch.faults += left_out
    return batch


def _parse_alert(row: Any, position: str, now: datetime, left_out: list[str]) -> _Alert:
    """The alert without the fields that cannot be read, whose faults are added to `left_out`. A resolved one without
    its end ended when it was received. `position`: that of its fields, as of `_rows`. Raises ItemFault."""
    alert, faults = partly_validated(_Alert, row, FIX, position)
    left_out += faults
    check_time(f"{position}startsAt", alert.started, now)
    if alert.started < EPOCH:
        raise ItemFault(f"{position}startsAt: before 1970. Fix: {FIX}")
    if alert.status == "resolved":
        try:
            if alert.ended is None or alert.ended < alert.started:
                raise ItemFault(f"{position}endsAt: a resolved alert ends after it starts. Fix: {FIX}")
            check_time(f"{position}endsAt", alert.ended, now)
        except ItemFault as fault:
            left_out.append(str(fault))
            alert.ended = max(now, alert.started)
    return alert


class AlertReceiver:
    """Answers POST /alerts once the alerts are stored."""

    def __init__(
        self, store: Database, clock: Clock, places: Mapping[int, ConnectorTarget], secrets: SecretStore
    ) -> None:
        self._store, self._clock, self._mask = store, clock, secrets.mask
        self._names = TargetNames(places)
        self._left_out = LeftOut("/alerts", clock)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(frozenset({"POST"}), self._answer, self._left_out.problem)

    def _answer(self, bodies: Sequence[bytes], fence: int) -> list[ServerReply]:
        """Raises LeaseLost, StoreError."""
        now = self._clock.now()
        batches = [_parse_body(body, now, self._mask) for body in bodies]
        by_batch = [[self._of_targets(alert) for alert in batch.items] for batch in batches]
        if to_store := [alert for by_alert in by_batch for alerts in by_alert for alert in alerts]:
            with self._store.write(fence) as session:
                record_external_alerts(session, to_store, micros(now))
        self._left_out.note(batches)
        return [
            batch.reply("a target", sum(map(bool, by_alert))) for batch, by_alert in zip(batches, by_batch, strict=True)
        ]

    def _of_targets(self, alert: _Alert) -> list[ExternalAlert]:
        """The alert for each of its targets, without secrets."""
        target_ids = self._names.targets_of(alert.labels)
        if not target_ids or alert.labels.get("alertname", "").startswith(OWN_ALERTS):
            return []
        name = self._line(alert.labels.get("alertname", ""), NAME_LIMIT)
        severity = self._line(alert.labels.get("severity", ""), NAME_LIMIT)
        texts = (alert.annotations.get(key, "").strip() for key in ("summary", "description", "message"))
        summary = self._line(next(filter(None, texts), "").partition("\n")[0], SUMMARY_LIMIT)
        fingerprint = self._line(alert.fingerprint, NAME_LIMIT)
        ended = alert.ended if alert.status == "resolved" else None
        return [
            ExternalAlert(target_id, fingerprint, name, severity, summary, alert.started, ended)
            for target_id in target_ids
        ]

    def _line(self, text: str, limit: int) -> str:
        return sanitize(text, self._mask, limit, on_one_line=True)


class TargetNames:
    """Finds targets by the labels of an alert: by host name, with or without its domain, or by address."""

    def __init__(self, places: Mapping[int, ConnectorTarget]) -> None:
        self._by_name: dict[str, set[int]] = defaultdict(set)
        self._by_short: dict[str, set[int]] = defaultdict(set)
        self._named: dict[str, set[int]] = defaultdict(set)
        """By "system/target" and by system."""
        systems: dict[str, list[int]] = defaultdict(list)
        for target_id, place in places.items():
            systems[place.system.name].append(target_id)
            self._named[place.name].add(target_id)
            for name in _host_names(place):
                self._by_name[name].add(target_id)
                self._by_short[_short(name)].add(target_id)
        for system, ids in systems.items():
            if len(ids) == 1:
                self._named[system].update(ids)
                self._by_name[system.lower()].update(ids)

    def targets_of(self, labels: Mapping[str, str]) -> list[int]:
        """Ids, ascending. A host name with a domain never means a target with another domain."""
        if TARGET_LABEL in labels:
            return sorted(self._named.get(labels[TARGET_LABEL], ()))
        hosts = {_host(labels[label]) for label in HOST_LABELS if label in labels}
        return sorted({target_id for host in hosts for target_id in self._targets_of_host(host)})

    def _targets_of_host(self, host: str) -> Iterable[int]:
        return self._by_name.get(host) or self._by_name.get(_short(host)) or self._by_short.get(host) or ()


def _host_names(place: ConnectorTarget) -> Iterable[str]:
    yield place.target.lower()
    if isinstance(place.system.options, HostOptions):
        address = place.system.options.host(place.target).address
        if address:
            yield address.lower()


def _host(value: str) -> str:
    """The host of "db07:9100", "http://db07.example.com/metrics" or "[::1]:9100"."""
    host = value.strip().lower().partition("://")[2] or value.strip().lower()
    host = host.partition("/")[0]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0]


def _short(host: str) -> str:
    """The name without its domain; an IP address as it is."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.partition(".")[0]
