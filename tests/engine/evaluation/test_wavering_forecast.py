"""A wavering forecast is notified once: through the engine, its store and its sinks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.sdk.states import RunState
from console.control.incidents.verdict.decision import incident_verdict
from console.control.incidents.verdict.text import verdict_parts
from console.control.snapshot.estate_index import EstateIndex
from console.domain.service import Timeliness
from console.forecast.finish_times import FinishTimes, ServiceForecast, ServiceOdds
from tests.engine.bench import Bench
from tests.present import present


class Wavering:
    """A simulation with the result that the test sets, for undelivered services."""

    def __init__(self) -> None:
        self.late = 0.0

    def __call__(self, index: EstateIndex, days: Sequence[ServiceForecast]) -> list[ServiceForecast]:
        return [self._of(index, day) for day in days]

    def _of(self, index: EstateIndex, day: ServiceForecast) -> ServiceForecast:
        if day.finish is None or not any(True for _ in day.unfinished()):
            return day
        p50 = day.deadline + timedelta(minutes=1 if self.late > 0.5 else -1)
        p90 = day.deadline + timedelta(minutes=20 if self.late > 0.1 else -1)
        odds = ServiceOdds(self.late, self.late, p90, p90, {}, 30, (), (), lambda broken: None, lambda: self.late)
        return replace(day, finish=FinishTimes(p50, p90, p90), odds=odds)


@pytest.fixture
def wavering(bench: Bench) -> Wavering:
    declared_wavering = Wavering()
    bench.parts.evaluator._forecaster = declared_wavering  # type: ignore[assignment]
    bench.scheduler.attempt("extract", "a1", RunState.RUNNING, present() - timedelta(minutes=1))
    bench.turn()
    return declared_wavering


def status_with(bench: Bench, wavering: Wavering, late: float) -> str:
    """The service's status once the simulation has that result."""
    wavering.late = late
    bench.parts.evaluator._whole_at = 0.0
    bench.parts.evaluator.step(bench.fence)
    bench.send()
    with bench.reads() as reads:
        return reads.services.list_services()[0].timeliness


@pytest.mark.parametrize("seed", range(3))
def test_a_forecast_that_wavers_pages_once(bench: Bench, wavering: Wavering, seed: int) -> None:
    drawn = random.Random(seed)
    statuses = [status_with(bench, wavering, drawn.uniform(0.15, 0.95)) for _ in range(40)]
    assert Timeliness.WILL_MISS in statuses
    assert 1 == len(bench.sink.got), bench.sink.got


def test_an_unmet_promise_without_a_failure_has_nothing_to_restart(bench: Bench, wavering: Wavering) -> None:
    status_with(bench, wavering, 0.9)
    with bench.reads() as reads:
        [row] = reads.incidents.list_incidents()
        view, now = reads.incidents.incident(row.id), reads.now()
    [service] = view.services
    assert service.expected is not None
    due, done = f"{service.deadline:%H:%M}", f"{service.expected:%H:%M}"
    verdict = incident_verdict(view, [], now, is_frozen=False)
    parts = verdict_parts(verdict, now, lambda at: f"{at:%H:%M}")
    at_risk = f"Supply plan {due} will miss: load has not started, nothing to restart"
    assert ([(at_risk, "bad"), (f", expected {done}, 1 min late", "plain")], ()) == (parts, verdict.saves)


def test_around_even_odds_and_around_its_alarm_the_verdict_stays(bench: Bench, wavering: Wavering) -> None:
    near = [0.45, 0.55, 0.45, 0.51, 0.4, 0.6, 0.36]
    assert [Timeliness.AT_RISK, *[Timeliness.WILL_MISS] * 6] == [status_with(bench, wavering, late) for late in near]
    calmer = [0.3, 0.2, 0.26, 0.21]
    assert [Timeliness.AT_RISK] * 4 == [status_with(bench, wavering, late) for late in calmer]
    over = [0.05, 0.3, 0.41, 0.3]
    assert [*[Timeliness.ON_TIME] * 2, *[Timeliness.AT_RISK] * 2] == [
        status_with(bench, wavering, late) for late in over
    ]
    assert 1 == len([title for _, title, _ in bench.sink.got if "at risk: load has not started" in title])
