"""A job's history as the nights that stand for tonight: by business date where it runs once a night."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from console.domain.history import RunHistory, SuccessfulRun, build_history
from console.forecast.past_nights import job_past
from tests.factories import NIGHT, at


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


@pytest.mark.parametrize("a_day, nights", [(1, 20), (1.25, 25), (2, 0), (24, 0)])
def test_runs_are_nights_where_a_job_runs_about_once_a_day(a_day: float, nights: int) -> None:
    past = job_past(history(a_day))
    assert nights == len(past.days)
    assert list(past.days) == sorted(past.days), "oldest first"
    assert {600.0} == set(past.takes)


def test_what_was_lost_before_the_start_that_succeeded_is_its_repair_but_for_half_a_run_in_vain() -> None:
    assert {2100.0} == set(job_past(history(1, attempts=2, lost=2400.0)).repairs)
    assert {150.0} == set(job_past(history(1, attempts=2, lost=300.0)).repairs), "it failed early: it did fail"
    assert np.isnan(job_past(history(1)).repairs).all()
