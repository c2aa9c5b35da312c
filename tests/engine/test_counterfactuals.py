"""What would become of services if a job went otherwise, as a screen asks the engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.contract import State
from console.engine.questions import Answer
from console.model.views.otherwise import OtherwiseView, read_otherwise
from tests.engine.bench import Bench
from tests.present import present

NOW, SKIP, FASTER = {"how": "restart"}, {"how": "skip"}, {"how": "faster", "factor": 0.5}


def asked(bench: Bench, *ways: dict[str, Any], job: str = "fake/extract") -> Answer:
    with bench.reads() as reads:
        job_id = reads.job(job).row.id
    question = bench.requests().what_if(job_id, ways)
    bench.parts.answers.step(bench.fence)
    return bench.requests().wait(question, 10)


def services(bench: Bench, *ways: dict[str, Any], job: str = "fake/extract") -> tuple[OtherwiseView, ...]:
    found = asked(bench, *ways, job=job)
    assert found.ok, found.error
    return read_otherwise(found.data)


def test_several_ways_are_told_beside_what_is_forecast_now(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", State.FAILED, present() - timedelta(minutes=30))
    bench.turn()
    later = {"how": "restart", "at": (datetime.now(UTC) + timedelta(minutes=100)).isoformat()}
    [supply] = services(bench, NOW, later, SKIP, FASTER)
    as_it_is, now, at_100, skipped, faster = (way.p50 for way in supply.ways)
    assert skipped < now < as_it_is < at_100
    assert faster < as_it_is
    assert supply.ways[3].late < 0.01 < supply.ways[2].late
    with bench.reads() as reads:
        service = reads.service("supply")
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
def test_what_is_no_way_is_refused_in_words(bench: Bench, way: dict[str, Any]) -> None:
    bench.turn()
    found = asked(bench, way)
    assert not found.ok
    assert "there are restart, skip, faster" in found.error


def test_an_incident_tells_of_the_services_that_it_hurts_how_likely_they_are_late(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", State.FAILED, present() - timedelta(minutes=30))
    bench.turn()
    with bench.reads() as reads:
        service = reads.service("supply")
        [hurt] = reads.incident(1).services
        left = {one.job: one for one in reads.jobs_ahead("supply", service.bd)}
    assert service.p_late is not None
    assert (service.p_late, service.p80, service.p95) == (hurt.p_late, hurt.p80, hurt.p95)
    assert {"fake/extract", "fake/load"} == set(left)
