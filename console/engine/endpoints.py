"""HTTP endpoints of the engine, while it holds the lease: one thread answers, so that no request delays a poll.

A request is refused by its head: an unknown path, another method, a wrong token, a web page of another host. Those that
arrive together are answered together.
"""

from __future__ import annotations

import hmac
import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel, ValidationError

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.http_server import (
    BodyLimits,
    HttpExchange,
    HttpRefused,
    HttpServer,
    RequestHead,
    RequestRateLimit,
    ServerReply,
)
from connectors.sdk.transport.loopback import is_loopback, listen_address
from console.config.sections import EndpointSettings
from console.engine.notify.acknowledge_link import MIN_KEY
from console.engine.worker import Pulse
from console.store.errors import LeaseLost, StoreError
from console.text.lists import listed
from console.text.redact import sanitize
from console.timing.clock import Clock

log = structlog.get_logger("headway.endpoints")

MAX_BODY_BYTES = 1024 * 1024
CHECK_SECONDS = 0.5
RETRY_SECONDS = 5.0
"""Retry interval if another program uses the address."""
REFUSED_PER_MINUTE = 60
"""Requests with a wrong token, of all clients together, until further ones are refused for a while."""
MIN_TOKEN = 16
LINK_KEY = "endpoints.link_key"
NEW_VALUE = "Fix: openssl rand -hex 16"
TOKEN_SECONDS = 60.0
"""Interval of reading the token again."""
MAX_NAMED = 20
"""Items named in one reply, or kept for status."""
MAX_SHOWN = 3
"""Items named in status."""
LEFT_OUT_SHOWN = timedelta(days=1)
MAX_AHEAD = timedelta(minutes=5)
"""How far the clock of a sender may be ahead of ours."""
API = "/api/v1"
READ_METHODS = ("GET", "HEAD")
JSON = "application/json"
_BEARER = re.compile(r"bearer +([^\s]{1,512}) *", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z0-9._:+-]{1,200}")

Item = TypeVar("Item", bound=BaseModel)
Answer = Callable[[Sequence[bytes], int], Sequence[ServerReply]]
"""(bodies, fence) -> the reply to each."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The answer of one path, and the methods that it accepts."""

    methods: frozenset[str]
    answer: Answer
    problem: Callable[[], str] = str
    """The text for status; empty if it left nothing out lately."""


