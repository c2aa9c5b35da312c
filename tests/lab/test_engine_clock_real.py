"""The engine's own clock is set by hours, and set right again: nothing is reported that did not happen.

libfaketime sets the clock of the engine's process alone; the host, its cron and its log keep the real time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.lab.cronhost import CronHost
from tests.lab.headway import WORKING, Headway
from tests.lab.jobs import CronJobs
from tests.lab.needs import FAKETIME_LIBRARY
from tests.lab.process import wait_until
from tests.lab.sinks import HttpSink

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
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

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(timedelta(0))

    def set(self, offset: timedelta) -> None:
        self._file.write_text(f"{offset.total_seconds():+.0f}s\n")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(FAKETIME_LIBRARY.with_name("libfaketimeMT.so.1")),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


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
        return any(title.startswith("Resolved: ") for title in self.titles())

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
    sink, clock = HttpSink(), EngineClock(folder / "offset")
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
            engine.wait_ready(lambda: WORKING in engine.log.read_text(), "the engine to work", 60)
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
            wait_until(watch.knows_both_jobs, "the inventory", 60, 0.5)
            wait_until(watch.has_seen_the_failure, "the failure", 150, 0.5)
        jobs.behave("sour", "succeed")
        for watch in watches:
            wait_until(watch.has_notified_of_the_recovery, "the recovery", 150, 0.5)
        before = [watch.titles() for watch in watches]
        for is_set in (True, False):
            starts = [len(watch.states("tick")) for watch in watches]
            for watch in watches:
                watch.clock.set(watch.offset if is_set else timedelta(0))
            for watch, count in zip(watches, starts, strict=True):
                wait_until(partial(watch.has_seen_more, count), f"a start at {watch.offset}, {is_set}", 150, 0.5)
            time.sleep(GRACE_SECONDS)
            assert before == [watch.titles() for watch in watches], is_set
            for watch in watches:
                assert not {"missed", "failed"} & set(watch.states("tick")), (watch.offset, is_set)
