"""The request server: answers what the console and the CLI ask, each request on a thread, with a deadline."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from connectors.sdk.contract import ActionSpec
from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import STARTING, RunState, Verb
from console.control.access.authorization import AccessRefusal
from console.domain.conf import texts_in
from console.domain.hold import hold_end
from console.domain.ids import micros
from console.domain.request import RequestKind
from console.engine.access import authorize_request
from console.engine.actions.previews import fetch_preview, preview_to_json, unsupported_reason
from console.engine.connector_pool import REQUESTS_PER_TARGET, ConnectorPool
from console.engine.keyed_executor import CallsInFlight
from console.engine.polling.sanitize import sanitize_log, sanitizer
from console.engine.worker import Pulse
from console.store import access, actions, approvals, conflicts, request_queue
from console.store.audit import ChangeOrigin
from console.store.db.change_detector import open_change_detector
from console.store.db.database import Database
from console.store.errors import KeyReused, NotFound, StoreError
from console.store.jobs import DriftChanged
from console.text.cleaning import clean_line
from console.timing.clock import Clock, wait_seconds

log = structlog.get_logger("headway.answers")

ANSWER_SECONDS = 20.0
LOG_BYTES = 64 * 1024
SPARE_THREADS = 8
"""Threads in addition to those that all targets may occupy, for requests that need no target."""
ANSWER_TTL_SECONDS = 600.0
"""How long an answer stays in the store; following a log adds one per page."""
SWEEP_SECONDS = 60.0
WHY_LIMIT = 300


MALFORMED = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""Raised by the handlers for arguments that no console of Headway sends."""

RequestHandler = Callable[[dict[str, Any]], dict[str, Any]]
"""Arguments, with `by` (person) and `fence` -> answer. Raises RequestFailed."""


class RequestFailed(Exception):
    """Why a request has no answer; shown to the person."""


class UnknownName(RequestFailed):
    """The request names something unknown."""


def change_origin(arguments: Mapping[str, Any], clock: Clock) -> ChangeOrigin:
    """The requester, origin and reason of a request, cleaned, and the present time."""
    by, origin = clean_line(str(arguments["by"])), clean_line(str(arguments.get("from", "")))
    return ChangeOrigin(by, origin, clean_line(str(arguments.get("why", "")), WHY_LIMIT), micros(clock.now()))


@dataclass(frozen=True, slots=True)
class ChangeHandlers:
    """Base of handlers that write to the store. `wake`: wakes the evaluator, as decisions may change."""

    store: Database
    clock: Clock
    wake: Callable[[], None]

    def finish(self, refusal: str) -> None:
        """Wakes the evaluator. Raises RequestFailed for a refusal."""
        if refusal:
            raise RequestFailed(refusal)
        self.wake()