class ApiFault(Exception):
    """A request to the HTTP API that cannot be answered, and how to make it right."""

    def __init__(self, error: str, fix: str, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.fix = error, fix
        self.reply = error_reply(status, error, fix)


class ApiRequest(NamedTuple):
    """A request. `login`: of the token; empty outside of the HTTP API."""

    target: str
    login: str
    if_none_match: str
    idempotency_key: str
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class ReadEndpoint:
    """The answer of one path of the HTTP API, by its query. It needs a token, and its errors are JSON."""

    read: Callable[[ApiRequest], ServerReply]
    close: Callable[[], None]
    """Called once no further request comes."""


@dataclass(frozen=True, slots=True)
class WriteEndpoint:
    """The answer of one path of the HTTP API to POST with JSON, by the token of an operator. Its errors are JSON."""

    write: Callable[[ApiRequest, bytes], Future[ServerReply]]
    """The reply, once there is one; the future never has an exception."""
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class PageEndpoint:
    """The answer of one path to browsers, without a token: the signed link in the query is the login."""

    methods: frozenset[str]
    write: Callable[[ApiRequest, bytes], Future[ServerReply]]
    """As of WriteEndpoint."""
    close: Callable[[], None]


AnyEndpoint = Endpoint | ReadEndpoint | WriteEndpoint | PageEndpoint


class RequestThreads:
    """Threads for the requests of one path, so that one that waits for the engine delays no other path."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool: ThreadPoolExecutor | None = None
        self._in_progress: list[Future[ServerReply]] = []
        self.closing = threading.Event()
        """Set to end the waits of its requests."""

    def submit(self, call: Callable[[], ServerReply], limit: int, busy: ServerReply) -> Future[ServerReply]:
        """The reply of the call; `busy` while `limit` requests are in progress."""
        self._in_progress = [reply for reply in self._in_progress if not reply.done()]
        if len(self._in_progress) >= limit:
            return answered(busy)
        if self._pool is None:
            self.closing.clear()
            self._pool = ThreadPoolExecutor(limit, thread_name_prefix=self._name)
        reply = self._pool.submit(call)
        self._in_progress.append(reply)
        return reply

    def close(self) -> None:
        """Ends the waits for the engine; the next request opens it again."""
        self.closing.set()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()


def answered(reply: ServerReply) -> Future[ServerReply]:
    future = Future[ServerReply]()
    future.set_result(reply)
    return future


class _Admitted(NamedTuple):
    endpoint: AnyEndpoint
    request: ApiRequest


def error_reply(status: int, error: str, fix: str, *headers: tuple[str, str]) -> ServerReply:
    """The JSON of a failed request to the HTTP API."""
    return ServerReply(status, json.dumps({"error": error, "fix": fix}).encode() + b"\n", JSON, headers)


class ItemFault(Exception):
    """Why one item of a body is left out, with its place and the fix; never a value, which may be secret."""


def json_body(body: bytes, fix: str) -> Any:
    """The document of a body. Bytes that are not UTF-8, control characters and endless numbers spoil only the item
    that has them. Raises ItemFault."""
    try:
        return json.loads(body.decode("utf-8-sig", "replace"), strict=False, parse_int=_number)
    except RecursionError:
        raise ItemFault(f"body: Invalid JSON: nested too deeply. Fix: {fix}") from None
    except ValueError as error:
        raise ItemFault(f"body: Invalid JSON: {error}. Fix: {fix}") from None


def _number(digits: str) -> float:
    return int(digits) if len(digits) < 20 else float(digits)


def validated(kind: type[Item], value: Any, fix: str, position: str = "") -> Item:
    """Raises ItemFault: "alerts.0.startsAt: Field required. Fix: …", `position` before it."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise ItemFault(_faults(error, fix, position)[0][1]) from None


def partly_validated(kind: type[Item], value: Any, fix: str, position: str = "") -> tuple[Item, list[str]]:
    """The item without the fields that cannot be read and are not required, and the fault of each. Raises ItemFault."""
    try:
        return kind.model_validate(value), []
    except ValidationError as error:
        faults = _faults(error, fix, position)
    optional = {field.alias or name for name, field in kind.model_fields.items() if not field.is_required()}
    for path, fault in faults:
        if not path or path[0] not in optional:
            raise ItemFault(fault)
        value = _without(value, path)
    return validated(kind, value, fix, position), [fault for _, fault in faults]


def _without(value: Mapping[Any, Any], path: Sequence[int | str]) -> Mapping[Any, Any]:
    """Without the innermost field of the path, or the field on the way to it that is not an object."""
    first, *rest = path
    rest_of_value = {name: item for name, item in value.items() if name != first}
    inner = value.get(first)
    return rest_of_value | {first: _without(inner, rest)} if rest and isinstance(inner, Mapping) else rest_of_value


def _faults(error: ValidationError, fix: str, position: str) -> list[tuple[tuple[int | str, ...], str]]:
    """The path and the fault of each field that cannot be read."""
    faults = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        place = (position + ".".join(map(str, problem["loc"]))).rstrip(".") or "body"
        reason = "Input should be an object" if problem["type"] == "model_type" else problem["msg"]
        faults.append((problem["loc"], f"{place}: {reason}. Fix: {fix}"))
    return faults


def check_time(place: str, at: datetime, now: datetime) -> None:
    """Raises ItemFault for a time that is too far ahead."""
    if at > now + MAX_AHEAD:
        minutes = MAX_AHEAD // timedelta(minutes=1)
        fault = f"{place}: {at.isoformat()} is more than {minutes} min ahead of Headway's clock"
        raise ItemFault(f"{fault}. Fix: set the clock of the sender")


class ItemBatch(Generic[Item]):
    """The items of one body, each judged by itself."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.faults: list[str] = []

    @classmethod
    def of(cls, rows: Callable[[], Iterable[tuple[str, Any]]], parse: Callable[[Any, str], Item]) -> ItemBatch[Item]:
        """`rows`: the position and value of each item; `parse` may raise ItemFault, and so may `rows` for all."""
        batch = cls()
        try:
            for position, row in rows():
                try:
                    batch.items.append(parse(row, position))
                except ItemFault as fault:
                    batch.faults.append(str(fault))
        except ItemFault as fault:
            batch.faults.append(str(fault))
        return batch

    def reply(self, subject: str, known: int) -> ServerReply:
        """Names the items that are left out; a refusal if none is used. `subject`: "a target", which `known` items are
        about."""
        further = len(self.faults) - MAX_NAMED
        named = [*self.faults[:MAX_NAMED], *([f"{further} more"] if further > 0 else [])]
        if self.faults and not self.items:
            return ServerReply.of_text(400, "\n".join(named))
        used = f"{len(self.items)} received, {known} about {subject}"
        return ServerReply.of_text(200, "; ".join([used, *(f"left out: {fault}" for fault in named)]))


class LeftOut:
    """Notes for status what a path left out within a day: a sender does not repeat an answered request."""

    def __init__(self, path: str, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._faults = dict[str, datetime]()
        """The last time of each, the latest last; at most MAX_NAMED."""

    def note(self, batches: Iterable[ItemBatch[Any]]) -> None:
        now = self._clock.now()
        for fault in (fault for batch in batches for fault in batch.faults[:MAX_NAMED]):
            log.warning("an item of a request was left out", path=self._path, error=fault)
            earlier = {known: at for known, at in self._faults.items() if known != fault}
            self._faults = dict([*earlier.items(), (fault, now)][-MAX_NAMED:])

    def problem(self) -> str:
        since = self._clock.now() - LEFT_OUT_SHOWN
        named = [f"at {at:%Y-%m-%d %H:%M:%S}Z: {fault}" for fault, at in self._faults.items() if at >= since]
        return f"{self._path} left out {listed(named[::-1], MAX_SHOWN, '; ')}" if named else ""


def endpoint_secrets(settings: EndpointSettings, secrets: SecretStore) -> tuple[dict[str, str], dict[str, str]]:
    """The tokens, and the key of links, by their key in the config ("endpoints.operators.mara"); and for each that
    cannot be used the fault with its fix."""
    references = {"endpoints.token": settings.token, LINK_KEY: settings.link_key}
    references |= {f"endpoints.readers.{login}": reference for login, reference in settings.readers.items()}
    references |= {f"endpoints.operators.{login}": reference for login, reference in settings.operators.items()}
    key_of_value, faults = dict[str, str](), dict[str, str]()
    for key, reference in references.items():
        if reference is None:
            continue
        least = MIN_KEY if key == LINK_KEY else MIN_TOKEN
        try:
            value = secrets(reference)
        except ConnectorError as error:
            faults[key] = sanitize(str(error), secrets.mask)
            continue
        if len(value) < least:
            faults[key] = f"shorter than {least} characters. {NEW_VALUE}"
        elif value in key_of_value:
            faults[key] = f"equal to {key_of_value[value]}: it would have the rights of both. {NEW_VALUE}"
        else:
            key_of_value[value] = key
    return {key: value for value, key in key_of_value.items()}, faults


class EndpointWorker:
    """Listens at the configured address and passes requests to the endpoint of their path."""

    def __init__(
        self,
        settings: EndpointSettings,
        endpoints: Mapping[str, Endpoint],
        secrets: SecretStore,
        reads: Mapping[str, ReadEndpoint] = MappingProxyType({}),
        writes: Mapping[str, WriteEndpoint] = MappingProxyType({}),
        pages: Mapping[str, PageEndpoint] = MappingProxyType({}),
    ) -> None:
        """`reads` and `writes`: of the HTTP API, by path; another endpoint may have the same path for other methods."""
        self._pages = pages
        self._settings, self._endpoints, self._secrets = settings, endpoints, secrets
        self._reads, self._writes = reads, writes
        self._wrong = RequestRateLimit(REFUSED_PER_MINUTE)
        self._tokens = dict[str, bytes]()
        """By login; that of "" is the token of monitors."""
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
                self._set_trouble(f"{self._settings.listen}: {sanitize(str(error), self._secrets.mask)}")
                self.wake.wait(RETRY_SECONDS)
                continue
            self._set_trouble("")
            try:
                server.serve(stopping, self._beat, CHECK_SECONDS)
            finally:
                server.close()
                own: list[ReadEndpoint | WriteEndpoint | PageEndpoint] = [*self._reads.values(), *self._writes.values()]
                for endpoint in [*own, *self._pages.values()]:
                    endpoint.close()

    def problems(self) -> list[str]:
        """Why it does not listen, and what its paths left out."""
        return [self.trouble, *(endpoint.problem() for endpoint in self._endpoints.values())]

    def _set_trouble(self, text: str) -> None:
        if text != self.trouble:
            log.warning("endpoints do not listen", error=text) if text else log.info("endpoints listen again")
        self.trouble = text

    def _open(self, fence: int) -> HttpServer[_Admitted]:
        """Raises OSError, ConnectorError."""
        self._read_tokens()
        limits = BodyLimits(MAX_BODY_BYTES, MAX_BODY_BYTES)
        address = listen_address(self._settings.listen)
        return HttpServer(address, self._admit, lambda exchanges: self._respond(exchanges, fence), limits)

    def _beat(self) -> None:
        self.pulse.beat()
        if time.monotonic() < self._token_until:
            return
        try:
            self._read_tokens()
            self._set_trouble("")
        except ConnectorError as error:
            self._token_until = time.monotonic() + TOKEN_SECONDS
            self._set_trouble(f"the token read before stays valid: {sanitize(str(error), self._secrets.mask)}")

    def _read_tokens(self) -> None:
        """Raises ConnectorError."""
        self._token_until = time.monotonic() + TOKEN_SECONDS
        values, faults = endpoint_secrets(self._settings, self._secrets)
        if faults:
            raise ConnectorError("; ".join(f"{key}: {fault}" for key, fault in faults.items()))
        logins = {"endpoints.token": ""}
        logins |= {f"endpoints.readers.{login}": login for login in self._settings.readers}
        logins |= {f"endpoints.operators.{login}": login for login in self._settings.operators}
        self._tokens = {logins[key]: value.encode() for key, value in values.items() if key != LINK_KEY}

    def _admit(self, head: RequestHead) -> _Admitted:
        """The endpoint of a request with a valid token. Raises HttpRefused."""
        path = head.target.partition("?")[0]
        by_method = dict[str, AnyEndpoint]()
        if page := self._pages.get(path):
            by_method.update(dict.fromkeys(page.methods, page))
        if read := self._reads.get(path):
            by_method.update(dict.fromkeys(READ_METHODS, read))
        if write := self._writes.get(path):
            by_method["POST"] = write
        if writer := self._endpoints.get(path):
            by_method.update(dict.fromkeys(writer.methods, writer))
        endpoint = by_method.get(head.method)
        is_api = path.startswith(f"{API}/") and not isinstance(endpoint, Endpoint)
        login = self._login_of(head.authorization)

        def refuse(status: int, error: str, fix: str, *headers: tuple[str, str]) -> HttpRefused:
            return HttpRefused(_refusal(is_api, status, error, fix, *headers))

        if head.origin and not page and head.origin.partition("://")[2].lower() != head.host.lower():
            error = f"the request comes from a web page of {head.origin[:80]}"
            raise refuse(403, error, "send it from a program, without the header Origin")
        needs_token = path.startswith(f"{API}/") or "" in self._tokens
        if login is None and not needs_token and not page and not self._is_own_host(head.host):
            error = f'"{head.host[:80]}" is not a name of this machine'
            raise refuse(403, error, "use 127.0.0.1 or localhost, or set [endpoints] token in the config")
        if login is None and needs_token and not page:
            if not self._wrong.allows():
                raise refuse(429, "too many requests with a wrong token", "try again in a minute")
            fix = "send Authorization: Bearer TOKEN"
            if isinstance(endpoint, Endpoint) and "" not in self._tokens:
                fix += "; first set [endpoints] token in the config"
            elif not self._tokens:
                fix += "; first set [endpoints] readers or operators in the config"
            is_given = len(head.authorization.split()) > 1
            error = "the token is unknown" if is_given else "the request has no token"
            raise refuse(401, error, fix, ("WWW-Authenticate", "Bearer"))
        if login and isinstance(endpoint, Endpoint):
            raise refuse(403, f"the token of {login} is not for this path", "send the token of [endpoints]")
        if login == "" and is_api:
            error = f"the token of [endpoints] is only for {', '.join(sorted(self._endpoints))}"
            fix = 'send the token of a reader; in the config: NAME = { env = "HEADWAY_READER_TOKEN" }'
            raise refuse(403, error, f"{fix} in [endpoints.readers]")
        if not by_method:
            paths = sorted({*self._endpoints, *self._reads, *self._writes})
            raise refuse(404, "no such path", f"use {', '.join(paths)}")
        if endpoint is None:
            allowed = ", ".join(sorted(by_method))
            raise refuse(405, f"{head.method} is not possible here", f"use {allowed}", ("Allow", allowed))
        if isinstance(endpoint, WriteEndpoint):
            self._require_operator(login or "")
            _require_json(head)
        known = (head.if_none_match, head.idempotency_key, head.method)
        return _Admitted(endpoint, ApiRequest(head.target, login or "", *known))

    def _require_operator(self, login: str) -> None:
        """Raises HttpRefused for a token that names no person who may act."""
        if login in self._settings.operators:
            return
        fix = f'in the config, add {login} = {{ env = "HEADWAY_OPERATOR_TOKEN" }} to [endpoints.operators] and'
        fix += f' {{ who = ["{login}"], role = "act" }} to [[permissions]]; send that token'
        raise HttpRefused(error_reply(403, f"the token of {login} may only read", fix))

    def _is_own_host(self, host: str) -> bool:
        """False for the name of a web page that resolves to this machine (DNS rebinding)."""
        with suppress(ValueError):
            name = urlsplit(f"//{host}").hostname or ""
            return is_loopback(name) or name == urlsplit(self._settings.public_url).hostname
        return False

    def _login_of(self, authorization: str) -> str | None:
        """None for no token, or one that does not exist."""
        given = _BEARER.fullmatch(authorization)
        token = given[1].encode() if given else b""
        logins = [login for login, known in self._tokens.items() if hmac.compare_digest(token, known)]
        return logins[0] if logins else None

    def _respond(
        self, exchanges: Sequence[HttpExchange[_Admitted]], fence: int
    ) -> list[ServerReply | Future[ServerReply]]:
        """Raises LeaseLost."""
        replies: dict[int, ServerReply | Future[ServerReply]] = {}
        by_endpoint: dict[int, list[int]] = defaultdict(list)
        for index, exchange in enumerate(exchanges):
            if exchange.is_too_long:
                is_api = exchange.request is not None and not isinstance(exchange.request.endpoint, Endpoint)
                error = f"the body has more than {MAX_BODY_BYTES} bytes, unpacked"
                replies[index] = _refusal(is_api, 413, error, "send less in one request")
            elif exchange.request is not None:
                by_endpoint[id(exchange.request.endpoint)].append(index)
        for indexes in by_endpoint.values():
            admitted = [(request, exchanges[index].body) for index in indexes if (request := exchanges[index].request)]
            replies.update(zip(indexes, self._answer(admitted, fence), strict=True))
        return [replies[index] for index in range(len(exchanges))]

    def _answer(
        self, admitted: Sequence[tuple[_Admitted, bytes]], fence: int
    ) -> Sequence[ServerReply | Future[ServerReply]]:
        """The replies of one endpoint; where it fails for several requests, of each alone. Raises LeaseLost."""
        endpoint = admitted[0][0].endpoint
        is_api = not isinstance(endpoint, Endpoint)
        if is_api and len(admitted) > 1:
            return [reply for request in admitted for reply in self._answer([request], fence)]
        try:
            if isinstance(endpoint, WriteEndpoint | PageEndpoint):
                return [endpoint.write(request, body) for (_, request), body in admitted]
            if isinstance(endpoint, ReadEndpoint):
                return [endpoint.read(request) for (_, request), _ in admitted]
            return [
                reply for bodies in _batches([body for _, body in admitted]) for reply in endpoint.answer(bodies, fence)
            ]
        except LeaseLost:
            raise
        except StoreError as error:
            log.warning("a request waits for the store", error=str(error))
            return [_refusal(is_api, 503, "the store cannot be used now", "ask again")] * len(admitted)
        except Exception:
            if len(admitted) > 1:
                return [reply for request in admitted for reply in self._answer([request], fence)]
            log.exception("a request failed")
            return [_refusal(is_api, 500, "failed", "the engine's log has the details")] * len(admitted)


def _batches(bodies: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """In order, each batch of at most MAX_BODY_BYTES: parsed bodies take many times their size in memory."""
    start = size = 0
    for index, body in enumerate(bodies):
        size += len(body)
        if size > MAX_BODY_BYTES:
            yield bodies[start:index]
            start, size = index, len(body)
    yield bodies[start:]


def _require_json(head: RequestHead) -> None:
    """Raises HttpRefused."""
    kind = head.content_type.partition(";")[0].strip().lower()
    if kind != JSON:
        raise HttpRefused(error_reply(415, f'Content-Type: "{kind[:40]}" is not JSON', f"send Content-Type: {JSON}"))
    if head.idempotency_key and not _KEY.fullmatch(head.idempotency_key):
        error = f'Idempotency-Key: "{head.idempotency_key[:40]}" is invalid'
        raise HttpRefused(error_reply(400, error, "write 1 to 200 of A-Z a-z 0-9 . _ : + -"))


def _refusal(is_api: bool, status: int, error: str, fix: str, *headers: tuple[str, str]) -> ServerReply:
    """As JSON for the HTTP API, else as a line of text."""
    if is_api:
        return error_reply(status, error, fix, *headers)
    return ServerReply(status, f"{error}. Fix: {fix}\n".encode(), headers=headers)
