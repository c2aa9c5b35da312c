"""Looks at data when somebody waits for it, each look on a thread of its own: one that hangs delays nobody.

A check is looked at for each business date that a service day or a dependency waits for, at once and then each `every`.
One that nothing in config waits for is looked at each `every` for the date of now. A look that is not over in its time
is an error; its thread is left behind, and the check is not looked at again before that has ended: what is due
meanwhile, for whatever date, is kept as an error that says since when it hangs.
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

from connectors.contract import ConnectorError
from connectors.contract.measured import Measured
from console.clean import clean_line
from console.clock import Clock
from console.control.judging import judge
from console.control.words import dated
from console.durations import duration_words
from console.engine.answers import CannotAnswer, NoSuchName
from console.engine.health import Pulse
from console.engine.looking import today
from console.model.checks import Check, CheckState, CheckVerdict
from console.store import checks as rows
from console.store.errors import StoreError
from console.store.open import Store

log = structlog.get_logger("headway.checks")

AT_ONCE = 16
"""Looks in flight, whatever they wait for."""
GRACE_SECONDS = 5.0
"""Beyond a look's own timeout, which its connector keeps: then its thread is left behind."""
PAUSE_SECONDS = 1.0
WORDS_LIMIT = 300
Key = tuple[str, date]
LookAt = Callable[[str, date, float], Measured]


@dataclass(frozen=True, slots=True)
class _Flight:
    """A look under way. `until`: by `time.monotonic`, for how long it counts as one of AT_ONCE; after that it hangs."""

    thread: threading.Thread
    began: datetime
    until: float = math.inf

    @property
    def hangs(self) -> bool:
        return self.thread.is_alive() and self.until <= time.monotonic()


