"""Pages of signed links: GET shows the subject of a link, and only the button's POST acts.

Mail scanners and chat previews open links, so GET changes nothing. The link is the login: no token is needed, and the
right of its person is checked as for every request.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from datetime import datetime
from html import escape
from typing import Generic, Protocol, TypeVar
from urllib.parse import parse_qs

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.transport.http_server import RequestRateLimit, ServerReply
from console.domain.access import UNKNOWN_PERSON, Person
from console.engine.api.client import EngineClient
from console.engine.endpoints import READ_METHODS, ApiFault, ApiRequest, PageEndpoint, RequestThreads, answered
from console.engine.notify.acknowledge_link import ApproveTerms, LinkTerms
from console.engine.write_api import EngineCall
from console.store.errors import NotAllowed, NotFound, ReasonNeeded, StoreError
from console.text.cleaning import clean_line
from console.timing.clock import Clock

log = structlog.get_logger("headway.endpoints")

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


Terms = TypeVar("Terms", LinkTerms, ApproveTerms)


class LinkKind(Protocol[Terms]):
    """The links of one path: their subject and their effect."""

    path: str
    origin: str
    """The origin of its requests in the audit."""
    refused: str
    """The title of a page that refuses: "Not acknowledged"."""
    right: str
    """Its person needs this right ("acknowledge incidents"), by the role."""
    role: str

    def read(self, text: str, now: datetime) -> Terms | None:
        """The terms of the link, expired ones too; None if it is not valid. Raises ConnectorError."""

    def command(self, terms: Terms) -> str:
        """The command that does the same."""

    def view(self, terms: Terms, call: EngineCall) -> ServerReply:
        """The subject of the link, with the button while it can be used. Raises ApiFault and StoreError."""

    def act(self, terms: Terms, call: EngineCall, digest: str) -> ServerReply:
        """The outcome of the button. `digest`: in its form. Raises ApiFault and StoreError."""


class LinkPage(Generic[Terms]):
    """Answers GET and POST of the signed links of one kind."""

    def __init__(self, url: str, clock: Clock, kind: LinkKind[Terms]) -> None:
        """`url`: of the store."""
        self._url, self._clock = url, clock
        self._kind: LinkKind[Terms] = kind
        self._invalid = RequestRateLimit(INVALID_PER_MINUTE)
        self._threads = RequestThreads(kind.origin)

    @property
    def endpoints(self) -> dict[str, PageEndpoint]:
        """By path."""
        return {self._kind.path: PageEndpoint(frozenset({*READ_METHODS, "POST"}), self._submit, self._threads.close)}

    def _submit(self, request: ApiRequest, body: bytes) -> Future[ServerReply]:
        terms = self._terms(request.target)
        if len(body) > MAX_BODY_BYTES:
            terms = self._refused(413, f"The request has more than {MAX_BODY_BYTES} bytes.")
        if isinstance(terms, ServerReply):
            return answered(terms)
        [digest, *_] = parse_qs(body.decode("ascii", "replace")).get("digest", [""])
        busy = self._refused(429, "Too many requests are in progress. Try again in 10 s.")
        return self._threads.submit(lambda: self._reply(terms, digest, request.method == "POST"), MAX_REQUESTS, busy)

    def _terms(self, target: str) -> Terms | ServerReply:
        """The terms of a valid link, else the reply that refuses it."""
        [text, *_] = parse_qs(target.partition("?")[2]).get("link", [""])
        try:
            terms = self._kind.read(text, self._clock.now())
        except ConnectorError as error:
            log.warning("a link could not be checked", error=str(error))
            return self._refused(503, "Links cannot be checked now. Try again in a minute.")
        if terms is None:
            is_flood = not self._invalid.allows()
            text = "Open the link as it is in the message, whole."
            return message_page(429 if is_flood else 404, "This link is not valid", text)
        if self._clock.now() >= terms.expires:
            text = f"Use a newer message, or run: {self._kind.command(terms)}"
            return message_page(410, "This link has expired", text)
        return terms

    def _reply(self, terms: Terms, digest: str, acts: bool) -> ServerReply:
        client = EngineClient(self._url, Person(terms.person, is_visitor=True), self._kind.origin)
        call = EngineCall(self._url, client, terms.key, self._threads.closing)
        try:
            return self._kind.act(terms, call, digest) if acts else self._kind.view(terms, call)
        except ApiFault as fault:
            return self._refused(fault.reply.status, fault.error)
        except NotFound:
            return self._refused(404, "The store was replaced after the message was sent.")
        except ReasonNeeded as error:
            return self._refused(403, f"{error}. Run: {self._kind.command(terms)} --why TEXT")
        except NotAllowed as error:
            log.warning("a link was refused", person=terms.person, error=str(error))
            reader = "This link" if terms.person == UNKNOWN_PERSON else terms.person
            fix = f"Ask your Headway administrator for the role {self._kind.role}."
            return self._refused(403, f"{reader} may not {self._kind.right}. {fix}")
        except StoreError as error:
            log.warning("a link waits for the store", error=str(error))
            return self._refused(503, "The store cannot be used now. Try again.")
        except Exception:
            log.exception("a link failed")
            return self._refused(500, "The engine's log has the details.")

    def _refused(self, status: int, text: str) -> ServerReply:
        return message_page(status, self._kind.refused, text)


def facts_list(facts: Iterable[tuple[str, str]]) -> str:
    """(label, text) as HTML, without empty texts. They are from outside, and escaped."""
    rows = (f"<dt>{label}</dt><dd>{escape(clean_line(text))}</dd>" for label, text in facts if text)
    return f"<dl>{''.join(rows)}</dl>\n"


def button(text: str, digest: str = "") -> str:
    """A form with one button, as HTML. `digest`: of the subject as it is shown."""
    field = f'<input type="hidden" name="digest" value="{escape(digest)}">' if digest else ""
    return f'<form method="post">{field}<button>{escape(text)}</button></form>'


def message_page(status: int, title: str, text: str, facts: str = "") -> ServerReply:
    return page_reply(status, title, f"<p>{escape(clean_line(text))}</p>\n{facts}")


def page_reply(status: int, title: str, content: str) -> ServerReply:
    """`content`: HTML."""
    return ServerReply(status, _PAGE.format(title=escape(title), content=content).encode(), HTML, _HEADERS)
