"""What is usual for a job of a critical path, by its nights. Each begins at 03:10; waits and times are minutes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from console.domain.history import RunHistory, SuccessfulRun, build_history
from console.domain.timeline import PathJobBaseline
from console.forecast.usual import path_usual
from tests.factories import NIGHT, at

CLOCK = at("03:10")


def past(waits: Sequence[float], takes: Sequence[float], clocked: bool = True, repaired: bool = False) -> RunHistory:
    """Minutes by night, the last one first."""
    runs = []
    for back, (waited, took) in enumerate(zip(waits, takes, strict=True), 1):
        due = CLOCK - timedelta(days=back)
        ended = due + timedelta(minutes=waited + took)
        day, repair = (NIGHT - timedelta(days=back)).toordinal(), 1200.0 if repaired else -1.0
        delay, began = waited * 60 if clocked else -1.0, int(due.timestamp())
        runs.append(
            SuccessfulRun(back, began, int(ended.timestamp()), took * 60, delay, -1.0, 1, -1.0, "", day, repair)
        )
    return build_history(runs)


def usual(history: RunHistory, *above: RunHistory) -> PathJobBaseline:
    return path_usual("etl/load", history, above, NIGHT)


def test_what_waits_for_a_slot_on_every_night_usually_does() -> None:
    assert PathJobBaseline(waits=540.0) == usual(past([9.0, 8.0, 10.0] * 5, [10.0] * 15))
    assert PathJobBaseline() == usual(past([9.0] * 4, [10.0] * 4)), "four nights say too little"


def test_it_waits_from_when_all_that_it_follows_is_done() -> None:
    above = past([0.0] * 15, [20.0] * 15)
    follows = past([21.0] * 15, [10.0] * 15, clocked=False)
    assert PathJobBaseline(waits=60.0) == usual(follows, above)
    assert PathJobBaseline(waits=60.0) == usual(past([21.0] * 15, [10.0] * 15), above), (
        "its clock and its upstream let it"
    )
    assert PathJobBaseline() == usual(follows), "nobody knows when it could have started"
    assert PathJobBaseline() == usual(follows, above, past([0.0] * 3, [1.0] * 3)), "nor where one of them is not known"
    assert PathJobBaseline() == usual(past([21.0] * 15, [10.0] * 15, clocked=False, repaired=True), above)


def test_a_shifted_level_is_the_typical_duration_and_is_reported() -> None:
    baseline = usual(past([0.0] * 30, [18.0, 18.1, 17.9] + [10.0, 10.2, 9.8] * 9))
    assert PathJobBaseline(18 * 60, 0.0, "etl/load is slower since Monday: 18m instead of 10m") == baseline
    faster = usual(past([0.0] * 30, [5.0, 5.1, 4.9] + [10.0, 10.2, 9.8] * 9))
    assert "etl/load is faster since Monday: 5m instead of 10m" == faster.moved
    little = usual(past([0.0] * 30, [0.2, 0.2, 0.2] + [0.1] * 27))
    assert (12.0, "") == (little.takes, little.moved), "six seconds more are not worth a word"


def test_nights_after_the_forecast_one_are_ignored() -> None:
    history = past([0.0] * 30, [18.0, 18.1, 17.9] + [10.0, 10.2, 9.8] * 9)
    assert PathJobBaseline() == path_usual("etl/load", history, (), NIGHT - timedelta(days=3))
    assert PathJobBaseline() == usual(build_history(()))
