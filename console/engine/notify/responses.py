"""Acknowledgements in both directions between Headway and on-call services: state is compared, so nothing loops.

A response of a person at the service (acknowledged, resolved) becomes an acknowledgement here, once for each response,
under a key that names the integration. An acknowledgement from elsewhere is sent once to a service whose incident still
pages; the incident's timeline holds that, so that it does not end an escalation after the service's own timeout.
The alerts themselves are sent by apprise, see `paging`. `docs/oncall.md` names the API descriptions that this follows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from operator import attrgetter
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote

import structlog

from connectors.sdk.errors import AccessRefused, ConnectorError, InvalidAnswer, NotSupported
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import REFUSED, HttpEndpoint, Transport
from console.config.alerts import RouteSettings
from console.domain.ids import micros
from console.domain.incident import ACKNOWLEDGE_FOR
from console.engine.notify.backoff import longest_wait
from console.engine.notify.paging import alias_address, names_own_key, opaque_id, page_key, plugin_of, read_key_of
from console.store.alert_responses import (
    ActiveAcknowledgement,
    acknowledge,
    active_acknowledgements,
    record_sent_acknowledgement,
)
from console.store.audit import ChangeOrigin
from console.store.db.database import Database
from console.store.db.lease import store_id
from console.store.outbox import PagedIncident, paged_incidents
from console.text.redact import sanitize
from console.timing.clock import Clock
from console.timing.durations import parse_duration

log = structlog.get_logger("headway.oncall")

SECONDS = 10.0
"""Timeout of a request, and time after which a comparison begins with no further incident."""
STEP_SECONDS = 30.0
"""Time after which a step begins with no further receiver."""
MAX_INCIDENTS = 50
"""Open incidents compared per receiver, the newest first."""
MAX_PAGES = 20
"""Pages read of a list of incidents."""
MAX_PAUSE = timedelta(minutes=5)
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
    acknowledge: Callable[[Any, str], ServiceRequest] | None
    """None: the service takes no acknowledgement by an integration."""
    query: Callable[[Any, str, str], ServiceRequest] | None = None
    """Asks for one incident, or for all open ones if `is_list`. None: the service cannot be read by a key alone."""
    states: Callable[[Any, str], Iterator[tuple[str, ServiceState]]] | None = None
    """(key, state) of each incident in a reply to the query for this key. Raises KeyError, TypeError, ValueError or
    AttributeError."""
    is_list: bool = False
    lists_acknowledged: bool = False
    """Its list has acknowledged incidents alone."""
    paged: str = ""
    """Name of the list in a reply, where it may have further pages; pagination_meta.after names the next one."""


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


def _incidentio_query(plugin: Any, read_key: str, key: str) -> ServiceRequest:
    params = {"status[one_of]": "acked", "page_size": 50}
    headers = {"Authorization": f"Bearer {read_key}"}
    return ServiceRequest("https://api.incident.io", "GET", "/v2/escalations", params, headers)


def _incidentio_states(reply: Any, key: str) -> Iterator[tuple[str, ServiceState]]:
    """Of alerts, the latest acknowledgement last. Resolutions name no person, so they are not queried."""
    acknowledged: list[tuple[str, str, ServiceState]] = []
    for escalation in reply["escalations"]:
        events = [event for event in escalation["events"] if event["event"] == "acked" and event.get("users")]
        for event in events:
            user = event["users"][-1]
            person = str(user.get("name") or user.get("email") or f"user {user['id']}")
            state = ServiceState("acknowledged", person, f"{escalation['id']} acknowledged {event['id']}")
            alerts = escalation["related_alerts"]
            acknowledged += [(event["occurred_at"], alert["deduplication_key"], state) for alert in alerts]
    yield from ((alert_key, state) for _, alert_key, state in sorted(acknowledged))


_SPLUNK = OnCallService("Splunk On-Call", _splunk_acknowledge, _splunk_query, _splunk_states, is_list=True)
SERVICES = {
    "pagerduty": OnCallService("PagerDuty", _pagerduty_acknowledge, _pagerduty_query, _pagerduty_states),
    "opsgenie": OnCallService("Opsgenie", _genie_acknowledge, _opsgenie_query, _opsgenie_states),
    "jira": OnCallService("Jira Service Management", _genie_acknowledge),
    "ilert": OnCallService("ilert", _ilert_acknowledge, _ilert_query, _ilert_states, is_list=True),
    "incidentio": OnCallService(
        "incident.io", None, _incidentio_query, _incidentio_states, True, lists_acknowledged=True, paged="escalations"
    ),
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


class _Calls:
    """Calls to a receiver in one direction, which pause after a failure."""

    def __init__(self) -> None:
        self.error = ""
        self._failures, self._due_at = 0, -math.inf

    @property
    def are_due(self) -> bool:
        return monotonic() >= self._due_at

    def succeeded(self) -> None:
        if self.error:
            log.info("an on-call service answers again", before=self.error)
        self.error, self._failures = "", 0

    def failed(self, error: ConnectorError, text: str) -> None:
        """`text`: of the error, without secrets."""
        self._failures += 1
        pause = getattr(error, "retry_after_seconds", None)
        if pause is None:
            is_refused = isinstance(error, AccessRefused)
            longest = longest_wait(timedelta(seconds=SECONDS), self._failures, MAX_PAUSE)
            pause = (MAX_PAUSE if is_refused else longest).total_seconds()
        self._due_at = monotonic() + max(SECONDS, pause)
        if self.error != text:
            log.warning("an on-call service cannot be compared", error=text)
        self.error = text


@dataclass(slots=True)
class _Receiver:
    """A URL of a service, and the incidents that it pages for."""

    source: str
    """Names it in errors."""
    name: str
    """The actor of its events in the timeline."""
    service: OnCallService
    url: str
    plugin: Any
    read_key: str
    mark: str
    """Prefix of the keys of acknowledgements that came from it."""
    incidents: dict[str, int] = field(default_factory=dict)
    """Key at the service -> incident, the newest first."""
    compared_at: float = -math.inf
    last_key: str = ""
    """Of the incident that was compared last: the next comparison continues after it."""
    reads: _Calls = field(default_factory=_Calls)
    sends: _Calls = field(default_factory=_Calls)

    @property
    def next_keys(self) -> list[str]:
        keys = list(self.incidents)
        start = keys.index(self.last_key) + 1 if self.last_key in self.incidents else 0
        return keys[start:] + keys[:start]


def _receiver_of(route: str, reference: str, url: str) -> _Receiver | None:
    """None for a URL of no service, or one whose incidents share a key of its own."""
    service = SERVICES.get(url.partition("://")[0].lower())
    if service is None or names_own_key(url) or (plugin := plugin_of(url)) is None:
        return None
    integration = url.partition("?")[0]  # without the read key, whose change makes no response a new one
    mark = f"on-call-{hashlib.sha256(integration.encode()).hexdigest()[:16]}-"
    source, name = f'route "{route}", {service.name}', f'{service.name}, route "{route}", {reference}'
    return _Receiver(source, name, service, url, plugin, read_key_of(url), mark)


class ServiceClient:
    """Requests to on-call services."""

    def __init__(self, secrets: SecretStore, transport: Transport = None) -> None:
        """`transport`: see `HttpEndpoint`."""
        self._secrets, self.transport = secrets, transport
        self._endpoint: HttpEndpoint | None = None
        self.lists: dict[tuple[str, str], dict[str, ServiceState]] = {}
        """(service, read key) -> states of all incidents, as read before."""

    def close(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close()
        self._endpoint = None

    def states(self, receiver: _Receiver, key: str) -> dict[str, ServiceState]:
        """By key, at least of this one; of a service that lists all incidents, as read in this step. Raises
        ConnectorError."""
        service, read_key = receiver.service, receiver.read_key
        if service.is_list and (service.name, read_key) in self.lists:
            return self.lists[service.name, read_key]
        assert service.query is not None
        assert service.states is not None
        if fault := read_key_fault(receiver.url):
            raise AccessRefused(f"{receiver.source}: {fault}")
        try:
            reply = self._reply(receiver, service.query(receiver.plugin, read_key, key))
            states = {} if reply is None else dict(service.states(reply, key))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidAnswer(f"{receiver.source}: the reply has an unknown form ({error!r})") from None
        if service.is_list:
            self.lists[service.name, read_key] = states
        return states

    def _reply(self, receiver: _Receiver, request: ServiceRequest) -> Any:
        """The reply, with the rows of all pages; None where `call` has none. Raises as `call` and
        OnCallService.states."""
        reply = page = self.call(receiver, request)
        if page is None or not (rows := receiver.service.paged):
            return reply
        for _ in range(1, MAX_PAGES):
            if not (after := page["pagination_meta"].get("after")):
                return reply
            page = self.call(receiver, request._replace(params={**request.params, "after": after}))
            reply[rows] += page[rows]
        if not page["pagination_meta"].get("after"):
            return reply
        what = f"more than {len(reply[rows])} acknowledged {rows}, none is compared. Fix: resolve old ones there"
        raise InvalidAnswer(f"{receiver.source}: {what}")

    def call(self, receiver: _Receiver, request: ServiceRequest) -> Any:
        """The document of the reply; None: the incident is unknown there. Raises ConnectorError."""
        is_read = request.method == "GET"
        if self._endpoint is None:
            self._endpoint = HttpEndpoint(receiver.source, request.origin, transport=self.transport)
        reply = self._endpoint.call(
            request.method,
            request.path,
            Deadline(SECONDS),
            params=request.params,
            body=request.body,
            headers=request.headers,
            accept=REFUSED | ({404} if is_read else set()),
            shown="/…",
            base_url=request.origin,
        )
        if reply.status in REFUSED:
            key = "a key that may read incidents as read_key=" if is_read else "a valid integration key"
            raise AccessRefused(
                f"{reply.place} is a refusal: {reply.error or 'no reason'}. Fix: write {key} in its URL"
            )
        return reply.json() if is_read and reply.status != 404 else None

    def clean(self, error: ConnectorError) -> str:
        return sanitize(str(error), self._secrets.mask, on_one_line=True)


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
        self._store, self._clock, self._secrets = store, clock, secrets
        self._changed, self.client = changed, ServiceClient(secrets, transport)
        self._references = {(name, url.text): url for name, route in routes.items() for url in route.urls}
        """By route and text; those of other receivers are dropped."""
        self._receivers: dict[str, _Receiver] = {}
        """By URL: those that page for open incidents."""
        self._recorded: set[tuple[int, str]] = set()
        """(incident, key) of responses that are in the store."""

    def step(self, fence: int, beat: Callable[[], None] = lambda: None) -> None:
        """Compares all receivers, the one that waited longest first; `beat` is called before each. Those that do not
        fit into STEP_SECONDS are compared in the next step. Raises StoreError."""
        deadline = Deadline(STEP_SECONDS)
        self._receivers = self._paging_receivers(beat)
        incidents = {
            incident_id for receiver in self._receivers.values() for incident_id in receiver.incidents.values()
        }
        self._recorded = {(incident_id, key) for incident_id, key in self._recorded if incident_id in incidents}
        self.client.lists.clear()
        acknowledgements = active_acknowledgements(self._store, self._now()) if incidents else {}
        for receiver in sorted(self._receivers.values(), key=attrgetter("compared_at")):
            if deadline.left <= 0:
                return
            beat()
            receiver.compared_at = monotonic()
            try:
                self._compare(fence, receiver, acknowledgements)
            finally:
                self.client.close()

    def trouble(self) -> str:
        """Services that cannot be read, or refuse acknowledgements, with the fix."""
        calls = [calls for receiver in list(self._receivers.values()) for calls in (receiver.reads, receiver.sends)]
        return "; ".join(dict.fromkeys(call.error for call in calls if call.error))

    def _now(self) -> int:
        return micros(self._clock.now())

    def _paging_receivers(self, beat: Callable[[], None]) -> dict[str, _Receiver]:
        """By URL, with what is known of their earlier comparisons. Each reference is resolved once."""
        incidents: dict[tuple[str, str], list[PagedIncident]] = {}
        for incident in paged_incidents(self._store, list(self._references), MAX_INCIDENTS):
            incidents.setdefault((incident.route, incident.receiver), []).append(incident)
        receivers: dict[str, _Receiver] = {}
        store = store_id(self._store)
        for (route, text), reference in list(self._references.items()):
            paged = incidents.get((route, text))
            if paged is None:
                continue
            beat()
            try:
                url = self._secrets(reference)
            except ConnectorError:
                continue  # its next delivery reports that
            before = self._receivers.get(url)
            fresh = replace(before, incidents={}) if before is not None else _receiver_of(route, text, url)
            receiver = receivers.get(url, fresh)
            if receiver is None:
                del self._references[route, text]
                continue
            receivers[url] = receiver
            for incident in paged:
                receiver.incidents.setdefault(page_key(store, incident.dedup_key), incident.incident_id)
        return receivers

    def _compare(self, fence: int, receiver: _Receiver, acknowledgements: Mapping[int, ActiveAcknowledgement]) -> None:
        """Reads one incident after the other, and records its response or sends ours, until SECONDS have passed.
        Raises StoreError."""
        deadline, service = Deadline(SECONDS), receiver.service
        for key in receiver.next_keys:
            receiver.last_key, incident_id = key, receiver.incidents[key]
            state, own = self._state(receiver, key), acknowledgements.get(incident_id)
            is_unsent = own is not None and not own.key.startswith(receiver.mark) and receiver.name not in own.sent
            if state.person and state.status in _HANDLED:
                self._record(fence, receiver, incident_id, state)
            elif is_unsent and state.status == "triggered" and receiver.sends.are_due and service.acknowledge:
                request = service.acknowledge(receiver.plugin, key)
                self._send(fence, receiver, request, incident_id)
            if deadline.left <= 0:
                return

    def _state(self, receiver: _Receiver, key: str) -> ServiceState:
        """Triggered where it cannot be read, so that an acknowledgement is sent; unknown for an unknown incident."""
        if receiver.read_key and receiver.service.query is not None and receiver.reads.are_due:
            try:
                state = self.client.states(receiver, key).get(key, ServiceState("unknown"))
            except ConnectorError as error:
                receiver.reads.failed(error, self.client.clean(error))
            else:
                receiver.reads.succeeded()
                return state
        return ServiceState("triggered")

    def _record(self, fence: int, receiver: _Receiver, incident_id: int, state: ServiceState) -> None:
        """Writes the response at the service as an acknowledgement, once."""
        key = receiver.mark + opaque_id(state.response)
        if (incident_id, key) in self._recorded:
            return
        name, now_us = receiver.service.name, self._now()
        person = f"{sanitize(state.person, self._secrets.mask, NAME_LIMIT, on_one_line=True)} ({name})"
        why = f"{state.status} in {name}"
        until_us = now_us + parse_duration(ACKNOWLEDGE_FOR) // timedelta(microseconds=1)
        acknowledge(
            self._store, fence, incident_id, until_us, ChangeOrigin(person, name, why, now_us), key, keeps_later=True
        )
        self._recorded.add((incident_id, key))
        self._changed()

    def _send(self, fence: int, receiver: _Receiver, request: ServiceRequest, incident_id: int) -> None:
        """Sends an acknowledgement; one that is refused for this incident is not sent again."""
        outcome = "acknowledgement sent"
        try:
            self.client.call(receiver, request)
        except NotSupported as error:
            outcome = f"acknowledgement refused ({self.client.clean(error)})"
            log.warning("an on-call service refused an acknowledgement", error=outcome)
        except ConnectorError as error:
            receiver.sends.failed(error, self.client.clean(error))
            return
        else:
            log.info(outcome, receiver=receiver.name)
        receiver.sends.succeeded()
        record_sent_acknowledgement(self._store, fence, incident_id, receiver.name, outcome, self._now())


class PageAtService(NamedTuple):
    """A page as an on-call service shows it."""

    service: str
    status: str
    """As `ServiceState.status`; "unknown" if the service does not list it."""
    lists_acknowledged: bool
    error: str = ""


def page_at_service(route: str, url: str, key: str, secrets: SecretStore) -> PageAtService | None:
    """Reads a page, by its key at the service, with the read key of its URL; None where the URL has none, or is of no
    on-call service."""
    receiver = _receiver_of(route, "", url)
    if receiver is None or not receiver.read_key or receiver.service.query is None:
        return None
    client = ServiceClient(secrets)
    try:
        state = client.states(receiver, key).get(key, ServiceState("unknown"))
    except ConnectorError as error:
        return PageAtService(receiver.service.name, "unknown", False, client.clean(error))
    finally:
        client.close()
    return PageAtService(receiver.service.name, state.status, receiver.service.lists_acknowledged)
