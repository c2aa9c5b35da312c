"""`headway recover`: what goes to stdout is data, for people or for a program."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from connectors.contract import State
from console.cli.exits import Exit
from console.cli.main import main
from tests.engine.bench import Bench
from tests.engine.conftest import bench

__all__ = ["bench"]

NOW = datetime.now(UTC)


@contextmanager
def at_work(bench: Bench) -> Iterator[None]:
    """The engine's parts that a person waits for, on a thread."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            bench.parts.answers.step(bench.fence)
            bench.parts.actions.step(bench.fence)
            bench.turn()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def fail(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", State.FAILED, NOW - timedelta(minutes=1), message="exit 1")
    bench.scheduler.on_act = lambda key: succeed(bench, key)
    bench.turn()


def succeed(bench: Bench, key: str) -> None:
    bench.scheduler.attempt("extract", "a2", State.SUCCEEDED, NOW, action_key=key, period_key=None)


def test_with_json_stdout_is_one_document_from_the_step_to_its_end(bench: Bench) -> None:
    fail(bench)
    argv = [sys.executable, "-m", "console", "--store", bench.url, "recover", "INC-0001", "--yes", "--json"]
    with at_work(bench):
        done = subprocess.run([*argv, "--timeout", "30"], capture_output=True, text=True, timeout=60, check=False)
    assert (Exit.OK, "run again") == (done.returncode, json.loads(done.stdout)["verb"]), done.stderr


def test_a_closed_incident_says_why_it_is_over(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    fail(bench)
    bench.scheduler.end("a1", State.SUCCEEDED, NOW)
    bench.turn()
    capsys.readouterr()
    words = "closed: green again, with everything that it had hurt"
    assert Exit.OK == main(["--store", bench.url, "recover", "INC-0001"])
    assert f"{words}\n" == capsys.readouterr().out
    assert Exit.OK == main(["--store", bench.url, "recover", "INC-0001", "--json"])
    assert {"steps": [], "closed": words} == json.loads(capsys.readouterr().out)
