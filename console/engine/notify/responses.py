"""Acknowledgements in both directions between Headway and on-call services: state is compared, so nothing loops.

A response of a person at the service (acknowledged, resolved) becomes an acknowledgement here, once for each response,
under a key that names the receiver. An acknowledgement from elsewhere is sent to a service whose incident still pages.
The alerts themselves are sent by apprise, see `paging`. `docs/oncall.md` names the API descriptions that this follows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote

import structlog

from connectors.sdk.errors import AccessRefused, ConnectorError, InvalidAnswer
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint, Transport
from console.config.sections import RouteSettings
from console.domain.ids import micros
from console.domain.incident import ACKNOWLEDGE_FOR
from console.engine.notify.paging import Page, alias_address, names_own_key, read_key_of
from console.store.alert_responses import ActiveAcknowledgement, acknowledge, active_acknowledgements
from console.store.audit import ChangeOrigin
from console.store.db.database import Database
from console.store.outbox import latest_of_open_incidents
from console.text.cleaning import clean_line
from console.timing.clock import Clock
from console.timing.durations import parse_duration

log = structlog.get_logger("headway.oncall")

SECONDS = 10.0
"""Timeout of all requests of a comparison."""
MAX_INCIDENTS = 50
"""Open incidents compared per receiver, the newest first."""
MAX_PAUSE_SECONDS = 300.0
"""Longest pause after failures of a receiver."""
NAME_LIMIT = 80
_HANDLED = frozenset({"acknowledged", "resolved"})


class ServiceRequest(NamedTuple):
    """A request to a service."""

    origin: str
    method: str
    path: str
    """May hold a key: messages never show it."""
    params: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}
    body: Any = None


class ServiceState(NamedTuple):
    """An incident at the service."""

    status: str
    """triggered, acknowledged or resolved."""
    person: str = ""
    """The person who acknowledged or resolved it; empty for integrations, such as Headway's."""
    response: str = ""
    """Identity of that response."""


class OnCallService(NamedTuple):
    """The requests to a service. Arguments: apprise's plugin of the URL, the read key, the incident's key there."""

    name: str
    acknowledge: Callable[[Any, str], ServiceRequest]
    query: Callable[[Any, str, str], ServiceRequest] | None = None
    """Asks for one incident, or for all open ones if `is_list`. None: the service cannot be read by a key alone."""
    states: Callable[[Any, str], Iterator[tuple[str, ServiceState]]] | None = None
    """(key, state) of each incident in a reply to the query for this key. Raises KeyError, TypeError, ValueError or
    AttributeError."""
    is_list: bool = False


def _pagerduty_acknowledge(plugin: Any, key: str) -> ServiceRequest:
    region = ".eu" if plugin.region_name == "eu" else ""
    body = {"routing_key": plugin.integration_key, "event_action": "acknowledge", "dedup_key": key}
    return ServiceRequest(f"https://events{region}.pagerduty.com", "POST", "/v2/enqueue", body=body)


def _pagerduty_query(plugin: Any, read_key: str, key: str) -> ServiceRequest:
    region = ".eu" if plugin.region_name == "eu" else ""
    headers = {"Authorization": f"Token token={read_key}", "Accept": "application/vnd.pagerduty+json;version=2"}
    params = {"incident_key": key, "date_range": "all", "sort_by": "created_at:desc", "limit": 1}
    return ServiceRequest(f"https://api{region}.pagerduty.com", "GET", "/incidents", params, headers)


def _pagerduty_states(reply: Any, key: str) -> Iterator[tuple[str, ServiceState]]:
    for incident in reply["incidents"][:1]:
        status, agent, at = incident["status"], None, ""
        if status == "acknowledged":
            for acknowledgement in incident["acknowledgements"]:
                if _is_user(acknowledgement["acknowledger"]):
                    agent, at = acknowledgement["acknowledger"], acknowledgement["at"]
        elif status == "resolved" and _is_user(incident.get("last_status_change_by")):
            agent, at = incident["last_status_change_by"], incident["last_status_change_at"]
        yield key, ServiceState(status, agent["summary"] if agent else "", f"{incident['id']} {status} {at}")


def _is_user(agent: Any) -> bool:
    return agent is not None and agent["type"] in ("user", "user_reference")


def _genie_acknowledge(plugin: Any, key: str) -> ServiceRequest:
    origin, path = alias_address(plugin, key)
    headers = {"Authorization": f"GenieKey {plugin.apikey}"}
    body = {"source": "Headway", "note": "Acknowledged in Headway"}
    return ServiceRequest(origin, "POST", f"{path}/acknowledge", {"identifierType": "alias"}, headers, body)


