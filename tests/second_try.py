"""A second try of what failed, once all parts of the suite have ended: a tool for accidents of the machine, no habit.

As a plugin (`-p tests.second_try --failures FILE`) it writes how one part ended and what failed in it. As a command
(`python -m tests.second_try FILE...`) it runs what failed once more, alone, and names each that passes then with its
first failure. docs/decisions/2026-11-30-second-try.md says why.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

ROOT = Path(__file__).parents[1]
MAX_UNITS = 20
"""More failed units than this are no accident."""
LOST_WORKER = "???"
"""The phase under which pytest-xdist reports the test that ran when a worker process ended."""
TRIED_AGAIN = {"setup", "call", "teardown"}
CLOCK = ("LD_PRELOAD", "SHIFT_BEGAN", "SHIFT_SECONDS")
"""The variables that set the clock of a part (Makefile): the second try has the same."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed, with the phase and the first line of the error; a file where collection failed."""

    test: str
    phase: str
    error: str

    @property
    def unit(self) -> str:
        """What counts as one: a test, or all tests of a file whose set-up failed."""
        return self.test.partition("::")[0] if self.phase == "setup" else self.test


@dataclass
class Part:
    """How one part of the suite ended: pytest's exit status, what failed, in order, and the variables of `CLOCK`."""

    status: int = pytest.ExitCode.INTERNAL_ERROR
    failures: list[Failure] = field(default_factory=list)
    clock: dict[str, str] = field(default_factory=dict)


PART = TypeAdapter(Part)


# -- the plugin --------------------------------------------------------------------------------------------------------
class Recorder:
    """Records what fails in a session, and writes it when the session ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = Part(clock={name: os.environ[name] for name in CLOCK if name in os.environ})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.part.failures.append(Failure(report.nodeid, report.when, first_line(report)))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.part.failures.append(Failure(report.nodeid, "collect", first_line(report)))

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.part.status = int(exitstatus)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(PART.dump_json(self.part, indent=1))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--failures", type=Path, help="write how this session ends, and what fails, to this file")


def pytest_configure(config: pytest.Config) -> None:
    path: Path | None = config.getoption("failures")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(path))


def first_line(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The first line of the error that the report is about."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    return next(iter(text.strip().splitlines()), "")


# -- the command -------------------------------------------------------------------------------------------------------
def main() -> int:
    """The exit status of the suite: 0 where all that failed passes alone."""
    parser = argparse.ArgumentParser(prog="python -m tests.second_try", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="what the parts of the suite wrote")
    paths: list[Path] = parser.parse_args().files
    parts = {path: recorded(path) for path in paths}
    refusals = [f"{path.stem}: {reason}" for path, part in parts.items() if (reason := refusal(part))]
    ended = [part for part in parts.values() if part is not None]
    failures = [failure for part in ended for failure in part.failures]
    units = {failure.unit for failure in failures}
    if not units and not refusals:
        refusals.append("no test has failed: what failed is no test")
    if len(units) > MAX_UNITS:
        refusals.append(f"{len(units)} tests failed, more than {MAX_UNITS}: no accident")
    if refusals:
        print("no second try:", *refusals, sep="\n  ")
        return 1
    statuses = [again(part) for part in ended if part.failures]
    print(f"{'failed' if any(statuses) else 'passed'} at the second try ({len(units)}):")
    for failure in failures:
        print(f"  {failure.test} ({failure.phase}): {failure.error}")
    return int(any(statuses))


def recorded(path: Path) -> Part | None:
    """What a part wrote; None where it wrote nothing, or not to its end."""
    with suppress(OSError, ValidationError):
        return PART.validate_json(path.read_bytes())
    return None


def refusal(part: Part | None) -> str | None:
    """Why this part gets no second try: it did not come to its end, or what failed cannot be run alone."""
    if part is None:
        return "has no record of how it ended"
    if part.status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return f"ended with status {part.status}"
    if part.status != pytest.ExitCode.OK and not part.failures:
        return "failed without a failed test"
    return next(
        (f"{failure.test}: {failure.error}" for failure in part.failures if failure.phase not in TRIED_AGAIN), None
    )


def again(part: Part) -> int:
    """pytest's exit status for what failed in the part, in one process, in the same order."""
    tests = list(dict.fromkeys(failure.test for failure in part.failures))
    argv = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]
    return subprocess.run(argv, cwd=ROOT, env={**os.environ, **part.clock}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
