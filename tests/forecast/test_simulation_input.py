"""The night as the simulation is given it: since when what is broken is, and since when a run could have started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from connectors.sdk.states import RunState
from console.control.expectations.expected_runs import expect_runs
from console.control.services.status import service_days
from console.control.snapshot.estate_index import EstateIndex
from console.domain.estate import RunFacts
from console.forecast.night_graph import NightPoint, build_night_graph, instant_of
from console.forecast.simulation.values import JobPhase
from console.forecast.what_if import Counterfactual, PlanOutcome, WhatIf
from tests.factories import NIGHT, at, estate, minutes, run
from tests.forecast.test_forecast import CHAIN, EXTRACT, LOAD, MART, PROMISE, done


def point_of(job_id: int, now: str, *runs: RunFacts) -> NightPoint:
    seen = estate(EXTRACT, LOAD, MART, runs=runs, feeds=CHAIN, services=[PROMISE])
    due = expect_runs(seen, at(now))
    index = EstateIndex(seen, at(now), due.runs, due.withdrawn)
    laid = build_night_graph(index, [day for day in service_days(index) if day.business_date == NIGHT])
    return laid.points[laid.places[0][job_id]]


def test_what_read_stale_data_is_to_be_repaired_since_its_upstream_was_good() -> None:
    late = run(1, EXTRACT, "03:10", started_at=at("05:00"))
    point = point_of(2, "06:00", late, done(LOAD, "04:00"))
    assert (JobPhase.FAILED, at("05:10")) == (point.phase, instant_of(point.end))


def test_what_read_stale_data_of_an_upstream_that_was_good_meanwhile_is_so_since_its_own_end() -> None:
    late = run(1, EXTRACT, "03:10", started_at=at("03:56"))
    point = point_of(2, "06:00", late, done(LOAD, "04:00", 25))
    assert (JobPhase.FAILED, at("04:25")) == (point.phase, instant_of(point.end))


def test_a_run_that_began_before_its_clock_waited_for_nothing() -> None:
    early = run(1, EXTRACT, "03:10", started_at=at("03:10") - minutes(5))
    point = point_of(1, "03:30", early)
    assert (at("03:05"), at("03:05")) == (instant_of(point.ready), instant_of(point.start))


@pytest.mark.parametrize(
    "otherwise",
    [
        WhatIf(1, Counterfactual.RESTARTED, at("04:00")),
        WhatIf(1, Counterfactual.SKIPPED, at("04:00")),
        PlanOutcome(at("04:00"), frozenset({1}), frozenset()),
    ],
)
def test_points_that_are_the_same_are_equal_though_some_of_their_times_are_unknown(
    otherwise: Callable[[NightPoint], NightPoint],
) -> None:
    """NaN equals nothing, itself included: each service would have had a simulation of its own of a run they share."""
    red = replace(run(1, EXTRACT, "03:10"), state=RunState.FAILED)
    point, other = (otherwise(point_of(1, "03:30", red)) for _ in range(2))
    assert point is not other
    assert (point, hash(point)) == (other, hash(other))
    assert point != replace(other, job_id=2)
