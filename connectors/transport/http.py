"""HTTP as every REST connector needs it: one deadline, one size limit, one origin, errors by what happens next.

TLS is always verified, redirects are never followed, proxies and .netrc of the environment are not used, and links
from replies are never fetched. Messages name method and address; never headers, bodies, queries or credentials.
"""

from __future__ import annotations

import re
import ssl
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from connectors.contract import AccessRefused, AnswerUnfit, ConnectorError, OutcomeUnknown, SystemUnreachable
from connectors.transport.counting import count_request, note_limit
from connectors.transport.http_reply import Reply, clock_of, refusal
from connectors.transport.http_wire import LIMIT_BYTES, NOT_SENT, Deadline, DeadlineTransport, tls

__all__ = ["AnswerTooLarge", "Deadline", "HttpDoor", "Reply", "checked_origin"]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "headway"}
FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""Of RFC 9110, 5.1."""


END_BYTES = "headway_end_bytes"
"""The extension of a request under which it says how much of its answer's end is kept."""
PIECE_BYTES = 1 << 20
"""Of a packed body, unpacked at a time."""


class AnswerTooLarge(AnswerUnfit):
    """The same question has the same answer: ask for less."""


class HttpDoor:
    """One server's only door. Not thread safe. Close it when done."""

    def __init__(
        self,
        who: str,
        base_url: str,
        ca_file: Path | None = None,
        transport: httpx.BaseTransport | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """`context` verifies the server in place of `ca_file`, and may hold a certificate of ours."""
        self.who = who
        self.base_url = base_url.rstrip("/")
        self._given = transport
        self._tls = context or tls(who, ca_file)
        self._kept = self._lane()

    def call(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
        once: bool = False,
        shown: str | None = None,
        end_bytes: int | None = None,
    ) -> Reply:
        """The reply to one request below the base address. `path` parts are already percent-encoded, and so is a query
        behind them. `body` goes as JSON, `form` as a form. `shown`: what messages name in its place, where it has a
        query or is itself a secret. `end_bytes`: of a body, however long, no more than its end is kept.

        Other statuses than 2xx and `accept` raise by the table of `refusal`. A connection that breaks is replaced
        once, except with `once`: then nothing is repeated, and whatever is lost after the first byte on the wire is
        OutcomeUnknown."""
        every = {**HEADERS, **(headers or {})}
        self._check(every)
        try:
            request = httpx.Request(method, self.base_url + path, params=params, json=body, data=form, headers=every)
        except httpx.InvalidURL as error:
            raise AccessRefused(f"{self.who}: its address cannot be asked: {error}") from None
        call = f"{method} {self.base_url}{path if shown is None else shown}"
        if end_bytes is not None:
            request.extensions = {END_BYTES: end_bytes}
        reply = self._once(request, call, deadline) if once else self._read(request, call, deadline)
        if 200 <= reply.status < 300 or reply.status in accept:
            return reply
        raise refusal(reply, once)

    def close(self) -> None:
        """Closes the kept connections; more than once is fine."""
        self._kept.client.close()

    def _check(self, headers: Mapping[str, str]) -> None:
        """Before the library sees them: its own words about a header that cannot be sent hold the whole value."""
        for name, value in headers.items():
            if not FIELD_NAME.fullmatch(name):
                raise AccessRefused(f"{self.who}: {name[:60]!r} is no header name: correct token_header or headers")
            if not (value.isascii() and value.isprintable() and value == value.strip()):
                raise AccessRefused(
                    f"{self.who}: the secret for header {name} cannot be sent: it holds a line end, a space at an end,"
                    " or a character that is no printable ASCII. Correct what the token or headers setting refers to."
                )

    def _read(self, request: httpx.Request, call: str, deadline: Deadline) -> Reply:
        try:
            return self._exchange(self._kept, request, call, deadline)
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            if isinstance(error, NOT_SENT) or deadline.left <= 0:
                raise self._unreachable(call, error, deadline) from None
        except httpx.HTTPError as error:
            raise self._unreachable(call, error, deadline) from None
        try:
            return self._exchange(self._kept, request, call, deadline)
        except httpx.HTTPError as error:
            raise self._unreachable(call, error, deadline) from None

    def _once(self, request: httpx.Request, call: str, deadline: Deadline) -> Reply:
        """Never over a kept connection, which may be dead without our knowing."""
        fresh = self._lane()
        try:
            return self._exchange(fresh, request, call, deadline)
        except NOT_SENT as error:
            raise self._unreachable(call, error, deadline) from None
        except (httpx.HTTPError, SystemUnreachable) as error:
            raise OutcomeUnknown(
                f"{self.who}: {call} was sent and its answer was lost ({_words(error)}). "
                "It is looked up before anything is sent again."
            ) from None
        finally:
            fresh.client.close()

    def _exchange(self, lane: Lane, request: httpx.Request, call: str, deadline: Deadline) -> Reply:
        if deadline.left <= 0:
            raise httpx.ConnectTimeout("no time left", request=request)
        if lane.wire is not None:
            lane.wire.backend.deadline = deadline
        request.extensions = {**request.extensions, "timeout": httpx.Timeout(deadline.left).as_dict()}
        count_request()
        response = lane.client.send(request, stream=True)
        try:
            body, cut = self._body(response, call, deadline, request.extensions.get(END_BYTES))
        finally:
            response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        note_limit(headers)
        return Reply(self.who, call, response.status_code, headers, body, clock_of(headers.get("date")), cut)

    def _body(
        self, response: httpx.Response, call: str, deadline: Deadline, end_bytes: int | None
    ) -> tuple[bytes, bool]:
        """The decoded body, at most LIMIT_BYTES of it in memory at any time; with `end_bytes` its end, and whether
        something came before that."""
        ready = response.is_stream_consumed  # a transport that made the reply up has read and decoded it already
        unpacked = Unpacked("" if ready else response.headers.get("content-encoding", ""), end_bytes)
        words = f"{self.who}: the answer to {call} ({response.status_code})"
        try:
            for chunk in [response.content] if ready else response.iter_raw():
                unpacked.add(chunk)
                if deadline.left <= 0:
                    raise SystemUnreachable(f"{words} did not end within {deadline.seconds:g} s")
        except TooLarge:
            raise AnswerTooLarge(f"{words} is larger than {LIMIT_BYTES // 1024**2} MiB") from None
        except zlib.error as error:
            raise AnswerUnfit(f"{words} cannot be unpacked: {error}") from None
        if not unpacked.whole:
            raise AnswerUnfit(f"{words} ends in the middle of its packed body, after {unpacked.taken} bytes")
        return unpacked.end()

    def _lane(self) -> Lane:
        wire = DeadlineTransport(self._tls) if self._given is None else None
        return Lane(httpx.Client(transport=wire or self._given, follow_redirects=False, trust_env=False), wire)

    def _unreachable(self, call: str, error: Exception, deadline: Deadline) -> ConnectorError:
        words = _words(error)
        if "CERTIFICATE_VERIFY_FAILED" in words:
            return AccessRefused(
                f"{self.who}: {call}: the certificate is not trusted ({words}). "
                "Set ca_file to the certificate of your own CA; verification cannot be switched off."
            )
        if isinstance(error, httpx.TimeoutException):
            words = f"no answer within {deadline.seconds:g} s"
        answered = isinstance(error, httpx.RemoteProtocolError)
        return (AnswerUnfit if answered else SystemUnreachable)(f"{self.who}: {call}: {words}")


@dataclass(frozen=True, slots=True)
class Lane:
    """A client, and the transport below it that keeps deadlines (None where a test gave its own)."""

    client: httpx.Client
    wire: DeadlineTransport | None


class TooLarge(Exception):
    """The body is over LIMIT_BYTES."""


class Unpacked:
    """Gathers a body that may be gzip or deflate, never more than LIMIT_BYTES of it; with `end_bytes` its end."""

    def __init__(self, encoding: str, end_bytes: int | None = None) -> None:
        packed = encoding.strip().lower() in ("gzip", "x-gzip", "deflate")
        self._unzip = zlib.decompressobj(zlib.MAX_WBITS | 32) if packed else None
        self.body = bytearray()
        self.taken = 0
        self._end_bytes = end_bytes
        self._dropped = False

    @property
    def whole(self) -> bool:
        """False for a packed body whose end did not come."""
        return self._unzip is None or self._unzip.eof or self.taken == 0

    def add(self, chunk: bytes) -> None:
        """Takes the next bytes from the wire. Raises TooLarge or zlib.error."""
        self.taken += len(chunk)
        if self._end_bytes is not None:
            self._add_end(chunk, self._end_bytes)
            return
        room = LIMIT_BYTES + 1 - len(self.body)
        self.body += chunk[:room] if self._unzip is None else self._unzip.decompress(chunk, room)
        if len(self.body) > LIMIT_BYTES:
            raise TooLarge

    def _add_end(self, chunk: bytes, kept: int) -> None:
        while chunk:
            self.body += chunk if self._unzip is None else self._unzip.decompress(chunk, PIECE_BYTES)
            chunk = b"" if self._unzip is None else self._unzip.unconsumed_tail
            if len(self.body) > 2 * kept + PIECE_BYTES:
                del self.body[:-kept]
                self._dropped = True

    def end(self) -> tuple[bytes, bool]:
        """What was gathered, and whether something before it was left out."""
        if self._end_bytes is None or len(self.body) <= self._end_bytes:
            return bytes(self.body), self._dropped
        return bytes(self.body[-self._end_bytes :]), True


def checked_origin(url: str, plain_http: bool) -> str:
    """`url` without a slash at its end. Raises ValueError for anything that could leak a credential."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("url must hold no credentials; give them as references (username, password, token)")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url needs http:// or https:// and a host, as in https://airflow.example.com; got {url!r}")
    if parts.query or parts.fragment:
        raise ValueError("url must have no query and no fragment")
    if parts.port == 0:
        raise ValueError("url names port 0")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not plain_http:
        raise ValueError(
            f"http:// to {parts.hostname} would send the credentials unencrypted: use https://, "
            "or say plain_http = true if the network in between is yours"
        )
    return url.rstrip("/")


def _words(error: Exception) -> str:
    if isinstance(error, httpx.LocalProtocolError):
        return "LocalProtocolError"  # it quotes what we would have sent
    return f"{type(error).__name__}: {error}"[:300] if str(error) else type(error).__name__
