"""HTTP for REST connectors: one deadline, one size limit, one origin, errors sorted by what happens next.

TLS is always verified, redirects are never followed, proxies and .netrc of the environment are not used, and links
from replies are never fetched. Messages name method and address; never headers, bodies, queries or credentials.

httpx counts its timeouts per operation, so a server that sends a byte a second outlives any of them. Here each read
and write gets only the time that is left of the call, in the headers as well as in the body; names are resolved where
they cannot block the call.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpcore
import httpx

from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import (
    AccessRefused,
    AnswerLost,
    ConnectorError,
    InvalidAnswer,
    NotSupported,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    SystemUnreachable,
)
from connectors.sdk.fields import masked_head
from connectors.sdk.records import TargetClock
from connectors.sdk.settle import wait_seconds
from connectors.sdk.transport.call_limits import Deadline, call_on_thread, count_request, note_limit
from connectors.sdk.transport.loopback import is_loopback

Resolve = Callable[[str, int], list[str]]
Transport = httpx.BaseTransport | None
"""Given by tests: a fake of the server; None: the network."""

LIMIT_BYTES = 32 * 1024 * 1024
"""Of one answer."""

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Errors before the first byte of a request is sent."""


def tls(source: str, ca_file: Path | None) -> ssl.SSLContext:
    """The context that verifies certificates by the machine's CAs, or those in `ca_file`. Raises AccessRefused."""
    if ca_file is None:  # a change of the machine's CA files makes new connectors read them again
        paths = ssl.get_default_verify_paths()
        return _machine_context(tuple(os.stat(path).st_mtime_ns for path in (paths.cafile, paths.capath) if path))
    try:
        return ssl.create_default_context(cafile=str(ca_file.expanduser()))
    except OSError as error:
        raise AccessRefused(
            f"{source}: ca_file {ca_file} cannot be read: {error}. Give a PEM file with the CA certificates."
        ) from None


@lru_cache(maxsize=1)
def _machine_context(changed_ns: tuple[int, ...]) -> ssl.SSLContext:
    """One context for all connectors, since it holds some hundred certificates."""
    del changed_ns
    return ssl.create_default_context()


def addresses(host: str, port: int) -> list[str]:
    """IP addresses of `host` in the order of preference. Blocks; raises OSError."""
    getaddrinfo = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in getaddrinfo))


class DeadlineBackend(httpcore.NetworkBackend):
    """Opens connections whose every operation ends with the current call's deadline."""

    def __init__(self, resolve: Resolve = addresses) -> None:
        self.deadline = Deadline(0.0)
        self._resolve = resolve
        self._inner = httpcore.SyncBackend()

    def cut(self, timeout: float | None, error: type[Exception]) -> float:
        """The smaller of `timeout` and the time left. Raises `error` when none is left."""
        seconds = self.deadline.left
        if seconds <= 0:
            raise error(f"the deadline of {self.deadline.seconds:g} s passed")
        return seconds if timeout is None else min(timeout, seconds)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Tries each address in turn, each with its share of the time: a dead IPv6 leaves time for IPv4."""
        try:  # on a thread of its own, since nothing can interrupt it
            seconds = self.cut(None, httpcore.ConnectTimeout)
            result = call_on_thread(lambda: self._resolve(host, port), seconds, f"resolve {host}", list.clear)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"the name {host} was not resolved in time") from None
        except (OSError, UnicodeError) as error:
            reason = error.strerror or error if isinstance(error, OSError) else f"{host} is not a host name"
            raise httpcore.ConnectError(f"the name {host} cannot be resolved: {reason}") from None
        for number, address in enumerate(result):
            share = self.cut(timeout, httpcore.ConnectTimeout) / (len(result) - number)
            try:
                inner = self._inner.connect_tcp(address, port, share, local_address, socket_options or ())
                return DeadlineStream(inner, self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number + 1 == len(result):
                    raise
        raise httpcore.ConnectError(f"{host} has no address")


class DeadlineStream(httpcore.NetworkStream):
    """A connection that reads and writes only as long as the call may last."""

    def __init__(self, inner: httpcore.NetworkStream, backend: DeadlineBackend) -> None:
        self._inner, self._backend = inner, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._backend.cut(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._backend.cut(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        share = self._backend.cut(timeout, httpcore.ConnectTimeout)
        return DeadlineStream(self._inner.start_tls(ssl_context, server_hostname, share), self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class DeadlineTransport(httpx.HTTPTransport):
    """httpx's own transport over a pool that knows the deadline of the call."""

    def __init__(self, verify: ssl.SSLContext, backend: DeadlineBackend) -> None:
        super().__init__(verify=verify, trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=verify,
            max_connections=4,
            max_keepalive_connections=2,
            keepalive_expiry=60.0,
            network_backend=backend,
            socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
        )


