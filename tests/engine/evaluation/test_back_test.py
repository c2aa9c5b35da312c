"""An estate with nights of its own before Headway came: its alarm rests on these from the first day on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.cli.main import main
from console.config.sections import ServiceSettings
from console.domain.forecast import PeakForecast
from console.engine.evaluation.back_testing import BackTester
from console.engine.supervisor.settings import estate_settings
from console.forecast.back_test import FEWEST_NIGHTS
from console.store.config_sync import sync_config
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.present import present

NIGHTS = 46
KNOWN = NIGHTS - FEWEST_NIGHTS
"""All but the first ones: the deadline of the latest one lies just before the lookback (`evening`)."""


@pytest.fixture(autouse=True)
def unrested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is waiting."""
    monkeypatch.setattr("console.engine.evaluation.back_testing.PAUSE_FACTOR", 0.0)


def evening() -> datetime:
    """When the nights begin. Their deadline, two hours later, has passed by now, so that the night of two days ago lies
    before the lookback; and it is of the same date, as a deadline at 01:44 of a night that begins at 23:44 would have
    passed before the night began."""
    begun = present() - timedelta(hours=3)
    return begun - timedelta(hours=3 if begun.hour >= 22 else 0)


def promised(service: ServiceSettings, **changes: object) -> ServiceSettings:
    return type(service).model_validate({name: getattr(service, name) for name in service.model_fields_set} | changes)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(tmp_path, scheduler)
    supply = promised(config.services["supply"], deadline=(evening() + timedelta(hours=2)).time())
    with running_bench(tmp_path, scheduler, replace(config, services={"supply": supply})) as made:
        yield made


def lived(bench: Bench, slow: int = 20) -> None:
    """The nights before this one; the latest of them was over two days ago. On one the extraction took an hour."""
    for back in range(2, NIGHTS + 2):
        begun = evening() - timedelta(days=back)
        extracted = begun + timedelta(minutes=60 if back == slow else 10 + back % 3)
        loaded = extracted + timedelta(minutes=20 + back % 5)
        bench.scheduler.attempt("extract", f"e{back}", RunState.SUCCEEDED, begun, ended_at=extracted)
        bench.scheduler.attempt("load", f"l{back}", RunState.SUCCEEDED, extracted, ended_at=loaded)
    bench.turn()
    bench.turn()


