"""The page of a signed link that approves an action: GET shows what is approved, and only the button's POST approves
it, under the name of its reader, with the right that the console checks.

The button has the digest of what was shown: an action that changed meanwhile is shown again.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from html import escape
from urllib.parse import parse_qs

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.transport.http_server import RequestRateLimit, ServerReply
from console.control.access.authorization import AccessRefusal
from console.domain.access import Person
from console.domain.ids import derived_key
from console.engine.access import authorize_request
from console.engine.acknowledge_page import (
    INVALID_PER_MINUTE,
    MAX_BODY_BYTES,
    MAX_REQUESTS,
    message_page,
    page_reply,
)
from console.engine.api.client import EngineClient
from console.engine.api.requests import ApproveAction
from console.engine.approval import NotAwaited, approved_text, awaited_approval, shown_facts, with_preview
from console.engine.endpoints import READ_METHODS, ApiFault, ApiRequest, PageEndpoint, RequestThreads, answered
from console.engine.notify.acknowledge_link import APPROVE_PATH, AcknowledgeLinks, ApproveTerms
from console.engine.write_api import EngineCall
from console.store.errors import NotAllowed, NotFound, ReasonNeeded, StoreError
from console.store.queries import open_queries
from console.store.queries.audit import ApprovalView
from console.timing.clock import Clock
from console.timing.zones import zone_of

log = structlog.get_logger("headway.endpoints")

ORIGIN = "approval link"
"""The origin of its requests in the audit."""
REFUSED = "Not approved"


class ApprovePage:
    """Answers GET and POST of signed links."""

    def __init__(self, url: str, clock: Clock, links: AcknowledgeLinks, zone: str) -> None:
        """`url`: of the store."""
        self._url, self._clock, self._links, self._zone = url, clock, links, zone_of(zone)
        self._invalid = RequestRateLimit(INVALID_PER_MINUTE)
        self._threads = RequestThreads("approval")

    @property
    def endpoints(self) -> dict[str, PageEndpoint]:
        """By path."""
        return {APPROVE_PATH: PageEndpoint(frozenset({*READ_METHODS, "POST"}), self._submit, self._threads.close)}

    def _submit(self, request: ApiRequest, body: bytes) -> Future[ServerReply]:
        [text, *_] = parse_qs(request.target.partition("?")[2]).get("link", [""])
        try:
            terms = self._links.read_approval(text, self._clock.now())
        except ConnectorError as error:
            log.warning("a link could not be checked", error=str(error))
            return answered(message_page(503, REFUSED, "Links cannot be checked now. Try again in a minute."))
        if terms is None:
            status = 404 if self._invalid.allows() else 429
            return answered(message_page(status, "This link is not valid", "Open the link as it is in the message."))
        if self._clock.now() >= terms.expires:
            fix = f"Use a newer message, or run: headway action approve {terms.action}"
            return answered(message_page(410, "This link has expired", fix))
        if len(body) > MAX_BODY_BYTES:
            return answered(message_page(413, REFUSED, f"The request has more than {MAX_BODY_BYTES} bytes."))
        [digest, *_] = parse_qs(body.decode("ascii", "replace")).get("digest", [""])
        answer = partial(self._approved, terms, digest) if request.method == "POST" else partial(self._shown, terms)
        busy = message_page(429, REFUSED, "Too many requests are in progress. Try again in 10 s.")
        return self._threads.submit(lambda: _reply(answer, terms), MAX_REQUESTS, busy)

    def _call(self, terms: ApproveTerms) -> EngineCall:
        client = EngineClient(self._url, Person(terms.person, is_visitor=True), ORIGIN)
        key = derived_key(ORIGIN, terms.action, terms.person)
        return EngineCall(self._url, client, key, self._threads.closing, "headway action approvals", "open it again")

    def _shown(self, terms: ApproveTerms) -> ServerReply:
        """The action, with the button for those who may approve it."""
        view = awaited_approval(self._url, terms.action)
        with open_queries(self._url) as queries:
            person = Person(terms.person, is_visitor=True)
            allowed = authorize_request(queries.link, person, ApproveAction(view.key, view.digest))
        if isinstance(allowed, AccessRefusal):
            raise NotAllowed(allowed.reason)
        view = with_preview(self._call(terms), view)
        button = f"<button>Approve as {escape(terms.person)}</button>"
        form = f'<form method="post"><input type="hidden" name="digest" value="{escape(view.digest)}">{button}</form>'
        return page_reply(200, f"Approve {view.verb} {view.job}", self._facts(view) + form)

    def _approved(self, terms: ApproveTerms, digest: str) -> ServerReply:
        view, call = awaited_approval(self._url, terms.action), self._call(terms)
        call.answer(call.client.ask(ApproveAction(terms.action, digest)))
        return message_page(200, "Approved", approved_text(view, terms.person))

    def _facts(self, view: ApprovalView) -> str:
        """The rows as HTML. Texts are from outside, and escaped."""
        rows = (
            f"<dt>{label}</dt><dd>{escape(text)}</dd>" for label, text in shown_facts(view, self._clock, self._zone)
        )
        return f"<dl>{''.join(rows)}</dl>\n"


def _reply(answer: Callable[[], ServerReply], terms: ApproveTerms) -> ServerReply:
    try:
        return answer()
    except NotAwaited as error:
        return message_page(410, REFUSED, str(error))
    except ApiFault as fault:
        return message_page(fault.reply.status, REFUSED, fault.error)
    except NotFound:
        return message_page(404, REFUSED, "The store was replaced after the message was sent.")
    except (NotAllowed, ReasonNeeded) as error:
        log.warning("a link was refused", person=terms.person, error=str(error))
        text = f"{terms.person} may not approve it. Ask your Headway administrator for the role approve."
        return message_page(403, REFUSED, text)
    except StoreError as error:
        log.warning("a link waits for the store", error=str(error))
        return message_page(503, REFUSED, "The store cannot be used now. Try again.")
    except Exception:
        log.exception("a link failed")
        return message_page(500, REFUSED, "The engine's log has the details.")
