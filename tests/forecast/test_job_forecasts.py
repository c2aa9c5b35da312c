"""What a service day leaves to the jobs below it, from the samples of its P(late). As in test_foresee."""

from __future__ import annotations

from array import array
from dataclasses import replace

import numpy as np
import pytest

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.decision import ServiceDayVerdict
from console.domain.forecast import JobForecast
from console.forecast.forecaster import Forecaster
from console.forecast.simulation.critical_path import job_slacks, slack_of
from console.forecast.simulation.simulator import prepare_night, reweight, run_simulation
from console.forecast.simulation.values import JobPhase, NightHistory, ServicePromise, SimulationGraph, Tonight
from tests.factories import NIGHT, at, estate, feeds, run, service
from tests.forecast.test_forecast import CHAIN, EXTRACT, LOAD, MART, done
from tests.forecast.test_simulation import past
from tests.rows import each_row

WIDE = [40.0, 60.0, 90.0]


def day(now: str, *runs: object, due: str = "06:30", takes: list[float] = WIDE) -> ServiceDayVerdict:
    seen = estate(EXTRACT, LOAD, MART, runs=runs, feeds=CHAIN, services=[service("daily", due, MART)],  # type: ignore[arg-type]
                  durations={3: tuple(value * 60 for value in takes * 6)})  # fmt: skip
    seen = replace(seen, history={3: past(MART, "04:30", takes)})
    service_days = evaluate(seen, at(now), foresee=Forecaster()).service_days
    return next(service_day for service_day in service_days if service_day.business_date == NIGHT)


def jobs(service_day: ServiceDayVerdict) -> dict[int, JobForecast]:
    return {forecast.job_id: forecast for forecast in service_day.jobs}


def test_each_job_that_runs_or_waits_is_forecast_and_a_finished_one_is_not() -> None:
    calm = jobs(day("02:00"))
    assert [EXTRACT.id, LOAD.id, MART.id] == list(calm)
    assert (at("03:30"), at("03:30")) == (calm[EXTRACT.id].p50, calm[EXTRACT.id].p95)
    assert ("declared duration", "history (18 runs)") == (calm[EXTRACT.id].basis.text, calm[MART.id].basis.text)
    assert [LOAD.id, MART.id] == list(jobs(day("03:45", done(EXTRACT, "03:10"))))


def test_the_terminals_own_figures_are_the_services() -> None:
    late = day("04:10", done(EXTRACT, "03:10"), run(2, LOAD, "04:00", RunState.RUNNING), due="05:40")
    last = jobs(late)[MART.id]
    assert late.p_late is not None
    assert 0.1 < late.p_late < 0.9
    assert late.p_late == pytest.approx(last.late, abs=0.02)
    assert (late.expected_at, late.p80_at, late.p95_at) == (last.p50, last.p80, last.p95)
    assert 1.0 == last.decides


@each_row("every", [3, 4, 5, 7])
def test_the_failure_risk_of_a_service_equals_that_of_the_jobs_on_its_path(every: int) -> None:
    """EXTRACT fails on some nights: what is read of it, and of MART, comes from a quarter of the samples."""
    failing = past(EXTRACT, "03:10", [19.0, 20.0, 22.0])
    repairs = array("d", [1500.0 + 90 * back if back % every == 0 else -1.0 for back in range(30)])
    seen = estate(EXTRACT, MART, feeds=feeds(EXTRACT, MART), services=[service("daily", "04:50", MART)],
                  durations={1: tuple(failing.takes)})  # fmt: skip
    decisions = evaluate(
        replace(seen, history={1: replace(failing, repairs=repairs)}), at("02:00"), foresee=Forecaster()
    )
    service_day = next(service_day for service_day in decisions.service_days if service_day.business_date == NIGHT)
    extract, mart = (jobs(service_day)[job.id] for job in (EXTRACT, MART))
    assert (service_day.p_late, service_day.expected_at, service_day.p80_at, service_day.p95_at) == (
        mart.late,
        mart.p50,
        mart.p80,
        mart.p95,
    )
    assert extract.p95 < mart.p95
    assert extract.late <= mart.late


def test_where_every_sample_is_late_a_job_is_no_likelier_late_than_its_service() -> None:
    takes = np.full((20, 1), 600.0)
    nothing = np.array([np.nan])
    of_night = prepare_night(
        NightHistory(takes, np.zeros_like(takes), np.full(takes.shape, np.nan)), SimulationGraph([[]], np.zeros(1)), [0]
    )
    seen = run_simulation(Tonight(np.array([JobPhase.WAITS]), nothing, nothing, nothing), 0.0, of_night)
    promise = ServicePromise("payments", np.array([0]), 300.0)
    simulation = reweight(seen, promise, 0.98)
    [part] = job_slacks(simulation, promise, slack_of(simulation, promise), [0], 0.1)
    assert part.late == pytest.approx(0.98)


def test_a_job_with_slack_makes_nothing_late_though_the_service_will_be() -> None:
    """EXTRACT has until 04:00, when LOAD starts by the clock."""
    late = jobs(day("03:15", run(1, EXTRACT, "03:10", RunState.RUNNING), due="05:20"))
    assert (0.0, 0.0) == (late[EXTRACT.id].late, late[EXTRACT.id].decides)
    assert late[MART.id].late > 0.5
    slack = late[MART.id].slack_s
    assert slack is not None
    assert slack < 0


def test_the_clocks_of_what_is_broken_are_those_of_the_service() -> None:
    for due in ("06:30", "07:30", "09:00"):
        broken = day("03:30", run(1, EXTRACT, "03:10", RunState.FAILED), due=due)
        forecast = jobs(broken)[EXTRACT.id]
        clocks = tuple(at and at.replace(microsecond=0) for at in (forecast.act_by, forecast.green_by))
        assert clocks == (broken.act_by, broken.green_by)


def test_the_later_the_deadline_the_later_each_job_must_begin_and_end() -> None:
    known = [jobs(day("02:00", due=due)) for due in ("06:00", "06:30", "07:30")]
    for job in (EXTRACT, LOAD, MART):
        ends = [forecasts[job.id].green_by or at("00:00") for forecasts in known]
        begins = [forecasts[job.id].act_by or at("00:00") for forecasts in known]
        slacks = [forecasts[job.id].slack_s or 0.0 for forecasts in known]
        assert (ends, begins, slacks) == (sorted(ends), sorted(begins), sorted(slacks))
        assert all(begin <= end for begin, end in zip(begins, ends, strict=True))


def test_what_can_begin_too_late_only_has_its_clock_behind_it() -> None:
    lost = jobs(day("04:10", done(EXTRACT, "03:10"), run(2, LOAD, "04:00", RunState.RUNNING), due="04:40"))
    last = lost[MART.id].act_by
    assert last is not None
    assert last < at("04:10")