def alarm(bench: Bench, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert Exit.OK == main(["--store", bench.url, "forecast", "supply", "--json"])
    details: dict[str, object] = json.loads(capsys.readouterr().out)["alarm"]
    return details


def nights(bench: Bench) -> dict[date, tuple[float | None, bool]]:
    with bench.reads() as reads:
        rows = reads.link.rows("SELECT business_date, peak_late, was_late FROM back_test ORDER BY business_date")
    return {date.fromisoformat(business_date): (peak, bool(was_late)) for business_date, peak, was_late in rows}


def test_nights_before_headway_was_installed_are_known_to_engine_and_command_line(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    lived(bench)
    assert 0 == alarm(bench, capsys)["days"]
    assert bench.parts.back_testing.round(bench.fence)
    details = alarm(bench, capsys)
    assert {"late": 0.1, "risk": 0.1, "budget": 30} == {name: details[name] for name in ("late", "risk", "budget")}
    assert details["days"] == details["back_tested"]
    assert KNOWN == details["days"]
    bench.turn()
    seen = bench.parts.evaluator.estate().peaks["supply"]
    assert details["days"] == len(seen)
    assert {False} == {forecast.is_published for forecast in seen}
    assert Exit.OK == main(["--store", bench.url, "why", "supply"])
    assert f"\nat risk   from 10 % risk  as configured; {details['days']} days without a miss known (0 live," in (
        capsys.readouterr().out
    )
    bench.restart()
    bench.turn()
    assert seen == bench.parts.evaluator.estate().peaks["supply"]
    assert details == alarm(bench, capsys)


def test_each_night_is_back_tested_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lived(bench)
    bench.parts.back_testing.round(bench.fence)
    known = nights(bench)
    assert {date} == {type(day) for day in known}
    days: list[date] = []
    monkeypatch.setattr(
        "console.engine.evaluation.back_testing.BackTester._night",
        lambda self, test, business_date, stopping: days.append(business_date),
    )
    bench.restart()
    bench.turn()
    bench.parts.back_testing.round(bench.fence)
    assert [] == days
    assert known == nights(bench)


def test_the_recorded_forecast_of_a_night_takes_precedence(bench: Bench) -> None:
    lived(bench)
    bench.parts.back_testing.round(bench.fence)
    some = max(business_date for business_date, (peak, _) in nights(bench).items() if peak is not None)
    deadline = present() - timedelta(days=3)
    with bench.store.write(None) as connection:
        connection.rows(
            "INSERT INTO service_day (service_id, business_date, deadline_us, promised_us, submission, instance,"
            " extension,"
            " timeliness, data_state, peak_late, delivered_us, jobs, distrust, critical, nights, cause, sources, path,"
            " reasons, awaits, changed_seq) SELECT id, ?, ?, 0, '', '', '', 'met', '', 0.44, 1, '[]', '', '[]', 0, '',"
            " '[]', '[]', '[]', '[]', 1 FROM service",
            (some.isoformat(), int(deadline.timestamp() * 1e6)),
        )
    before = bench.parts.evaluator.estate().peaks["supply"]
    bench.restart()
    bench.turn()
    known = bench.parts.evaluator.estate().peaks["supply"]
    assert len(before) == len(known)
    assert [PeakForecast(0.44, False)] == [forecast for forecast in known if forecast.is_published]


def with_service(bench: Bench, **changes: object) -> None:
    """The engine goes on with another promise."""
    service = promised(bench.config.services["supply"], **changes)
    bench.config = replace(bench.config, services={"supply": service}, digest=f"digest {changes}")
    bench.parts.config = bench.config
    sync_config(bench.store, estate_settings(bench.config), datetime.now(present().tzinfo), bench.fence)
    bench.turn()


@pytest.mark.deep
def test_a_changed_promise_is_back_tested_again_and_a_changed_risk_is_not(bench: Bench) -> None:
    lived(bench)
    bench.parts.back_testing.round(bench.fence)
    assert {False} == {was_late for peak, was_late in nights(bench).values() if peak is not None}
    known = nights(bench)
    with_service(bench, risk=0.2)
    bench.parts.back_testing.round(bench.fence)
    assert known == nights(bench)
    with_service(bench, deadline=(evening() + timedelta(minutes=45)).time())
    bench.parts.back_testing.round(bench.fence)
    assert 1 == sum(was_late for _, was_late in nights(bench).values()), "the one on which the extraction took an hour"


def test_it_waits_while_an_evaluation_is_running_and_stops_on_request(bench: Bench) -> None:
    lived(bench)
    evaluator, judging = bench.parts.evaluator, [True] * 5
    evaluated: list[bool] = []

    def is_judging() -> bool:
        evaluated.append(True)
        return bool(judging and judging.pop())

    testing = BackTester(bench.store, bench.parts.clock, lambda: evaluator.seen, is_judging)
    assert not testing.round(bench.fence, lambda: not judging)
    assert len(evaluated) >= 5
    assert {} == nights(bench)


def test_a_service_of_too_many_jobs_uses_the_recorded_forecasts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lived(bench)
    monkeypatch.setattr("console.engine.evaluation.back_testing.MAX_JOBS", 1)
    assert bench.parts.back_testing.round(bench.fence)
    assert {} == nights(bench)


def test_a_back_test_that_breaks_costs_no_other_service_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lived(bench)

    def breaking(*_: object) -> None:
        raise RuntimeError("a fault of our own")

    with monkeypatch.context() as patched:
        patched.setattr("console.forecast.back_test.BackTest.steps", breaking)
        assert bench.parts.back_testing.round(bench.fence)
    assert {} == nights(bench)
