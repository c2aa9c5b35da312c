"""An HTTP server on one thread with many connections: a slow, silent or malformed client delays no other.

h11 parses each request, within size limits; a body may be gzip. A client occupies one of MAX_CONNECTIONS for
REQUEST_SECONDS at most; when all are in use, the oldest connection is closed. A request is admitted by its head, before
its body is read, and answered once; then the connection is closed.
"""

from __future__ import annotations

import math
import selectors
import socket
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import h11

MAX_CONNECTIONS = 256
BACKLOG = 512
MAX_HEADER_BYTES = 8192
"""Of request line and headers together."""
REQUEST_SECONDS = 30.0
"""For a request as a whole, however its bytes drip."""
REPLY_SECONDS = 30.0
"""For a reply that the client reads slowly."""
CLOSE_SECONDS = 2.0
"""Time for the client to read the end of the reply."""
READ_BYTES = 16384
RETRY_SECONDS = 10
"""Retry-After of a reply 429 or 503."""
NOT_MODIFIED = 304
"""The status of a reply without a body, whose reader has it already."""
TEXT = "text/plain; charset=utf-8"
GZIP_FORMAT = 31
"""`wbits` of zlib for one gzip stream."""
_READ_HEADERS = (
    b"authorization", b"content-encoding", b"content-length", b"content-type", b"host", b"idempotency-key",
    b"if-none-match", b"origin",
)  # fmt: skip

Admitted = TypeVar("Admitted")


@dataclass(frozen=True, slots=True)
class ServerReply:
    status: int
    body: bytes
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()
    """Besides those that every reply has; with `Cache-Control` instead of "no-store"."""

    @classmethod
    def of_text(cls, status: int, text: str) -> ServerReply:
        return cls(status, f"{text}\n".encode())


class HttpRefused(Exception):
    """A request that is refused, with this reply."""

    def __init__(self, reply: ServerReply) -> None:
        super().__init__(reply.status)
        self.reply = reply

    @classmethod
    def of_text(cls, status: int, why: str) -> HttpRefused:
        return cls(ServerReply.of_text(status, why))


class RequestHead(NamedTuple):
    """Request line and those headers by which a request is admitted; empty: not sent."""

    method: str
    target: str
    authorization: str = ""
    if_none_match: str = ""
    content_type: str = ""
    idempotency_key: str = ""
    host: str = ""
    origin: str = ""
    """Of the web page that a browser sends it for."""


