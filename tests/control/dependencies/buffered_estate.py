"""Estates in which some jobs wait for others by a time buffer, and what only resembles it.

A downstream starts by its clock, a margin after its upstream usually ends. On some nights the upstream is late, and on
some of these the downstream fails, is run again, or finds too little to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import ceil
from zoneinfo import ZoneInfo

import numpy as np

from console.domain.dependency import JobNights, NightRun

ZONE = ZoneInfo("Europe/Berlin")
FIRST = date(2026, 9, 1)
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class BufferedEstate:
    """Knobs of one estate."""

    lines: int = 15
    steps: int = 2
    """Jobs of a line, each after the one before it."""
    alone: int = 40
    """Jobs that wait for nothing."""
    nights: int = 60
    clock_minutes: int = 15
    """Clocks are multiples of it."""
    late: Range = (0.1, 0.3)
    """Chance of an upstream to end after its downstream's start."""
    harm: Range = (0.5, 1.0)
    """Chance that a downstream that started too early is harmed."""
    fail: Range = (0.01, 0.05)
    """Chance of a failure of its own."""
    flaky: float = 0.0
    """Share of jobs that fail on 10 to 25 % of nights."""
    near: float = 0.0
    """Share of lone jobs that start shortly after another ends, and are never harmed by it."""
    targets: int = 1
    """A line is on one of them."""
    loaded: Range = (0.0, 1.0)
    """Share of nights on which all jobs of a target take 1.8 times as long, and fail so many times as often."""
    monday: float = 1.0
    """How much longer all jobs take on Mondays."""
    hourly: float = 0.0
    """Share of lines, and half the share of lone jobs, that run each hour."""
    changed: float = 0.0
    """Share of lines whose first job gets another clock in the middle of the history."""
    weekdays: float = 0.0
    """Share of lines that do not run at weekends."""


@dataclass(slots=True, eq=False)
class _Job:
    number: int
    clock: float
    minutes: float
    fail: float
    target: int
    upstream: _Job | None = None
    harm: float = 0.0
    buffer: float = 60.0
    late: float = 0.03
    is_hourly: bool = False
    weekdays: bool = False
    change: float = 0.0
    ends: dict[tuple[int, int], float] = field(default_factory=dict)
    """(night, hour) -> minutes since the midnight before that night."""

    @property
    def name(self) -> str:
        return f"cron/job{self.number:04}"


def generate(knobs: BufferedEstate, seed: int) -> tuple[list[JobNights], set[tuple[str, str]]]:
    """The jobs with their nights, and the true pairs (upstream, downstream) by name."""
    rng = np.random.default_rng(seed)
    jobs = list(_jobs(knobs, rng))
    is_loaded = rng.random((knobs.targets, knobs.nights)) < knobs.loaded[0]
    middle = knobs.nights // 2 + int(rng.integers(-5, 6))
    histories = []
    for job in jobs:
        runs = tuple(_runs(job, knobs, is_loaded[job.target], middle, rng))
        histories.append(JobNights(job.number + 1, job.name, job.target, runs))
    pairs = {(job.upstream.name, job.name) for job in jobs if job.upstream}
    return [histories[number] for number in rng.permutation(len(jobs))], pairs


