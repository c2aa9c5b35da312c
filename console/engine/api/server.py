"""The request server: answers what the console and the CLI ask, each request on a thread, with a deadline."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from console.config.sections import Config
from console.control.access.authorization import AccessRefusal
from console.domain.estate import Estate
from console.domain.ids import MAX_INTEGER, micros
from console.engine.access import authorize_request
from console.engine.api.requests import ClientRequest
from console.engine.connector_pool import REQUESTS_PER_TARGET, ConnectorPool
from console.engine.keyed_executor import CallsInFlight
from console.engine.polling.sanitize import sanitizer
from console.engine.worker import Pulse
from console.store import access, request_queue
from console.store.audit import ChangeOrigin
from console.store.db.change_detector import open_change_detector
from console.store.db.database import Database
from console.store.errors import KeyReused, NotFound, StoreError
from console.store.jobs import DriftChanged
from console.text.cleaning import clean_line
from console.text.redact import sanitize
from console.timing.clock import Clock, wait_seconds

log = structlog.get_logger("headway.answers")

ANSWER_SECONDS = 20.0
SPARE_THREADS = 8
"""Threads in addition to those that all targets may occupy, for requests that need no target."""
ANSWER_TTL_SECONDS = 600.0
"""How long an answer stays in the store; following a log adds one per page."""
SWEEP_SECONDS = 60.0
WHY_LIMIT = 300


MALFORMED = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""Raised for arguments that no client of Headway sends."""


class UnreadableRequest(ValueError):
    """A field of a stored request is missing or invalid."""


class RequestFailed(Exception):
    """Why a request has no answer; shown to the person."""


class UnknownName(RequestFailed):
    """The request names something unknown."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The person of a request, where it comes from, and the fence of the engine that answers it."""

    by: str
    origin: str
    fence: int


@dataclass(frozen=True, slots=True)
class AnsweringEngine:
    """The parts of the engine that answer requests."""

    store: Database
    clock: Clock
    connectors: ConnectorPool
    secrets: SecretStore
    config: Config
    estate: Callable[[], Estate]
    accept_drift: Callable[[int, int, str, str], None]
    """Job id, newest change that the person saw, person, origin."""
    run_check: Callable[[str, str, int], dict[str, Any]]
    """Name, business date, fence."""
    wake_evaluator: Callable[[], None]
    wake_outbox: Callable[[], None]
    wake_dispatcher: Callable[[], None]

    def change(self, caller: Caller, why: str = "") -> ChangeOrigin:
        """The person, origin and reason of a change, cleaned, and the present time."""
        reason = sanitize(why, self.secrets.mask, WHY_LIMIT, on_one_line=True)
        return ChangeOrigin(clean_line(caller.by), clean_line(caller.origin), reason, micros(self.clock.now()))

    def finish(self, refusal: str) -> None:
        """Wakes the evaluator, as decisions may change. Raises RequestFailed for a refusal."""
        if refusal:
            raise RequestFailed(refusal)
        self.wake_evaluator()


_ADAPTERS = dict[type[ClientRequest], TypeAdapter[ClientRequest]]()


def _adapter(known: type[ClientRequest]) -> TypeAdapter[ClientRequest]:
    """Its adapter; making one takes milliseconds."""
    return _ADAPTERS.get(known) or _ADAPTERS.setdefault(known, TypeAdapter(known))


def read_request(classes: Iterable[type[ClientRequest]], arguments: Mapping[str, Any]) -> ClientRequest:
    """The request of the stored JSON: of the first of these classes of one kind for which no field is missing. Null is
    as absent. Raises UnreadableRequest."""
    fault, given = "", {name: value for name, value in arguments.items() if value is not None}
    faults: list[tuple[str, tuple[int | str, ...]]]
    for known in classes:
        try:
            request = _adapter(known).validate_python(given)
            if not (faults := [("number", (name,)) for name in _fields_outside(request)]):
                return request
        except ValidationError as failure:
            faults = [(error["type"], error["loc"]) for error in failure.errors()]
        missing = [name for kind, (name, *within) in faults if kind == "missing" and not within]
        if not missing:
            fault = f"{faults[0][1][0]} is invalid"
            break
        fault = f"{missing[0]} is missing"
    raise UnreadableRequest(f"the request cannot be read: its field {fault}")


