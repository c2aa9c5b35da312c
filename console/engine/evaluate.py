"""Turns new facts and passed time into decisions, and decisions into rows: one thread, one transaction a round."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from console.clock import Clock
from console.control.evaluate import evaluate
from console.control.kept import Kept, kept_of
from console.control.touched import touched
from console.engine.compared import Compared
from console.engine.foreseeing import Foreseeing
from console.engine.health import Pulse
from console.engine.quarantine import Quarantine
from console.failpoints import failpoint
from console.model.decisions import Decisions
from console.model.values import Estate, Settings
from console.store import logs as store_logs
from console.store.apply import apply
from console.store.errors import StoreError
from console.store.estate import load, look
from console.store.open import Store
from console.store.pasts import of_runs
from console.store.told import Audience

log = structlog.get_logger("headway.evaluate")

AT_LEAST_EVERY_SECONDS = 5.0
"""Real seconds after which time alone is looked at, whatever `next_at` says."""
BREATHES = 3.0
"""So many times as long as judging everything takes, only what changes is judged: a change never waits for long."""
PAUSE_SECONDS = 0.05
"""Changes that arrive within this are judged together."""


@contextmanager
def uncollected(is_large: bool) -> Iterator[None]:
    """While so much is made at once, nobody looks for garbage in it."""
    pauses = is_large and gc.isenabled()
    if pauses:
        gc.disable()
    try:
        yield
    finally:
        if pauses:
            gc.enable()


class Evaluator:
    """Evaluates when it is woken and when time alone changes a verdict."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: Settings,
        audience: Audience,
        alerts_made: Callable[[], None],
        own_words: Callable[[Decisions], Decisions] = lambda decisions: decisions,
    ) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._audience = audience
        self._alerts_made = alerts_made
        self._own_words = own_words
        """Puts notices into the words that config has for their routes."""
        self._cycles: tuple[tuple[str, ...], ...] = ()
        self._before: Estate | None = None
        """What the last evaluation saw."""
        self._kept: Kept | None = None
        """What was made of it, and serves the next one too."""
        self._seen = 0
        """Number of that look."""
        self._whole_at = 0.0
        """time.monotonic() when everything is judged again, because time has passed."""
        self._quarantine = Quarantine()
        self._compared = Compared(store)
        self._foresee = Foreseeing()
        self._is_judging = False
        self.wake = threading.Event()
        self.pulse = Pulse()

    @property
    def seen(self) -> Kept | None:
        """What the last evaluation saw, and what was made of it; for other threads. None before the first."""
        return self._kept if self._before is not None else None

    @property
    def is_judging(self) -> bool:
        """True while an evaluation is under way."""
        return self._is_judging

    @property
    def trouble(self) -> str:
        """What cannot be judged, in words; empty when everything can."""
        return self._quarantine.words

    @property
    def unforeseen(self) -> str:
        """What can only be judged by sums of usual times, in words; empty when everything is simulated."""
        return self._foresee.trouble

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Until `stopping`. What breaks is raised: the crew starts it again, and says so."""
        while not stopping():
            self.wake.clear()
            self.pulse.beat()
            pause = self.step(fence)
            self.pulse.beat(pause)
            if self.wake.wait(pause):
                time.sleep(PAUSE_SECONDS)

    def step(self, fence: int) -> float:
        """One evaluation; real seconds until time alone may change a verdict."""
        self._is_judging = True
        try:
            return self._step(fence)
        finally:
            self._is_judging = False

    def _step(self, fence: int) -> float:
        failpoint("evaluate.before")
        begun = time.monotonic()
        now = self._clock.now()
        seq = self._store.changed_seq()
        seen = look(self._store, now, self._settings, self._seen)
        estate = self._quarantine.without(seen.estate)
        self._kept = kept_of(estate, self._kept, seen.changed)
        part = self._touched(estate, seen.changed)
        with uncollected(part is estate):
            decisions = self._judged(part, now)
        if decisions is None:
            return PAUSE_SECONDS
        if part is not estate:
            decisions = replace(decisions, cycles=self._cycles)  # the whole's matter
        applied = apply(self._store, decisions, now, seq, fence, self._audience.routes, self._audience)
        failpoint("evaluate.after_commit")
        self._compared.keep()
        if decisions.cycles != self._cycles:
            self._cycles = decisions.cycles
            told = log.warning if decisions.cycles else log.info
            told("dependencies that lead back to themselves; none of them counts", paths=decisions.cycles)
        if applied.alerts:
            self._alerts_made()
        self._before, self._seen = estate, seen.number
        took = time.monotonic() - begun
        due_at = time.monotonic() + max(self._ahead(decisions.next_at, now), took * BREATHES if part is estate else 0.0)
        self._whole_at = due_at if part is estate else min(self._whole_at, due_at)
        return max(self._whole_at - time.monotonic(), 0.05)

    def _touched(self, estate: Estate, known: Set[int] | None) -> Estate:
        """What changed since the last evaluation and all that hangs together with it; everything when time is due."""
        if self._before is None or time.monotonic() >= self._whole_at:
            return estate
        if len(estate.jobs) != len(self._before.jobs):  # what was left out is back: no look tells of that
            return estate
        return touched(self._before, estate, known, self._kept)

    def _ahead(self, next_at: datetime | None, now: datetime) -> float:
        """Real seconds until time alone may change a verdict somewhere."""
        if next_at is None:
            return AT_LEAST_EVERY_SECONDS
        ahead = (next_at - now) / timedelta(seconds=1) / max(self._clock.rate, 0.01)
        return min(max(ahead, 0.2), AT_LEAST_EVERY_SECONDS)

    def _judged(self, estate: Estate, now: datetime) -> Decisions | None:
        """The decisions; None where something in it cannot be judged, which the next step leaves out."""
        try:
            decisions = self._decide(estate, now)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - the others are judged all the same
            self._quarantine.find(estate, lambda one: evaluate(one, now), error)
            self._before = None
            return None
        self._quarantine.well()
        return decisions

    def _decide(self, estate: Estate, now: datetime) -> Decisions:
        """The decisions; where there is something to tell, once more with the log ends that the notices show, and
        with what was when the roots were last good."""
        decisions = evaluate(estate, now, kept=self._kept, foresee=self._foresee)
        new = [one for one in decisions.incidents if one.notices or one.event]
        roots = [one.root_run_id for one in new if one.root_run_id is not None]
        causes = [number for one in new for number in one.cause_run_ids]
        if causes:
            told = replace(estate, pasts=of_runs(self._store, causes))
            tails = store_logs.tails_of(self._store, roots)
            decisions = evaluate(told, now, log_tails=tails, kept=self._kept, foresee=self._foresee)
        return self._own_words(self._compared.again(decisions, estate.jobs))

    def estate(self) -> Estate:
        """What an evaluation would see now; for other threads."""
        return load(self._store, self._clock.now(), self._settings)
