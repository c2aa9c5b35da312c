"""Time buffers are found by the harm of their violated nights, and what only resembles them is not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from math import comb

import pytest

from console.control.dependencies.time_buffers import suggest_dependencies
from console.domain.dependency import JobNights, NightRun
from tests.control.dependencies.buffered_estate import FIRST, ZONE, BufferedEstate, generate

ESTATE = BufferedEstate()
KINDS = {
    "as usual": ESTATE,
    "common clocks": replace(ESTATE, clock_minutes=60),
    "loaded nights that harm": replace(ESTATE, loaded=(0.12, 4.0)),
    "loaded targets that harm": replace(ESTATE, targets=4, loaded=(0.08, 8.0)),
    "mondays": replace(ESTATE, monday=1.5),
    "neighbors never harmed": replace(ESTATE, near=0.8, alone=60),
    "flaky": replace(ESTATE, flaky=0.3),
    "chains": replace(ESTATE, steps=4, lines=6),
    "hourly": replace(ESTATE, hourly=0.4),
    "changed upstream": replace(ESTATE, changed=0.6),
}
LATE = frozenset({4, 11, 17, 23})


def suggested(jobs: list[JobNights], known: Collection[tuple[int, int]] = ()) -> set[tuple[str, str]]:
    return {(pair.upstream, pair.downstream) for pair in suggest_dependencies(jobs, known, ZONE)}


def nightly(
    number: int, name: str, hour: int, minutes: int, late: Collection[int] = (), harmed: Collection[int] = (),
    target_id: int = 1,
) -> JobNights:  # fmt: skip
    """Thirty nights: on the late ones it takes two hours more, on the harmed ones it fails."""
    runs = []
    for night in range(30):
        day = FIRST + timedelta(days=night)
        start = datetime(day.year, day.month, day.day, hour, tzinfo=ZONE)
        end = start + timedelta(minutes=minutes + 120 * (night in late))
        runs.append(NightRun(day, start, end, night not in harmed, 1))
    return JobNights(number, f"cron/{name}", target_id, tuple(runs))


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind == "as usual" else pytest.mark.deep) for kind in KINDS]
)
def test_nearly_all_suggestions_are_true_and_two_of_three_buffers_are_found(kind: str) -> None:
    right = wrong = missed = 0
    for seed in range(100, 105):
        jobs, true_pairs = generate(KINDS[kind], seed)
        pairs = suggested(jobs)
        right, wrong, missed = (
            right + len(pairs & true_pairs), wrong + len(pairs - true_pairs), missed + len(true_pairs - pairs),
        )  # fmt: skip
    assert right / (right + wrong) >= 0.95, f"{right} right, {wrong} wrong"
    assert right / (right + missed) >= 0.65, f"{right} found, {missed} missed"


def test_a_pair_has_the_counts_and_the_chance_of_these() -> None:
    jobs = [nightly(1, "a", 2, 60, late=LATE), nightly(2, "b", 4, 10, harmed={4, 11, 17, 9})]
    [pair] = suggest_dependencies(jobs, (), ZONE)
    assert (30, 3, 1) == (pair.nights, pair.harmed, pair.harmed_otherwise)
    assert tuple(FIRST + timedelta(days=night) for night in sorted(LATE)) == pair.violated
    assert pytest.approx((4 * 26 + 1) / comb(30, 4)) == pair.p
    assert (timedelta(hours=1), timedelta(hours=1)) == (pair.buffer, pair.delay)


def test_neither_a_name_nor_a_buffer_that_always_suffices_is_evidence() -> None:
    same_name = [nightly(1, "orders_extract", 2, 110), nightly(2, "orders_load", 4, 10, harmed={3, 9})]
    assert set() == suggested(same_name)


def test_violated_nights_without_harm_are_no_evidence() -> None:
    assert set() == suggested([nightly(1, "a", 2, 60, late=LATE), nightly(2, "b", 4, 10, harmed={1, 2, 3, 5})])


def test_a_night_on_which_all_is_late_and_all_fails_joins_no_jobs() -> None:
    jobs = [nightly(hour, f"job{hour}", hour, 50, late=LATE, harmed=LATE) for hour in range(1, 8)]
    assert set() == suggested(jobs)


def test_a_night_on_which_all_of_one_target_is_late_and_fails_joins_no_jobs_of_it() -> None:
    jobs = [nightly(hour, f"job{hour}", hour, 50, late=LATE, harmed=LATE) for hour in range(1, 8)]
    others = [nightly(10 + hour, f"other{hour}", hour, 50, target_id=2) for hour in range(1, 10)]
    assert set() == suggested([*jobs, *others])


def test_an_upstream_that_failed_in_time_says_nothing() -> None:
    jobs = [nightly(1, "a", 2, 60, harmed=LATE), nightly(2, "b", 4, 10, harmed=LATE)]
    assert set() == suggested(jobs)


@pytest.mark.parametrize("attempts, minutes", [(2, 10), (1, 1)], ids=["run again", "far shorter"])
def test_a_rerun_or_a_run_far_shorter_than_usual_is_harm(attempts: int, minutes: int) -> None:
    below = nightly(2, "b", 4, 10)
    runs = tuple(
        replace(run, attempts=attempts, ended=run.started + timedelta(minutes=minutes)) if night in LATE else run
        for night, run in enumerate(below.runs)
    )
    jobs = [nightly(1, "a", 2, 60, late=LATE), replace(below, runs=runs)]
    assert {("cron/a", "cron/b")} == suggested(jobs)


def test_of_several_upstreams_the_one_that_explains_the_harm_is_suggested() -> None:
    chain = [
        nightly(1, "a", 1, 100, late={4, 11}), nightly(2, "b", 3, 50, late=LATE | {26}, harmed={26}),
        nightly(3, "c", 5, 10, harmed=LATE | {26}), nightly(4, "other", 3, 40, late={4, 11, 17}),
    ]  # fmt: skip
    assert {("cron/b", "cron/c")} == suggested(chain)


def test_what_a_known_dependency_explains_is_no_evidence_for_another() -> None:
    jobs = [
        nightly(1, "a", 2, 60, late=LATE), nightly(2, "b", 4, 10, harmed=LATE),
        nightly(3, "other", 2, 70, late=LATE),
    ]  # fmt: skip
    assert 1 == len(suggested(jobs))
    assert set() == suggested(jobs, {(1, 2)})


def test_connected_jobs_are_not_suggested_whatever_the_distance() -> None:
    jobs, true_pairs = generate(replace(ESTATE, steps=3), 100)
    ids = {job.name: job.id for job in jobs}
    known = {(ids[upstream], ids[downstream]) for upstream, downstream in true_pairs}
    pairs = {(ids[upstream], ids[downstream]) for upstream, downstream in suggested(jobs, known)}
    assert not pairs & known
    assert not pairs & {(first, last) for first, middle in known for other, last in known if middle == other}


@pytest.mark.deep
def test_jobs_that_wait_for_nothing_give_hardly_a_suggestion() -> None:
    found = [len(suggested(generate(replace(ESTATE, lines=0, alone=80), seed)[0])) for seed in range(10)]
    assert sum(found) <= 2


def test_the_order_of_jobs_decides_nothing() -> None:
    jobs, _ = generate(ESTATE, 101)
    assert suggest_dependencies(jobs, (), ZONE) == suggest_dependencies(jobs[::-1], (), ZONE)


def test_few_nights_and_no_ended_run_suggest_nothing() -> None:
    assert set() == suggested(generate(replace(ESTATE, nights=4), 100)[0])
    assert set() == suggested([])
    open_run = NightRun(FIRST, datetime(2026, 9, 1, tzinfo=ZONE), None, False, 1)
    assert set() == suggested([JobNights(1, "a", 1, (open_run,)), JobNights(2, "b", 1, ())])
