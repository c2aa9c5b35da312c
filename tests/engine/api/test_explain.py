"""What `headway why` and `headway service review` see is what the engine judges."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connectors.sdk.states import RunState
from console.config.services import DeadlineSettings
from console.engine.api.explain import why_job
from tests.engine.bench import estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler


def test_a_run_is_explained_for_as_long_as_its_service_may_still_be_delivered(tmp_path: Path) -> None:
    """Its deadline is three days after its date: the engine still evaluates its runs, and so does `why`."""
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(tmp_path, scheduler)
    supply = config.services["supply"]
    late = supply.model_copy(update={"deadline": DeadlineSettings.model_validate({"time": "06:30", "day": 3})})
    with running_bench(tmp_path, scheduler, replace(config, services={"supply": late})) as bench:
        scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(hours=70), exit_code=1)
        bench.turn()
        assert ["failed"] == [step.kind for step in why_job(bench.url, "fake/extract").reasons][:1]
