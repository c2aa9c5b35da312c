"""The kinds of signed links: they acknowledge an incident, once; they approve an action, under the name of its reader,
with the right that the console checks.

The button that approves has the digest of the shown facts: an action that changed meanwhile is shown again.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from functools import partial

from connectors.sdk.transport.http_server import ServerReply
from console.control.access.authorization import AccessRefusal
from console.domain.access import UNKNOWN_PERSON, Person
from console.domain.ids import incident_name
from console.domain.incident import ACKNOWLEDGE_FOR, IncidentRow
from console.engine.access import authorize_request
from console.engine.api.requests import Acknowledge, ApproveAction
from console.engine.approval import approved_text, awaited_approval, shown_facts, with_preview
from console.engine.link_page import LinkKind, button, facts_list, message_page, page_reply
from console.engine.notify.acknowledge_link import APPROVE_PATH, PATH, AcknowledgeLinks, ApproveTerms, LinkTerms
from console.engine.write_api import EngineCall
from console.store.errors import NotAllowed
from console.store.queries import open_queries
from console.timing.clock import Clock
from console.timing.durations import parse_duration
from console.timing.formats import timestamp_text


class AcknowledgeKind(LinkKind[LinkTerms]):
    path, origin, refused = PATH, "acknowledge link", "Not acknowledged"
    right, role = "acknowledge incidents", "act"

    def __init__(self, links: AcknowledgeLinks, zone: tzinfo) -> None:
        self._links, self._zone = links, zone

    def read(self, text: str, now: datetime) -> LinkTerms | None:
        return self._links.read(text, now)

    def command(self, terms: LinkTerms) -> str:
        return f"headway ack {incident_name(terms.incident_id)}"

    def view(self, terms: LinkTerms, call: EngineCall) -> ServerReply:
        name = incident_name(terms.incident_id)
        with open_queries(call.url) as queries:
            incident = queries.incidents.incident(terms.incident_id).row
            is_used = queries.incidents.has_acknowledgement(terms.incident_id, terms.key)
            allowed = authorize_request(queries.link, Person(terms.person, is_visitor=True), _request(terms))
        if incident.closed is not None:
            return message_page(409, f"{name} is closed", "There is nothing to acknowledge.", self._facts(incident))
        if is_used:
            return self._used(name, incident)
        if isinstance(allowed, AccessRefusal):
            raise NotAllowed(allowed.reason)
        named = "" if terms.person == UNKNOWN_PERSON else f" as {terms.person}"
        content = self._facts(incident) + button(f"Acknowledge for {ACKNOWLEDGE_FOR}{named}")
        return page_reply(200, f"Acknowledge {name}", content)

    def act(self, terms: LinkTerms, call: EngineCall, digest: str) -> ServerReply:
        name = incident_name(terms.incident_id)
        call.open_incident(terms.incident_id)
        with open_queries(call.url) as queries:
            if queries.incidents.has_acknowledgement(terms.incident_id, terms.key):
                return self._used(name, queries.incidents.incident(terms.incident_id).row)
        call.answer(call.client.ask(_request(terms)))
        with open_queries(call.url) as queries:
            incident = queries.incidents.incident(terms.incident_id).row
        return page_reply(200, f"{name} is acknowledged", self._facts(incident))

    def _used(self, name: str, incident: IncidentRow) -> ServerReply:
        return message_page(410, f"{name}: this link was used", "It works once.", self._facts(incident))

    def _facts(self, incident: IncidentRow) -> str:
        """The incident as HTML. Names are from outside, and escaped."""
        facts = {
            "Cause": incident.title.text(partial(timestamp_text, zone=self._zone)),
            "Services": ", ".join(incident.hits) or "none affected",
            "Failed": timestamp_text(incident.failed_since, self._zone),
            "Act by": timestamp_text(incident.act_by, self._zone) if incident.act_by is not None else "",
            "Owner": incident.owner,
        }
        if incident.acknowledged_by and incident.acknowledged_until is not None:
            until = timestamp_text(incident.acknowledged_until, self._zone)
            facts["Acknowledged"] = f"by {incident.acknowledged_by} until {until}"
        return facts_list(facts.items())


class ApproveKind(LinkKind[ApproveTerms]):
    path, origin, refused = APPROVE_PATH, "approval link", "Not approved"
    right, role = "approve it", "approve"

    def __init__(self, links: AcknowledgeLinks, zone: tzinfo, clock: Clock) -> None:
        self._links, self._zone, self._clock = links, zone, clock

    def read(self, text: str, now: datetime) -> ApproveTerms | None:
        return self._links.read_approval(text, now)

    def command(self, terms: ApproveTerms) -> str:
        return f"headway action approve {terms.action}"

    def view(self, terms: ApproveTerms, call: EngineCall) -> ServerReply:
        view = awaited_approval(call.url, terms.action)
        with open_queries(call.url) as queries:
            allowed = authorize_request(
                queries.link, Person(terms.person, is_visitor=True), ApproveAction(view.key, view.digest)
            )
        if isinstance(allowed, AccessRefusal):
            raise NotAllowed(allowed.reason)
        facts = facts_list(shown_facts(with_preview(call, view), self._clock, self._zone))
        return page_reply(
            200, f"Approve {view.verb} {view.job}", facts + button(f"Approve as {terms.person}", view.digest)
        )

    def act(self, terms: ApproveTerms, call: EngineCall, digest: str) -> ServerReply:
        view = awaited_approval(call.url, terms.action)
        call.answer(call.client.ask(ApproveAction(terms.action, digest)))
        return message_page(200, "Approved", approved_text(view, terms.person))


def _request(terms: LinkTerms) -> Acknowledge:
    seconds = parse_duration(ACKNOWLEDGE_FOR).total_seconds()
    return Acknowledge(terms.incident_id, seconds, key=terms.key, keeps_later=True)