RETRY_AFTER_CEILING_SECONDS = 15 * 60.0
MAX_WAIT_SECONDS = 5.0
"""For a Retry-After within a call."""
REPEAT_SECONDS = 0.2
"""Before a read is repeated whose answer names no Retry-After."""
ERROR_TEXT_LIMIT = 200
ERROR_BYTES = 4096
ERROR_TEXT_FIELDS = ("detail", "message", "title", "error_description", "error", "errors")
"""Fields of an answer in which servers say why, the wordiest first."""

REFUSED = frozenset({401, 402, 403, 407, 451})
LOGIN_REFUSED = re.compile(
    r"\b(invalid|expired|malformed|bad|missing)\b.{0,20}\b(token|jwt|credentials?|signature)\b", re.I
)
"""Text of a 403 that means the sign-in, as for a broken token in Airflow 3 and Databricks; others mean a permission."""
LATER = frozenset({408, 423, 425, 429})
"""With all of 5xx but 501 and 505: the same request may be answered at another time."""
NEVER_5XX = frozenset({501, 505})

SECONDS = re.compile(r"[+-]?\d{1,20}(\.\d*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer as it came: status, headers (names in lower case), decoded body, and the server's clock."""

    source: str
    call: str
    """"GET https://host/path", for messages."""
    status: int
    headers: Mapping[str, str]
    body: bytes
    clock: TargetClock | None
    cut: bool = False
    """True where the body is the requested end of a longer one."""

    def json(self, no_number: Callable[[str], Any] = lambda _: None) -> Any:
        """The body as JSON; `no_number` reads NaN and Infinity. Raises AccessRefused for a web page (a login in
        between), InvalidAnswer otherwise."""
        kind = self.content_type
        if kind != "application/json" and not kind.endswith("+json"):
            raise self.not_json(kind)
        return self.parsed(no_number)

    def parsed(self, no_number: Callable[[str], Any]) -> Any:
        """The body as JSON whatever its content type; `no_number` reads NaN and Infinity. Raises InvalidAnswer."""
        try:
            return json.loads(self.body.decode("utf-8-sig"), parse_constant=no_number)
        except UnicodeDecodeError as error:
            raise InvalidAnswer(f"{self.place} is not UTF-8 at byte {error.start} of {len(self.body)}") from None
        except RecursionError:
            raise InvalidAnswer(f"{self.place} is nested too deep to be read ({len(self.body)} bytes)") from None
        except ValueError as error:
            at = getattr(error, "pos", 0)
            raise InvalidAnswer(
                f"{self.place} is not whole JSON: it breaks at character {at} of {len(self.body)} bytes"
            ) from None

    def table(self) -> dict[str, Any]:
        """The body as a JSON object. Raises as `json`, and InvalidAnswer for any other shape."""
        result = self.json()
        if not isinstance(result, dict):
            raise InvalidAnswer(f"{self.place} is a JSON {type(result).__name__}, not an object")
        return result

    def rows(self, name: str) -> list[Any]:
        """The list of that name: a missing one is not an empty one. Raises as `table`, and InvalidAnswer without it."""
        rows = self.table().get(name)
        if not isinstance(rows, list):
            raise InvalidAnswer(f"{self.place} has no list {name!r}; is this {self.source}?")
        return rows

    @property
    def content_type(self) -> str:
        """ "text/plain", without its parameters; "" without one."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def place(self) -> str:
        """Where and what, the beginning of each message."""
        return f"{self.source}: the answer to {self.call} ({self.status})"

    @property
    def error(self) -> str:
        """The server's message about a refusal, short; "" without one. Raw outside text.

        `detail` is text, an object, or a list of texts or of field errors, whose `input` (it may hold what we sent)
        is left out; where it is null, `title` says it (RFC 9457). Else what an `error` (as text, or with a code and a
        message of its own), OAuth's `error_description` (RFC 6749) or `errors` say, or a list of errors as a whole. Of
        plain text, the first line."""
        try:
            document = json.loads(self.body.decode("utf-8-sig"))
            fields = document if isinstance(document, dict) else {"errors": document}
            texts = (_detail_text(fields.get(name)) for name in ERROR_TEXT_FIELDS)
            return masked_head(next(filter(None, texts), ""), ERROR_TEXT_LIMIT)
        except (ValueError, RecursionError):
            is_text = self.content_type == "text/plain"
            lines = self.body[:ERROR_BYTES].decode("utf-8", "replace").split("\n") if is_text else []
            return masked_head(next(filter(None, map(str.strip, lines)), ""), ERROR_TEXT_LIMIT)

    def not_json(self, kind: str) -> ConnectorError:
        if kind in ("text/html", "application/xhtml+xml"):
            return AccessRefused(
                f"{self.place} is a web page, not JSON: a login or a proxy is in between. "
                "Give an address that answers the API without a browser."
            )
        return InvalidAnswer(f"{self.place} has content type {masked_head(kind, 80) or 'none'!r}, not JSON")


def _detail_text(detail: Any) -> str:
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):
        return "; ".join(_detail_text(item) for item in detail[:5])
    if isinstance(detail, dict) and "msg" in detail:
        where = detail.get("loc")
        path = ".".join(str(part) for part in where) if isinstance(where, list) else ""
        return f"{path}: {detail['msg']}"
    if isinstance(detail, dict):
        named = {name: text for name, text in detail.items() if isinstance(text, str)}
        text = next((named[name] for name in ("reason", *ERROR_TEXT_FIELDS) if named.get(name)), "")
        return ": ".join(filter(None, (named.get("code", ""), text)))
    return ""


def is_own_fault(status: int) -> bool:
    """True for a fault of the server itself, which may answer the same request at another time."""
    return status >= 500 and status not in NEVER_5XX


def refusal(reply: HttpReply, once: bool = False) -> ConnectorError:
    """The error for an unexpected status, by what happens next.

    3xx, 401, 402, 403 (a right, or by its text the sign-in), 407, 451: a person must act · 408, 423, 425, 429, 5xx:
    later, but for a request that is sent only `once` a 5xx leaves the outcome unknown · 501, 505 and every other
    status: this server cannot do it."""
    status = reply.status
    what = "is a rate limit" if status == 429 else "is a fault of its own" if status >= 500 else ""
    text = f"{reply.place} {what or 'is a refusal'}{f': {reply.error}' if reply.error else ' without a message'}"
    if 300 <= status < 400:
        try:
            host = (urlsplit(reply.headers.get("location", "")).hostname or "the same host")[:100]
        except ValueError:
            host = "an unreadable address"
        return AccessRefused(f"{reply.place} is a redirect to {host}; redirects are not followed. Correct the url.")
    if status in REFUSED:
        is_right = status == 403 and not LOGIN_REFUSED.search(reply.error)
        is_scope = is_right and "scope" in reply.error.lower()
        if is_scope:
            fix = "request this scope for the token, or give it to the account"
        else:
            fix = "give the account this permission" if is_right else "correct the account or its secret"
        return (PermissionMissing if is_right else AccessRefused)(f"{text}. Fix: {fix}, then headway check")
    if status in LATER or is_own_fault(status):
        if once and status >= 500:
            return OutcomeUnknown(f"{text}. Its outcome is unknown and is looked up.")
        later, seconds = RateLimited if status == 429 else InvalidAnswer, retry_after_of(reply)
        return later(f"{text}. Wait at least {max(seconds, 1):.0f} s" if seconds else text, seconds)
    return NotSupported(text)


def retry_after_of(reply: HttpReply) -> float | None:
    return retry_after(reply.headers.get("retry-after"), reply.clock)


def retry_after(value: str | None, clock: TargetClock | None = None) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or a date), between 0 and 15 minutes; None without one."""
    text = (value or "").strip()
    try:
        now = clock.target if clock else datetime.now(UTC)
        is_number = SECONDS.fullmatch(text)
        seconds = float(text) if is_number else (_aware(parsedate_to_datetime(text)) - now).total_seconds()
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_CEILING_SECONDS)


