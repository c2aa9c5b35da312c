"""P(late) as one's own past corrects it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.domain.forecast import PastForecasts
from console.forecast.calibration import PRIOR, fit_slopes, recalibrated
from console.forecast.simulation.critical_path import act_by_times, slack_of
from console.forecast.simulation.simulator import UNSEEN, p_late, quantiles, reweight
from tests.forecast.test_joint_simulation import PROMISE, seen_at
from tests.rows import each_row

LATE = [PastForecasts([0.3, 0.4], was_late=True, night=night) for night in range(60)]
CALM = [PastForecasts([0.6, 0.7], was_late=False, night=night) for night in range(60)]


def test_the_past_corrects_in_both_directions() -> None:
    assert recalibrated(0.3, fit_slopes(LATE)) > 0.31
    assert recalibrated(0.7, fit_slopes(CALM)) < 0.69


def test_without_a_past_the_forecast_is_unchanged() -> None:
    assert (0.0, 0.3, 1.0) == tuple(recalibrated(number, PRIOR) for number in (0.0, 0.3, 1.0))


SEEN = seen_at(450.0, 3)
SHARES = np.linspace(0.01, 0.99, 99)


@given(late=st.floats(0.01, 0.99), deadline=st.floats(1700, 2200))
def test_quantiles_pass_the_deadline_where_the_probability_says_so(late: float, deadline: float) -> None:
    promise = replace(PROMISE, deadline=deadline)
    simulation = reweight(SEEN, promise, late)
    both = simulation.outcome(promise)
    assert both.weights.sum() == pytest.approx(1.0)
    value = p_late(simulation, promise)
    before = SHARES[quantiles(both.finish, both.weights, SHARES) <= deadline].max(initial=0.0)
    assert before == pytest.approx(1 - value, abs=0.06)
    assert value == pytest.approx(late) or not 0 < (both.finish > deadline).mean() < 1


def test_what_no_sample_shows_is_hardly_feared_and_what_all_show_hardly_hoped_for() -> None:
    easy, lost = (replace(PROMISE, deadline=number) for number in (9000.0, 500.0))
    assert p_late(reweight(SEEN, easy, 0.4), easy) == UNSEEN
    assert p_late(reweight(SEEN, lost, 0.4), lost) == 1 - UNSEEN


@each_row("late", [0.05, 0.3, 0.6, 0.95])
def test_slack_and_act_by_belong_to_the_shown_odds(late: float) -> None:
    """The more likely late, the sooner must be acted; the median slack is below nothing from even odds on."""
    jobs = [int(index) for index in np.flatnonzero(SEEN.tonight.phase == 0)][:1]
    promise = replace(PROMISE, deadline=float(np.median(SEEN.outcome(PROMISE).finish)))
    simulation, more = (reweight(SEEN, promise, value) for value in (late, min(late + 0.2, 0.99)))
    slack = slack_of(simulation, promise)
    assert (slack.seconds[promise.ends[0]] < 0) == (late > 0.5)
    first, second = (
        act_by_times(simulation_run, promise, slack_of(simulation_run, promise), jobs, 0.25)
        for simulation_run in (simulation, more)
    )
    assert first is None or second is None or second[0] <= first[0]
    assert slack.weights.sum() == pytest.approx(1.0)
