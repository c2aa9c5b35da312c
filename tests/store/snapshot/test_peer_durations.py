"""What jobs of one place usually take."""

from __future__ import annotations

from itertools import pairwise

from console.domain.estate import JobFacts
from console.domain.history import DurationQuantiles
from console.store.snapshot.estate import FIRST_REFRESH_US, MAX_INTERVAL_US, PeerDurations
from tests.factories import job, minutes

JOBS: dict[int, JobFacts] = {number: job(number, f"dwh/j{number}", target_id=number // 10) for number in range(1, 13)}


def test_those_of_a_target_and_of_a_system_that_ran_often_enough_are_counted() -> None:
    took = {number: (60.0 * number,) * 5 for number in JOBS} | {12: (9.0,) * 4}
    known = PeerDurations().refresh(JOBS, took, MAX_INTERVAL_US)
    assert {0: 9, "dwh": 11} == {place: like.jobs for place, like in known.items()}
    assert DurationQuantiles(minutes(6), minutes(10), minutes(11)) == known["dwh"].takes


TASKS = {number: job(number, f"dwh/t{number}", parent_id=1) for number in range(1, 9)}
TOOK = dict.fromkeys(range(1, 13), (60.0,) * 9)


def test_tasks_are_left_out_and_what_an_engine_learns_after_its_start_is_known_a_minute_later() -> None:
    peers = PeerDurations()
    assert {} == peers.refresh(TASKS, TOOK, MAX_INTERVAL_US)
    assert {} == peers.refresh(JOBS, TOOK, MAX_INTERVAL_US + FIRST_REFRESH_US - 1)
    assert {0, "dwh"} == peers.refresh(JOBS, TOOK, MAX_INTERVAL_US + FIRST_REFRESH_US).keys()


def test_it_is_read_again_less_and_less_often_and_every_six_hours_at_last() -> None:
    peers, read = PeerDurations(), []
    for minute in range(3 * 24 * 60):
        before = peers.priors
        peers.refresh(JOBS, TOOK, MAX_INTERVAL_US + minute * FIRST_REFRESH_US)
        read += [minute] * (peers.priors is not before)
    gaps = [later - sooner for sooner, later in pairwise(read)]
    assert [1, 2, 4, 8, 16, 32, 64, 128, 256] == gaps[:9]
    assert {6 * 60} == set(gaps[9:])