def clock_of(date: str | None) -> TargetClock | None:
    """The server's clock by its Date header (whole seconds), beside ours; None without a readable one."""
    now = datetime.now(UTC)
    try:
        return TargetClock(_aware(parsedate_to_datetime(date)), now) if date else None
    except (ValueError, TypeError, OverflowError):
        return None


def _aware(at: datetime) -> datetime:
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "headway"}
FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""Of RFC 9110, 5.1."""


def is_header_value(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()


END_BYTES = "headway_end_bytes"
"""The extension of a request under which it says how much of its answer's end is kept."""
LISTED = "headway_listed"
"""The one with its text in a list of requests."""
PIECE_BYTES = 1 << 20
"""Of a packed body, unpacked at a time."""


class HttpAnswerTooLarge(InvalidAnswer):
    """The same question has the same answer: ask for less."""

    begin = b""
    """The first LIMIT_BYTES of a successful answer."""


class HttpEndpoint:
    """All requests to one server. Not thread safe. Close it when done."""

    def __init__(
        self,
        source: str,
        base_url: str,
        ca_file: Path | None = None,
        transport: Transport = None,
        context: ssl.SSLContext | None = None,
        requests_per_second: float | None = None,
    ) -> None:
        """`context` verifies the server in place of `ca_file`, and may hold a certificate of ours. A request waits
        until `requests_per_second` allows it."""
        self.source = source
        self.base_url = base_url.rstrip("/")
        self._given = transport
        self._tls = context or tls(source, ca_file)
        self._backend = DeadlineBackend()
        self._pooled = self._transport()
        self._interval = 1 / requests_per_second if requests_per_second else 0.0
        self._next_at = 0.0

    def call(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
        once: bool = False,
        is_read: bool = False,
        shown: str | None = None,
        end_bytes: int | None = None,
        listed: str = "",
        sign: Callable[[httpx.Request], None] | None = None,
        base_url: str = "",
    ) -> HttpReply:
        """The reply to one request below the base address, or below `base_url`. `path` parts are already
        percent-encoded, and so is a query behind them. `body` goes as JSON, `form` as a form, `content` unchanged.
        `shown`: its text in messages, where it has a query or is itself a secret. `end_bytes`: of a body, however long,
        no more than its end is kept. `listed`: its text in a list of requests, with what it sends and without secrets.
        `sign` completes the request. `is_read`: it changes nothing, as a GET without `once`.

        Other statuses than 2xx and `accept` raise by the table of `refusal`. A connection that breaks is replaced
        once, except with `once`: then nothing is repeated but after a 429, and whatever is lost after the first byte
        on the wire is OutcomeUnknown."""
        given, base_url = {**HEADERS, **(headers or {})}, base_url or self.base_url
        # of two names that differ in their capitals, the later one counts
        every = dict({name.lower(): (name, value) for name, value in given.items()}.values())
        self._check(every)
        try:
            data = {"json": body, "data": form, "content": content}
            request = httpx.Request(method, base_url + path, params=params, headers=every, **data)
        except httpx.InvalidURL as error:
            raise AccessRefused(f"{self.source}: its address is not valid: {error}") from None
        if sign is not None:
            sign(request)
        call = f"{method} {base_url}{path if shown is None else shown}"
        if end_bytes is not None:
            request.extensions[END_BYTES] = end_bytes
        if listed:
            request.extensions[LISTED] = listed
        reply = self.exchange(request, call, deadline, once, may_repeat=is_read or (method == "GET" and not once))
        if 200 <= reply.status < 300 or reply.status in accept:
            return reply
        raise refusal(reply, once)

    def exchange(
        self, request: httpx.Request, call: str, deadline: Deadline, once: bool = False, *, may_repeat: bool = False
    ) -> HttpReply:
        """The reply to a request, whatever its status. `call` is its name in messages; `once` as for `call`. After a
        reply 429 with a short Retry-After, by which nothing was done, it is sent again, as long as there is time. One
        that `may_repeat` is sent again once after any 429, and after a fault of the server's own."""
        reserved = deadline.seconds / 2 if once else 0.0  # a write that runs out of time has an unknown outcome
        while True:
            self._wait_for_turn(deadline.left - reserved)
            reply = self._once(request, call, deadline) if once else self._read(request, call, deadline)
            seconds = retry_after_of(reply) if reply.status == 429 else None
            if may_repeat and (reply.status == 429 or is_own_fault(reply.status)):
                may_repeat, seconds = False, retry_after_of(reply) or REPEAT_SECONDS
            if not seconds or seconds > MAX_WAIT_SECONDS or seconds + reserved >= deadline.left:
                return reply
            wait_seconds(seconds)

    def _wait_for_turn(self, limit: float) -> None:
        """Waits until the rate allows a request. Raises RateLimited if that takes as long as `limit` seconds."""
        if not self._interval:
            return
        now = time.monotonic()
        seconds = self._next_at - now
        if seconds > 0 and seconds >= limit:
            raise RateLimited(f"{self.source}: requests_per_second allows no request before the end of this call")
        self._next_at = max(self._next_at, now) + self._interval
        if seconds > 0:
            wait_seconds(seconds)

    def close(self) -> None:
        self._pooled.close()

    def _check(self, headers: Mapping[str, str]) -> None:
        """Raises AccessRefused for a header that cannot be sent, before httpx raises an error with its whole value."""
        for name, value in headers.items():
            if not FIELD_NAME.fullmatch(name):
                raise AccessRefused(
                    f"{self.source}: {name[:60]!r} is not a header name: correct token_header or headers"
                )
            if not is_header_value(value):
                raise AccessRefused(
                    f"{self.source}: the value of header {name} cannot be sent: it has a line end, a space at an end,"
                    " or a character that is not printable ASCII. Correct what the token or headers setting refers to."
                )

    def _read(self, request: httpx.Request, call: str, deadline: Deadline, may_repeat: bool = True) -> HttpReply:
        try:
            return self._exchange(self._pooled, request, call, deadline)
        except httpx.HTTPError as error:
            broke = isinstance(error, (httpx.NetworkError, httpx.RemoteProtocolError))
            if not (may_repeat and broke) or isinstance(error, NOT_SENT) or deadline.left <= 0:
                raise self._unreachable(call, error, deadline) from None
        return self._read(request, call, deadline, may_repeat=False)

    def _once(self, request: httpx.Request, call: str, deadline: Deadline) -> HttpReply:
        """Never over a kept connection, which may be dead without our knowing."""
        fresh = self._transport()
        try:
            return self._exchange(fresh, request, call, deadline)
        except NOT_SENT as error:
            raise self._unreachable(call, error, deadline) from None
        except (httpx.HTTPError, SystemUnreachable) as error:
            raise AnswerLost(f"{self.source}: {call}", _error_text(error)) from None
        finally:
            fresh.close()

    def _exchange(
        self, transport: httpx.BaseTransport, request: httpx.Request, call: str, deadline: Deadline
    ) -> HttpReply:
        if deadline.left <= 0:
            raise httpx.ConnectTimeout("no time left", request=request)
        self._backend.deadline = deadline
        request.extensions = {**request.extensions, "timeout": httpx.Timeout(deadline.left).as_dict()}
        count_request(request.extensions.get(LISTED, call))
        response = transport.handle_request(request)
        try:
            body, cut = self._body(response, call, deadline, request.extensions.get(END_BYTES))
        finally:
            response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        note_limit(headers)
        return HttpReply(self.source, call, response.status_code, headers, body, clock_of(headers.get("date")), cut)

    def _body(
        self, response: httpx.Response, call: str, deadline: Deadline, end_bytes: int | None
    ) -> tuple[bytes, bool]:
        """The decoded body, at most LIMIT_BYTES; with `end_bytes` its end, and whether it was cut."""
        ready = response.is_stream_consumed  # a transport that made the reply up has read and decoded it already
        unpacked = UnpackedBody("" if ready else response.headers.get("content-encoding", ""), end_bytes)
        text = f"{self.source}: the answer to {call} ({response.status_code})"
        try:
            for chunk in [response.content] if ready else response.iter_raw():
                unpacked.add(chunk)
                if deadline.left <= 0:
                    raise SystemUnreachable(f"{text} did not end within {deadline.seconds:g} s")
        except BodyTooLarge:
            error = HttpAnswerTooLarge(f"{text} is larger than {LIMIT_BYTES // 1024**2} MiB")
            if response.is_success:
                error.begin = bytes(unpacked.body[:LIMIT_BYTES])
            raise error from None
        except zlib.error as error:
            raise InvalidAnswer(f"{text} cannot be unpacked: {error}") from None
        if not unpacked.whole:
            raise InvalidAnswer(f"{text} ends in the middle of its packed body, after {unpacked.taken} bytes")
        return unpacked.end()

    def _transport(self) -> httpx.BaseTransport:
        """Used without an httpx client, whose cookies, redirects and log line are not needed and take CPU time."""
        return self._given or DeadlineTransport(self._tls, self._backend)

    def _unreachable(self, call: str, error: Exception, deadline: Deadline) -> ConnectorError:
        text = _error_text(error)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return AccessRefused(
                f"{self.source}: {call}: the certificate is not trusted ({text}). "
                "Set ca_file to the certificate of your own CA; verification cannot be switched off."
            )
        if isinstance(error, httpx.TimeoutException):
            text = f"no answer within {deadline.seconds:g} s"
        answered = isinstance(error, httpx.RemoteProtocolError)
        return (InvalidAnswer if answered else SystemUnreachable)(f"{self.source}: {call}: {text}")


