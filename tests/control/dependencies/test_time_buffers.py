"""Time buffers are found, and confounders are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from console.control.dependencies.time_buffers import NightMatrix, suggest_dependencies
from console.domain.dependency import JobNights, NightRun
from tests.control.dependencies.buffered_estate import ZONE, BufferedEstate, generate

ESTATE = BufferedEstate()
KINDS = {
    "as usual": ESTATE,
    "no coupling of sizes": replace(ESTATE, coupling=0.0),
    "names say nothing": replace(ESTATE, named_alike=0.0),
    "slow nights": replace(ESTATE, load=0.3),
    "three months": replace(ESTATE, nights=90),
    "many other jobs": replace(ESTATE, alone=120),
    "many failures": replace(ESTATE, fail_chance=0.05),
}


@pytest.mark.parametrize("kind", KINDS)
def test_nine_of_ten_suggestions_are_true_and_seven_of_ten_buffers_are_found(kind: str) -> None:
    right = wrong = missed = 0
    for seed in range(100, 105):
        jobs, true_pairs = generate(KINDS[kind], seed)
        pairs = {(pair.upstream, pair.downstream) for pair in suggest_dependencies(jobs, (), ZONE)}
        right, wrong, missed = (
            right + len(pairs & true_pairs), wrong + len(pairs - true_pairs), missed + len(true_pairs - pairs),
        )  # fmt: skip
    assert right / (right + wrong) >= 0.9, f"{right} right, {wrong} wrong"
    assert right / (right + missed) >= 0.7, f"{right} found, {missed} missed"


def test_a_night_is_risky_for_a_job_by_the_failures_of_others_alone() -> None:
    began = [datetime(2026, 11, day, 3, tzinfo=ZONE) for day in range(1, 21)]
    jobs = [
        JobNights(number, f"job-{number}", "cron", tuple(
            NightRun(start.date(), start, start + timedelta(minutes=5), number > 1 or start.day != 4, 1)
            for start in began
        ))
        for number in range(1, 7)
    ]  # fmt: skip
    history = NightMatrix.of(jobs, ZONE)
    assert history is not None
    assert history.risk[0, 3] == history.risk[0, 4] < 1 < history.risk[1, 3]


def test_jobs_that_wait_for_nothing_give_hardly_a_suggestion() -> None:
    jobs, _ = generate(replace(ESTATE, lines=0, alone=120), 7)
    assert len(suggest_dependencies(jobs, (), ZONE)) <= 3


def test_connected_jobs_are_not_suggested_whatever_the_distance() -> None:
    jobs, true_pairs = generate(ESTATE, 100)
    ids = {job.name: job.id for job in jobs}
    known = {(ids[upstream], ids[downstream]) for upstream, downstream in true_pairs}
    suggested = {(ids[pair.upstream], ids[pair.downstream]) for pair in suggest_dependencies(jobs, known, ZONE)}
    assert not suggested & known
    assert not suggested & {(first, last) for first, middle in known for other, last in known if middle == other}


def test_a_suggestion_counts_its_violations_from_the_runs() -> None:
    jobs, true_pairs = generate(ESTATE, 100)
    nights = {job.name: {run.business_date: run for run in job.runs} for job in jobs}
    pairs = [pair for pair in suggest_dependencies(jobs, (), ZONE) if (pair.upstream, pair.downstream) in true_pairs]
    assert any(pair.violated for pair in pairs)
    for pair in pairs:
        above, below = nights[pair.upstream], nights[pair.downstream]
        early = [day for day, run in below.items() if not _was_ready(above[day], run.started)]
        assert [*pair.violated] == early
        assert pair.harmed == sum(not below[day].is_good or below[day].attempts > 1 for day in early)


def _was_ready(run: NightRun, at: datetime) -> bool:
    return run.is_good and run.ended is not None and run.ended <= at + timedelta(seconds=1)


def test_the_order_of_jobs_decides_nothing() -> None:
    jobs, _ = generate(ESTATE, 101)
    assert suggest_dependencies(jobs, (), ZONE) == suggest_dependencies(jobs[::-1], (), ZONE)


def test_too_few_nights_suggest_nothing() -> None:
    jobs, _ = generate(replace(ESTATE, nights=10), 100)
    assert [] == suggest_dependencies(jobs, (), ZONE)
    assert [] == suggest_dependencies((), (), ZONE)
