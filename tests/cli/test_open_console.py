"""A command that names a place opens the console there, at a terminal; whoever reads lines gets lines."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.cli.main import main
from tests.bench.bigstore import make_store
from tests.deep import few
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.pty.terminal import Terminal

__all__ = ["bench"]
JOB = "fake/extract"


@pytest.fixture
def red(bench: Bench) -> Bench:
    """One incident, and the run that it began with."""
    bench.scheduler.attempt(
        "extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1), message="exit 1"
    )
    bench.turn()
    return bench


def headway(bench: Bench, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "console", "--store", bench.url, *arguments]


@pytest.mark.deep
def test_the_same_place_on_two_stores_is_that_of_the_store_that_is_named(red: Bench, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    make_store(other, 4, 8)
    for texts in (("incident", "INC-0001"), ("job", JOB)):
        argv = [sys.executable, "-m", "console", "--store", str(other), *texts]
        with Terminal(argv) as terminal:
            assert Exit.NOT_FOUND == terminal.wait_for_end()
        with Terminal(headway(red, *texts, "--no-engine"), size=(120, 36)) as terminal:
            terminal.wait_for("extract")


def date_of(bench: Bench) -> str:
    return bench.reads().jobs.job(JOB).runs[0].business_date


@pytest.mark.deep
def test_an_incident_opens_the_console_on_it_and_escape_leads_to_the_first_screen(red: Bench) -> None:
    with Terminal(headway(red, "incident", "INC-0001", "--no-engine"), size=(120, 36)) as terminal:
        terminal.wait_for("INC-0001")
        terminal.wait_for("AFFECTED SERVICES")
        terminal.press("escape")
        terminal.wait_for("SERVICES")


@pytest.mark.deep
def test_a_job_opens_the_console_on_it_and_with_a_date_on_its_run(red: Bench) -> None:
    with Terminal(headway(red, "job", JOB, "--no-engine"), size=(120, 36)) as terminal:
        terminal.wait_for("<job>")
        terminal.wait_for(JOB)
    with Terminal(headway(red, "job", JOB, "--date", date_of(red), "--no-engine"), size=(120, 36)) as terminal:
        terminal.wait_for("attempt 1")
        terminal.wait_for("exit 1")


@pytest.mark.parametrize("texts, env", few([
    (("--plain",), {}), ((), {"HEADWAY_PLAIN": "1"}), ((), {"TERM": "dumb"}), (("--json",), {}),
], 1), ids=["asked", "for good", "a terminal that shows no screen", "as JSON"])  # fmt: skip
def test_output_that_is_requested_as_lines_is_printed_at_a_terminal(
    red: Bench, texts: tuple[str, ...], env: dict[str, str]
) -> None:
    with Terminal(headway(red, "incident", "1", *texts), size=(120, 60), env=env) as terminal:
        assert Exit.OK == terminal.wait_for_end()
        assert b"\x1b[?1049h" not in terminal.received
        assert b"exit 1" in terminal.received


@pytest.mark.deep
def test_a_pipe_gets_lines(red: Bench) -> None:
    process = subprocess.run(headway(red, "incident", "1"), capture_output=True, text=True, check=True)
    assert "\nINC-0001  " in process.stdout
    assert "affected services" in process.stdout


@pytest.mark.parametrize(
    "texts",
    [
        ("incident", "99"),
        pytest.param(("job", "fake/extrct"), marks=pytest.mark.deep),
        pytest.param(("job", JOB, "--date", "2020-01-01"), marks=pytest.mark.deep),
    ],
)
def test_an_unknown_name_is_reported_without_opening_a_screen(red: Bench, texts: tuple[str, ...]) -> None:
    with Terminal(headway(red, *texts)) as terminal:
        assert Exit.NOT_FOUND == terminal.wait_for_end()
        assert b"\x1b[?1049h" not in terminal.received


def test_a_date_prints_the_runs_of_that_date_with_every_attempt(red: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.OK == main(["--store", red.url, "job", JOB, "--date", date_of(red)])
    output = capsys.readouterr().out
    assert f"business date {date_of(red)}" in output
    assert "attempt 1: failed (native)" in output
    assert Exit.OK == main(["--store", red.url, "job", JOB, "--date", date_of(red), "--json"])
    assert ["failed"] == [document["row"]["state"] for document in json.loads(capsys.readouterr().out)]


def test_a_date_without_a_run_is_refused_with_the_dates_that_have_one(
    red: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Exit.NOT_FOUND == main(["--store", red.url, "job", JOB, "--date", "2020-01-01"])
    assert f"{JOB} has no run of 2020-01-01; latest: {date_of(red)}" in capsys.readouterr().err
