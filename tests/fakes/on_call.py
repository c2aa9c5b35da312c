"""Fakes of on-call services, made from their published API descriptions; none was compared with the real service.

PagerDuty: its api-schema repository (REST and Events v2). Opsgenie: its opsgenie-oas repository. Splunk On-Call: its
Swagger document at APIs.guru. ilert: its OpenAPI document. incident.io: the client that its Terraform provider
generates from its OpenAPI document. See docs/oncall.md."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx

from tests.fakes.receiver_limits import refusal

READ_KEY = "reader:secret"


@dataclass
class FakeIncident:
    """`person`: who responded; empty: the integration did."""

    number: int
    status: str = "triggered"
    person: str = ""
    responses: int = 0

    def respond(self, status: str, person: str = "") -> None:
        self.status, self.person, self.responses = status, person, self.responses + 1

    @property
    def at(self) -> str:
        return f"2026-11-22T03:00:{self.responses:02}Z"


@dataclass
class FakeOnCall:
    """All services with the same incidents, by key."""

    incidents: dict[str, FakeIncident] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)
    """Keys of acknowledgements that arrived."""
    reads: int = 0
    status: int = 200
    """Of all replies; other than 200: the service is down, or refuses."""
    refuse_posts: int = 0
    """Status of the replies to acknowledgements; 0: they are accepted."""
    unknown: set[str] = field(default_factory=set)
    """Keys whose acknowledgement is answered with 404."""
    refused: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.status != 200:
            return httpx.Response(self.status, json={"message": "no"})
        if request.method == "POST":
            return self._acknowledge(request)
        self.reads += 1
        headers = " ".join(request.headers.values())
        if not any(key in headers for key in (f"token={READ_KEY}", f"GenieKey {READ_KEY}", f"Bearer {READ_KEY}")) and (
            ":".join((request.headers.get("X-VO-Api-Id", ""), request.headers.get("X-VO-Api-Key", ""))) != READ_KEY
        ):
            return httpx.Response(401, json={"error": {"message": "Unauthorized"}})
        replies = {
            ("api.pagerduty.com", "/incidents"): self._pagerduty,
            ("api.victorops.com", "/api-public/v1/incidents"): self._splunk,
            ("api.ilert.com", "/api/alerts"): self._ilert,
            ("api.incident.io", "/v2/escalations"): self._incidentio,
        }
        reply = replies.get((request.url.host, request.url.path), self._opsgenie)(request)
        return httpx.Response(404 if reply is None else 200, json={} if reply is None else reply)

    def _acknowledge(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if status := refusal(request.url.host, request.url.path, request.content):
            return httpx.Response(status, json={"message": "too long"})
        match request.url.host:
            case "events.pagerduty.com":
                key, verb = body["dedup_key"], body["event_action"]
            case "alert.victorops.com":
                key, verb = body["entity_id"], body["message_type"]
            case "api.ilert.com":
                assert {"integrationKey", "eventType", "summary"} <= body.keys()
                key, verb = body["alertKey"], body["eventType"]
            case _:
                assert request.url.params["identifierType"] == "alias"
                *_, key, verb = request.url.path.split("/")
        assert verb in ("acknowledge", "ACKNOWLEDGEMENT", "ACCEPT")
        if self.refuse_posts or unquote(key) in self.unknown:
            self.refused += 1
            return httpx.Response(self.refuse_posts or 404, json={"message": "no"})
        self.acknowledged.append(unquote(key))
        if self.incidents[unquote(key)].status == "triggered":
            self.incidents[unquote(key)].respond("acknowledged")
        return httpx.Response(202, json={"status": "success"})

    def _pagerduty(self, request: httpx.Request) -> Any:
        incident = self.incidents.get(request.url.params["incident_key"])
        if incident is None:
            return {"incidents": [], "limit": 1, "offset": 0, "more": False}
        kind = "user_reference" if incident.person else "service_reference"
        agent = {"id": "PXPGF42", "type": kind, "summary": incident.person or "Headway"}
        is_acknowledged = incident.status == "acknowledged"
        document = {
            "id": f"PT{incident.number}",
            "status": incident.status,
            "incident_key": None,
            "acknowledgements": [{"at": incident.at, "acknowledger": agent}] if is_acknowledged else [],
            "last_status_change_at": incident.at,
            "last_status_change_by": agent,
        }
        return {"incidents": [document], "limit": 1, "offset": 0, "more": False}

    def _opsgenie(self, request: httpx.Request) -> Any:
        assert (request.url.host, request.url.params["identifierType"]) == ("api.opsgenie.com", "alias")
        incident = self.incidents.get(unquote(request.url.path.split("/")[-1]))
        if incident is None:
            return None
        status, by = incident.status, incident.person or "Headway integration"
        report = {"acknowledgedBy": by, "ackTime": incident.responses} if status != "triggered" else {}
        report |= {"closedBy": by, "closeTime": incident.responses} if status == "resolved" else {}
        is_closed = status == "resolved"
        alert = {"id": f"a-{incident.number}", "status": "closed" if is_closed else "open", "report": report}
        return {"data": alert | {"acknowledged": status == "acknowledged"}, "requestId": "r"}

    def _splunk(self, request: httpx.Request) -> Any:
        phases = {"triggered": "UNACKED", "acknowledged": "ACKED", "resolved": "RESOLVED"}
        documents = []
        for key, incident in self.incidents.items():
            transition = {"name": phases[incident.status], "at": incident.at, "manually": bool(incident.person)}
            transition |= {"by": incident.person} if incident.person else {}
            number, phase = str(incident.number), phases[incident.status]
            rows = [transition] if incident.status != "triggered" else []
            documents.append({"incidentNumber": number, "entityId": key, "currentPhase": phase, "transitions": rows})
        return {"incidents": documents}

    def _ilert(self, request: httpx.Request) -> Any:
        states = {"triggered": "PENDING", "acknowledged": "ACCEPTED", "resolved": "RESOLVED"}
        alerts = []
        for key, incident in self.incidents.items():
            first, _, last = incident.person.partition(" ")
            user = {"id": 7, "firstName": first, "lastName": last}
            responders = [{"user": user, "status": "ACCEPTED", "acceptedAt": incident.at}] if incident.person else []
            state = states[incident.status]
            alerts.append({"id": incident.number, "status": state, "alertKey": key, "responders": responders})
        return [alert for alert in alerts if alert["status"] in request.url.params.get_list("states")]

    def _incidentio(self, request: httpx.Request) -> Any:
        params = dict(request.url.params)
        after = params.pop("after", "")
        assert {"status[one_of]": "acked", "page_size": "50"} == params
        escalations = []
        for key, incident in self.incidents.items():
            if incident.status != "acknowledged":
                continue
            user = {"id": "01FC", "name": incident.person, "role": "owner", "email": "ann@example.com"}
            users: dict[str, Any] = {"users": [user]} if incident.person else {}
            acked = {"id": f"01G{incident.responses}", "event": "acked", "occurred_at": incident.at, **users}
            events = [{"id": "01G0", "event": "triggered", "occurred_at": "2026-11-22T02:59:00Z"}, acked]
            alerts = [{"id": f"01A{incident.number}", "deduplication_key": key, "status": "firing"}]
            escalations.append(
                {"id": f"01E{incident.number}", "status": "acked", "events": events, "related_alerts": alerts}
            )
        start = 1 + [escalation["id"] for escalation in escalations].index(after) if after else 0
        page = escalations[start : start + 50]
        more = {"after": page[-1]["id"]} if start + 50 < len(escalations) else {}
        return {"escalations": page, "pagination_meta": {"page_size": 50, **more}}
