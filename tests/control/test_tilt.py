"""What is told of a service's P(late), and all that is told beside it, are of the same samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.control.forecast.simulation.look import answer, told_as
from console.control.forecast.simulation.outcome import quantiles
from console.control.forecast.simulation.restart import restart
from console.control.forecast.simulation.slack import slack_of
from console.control.forecast.simulation.tilt import UNSEEN
from tests.control.test_late_risk import PROMISE, seen_at

SEEN = seen_at(450.0, 3)
SHARES = np.linspace(0.01, 0.99, 99)


@given(late=st.floats(0.01, 0.99), deadline=st.floats(1700, 2200))
def test_quantiles_pass_the_deadline_where_what_is_told_says_so(late: float, deadline: float) -> None:
    promise = replace(PROMISE, deadline=deadline)
    told = told_as(SEEN, promise, late)
    both = told.outcome(promise)
    assert both.weights.sum() == pytest.approx(1.0)
    said = answer(told, promise).late
    before = SHARES[quantiles(both.finish, both.weights, SHARES) <= deadline].max(initial=0.0)
    assert before == pytest.approx(1 - said, abs=0.06)
    assert said == pytest.approx(late) or not 0 < (both.finish > deadline).mean() < 1


def test_what_no_sample_shows_is_hardly_feared_and_what_all_show_hardly_hoped_for() -> None:
    easy, lost = (replace(PROMISE, deadline=each) for each in (9000.0, 500.0))
    assert answer(told_as(SEEN, easy, 0.4), easy).late == UNSEEN
    assert answer(told_as(SEEN, lost, 0.4), lost).late == 1 - UNSEEN


@pytest.mark.parametrize("late", [0.05, 0.3, 0.6, 0.95])
def test_slack_and_act_by_are_of_the_odds_that_are_told(late: float) -> None:
    """The more likely late, the sooner must be acted; the median slack is below nothing from even odds on."""
    jobs = [int(each) for each in np.flatnonzero(SEEN.tonight.stand == 0)][:1]
    promise = replace(PROMISE, deadline=float(np.median(SEEN.outcome(PROMISE).finish)))
    told, more = (told_as(SEEN, promise, each) for each in (late, min(late + 0.2, 0.99)))
    slack = slack_of(told, promise)
    assert (slack.seconds[promise.ends[0]] < 0) == (late > 0.5)
    first, second = (restart(each, promise, slack_of(each, promise), jobs, 0.25) for each in (told, more))
    assert first is None or second is None or second[0] <= first[0]
    assert slack.weights.sum() == pytest.approx(1.0)
