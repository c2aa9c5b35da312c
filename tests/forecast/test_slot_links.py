"""What waits for a slot of a pool: the job whose end frees it decides, as an upstream would, and the why names it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.snapshot.pools import slot_text
from console.domain.decision import ServiceDayVerdict
from console.domain.settings import Declared, DeclaredPool
from console.domain.settings import JobPool as Named
from console.forecast.forecaster import Forecaster
from console.forecast.simulation.critical_path import ServiceSlack, critical_path, job_slacks, slack_of
from console.forecast.simulation.simulator import SimulationRun, prepare_night, run_simulation
from console.forecast.simulation.values import (
    AT_ONCE,
    JobPhase,
    NightHistory,
    ServicePromise,
    SimulationGraph,
    SlotPool,
    Tonight,
)
from tests.factories import NIGHT, at, estate, job, minutes, run, service
from tests.reasons import reason_of
from tests.rows import each_row

UNKNOWN = np.nan


def seen(graph: SimulationGraph, takes: Any, ends: list[int], *runs: int, now: float = 0.0) -> SimulationRun:
    """`runs`: jobs that run since 0; the others wait."""
    jobs = len(graph.upstreams)
    phase = np.full(jobs, JobPhase.WAITS)
    phase[list(runs)] = JobPhase.RUNS
    start = np.where(phase == JobPhase.RUNS, 0.0, UNKNOWN)
    takes = np.atleast_2d(takes) * np.ones((20, 1))
    past = NightHistory(takes, np.zeros_like(takes), np.full(takes.shape, UNKNOWN))
    return run_simulation(Tonight(phase, start, start, np.full(jobs, UNKNOWN)), now, prepare_night(past, graph, ends))


def slack_and_path(simulation: SimulationRun, end: int, deadline: float) -> tuple[ServiceSlack, tuple[int, ...]]:
    promise = ServicePromise("payments", np.array([end]), deadline)
    slack = slack_of(simulation, promise)
    return slack, critical_path(simulation, promise, slack, range(len(simulation.tonight.phase)))


def test_the_job_of_another_service_that_has_the_slot_decides_and_its_slack_is_that_of_who_waits() -> None:
    """0 delivers one service and runs for 400 s; 1 delivers the other, takes 100 s, and shares the one slot."""
    simulation = seen(SimulationGraph([[], []], np.zeros(2), pools=[SlotPool(1, [0, 1])]), [400.0, 100.0], [0, 1], 0)
    slack, path = slack_and_path(simulation, 1, 1000.0)
    assert [0, 1] == sorted(slack.jobs.tolist())
    assert list(slack.critical) == pytest.approx([1.0, 1.0])
    assert list(slack.seconds) == pytest.approx([500.0, 500.0], abs=30.0)
    assert (0, 1) == path
    apart, alone = slack_and_path(seen(SimulationGraph([[], []], np.zeros(2)), [400.0, 100.0], [0, 1], 0), 1, 1000.0)
    assert ([1], (1,)) == (apart.jobs.tolist(), alone)
    assert list(apart.critical) == pytest.approx([0.0, 1.0])


def test_what_the_holder_of_the_slot_waits_for_decides_too_though_it_lies_deeper_in_the_graph() -> None:
    """0 feeds 1, which has the slot from 100 to 500 s; 2 comes by the clock at 200 s, and nobody feeds it."""
    graph = SimulationGraph([[], [0], []], np.array([0.0, 0.0, 200.0]), pools=[SlotPool(1, [1, 2])])
    slack, path = slack_and_path(seen(graph, [100.0, 400.0, 50.0], [1, 2]), 2, 600.0)
    assert list(slack.critical) == pytest.approx([1.0, 1.0, 1.0])
    assert list(slack.seconds) == pytest.approx([50.0] * 3, abs=20.0)
    assert (0, 1, 2) == path


def test_of_those_that_come_at_one_moment_who_waited_least_before_is_served_first() -> None:
    """Three due together, one slot: on each earlier night 2 began at once, 0 after it, and 1 last."""
    takes, nothing = np.full((20, 3), 100.0), np.full(3, UNKNOWN)
    past = NightHistory(takes, np.array([100.0, 200.0, 0.0]) * np.ones((20, 1)), np.full(takes.shape, UNKNOWN))
    graph = SimulationGraph([[], [], []], np.full(3, 50.0), pools=[SlotPool(1, [0, 1, 2])])
    simulation = run_simulation(
        Tonight(np.full(3, JobPhase.WAITS), nothing, nothing, nothing), 0.0, prepare_night(past, graph, [0, 1, 2])
    )
    done = [float(np.median(simulation.samples(job).finish)) for job in range(3)]
    assert [250.0, 350.0, 150.0] == pytest.approx(done, abs=20.0)


def test_with_a_free_slot_nothing_waits_and_nothing_is_linked() -> None:
    graph = SimulationGraph([[], []], np.array([0.0, 800.0]), pools=[SlotPool(1, [0, 1])])
    slack, path = slack_and_path(seen(graph, [400.0, 100.0], [0, 1], 0), 1, 2000.0)
    assert ([1], (1,)) == (slack.jobs.tolist(), path)


def test_the_holder_of_a_slot_has_an_act_by_for_the_service_that_waits_for_it() -> None:
    simulation = seen(SimulationGraph([[], []], np.zeros(2), pools=[SlotPool(1, [0, 1])]), [400.0, 100.0], [0, 1], 0)
    promise = ServicePromise("payments", np.array([1]), 450.0)
    slack = slack_of(simulation, promise)
    [of_holder] = job_slacks(simulation, promise, slack, [0], 0.1)
    assert of_holder.late > 0.9, "it keeps the slot until 400 s, and 1 is through at 500 s"
    assert of_holder.green_by == pytest.approx(350.0, abs=20.0)


def chains(random: np.random.Generator, jobs: int) -> tuple[SimulationGraph, Any]:
    upstreams = [
        sorted({int(integer) for integer in random.integers(0, at, 2)}) if at > 2 else [] for at in range(jobs)
    ]
    pools = [SlotPool(2, list(range(0, jobs, 2))), SlotPool(1, list(range(1, jobs, 4)))]
    earliest = np.where(random.random(jobs) < 0.3, random.uniform(0, 900, jobs), 0.0)
    return SimulationGraph(upstreams, earliest, pools=pools), random.uniform(30, 300, (20, jobs))


@each_row("number", range(8))
def test_a_decisive_job_that_waited_has_a_decisive_one_before_it_without_more_slack(number: int) -> None:
    """In every sample, over graphs with two pools drawn at random."""
    graph, takes = chains(np.random.default_rng(number), 24)
    simulation = seen(graph, takes, list(range(24)))
    slack, _ = slack_and_path(simulation, 23, 3000.0)
    row = {int(job): at for at, job in enumerate(slack.jobs)}
    place, order = simulation.night.plan.place, simulation.night.plan.order
    room = slack.latest - simulation.finish[0, place[slack.jobs]]
    for index, at_row in row.items():
        lasts = np.tile(simulation.draws.lasts[place[index]], 256 // simulation.draws.columns)
        begun = simulation.finish[0, place[index]] - lasts
        queued = np.flatnonzero(simulation.queued.places == place[index])
        freed_by = simulation.queued.freed_by[queued[0]] if len(queued) else np.full(256, -1)
        for sample in np.flatnonzero(slack.decides[at_row] & (begun > graph.earliest[index] + 2.0) & (begun > 2.0)):
            before = [int(order[freed_by[sample]])] if freed_by[sample] >= 0 else list(graph.upstreams[index])
            deciding = [number for number in before if slack.decides[row[number], sample]]
            assert deciding, (number, index, sample)
            assert any(room[row[number], sample] <= room[at_row, sample] + 2 + AT_ONCE for number in deciding)


J1, J2, J3 = (job(number, f"dwh/j{number}", "04:00", expected=minutes(30)) for number in (1, 2, 3))


def verdict(of: str, now: str, *runs: Any, slots: int = 1, due: str = "05:20") -> ServiceDayVerdict:
    services = [service(job.native_id, due, job) for job in (J1, J2, J3)]
    declared = Declared(pools=(DeclaredPool("host", ("dwh/j*",), slots),))
    night_now = estate(J1, J2, J3, runs=runs, services=services, declared=declared)
    service_days = evaluate(night_now, at(now), foresee=Forecaster()).service_days
    return next(
        service_day for service_day in service_days if (service_day.service, service_day.business_date) == (of, NIGHT)
    )


def test_the_path_of_a_service_leads_through_who_has_the_slots() -> None:
    late = [
        service_day
        for service_day in (verdict(f"j{number}", "02:00") for number in (1, 2, 3))
        if (service_day.p_late or 0) > 0.5
    ]
    assert 1 == len(late), "one of three has its turn from 05:00 to 05:30"
    assert {J1.id, J2.id, J3.id} == set(late[0].path)
    assert (1.0, 1.0, 1.0) == late[0].critical


def test_the_why_names_the_pool_and_who_will_have_its_slots() -> None:
    [late] = [
        service_day
        for service_day in (verdict(f"j{number}", "02:00") for number in (1, 2, 3))
        if (service_day.p_late or 0) > 0.5
    ]
    second = {J1.id: "j1", J2.id: "j2", J3.id: "j3"}
    first = second.pop(late.path[0])
    assert f"dwh/{late.service} will wait 1h for a slot of host: 1 of 1 used by dwh/{first}" in reason_of(late)


def test_the_why_names_the_pool_and_who_has_its_slots_now() -> None:
    runs = [run(1, J1, "04:00", RunState.RUNNING, started_at=at("04:00")),
            run(2, J2, "04:00", RunState.RUNNING, started_at=at("04:00")),
            run(3, J3, "04:00", RunState.QUEUED, started_at=None, reason="slot")]  # fmt: skip
    late = verdict("j3", "04:10", *runs, slots=2, due="04:45")
    assert "dwh/j3 has waited 10m for a slot of host: 2 of 2 used by dwh/j1 and dwh/j2" in reason_of(late)
    assert late.expected_at is not None
    assert late.expected_at - at("05:00") < timedelta(minutes=5)


@each_row(
    "holders, text",
    [
        ((), "a slot of etl pool (3)"),
        (("a",), "a slot of etl pool: 1 of 3 used by a"),
        (("a", "b", "a"), "a slot of etl pool: 3 of 3 used by a and b"),
        (("a", "b", "c", "d", "e"), "a slot of etl pool: 5 of 3 used by a, b, c and 2 more"),
    ],
)
def test_who_has_the_slots_is_named_once(holders: tuple[str, ...], text: str) -> None:
    assert text == slot_text(Named("etl pool", 3), holders)


def test_a_verdict_without_a_pool_is_as_it_was() -> None:
    calm = replace(verdict("j1", "02:00", slots=3))
    assert ((J1.id,), (1.0,)) == (calm.path, calm.critical)
