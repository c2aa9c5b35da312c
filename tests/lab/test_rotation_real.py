"""cron's log rotated in every way while jobs log all the time and an engine polls each second: no run lost or doubled.

The lines are cron's own of level 15 (start, error, end), sent through the host's /dev/log, so rsyslog writes them as it
writes cron's. A job fails each fourth time: its exit status must come through a rotation between start and end too.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.lab.cronhost import CronHost, Rotation
from tests.lab.estate import Estate
from tests.lab.headway import Headway
from tests.lab.headway_config import Options
from tests.lab.process import HANGS_SECONDS, LabError, wait_until

JOB = "etl-hosts/etl02:busy_job"
COMMAND = "true busy"
ROTATIONS: tuple[Rotation, ...] = ("rename", "gzip", "copytruncate", "inode-reuse")
ROUNDS = 2
RUNS_BETWEEN = 3
FIRST_PID = 2_000_000  # above every real process of this machine
EVERY_SECONDS = 0.5


@dataclass
class Busy:
    """Jobs that start and end on a host until stopped."""

    host: CronHost
    started: list[int] = field(default_factory=list)
    """Process ids, in order."""
    quiet: threading.Lock = field(default_factory=threading.Lock)
    """Held while a line is on its way into the log, and while the log is rotated: a copy before it is truncated has all
    lines, and the file that the lab puts in rsyslog's place as well."""
    over: threading.Event = field(default_factory=threading.Event)
    failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.over.wait(EVERY_SECONDS):
                self.run_once()
        except BaseException as failure:  # noqa: BLE001  raised in the test that waits
            self.failure = failure

    def run_once(self) -> None:
        """Start, and half a second later the end; a rotation may fall between."""
        pid, child = FIRST_PID + 2 * len(self.started), FIRST_PID + 2 * len(self.started) + 1
        self.log(child, f"(root) CMD ([{pid}] {COMMAND})")
        self.started.append(pid)
        self.over.wait(0.4)
        if is_red(pid):
            self.log(child, f"(CRON) error (grandchild #{pid} failed with exit status 3)")
        self.log(child, f"(root) END ([{pid}] {COMMAND})")

    def log(self, child: int, text: str) -> None:
        with self.quiet:
            self.host.log_to_syslog(text, f"CRON[{child}]")

    def wait_for(self, more: int) -> None:
        """Returns when so many more runs have started."""
        goal = len(self.started) + more
        wait_until(lambda: self.failure is not None or len(self.started) >= goal, f"run {goal}")
        if self.failure is not None:
            raise self.failure


def is_red(pid: int) -> bool:
    return pid // 2 % 4 == 3


@dataclass
class RotationReport:
    """The engine's figures at the end."""

    pids: list[int]
    runs: list[dict[str, Any]]
    """By start."""
    target: dict[str, Any]


@pytest.fixture(scope="module")
def rotation_report(lab: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RotationReport]:
    host = lab.etl02
    host.write_cron_d("busy", f"# headway: busy_job\n10 3 * * * root {COMMAND}\n")
    options = Options(systems=("etl-hosts",), hosts=("etl02",), poll_every="1s")
    headway = Headway(lab.write_config(tmp_path_factory.mktemp("rotation") / "config", options))
    busy = Busy(host)
    writer = threading.Thread(target=busy.run, daemon=True)
    try:
        with headway.running_engine():
            wait_until(lambda: headway.listed("job", "list", "busy_job"), "busy_job to be known", pause=0.3)
            writer.start()
            rotate_all(busy)
            busy.over.set()
            writer.join(HANGS_SECONDS)
            if busy.failure is not None:
                raise busy.failure
            yield run_rotation(headway, busy)
    finally:
        busy.over.set()
        host.remove_cron_d("busy")


def rotate_all(busy: Busy) -> None:
    """Each way, twice over, with runs before, between and after."""
    for how in ROTATIONS * ROUNDS:
        busy.wait_for(RUNS_BETWEEN)
        with busy.quiet:
            busy.host.rotate(how)
    busy.wait_for(RUNS_BETWEEN)


def run_rotation(headway: Headway, busy: Busy) -> RotationReport:
    def runs() -> list[dict[str, Any]]:
        return headway.listed("run", JOB, "--limit", "200")

    with contextlib.suppress(LabError):  # what is lost is for the tests to say
        wait_until(lambda: len(runs()) >= len(busy.started), f"{len(busy.started)} runs", pause=0.5)
    wait_until(lambda: all(run["ended"] for run in runs()), "the end of each run", pause=0.5)
    [target] = headway.json("status")["systems"]
    return RotationReport(busy.started, sorted(runs(), key=lambda row: str(row["started"])), target)


def test_every_start_is_one_run_and_none_is_reported_twice(rotation_report: RotationReport) -> None:
    assert RUNS_BETWEEN * (len(ROTATIONS) * ROUNDS + 1) <= len(rotation_report.pids)
    assert len(rotation_report.pids) == len(rotation_report.runs)
    assert {1} == {run["attempts"] for run in rotation_report.runs}


def test_every_end_is_the_one_that_cron_logged(rotation_report: RotationReport) -> None:
    expected = [("failed", 3) if is_red(pid) else ("succeeded", 0) for pid in rotation_report.pids]
    assert expected == [(run["state"], run["exit_code"]) for run in rotation_report.runs]
    assert {"native"} == {run["evidence"] for run in rotation_report.runs}


def test_no_poll_failed_and_no_line_was_skipped(rotation_report: RotationReport) -> None:
    assert ("", 0) == (rotation_report.target["error"], rotation_report.target["skipped"])
