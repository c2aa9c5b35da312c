"""The page of a signed link: GET shows the incident, and only the button's POST acknowledges it.

Mail scanners and chat previews open links, so GET changes nothing. The link is the login: no token is needed, and the
right of its person is checked as for every request.
"""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from html import escape
from urllib.parse import parse_qs

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.transport.http_server import RequestRateLimit, ServerReply
from console.control.access.authorization import AccessRefusal
from console.domain.access import UNKNOWN_PERSON, Person
from console.domain.ids import incident_name
from console.domain.incident import ACKNOWLEDGE_FOR, IncidentRow
from console.engine.access import authorize_request
from console.engine.api.client import EngineClient
from console.engine.api.requests import Acknowledge
from console.engine.endpoints import READ_METHODS, ApiFault, ApiRequest, PageEndpoint, RequestThreads, answered
from console.engine.notify.acknowledge_link import PATH, AcknowledgeLinks, LinkTerms
from console.engine.write_api import EngineCall
from console.store.errors import NotAllowed, NotFound, ReasonNeeded, StoreError
from console.store.queries import open_queries
from console.text.cleaning import clean_line
from console.timing.clock import Clock
from console.timing.durations import parse_duration
from console.timing.formats import timestamp_text
from console.timing.zones import zone_of

log = structlog.get_logger("headway.endpoints")

