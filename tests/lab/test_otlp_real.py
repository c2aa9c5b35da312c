"""Rotel, a collector of OpenTelemetry data, receives what the engine exports by OTLP, and prints it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.engine.test_otlp import exporter
from tests.lab import venvs
from tests.lab.process import Daemon, accepts, clean_environment, free_port, wait_until

__all__ = ["bench"]


@pytest.fixture
def rotel(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a collector, and the file that it prints to."""
    [agent] = venvs.ROTEL.made().glob("lib/python*/site-packages/rotel/rotel-agent")
    http, grpc, log = free_port(), free_port(), tmp_path / "rotel.log"
    addresses = ["--otlp-http-endpoint", f"127.0.0.1:{http}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}"]
    printed = ["--debug-log", "traces", "--debug-log", "metrics", "--debug-log-verbosity", "detailed"]
    argv = [str(agent), "start", *addresses, "--exporter", "blackhole", *printed]
    daemon = Daemon(argv, log, clean_environment(HOME=str(tmp_path)))
    daemon.start()
    try:
        daemon.wait_ready(lambda: accepts(http), "Rotel listens", 60)
        yield f"http://127.0.0.1:{http}", log
    finally:
        daemon.stop()


def test_a_collector_accepts_metrics_and_the_span_of_a_failed_run(bench: Bench, rotel: tuple[str, Path]) -> None:
    url, log = rotel
    bench.turn()
    exporting = exporter(bench, url)
    exporting.step(bench.fence)
    end = datetime.now(UTC)
    bench.scheduler.attempt(
        "extract", "extract-1", RunState.FAILED, end - timedelta(minutes=2), ended_at=end, exit_code=3
    )
    bench.turn()
    exporting._metrics_due = 0.0
    exporting.step(bench.fence)
    assert "" == exporting.trouble
    for text in (
        "-> service.name: Str(headway)", "-> Name: headway_target_up", "DataType: Gauge",
        "cicd.pipeline.name: Str(fake/extract)", "cicd.pipeline.result: Str(failure)", "process.exit.code: Int(3)",
        "-> Name: cicd.pipeline.run.active", "-> Name: cicd.pipeline.run.duration", "DataType: Histogram",
    ):  # fmt: skip
        wait_until(partial(prints, log, text), text, 20)


def prints(log: Path, text: str) -> bool:
    return text in log.read_text()
