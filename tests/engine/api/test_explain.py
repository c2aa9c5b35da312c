"""What `headway why` and `headway service review` see is what the engine judges."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.control.snapshot.estate_index import EstateIndex
from console.domain.promise import DeadlineRule, Promise
from console.engine.api import explain
from tests.engine.bench import estate_config, running_bench
from tests.factories import at, estate
from tests.fakes.scheduler import FakeScheduler


def test_a_run_is_explained_for_as_long_as_its_service_may_still_be_delivered(tmp_path: Path) -> None:
    """Its deadline is three days after its date: the engine still evaluates its runs, and so does `why`."""
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(tmp_path, scheduler)
    supply = config.services["supply"]
    late = replace(supply, deadline=time(6, 30), promise=Promise(DeadlineRule(day=3)))
    with running_bench(tmp_path, scheduler, replace(config, services={"supply": late})) as bench:
        scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(hours=70), exit_code=1)
        bench.turn()
        assert ["failed"] == [step.kind for step in explain.why_job(bench.url, "fake/extract").reasons][:1]


def test_the_commands_for_a_job_without_runs_quote_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index leaves such a job out. A shell takes `headway rerun fake/rocket & <star>` apart."""
    monkeypatch.setattr(explain, "current_estate_index", lambda *_: EstateIndex(estate(), at("03:00"), (), ()))
    scheduler = FakeScheduler()
    scheduler.job("rocket & <star>")
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        bench.turn()
        [reason] = explain.why_job(bench.url, "fake/rocket & <star>").reasons
    quoted = "'fake/rocket & <star>'"
    assert (f"headway rerun {quoted}", (f"headway job {quoted}",)) == (reason.act, reason.evidence)
