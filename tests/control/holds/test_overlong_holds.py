"""A hold, or a pause at the source, that outlasts a promise. EXTRACT 03:10 feeds LOAD 04:00 feeds MART."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.holds.warnings import empty_hold_warning
from console.control.services.status import services_missed_by_hold
from console.control.snapshot.holds import held_start_of
from console.domain.decision import ServiceDayVerdict
from console.domain.dependency import DependencyMode
from console.domain.estate import JobFacts, RunFacts
from console.domain.hold import HoldFacts, HoldReason, HoldState
from console.domain.service import Timeliness
from console.domain.text import At, Text, render
from console.forecast.forecaster import Forecaster
from console.timing.formats import zoned_time
from tests.factories import NIGHT, at, estate, job, minutes, run, service
from tests.forecast.test_forecast import CHAIN, EXTRACT, LOAD, MART, PROMISE, done
from tests.reasons import reason_of
from tests.rows import each_row

BY_SUMS, BY_SIMULATION = None, Forecaster()
EVERY = pytest.mark.parametrize("foresee", [BY_SUMS, BY_SIMULATION], ids=["sums", "simulation"])


def held(until: str, job_id: int = 2, **more: object) -> HoldFacts:
    hold = HoldFacts(
        "headway-1",
        job_id,
        None,
        None,
        "person",
        DependencyMode.OBSERVE,
        HoldState.HELD,
        "mara",
        "disk swap",
        at(until),
        None,
        "",
        placed_at=at("02:50"),
    )
    return replace(hold, **more)  # type: ignore[arg-type]


def forecast_under_hold(
    foresee: Forecaster | None,
    hold: HoldFacts,
    now: str = "03:40",
    runs: Sequence[RunFacts] = (),
    load: JobFacts = LOAD,
) -> ServiceDayVerdict:
    begun = list(runs) or [done(EXTRACT, "03:10")]
    seen = replace(estate(EXTRACT, load, MART, runs=begun, feeds=CHAIN, services=[PROMISE]), holds=(hold,))
    return next(
        service_day
        for service_day in evaluate(seen, at(now), foresee=foresee).service_days
        if service_day.business_date == NIGHT
    )


@EVERY
@pytest.mark.parametrize("now", ["03:40", "04:20"], ids=["before its instant", "while its run is held"])
def test_a_hold_beyond_the_last_start_will_miss(foresee: Forecaster | None, now: str) -> None:
    verdict = forecast_under_hold(foresee, held("09:50"), now)
    assert Timeliness.WILL_MISS is verdict.timeliness
    assert at("11:20") == verdict.expected_at
    held_by = "warehouse/load is held by mara: disk swap (hold headway-1)"
    assert f"{held_by} until 09:50 UTC: too late for 06:30 UTC" == reason_of(verdict)
    if foresee is not None:
        assert 1.0 == verdict.p_late


@EVERY
@pytest.mark.parametrize("now", ["03:40", "04:20"])
def test_a_hold_that_ends_in_time_starts_its_run_then(foresee: Forecaster | None, now: str) -> None:
    verdict = forecast_under_hold(foresee, held("04:50"), now)
    assert (at("06:20"), Timeliness.ON_TIME) == (verdict.expected_at, verdict.timeliness)


@EVERY
def test_a_hold_that_ends_before_its_start_costs_nothing(foresee: Forecaster | None) -> None:
    assert at("05:30") == forecast_under_hold(foresee, held("03:55")).expected_at


@EVERY
def test_a_run_started_before_the_hold_is_not_held(foresee: Forecaster | None) -> None:
    runs = [done(EXTRACT, "03:10"), run(2, LOAD, "04:00", RunState.RUNNING)]
    assert (
        Timeliness.ON_TIME
        is forecast_under_hold(foresee, held("09:50", placed_at=at("04:05")), "04:10", runs).timeliness
    )


@EVERY
def test_a_job_without_a_clock_waits_for_the_end_of_its_hold_too(foresee: Forecaster | None) -> None:
    verdict = forecast_under_hold(foresee, held("09:50", job_id=3))
    assert (at("10:50"), Timeliness.WILL_MISS) == (verdict.expected_at, verdict.timeliness)


@EVERY
def test_a_pause_at_the_source_has_no_end(foresee: Forecaster | None) -> None:
    paused = replace(LOAD, paused_since=at("03:00"))
    over = held("03:00", state=HoldState.RELEASED, ended_at=at("02:55"))
    verdict = forecast_under_hold(foresee, over, load=paused)
    assert (Timeliness.WILL_MISS, None) == (verdict.timeliness, verdict.expected_at)
    assert "warehouse/load is paused at its source: too late for 06:30 UTC" == reason_of(verdict)


@EVERY
def test_the_only_deliverer_of_a_service_that_runs_every_ten_minutes(foresee: Forecaster | None) -> None:
    often = job(2, "dwh/refresh", Schedule("debian-cron", "*/10 * * * *", "UTC"), expected=minutes(5))
    seen = estate(often, runs=[done(often, "03:40", 5)], services=[service("daily", "06:30", often)])
    decisions = evaluate(replace(seen, holds=(held("09:50"),)), at("03:48"), foresee=foresee)
    assert (
        Timeliness.WILL_MISS
        is next(service_day for service_day in decisions.service_days if service_day.business_date == NIGHT).timeliness
    )


@each_row(
    "job_id, until, costs",
    [
        (2, "09:50", [("Daily will miss ", At(at("06:30")))]),
        (2, "04:50", []),
        (3, "06:00", [("Daily will miss ", At(at("06:30")))]),
        (1, "09:50", []),  # it has run
        (9, "09:50", []),
    ],
)
def test_what_a_hold_would_cost_is_known_before_it_is_placed(job_id: int, until: str, costs: list[Text]) -> None:
    apart = job(9, "dwh/other", "05:00", expected=minutes(5))
    seen = estate(EXTRACT, LOAD, MART, apart, runs=[done(EXTRACT, "03:10")], feeds=CHAIN, services=[PROMISE])
    assert costs == services_missed_by_hold(seen, job_id, at(until), at("03:40"))


@each_row(
    "job_id, until, warned",
    [
        (9, "04:50", [("dwh/other", "05:00")]),
        (9, "05:10", []),
        (2, "03:55", [("warehouse/load", "04:00")]),
        (2, "04:01", []),
        (8, "04:50", []),
    ],
)
def test_a_hold_that_ends_before_the_next_start_holds_nothing(
    job_id: int, until: str, warned: list[tuple[str, str]]
) -> None:
    apart = job(9, "dwh/other", "05:00", expected=minutes(5))
    no_clock = job(8, "dwh/by-hand", Schedule("none", "", "UTC"))
    seen = estate(EXTRACT, LOAD, MART, apart, no_clock, runs=[done(EXTRACT, "03:10")], feeds=CHAIN, services=[PROMISE])
    assert [
        (f"the hold ends before the next start of {name}, ", At(at(clock)), ": it holds no start")
        for name, clock in warned
    ] == empty_hold_warning(seen, job_id, at(until), at("03:40"))


def test_what_is_missed_already_is_no_price_of_another_hold() -> None:
    seen = replace(estate(EXTRACT, LOAD, MART, runs=[done(EXTRACT, "03:10")], feeds=CHAIN, services=[PROMISE]),
                   holds=(held("09:50"),))  # fmt: skip
    assert [] == services_missed_by_hold(seen, 3, at("09:50"), at("03:40"))


def test_a_hold_that_cannot_be_released_says_until_when_in_the_zone_of_its_reader() -> None:
    refused = ("the scheduler is closed until ", At(at("05:00")))
    stuck = held("03:00", reason=HoldReason.RELEASE_FAILED, detail=refused)
    start = held_start_of(replace(estate(EXTRACT, LOAD), holds=(stuck,)), LOAD.id, at("04:00"), at("03:40"))
    assert start is not None
    text = render(start.text, lambda at: zoned_time(at, "Europe/Berlin"))
    assert "held by mara, it cannot be released: the scheduler is closed until 06:00 CET (hold headway-1)" == text
