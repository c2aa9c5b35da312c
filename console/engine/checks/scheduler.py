"""Schedules checks, each run on its own thread: one that hangs delays no other.

A check runs for each business date that a service day or a dependency waits for, at once and then every `every`. A
check that nothing in config waits for runs every `every` for the present date.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import structlog

from connectors.checks.queries import Measurement
from connectors.sdk.errors import ConnectorError
from console.control.expectations.data_checks import judge_check
from console.domain.check import Check, CheckState, CheckVerdict
from console.engine.api.server import RequestFailed, UnknownName
from console.engine.checks.check_runner import check_date
from console.engine.polling.sanitize import map_texts
from console.engine.worker import Pulse
from console.store import checks as rows
from console.store.db.database import Database
from console.store.errors import StoreError
from console.text.cleaning import clean_line
from console.text.redact import sanitize
from console.timing.clock import Clock
from console.timing.durations import format_duration
from console.timing.formats import dated_time

log = structlog.get_logger("headway.checks")

MAX_PARALLEL = 16
"""Checks in progress at a time."""
GRACE_SECONDS = 5.0
"""Tolerance beyond a check's own timeout; after it the thread is abandoned."""
PAUSE_SECONDS = 1.0
MESSAGE_LIMIT = 300
CheckKey = tuple[str, date]
RunCheck = Callable[[str, date, float], Measurement]


@dataclass(frozen=True, slots=True)
class _RunningCheck:
    """A check in progress. `until`: by `time.monotonic`, how long it counts towards MAX_PARALLEL; after that it
    hangs."""

    thread: threading.Thread
    began: datetime
    until: float = math.inf

    @property
    def hangs(self) -> bool:
        return self.thread.is_alive() and self.until <= time.monotonic()