def _jobs(knobs: BufferedEstate, rng: np.random.Generator) -> Iterator[_Job]:
    """Upstreams first."""
    numbers = iter(rng.permutation(knobs.lines * knobs.steps + knobs.alone))

    def made(clock: float, minutes: float) -> _Job:
        fail = rng.uniform(0.1, 0.25) if rng.random() < knobs.flaky else rng.uniform(*knobs.fail)
        number = int(next(numbers))
        return _Job(number, clock, minutes, float(fail), number % knobs.targets)

    def clock_after(minutes: float) -> float:
        return float(ceil(minutes / knobs.clock_minutes) * knobs.clock_minutes)

    lined = list[_Job]()
    for _ in range(knobs.lines):
        is_hourly, weekdays = rng.random() < knobs.hourly, bool(rng.random() < knobs.weekdays)
        above = made(rng.uniform(0, 15), rng.uniform(5, 15)) if is_hourly else made(
            clock_after(rng.uniform(-60, 420)), rng.uniform(5, 60))  # fmt: skip
        above.is_hourly, above.weekdays = is_hourly, weekdays
        above.change = float(rng.choice((-45, -30, 20))) if not is_hourly and rng.random() < knobs.changed else 0.0
        lined.append(above)
        for _ in range(1 if is_hourly else knobs.steps - 1):
            ends = above.clock + max(above.change, 0.0) + above.minutes * rng.uniform(1.2, 1.8) + 2
            job = made(ends if is_hourly else clock_after(ends), rng.uniform(5, 15 if is_hourly else 50))
            job.upstream, job.harm, job.is_hourly, job.weekdays = above, rng.uniform(*knobs.harm), is_hourly, weekdays
            job.target = above.target
            above.late = rng.uniform(0.02, 0.08) if is_hourly else rng.uniform(*knobs.late)
            above.buffer = job.clock - above.clock - above.minutes
            lined.append(above := job)
    yield from lined
    for _ in range(knobs.alone):
        clock, is_hourly = rng.uniform(-60, 540), rng.random() < knobs.hourly / 2
        if lined and rng.random() < knobs.near:
            other = lined[int(rng.integers(len(lined)))]
            clock = other.clock + other.minutes * rng.uniform(1.05, 1.5)
        job = made(clock % 60 if is_hourly else clock_after(clock), rng.uniform(2, 30 if is_hourly else 60))
        job.is_hourly = is_hourly
        yield job


def _runs(
    job: _Job, knobs: BufferedEstate, is_loaded: np.ndarray, middle: int, rng: np.random.Generator
) -> Iterator[NightRun]:
    for night in range(knobs.nights):
        day = FIRST + timedelta(days=night)
        if job.weekdays and day.weekday() >= 5:
            continue
        midnight = datetime(day.year, day.month, day.day, tzinfo=ZONE)
        slowness = (1.8 if is_loaded[night] else 1.0) * (knobs.monday if day.weekday() == 0 else 1.0)
        fail = job.fail * (knobs.loaded[1] if is_loaded[night] else 1.0) / (4 if job.is_hourly else 1)
        for hour in range(24) if job.is_hourly else (0,):
            start = job.clock + 60 * hour + (job.change if night >= middle else 0.0) + rng.uniform(0, 1)
            minutes = job.minutes * slowness * float(np.exp(rng.normal(0, 0.2)))
            if rng.random() < job.late:
                delay = job.buffer * rng.uniform(1.05, 2.5) + 2
                start, minutes = (start + delay, minutes) if rng.random() < 0.3 else (start, minutes + delay)
            is_good, attempts = True, 1
            above_ended = job.upstream.ends.get((night, hour), 0.0) if job.upstream else 0.0
            if job.upstream and above_ended > start and rng.random() < job.harm:
                outcome = rng.random()
                if outcome < 0.5:
                    is_good, minutes = False, minutes * rng.uniform(0.1, 1.0)
                elif outcome < 0.8:  # a person runs it again after the upstream
                    attempts, minutes = 2, max(minutes, above_ended - start + rng.uniform(2, 20)) + minutes
                else:
                    minutes = job.minutes * rng.uniform(0.05, 0.3)
            elif rng.random() < fail:
                is_good, attempts, minutes = (
                    (False, 1, minutes * rng.uniform(0.1, 1.0)) if rng.random() < 0.7
                    else (True, 2, minutes * rng.uniform(1.2, 2.2))
                )  # fmt: skip
            job.ends[night, hour] = start + minutes
            began, ended = (midnight + timedelta(minutes=float(at)) for at in (start, start + minutes))
            yield NightRun(began.date() if job.is_hourly else day, began, ended, is_good, attempts)
