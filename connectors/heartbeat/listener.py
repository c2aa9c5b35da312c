"""The inbound listener: one thread, many connections, an answer only once the report is on disk.

A slow, silent or malformed client occupies one of MAX_CONNECTIONS until its time is over and delays no other report:
when all are in use, the oldest connection is closed. h11 parses each request, within size limits; a token bucket
limits how often a job may report.
"""

from __future__ import annotations

import selectors
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import h11

from connectors.heartbeat.options import HeartbeatOptions
from connectors.heartbeat.parse import (
    LOG_BYTES,
    NUMBER_RULE,
    PING_LOG,
    PING_START,
    TOKEN,
    PingRefused,
    PingRequest,
    parse_ping,
    token_digest,
)
from connectors.heartbeat.spool import Spool, current_time
from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import text_masker

MAX_CONNECTIONS = 256
BACKLOG = 512
REQUEST_SECONDS = 30.0
"""For a request as a whole, however its bytes drip."""
CLOSE_SECONDS = 2.0
"""Time for the sender to read the reply."""
READ_BYTES = 16384
PINGS_PER_MINUTE = 60
"""Of each job."""
REFUSED_PER_MINUTE = 60
"""Unknown tokens per minute, of all senders together; further ones are refused. A valid token always passes."""
HEARTBEAT_SECONDS = 3.0
CLEANUP_SECONDS = 3600.0
RETRY_SECONDS = 10