class BodyTooLarge(Exception):
    """The body exceeds LIMIT_BYTES."""


class UnpackedBody:
    """A body that may be packed (gzip, deflate), at most LIMIT_BYTES of it; with `end_bytes` its end."""

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
        """Adds the next bytes. Raises BodyTooLarge or zlib.error."""
        self.taken += len(chunk)
        if self._end_bytes is None:
            room = LIMIT_BYTES + 1 - len(self.body)
            self.body += chunk[:room] if self._unzip is None else self._unzip.decompress(chunk, room)
            if len(self.body) > LIMIT_BYTES:
                raise BodyTooLarge
            return
        while chunk:
            self.body += chunk if self._unzip is None else self._unzip.decompress(chunk, PIECE_BYTES)
            chunk = b"" if self._unzip is None else self._unzip.unconsumed_tail
            if len(self.body) > 2 * self._end_bytes + PIECE_BYTES:
                del self.body[: -self._end_bytes]
                self._dropped = True

    def end(self) -> tuple[bytes, bool]:
        """The body, and whether its beginning was dropped."""
        if self._end_bytes is None or len(self.body) <= self._end_bytes:
            return bytes(self.body), self._dropped
        return bytes(self.body[-self._end_bytes :]), True


def path_segment(raw: str) -> str:
    """One part of a path, percent-encoded; "." and ".." as well, which URL libraries would fold away."""
    return quote(raw, safe="") if raw not in (".", "..") else raw.replace(".", "%2E")


