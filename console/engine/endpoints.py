"""HTTP endpoints of the engine, while it holds the lease: one thread answers, so that no request delays a poll.

A request is refused by its head: an unknown path, another method, a wrong token. Those that arrive together are
answered together.
"""

from __future__ import annotations

import hmac
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.http_server import (
    BodyLimits,
    HttpExchange,
    HttpRefused,
    HttpServer,
    RequestRateLimit,
    ServerReply,
)
from connectors.sdk.transport.loopback import listen_address
from console.config.sections import EndpointSettings
from console.engine.worker import Pulse
from console.store.errors import LeaseLost, StoreError

log = structlog.get_logger("headway.endpoints")

MAX_BODY_BYTES = 1024 * 1024
CHECK_SECONDS = 0.5
RETRY_SECONDS = 5.0
"""Retry interval if another program uses the address."""
REFUSED_PER_MINUTE = 60
"""Requests with a wrong token, of all clients together, until further ones are refused for a while."""
MIN_TOKEN = 16
TOKEN_SECONDS = 60.0
"""Interval of reading the token again."""
_BEARER = re.compile(r"bearer +([^\s]{1,512}) *", re.IGNORECASE)

Answer = Callable[[Sequence[bytes], int], Sequence[ServerReply]]
"""(bodies, fence) -> the reply to each."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The answer of one path, and the methods that it accepts."""

    methods: frozenset[str]
    answer: Answer


class EndpointWorker:
    """Listens at the configured address and passes requests to the endpoint of their path."""

    def __init__(self, settings: EndpointSettings, endpoints: Mapping[str, Endpoint], secrets: SecretStore) -> None:
        self._settings, self._endpoints, self._secrets = settings, endpoints, secrets
        self._wrong = RequestRateLimit(REFUSED_PER_MINUTE)
        self._token = b""
        """Empty without one."""
        self._token_until = 0.0
        self.trouble = ""
        self.wake = threading.Event()
        self.pulse = Pulse()

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Answers until `stopping`; while the address is in use or the token is missing, tries again."""
        while not stopping():
            self.pulse.beat(RETRY_SECONDS)
            self.wake.clear()
            try:
                server = self._open(fence)
            except (OSError, ConnectorError) as error:
                self._set_trouble(f"{self._settings.listen}: {self._secrets.mask(str(error))}")
                self.wake.wait(RETRY_SECONDS)
                continue
            self._set_trouble("")
            try:
                server.serve(stopping, self._beat, CHECK_SECONDS)
            finally:
                server.close()

    def _set_trouble(self, text: str) -> None:
        if text != self.trouble:
            log.warning("endpoints do not listen", error=text) if text else log.info("endpoints listen again")
        self.trouble = text

    def _open(self, fence: int) -> HttpServer[Endpoint]:
        """Raises OSError, ConnectorError."""
        self._read_token()
        limits = BodyLimits(MAX_BODY_BYTES, MAX_BODY_BYTES)
        address = listen_address(self._settings.listen)
        return HttpServer(address, self._admit, lambda exchanges: self._respond(exchanges, fence), limits)

    def _beat(self) -> None:
        self.pulse.beat()
        if time.monotonic() < self._token_until:
            return
        try:
            self._read_token()
            self._set_trouble("")
        except ConnectorError as error:
            self._token_until = time.monotonic() + TOKEN_SECONDS
            self._set_trouble(f"the token read before stays valid: {self._secrets.mask(str(error))}")

    def _read_token(self) -> None:
        """Raises ConnectorError."""
        self._token_until = time.monotonic() + TOKEN_SECONDS
        if self._settings.token is None:
            return
        token = self._secrets(self._settings.token)
        if len(token) < MIN_TOKEN:
            raise ConnectorError(f"the token is shorter than {MIN_TOKEN} characters. Fix: openssl rand -hex 16")
        self._token = token.encode()

    def _admit(self, method: str, target: str, authorization: str) -> Endpoint:
        """The endpoint of a request with a valid token. Raises HttpRefused."""
        given = _BEARER.fullmatch(authorization)
        if self._token and not (given and hmac.compare_digest(given[1].encode(), self._token)):
            if not self._wrong.allows():
                raise HttpRefused(429, "too many requests with a wrong token")
            raise HttpRefused(401, "no such token")
        endpoint = self._endpoints.get(target.partition("?")[0])
        if endpoint is None:
            raise HttpRefused(404, f"no such path; there are {', '.join(sorted(self._endpoints))}")
        if method not in endpoint.methods:
            raise HttpRefused(405, ", ".join(sorted(endpoint.methods)))
        return endpoint

    def _respond(self, exchanges: Sequence[HttpExchange[Endpoint]], fence: int) -> list[ServerReply]:
        """Raises LeaseLost."""
        replies: dict[int, ServerReply] = {}
        by_endpoint: dict[int, list[int]] = defaultdict(list)
        for index, exchange in enumerate(exchanges):
            if exchange.is_too_long:
                replies[index] = ServerReply.of_text(413, f"more than {MAX_BODY_BYTES} bytes")
            else:
                by_endpoint[id(exchange.request)].append(index)
        for indexes in by_endpoint.values():
            endpoint = exchanges[indexes[0]].request
            if endpoint is not None:
                bodies = [exchanges[index].body for index in indexes]
                replies.update(zip(indexes, self._answer(endpoint, bodies, fence), strict=True))
        return [replies[index] for index in range(len(exchanges))]

    def _answer(self, endpoint: Endpoint, bodies: Sequence[bytes], fence: int) -> Sequence[ServerReply]:
        try:
            return endpoint.answer(bodies, fence)
        except LeaseLost:
            raise
        except StoreError as error:
            log.warning("a request waits for the store", error=str(error))
            return [ServerReply.of_text(503, "the store cannot be used now: ask again")] * len(bodies)
        except Exception:
            log.exception("a request failed")
            return [ServerReply.of_text(500, "failed; the engine's log has the details")] * len(bodies)
