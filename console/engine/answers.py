"""Answers what screens and commands ask: previews, logs, accepted drift. Each on a thread, with a deadline."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from connectors.contract import Ask, ConnectorError, State, Verb
from connectors.secrets import SecretStore
from connectors.words import STARTING
from console.clock import Clock, real_now
from console.control.authorize import Refused
from console.engine.arriving import shown
from console.engine.doors import QUESTIONS, Doors
from console.engine.health import Pulse
from console.engine.lanes import InFlight
from console.engine.previews import cleaned_preview, preview_there, why_cannot
from console.engine.rights import may_ask
from console.model.conf import texts_in
from console.model.holding import hold_end
from console.model.ids import micros
from console.store import approvals, asked, in_the_way, permissions, questions
from console.store.drift import ShownOtherwise
from console.store.errors import NotFound, StoreError
from console.store.glance import glancing
from console.store.open import Store
from console.store.wire import wire
from console.store.withdrawn import withdraw

log = structlog.get_logger("headway.answers")

ANSWER_SECONDS = 20.0
LOG_BYTES = 64 * 1024
SPARE = 8
"""Answerers beside those that all targets together may hold, for what no target is asked for."""
KEEP_SECONDS = 600.0
"""How long an answer is kept for whoever asked: a log that is followed brings a page each time."""
SWEEP_SECONDS = 60.0
GIVEN_READABLE = "and would stand readable at the scheduler and in the audit: give the name of its place there instead"


class CannotAnswer(Exception):
    """Why there is no answer, in words for a person."""


class NoSuchName(CannotAnswer):
    """What was asked about is not there."""


class Answers:
    """Takes questions from the store and answers them there."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        doors: Doors,
        secrets: SecretStore,
        extras: Callable[[int], dict[str, Any]],
        accept_drift: Callable[[int, int | None, str, str], None],
        approved: Callable[[], None] = lambda: None,
        outlasted: Callable[[int, datetime], Sequence[str]] = lambda job_id, until: (),
        others: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._doors = doors
        self._secrets = secrets
        self._extras = extras
        """run id -> {"safety", "followers"}: what the estate knows beyond the connector."""
        self._accept_drift = accept_drift
        """job id, the newest change that was shown, by whom, from where."""
        self._approved = approved
        self._outlasted = outlasted
        """job id, when its hold would end -> what that would cost, in words."""
        self._pool = ThreadPoolExecutor(QUESTIONS * len(doors.places) + SPARE, thread_name_prefix="answer")
        self._in_flight = InFlight()
        self._sweep_at = 0.0
        self.wake = threading.Event()
        self.pulse = Pulse()
        self._by_kind: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "preview": self._preview,
            "log": self._log,
            "accept_drift": self._accept,
            "approve": self._approve,
            "withdraw": self._withdraw,
        }
        self._by_kind |= others or {}

    def recover(self, fence: int) -> None:
        questions.refuse_unanswered(self._store, fence, micros(self._clock.now()))

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        self.pulse.beat()
        with glancing(self._store) as glance:
            while not stopping():
                self.wake.clear()
                self.pulse.beat()
                if glance.is_new():
                    self.step(fence)
                self.wake.wait(0.1)

    def hanging(self, seconds: float) -> dict[str, float]:
        """What kind of question takes longer than that, and for how long it does."""
        return self._in_flight.hanging(seconds)

    def step(self, fence: int) -> None:
        for request_id, kind, arguments, by in questions.claim_requests(self._store, fence):
            told = {**arguments, "by": by, "fence": fence}
            self._pool.submit(self._answer, fence, request_id, kind, told)
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP_SECONDS
            questions.forget_answered(self._store, fence, micros(self._clock.after(-KEEP_SECONDS)))
            questions.forget_lookers(self._store, fence, micros(real_now()) - int(KEEP_SECONDS * 1_000_000))

    def close(self, until: float = math.inf) -> None:
        """Waits for what is being answered until `time.monotonic` is `until`."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while self._in_flight and time.monotonic() < until:
            time.sleep(0.01)

    def _answer(self, fence: int, request_id: int, kind: str, arguments: dict[str, Any]) -> None:
        with self._in_flight.at(f'answering a question ("{kind}")'):
            self._find_answer(fence, request_id, kind, arguments)

    def _find_answer(self, fence: int, request_id: int, kind: str, arguments: dict[str, Any]) -> None:
        answer: dict[str, Any] = {}
        error = ""
        try:
            self._check_right(kind, arguments)
            answer = self._by_kind[kind](arguments)
        except (CannotAnswer, ConnectorError, NotFound, ShownOtherwise) as problem:
            error = self._shown(str(problem))
            answer = {"not_found": True} if isinstance(problem, NoSuchName | NotFound) else {}
        except Exception as problem:
            log.exception("a question broke", kind=kind)
            error = f"the engine failed to answer ({type(problem).__name__}); its log has the details"
        try:
            questions.answer_request(self._store, fence, request_id, answer, error, micros(self._clock.now()))
        except StoreError as problem:
            log.warning("an answer could not be written", request=request_id, error=str(problem))

    def _ref(self, arguments: dict[str, Any]) -> Any:
        run_id = arguments.get("run_id")
        if run_id is None:
            found = asked.job_ref(self._store, int(arguments["job_id"]))
        else:
            found = asked.run_ref(self._store, int(run_id), arguments.get("attempt_id"))
        if found is None:
            raise CannotAnswer(f"no job {arguments['job_id']}" if run_id is None else f"no run {run_id}")
        if found[2] not in self._doors.places:
            raise CannotAnswer(f"{found[1]} is not in the config of the running engine")
        return found

    def _preview(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What any verb would send, of a run or of a job; a rerun without a verb."""
        ref, system, target_id, state = self._ref(arguments)
        verb = Verb(arguments.get("verb", Verb.RERUN))
        place = self._doors.places[target_id]
        kind = place.system.kind
        if cannot := why_cannot(place, system, verb):
            raise CannotAnswer(cannot)
        ask = Ask(verb, ref, State(state), arguments.get("parameters") or {})
        self._refuse_secrets(ask.parameters.get("conf"))
        extras = self._extras(int(arguments["run_id"])) if arguments.get("run_id") is not None else {}
        with self._doors.question(target_id, ANSWER_SECONDS) as connector:
            preview = preview_there(connector, place, ask, ANSWER_SECONDS)
        if good := in_the_way.good_already(self._store, verb, arguments.get("run_id")):
            preview = replace(preview, refused=preview.refused or good)
        until = hold_end(ask.parameters) if verb is Verb.HOLD and arguments.get("job_id") is not None else None
        if until is not None:
            preview = replace(preview, notes=(*self._outlasted(int(arguments["job_id"]), until), *preview.notes))
        if takes := kind.takes.get(verb):
            extras["takes"] = sorted(takes)
        if verb in STARTING:
            extras["under_way"], ours = in_the_way.under_way(self._store, arguments.get("run_id"))
            overlap = preview.overlap or in_the_way.on_its_way(self._store, arguments) or ours
            hold = in_the_way.hold_words(self._store, arguments)
            preview = replace(preview, overlap=overlap, notes=(*((hold,) if hold else ()), *preview.notes))
        name = asked.short_name(self._store, arguments.get("job_id"), arguments.get("run_id"))
        return {**cleaned_preview(preview, self._shown), **extras, "confirm": name}

    def _refuse_secrets(self, given: Any) -> None:
        """What is given along with a start stands in the store, the audit and at its source: none of our own secrets
        may be in it. Raises CannotAnswer."""
        text = "\n".join(texts_in(given))
        if self._secrets.mask(text) != text:
            raise CannotAnswer(f"what is given along holds a secret of the config, {GIVEN_READABLE}")

    def _log(self, arguments: dict[str, Any]) -> dict[str, Any]:
        ref, _, target_id, _ = self._ref(arguments)
        with self._doors.question(target_id, ANSWER_SECONDS) as connector:
            chunk = connector.log(ref, arguments.get("start"), LOG_BYTES, ANSWER_SECONDS)
        return {"text": self._shown(chunk.text), "next": chunk.next, "more": chunk.more, "cut": chunk.cut}

    def _accept(self, arguments: dict[str, Any]) -> dict[str, Any]:
        shown = arguments.get("change")
        number = int(shown) if shown is not None else None
        self._accept_drift(int(arguments["job_id"]), number, arguments["by"], str(arguments.get("from", "")))
        return {"accepted": True}

    def _approve(self, arguments: dict[str, Any]) -> dict[str, Any]:
        by, origin = arguments["by"], str(arguments.get("from", ""))
        now_us = micros(self._clock.now())
        refused = approvals.approve(self._store, arguments["fence"], str(arguments["key"]), by, origin, now_us)
        if refused:
            raise CannotAnswer(refused)
        self._approved()
        return {"approved": True}

    def _withdraw(self, arguments: dict[str, Any]) -> dict[str, Any]:
        by, origin, why = arguments["by"], str(arguments.get("from", "")), str(arguments.get("why", ""))
        now_us = micros(self._clock.now())
        if refused := withdraw(self._store, arguments["fence"], str(arguments["key"]), by, origin, why, now_us):
            raise CannotAnswer(refused)
        return {"withdrawn": True}

    def _check_right(self, kind: str, arguments: dict[str, Any]) -> None:
        """Once more, by what is permitted now: whoever asked may have lost the right, or asked by another way."""
        with self._store.read() as connection:
            run = wire(connection).rows
            person = permissions.person_named(run, arguments["by"], not self._store.is_sqlite)
            answer = may_ask(run, person, kind, arguments)
        if isinstance(answer, Refused):
            raise CannotAnswer(answer.reason)

    def _shown(self, text: str) -> str:
        """Outside text as people may read it."""
        return shown(text, self._secrets.mask)