ORIGIN = "acknowledge link"
"""The origin of its requests in the audit."""
MAX_REQUESTS = 4
"""Requests in progress; further ones are refused."""
MAX_BODY_BYTES = 1024
INVALID_PER_MINUTE = 60
"""Links with a wrong signature until further ones are refused for a while."""
HTML = "text/html; charset=utf-8"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Robots-Tag", "noindex"),
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ margin: 0 auto; max-width: 34rem; padding: 1rem; font: 1rem/1.5 system-ui; overflow-wrap: anywhere }}
h1 {{ font-size: 1.25rem }}
dt {{ font-size: .875rem; opacity: .75 }}
dd {{ margin: 0 0 .5rem }}
button {{ width: 100%; min-height: 3rem; font: inherit; font-weight: 600 }}
</style>
</head>
<body>
<h1>{title}</h1>
{content}
</body>
</html>
"""


class AcknowledgePage:
    """Answers GET and POST of signed links."""

    def __init__(self, url: str, clock: Clock, links: AcknowledgeLinks, zone: str) -> None:
        """`url`: of the store."""
        self._url, self._clock, self._links, self._zone = url, clock, links, zone_of(zone)
        self._invalid = RequestRateLimit(INVALID_PER_MINUTE)
        self._threads = RequestThreads("link")

    @property
    def endpoints(self) -> dict[str, PageEndpoint]:
        """By path."""
        return {PATH: PageEndpoint(frozenset({*READ_METHODS, "POST"}), self._submit, self._threads.close)}

    def _submit(self, request: ApiRequest, body: bytes) -> Future[ServerReply]:
        terms = self._terms(request.target)
        if len(body) > MAX_BODY_BYTES:
            terms = message_page(413, "Not acknowledged", f"The request has more than {MAX_BODY_BYTES} bytes.")
        if isinstance(terms, ServerReply):
            return answered(terms)
        busy = message_page(429, "Not acknowledged", "Too many requests are in progress. Try again in 10 s.")
        return self._threads.submit(lambda: self._reply(terms, request.method == "POST"), MAX_REQUESTS, busy)

    def _terms(self, target: str) -> LinkTerms | ServerReply:
        """The terms of a valid link, else the reply that refuses it."""
        [text, *_] = parse_qs(target.partition("?")[2]).get("link", [""])
        try:
            terms = self._links.read(text, self._clock.now())
        except ConnectorError as error:
            log.warning("a link could not be checked", error=str(error))
            return message_page(503, "Not acknowledged", "Links cannot be checked now. Try again in a minute.")
        if terms is None:
            is_flood = not self._invalid.allows()
            text = "Open the link as it is in the message, whole."
            return message_page(429 if is_flood else 404, "This link is not valid", text)
        if self._clock.now() >= terms.expires:
            name = incident_name(terms.incident_id)
            text = f"Use a newer message, or run: headway ack {name}"
            return message_page(410, f"The link for {name} has expired", text)
        return terms

    def _reply(self, terms: LinkTerms, acts: bool) -> ServerReply:
        name = incident_name(terms.incident_id)
        try:
            return self._acknowledged(terms) if acts else self._shown(terms)
        except ApiFault as fault:
            return message_page(fault.reply.status, f"{name} is not acknowledged", fault.error)
        except NotFound:
            return message_page(404, f"There is no {name}", "The store was replaced after the message was sent.")
        except ReasonNeeded as error:
            return message_page(403, f"{name} is not acknowledged", f"{error}. Run: headway ack {name} --why TEXT")
        except NotAllowed as error:
            log.warning("a link was refused", person=terms.person, error=str(error))
            reader = "This link" if terms.person == UNKNOWN_PERSON else terms.person
            text = f"{reader} may not acknowledge incidents. Ask your Headway administrator for the role act."
            return message_page(403, f"{name} is not acknowledged", text)
        except StoreError as error:
            log.warning("a link waits for the store", error=str(error))
            return message_page(503, f"{name} is not acknowledged", "The store cannot be used now. Try again.")
        except Exception:
            log.exception("a link failed")
            return message_page(500, f"{name} is not acknowledged", "The engine's log has the details.")

    def _shown(self, terms: LinkTerms) -> ServerReply:
        """The incident, with the button while the link can be used. Raises NotFound, StoreError."""
        name, person = incident_name(terms.incident_id), Person(terms.person, is_visitor=True)
        with open_queries(self._url) as queries:
            incident = queries.incidents.incident(terms.incident_id).row
            is_used = queries.incidents.has_acknowledgement(terms.incident_id, terms.key)
            allowed = authorize_request(queries.link, person, _request(terms))
        if incident.closed is not None:
            return message_page(409, f"{name} is closed", "There is nothing to acknowledge.", self._facts(incident))
        if is_used:
            return message_page(410, f"{name}: this link was used", "It works once.", self._facts(incident))
        if isinstance(allowed, AccessRefusal):
            raise NotAllowed(allowed.reason)
        named = "" if terms.person == UNKNOWN_PERSON else f" as {escape(terms.person)}"
        button = f'<form method="post"><button>Acknowledge for {ACKNOWLEDGE_FOR}{named}</button></form>'
        return page_reply(200, f"Acknowledge {name}", self._facts(incident) + button)

    def _acknowledged(self, terms: LinkTerms) -> ServerReply:
        """Raises ApiFault, NotAllowed, NotFound, StoreError."""
        name = incident_name(terms.incident_id)
        client = EngineClient(self._url, Person(terms.person, is_visitor=True), ORIGIN)
        call = EngineCall(self._url, client, terms.key, self._threads.closing)
        call.open_incident(terms.incident_id)
        with open_queries(self._url) as queries:
            if queries.incidents.has_acknowledgement(terms.incident_id, terms.key):
                incident = queries.incidents.incident(terms.incident_id).row
                return message_page(410, f"{name}: this link was used", "It works once.", self._facts(incident))
        call.answer(client.ask(_request(terms)))
        with open_queries(self._url) as queries:
            incident = queries.incidents.incident(terms.incident_id).row
        return page_reply(200, f"{name} is acknowledged", self._facts(incident))

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
        shown = (f"<dt>{name}</dt><dd>{escape(clean_line(text))}</dd>" for name, text in facts.items() if text)
        return f"<dl>{''.join(shown)}</dl>\n"


def _request(terms: LinkTerms) -> Acknowledge:
    seconds = parse_duration(ACKNOWLEDGE_FOR).total_seconds()
    return Acknowledge(terms.incident_id, seconds, key=terms.key, keeps_later=True)


def message_page(status: int, title: str, text: str, facts: str = "") -> ServerReply:
    return page_reply(status, title, f"<p>{escape(clean_line(text))}</p>\n{facts}")


def page_reply(status: int, title: str, content: str) -> ServerReply:
    """`content`: HTML."""
    return ServerReply(status, _PAGE.format(title=escape(title), content=content).encode(), HTML, _HEADERS)
