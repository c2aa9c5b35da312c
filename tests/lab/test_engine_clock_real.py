"""The engine's own clock is set by hours, and set right again: nothing is reported that did not happen.

A library sets the clock of the engine's process alone; the host, its cron and its log keep the real time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.dates import shifted_clock
from tests.lab.cronhost import CronHost
from tests.lab.headway import Headway
from tests.lab.jobs import CronJobs
from tests.lab.process import wait_seconds, wait_until
from tests.lab.sinks import HttpSink

pytestmark = pytest.mark.lab
GRACE_SECONDS = 10
CONFIG = """
[estate]
name = "night"
starts_in = "live"
[systems.etl]
kind = "cron"
hosts = [{{ name = "db07", address = "127.0.0.1", port = {port} }}]
user = "headway"
key = "{key}"
known_hosts = "{known}"
poll_every = "2s"
[jobs."etl/db07:tick"]
grace = "{grace}s"
[alerts]
default_route = "oncall"
[routes.oncall]
urls = [{{ file = "{hook}" }}]
"""


class EngineClock:
    """The clock of one process: `offset` is added to its wall clock and not to its monotonic one."""

    def __init__(self, folder: Path) -> None:
        self._library, self._file = shifted_clock(folder), folder / "offset"
        self._file.write_bytes(bytes(8))

    def set(self, offset: timedelta) -> None:
        with self._file.open("r+b") as file:  # in place: the engine has it mapped
            file.write(int(offset.total_seconds()).to_bytes(8, sys.byteorder, signed=True))

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "SHIFT_FILE": str(self._file)}

    @property
    def offset(self) -> timedelta:
        """By how much a process with this clock is ahead, to the minute."""
        said = subprocess.run(
            ["date", "+%s"], env={**os.environ, **self.environment}, capture_output=True, text=True, check=True
        ).stdout
        return timedelta(minutes=round((int(said) - time.time()) / 60))


@dataclass
class Watch:
    """An engine of its own config whose clock is set by `offset`, and right again; and what it posted."""

    headway: Headway
    sink: HttpSink
    clock: EngineClock
    offset: timedelta

    def states(self, job: str) -> list[str]:
        return [str(run["state"]) for run in self.headway.listed("run", f"etl/db07:{job}")]

    def titles(self) -> list[str]:
        return [str(post.data["title"]) for post in self.sink.posts]

    def knows_both_jobs(self) -> bool:
        return len(self.headway.json("job")) == 2

    def has_seen_the_failure(self) -> bool:
        return "failed" in self.states("sour")

    def has_notified_of_the_recovery(self) -> bool:
        return ("recovered", "sent") in [(row["kind"], row["state"]) for row in self.headway.deliveries()]

    def has_seen_more(self, starts: int) -> bool:
        return len(self.states("tick")) > starts


@pytest.fixture
def jobs(db07: CronHost) -> Iterator[CronJobs]:
    """`tick`, which starts each minute, and `sour`, which fails in the first minute and succeeds afterwards."""
    jobs = CronJobs(db07)
    jobs.behave("sour", "fail")
    jobs.schedule({"tick": "* * * * *", "sour": "* * * * *"}, wrapped=True)
    yield jobs
    db07.remove_crontab("etl")


@contextmanager
def watching(db07: CronHost, folder: Path, offset: timedelta) -> Iterator[Watch]:
    folder.mkdir()
    sink, clock = HttpSink(), EngineClock(folder)
    sink.start()
    try:
        hook = folder / "hook"
        hook.touch(0o600)
        hook.write_text(sink.json_url())
        config = folder / "headway.toml"
        config.write_text(
            CONFIG.format(port=db07.port, key=db07.key, known=db07.known_hosts, hook=hook, grace=GRACE_SECONDS)
        )
        headway = Headway(config)
        with headway.running_engine(**clock.environment) as engine:
            yield Watch(headway, sink, clock, offset)
            assert "broke" not in engine.log.read_text()
    finally:
        sink.stop()


def test_an_engine_clock_that_is_set_reports_no_missed_start_and_no_old_failure(
    db07: CronHost, jobs: CronJobs, tmp_path: Path
) -> None:
    """Two engines watch the same minutes: the clock of one is set ahead, that of the other back."""
    with (
        watching(db07, tmp_path / "ahead", timedelta(hours=1)) as ahead,
        watching(db07, tmp_path / "back", timedelta(hours=-2)) as back,
    ):
        watches = (ahead, back)
        for watch in watches:
            wait_until(watch.knows_both_jobs, "the inventory", pause=0.5)
            wait_until(watch.has_seen_the_failure, "the failure", pause=0.5)
        jobs.behave("sour", "succeed")
        for watch in watches:
            wait_until(watch.has_notified_of_the_recovery, "the recovery", pause=0.5)
        before = [watch.titles() for watch in watches]
        for is_set in (True, False):
            starts = [len(watch.states("tick")) for watch in watches]
            for watch in watches:
                watch.clock.set(watch.offset if is_set else timedelta(0))
                assert watch.clock.offset == (watch.offset if is_set else timedelta(0))
            for watch, count in zip(watches, starts, strict=True):
                wait_until(partial(watch.has_seen_more, count), f"a start at {watch.offset}, {is_set}", pause=0.5)
            wait_seconds(GRACE_SECONDS)
            assert before == [watch.titles() for watch in watches], is_set
            for watch in watches:
                assert not {"missed", "failed"} & set(watch.states("tick")), (watch.offset, is_set)