class RequestServer:
    """Claims requests from the store and writes their answers."""

    def __init__(
        self,
        store: Database,
        clock: Clock,
        connectors: ConnectorPool,
        secrets: SecretStore,
        extras: Callable[[int], dict[str, Any]],
        accept_drift: Callable[[int, int | None, str, str], None],
        approved: Callable[[], None],
        hold_warnings: Callable[[int, datetime], Sequence[str]],
        handlers: Mapping[RequestKind, RequestHandler],
    ) -> None:
        """`extras`: run id -> `previews.rerun_context`. `accept_drift`: job id, newest change shown, person, origin.
        `hold_warnings`: job id, end of its hold -> warnings about that end."""
        self._store, self._clock, self._connectors, self._secrets = store, clock, connectors, secrets
        self._shown = sanitizer(secrets)
        self._extras, self._accept_drift = extras, accept_drift
        self._approved, self._hold_warnings = approved, hold_warnings
        self._pool = ThreadPoolExecutor(
            REQUESTS_PER_TARGET * len(connectors.places) + SPARE_THREADS, thread_name_prefix="answer"
        )
        self._in_flight = CallsInFlight()
        self._sweep_at = 0.0
        self.wake = threading.Event()
        self.pulse = Pulse()
        self._by_kind: dict[RequestKind, RequestHandler] = {
            RequestKind.PREVIEW: self._preview,
            RequestKind.LOG: self._log,
            RequestKind.ACCEPT_DRIFT: self._accept,
            RequestKind.APPROVE: self._approve,
            RequestKind.WITHDRAW: self._withdraw,
            **handlers,
        }

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
            self._pool.submit(self._answer, fence, request_id, kind, {**arguments, "by": by, "fence": fence})
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP_SECONDS
            request_queue.delete_answered(self._store, fence, micros(self._clock.after(-ANSWER_TTL_SECONDS)))

    def close(self, until: float = math.inf) -> None:
        """Waits for requests in progress until `time.monotonic` reaches `until`."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while self._in_flight and time.monotonic() < until:
            wait_seconds(0.01)

    def _answer(self, fence: int, request_id: int, kind: str, arguments: dict[str, Any]) -> None:
        answer: dict[str, Any] = {}
        error = ""
        with self._in_flight.at(f'answering a request ("{kind}")'):
            try:
                request = next((known for known in self._by_kind if known == kind), None)
                if request is None:
                    raise UnknownName(f'the engine knows no request "{kind}"')
                self._check_right(request, arguments)
                answer = self._by_kind[request](arguments)
            except (RequestFailed, ConnectorError, NotFound, DriftChanged, KeyReused) as problem:
                error = self._shown(str(problem))
                flags = {"not_found": UnknownName | NotFound, "key_reused": KeyReused}
                answer = {flag: True for flag, errors in flags.items() if isinstance(problem, errors)}
            except Exception as problem:
                if isinstance(problem, MALFORMED):  # no traceback: any login could fill the log
                    place = traceback.extract_tb(problem.__traceback__)[-1]
                    at, by = f"{place.name} in {place.filename}:{place.lineno}", arguments["by"]
                    log.warning("request failed", kind=kind, by=by, error=self._shown(repr(problem)), at=at)
                else:
                    log.exception("request failed", kind=kind)
                error = f"the engine failed to answer ({type(problem).__name__}); its log has the details"
            try:
                request_queue.answer_request(self._store, fence, request_id, answer, error, micros(self._clock.now()))
            except StoreError as problem:
                log.warning("an answer could not be written", request=request_id, error=str(problem))

    def _native_ref(self, arguments: dict[str, Any]) -> actions.NativeRef:
        run_id = arguments.get("run_id")
        if run_id is None:
            native = actions.job_ref(self._store, int(arguments["job_id"]))
        else:
            native = actions.run_ref(self._store, int(run_id), arguments.get("attempt_id"))
        if native is None:
            raise RequestFailed(f"no job {arguments['job_id']}" if run_id is None else f"no run {run_id}")
        if native.target_id not in self._connectors.places:
            raise RequestFailed(f"{native.system} is not in the config of the running engine")
        return native

    def _preview(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The preview of a verb (default: rerun) for a run or a job."""
        native, run_id, job_id = self._native_ref(arguments), arguments.get("run_id"), arguments.get("job_id")
        verb = Verb(arguments.get("verb", Verb.RERUN))
        place = self._connectors.places[native.target_id]
        if cannot := unsupported_reason(place, native.system, verb):
            raise RequestFailed(cannot)
        ask = ActionSpec(verb, native.ref, RunState(native.state), arguments.get("parameters") or {})
        parameters = "\n".join(texts_in(ask.parameters.get("conf")))
        if self._secrets.mask(parameters) != parameters:
            raise RequestFailed(
                "the parameters contain a secret of the config, which the scheduler and the audit would store in plain"
                " text. Fix: pass the name under which the job reads it"
            )
        extras = self._extras(int(run_id)) if run_id is not None else {}
        with self._connectors.for_request(native.target_id, ANSWER_SECONDS) as connector:
            preview = fetch_preview(connector, place, ask, ANSWER_SECONDS)
        if good := conflicts.mark_refusal(self._store, verb, run_id):
            preview = replace(preview, refused=preview.refused or good)
        until = hold_end(ask.parameters) if verb is Verb.HOLD else None
        if until is not None and job_id is not None:
            preview = replace(preview, notes=(*self._hold_warnings(int(job_id), until), *preview.notes))
        if takes := place.system.kind.takes.get(verb):
            extras["takes"] = sorted(takes)
        if verb in STARTING:
            extras["in_progress"], own_action = conflicts.run_conflicts(self._store, run_id)
            overlap = preview.overlap or conflicts.start_in_flight(self._store, run_id, job_id) or own_action
            hold = conflicts.format_hold(self._store, run_id, job_id)
            preview = replace(preview, overlap=overlap, notes=(*((hold,) if hold else ()), *preview.notes))
        name = actions.short_name(self._store, job_id, run_id)
        return {**preview_to_json(preview, self._shown), **extras, "confirm": name}

    def _log(self, arguments: dict[str, Any]) -> dict[str, Any]:
        native = self._native_ref(arguments)
        with self._connectors.for_request(native.target_id, ANSWER_SECONDS) as connector:
            chunk = connector.log(native.ref, arguments.get("start"), LOG_BYTES, ANSWER_SECONDS)
        text = sanitize_log(chunk, self._secrets, arguments.get("start"))
        return {"text": text, "next": chunk.next, "more": chunk.more, "cut": chunk.cut}

    def _accept(self, arguments: dict[str, Any]) -> dict[str, Any]:
        shown = int(arguments["change"]) if arguments.get("change") is not None else None
        self._accept_drift(int(arguments["job_id"]), shown, arguments["by"], str(arguments.get("from", "")))
        return {"accepted": True}

    def _approve(self, arguments: dict[str, Any]) -> dict[str, Any]:
        by, origin = arguments["by"], str(arguments.get("from", ""))
        key, digest = str(arguments["key"]), str(arguments.get("digest", ""))
        now_us = micros(self._clock.now())
        refused = approvals.approve_action(self._store, arguments["fence"], key, digest, by, origin, now_us)
        if refused:
            raise RequestFailed(refused)
        self._approved()
        return {"approved": True}

    def _withdraw(self, arguments: dict[str, Any]) -> dict[str, Any]:
        by, origin, why = arguments["by"], str(arguments.get("from", "")), str(arguments.get("why", ""))
        now_us = micros(self._clock.now())
        if refused := actions.withdraw(self._store, arguments["fence"], str(arguments["key"]), by, origin, why, now_us):
            raise RequestFailed(refused)
        return {"withdrawn": True}

    def _check_right(self, kind: RequestKind, arguments: dict[str, Any]) -> None:
        """Authorizes again by the present rights: they may have changed since the client checked."""
        with self._store.read() as session:
            person = access.person_by_name(session, arguments["by"], not self._store.is_sqlite)
            answer = authorize_request(session, person, kind, arguments)
        if isinstance(answer, AccessRefusal):
            raise RequestFailed(answer.reason)
