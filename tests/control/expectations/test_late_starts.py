"""How long a start is waited for that comes some time after its instant, each night another: over 25 nights from the
first one on, whose delays are drawn here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.expectations.expected_runs import expect_runs
from console.domain.estate import JobFacts
from console.domain.history import SuccessfulRun, build_history
from tests.factories import NIGHT, at, daily, estate, job, target
from tests.reasons import why_of
from tests.rows import each_row

NIGHTS, DUE, WINDOW = 25, at("00:00"), 360.0
"""The window is of minutes."""
DAILY = job(1, "etl-hosts/db07:backup.service", daily("00:00"), kind="systemd", accepted_at=at("12:00", day=-1))
DOCUMENTED = replace(DAILY, schedule=replace(DAILY.schedule, window=timedelta(minutes=WINDOW)))
SHAPES: dict[str, Callable[[Random], float]] = {
    "even": lambda dice: dice.uniform(0, WINDOW),
    "two humps": lambda dice: dice.choice((dice.uniform(0, 40), dice.uniform(WINDOW - 40, WINDOW))),
    "rarely late": lambda dice: dice.uniform(WINDOW / 2, WINDOW) if dice.random() < 0.1 else dice.uniform(0, 1),
}


def verdict_at(now: datetime, job: JobFacts, earlier: Sequence[float]) -> tuple[RunState, str]:
    """Of the start that is due at DUE and has not come; `earlier`: delays in minutes, the oldest first."""
    runs = []
    for back, delay in enumerate(reversed(earlier), 1):
        due = int((DUE - timedelta(days=back)).timestamp())
        day = NIGHT.toordinal() - back
        runs.append(SuccessfulRun(back, due, due + 60 * round(delay) + 60, 60.0, 60 * delay, -1.0, 1, -1.0, "", day))
    facts = replace(
        estate(job, targets=[target(last_ok_at=now, seen_until=now)]), history={job.id: build_history(runs)}
    )
    (run,) = (run for run in expect_runs(facts, now).runs if run.period_at == DUE)
    return run.state, why_of(run, run.period_at)


def false_misses(job: JobFacts, delays: Sequence[float]) -> list[int]:
    """Numbers of the nights whose start is called MISSED just before it comes."""
    return [
        night
        for night, delay in enumerate(delays)
        if verdict_at(DUE + timedelta(minutes=delay), job, delays[:night])[0] is RunState.MISSED
    ]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", SHAPES)
def test_no_start_within_the_window_of_its_schedule_is_missed(shape: str, seed: int) -> None:
    dice = Random(f"{shape} {seed}")
    assert [] == false_misses(DOCUMENTED, [SHAPES[shape](dice) for _ in range(NIGHTS)])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", SHAPES)
def test_of_25_nights_without_a_window_few_starts_are_missed(shape: str, seed: int) -> None:
    dice = Random(f"{shape} {seed}")
    missed = false_misses(DAILY, [SHAPES[shape](dice) for _ in range(NIGHTS)])
    assert len(missed) <= 4
    assert len([night for night in missed if night >= 5]) <= 2


@each_row(
    "job, earlier, last_planned, first_missed, text",
    [
        (DOCUMENTED, [], "06:04:59", "06:05", "no run by 06:05 UTC; starts up to 6h later"),
        (DOCUMENTED, [10.0] * 20, "06:04:59", "06:05", "no run by 06:05 UTC; usually starts 10m later, at most 6h"),
        (DOCUMENTED, [200.0], "06:44:59", "06:45", "no run by 06:45 UTC; starts up to 6h40m later"),
        (DAILY, [], "00:04:59", "00:05", "no run by 00:05 UTC"),
        (DAILY, [45.0], "01:34:59", "01:35", "no run by 01:35 UTC; starts up to 1h30m later"),
        (DAILY, [1.0] * 18 + [80.0, 90.0], "01:39:29", "01:39:30", "no run by 01:39 UTC; starts up to 1h34m later"),
        (DAILY, [0.0] * 3 + [90.0], "01:57:29", "01:57:30", "no run by 01:57 UTC; starts up to 1h52m later"),
        (
            DAILY,
            [30.0] * 19 + [120.0],
            "02:10:59",
            "02:11",
            "no run by 02:11 UTC; usually starts 30m later, at most 2h6m",
        ),
        (DAILY, [-1 / 60] * 10 + [90.0], "03:04:59", "03:05", "no run by 03:05 UTC; starts up to 3h later"),
        (DAILY, [90.0] + [1.0] * 20, "00:04:59", "00:05", "no run by 00:05 UTC"),
    ],
)
def test_a_start_that_is_gone_is_missed_at_the_end_of_its_window(
    job: JobFacts, earlier: list[float], last_planned: str, first_missed: str, text: str
) -> None:
    assert RunState.PLANNED is verdict_at(at(last_planned), job, earlier)[0]
    assert (RunState.MISSED, text) == verdict_at(at(first_missed), job, earlier)


QUARTERLY = replace(DAILY, schedule=Schedule("debian-cron", "*/15 * * * *"))


@each_row(
    "job, earlier, first_missed, text",
    [
        (DAILY, [14 * 60.0], at("00:05", day=1), "no run by 21 Nov 00:05 UTC; starts up to 1d later"),
        (QUARTERLY, [14.0], at("00:20"), "no run by 00:20 UTC; starts up to 15m later"),
        (QUARTERLY, [1.0] * 18 + [6.0] * 2, at("00:11:18"), "no run by 00:11 UTC; starts up to 6m18s later"),
        (replace(QUARTERLY, schedule=replace(QUARTERLY.schedule, window=timedelta(hours=2))), [119.0],
         at("02:05"), "no run by 02:05 UTC; starts up to 2h later"),
    ],
)  # fmt: skip
def test_no_start_is_waited_for_longer_than_until_the_next_one_is_due_but_where_its_source_names_it(
    job: JobFacts, earlier: list[float], first_missed: datetime, text: str
) -> None:
    """One late start in the first night would else double the wait of the next one."""
    assert RunState.PLANNED is verdict_at(first_missed - timedelta(seconds=1), job, earlier)[0]
    assert (RunState.MISSED, text) == verdict_at(first_missed, job, earlier)


@each_row(
    "usual, odd, first_missed",
    [(0.0, 360.0, "00:05"), (0.0, 30.0, "00:05"), (1 / 30, 1080.0, "00:05"), (30.0, 360.0, "00:36:35")],
)
@pytest.mark.parametrize("nights", [5, 20])
@pytest.mark.parametrize("since", [0, 4])
def test_one_odd_night_delays_no_verdict(nights: int, since: int, usual: float, odd: float, first_missed: str) -> None:
    """A missed start that a person made up for hours later is no start of the scheduler."""
    earlier = [usual] * (nights - since - 1) + [odd] + [usual] * since
    at_most = timedelta(minutes=6) if nights == 5 else timedelta(0)
    assert RunState.MISSED is verdict_at(at(first_missed) + at_most, DAILY, earlier)[0]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shape", SHAPES)
def test_the_bound_of_a_wait_calls_no_further_start_missed(shape: str, seed: int) -> None:
    """A later start would be that of the next instant."""
    dice = Random(f"{shape} {seed}")
    missed = false_misses(QUARTERLY, [SHAPES[shape](dice) * 15 / WINDOW for _ in range(NIGHTS)])
    assert len([night for night in missed if night >= 5]) <= 2


REPORTED = [
    (6, "117 54 234 26 193 131 21 183 13 158 23 30 81 347 174 311 197 20 355 143 351 44 309 228 66"),
    (1, "20 31 12 44 27 38 9 52 29 18 47 33 11 25 49 36 15 41 28 22 35 13 49 42 19"),
]
"""Hours of a systemd timer's random delay and of GitHub's queue; minutes of delay, night by night."""


@pytest.mark.parametrize("hours, delays", REPORTED)
def test_none_of_the_reported_nights_is_missed(hours: int, delays: str) -> None:
    schedule = replace(DAILY.schedule, window=timedelta(hours=hours))
    assert [] == false_misses(replace(DAILY, schedule=schedule), [float(delay) for delay in delays.split()])


def test_a_job_that_starts_often_is_waited_for_through_its_window() -> None:
    """The shared table of its starts goes back as far as they are waited for."""
    often = replace(DAILY, schedule=Schedule("debian-cron", "*/15 * * * *", window=timedelta(hours=2)))
    for now, state in (("02:04:59", RunState.PLANNED), ("02:05", RunState.MISSED)):
        assert state is verdict_at(at(now), often, [])[0]