def _opsgenie_query(plugin: Any, read_key: str, key: str) -> ServiceRequest:
    headers = {"Authorization": f"GenieKey {read_key}"}
    origin, path = alias_address(plugin, key)
    return ServiceRequest(origin, "GET", path, {"identifierType": "alias"}, headers)


def _opsgenie_states(reply: Any, key: str) -> Iterator[tuple[str, ServiceState]]:
    """People are named by their mail address; integrations, as ours, by a name."""
    alert = reply["data"]
    report = alert.get("report") or {}
    status = "resolved" if alert["status"] == "closed" else "acknowledged" if alert["acknowledged"] else "triggered"
    by, at = ("closedBy", "closeTime") if status == "resolved" else ("acknowledgedBy", "ackTime")
    person = str(report.get(by) or "") if status in _HANDLED else ""
    response = f"{alert['id']} {status} {report.get(at, '')}"
    yield key, ServiceState(status, person if "@" in person else "", response)


def _splunk_acknowledge(plugin: Any, key: str) -> ServiceRequest:
    path = f"/integrations/generic/20131114/alert/{quote(plugin.apikey)}/{quote(plugin.routing_key, safe='')}"
    body = {"message_type": "ACKNOWLEDGEMENT", "entity_id": key, "monitoring_tool": "Headway"}
    return ServiceRequest("https://alert.victorops.com", "POST", path, body=body)


def _splunk_query(plugin: Any, read_key: str, key: str) -> ServiceRequest:
    api_id, _, api_key = read_key.partition(":")
    headers = {"X-VO-Api-Id": api_id, "X-VO-Api-Key": api_key}
    return ServiceRequest("https://api.victorops.com", "GET", "/api-public/v1/incidents", headers=headers)


def _splunk_states(reply: Any, key: str) -> Iterator[tuple[str, ServiceState]]:
    phases = {"ACKED": "acknowledged", "ACKNOWLEDGED": "acknowledged", "RESOLVED": "resolved"}
    for incident in sorted(reply["incidents"], key=lambda incident: int(incident["incidentNumber"])):
        status = phases.get(str(incident["currentPhase"]).upper(), "triggered")
        person, at = "", ""
        for transition in incident.get("transitions") or ():
            if phases.get(str(transition["name"]).upper()) == status:
                person, at = str(transition.get("by") or "") if transition.get("manually") else "", transition["at"]
        yield incident["entityId"], ServiceState(status, person, f"{incident['incidentNumber']} {status} {at}")


def _ilert_acknowledge(plugin: Any, key: str) -> ServiceRequest:
    body = {"integrationKey": plugin.key, "eventType": "ACCEPT", "alertKey": key, "summary": "Acknowledged in Headway"}
    return ServiceRequest("https://api.ilert.com", "POST", "/api/events", body=body)


def _ilert_query(plugin: Any, read_key: str, key: str) -> ServiceRequest:
    params = {"states": ["PENDING", "ACCEPTED"], "max-results": 100}
    headers = {"Authorization": f"Bearer {read_key}"}
    return ServiceRequest("https://api.ilert.com", "GET", "/api/alerts", params, headers)


def _ilert_states(reply: Any, key: str) -> Iterator[tuple[str, ServiceState]]:
    """Resolved alerts name no person, so they are not queried."""
    for alert in reply:
        if (key_there := alert.get("alertKey")) is None:
            continue
        status, person, at = "triggered" if alert["status"] == "PENDING" else "acknowledged", "", ""
        for responder in alert.get("responders") or ():
            if status == "acknowledged" and responder["status"] == "ACCEPTED":
                user, at = responder["user"], str(responder.get("acceptedAt") or "")
                person = " ".join(filter(None, (user.get("firstName"), user.get("lastName")))) or f"user {user['id']}"
        yield key_there.lower(), ServiceState(status, person, f"{alert['id']} {status} {at}")


_SPLUNK = OnCallService("Splunk On-Call", _splunk_acknowledge, _splunk_query, _splunk_states, is_list=True)
SERVICES = {
    "pagerduty": OnCallService("PagerDuty", _pagerduty_acknowledge, _pagerduty_query, _pagerduty_states),
    "opsgenie": OnCallService("Opsgenie", _genie_acknowledge, _opsgenie_query, _opsgenie_states),
    "jira": OnCallService("Jira Service Management", _genie_acknowledge),
    "ilert": OnCallService("ilert", _ilert_acknowledge, _ilert_query, _ilert_states, is_list=True),
    "splunk": _SPLUNK,
    "victorops": _SPLUNK,
}
"""By scheme."""