def plain_path(path: str) -> str:
    """The path, as it is sent. Raises ValueError for a path that a request would change."""
    if odd := next((mark for mark in path if mark.isspace() or not mark.isprintable() or mark in "\\#"), ""):
        raise ValueError(f"the path contains {odd!a}. Fix: write {quote(odd)}, or remove it")
    if {".", ".."} & {*unquote(path.partition("?")[0]).split("/")}:
        raise ValueError(f'{path!r} contains the segment "." or "..". Fix: write the resolved path')
    return path


def checked_origin(url: str, plain_http: bool | None = None) -> str:
    """`url` without a slash at its end. `plain_http`: the setting of that name; None where there is none, and http://
    is refused. Raises ValueError for anything that could leak a credential."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("url must hold no credentials; give them as references (username, password, token)")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url needs http:// or https:// and a host, as in https://airflow.example.com; got {url!r}")
    if parts.query or parts.fragment:
        raise ValueError("url must have no query and no fragment")
    plain_path(parts.path)
    if parts.port == 0:
        raise ValueError("url names port 0")
    if parts.scheme == "http" and not is_loopback(parts.hostname) and not plain_http:
        setting = "" if plain_http is None else ", or say plain_http = true if the network in between is yours"
        raise ValueError(f"http:// to {parts.hostname} would send the credentials unencrypted: use https://{setting}")
    return url.rstrip("/")


def _error_text(error: Exception) -> str:
    if isinstance(error, httpx.LocalProtocolError):
        return "LocalProtocolError"  # it quotes what we would have sent
    return masked_head(f"{type(error).__name__}: {error}", 300) if str(error) else type(error).__name__


AUTHORIZATION = "Authorization"


class HttpAccount:
    """An account; none without a password and a token. Secrets are read at their first use."""

    def __init__(
        self,
        secrets: SecretResolver,
        username: str | None,
        password: Any,
        token: Any,
        token_header: str = AUTHORIZATION,
    ) -> None:
        self._secrets, self._username, self._password = secrets, username, password
        self._token, self._token_header = token, token_header
        self._headers: dict[str, str] | None = None
        self.deadline = Deadline(0.0)
        """Of the call that signs in."""

    @property
    def can_renew(self) -> bool:
        """Whether a refused request may be accepted after the account is read again."""
        return bool(self.headers())

    def sign(self, request: httpx.Request) -> None:
        """Completes a request whose account is not in its headers alone."""

    def close(self) -> None:
        """Ends what the sign-in holds open."""

    def headers(self) -> dict[str, str]:
        if self._headers is None:
            self._headers = self._made()
        return self._headers

    def forget(self) -> None:
        """Called after a refusal: the next request reads the account again."""
        self._headers = None

    def _made(self) -> dict[str, str]:
        """The headers, by secrets that are read now."""
        if self._token is not None:
            token = self._secrets(self._token).strip()
            is_bearer = self._token_header.lower() == "authorization"
            return {self._token_header: f"Bearer {token}" if is_bearer else token}
        if self._password is not None:
            pair = f"{self._username}:{self._secrets(self._password)}".encode()
            return {AUTHORIZATION: f"Basic {base64.b64encode(pair).decode()}"}
        return {}

    def signed_reply(
        self,
        ask: Callable[[dict[str, str]], HttpReply],
        is_refused: Callable[[HttpReply], bool] = lambda reply: reply.status == 401,
    ) -> HttpReply:
        """The answer of `ask`, which lets refusals through: then the account is read again, and `ask` is repeated once.
        Raises AccessRefused when it is refused again. Some servers answer 403 to an expired token: the next request
        reads the account again."""
        try:
            reply = ask(self.headers())
        except AccessRefused:
            self.forget()
            raise
        if is_refused(reply) and self.can_renew:
            self.forget()
            reply = ask(self.headers())
        if is_refused(reply):
            raise refusal(reply)
        return reply


class SignedClient:
    """Calls to one server under one account. `deadline` is set for each call of the connector."""

    def __init__(self, endpoint: HttpEndpoint, account: HttpAccount) -> None:
        self.endpoint = endpoint
        self.deadline = Deadline(0.0)
        self._account = account

    def close(self) -> None:
        self.endpoint.close()
        self._account.close()

    def read(
        self,
        method: str,
        path: str,
        accept: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> HttpReply:
        """The reply to a request that changes nothing; `options` are those of `HttpEndpoint.call`."""

        self._account.deadline, sign = self.deadline, self._account.sign

        def call(signed: dict[str, str]) -> HttpReply:
            every, accepted = {**signed, **(headers or {})}, {*accept, 401}
            return self.endpoint.call(
                method, path, self.deadline, headers=every, accept=accepted, sign=sign, is_read=True, **options
            )

        return self._account.signed_reply(call)

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        accept: Collection[int],
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """The reply to a request that is sent once. Each status in `accept` proves that nothing was done."""
        self._account.deadline = self.deadline
        every = {**self._account.headers(), **(headers or {})}
        return self.endpoint.call(
            method, path, self.deadline, body=body, headers=every, accept=accept, once=True, sign=self._account.sign
        )
