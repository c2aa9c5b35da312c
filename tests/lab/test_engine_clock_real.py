"""The engine's own clock is set by hours, and set right again: nothing is reported that did not happen.

libfaketime sets the clock of the engine's process alone; the host, its cron and its log keep the real time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
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


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    sink = HttpSink()
    sink.start()
    yield sink
    sink.stop()


@pytest.fixture
def headway(db07: CronHost, sink: HttpSink, tmp_path: Path) -> Iterator[Headway]:
    """Watches `tick`, which starts each minute, and `sour`, which fails in the first minute and succeeds afterwards."""
    jobs = CronJobs(db07)
    jobs.behave("sour", "fail")
    jobs.schedule({"tick": "* * * * *", "sour": "* * * * *"}, wrapped=True)
    hook = tmp_path / "hook"
    hook.touch(0o600)
    hook.write_text(sink.json_url())
    config = tmp_path / "headway.toml"
    config.write_text(
        CONFIG.format(port=db07.port, key=db07.key, known=db07.known_hosts, hook=hook, grace=GRACE_SECONDS)
    )
    yield Headway(config)
    db07.remove_crontab("etl")


def test_an_engine_clock_that_is_set_reports_no_missed_start_and_no_old_failure(
    db07: CronHost, headway: Headway, sink: HttpSink, tmp_path: Path
) -> None:
    clock = EngineClock(tmp_path / "offset")

    def states(job: str) -> list[str]:
        return [str(run["state"]) for run in headway.listed("run", f"etl/db07:{job}")]

    def has_more(starts: int) -> bool:
        return len(states("tick")) > starts

    def titles() -> list[str]:
        return [str(post.data["title"]) for post in sink.posts]

    with headway.running_engine(**clock.environment) as engine:
        engine.wait_ready(lambda: WORKING in engine.log.read_text(), "the engine to work", 60)
        wait_until(lambda: len(headway.json("job")) == 2, "the inventory", 60, 0.5)
        wait_until(lambda: "failed" in states("sour"), "the failure", 150, 0.5)
        CronJobs(db07).behave("sour", "succeed")
        wait_until(lambda: any(title.startswith("Resolved: ") for title in titles()), "the recovery", 150, 0.5)
        before = titles()
        for offset in (timedelta(hours=1), timedelta(0), timedelta(hours=-2), timedelta(0)):
            clock.set(offset)
            starts = len(states("tick"))
            wait_until(partial(has_more, starts), f"a start at {offset}", 150, 0.5)
            time.sleep(GRACE_SECONDS)
            assert before == titles(), offset
            assert not {"missed", "failed"} & set(states("tick")), offset
        assert "broke" not in engine.log.read_text()
