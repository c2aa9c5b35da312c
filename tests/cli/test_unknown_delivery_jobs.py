"""A service whose `delivered_by` names a job that nobody has seen: said by the engine's log, status and its own row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import headway

WARNING = "delivered_by names an unknown job: fake/laod; did you mean fake/load?"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(tmp_path, scheduler)
    supply = replace(config.services["supply"], delivered_by=("fake/extract", "fake/laod", "other/x"))
    config = replace(config, services={"supply": supply})
    with running_bench(tmp_path, scheduler, config) as made:
        yield made


def row(bench: Bench) -> dict[str, object]:
    [document] = json.loads(headway(bench.url, "service", "--json").out)
    return dict(document)


def test_an_unknown_delivery_job_is_reported_once_the_system_has_listed_its_jobs(bench: Bench) -> None:
    """Before the first poll every name is one that nobody has seen."""
    assert "nobody has seen" not in json.dumps(row(bench))
    with capture_logs() as logs:
        bench.turn()
        bench.turn()
    [details] = [log for log in logs if log["event"] == "a service waits for a job that does not exist"]
    assert ("warning", "supply", WARNING) == (details["log_level"], details["service"], details["text"])
    assert WARNING == row(bench)["problem"]
    assert str(row(bench)["reason"]).endswith(WARNING)
    status = " ".join(headway(bench.url, "status").out.split())
    assert f"supply: {WARNING}" in status
    assert 'config names "fake/laod"' not in status
    assert WARNING in " ".join(headway(bench.url, "service", "supply").out.split())


def test_it_is_silent_once_the_job_is_seen(bench: Bench) -> None:
    bench.turn()
    bench.scheduler.job("laod")
    bench.restart()
    bench.turn()
    assert "nobody has seen" not in json.dumps(row(bench))
    assert "nobody has seen" not in headway(bench.url, "status").out
