"""Forecasts against what became of them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from console.control.services.risk import ENOUGH_DAYS, score_forecasts, scores_by_service
from console.domain.forecast import ForecastDay, PublishedForecast
from tests.factories import at

DUE = at("06:30")


def day(*late: float, was: bool = False, service: str = "daily", spread: int = 20) -> ForecastDay:
    forecasts = tuple(
        PublishedForecast(at("03:00"), value, at("06:00"), at("06:00") + timedelta(minutes=spread)) for value in late
    )
    return ForecastDay(service, DUE, DUE + timedelta(minutes=5 if was else -5), forecasts)


def test_a_perfect_forecast_scores_full_and_the_base_rate_has_no_skill() -> None:
    sure = score_forecasts([day(0.0)] * 3 + [day(1.0, was=True)])
    assert (4, 1, 0.0, 1.0, 0.0) == (sure.days, sure.late, sure.brier, sure.skill, sure.ece)
    base = score_forecasts([day(0.25)] * 3 + [day(0.25, was=True)])
    assert (0.0, 0.0) == (base.skill, base.ece)


def test_every_day_counts_the_same_however_often_it_was_forecast() -> None:
    often, once = day(*[0.5] * 9), day(1.0, was=True)
    assert score_forecasts([often, once]).brier == pytest.approx(0.125)


def test_what_was_never_delivered_was_late_and_what_was_never_forecast_is_not_scored() -> None:
    lost = ForecastDay("daily", DUE, None, (PublishedForecast(at("03:00"), 0.9, None, None),))
    score = score_forecasts([lost, ForecastDay("daily", DUE, None, ())])
    assert (1, 1, None, None) == (score.days, score.late, score.skill, score.sharpness)


def test_bins_show_how_often_it_came_true_and_the_spread_is_the_median() -> None:
    score = score_forecasts(
        [day(0.3, spread=10), day(0.3, spread=30), day(0.3, was=True, spread=50), day(1.0, was=True)]
    )
    assert [(0.2, 0.35, 3.0), (0.95, 1.0, 1.0)] == [
        (score_bin.low, score_bin.high, score_bin.days) for score_bin in score.bins
    ]
    assert 1 / 3 == pytest.approx(score.bins[0].late)
    assert timedelta(minutes=25) == score.sharpness


def test_a_service_whose_forecasts_mislead_says_so_once_enough_days_are_over() -> None:
    wolf = [day(0.9)] * ENOUGH_DAYS
    assert "past forecasts were 90 % off on average" == score_forecasts(wolf).trouble
    assert "" == score_forecasts(wolf[1:]).trouble
    blind = [day(0.05)] * 10 + [day(0.0, was=True)] + [day(0.05)] * 10
    assert "worse than forecasting" in score_forecasts(blind).trouble


def test_services_are_scored_apart() -> None:
    scores = scores_by_service([day(0.9, service="b"), day(0.0, service="a")])
    assert [("a", 0.0), ("b", 0.81)] == [(score.service, round(score.brier or 0.0, 2)) for score in scores]


def test_without_forecasts_there_is_no_score() -> None:
    score = score_forecasts([])
    assert (0, None, None, "") == (score.days, score.brier, score.ece, score.trouble)