class HttpExchange:
    """One request of one connection; it is answered once and closed."""

    def __init__(self, admit: AdmitRequest) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        self._admit = admit
        self._seen = 0
        self._is_head = False
        self._end = bytearray()
        self.ping: PingRequest | None = None
        self.whole = False
        """The ping may be counted."""
        self.refused: PingRefused | None = None

    @property
    def is_over(self) -> bool:
        return self.whole or self.refused is not None

    @property
    def body(self) -> bytes:
        return bytes(self._end[-LOG_BYTES:])

    @property
    def left_out(self) -> int:
        """Bytes of the body before `body`."""
        return self._seen - len(self.body)

    @property
    def is_too_long(self) -> bool:
        return self._seen > MAX_BODY_BYTES

    def receive(self, data: bytes) -> bytes:
        """Adds received bytes (none: the sender has finished); returns bytes to send at once."""
        try:
            self._http.receive_data(data)
            return self._read()
        except h11.RemoteProtocolError as error:
            self.refused = PingRefused(error.error_status_hint or 400, "this is not a readable HTTP request")
        except PingRefused as error:
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
                self._seen += len(event.data)
                self._end += event.data
                if len(self._end) > 4 * LOG_BYTES:
                    del self._end[:-LOG_BYTES]
                self.whole = self.is_too_long
            elif isinstance(event, h11.EndOfMessage):
                self.whole = self.ping is not None
            else:
                raise PingRefused(400, "the request is empty")
        return answer

    def _begin(self, request: h11.Request) -> None:
        headers = {name: value for name, value in request.headers if name in (b"authorization", b"content-length")}
        self._is_head = request.method == b"HEAD"
        authorization = headers.get(b"authorization", b"").decode("ascii", "replace")
        self.ping = self._admit(request.method.decode("ascii"), request.target.decode("ascii"), authorization)
        if int(headers.get(b"content-length", b"0")) > MAX_BODY_BYTES:
            self._seen, self.whole = MAX_BODY_BYTES + 1, True

    def answer(self, status: int, text: str, retry_after: int = 0) -> bytes:
        """The one response, after which the connection is closed."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return b""
        body = f"{text}\n".encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        headers += [("Connection", "close"), ("Cache-Control", "no-store")]
        headers += [("Retry-After", str(retry_after))] if retry_after else []
        sent = self._send(h11.Response(status_code=status, headers=headers))
        if not self._is_head:
            sent += self._send(h11.Data(data=body))
        return sent + self._send(h11.EndOfMessage())

    def _send(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""


@dataclass(slots=True)
class _Connection:
    """One connection. `until`: by time.monotonic."""

    socket: socket.socket
    exchange: HttpExchange
    until: float
    answered: bool = False


@dataclass
class PingListener:
    """Listens at the address of its options; clients wait until the first `refresh`. Raises OSError if the address
    cannot be bound, sqlite3.Error if the spool cannot be used."""

    options: HeartbeatOptions
    arrived: Callable[[], None]
    """Called after reports were written."""
    tokens: Mapping[str, bytes] = field(default_factory=dict)
    _mask: Callable[[str], str] = str
    _token_faults: str = ""
    _fault: str = ""

    def __post_init__(self) -> None:
        self._closing = threading.Event()
        self._open()

    def _open(self) -> None:
        """Binds the address and opens the spool; requests are read once the thread starts."""
        host, port = self.options.address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        try:
            self._spool = Spool(self.options.spool_file)
            self._spool.mark_listening(current_time())
        except BaseException:
            self._listener.close()
            raise
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wake_here, self._wake_there = socket.socketpair()
        self._selector.register(self._wake_here, selectors.EVENT_READ)
        self._callers: dict[socket.socket, _Connection] = {}
        self._whole: list[_Connection] = []
        self._rates: dict[str, PingRateLimit] = {}
        self._wrong = PingRateLimit(REFUSED_PER_MINUTE)
        self._thread = threading.Thread(target=self._run, name=f"heartbeat listener {self.options.listen}", daemon=True)
        self._beat_at = self._tidy_at = 0.0

    def refresh(self, options: HeartbeatOptions, secrets: SecretResolver) -> str:
        """Reads every token again and opens the listener if it is closed; returns problems as text."""
        tokens, faults = _token_digests(options, secrets)
        self._mask = text_masker(secrets)
        self.options, self.tokens, self._token_faults = options, tokens, "; ".join(faults)
        if self._thread.is_alive() or self._closing.is_set():
            return self.trouble
        try:
            if self._thread.ident is not None:  # it ended unexpectedly, and has released everything
                self._open()
                self._fault = ""
            self._thread.start()
        except (OSError, sqlite3.Error) as error:
            self._fault = f"it cannot listen again: {error}"
        return self.trouble

    @property
    def trouble(self) -> str:
        ended = "" if self._thread.is_alive() else "its thread has ended"
        return "; ".join(filter(None, (self._token_faults, self._fault, ended)))

    def close(self) -> None:
        self._closing.set()
        with suppress(OSError):
            self._wake_there.send(b"x")
        if self._thread.is_alive():
            self._thread.join(2)
        else:
            self._end()

    # -- the thread ---------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                for key, _ in self._selector.select(HEARTBEAT_SECONDS / 2):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._callers:
                        self._read(self._callers[key.fileobj])
                self._write()
                now = time.monotonic()
                for caller in [caller for caller in self._callers.values() if caller.until < now]:
                    if caller.answered:
                        self._drop(caller)
                    else:
                        self._answer(caller, 408, f"not whole within {REQUEST_SECONDS:.0f} s")
                self._beat()
        finally:
            self._end()

    def _end(self) -> None:
        for caller in list(self._callers.values()):
            self._drop(caller)
        for resource in (self._selector, self._listener, self._wake_here, self._wake_there, self._spool):
            resource.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # too many open files: the oldest connection is closed to accept the next one
            self._drop_oldest()
            return
        if len(self._callers) >= MAX_CONNECTIONS:
            self._drop_oldest()
        sock.setblocking(False)
        self._callers[sock] = _Connection(sock, HttpExchange(self._admit), time.monotonic() + REQUEST_SECONDS)
        self._selector.register(sock, selectors.EVENT_READ)

    def _read(self, caller: _Connection) -> None:
        try:
            data = caller.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._drop(caller)
            return
        if caller.answered or caller.exchange.is_over:
            if not data:
                self._drop(caller)
            return
        now_to_send = caller.exchange.receive(data)
        if now_to_send:
            self._send(caller, now_to_send)
        if caller.exchange.refused is not None:
            self._answer(caller, caller.exchange.refused.status, caller.exchange.refused.why)
        elif caller.exchange.whole:
            self._whole.append(caller)

    def _admit(self, method: str, target: str, authorization: str) -> PingRequest:
        """The ping, of a job that has not sent too many. Raises PingRefused."""
        try:
            ping = parse_ping(method, target, authorization, self.tokens)
        except PingRefused as refused:
            if refused.status in (401, 404) and not self._wrong.allows():
                raise PingRefused(429, "too many requests with an unknown token") from None
            raise
        if not self._rates.setdefault(ping.job, PingRateLimit(PINGS_PER_MINUTE)).allows():
            raise PingRefused(429, f"more than {PINGS_PER_MINUTE} reports of this job in a minute")
        return ping

    def _write(self) -> None:
        """Stores all complete reports in one transaction, then answers them."""
        callers, self._whole = self._whole, []
        pings = [self._masked(caller.exchange, caller.exchange.ping) for caller in callers if caller.exchange.ping]
        if not pings:
            return
        try:
            stored = self._spool.take(pings, current_time())
            self._fault = ""
        except (sqlite3.Error, OSError) as error:
            self._fault = f"its spool {self.options.spool_file} cannot be written: {error}"
            for caller in callers:
                self._answer(caller, 503, "not stored: send it again", RETRY_SECONDS)
            return
        for caller, is_stored in zip(callers, stored, strict=True):
            self._answer(caller, *_response(caller.exchange, is_stored))
        self.arrived()

    def _masked(self, exchange: HttpExchange, ping: PingRequest) -> tuple[PingRequest, bytes, int]:
        """A ping, the end of its body and the number of bytes before that, without our secrets."""
        body = self._mask(exchange.body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        unread = tuple((name, self._mask(text)) for name, text in ping.unread)
        return replace(ping, unread=unread), body, exchange.left_out

    def _answer(self, caller: _Connection, status: int, text: str, retry_after: int = 0) -> None:
        caller.answered, caller.until = True, time.monotonic() + CLOSE_SECONDS
        wait = retry_after or (RETRY_SECONDS if status == 429 else 0)
        self._send(caller, caller.exchange.answer(status, text, wait))
        with suppress(OSError):
            caller.socket.shutdown(socket.SHUT_WR)

    def _send(self, caller: _Connection, data: bytes) -> None:
        """Sends a reply, which fits into the buffer of the socket unless the client filled it."""
        with suppress(OSError):
            caller.socket.send(data)

    def _drop_oldest(self) -> None:
        if self._callers:
            self._drop(min(self._callers.values(), key=lambda caller: caller.until))

    def _drop(self, caller: _Connection) -> None:
        del self._callers[caller.socket]
        self._selector.unregister(caller.socket)
        caller.socket.close()

    def _beat(self) -> None:
        moment = time.monotonic()
        if moment < self._beat_at:
            return
        self._beat_at = moment + HEARTBEAT_SECONDS
        try:
            self._spool.mark_listening(current_time())
            if moment >= self._tidy_at:
                self._tidy_at = moment + CLEANUP_SECONDS
                self._spool.tidy()
            self._fault = ""
        except (sqlite3.Error, OSError) as error:
            self._fault = f"its spool {self.options.spool_file} cannot be written: {error}"


def _response(exchange: HttpExchange, is_stored: bool) -> tuple[int, str]:
    ping = exchange.ping
    if exchange.is_too_long:
        return 413, "counted, without the log: send its end only, as in | tail -c 60000"
    if ping is not None and ping.kind == PING_LOG and not is_stored:
        return 409, "no run for this log: report a start first"
    text = "OK: started" if ping is not None and ping.kind == PING_START else "OK"
    unread = ", ".join(name for name, _ in ping.unread) if ping is not None else ""
    return 200, f"{text}; {unread} left out: not {NUMBER_RULE}" if unread else text


def _token_digests(options: HeartbeatOptions, secrets: SecretResolver) -> tuple[dict[str, bytes], list[str]]:
    """Job -> digest of its token, and the problems of the others; a token shared by two jobs is valid for neither."""
    digests: dict[str, bytes] = {}
    faults: list[str] = []
    for name, job in options.jobs.items():
        try:
            token = secrets(job.token)
        except ConnectorError as error:
            faults.append(f"token of {name}: {error}")
            continue
        if TOKEN.fullmatch(token):
            digests[name] = token_digest(token)
        else:
            faults.append(f"token of {name}: not 16 to 128 letters, digits, _ or -; openssl rand -hex 16 makes one")
    values = list(digests.values())
    doubled = [name for name, value in digests.items() if values.count(value) > 1]
    if doubled:
        faults.append(f"{', '.join(doubled)} have one token: give each its own")
    return {name: value for name, value in digests.items() if name not in doubled}, faults


MAX_HEADER_BYTES = 8192
"""Of request line and headers together."""
MAX_BODY_BYTES = 16 * 1024 * 1024
"""Largest part of a body that is read; its end is kept. A larger report still counts."""

AdmitRequest = Callable[[str, str, str], PingRequest]
"""(method, target, authorization) -> the ping. Raises PingRefused."""


class PingRateLimit:
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
