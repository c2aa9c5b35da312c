"""A record that breaks every evaluation: its component is left out and reported, all else goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.decision import Decisions
from console.domain.estate import Estate
from console.engine.evaluation import evaluator as evaluate_module
from console.engine.evaluation import quarantine
from console.engine.notify.self_monitoring import PARTS
from console.engine.supervisor.engine import _persistent_troubles
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler

NAMES = [f"job{number:03}" for number in range(120)]
POISON = "fake/job077"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Jobs that stand alone, and `extract` that feeds `load`."""
    scheduler = FakeScheduler()
    for name in ("extract", "load", *NAMES):
        scheduler.job(name)
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as made:
        made.turn()
        yield made


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every evaluation that has a failed run of POISON in it raises; how many jobs each of them had."""
    seen: list[int] = []

    def breaking(estate: Estate, now: datetime, **more: Any) -> Decisions:
        seen.append(len(estate.jobs))
        bad = {number for number, job in estate.jobs.items() if job.name == POISON}
        if any(run.job_id in bad and run.state == RunState.FAILED for run in estate.runs):
            raise OverflowError("a duration of 10^300 days")
        return evaluate(estate, now, **more)

    monkeypatch.setattr(evaluate_module, "evaluate", breaking)
    return seen


def fail(bench: Bench, *names: str) -> None:
    for name in names:
        bench.scheduler.attempt(name, f"{name} a1", RunState.FAILED, datetime.now(UTC) - timedelta(seconds=5))


def notified_causes(bench: Bench) -> list[str]:
    """Causes: in the details where the title does not name them in full."""
    alerts = [(title, re.search(r"^Cause +(\S+)$", body, re.MULTILINE)) for _, title, body in bench.sink.got]
    return sorted(cause[1] if cause is not None else title.partition(" failed")[0] for title, cause in alerts)


def test_f07_a_record_that_breaks_the_evaluation_hides_no_other_failure(bench: Bench, poisoned: list[int]) -> None:
    fail(bench, "extract", "job003", "job077", "job119")
    bench.turn()
    bench.turn()
    assert ["fake/extract", "fake/job003", "fake/job119"] == notified_causes(bench)
    assert "OverflowError: these jobs fail evaluation and are left out: fake/job077" == bench.parts.evaluator.trouble
    assert "fake/job077" in bench.parts.trouble("")


def test_f07_later_incidents_are_notified_too_without_a_search_each_time(bench: Bench, poisoned: list[int]) -> None:
    fail(bench, "job077")
    bench.turn()
    bench.turn()
    before = len(poisoned)
    fail(bench, "job050")
    bench.turn()
    assert ["fake/job050"] == notified_causes(bench)
    assert len(poisoned) - before <= 4, "the search by halves takes more"


def test_f07_only_what_hangs_together_with_the_record_is_left_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, poisoned: list[int]
) -> None:
    monkeypatch.setattr(f"{__name__}.POISON", "fake/load")
    fail(bench, "load", "job001")
    bench.turn()
    bench.turn()
    assert ["fake/job001"] == notified_causes(bench)
    assert bench.parts.evaluator.trouble.endswith("left out: fake/extract, fake/load")


def test_f07_it_is_judged_again_once_it_can_be(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, poisoned: list[int]
) -> None:
    fail(bench, "job077")
    bench.turn()
    bench.turn()
    assert [] == notified_causes(bench)
    monkeypatch.setattr(f"{__name__}.POISON", "nothing")
    monkeypatch.setattr(quarantine, "RETRY_SECONDS", 0.0)
    bench.parts.evaluator._quarantine._again_at = 0.0
    bench.turn()
    assert (["fake/job077"], "") == (notified_causes(bench), bench.parts.evaluator.trouble)


def test_f07_it_is_one_alert_about_headway_itself(bench: Bench, poisoned: list[int]) -> None:
    fail(bench, "job077")
    bench.turn()

    class Well:
        def keeps_breaking(self) -> tuple[str, dict[str, str]]:
            return "", {}

    lasting = _persistent_troubles([Well()], bench.parts.evaluator.trouble)  # type: ignore[list-item]
    assert {PARTS: bench.parts.evaluator.trouble} == lasting


def test_f07_a_failure_outside_the_estate_stops_the_evaluator_and_is_notified(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(estate: Estate, now: datetime, **more: Any) -> Decisions:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(evaluate_module, "evaluate", breaking)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        bench.parts.evaluator.step(bench.fence)


def test_the_poison_of_these_tests_is_one_job_of_many(bench: Bench) -> None:
    with bench.reads() as reads:
        assert len(NAMES) + 2 == sum(target.jobs for target in reads.estate.systems())
