"""The effect on services if a job ended differently, as a screen requests it from the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from connectors.sdk.states import RunState
from console.control.expectations.expected_runs import expect_runs
from console.control.services.status import service_days
from console.control.snapshot.estate_index import EstateIndex
from console.domain.forecast import WhatIfView, parse_what_if
from console.domain.settings import Declared, DeclaredPool
from console.engine.api import what_if
from console.engine.api.queue import RequestAnswer
from console.engine.api.requests import ForecastScenarios
from console.forecast import what_if as forecast_what_if
from console.forecast.forecaster import Forecaster
from tests.engine.bench import Bench
from tests.factories import NIGHT, at, estate, job, minutes, service
from tests.forecast.test_simulation import past
from tests.lab.process import HANGS_SECONDS
from tests.present import present

NOW, SKIP, FASTER = {"how": "restart"}, {"how": "skip"}, {"how": "faster", "factor": 0.5}


def what_if_answer(bench: Bench, *options: dict[str, Any], job: str = "fake/extract") -> RequestAnswer:
    with bench.reads() as reads:
        job_id = reads.jobs.job(job).row.id
    question = bench.requests().ask(ForecastScenarios(job_id, options))
    bench.parts.answers.step(bench.fence)
    return bench.requests().wait(question, HANGS_SECONDS)


def services(bench: Bench, *options: dict[str, Any], job: str = "fake/extract") -> tuple[WhatIfView, ...]:
    answer = what_if_answer(bench, *options, job=job)
    assert answer.ok, answer.error
    return parse_what_if(answer.data)


def test_several_options_are_shown_beside_the_present_forecast(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - timedelta(minutes=30))
    bench.turn()
    later = {"how": "restart", "at": (datetime.now(UTC) + timedelta(minutes=100)).isoformat()}
    [supply] = services(bench, NOW, later, SKIP, FASTER)
    as_it_is, now, at_100, skipped, faster = (way.p50 for way in supply.ways)
    assert skipped < now < as_it_is < at_100
    assert faster < as_it_is
    assert supply.ways[3].late < 0.01 < supply.ways[2].late
    with bench.reads() as reads:
        service = reads.services.service("supply")
    assert service.deadline == supply.deadline
    assert service.expected is not None
    assert abs(service.expected - as_it_is) <= timedelta(minutes=2), "it is the forecast that all screens tell"


def test_a_job_that_no_service_waits_for_changes_nothing(bench: Bench) -> None:
    bench.scheduler.job("lone")
    bench.turn()
    assert () == services(bench, NOW, SKIP, job="fake/lone")


@pytest.mark.parametrize(
    "way",
    [
        {}, {"how": "vanish"}, {"how": "slots"}, {"how": "restart", "at": "soon"}, {"how": "faster", "factor": 0},
        {"how": "restart", "at": "2026-11-20T04:00:00"},
    ],
)  # fmt: skip
def test_an_invalid_option_is_refused_with_a_message(bench: Bench, way: dict[str, Any]) -> None:
    bench.turn()
    answer = what_if_answer(bench, way)
    assert not answer.ok
    assert "known are restart, skip, faster" in answer.error


def test_an_incident_shows_for_each_affected_service_how_likely_it_is_late(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - timedelta(minutes=30))
    bench.turn()
    with bench.reads() as reads:
        service = reads.services.service("supply")
        [affected_service] = reads.incidents.incident(1).services
        forecasts = {
            forecast.job: forecast for forecast in reads.service_days.job_forecasts("supply", service.business_date)
        }
    assert service.p_late is not None
    assert (service.p_late, service.p80, service.p95) == (
        affected_service.p_late,
        affected_service.p80,
        affected_service.p95,
    )
    assert {"fake/extract", "fake/load"} == set(forecasts)


A, B = job(1, "dwh/a", "04:00", accepted_at=at("02:00")), job(2, "dwh/b", "04:01", accepted_at=at("02:00"))
TAKES = [50.0, 55.0, 60.0]


@contextmanager
def opened(url: str) -> Iterator[SimpleNamespace]:
    jobs = SimpleNamespace(job=lambda number: SimpleNamespace(row=SimpleNamespace(id=number)))
    yield SimpleNamespace(jobs=jobs)


def test_as_it_is_a_service_waits_for_the_slot_that_another_one_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other service has nothing downstream of the job in question."""
    known = tuple(minutes(value).total_seconds() for value in TAKES * 6)
    night = estate(
        A, B, durations={1: known, 2: known}, services=[service("first", "06:30", A), service("second", "05:30", B)],
        declared=Declared(pools=(DeclaredPool("lic", ("dwh/*",), 1),)),
    )  # fmt: skip
    night = replace(night, history={1: past(A, "04:00", TAKES), 2: past(B, "04:01", TAKES)})
    index = EstateIndex(night, at("03:00"), expect_runs(night, at("03:00")).runs)
    monkeypatch.setattr(what_if, "open_queries", opened)
    monkeypatch.setattr(what_if, "_estate_index", lambda *asked: index)
    foreseen = Forecaster()(index, service_days(index))
    service_odds = next(day.odds for day in foreseen if (day.service.name, day.business_date) == ("second", NIGHT))
    sums = Mock(side_effect=service_days)
    monkeypatch.setattr(what_if, "service_days", sums)
    [changed] = what_if.what_if("", B.id, forecast_what_if.Counterfactual.SKIPPED)
    assert 1 == sums.call_count, "of a large estate they take seconds, and a screen asks for five ways at once"
    assert service_odds is not None
    assert service_odds.late > 0.5
    assert service_odds.late == changed.now.late
