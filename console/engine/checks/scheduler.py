"""Schedules checks, each run on its own thread: one that hangs delays no other.

A check runs for each business date that a service day or a dependency waits for, at once and then every `every`. A
check that nothing in config waits for runs every `every` for the present date.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
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
from console.engine.worker import Pulse
from console.store import checks as rows
from console.store.db.database import Database
from console.store.errors import StoreError
from console.text.cleaning import clean_line
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
    """The checks of one config. `look`: name, business date, seconds -> measurement; raises ConnectorError."""

    def __init__(
        self,
        store: Database,
        clock: Clock,
        checks: Sequence[Check],
        look: RunCheck,
        mask: Callable[[str], str],
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._checks = {check.name: check for check in checks}
        self._look = look
        self._mask = mask
        self._changed = changed
        self._awaited: frozenset[CheckKey] = frozenset()
        self._next: dict[CheckKey, datetime] = {}
        self._flying: dict[CheckKey, _RunningCheck] = {}
        self._told_hanging: dict[CheckKey, datetime] = {}
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
        awaited = self._known(rows.awaited_checks(self._store, now))
        wanted = awaited | self._unasked(now)
        self._next = {key: at for key, at in self._next.items() if key in wanted}
        new = awaited - self._awaited
        due = [key for key in sorted(wanted) if key in new or self._next.get(key, now) <= now]
        begun = [key for key in due if self._begin(key, key in awaited, fence)]
        self._keep_hanging([key for key in due if key not in begun], awaited, now, fence)
        self._awaited = awaited - (frozenset(due) - frozenset(begun))
        self._next |= {key: now + self._checks[key[0]].every for key in begun}
        return begun

    def now(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Runs a check on request; its result. Raises UnknownName, RequestFailed."""
        name, asked = str(arguments["check"]), str(arguments.get("business_date") or "")
        check = self._checks.get(name)
        if check is None:
            raise UnknownName(f'no check "{clean_line(name)}". See: headway datacheck')
        business_date = date.fromisoformat(asked) if asked else check_date(check, self._clock.now())
        is_awaited = (name, business_date) in rows.awaited_checks(self._store, self._clock.now())
        if not self._take((name, business_date)):
            raise RequestFailed(f"check {name} is still running. Fix: try again later")
        look = self._kept((name, business_date), is_awaited, int(arguments["fence"]))
        return {
            "check": name, "business_date": business_date.isoformat(), "state": look.verdict.state.value,
            "words": look.verdict.words,
            "measured": json.loads(look.measured),
        }  # fmt: skip

    def _known(self, keys: set[CheckKey]) -> frozenset[CheckKey]:
        return frozenset(key for key in keys if key[0] in self._checks)

    def _unasked(self, now: datetime) -> frozenset[CheckKey]:
        """Checks that nothing in config waits for, with the present business date."""
        free = self._checks.keys() - rows.awaited_check_names(self._store)
        return frozenset((name, check_date(self._checks[name], now)) for name in free)

    def hanging(self) -> dict[str, datetime]:
        """Hanging checks, with their start."""
        with self._lock:
            return {name: flight.began for (name, _), flight in self._flying.items() if flight.hangs}

    def trouble(self) -> str:
        """The hanging checks, for status."""
        hanging = self.hanging().items()
        return "; ".join(f"check {name} hangs since {at:%Y-%m-%d %H:%M:%S}Z" for name, at in hanging)

    def _keep_hanging(
        self, refused: Sequence[CheckKey], awaited: frozenset[CheckKey], now: datetime, fence: int
    ) -> None:
        """Records an error every `every` for each check that cannot run because its last run hangs."""
        since = self.hanging()
        told = {key: at for key, at in self._told_hanging.items() if key[0] in since}
        for key in refused:
            name = key[0]
            if name in since and (key not in told or told[key] + self._checks[name].every <= now):
                hanging_since = dated_time(since[name], self._checks[name].zone)
                words = f"not run: the last run of this check hangs since {hanging_since}"
                verdict = CheckVerdict(CheckState.ERROR, words)
                self._record(rows.CheckMeasurement(*key, now, verdict, None, "{}"), key in awaited, fence)
                told[key] = now
        self._told_hanging = told

    def _begin(self, key: CheckKey, is_awaited: bool, fence: int) -> bool:
        """Starts a check; False if too many are in progress, or its last run hangs."""
        if not self._take(key):
            return False
        thread = threading.Thread(target=self._fly, args=(key, is_awaited, fence), name=f"check {key[0]}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread available
            with self._lock:
                del self._flying[key]
            raise
        return True

    def _fly(self, key: CheckKey, is_awaited: bool, fence: int) -> None:
        try:
            self._kept(key, is_awaited, fence)
        except StoreError as error:  # retried; a lost lease is noticed by its renewal
            log.warning("a look could not be kept", check=key[0], error=str(error))

    def _take(self, key: CheckKey) -> bool:
        """Reserves the check; False if it is in progress."""
        with self._lock:
            self._flying = {one: flight for one, flight in self._flying.items() if flight.thread.is_alive()}
            in_time = sum(not flight.hangs for flight in self._flying.values())
            if in_time >= MAX_PARALLEL or any(one[0] == key[0] for one in self._flying):
                return False
            self._flying[key] = _RunningCheck(threading.current_thread(), self._clock.now())
            return True

    def _kept(self, key: CheckKey, is_awaited: bool, fence: int) -> rows.CheckMeasurement:
        """Runs a check, judges and stores the result; wakes the evaluator if decisions may change."""
        began = self._clock.now()
        measured, error = self._measured(key)
        look = self._judged(key, began, measured, error)
        self._record(look, is_awaited, fence)
        return look

    def _record(self, look: rows.CheckMeasurement, is_awaited: bool, fence: int) -> None:
        if rows.record_result(self._store, look, is_awaited, fence):
            self._changed()

    def _measured(self, key: CheckKey) -> tuple[Measurement | None, str]:
        """The measurement, or why there is none. A run that exceeds its time is abandoned."""
        seconds = self._checks[key[0]].timeout.total_seconds()
        answer: Future[Measurement] = Future()
        thread = threading.Thread(target=self._measure, args=(key, seconds, answer), name=f"look {key[0]}", daemon=True)
        with self._lock:
            self._flying[key] = _RunningCheck(thread, self._clock.now(), time.monotonic() + seconds + GRACE_SECONDS)
            thread.start()
        try:
            return answer.result(seconds + GRACE_SECONDS), ""
        except Late:
            return None, f"no answer within {format_duration(seconds)}"
        except ConnectorError as error:
            return None, self._shown(str(error))
        except Exception as error:  # noqa: BLE001 - whatever a look may raise is told as its error
            return None, _failure_text(key, error)

    def _measure(self, key: CheckKey, seconds: float, answer: Future[Measurement]) -> None:
        try:
            answer.set_result(self._look(*key, seconds))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            answer.set_exception(error)

    def _judged(self, key: CheckKey, now: datetime, measured: Measurement | None, error: str) -> rows.CheckMeasurement:
        """The judged measurement, dated by its start: it may have missed later writes."""
        if measured is not None:
            try:
                return self._found(key, now, measured)
            except StoreError:
                raise
            except Exception as surprise:  # noqa: BLE001 - an answer that nobody can judge must not pass unsaid
                error = _failure_text(key, surprise)
        return rows.CheckMeasurement(*key, now, CheckVerdict(CheckState.ERROR, error), None, "{}")

    def _found(self, key: CheckKey, now: datetime, measured: Measurement) -> rows.CheckMeasurement:
        name, business_date = key
        check = self._checks[name]
        past = rows.past_row_counts(self._store, name, business_date) if check.asks.band is not None else []
        found = judge_check(check, measured, past, business_date, now)
        verdict = CheckVerdict(found.state, self._shown(found.words, len(found.words)))
        return rows.CheckMeasurement(name, business_date, now, verdict, measured.rows, self._document(measured))

    def _document(self, measured: Measurement) -> str:
        """The measurement as JSON, texts sanitized, unset fields left out."""
        told = {name: value for name, value in asdict(measured).items() if value not in (None, (), False)}
        return json.dumps(_sanitize_value(told, self._shown), default=str)

    def _shown(self, text: str, limit: int = MESSAGE_LIMIT) -> str:
        return clean_line(self._mask(text), limit)


def _failure_text(key: CheckKey, error: Exception) -> str:
    """The message for an unexpected error; the log has its traceback."""
    log.error("a look broke", check=key[0], exc_info=error)
    return f"the check failed ({type(error).__name__}); the engine's log has the details"


def _sanitize_value(value: Any, shown: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {name: _sanitize_value(one, shown) for name, one in value.items()}
    return [_sanitize_value(one, shown) for one in value] if isinstance(value, list | tuple) else value
