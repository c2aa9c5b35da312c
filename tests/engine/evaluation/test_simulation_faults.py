"""A simulation that fails: its services keep their sums and say so, all others have their figures, and it is
reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.sdk.states import RunState
from console.domain.service import ServiceView
from console.engine.notify.self_monitoring import PARTS
from console.engine.supervisor.engine import _persistent_troubles
from console.forecast import forecaster
from console.forecast.night_graph import NightPoint
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.present import present
from tests.reasons import reason_of

FAULT = "ArithmeticError: these services cannot be simulated and are forecast by sums of usual durations: supply"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A second service, which shares no job with the first."""
    scheduler = FakeScheduler()
    for name in ("extract", "load", "alone"):
        scheduler.job(name)
    config = estate_config(tmp_path, scheduler)
    alone = replace(config.services["supply"], name="alone", title="Alone", delivered_by=("fake/alone",))
    jobs = {**config.jobs, "fake/alone": replace(config.jobs["fake/load"], name="fake/alone")}
    config = replace(config, services={**config.services, "alone": alone}, jobs=jobs)
    with running_bench(tmp_path, scheduler, config) as made:
        for name in ("extract", "load", "alone"):
            made.scheduler.attempt(name, f"{name} a1", RunState.RUNNING, present() - timedelta(minutes=1))
        yield made


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> Iterator[pytest.MonkeyPatch]:
    """The simulation of whatever needs `extract` raises."""
    whole = forecaster.Forecaster._prepare

    def breaking(self: Any, snapshot: Any, points: list[NightPoint], *more: Any) -> Any:
        if any(snapshot.job(point.job_id).name == "fake/extract" for point in points):
            raise ArithmeticError("singular")
        return whole(self, snapshot, points, *more)

    with monkeypatch.context() as patched:
        patched.setattr(forecaster.Forecaster, "_prepare", breaking)
        yield patched


def services(bench: Bench) -> dict[str, ServiceView]:
    bench.turn()
    with bench.reads() as reads:
        return {service.name: service for service in reads.services.list_services()}


def test_a_service_that_cannot_be_simulated_says_so_and_costs_no_other_its_figures(
    bench: Bench, broken: pytest.MonkeyPatch
) -> None:
    reported_services = services(bench)
    assert reported_services["supply"].p_late is None
    assert reported_services["supply"].expected is not None
    assert reason_of(reported_services["supply"]).endswith(
        "; its simulation failed: this is a sum of usual times, see headway status"
    )
    assert reported_services["alone"].p_late is not None
    assert "simulation" not in reason_of(reported_services["alone"])


def test_it_is_trouble_of_the_engines_own_until_it_is_well(bench: Bench, broken: pytest.MonkeyPatch) -> None:
    class Well:
        def keeps_breaking(self) -> tuple[str, dict[str, str]]:
            return "", {}

    with capture_logs() as logs:
        for _ in range(2):
            bench.turn()
            bench.parts.evaluator._whole_at = 0.0
            assert FAULT == bench.parts.trouble("")
    assert [["supply"]] == [log["services"] for log in logs if "simulation failed" in log["event"]], "once"
    judging = bench.parts.evaluator
    assert {PARTS: FAULT} == _persistent_troubles([Well()], judging.trouble, judging.unforeseen)  # type: ignore[list-item]
    assert "" == bench.parts.health.unhealthy_reason(), "alerts leave: the ping goes on"
    broken.undo()
    bench.parts.evaluator._whole_at = 0.0
    assert services(bench)["supply"].p_late is not None
    assert "" == bench.parts.trouble("")
