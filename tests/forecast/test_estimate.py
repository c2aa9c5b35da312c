"""How long a job takes, and from where we know."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from console.control.snapshot.estimates import estimate_duration, quantile, total_duration, weakest_basis
from console.domain.history import DurationEstimate, DurationQuantiles, EstimateKind
from tests.factories import job, minutes
from tests.rows import each_row

EXTRACT = job(1, "etl-hosts/db07:extract", "03:10")
DECLARED = job(1, "etl-hosts/db07:extract", "03:10", expected=minutes(14))


def test_five_successes_are_a_history() -> None:
    estimate = estimate_duration(DECLARED, (600, 660, 720, 780, 840))
    assert (
        DurationEstimate(1, EstimateKind.HISTORY, 5, DurationQuantiles(minutes(12), minutes(13.6), minutes(13.8)))
        == estimate
    )


def test_four_successes_are_not_and_what_is_declared_counts() -> None:
    assert DurationEstimate(1, EstimateKind.DECLARED, 4, DurationQuantiles(*(minutes(14),) * 3)) == estimate_duration(
        DECLARED, (1, 2, 3, 4)
    )


def test_without_history_and_declaration_there_is_no_estimate() -> None:
    assert DurationEstimate(1, EstimateKind.NONE, 4, None) == estimate_duration(EXTRACT, (1, 2, 3, 4))


@each_row(
    "elapsed, expected",
    [
        (0, (minutes(12), minutes(13.6), minutes(13.8))),
        (11.5, (minutes(13), minutes(13.8), minutes(13.9))),
        (14, (minutes(14),) * 3),
        (90, (minutes(90),) * 3),
    ],
)
def test_a_running_job_is_measured_by_the_runs_that_took_longer(
    elapsed: float, expected: tuple[timedelta, ...]
) -> None:
    durations = (600, 660, 720, 780, 840)
    assert expected == total_duration(estimate_duration(EXTRACT, durations), durations, minutes(elapsed))


def test_a_running_job_with_a_declared_duration_that_has_passed_may_end_at_any_moment() -> None:
    assert (minutes(20),) * 3 == total_duration(estimate_duration(DECLARED, ()), (), minutes(20))
    assert total_duration(estimate_duration(EXTRACT, ()), (), minutes(20)) is None


def test_a_path_is_labelled_by_its_weakest_part() -> None:
    long, short = (
        DurationEstimate(1, EstimateKind.HISTORY, runs, DurationQuantiles(*(minutes(1),) * 3)) for runs in (60, 14)
    )
    declared, none = estimate_duration(DECLARED, ()), estimate_duration(EXTRACT, ())
    assert "history (at least 14 runs of each job)" == weakest_basis([long, short]).path_text
    assert "declared duration" == weakest_basis([long, declared]).path_text
    assert "no estimate" == weakest_basis([long, declared, none]).path_text == weakest_basis([]).path_text


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_lie_between_the_extremes_and_rise_with_the_share(values: list[float], a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert min(values) <= quantile(values, low) <= quantile(values, high) + 1e-6
    assert quantile(values, high) <= max(values) + 1e-6
