"""The inbound listener: an HTTP server on its own thread that answers only once the report is on disk.

A token bucket limits how often a job may report.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
from connectors.sdk.transport.http_server import (
    BodyLimits,
    HttpExchange,
    HttpRefused,
    HttpServer,
    RequestHead,
    RequestRateLimit,
    ServerReply,
)
from console.text.redact import sanitize

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Largest part of a body that is read; its end is kept. A larger report still counts."""
PINGS_PER_MINUTE = 60
"""Of each job."""
REFUSED_PER_MINUTE = 60
"""Unknown tokens per minute, of all senders together; further ones are refused. A valid token always passes."""
HEARTBEAT_SECONDS = 3.0
CLEANUP_SECONDS = 3600.0


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
        limits = BodyLimits(MAX_BODY_BYTES, LOG_BYTES)
        self._server = HttpServer(self.options.address, self._admit, self._respond, limits)
        try:
            self._spool = Spool(self.options.spool_file)
            self._spool.mark_listening(current_time())
        except BaseException:
            self._server.close()
            raise
        self._rates: dict[str, RequestRateLimit] = {}
        self._wrong = RequestRateLimit(REFUSED_PER_MINUTE)
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
        self._server.wake()
        if self._thread.is_alive():
            self._thread.join(2)
        else:
            self._end()

    # -- the thread ---------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        try:
            self._server.serve(self._closing.is_set, self._beat, HEARTBEAT_SECONDS / 2)
        finally:
            self._end()

    def _end(self) -> None:
        self._server.close()
        self._spool.close()

    def _admit(self, head: RequestHead) -> PingRequest:
        """The ping, of a job that has not sent too many. Raises HttpRefused."""
        post_only = [name for name, job in self.options.jobs.items() if job.post_only]
        try:
            ping = parse_ping(head.method, head.target, head.authorization, self.tokens, post_only)
        except PingRefused as refused:
            if refused.status in (401, 404) and not self._wrong.allows():
                raise HttpRefused.of_text(429, "too many requests with an unknown token") from None
            allow = (("Allow", ", ".join(refused.allow)),) if refused.allow else ()
            raise HttpRefused(ServerReply(refused.status, f"{refused.why}\n".encode(), headers=allow)) from None
        if not self._rates.setdefault(ping.job, RequestRateLimit(PINGS_PER_MINUTE)).allows():
            raise HttpRefused.of_text(429, f"more than {PINGS_PER_MINUTE} reports of this job in a minute")
        return ping

    def _respond(self, exchanges: Sequence[HttpExchange[PingRequest]]) -> list[ServerReply]:
        """Stores all complete reports in one transaction."""
        pings = [self._masked(exchange, exchange.request) for exchange in exchanges if exchange.request]
        try:
            stored = self._spool.take(pings, current_time())
            self._fault = ""
        except (sqlite3.Error, OSError) as error:
            self._fault = f"its spool {self.options.spool_file} cannot be written: {error}"
            return [ServerReply.of_text(503, "not stored: send it again") for _ in exchanges]
        self.arrived()
        return [_response(exchange, is_stored) for exchange, is_stored in zip(exchanges, stored, strict=True)]

    def _masked(self, exchange: HttpExchange[PingRequest], ping: PingRequest) -> tuple[PingRequest, bytes, int]:
        """A ping, the end of its body and the number of bytes before that, without secrets."""
        body, left_out = exchange.body, exchange.left_out
        if left_out and (end := body.find(b"\n") + 1):  # the rest of a line may be the rest of a secret
            body, left_out = body[end:], left_out + end
        unread = tuple((name, sanitize(value, self._mask)) for name, value in ping.unread)
        return replace(ping, unread=unread), sanitize(body, self._mask).encode(), left_out

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


def _response(exchange: HttpExchange[PingRequest], is_stored: bool) -> ServerReply:
    ping = exchange.request
    if exchange.is_too_long:
        return ServerReply.of_text(413, "counted, without the log: send its end only, as in | tail -c 60000")
    if ping is not None and ping.kind == PING_LOG and not is_stored:
        return ServerReply.of_text(409, "no run for this log: report a start first")
    text = "OK: started" if ping is not None and ping.kind == PING_START else "OK"
    unread = ", ".join(name for name, _ in ping.unread) if ping is not None else ""
    return ServerReply.of_text(200, f"{text}; {unread} left out: not {NUMBER_RULE}" if unread else text)


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
