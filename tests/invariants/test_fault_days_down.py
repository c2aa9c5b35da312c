"""Headway itself was down for three days: what happened meanwhile is read, evaluated, and notified as a digest
(F11)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.records import Schedule, instant_key
from connectors.sdk.states import RunState
from console.domain.ids import micros
from tests.engine.bench import Bench
from tests.engine.notify.test_routing import bench_of, later, post_of, route, rows
from tests.lab.process import wait_until

DAYS = timedelta(days=3)
HOURLY = Schedule("debian-cron", "5 * * * *", "UTC")
JOBS_PER_KIND = 40
WELL = [f"well{number:03}" for number in range(JOBS_PER_KIND)]
REPAIRED = [f"mended{number:03}" for number in range(JOBS_PER_KIND)]
RED = [f"red{number:03}" for number in range(JOBS_PER_KIND)]
MISSED = [f"missed{number:03}" for number in range(JOBS_PER_KIND)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An engine that saw all jobs three days ago, everything well, and was not there since."""
    jobs = [*WELL, *REPAIRED, *RED, *MISSED]
    with bench_of(tmp_path, ["extract", "load"], oncall=route("ONE")) as made:
        for name in jobs:
            made.scheduler.job(name, HOURLY)
        shift(made, -DAYS)
        made.turn()
        assert [] == post_of(made).got
        yield made


def shift(bench: Bench, by: timedelta) -> None:
    """The engine's and the scheduler's clocks are so far from the real one."""
    real = datetime.now(UTC)
    with bench.store.write(None) as connection:
        connection.rows("DELETE FROM clock")
        connection.rows(
            "INSERT INTO clock (id, origin_us, started_us, rate, paused) VALUES (1, ?, ?, 1.0, FALSE)",
            (micros(real + by), micros(real)),
        )
    bench.scheduler.now = lambda: datetime.now(UTC) + by
    ahead = timedelta(minutes=1)
    wait_until(lambda: abs(bench.parts.clock.now() - bench.scheduler.now()) < ahead, "the row to be seen")


def happen(bench: Bench) -> int:
    """What ran in the three days: how many attempts."""
    last = datetime.now(UTC).replace(minute=5, second=0, microsecond=0)
    last -= timedelta(hours=1 if last > datetime.now(UTC) - timedelta(minutes=2) else 0)
    hours = [last - timedelta(hours=number) for number in range(70)][::-1]
    ends = dict.fromkeys(WELL, (RunState.SUCCEEDED, RunState.SUCCEEDED))
    ends |= dict.fromkeys(REPAIRED, (RunState.FAILED, RunState.SUCCEEDED)) | dict.fromkeys(
        RED, (RunState.FAILED, RunState.FAILED)
    )
    for name, (before, at_last) in ends.items():
        for at in hours:
            state = at_last if at == hours[-1] else before
            bench.scheduler.attempt(name, f"{name} {at}", state, at, period_key=instant_key(at))
    return len(ends) * len(hours)


def test_f11_after_three_days_down_there_are_ten_alerts_and_a_digest_and_no_thousands(bench: Bench) -> None:
    ran = happen(bench)
    shift(bench, timedelta(0))
    bench.restart()
    for _ in range(3):
        bench.turn()
        later(bench, timedelta(seconds=6))
    assert [(ran,)] == rows(bench, "SELECT count(*) FROM attempt")
    titles = [title for _, title, _ in post_of(bench).got]
    assert len(titles) <= 12, titles
    text = "\n".join(body for _, _, body in post_of(bench).got)
    assert [] == [name for name in (*WELL, *REPAIRED) if name in text]
    with bench.reads() as reads:
        open_ones = {incident.title.subject.partition("/")[2] for incident in reads.incidents.list_incidents()}
    assert {*RED, *MISSED} == open_ones