class CheckScheduler:
    """The checks of one config. `measure`: name, business date, seconds -> measurement; raises ConnectorError."""

    def __init__(
        self,
        store: Database,
        clock: Clock,
        checks: Sequence[Check],
        measure: RunCheck,
        mask: Callable[[str], str],
        changed: Callable[[], None],
    ) -> None:
        self._store, self._clock, self._measure, self._mask, self._changed = store, clock, measure, mask, changed
        self._checks = {check.name: check for check in checks}
        self._awaited: frozenset[CheckKey] = frozenset()
        self._next: dict[CheckKey, datetime] = {}
        self._running: dict[CheckKey, _RunningCheck] = {}
        self._hanging_recorded: dict[CheckKey, datetime] = {}
        """When a check that could not run, because its last run hangs, was last recorded as an error."""
        self._lock = threading.Lock()
        self.wake = threading.Event()
        self.pulse = Pulse()

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        while not stopping():
            self.wake.clear()
            self.pulse.beat()
            if self._checks:
                self.step(fence)
            self.wake.wait(PAUSE_SECONDS)

    def step(self, fence: int) -> list[CheckKey]:
        """Starts the due checks; their keys."""
        now = self._clock.now()
        awaited = frozenset(key for key in rows.awaited_checks(self._store, now) if key[0] in self._checks)
        unused = self._checks.keys() - rows.awaited_check_names(self._store)
        keys = awaited | {(name, check_date(self._checks[name], now)) for name in unused}
        self._next = {key: at for key, at in self._next.items() if key in keys}
        new = awaited - self._awaited
        due = [key for key in sorted(keys) if key in new or self._next.get(key, now) <= now]
        begun = [key for key in due if self._begin(key, key in awaited, fence)]
        self._record_hanging([key for key in due if key not in begun], awaited, now, fence)
        self._awaited = awaited - (frozenset(due) - frozenset(begun))
        self._next |= {key: now + self._checks[key[0]].every for key in begun}
        return begun

    def run_now(self, name: str, given: str, fence: int) -> dict[str, Any]:
        """Runs a check on request, for the given business date or the present one; its result. Raises UnknownName,
        RequestFailed."""
        check = self._checks.get(name)
        if check is None:
            raise UnknownName(f'no check "{clean_line(name)}". See: headway datacheck')
        business_date = date.fromisoformat(given) if given else check_date(check, self._clock.now())
        is_awaited = (name, business_date) in rows.awaited_checks(self._store, self._clock.now())
        if not self._reserve((name, business_date)):
            raise RequestFailed(f"check {name} is still running. Fix: try again later")
        result = self._run_check((name, business_date), is_awaited, fence)
        return {
            "check": name, "business_date": business_date.isoformat(), "state": result.verdict.state.value,
            "text": result.verdict.text,
            "measured": json.loads(result.measured),
        }  # fmt: skip

    def hanging(self) -> dict[str, datetime]:
        """Hanging checks, with their start."""
        with self._lock:
            return {name: check.began for (name, _), check in self._running.items() if check.hangs}

    def trouble(self) -> str:
        """The hanging checks, for status."""
        hanging = self.hanging().items()
        return "; ".join(f"check {name} hangs since {at:%Y-%m-%d %H:%M:%S}Z" for name, at in hanging)

    def _record_hanging(
        self, refused: Sequence[CheckKey], awaited: frozenset[CheckKey], now: datetime, fence: int
    ) -> None:
        """Records an error every `every` for each check that cannot run because its last run hangs."""
        since = self.hanging()
        recorded = {key: at for key, at in self._hanging_recorded.items() if key[0] in since}
        for key in refused:
            name = key[0]
            if name in since and (key not in recorded or recorded[key] + self._checks[name].every <= now):
                hanging_since = dated_time(since[name], self._checks[name].zone)
                text = f"not run: the last run of this check hangs since {hanging_since}"
                self._record(_error_result(key, now, text), key in awaited, fence)
                recorded[key] = now
        self._hanging_recorded = recorded

    def _begin(self, key: CheckKey, is_awaited: bool, fence: int) -> bool:
        """Starts a check; False if too many are in progress, or its last run hangs."""
        if not self._reserve(key):
            return False

        def run() -> None:
            try:
                self._run_check(key, is_awaited, fence)
            except StoreError as error:  # retried; a lost lease is noticed by its renewal
                log.warning("a check result could not be stored", check=key[0], error=str(error))

        try:
            threading.Thread(target=run, name=f"check {key[0]}", daemon=True).start()
        except RuntimeError:  # no thread available
            with self._lock:
                del self._running[key]
            raise
        return True

    def _reserve(self, key: CheckKey) -> bool:
        """Reserves the check; False if it is in progress."""
        with self._lock:
            self._running = {key: check for key, check in self._running.items() if check.thread.is_alive()}
            in_time = sum(not check.hangs for check in self._running.values())
            if in_time >= MAX_PARALLEL or any(name == key[0] for name, _ in self._running):
                return False
            self._running[key] = _RunningCheck(threading.current_thread(), self._clock.now())
            return True

    def _run_check(self, key: CheckKey, is_awaited: bool, fence: int) -> rows.CheckMeasurement:
        """Runs a check, judges and stores the result; wakes the evaluator if decisions may change. The result is
        dated by the start of the run: it may have missed later writes."""
        began = self._clock.now()
        measured, error = self._measured(key)
        result = _error_result(key, began, error)
        if measured is not None:
            try:
                result = self._judged(key, began, measured)
            except StoreError:
                raise
            except Exception as failure:  # noqa: BLE001 - a measurement that cannot be judged is a failed check
                result = _error_result(key, began, _failure_text(key, failure))
        self._record(result, is_awaited, fence)
        return result

    def _record(self, result: rows.CheckMeasurement, is_awaited: bool, fence: int) -> None:
        if rows.record_result(self._store, result, is_awaited, fence):
            self._changed()

    def _measured(self, key: CheckKey) -> tuple[Measurement | None, str]:
        """The measurement, or the reason of its failure. A run that exceeds its time is abandoned."""
        seconds = self._checks[key[0]].timeout.total_seconds()
        answer: Future[Measurement] = Future()

        def measure() -> None:
            try:
                answer.set_result(self._measure(*key, seconds))
            except BaseException as error:  # noqa: BLE001 - raised again by `answer.result`
                answer.set_exception(error)

        thread = threading.Thread(target=measure, name=f"measure {key[0]}", daemon=True)
        with self._lock:
            self._running[key] = _RunningCheck(thread, self._clock.now(), time.monotonic() + seconds + GRACE_SECONDS)
            thread.start()
        try:
            return answer.result(seconds + GRACE_SECONDS), ""
        except Late:
            return None, f"no answer within {format_duration(seconds)}"
        except ConnectorError as error:
            return None, self._shown(str(error))
        except Exception as error:  # noqa: BLE001 - any failure of a measurement is a failed check
            return None, _failure_text(key, error)

    def _judged(self, key: CheckKey, now: datetime, measured: Measurement) -> rows.CheckMeasurement:
        name, business_date = key
        check = self._checks[name]
        past = rows.past_row_counts(self._store, name, business_date) if check.asks.band is not None else []
        verdict = judge_check(check, measured, past, business_date, now)
        verdict = CheckVerdict(verdict.state, self._shown(verdict.text, len(verdict.text)))
        fields = {name: value for name, value in asdict(measured).items() if value not in (None, (), False)}
        document = json.dumps(map_texts(fields, self._shown), default=str)
        return rows.CheckMeasurement(name, business_date, now, verdict, measured.rows, document)

    def _shown(self, text: str, limit: int = MESSAGE_LIMIT) -> str:
        return sanitize(text, self._mask, limit, on_one_line=True)


def _failure_text(key: CheckKey, error: Exception) -> str:
    """The message for an unexpected error; the log has its traceback."""
    log.error("check failed", check=key[0], exc_info=error)
    return f"the check failed ({type(error).__name__}); the engine's log has the details"


def _error_result(key: CheckKey, now: datetime, error: str) -> rows.CheckMeasurement:
    return rows.CheckMeasurement(*key, now, CheckVerdict(CheckState.ERROR, error), None, "{}")