class Checks:
    """All checks of one config. `look`: name, business date, seconds -> what is there; raises ConnectorError."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        checks: Sequence[Check],
        look: LookAt,
        mask: Callable[[str], str],
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._checks = {one.name: one for one in checks}
        self._look = look
        self._mask = mask
        self._changed = changed
        self._awaited: frozenset[Key] = frozenset()
        self._next: dict[Key, datetime] = {}
        self._flying: dict[Key, _Flight] = {}
        self._told_hanging: dict[Key, datetime] = {}
        """What was not looked at because an earlier look hangs: when that was kept last."""
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

    def step(self, fence: int) -> list[Key]:
        """Begins the looks that are due; what was begun."""
        now = self._clock.now()
        awaited = self._known(rows.awaited(self._store, now))
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
        """Answers who asks for a look now: what it came to. Raises NoSuchName, CannotAnswer."""
        name, asked = str(arguments["check"]), str(arguments.get("bd") or "")
        check = self._checks.get(name)
        if check is None:
            raise NoSuchName(f'no check "{clean_line(name)}". See: headway checks')
        bd = date.fromisoformat(asked) if asked else today(check, self._clock.now())
        is_awaited = (name, bd) in rows.awaited(self._store, self._clock.now())
        if not self._take((name, bd)):
            raise CannotAnswer(f"check {name}: a look at it has not ended yet; ask again later")
        look = self._kept((name, bd), is_awaited, int(arguments["fence"]))
        return {
            "check": name, "bd": bd.isoformat(), "state": look.verdict.state.value, "words": look.verdict.words,
            "measured": json.loads(look.measured),
        }  # fmt: skip

    def _known(self, keys: set[Key]) -> frozenset[Key]:
        return frozenset(key for key in keys if key[0] in self._checks)

    def _unasked(self, now: datetime) -> frozenset[Key]:
        """Checks that nothing in config waits for, each with the business date of now."""
        free = self._checks.keys() - rows.waited_for(self._store)
        return frozenset((name, today(self._checks[name], now)) for name in free)

    def hanging(self) -> dict[str, datetime]:
        """Check -> since when its look hangs."""
        with self._lock:
            return {name: flight.began for (name, _), flight in self._flying.items() if flight.hangs}

    def trouble(self) -> str:
        """What a person should know: which looks hang."""
        hanging = self.hanging().items()
        return "; ".join(f"the look at check {name} hangs since {at:%Y-%m-%d %H:%M:%S}Z" for name, at in hanging)

    def _keep_hanging(self, refused: Sequence[Key], awaited: frozenset[Key], now: datetime, fence: int) -> None:
        """An error for each that cannot be looked at because an earlier look at the check hangs, each `every`."""
        since = self.hanging()
        told = {key: at for key, at in self._told_hanging.items() if key[0] in since}
        for key in refused:
            name = key[0]
            if name in since and (key not in told or told[key] + self._checks[name].every <= now):
                words = f"not looked at: its last look hangs since {dated(since[name], self._checks[name].zone)}"
                verdict = CheckVerdict(CheckState.ERROR, words)
                self._record(rows.Look(*key, now, verdict, None, "{}"), key in awaited, fence)
                told[key] = now
        self._told_hanging = told

    def _begin(self, key: Key, is_awaited: bool, fence: int) -> bool:
        """False where there is no room for it, or its last look hangs still."""
        if not self._take(key):
            return False
        thread = threading.Thread(target=self._fly, args=(key, is_awaited, fence), name=f"check {key[0]}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the machine has no thread to give
            with self._lock:
                del self._flying[key]
            raise
        return True

    def _fly(self, key: Key, is_awaited: bool, fence: int) -> None:
        try:
            self._kept(key, is_awaited, fence)
        except StoreError as error:  # it is looked at again; a lost lease is found by who renews it
            log.warning("a look could not be kept", check=key[0], error=str(error))

    def _take(self, key: Key) -> bool:
        """Whether the check may be looked at now; then nobody else does until that is over."""
        with self._lock:
            self._flying = {one: flight for one, flight in self._flying.items() if flight.thread.is_alive()}
            in_time = sum(not flight.hangs for flight in self._flying.values())
            if in_time >= AT_ONCE or any(one[0] == key[0] for one in self._flying):
                return False
            self._flying[key] = _Flight(threading.current_thread(), self._clock.now())
            return True

    def _kept(self, key: Key, is_awaited: bool, fence: int) -> rows.Look:
        """One look, judged and kept; the evaluator is woken where decisions may come out otherwise by it."""
        began = self._clock.now()
        measured, error = self._measured(key)
        look = self._judged(key, began, measured, error)
        self._record(look, is_awaited, fence)
        return look

    def _record(self, look: rows.Look, is_awaited: bool, fence: int) -> None:
        if rows.record(self._store, look, is_awaited, fence):
            self._changed()

    def _measured(self, key: Key) -> tuple[Measured | None, str]:
        """What was found, or why nothing was. Whatever takes longer than its time is left behind."""
        seconds = self._checks[key[0]].timeout.total_seconds()
        answer: Future[Measured] = Future()
        thread = threading.Thread(target=self._measure, args=(key, seconds, answer), name=f"look {key[0]}", daemon=True)
        with self._lock:
            self._flying[key] = _Flight(thread, self._clock.now(), time.monotonic() + seconds + GRACE_SECONDS)
            thread.start()
        try:
            return answer.result(seconds + GRACE_SECONDS), ""
        except Late:
            return None, f"no answer within {duration_words(seconds)}"
        except ConnectorError as error:
            return None, self._shown(str(error))
        except Exception as error:  # noqa: BLE001 - whatever a look may raise is told as its error
            return None, _broke(key, error)

    def _measure(self, key: Key, seconds: float, answer: Future[Measured]) -> None:
        try:
            answer.set_result(self._look(*key, seconds))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            answer.set_exception(error)

    def _judged(self, key: Key, now: datetime, measured: Measured | None, error: str) -> rows.Look:
        """As of when the look began: what was written meanwhile it may not have seen."""
        if measured is not None:
            try:
                return self._found(key, now, measured)
            except StoreError:
                raise
            except Exception as surprise:  # noqa: BLE001 - an answer that nobody can judge must not pass unsaid
                error = _broke(key, surprise)
        return rows.Look(*key, now, CheckVerdict(CheckState.ERROR, error), None, "{}")

    def _found(self, key: Key, now: datetime, measured: Measured) -> rows.Look:
        name, bd = key
        check = self._checks[name]
        past = rows.past_counts(self._store, name, bd) if check.asks.band is not None else []
        found = judge(check, measured, past, bd, now)
        verdict = CheckVerdict(found.state, self._shown(found.words, len(found.words)))
        return rows.Look(name, bd, now, verdict, measured.rows, self._document(measured))

    def _document(self, measured: Measured) -> str:
        """What was measured, as JSON: texts harmless, what was not asked left out."""
        told = {name: value for name, value in asdict(measured).items() if value not in (None, (), False)}
        return json.dumps(_harmless(told, self._shown), default=str)

    def _shown(self, text: str, limit: int = WORDS_LIMIT) -> str:
        return clean_line(self._mask(text), limit)


def _broke(key: Key, error: Exception) -> str:
    """What is told of a surprise, which the log has whole."""
    log.error("a look broke", check=key[0], exc_info=error)
    return f"the look broke ({type(error).__name__}); the engine's log has the details"


def _harmless(value: Any, shown: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {name: _harmless(one, shown) for name, one in value.items()}
    return [_harmless(one, shown) for one in value] if isinstance(value, list | tuple) else value
