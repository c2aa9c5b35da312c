"""Back-tested nights as rows: real forecasts take precedence, another shape ends them."""

from __future__ import annotations

from datetime import timedelta

from console.domain.decision import Decisions
from console.domain.estate import EvaluationSettings
from console.domain.forecast import PeakForecast, ServiceShape
from console.domain.ids import micros
from console.domain.service import Timeliness
from console.store import forecasts
from console.store.decisions import apply_decisions
from console.store.forecasts import BackTestedService, StoredBackTest
from console.store.snapshot.estate import load_estate
from tests.store.estate import DATE, Estate, at
from tests.store.test_decisions import ROUTES, verdict

SHAPE = ServiceShape("06:30 by load", {1: "10 3 * * *", 2: ""})
NOW = at("05:22") + timedelta(days=3)


def night(back: int, peak: float | None = 0.2, was_late: bool = False, service: str = "supply") -> StoredBackTest:
    return StoredBackTest(service, DATE - timedelta(days=back), peak, was_late)


def keep(served: Estate, *nights: StoredBackTest) -> None:
    forecasts.record_back_tests(served.store, None, nights, micros(NOW))


def peaks(served: Estate) -> dict[str, list[PeakForecast]]:
    return {
        name: list(forecasts) for name, forecasts in load_estate(served.store, NOW, EvaluationSettings()).peaks.items()
    }


def test_a_night_is_stored_once_and_known_to_the_next_evaluation_at_once(served: Estate) -> None:
    assert {} == peaks(served)
    keep(served, night(1), night(2, 0.7, was_late=True), night(3, None), night(4, service="gone"))
    assert {
        "supply": [PeakForecast(0.7, True, is_published=False), PeakForecast(0.2, False, is_published=False)]
    } == peaks(served)
    keep(served, night(1, 0.9), night(5, 0.1))
    assert [0.1, 0.7, 0.2] == [forecast.late for forecast in peaks(served)["supply"]]
    known = forecasts.load_back_tests(served.store, micros(NOW))
    assert {"supply": BackTestedService(None, frozenset(DATE - timedelta(days=back) for back in (1, 2, 3, 5)))} == dict(
        known
    )


def test_the_recorded_forecast_of_a_night_counts_and_its_back_test_does_not(served: Estate) -> None:
    keep(served, night(0, 0.05), night(1))
    apply_decisions(served.store, Decisions(service_days=(verdict(0.4),)), at("03:00"), 7, None, ROUTES)
    assert [PeakForecast(0.2, False, False), PeakForecast(0.05, False, False)] == peaks(served)["supply"], (
        "it is not over yet"
    )
    done = verdict(0.0, delivered_at=at("05:20"), timeliness=Timeliness.MET)
    apply_decisions(served.store, Decisions(service_days=(done,)), at("05:21"), 7, None, ROUTES)
    keep(served, night(2, 0.3))
    assert {PeakForecast(0.4, False), PeakForecast(0.3, False, False), PeakForecast(0.2, False, False)} == set(
        peaks(served)["supply"]
    )
    assert DATE in forecasts.load_back_tests(served.store, micros(NOW))["supply"].nights


def test_another_shape_ends_the_back_tests_of_its_service_alone(served: Estate) -> None:
    names = [name for (name,) in served.rows("SELECT name FROM service ORDER BY name")]
    for name in names:
        forecasts.reset_back_tests(served.store, None, name, SHAPE)
        keep(served, night(1, service=name))
    known = forecasts.load_back_tests(served.store, micros(NOW))
    assert dict.fromkeys(names, SHAPE) == {
        name: back_tested_service.shape for name, back_tested_service in known.items()
    }
    other = ServiceShape("05:30 by load", SHAPE.jobs)
    forecasts.reset_back_tests(served.store, None, "supply", other)
    assert names == sorted({"supply", *peaks(served)})
    assert "supply" not in peaks(served)
    assert BackTestedService(other) == forecasts.load_back_tests(served.store, micros(NOW))["supply"]


def test_nights_that_are_too_long_ago_to_count_are_forgotten(served: Estate) -> None:
    keep(served, night(1), night(100))
    assert {"supply": [PeakForecast(0.2, False, False)]} == peaks(served)
    assert [(1,)] == served.rows("SELECT count(*) FROM back_test")
