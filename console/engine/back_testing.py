"""Forecasts nights that are over, of which nobody was told: so the alarm of a service rests on its own past from the
first day on.

One look takes some milliseconds. After each this rests for REST times as long, and begins none while an evaluation is
under way, so that a poll or an evaluation waits for one look at most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import date

import structlog

from console.clock import Clock
from console.control.deadlines import latest_deadline
from console.control.forecast.back_test import BackTest, BackTested
from console.control.forecast.foresee import Foresight
from console.control.forecast.past_shape import can_be_tested, shape_of
from console.control.kept import Kept
from console.engine.health import Pulse
from console.engine.late_risk import shipped
from console.model.ids import micros
from console.model.values import ServiceFacts
from console.store import back_tests
from console.store.errors import StoreError
from console.store.open import Store

log = structlog.get_logger("headway.forecast")

REST = 9.0
"""Times as long as a look takes: a tenth of a core at most."""
SOON_SECONDS = 15.0
"""Until the pasts of all jobs have been read."""
LATER_SECONDS = 1800.0
"""Until it is looked again whether a night is missing."""
KEPT_EVERY_SECONDS = 60.0
"""What was found is written so often: all services' at once."""
MOST_JOBS = 2_000
"""Of a service: a look takes 0.2 ms for each, and one of half a second delays nobody much. With more, only what is
told counts."""
MOST_NIGHTS = 60
"""Of a service, the latest: histories reach no further back."""
_STEP_SECONDS = 0.02


class BackTesting:
    """All services of one store. `seen`: what the last evaluation saw; `is_judging`: whether one is under way."""

    def __init__(
        self, store: Store, clock: Clock, seen: Callable[[], Kept | None], is_judging: Callable[[], bool]
    ) -> None:
        self._store, self._clock = store, clock
        self._seen, self._is_judging = seen, is_judging
        self._found: list[back_tests.Night] = []
        self._kept_at = 0.0
        """time.monotonic() when something was written last."""
        self._broken: set[str] = set()
        """Services whose back-test raised something, which was logged."""
        self.wake = threading.Event()
        self.pulse = Pulse()

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        while not stopping():
            self.wake.clear()
            pause = LATER_SECONDS if self.round(fence, stopping) else SOON_SECONDS
            self.pulse.beat(pause)
            self.wake.wait(pause)

    def round(self, fence: int, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Every night that is missing; False where not all that was there to be looked at is read yet."""
        kept = self._seen()
        if kept is None:
            return False
        known, is_whole = back_tests.known(self._store, micros(self._clock.now())), True
        for service in sorted(kept.estate.services, key=lambda one: (one.tier, one.name)):
            if not can_be_tested(service) or service.name in self._broken:
                continue
            try:
                is_whole &= self._of_service(kept, service, known, fence, stopping)
            except StoreError:
                raise
            except Exception as error:  # one service's past must not cost the others theirs
                self._broken.add(service.name)
                log.error("a back-test failed; its alarm rests on what is told", service=service.name, exc_info=error)
            if stopping():
                return False
        self._keep(fence)
        return is_whole

    def _of_service(
        self, kept: Kept, service: ServiceFacts, known: Mapping[str, back_tests.Known], fence: int,
        stopping: Callable[[], bool],
    ) -> bool:  # fmt: skip
        begun = time.monotonic()
        test = BackTest(kept.estate, kept, service, Foresight(model=shipped()))
        if not test.is_read:
            return False
        mine = known.get(service.name, back_tests.Known(None))
        if len(test.jobs) > MOST_JOBS:
            return True
        shape = shape_of(service, test.jobs)
        nights = mine.nights
        if mine.shape is None or shape.is_another(mine.shape):
            self._keep(fence)
            back_tests.begin_anew(self._store, fence, service.name, shape)
            nights = back_tests.known(self._store, micros(self._clock.now())).get(service.name, mine).nights
        now = self._clock.now()
        is_over = now - kept.estate.settings.lookback
        since = back_tests.oldest(micros(now))
        missing = [
            bd for bd in test.dates()[:MOST_NIGHTS]
            if bd >= since and bd not in nights and latest_deadline(service, bd) < is_over
        ]  # fmt: skip
        self._rest(time.monotonic() - begun, stopping)
        for bd in missing:
            found = self._night(test, bd, stopping)
            if found is None:
                return True
            self._found.append(back_tests.Night(service.name, bd, found.peak, found.was_late))
            if time.monotonic() - self._kept_at >= KEPT_EVERY_SECONDS:
                self._keep(fence)
        return True

    def _night(self, test: BackTest, bd: date, stopping: Callable[[], bool]) -> BackTested | None:
        """None where there was no time left."""
        looks = test.looks(bd)
        while not stopping():
            begun = time.monotonic()
            found = next(looks)
            self._rest(time.monotonic() - begun, stopping)
            if found is not None:
                return found
        return None

    def _rest(self, took: float, stopping: Callable[[], bool]) -> None:
        """Leaves the machine to others, at most to the end of the evaluation that is under way."""
        until = time.monotonic() + took * REST
        self.pulse.beat(took * REST)
        while not stopping() and ((left := until - time.monotonic()) > 0 or self._is_judging()):
            time.sleep(min(max(left, 0.001), _STEP_SECONDS))

    def _keep(self, fence: int) -> None:
        if self._found:
            back_tests.keep(self._store, fence, self._found, micros(self._clock.now()))
            self._found = []
        self._kept_at = time.monotonic()
