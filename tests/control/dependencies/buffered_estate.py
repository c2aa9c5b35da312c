"""Estates in which some jobs wait for others by a time buffer, and confounders that only resemble one.

A downstream starts by its clock, a buffer after its upstream usually ends. Confounders: jobs at the same clocks, a
slow night or a slow host that delays all its jobs, weekends, chains, and names that suggest nothing or mislead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from console.domain.dependency import JobNights, NightRun

ZONE = ZoneInfo("Europe/Berlin")
FIRST = date(2026, 9, 1)
TOPICS = (
    "orders", "stock", "prices", "rates", "claims", "ledger", "returns", "visits", "leads", "payroll", "invoices",
    "shipments", "forecast", "budget", "assets", "tickets", "quotes", "loans", "fraud", "energy",
)  # fmt: skip
VERBS = ("extract", "load", "refresh", "report", "export", "check", "merge", "publish")


@dataclass(frozen=True, slots=True)
class BufferedEstate:
    """Knobs of one estate."""

    lines: int = 14
    """Chains of two to four jobs, joined by buffers."""
    alone: int = 40
    """Jobs that wait for nothing, most at common clocks."""
    nights: int = 60
    late_chance: float = 0.06
    """Of an upstream to end after its downstream's start."""
    harm: float = 0.7
    """Chance that a downstream that started too early fails, or is run again."""
    coupling: float = 0.5
    """How much of an upstream's volume its downstream takes over."""
    load: float = 0.15
    """Spread of a night's and a host's common slowness."""
    fail_chance: float = 0.015
    named_alike: float = 0.6
    """Share of lines whose jobs share a word."""


@dataclass(slots=True)
class _Job:
    name: str
    system: str
    clock: float
    minutes: float
    upstream: _Job | None = None
    is_named_after: bool = False
    volume: np.ndarray = field(default_factory=lambda: np.zeros(0))
    started: np.ndarray = field(default_factory=lambda: np.zeros(0))
    ended: np.ndarray = field(default_factory=lambda: np.zeros(0))
    is_good: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    attempts: np.ndarray = field(default_factory=lambda: np.zeros(0, int))


def generate(knobs: BufferedEstate, seed: int) -> tuple[list[JobNights], set[tuple[str, str]]]:
    """The jobs with their nights, and the true pairs (upstream, downstream) by name."""
    rng = np.random.default_rng(seed)
    jobs = list(_jobs(knobs, rng))
    days = [FIRST + timedelta(days=number) for number in range(knobs.nights)]
    night_load = rng.normal(0, knobs.load, knobs.nights)
    hosts = {job.system: rng.normal(0, knobs.load, knobs.nights) for job in jobs}
    weekend = np.array([0.25 if day.weekday() >= 5 else 0.0 for day in days])
    for job in jobs:
        _play(job, knobs, night_load + hosts[job.system] + weekend * rng.choice((-1, 0, 1)), rng)
    pairs = {(job.upstream.name, job.name) for job in jobs if job.upstream}
    order = rng.permutation(len(jobs))
    return [_nights(jobs[place], place + 1, days) for place in order], pairs


def _jobs(knobs: BufferedEstate, rng: np.random.Generator) -> Iterator[_Job]:
    systems = ("cron", "airflow", "dwh", "erp")
    for line in range(knobs.lines):
        topic = TOPICS[line % len(TOPICS)] if rng.random() < knobs.named_alike else ""
        above: _Job | None = None
        clock = float(rng.choice((60, 90, 120, 150, 180, 240)) + rng.choice((0, 5, 15)))
        for step in range(int(rng.integers(2, 5))):
            minutes = float(rng.uniform(4, 50))
            name = f"{rng.choice(VERBS)}_{topic}{step}" if topic else f"job{rng.integers(10_000):04}"
            job = _Job(f"{rng.choice(systems)}/{name}-{line}", str(rng.choice(systems)), clock, minutes, above)
            yield job
            above = job
            # the next clock: the upstream's usual end and a margin, on a full five minutes
            clock = float(np.ceil((clock + minutes * rng.uniform(1.3, 1.9) + 2) / 5) * 5)
    for number in range(knobs.alone):
        topic = rng.choice(TOPICS) if rng.random() < 0.4 else f"task{rng.integers(10_000):04}"
        clock = float(rng.choice((0, 60, 120, 180, 240, 300)) + rng.choice((0, 0, 0, 30)))
        system = str(rng.choice(systems))
        yield _Job(f"{system}/{rng.choice(VERBS)}_{topic}-x{number}", system, clock, float(rng.uniform(2, 60)))


def _play(job: _Job, knobs: BufferedEstate, slowness: np.ndarray, rng: np.random.Generator) -> None:
    nights = knobs.nights
    own = rng.normal(0, 0.18, nights)
    above = job.upstream
    shared = knobs.coupling * rng.random() if above else 0.0
    job.volume = own if above is None else shared * above.volume + (1 - shared) * own
    minutes = job.minutes * np.exp(job.volume + slowness)
    late = rng.random(nights) < knobs.late_chance
    minutes = np.where(late, minutes * rng.uniform(1.8, 4.0, nights), minutes)
    job.started = job.clock + rng.uniform(0, 0.3, nights)
    job.ended = job.started + minutes
    slow_night = np.clip(np.exp(4 * slowness), 0.3, 6)
    fails = rng.random(nights) < knobs.fail_chance * slow_night
    job.attempts = np.ones(nights, int)
    if above is not None:
        too_early = (above.ended > job.started) | ~above.is_good
        harmed = too_early & (rng.random(nights) < knobs.harm)
        again = harmed & (rng.random(nights) < 0.5)  # a person runs it again after the upstream
        job.attempts = np.where(again, 2, 1)
        job.ended = np.where(again, np.maximum(job.ended, above.ended + 10) + minutes, job.ended)
        fails |= harmed & ~again
    job.is_good = ~fails


def _nights(job: _Job, number: int, days: list[date]) -> JobNights:
    runs = []
    for place, day in enumerate(days):
        midnight = datetime(day.year, day.month, day.day, tzinfo=ZONE)
        began, ended = (midnight + timedelta(minutes=float(at[place])) for at in (job.started, job.ended))
        runs.append(NightRun(day, began, ended, bool(job.is_good[place]), int(job.attempts[place])))
    return JobNights(number, job.name, job.system, tuple(runs))
