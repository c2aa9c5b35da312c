"""A job's history as the nights that stand for tonight: by business date where it runs once a night."""

from __future__ import annotations

from array import array
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.control.snapshot.estate_index import EstateIndex
from console.domain.history import RunHistory, SuccessfulRun, build_history
from console.forecast.night_graph import NightPoint
from console.forecast.past_nights import PastNights, job_past, month_end_effect
from console.forecast.simulation.values import JobPhase
from console.forecast.usual import night_kind
from tests.factories import NIGHT, at, estate, job
from tests.rows import each_row


def history(a_day: float, nights: int = 20, attempts: int = 1, lost: float = 0.0) -> RunHistory:
    """`a_day` runs of ten minutes, newest first; of each the first attempt began `lost` seconds before the last."""
    runs = []
    for number in range(int(nights * a_day)):
        back = timedelta(days=1 + number / a_day)
        began = int((at("04:00") - back).timestamp())
        day = (NIGHT - timedelta(days=int(back.days))).toordinal()
        ended = int(began + lost + 600)
        runs.append(SuccessfulRun(number, began, ended, 600.0, 0.0, -1.0, attempts, -1.0, "", day))
    return build_history(runs)


@each_row("a_day, nights", [(1, 20), (1.25, 25), (2, 0), (24, 0)])
def test_runs_are_nights_where_a_job_runs_about_once_a_day(a_day: float, nights: int) -> None:
    past = job_past(history(a_day))
    assert nights == len(past.days)
    assert list(past.days) == sorted(past.days), "oldest first"
    assert {600.0} == set(past.takes)


def test_what_was_lost_before_the_start_that_succeeded_is_its_repair_but_for_half_a_run_in_vain() -> None:
    assert {2100.0} == set(job_past(history(1, attempts=2, lost=2400.0)).repairs)
    assert {150.0} == set(job_past(history(1, attempts=2, lost=300.0)).repairs), "it failed early: it did fail"
    assert np.isnan(job_past(history(1)).repairs).all()


MONTH_END, ORDINARY = date(2026, 10, 31), date(2026, 10, 30)


@pytest.mark.parametrize("tonight, takes", [(MONTH_END, 1800.0), (ORDINARY, 600.0)])
def test_nights_are_scaled_to_a_month_end_and_month_ends_to_other_nights(tonight: date, takes: float) -> None:
    days = [tonight - timedelta(days=number) for number in range(1, 63)]
    assert 2 <= sum(night_kind(day) == "month end" for day in days)
    runs = [
        SuccessfulRun(
            number, 86_400 * day.toordinal(), 86_400 * day.toordinal() + 1800,
            1800.0 if night_kind(day) == "month end" else 600.0, 0.0, -1.0, 1, -1.0, "", day.toordinal(),
        )
        for number, day in enumerate(days)
    ]  # fmt: skip
    past = replace(build_history(runs), month_ends=array("d", [3.0] * 12))
    load = job(1, "etl/load")
    index = EstateIndex(replace(estate(load), history={1: past}, durations={1: past.takes}), at("02:00"))
    point = NightPoint(1, JobPhase.WAITS, earliest=0.0)
    times = PastNights().of(index, [point], tonight).takes
    assert times == pytest.approx(np.full((62, 1), takes), rel=1e-3)


@given(st.lists(st.floats(0.5, 2.0), min_size=3, max_size=12))
def test_month_ends_count_no_more_than_their_median_and_not_where_as_many_are_shorter(
    ratios: list[float],
) -> None:
    usual = np.median(np.log(ratios))
    effect = month_end_effect(ratios)
    assert abs(effect) <= abs(usual) + 1e-9
    assert effect * usual >= 0
    assert 0 == month_end_effect([*ratios, *(1 / ratio for ratio in ratios)])


def test_month_ends_that_agree_count_in_full_and_fewer_than_three_not_at_all() -> None:
    assert month_end_effect([3.0, 3.1, 2.9, 3.0]) == pytest.approx(np.log(3), rel=0.01)
    assert 0 == month_end_effect([3.0, 3.0])
    assert 0 < month_end_effect([1.0, 2.0, 3.0, 4.0]) < 0.9 * np.log(6) / 2, "the less they agree, the less"