def read_key_fault(url: str) -> str:
    """Why a service cannot be read by this URL; empty if it can, or shall not."""
    service, read_key = SERVICES.get(url.partition("://")[0].lower()), read_key_of(url)
    if not read_key:
        return ""
    if service is None or service.query is None:
        names = ", ".join(name for name, known in SERVICES.items() if known.query is not None)
        return f"read_key: this service cannot be read, only {names}. Fix: leave read_key out"
    if service is _SPLUNK and ":" not in read_key:
        return "read_key: not API_ID:API_KEY. Fix: write both, from Integrations > API in Splunk On-Call"
    if " " in read_key:
        return "read_key: it has a space, as + means in a URL. Fix: write + as %2B"
    if names_own_key(url):
        return "read_key: the URL names one key for all incidents. Fix: leave dedup, entity_id and alias out"
    return ""


class _Receiver(NamedTuple):
    """A URL of a service, and the incidents that it pages for."""

    route: str
    service: OnCallService
    plugin: Any
    read_key: str
    mark: str
    """Prefix of the keys of acknowledgements that came from it."""
    incidents: dict[str, int]
    """Key at the service -> incident, the newest first."""


class OnCallResponses:
    """Compares acknowledgements with the on-call services that page for open incidents."""

    def __init__(
        self,
        store: Database,
        clock: Clock,
        routes: Mapping[str, RouteSettings],
        secrets: SecretStore,
        changed: Callable[[], None],
        transport: Transport = None,
    ) -> None:
        """`changed`: wakes the evaluator. `transport`: see `HttpEndpoint`."""
        self._store, self._clock, self._routes, self._secrets = store, clock, routes, secrets
        self._changed, self._transport = changed, transport
        self._other_urls: set[str] = set()
        """References to URLs of other receivers."""
        self._plugins: dict[str, Any] = {}
        """By URL."""
        self._sent: set[tuple[str, int]] = set()
        """(mark, acknowledgement) sent by this process: one more after a restart changes nothing there."""
        self._recorded: set[tuple[int, str]] = set()
        """(incident, key) of responses that are in the store."""
        self._failures: dict[str, int] = {}
        """Mark -> failures in a row."""
        self._next: dict[str, float] = {}
        """Mark -> monotonic time of its next comparison, after a failure."""
        self._errors: dict[str, str] = {}
        """By mark."""

    def step(self, fence: int) -> None:
        """Compares all receivers that are due. Raises StoreError."""
        acknowledgements: dict[int, ActiveAcknowledgement] | None = None
        for receiver in self._receivers():
            if monotonic() < self._next.get(receiver.mark, -math.inf):
                continue
            if acknowledgements is None:
                active = active_acknowledgements(self._store, micros(self._clock.now()))
                acknowledgements = {acknowledgement.incident_id: acknowledgement for acknowledgement in active}
            try:
                self._compare(fence, receiver, acknowledgements)
            except ConnectorError as error:
                self._failed(receiver, error)
            else:
                self._failures.pop(receiver.mark, None)
                if self._errors.pop(receiver.mark, None) is not None:
                    log.info("an on-call service answers again", route=receiver.route, service=receiver.service.name)

    def trouble(self) -> str:
        """Services that cannot be compared, with the fix."""
        return "; ".join(self._errors.values())

    def _receivers(self) -> Iterable[_Receiver]:
        """URLs of services that received an alert about an open incident."""
        urls = {(name, url.text): url for name, route in self._routes.items() for url in route.urls}
        urls = {place: url for place, url in urls.items() if url.text not in self._other_urls}
        receivers: dict[str, _Receiver] = {}
        for delivery in reversed(latest_of_open_incidents(self._store)) if urls else ():
            reference = urls.get((delivery.route, delivery.receiver))
            if reference is None or delivery.incident_id is None or delivery.is_resolved:
                continue
            try:
                url = self._secrets(reference)
            except ConnectorError:
                continue  # its next delivery reports that
            receiver = receivers.get(url) or self._receiver(delivery.route, url)
            if receiver is None:
                self._other_urls.add(reference.text)
                continue
            receivers[url] = receiver
            if len(receiver.incidents) < MAX_INCIDENTS:
                [*_, (key, _)] = Page(delivery.dedup_key).steps
                receiver.incidents.setdefault(key, delivery.incident_id)
        return receivers.values()

    def _receiver(self, route: str, url: str) -> _Receiver | None:
        """None for a URL of no service, or one whose incidents share a key of its own."""
        import apprise  # noqa: PLC0415 - 136 ms, and only where incidents are open

        service = SERVICES.get(url.partition("://")[0].lower())
        if service is None or names_own_key(url):
            return None
        if url not in self._plugins:
            self._plugins[url] = apprise.Apprise.instantiate(url)
        plugin = self._plugins[url]
        mark = f"on-call-{hashlib.sha256(url.encode()).hexdigest()[:16]}-"
        return None if plugin is None else _Receiver(route, service, plugin, read_key_of(url), mark, {})

    def _compare(self, fence: int, receiver: _Receiver, acknowledgements: Mapping[int, ActiveAcknowledgement]) -> None:
        """Raises ConnectorError, StoreError."""
        deadline = Deadline(SECONDS)
        states = self._states(receiver, deadline)
        for key, incident_id in receiver.incidents.items():
            state, own = states.get(key), acknowledgements.get(incident_id)
            if state is not None and state.person and state.status in _HANDLED:
                self._record(fence, receiver, incident_id, state)
            elif own is None or own.key.startswith(receiver.mark) or (receiver.mark, own.id) in self._sent:
                continue
            elif not receiver.read_key or receiver.service.query is None or (state and state.status == "triggered"):
                self._call(receiver, receiver.service.acknowledge(receiver.plugin, key), deadline)
                self._sent.add((receiver.mark, own.id))
                log.info("acknowledgement sent", route=receiver.route, service=receiver.service.name)

    def _states(self, receiver: _Receiver, deadline: Deadline) -> dict[str, ServiceState]:
        """By key; empty without a read key."""
        service, states = receiver.service, dict[str, ServiceState]()
        if not receiver.read_key or service.query is None or service.states is None:
            return states
        keys: Sequence[str] = [""] if service.is_list else list(receiver.incidents)
        for key in keys:
            request = service.query(receiver.plugin, receiver.read_key, key)
            reply = self._call(receiver, request, deadline)
            if reply is None:
                continue
            try:
                states.update(service.states(reply, key))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                text = f'route "{receiver.route}": the reply of {service.name} has an unknown form ({error!r})'
                raise InvalidAnswer(clean_line(text)) from None
        return states

    def _record(self, fence: int, receiver: _Receiver, incident_id: int, state: ServiceState) -> None:
        """Writes the response at the service as an acknowledgement, once."""
        digest = hashlib.sha256(state.response.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        key = receiver.mark + digest
        if (incident_id, key) in self._recorded:
            return
        name, now_us = receiver.service.name, micros(self._clock.now())
        person = f"{clean_line(state.person, NAME_LIMIT)} ({name})"
        why = f"{state.status} in {name}"
        until_us = now_us + parse_duration(ACKNOWLEDGE_FOR) // timedelta(microseconds=1)
        acknowledge(self._store, fence, incident_id, until_us, ChangeOrigin(person, name, why, now_us), key)
        self._recorded.add((incident_id, key))
        self._changed()

    def _call(self, receiver: _Receiver, request: ServiceRequest, deadline: Deadline) -> Any:
        """The document of the reply; None: the incident is unknown there. Raises ConnectorError."""
        source = f'route "{receiver.route}", {receiver.service.name}'
        endpoint = HttpEndpoint(source, request.origin, transport=self._transport)
        try:
            reply = endpoint.call(
                request.method,
                request.path,
                deadline,
                params=request.params,
                body=request.body,
                headers=request.headers,
                accept=(404,) if request.method == "GET" else (),
                shown="/…",
            )
        finally:
            endpoint.close()
        return None if reply.status == 404 or request.method == "POST" else reply.json()

    def _failed(self, receiver: _Receiver, error: ConnectorError) -> None:
        failures = self._failures[receiver.mark] = self._failures.get(receiver.mark, 0) + 1
        refused = isinstance(error, AccessRefused)
        pause = MAX_PAUSE_SECONDS if refused else min(MAX_PAUSE_SECONDS, SECONDS * 2**failures)
        self._next[receiver.mark] = monotonic() + pause
        key = "write a key that may read incidents as read_key=" if receiver.read_key else "renew the key"
        fix = f". Fix: {key} in its URL" if refused else ""
        text = clean_line(self._secrets.mask(str(error))) + fix
        if self._errors.get(receiver.mark) != text:
            log.warning("an on-call service cannot be compared", error=text)
        self._errors[receiver.mark] = text
