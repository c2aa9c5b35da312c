"""Back tests: forecasts of past nights, so that the alarm threshold of a service rests on its own history from the
first day.

One simulation takes some milliseconds. After each one this pauses for REST times as long, and it starts none while an
evaluation runs, so that polls and evaluations wait for no more than one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import date

import structlog

from console.control.snapshot.deadlines import latest_deadline
from console.control.snapshot.incremental import EvaluationCache
from console.domain.estate import ServiceFacts
from console.domain.ids import micros
from console.engine.worker import Pulse
from console.forecast.back_test import BackTest, BackTestedNight, can_be_tested, past_shape_of
from console.forecast.forecaster import Forecaster
from console.store import forecasts
from console.store.db.database import Database
from console.store.errors import StoreError
from console.timing.clock import Clock, wait_seconds

log = structlog.get_logger("headway.forecast")

PAUSE_FACTOR = 9.0
"""Pause in multiples of a simulation run: at most a tenth of a core."""
SOON_SECONDS = 15.0
"""Interval until the histories of all jobs are loaded."""
LATER_SECONDS = 1800.0
"""Interval between checks for missing nights."""
SAVE_EVERY_SECONDS = 60.0
"""Interval of writing results, of all services at once."""
MAX_JOBS = 2_000
"""Per service: one run takes 0.2 ms per job, so that the largest takes less than half a second. Larger services are
not back-tested."""
MAX_NIGHTS = 60
"""Per service, the latest nights: histories reach no further back."""
_STEP_SECONDS = 0.02


class BackTester:
    """Back-tests the services of one store. `seen`: the last evaluation's estate; `is_judging`: whether an
    evaluation is running."""

    def __init__(
        self, store: Database, clock: Clock, seen: Callable[[], EvaluationCache | None], is_judging: Callable[[], bool]
    ) -> None:
        self._store, self._clock = store, clock
        self._seen, self._is_judging = seen, is_judging
        self._results: list[forecasts.StoredBackTest] = []
        self._saved_at = 0.0
        """time.monotonic() of the last write."""
        self._broken: set[str] = set()
        """Services whose back-test failed, which was logged."""
        self.wake = threading.Event()
        self.pulse = Pulse()

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        while not stopping():
            self.wake.clear()
            pause = LATER_SECONDS if self.round(fence, stopping) else SOON_SECONDS
            self.pulse.beat(pause)
            self.wake.wait(pause)

    def round(self, fence: int, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Tests every missing night; False if histories are not loaded yet."""
        cache = self._seen()
        if cache is None:
            return False
        known, is_whole = forecasts.load_back_tests(self._store, micros(self._clock.now())), True
        for service in sorted(cache.estate.services, key=lambda service: (service.tier, service.name)):
            if not can_be_tested(service) or service.name in self._broken:
                continue
            try:
                is_whole &= self._of_service(cache, service, known, fence, stopping)
            except StoreError:
                raise
            except Exception as error:  # one service's failure must not stop the others
                self._broken.add(service.name)
                log.error("a back-test failed; the alarm uses live forecasts", service=service.name, exc_info=error)
            if stopping():
                return False
        self._save(fence)
        return is_whole

    def _of_service(
        self,
        cache: EvaluationCache,
        service: ServiceFacts,
        known: Mapping[str, forecasts.BackTestedService],
        fence: int,
        stopping: Callable[[], bool],
    ) -> bool:
        begun = time.monotonic()
        test = BackTest(cache.estate, cache, service, Forecaster())
        if not test.is_read:
            return False
        stored = known.get(service.name, forecasts.BackTestedService(None))
        if len(test.jobs) > MAX_JOBS:
            return True
        shape = past_shape_of(service, test.jobs)
        nights = stored.nights
        if stored.shape is None or shape.is_another(stored.shape):
            self._save(fence)
            forecasts.reset_back_tests(self._store, fence, service.name, shape)
            nights = forecasts.load_back_tests(self._store, micros(self._clock.now())).get(service.name, stored).nights
        now = self._clock.now()
        closed_before = now - cache.estate.settings.lookback
        since = forecasts.oldest_night(micros(now))
        missing = [
            business_date for business_date in test.dates()[:MAX_NIGHTS]
            if business_date >= since and business_date not in nights
            and latest_deadline(service, business_date) < closed_before
        ]  # fmt: skip
        self._rest(time.monotonic() - begun, stopping)
        for business_date in missing:
            night = self._night(test, business_date, stopping)
            if night is None:
                return True
            self._results.append(forecasts.StoredBackTest(service.name, business_date, night.peak, night.was_late))
            if time.monotonic() - self._saved_at >= SAVE_EVERY_SECONDS:
                self._save(fence)
        return True

    def _night(self, test: BackTest, business_date: date, stopping: Callable[[], bool]) -> BackTestedNight | None:
        """The result of one night; None if stopped."""
        steps = test.steps(business_date)
        while not stopping():
            begun = time.monotonic()
            night = next(steps)
            self._rest(time.monotonic() - begun, stopping)
            if night is not None:
                return night
        return None

    def _rest(self, took: float, stopping: Callable[[], bool]) -> None:
        """Pauses after a run, and until the evaluation in progress ends."""
        until = time.monotonic() + took * PAUSE_FACTOR
        self.pulse.beat(took * PAUSE_FACTOR)
        while not stopping() and ((seconds := until - time.monotonic()) > 0 or self._is_judging()):
            wait_seconds(min(max(seconds, 0.001), _STEP_SECONDS))

    def _save(self, fence: int) -> None:
        if self._results:
            forecasts.record_back_tests(self._store, fence, self._results, micros(self._clock.now()))
            self._results = []
        self._saved_at = time.monotonic()
