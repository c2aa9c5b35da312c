"""Two jobs of one service fail before one evaluation, or one after the other: what the receiver reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.config.sections import DependencySettings
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.present import present

AGO = timedelta(minutes=1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """`extract` and `refund` feed `load`, which delivers a service of tier 1."""
    scheduler = FakeScheduler()
    for name in ("extract", "refund", "load"):
        scheduler.job(name)
    config = estate_config(tmp_path, scheduler)
    jobs = {**config.jobs, "fake/refund": replace(config.jobs["fake/extract"], name="fake/refund")}
    more = DependencySettings(upstream="fake/refund", downstream="fake/load")
    services = {"supply": replace(config.services["supply"], tier=1)}
    config = replace(config, jobs=jobs, services=services, dependencies=(*config.dependencies, more))
    with running_bench(tmp_path, scheduler, config) as made:
        made.turn()
        yield made


def fails(bench: Bench, job: str) -> None:
    bench.scheduler.attempt(job, f"{job}-1", RunState.FAILED, present() - AGO, exit_code=1, message=f"{job}: exit 1")


def test_two_failures_of_one_evaluation_are_one_message(bench: Bench) -> None:
    fails(bench, "extract")
    fails(bench, "refund")
    bench.turn()
    [(_, title, body)] = bench.sink.got
    assert ": restart extract and refund by " in title
    assert title.endswith(" [INC-0001, INC-0002]")
    assert "headway recover INC-0001" in body
    assert "headway recover INC-0002" in body


def test_a_group_with_an_urgent_alert_is_urgent(bench: Bench) -> None:
    fails(bench, "extract")
    fails(bench, "refund")
    bench.turn()
    with bench.store.read() as session:
        [group] = session.rows("SELECT urgent FROM alert WHERE kind = 'group'")
    assert group.urgent


def test_the_second_of_two_failures_names_the_first_restart_too(bench: Bench) -> None:
    fails(bench, "extract")
    bench.turn()
    fails(bench, "refund")
    bench.turn()
    [(_, first, _), (_, second, body)] = bench.sink.got
    assert ": restart extract by " in first
    assert ": restart extract and refund by " in second
    assert body.startswith("Also restart extract (INC-0001): Supply plan needs both.")