def _fields_outside(request: ClientRequest) -> Iterator[str]:
    """The fields with a number that no column of ids or times holds."""
    for name, value in vars(request).items():
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, int) and not 0 <= number <= MAX_INTEGER for number in numbers):
            yield name


Handler = Callable[[AnsweringEngine, Any, Caller], dict[str, Any]]
"""Answers a request. Raises RequestFailed."""
Handlers = Mapping[type[ClientRequest], Handler]


class RequestServer:
    """Claims requests from the store and writes their answers."""

    def __init__(self, engine: AnsweringEngine, handlers: Handlers) -> None:
        self._engine, self._store, self._clock, self._handlers = engine, engine.store, engine.clock, handlers
        self._shown = sanitizer(engine.secrets)
        self._pool = ThreadPoolExecutor(
            REQUESTS_PER_TARGET * len(engine.connectors.places) + SPARE_THREADS, thread_name_prefix="answer"
        )
        self._in_flight = CallsInFlight()
        self._sweep_at = 0.0
        self.wake = threading.Event()
        self.pulse = Pulse()

    def recover(self, fence: int) -> None:
        request_queue.refuse_unanswered(self._store, fence, micros(self._clock.now()))

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        self.pulse.beat()
        with open_change_detector(self._store) as changes:
            while not stopping():
                self.wake.clear()
                self.pulse.beat()
                if changes.is_new():
                    self.step(fence)
                self.wake.wait(0.1)

    def hanging(self, seconds: float) -> dict[str, float]:
        """Requests that take longer than `seconds`, with their duration."""
        return self._in_flight.hanging(seconds)

    def step(self, fence: int) -> None:
        for request_id, kind, arguments, by in request_queue.claim_requests(self._store, fence):
            caller = Caller(by, str(arguments.get("from", "")), fence)
            self._pool.submit(self._answer, request_id, kind, arguments, caller)
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP_SECONDS
            request_queue.delete_answered(self._store, fence, micros(self._clock.after(-ANSWER_TTL_SECONDS)))

    def close(self, until: float = math.inf) -> None:
        """Waits for requests in progress until `time.monotonic` reaches `until`."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while self._in_flight and time.monotonic() < until:
            wait_seconds(0.01)

    def _answer(self, request_id: int, kind: str, arguments: dict[str, Any], caller: Caller) -> None:
        answer: dict[str, Any] = {}
        error = ""
        with self._in_flight.at(f'answering a request ("{kind}")'):
            try:
                answer = self._handle(kind, arguments, caller)
            except (RequestFailed, ConnectorError, NotFound, DriftChanged, KeyReused) as problem:
                error = self._shown(str(problem))
                flags = {"not_found": UnknownName | NotFound, "key_reused": KeyReused}
                answer = {flag: True for flag, errors in flags.items() if isinstance(problem, errors)}
            except Exception as problem:
                if isinstance(problem, MALFORMED):  # no traceback: any login could fill the log
                    place = traceback.extract_tb(problem.__traceback__)[-1]
                    at = f"{place.name} in {place.filename}:{place.lineno}"
                    log.warning("request failed", kind=kind, by=caller.by, error=self._shown(repr(problem)), at=at)
                else:
                    log.exception("request failed", kind=kind)
                failed = f"the engine failed to answer ({type(problem).__name__}); its log has the details"
                error = str(problem) if isinstance(problem, UnreadableRequest) else failed
            try:
                request_queue.answer_request(
                    self._store, caller.fence, request_id, answer, error, micros(self._clock.now())
                )
            except StoreError as problem:
                log.warning("an answer could not be written", request=request_id, error=str(problem))

    def _handle(self, kind: str, arguments: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        """The answer, if the present rights permit it: they may have changed since the client checked."""
        if not (classes := [known for known in self._handlers if known.kind == kind]):
            raise UnknownName(f'the engine knows no request "{kind}"')
        request = read_request(classes, arguments)
        with self._store.read() as session:
            person = access.person_by_name(session, caller.by, not self._store.is_sqlite)
            allowed = authorize_request(session, person, request)
        if isinstance(allowed, AccessRefusal):
            raise RequestFailed(allowed.reason)
        return self._handlers[type(request)](self._engine, request, caller)
