"""Signed links with which the reader of a mail or a chat message acknowledges an incident or approves an action,
without another login.

A link names incident or action, delivery, expiry and person. It is signed by `link_key` of `[endpoints]`, which no
client has: another key ends all links.
"""

from __future__ import annotations

import base64
import hmac
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretRef, SecretStore
from console.domain.access import UNKNOWN_PERSON
from console.domain.ids import derived_key, incident_id, instant, micros
from console.domain.message import CommandRef, Link, Message
from console.engine.notify.senders import Traits
from console.text.redact import sanitize

log = structlog.get_logger("headway.outbox")

PATH, APPROVE_PATH = "/acknowledge", "/approve"
VALID_FOR = timedelta(hours=24)
MAX_AHEAD = timedelta(minutes=5)
"""How far the clock of the engine that wrote a link may be ahead of the one that reads it."""
MIN_KEY = 32
"""Characters of the key: a reader of a link could try keys offline."""
KEY_SECONDS = 60.0
"""Interval of reading the key again."""
_SIGNATURE_BYTES = 24
_MAX_LINK = 512


class LinkTerms(NamedTuple):
    """The signed terms of a link."""

    incident_id: int
    delivery_id: int
    person: str
    expires: datetime

    @property
    def key(self) -> str:
        """Key of its acknowledgement, by which it is used once."""
        return derived_key("acknowledge link", str(self.incident_id), str(self.delivery_id))


class ApproveTerms(NamedTuple):
    """The signed terms of a link that approves an action; its person is known."""

    action: str
    delivery_id: int
    person: str
    expires: datetime

    @property
    def key(self) -> str:
        return derived_key("approval link", self.action, self.person)


class AcknowledgeLinks:
    """Writes and reads links. `people`: the person of each route that belongs to one person of a rota."""

    def __init__(self, public_url: str, key: SecretRef, secrets: SecretStore, people: Mapping[str, str]) -> None:
        self._base, self._reference, self._secrets, self._people = public_url.rstrip("/"), key, secrets, people
        self._key, self._key_until = b"", 0.0
        self._lock = threading.Lock()

    def link(self, terms: LinkTerms | ApproveTerms) -> str:
        """Raises ConnectorError if the key is not available."""
        path = APPROVE_PATH if isinstance(terms, ApproveTerms) else PATH
        values = (terms[0], terms.delivery_id, micros(terms.expires), terms.person)
        signed = ".".join(map(str, values)).encode()
        return f"{self._base}{path}?link={_encoded(signed)}.{_encoded(self._signature(path, signed))}"

    def read(self, text: str, now: datetime) -> LinkTerms | None:
        """The terms, expired ones too; None for a link with another signature, or valid for longer than one of Headway.
        Raises ConnectorError."""
        values = self._read(PATH, text, now)
        return LinkTerms(int(values[0]), *values[1:]) if values is not None else None

    def read_approval(self, text: str, now: datetime) -> ApproveTerms | None:
        """As `read`."""
        values = self._read(APPROVE_PATH, text, now)
        return ApproveTerms(*values) if values is not None else None

    def _read(self, path: str, text: str, now: datetime) -> tuple[str, int, str, datetime] | None:
        try:
            signed, signature = map(_decoded, text[:_MAX_LINK].split("."))
        except ValueError:
            return None
        if not hmac.compare_digest(signature, self._signature(path, signed)):
            return None
        subject, delivery, expires_us, person = signed.decode().split(".", 3)
        expires = instant(int(expires_us))
        return (subject, int(delivery), person, expires) if expires <= now + VALID_FOR + MAX_AHEAD else None

    def with_links(self, to: Traits, route: str, delivery_id: int, message: Message, now: datetime) -> Message:
        """The message for this receiver: each command that acknowledges an incident is a link, and each that approves
        an action, if its reader is known. Unchanged for one that takes no links, and while the key is not available."""
        if not to.takes_links:
            return message
        person = self._people.get(route) or to.reader or UNKNOWN_PERSON
        signed: dict[str, Any] = {"delivery_id": delivery_id, "person": person, "expires": now + VALID_FOR}

        def linked(part: Any) -> Any:
            if isinstance(part, CommandRef) and part.acknowledges:
                return Link(self.link(LinkTerms(incident_id(part.acknowledges), **signed)))
            if isinstance(part, CommandRef) and part.approves and person != UNKNOWN_PERSON:
                return Link(self.link(ApproveTerms(part.approves, **signed)))
            return part

        try:
            return message.changed(linked)
        except ConnectorError as error:
            log.warning("an alert has no signed link", error=sanitize(str(error), self._secrets.mask))
            return message

    def _signature(self, path: str, signed: bytes) -> bytes:
        """Of one path: a link is valid for no other."""
        signed = signed if path == PATH else f"{path}.".encode() + signed
        with self._lock:
            if time.monotonic() >= self._key_until:
                key = self._secrets(self._reference)
                if len(key) < MIN_KEY:
                    raise ConnectorError(f"endpoints.link_key has less than {MIN_KEY} characters")
                self._key = hmac.digest(key.encode(), b"Headway acknowledge link 1", "sha256")
                self._key_until = time.monotonic() + KEY_SECONDS
            return hmac.digest(self._key, signed, "sha256")[:_SIGNATURE_BYTES]


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