TOO_SLOW = ServerReply.of_text(
    408, f"the request was not whole within {REQUEST_SECONDS:.0f} s. Fix: send head and body without pauses"
)
HEADERS_TOO_LONG = "request line and headers are too long. Fix: send fewer or shorter headers"
UNREADABLE = "this is not a readable HTTP request. Fix: send HTTP/1.1"
AdmitRequest = Callable[[RequestHead], Admitted]
"""The admitted request. Raises HttpRefused."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    most: int
    """Largest part of a body that is read, and unpacked."""
    stored: int
    """Bytes at its end that are stored."""


def _no_gzip() -> HttpRefused:
    return HttpRefused.of_text(400, "the body is not one complete gzip stream. Fix: send it whole, or without gzip")


class HttpExchange(Generic[Admitted]):
    """One request of one connection; it is answered once."""

    def __init__(self, admit: AdmitRequest[Admitted], limits: BodyLimits) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        self._admit, self._limits = admit, limits
        self._seen = 0
        self._is_head = False
        self._end = bytearray()
        self._gzip: zlib._Decompress | None = None
        self.request: Admitted | None = None
        self.whole = False
        """The request can be answered: its body is complete, or too long."""
        self.refused: HttpRefused | None = None

    @property
    def is_over(self) -> bool:
        return self.whole or self.refused is not None

    @property
    def body(self) -> bytes:
        return bytes(self._end[-self._limits.stored :])

    @property
    def left_out(self) -> int:
        """Bytes of the body before `body`."""
        return self._seen - len(self.body)

    @property
    def is_too_long(self) -> bool:
        return self._seen > self._limits.most

    def receive(self, data: bytes) -> bytes:
        """Adds received bytes (none: the client has finished); returns bytes to send at once."""
        try:
            self._http.receive_data(data)
            return self._read()
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint or 400
            self.refused = HttpRefused.of_text(status, HEADERS_TOO_LONG if status == 431 else UNREADABLE)
        except HttpRefused as error:
            self.refused = error
        return b""

    def _read(self) -> bytes:
        answer = b""
        while not self.is_over:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    answer += self._send(h11.InformationalResponse(status_code=100, headers=[]))
                break
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.Data):
                data = self._unpacked(event.data)
                self._seen += len(data)
                self._end += data
                if len(self._end) > 4 * self._limits.stored:
                    del self._end[: -self._limits.stored]
                self.whole = self.is_too_long
            elif isinstance(event, h11.EndOfMessage):
                if self._gzip is not None and not self._gzip.eof:
                    raise _no_gzip()
                self.whole = self.request is not None
            else:
                raise HttpRefused.of_text(400, "the request is empty")
        return answer

    def _begin(self, request: h11.Request) -> None:
        headers = {name: value for name, value in request.headers if name in _READ_HEADERS}
        self._is_head = request.method == b"HEAD"
        names = (b"authorization", b"if-none-match", b"content-type", b"idempotency-key", b"host", b"origin")
        values = (headers.get(name, b"").decode("ascii", "replace") for name in names)
        self.request = self._admit(RequestHead(request.method.decode("ascii"), request.target.decode("ascii"), *values))
        encoding = headers.get(b"content-encoding", b"").lower()
        if encoding == b"gzip":
            self._gzip = zlib.decompressobj(GZIP_FORMAT)
        elif encoding not in (b"", b"identity"):
            raise HttpRefused.of_text(415, "this Content-Encoding is not supported. Fix: send gzip, or plain")
        if int(headers.get(b"content-length", b"0")) > self._limits.most:
            self._seen, self.whole = self._limits.most + 1, True

    def _unpacked(self, data: bytes | bytearray) -> bytes | bytearray:
        """At most one byte more than the limit. Raises HttpRefused."""
        if self._gzip is None:
            return data
        try:
            unpacked = self._gzip.decompress(data, self._limits.most + 1 - self._seen)
        except zlib.error:
            raise _no_gzip() from None
        if self._gzip.unused_data:
            raise _no_gzip()
        return unpacked

    def answer(self, reply: ServerReply) -> bytes:
        """The one response, after which the connection is closed."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return b""
        headers = [("Connection", "close"), *reply.headers]
        if reply.status != NOT_MODIFIED:
            headers += [("Content-Type", reply.content_type), ("Content-Length", str(len(reply.body)))]
        if not any(name == "Cache-Control" for name, _ in headers):
            headers.append(("Cache-Control", "no-store"))
        headers += [("Retry-After", str(RETRY_SECONDS))] if reply.status in (429, 503) else []
        sent = self._send(h11.Response(status_code=reply.status, headers=headers))
        if not self._is_head:
            sent += self._send(h11.Data(data=reply.body))
        return sent + self._send(h11.EndOfMessage())

    def _send(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""


@dataclass(slots=True)
class _Connection(Generic[Admitted]):
    """One connection. `until`: by time.monotonic."""

    socket: socket.socket
    exchange: HttpExchange[Admitted]
    until: float
    answered: bool = False
    unsent: bytearray = field(default_factory=bytearray)


class HttpServer(Generic[Admitted]):
    """Listens at an address; clients wait until `serve`. Raises OSError if the address cannot be bound."""

    def __init__(
        self,
        address: tuple[str, int],
        admit: AdmitRequest[Admitted],
        respond: Callable[[Sequence[HttpExchange[Admitted]]], Sequence[ServerReply | Future[ServerReply]]],
        limits: BodyLimits,
    ) -> None:
        """`respond`: the replies to all requests that are complete; of a future, the reply that it will have."""
        self._admit, self._respond, self.limits = admit, respond, limits
        host, port = address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wake_here, self._wake_there = socket.socketpair()
        self._selector.register(self._wake_here, selectors.EVENT_READ)
        self._connections: dict[socket.socket, _Connection[Admitted]] = {}
        self._whole: list[_Connection[Admitted]] = []
        self._pending: list[tuple[_Connection[Admitted], Future[ServerReply]]] = []

    def wake(self) -> None:
        """Lets `serve` check at once whether it stops, or has a reply to send."""
        with suppress(OSError):
            self._wake_there.send(b"x")

    def serve(self, stopping: Callable[[], bool], beat: Callable[[], None], beat_seconds: float) -> None:
        """Answers until `stopping`; calls `beat` at least every `beat_seconds`."""
        while not stopping():
            for key, events in self._selector.select(beat_seconds):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake_here:
                    self._wake_here.recv(READ_BYTES)
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._connections:
                    connection = self._connections[key.fileobj]
                    if events & selectors.EVENT_WRITE:
                        self._flush(connection)
                    elif events & selectors.EVENT_READ:
                        self._read(connection)
            self._reply()
            now = time.monotonic()
            for connection in [some for some in self._connections.values() if some.until < now]:
                if connection.answered:
                    self._drop(connection)
                else:
                    self._answer(connection, TOO_SLOW)
            beat()

    def close(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)
        for resource in (self._selector, self._listener, self._wake_here, self._wake_there):
            resource.close()

    def _accept(self) -> None:
        """Accepts all clients that wait, as far as connections are free: their requests are then answered together."""
        for _ in range(max(1, MAX_CONNECTIONS - len(self._connections))):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:  # too many open files: the oldest connection is closed to accept the next one
                self._drop_oldest()
                return
            if len(self._connections) >= MAX_CONNECTIONS:
                self._drop_oldest()
            sock.setblocking(False)
            exchange = HttpExchange(self._admit, self.limits)
            self._connections[sock] = _Connection(sock, exchange, time.monotonic() + REQUEST_SECONDS)
            self._selector.register(sock, selectors.EVENT_READ)

    def _read(self, connection: _Connection[Admitted]) -> None:
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
            return
        if connection.answered or connection.exchange.is_over:
            if not data:
                self._drop(connection)
            return
        now_to_send = connection.exchange.receive(data)
        if now_to_send:
            with suppress(OSError):
                connection.socket.send(now_to_send)
        if connection.exchange.refused is not None:
            self._answer(connection, connection.exchange.refused.reply)
        elif connection.exchange.whole:
            self._whole.append(connection)

    def _reply(self) -> None:
        whole, self._whole = self._whole, []
        if whole:
            replies = self._respond([connection.exchange for connection in whole])
            for connection, reply in zip(whole, replies, strict=True):
                if isinstance(reply, Future):
                    connection.until = math.inf
                    self._pending.append((connection, reply))
                    reply.add_done_callback(lambda _: self.wake())
                else:
                    self._answer(connection, reply)
        pending, self._pending = self._pending, []
        for connection, later in pending:
            if later.done():
                self._answer(connection, later.result())
            else:
                self._pending.append((connection, later))

    def _answer(self, connection: _Connection[Admitted], reply: ServerReply) -> None:
        connection.answered = True
        connection.until = time.monotonic() + REPLY_SECONDS
        connection.unsent += connection.exchange.answer(reply)
        self._flush(connection)

    def _flush(self, connection: _Connection[Admitted]) -> None:
        """Sends as much of the reply as the client takes; the rest when it can take more."""
        if connection.socket.fileno() < 0:
            return
        try:
            del connection.unsent[: connection.socket.send(connection.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            connection.unsent.clear()
        if connection.unsent:
            self._selector.modify(connection.socket, selectors.EVENT_WRITE)
            return
        self._selector.modify(connection.socket, selectors.EVENT_READ)
        connection.until = time.monotonic() + CLOSE_SECONDS
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_WR)

    def _drop_oldest(self) -> None:
        if self._connections:
            self._drop(min(self._connections.values(), key=lambda connection: connection.until))

    def _drop(self, connection: _Connection[Admitted]) -> None:
        del self._connections[connection.socket]
        self._selector.unregister(connection.socket)
        connection.socket.close()


class RequestRateLimit:
    """So many a minute, as many at once."""

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(a_minute)
        self._clock = clock
        self._tokens = self._most
        self._at = clock()

    def allows(self) -> bool:
        """Takes one token from the bucket; False if it is empty."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._most / 60)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
