"""Only what lies below a change is computed again, and comes out to the last bit as if all were; what nothing touched
stays as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from console.forecast.simulation import simulator as looks
from console.forecast.simulation.draws import RepairTimes, draw_failures, shares_failing
from console.forecast.simulation.layers import plan_layers
from console.forecast.simulation.simulator import (
    SimulatedNight,
    SimulationRun,
    p_late,
    prepare_night,
    recompute_finishes,
    run_simulation,
    simulate,
)
from console.forecast.simulation.sweep import CHUNK
from console.forecast.simulation.values import (
    GateRule,
    GateThreshold,
    JobPhase,
    NightHistory,
    RerunRule,
    ServicePromise,
    SimulationGraph,
    SlotPool,
    StartRule,
    Tonight,
    seeds,
)

JOBS, NIGHTS, NOW = 300, 30, 2000.0
REPAIR = RepairTimes(7.3, 0.8)


def an_estate(seed: int, order: np.random.Generator | None = None) -> SimulatedNight:
    """Jobs of all kinds: they queue, fail, start by the clock, stand behind a gate."""
    random = np.random.default_rng(seed)
    upstreams = [
        sorted({int(integer) for integer in random.integers(0, job, 3)} if job > 20 else set()) for job in range(JOBS)
    ]
    takes = np.exp(random.normal(5, 1, JOBS) + 0.2 * random.standard_normal((NIGHTS, JOBS)))
    takes[random.random(takes.shape) < 0.05] = np.nan
    takes[:, 33] = np.nan
    repairs = np.where(random.random(takes.shape) < 0.03, 900.0, np.nan)
    upstreams[60], upstreams[61] = [], [58, 60]
    rules: dict[int, StartRule] = {
        61: RerunRule(60, (58,)),
        90: GateRule([GateThreshold(1, tuple(upstreams[90]), (5000.0,))]),
    }
    past = NightHistory(takes.astype(np.float32), random.exponential(20, takes.shape), repairs)
    earliest = np.where(random.random(JOBS) < 0.1, random.uniform(0, 6000, JOBS), 0.0)
    return prepare_night(
        past, SimulationGraph(upstreams, earliest, rules, [f"job{number}" for number in range(JOBS)]), range(250, JOBS)
    )


def tonight_so_far(of: SimulatedNight, seed: int) -> Tonight:
    """Upstreams of what runs are done."""
    random = np.random.default_rng(seed)
    phase, ready = np.full(JOBS, JobPhase.WAITS), np.full(JOBS, np.nan)
    start, end = np.full(JOBS, np.nan), np.full(JOBS, np.nan)
    for job, upstreams in enumerate(of.graph.upstreams):
        if all(phase[upstream] == JobPhase.DONE for upstream in upstreams):
            phase[job] = random.choice([JobPhase.DONE, JobPhase.DONE, JobPhase.RUNS, JobPhase.READY, JobPhase.FAILED])
            ready[job] = max((end[upstream] for upstream in upstreams), default=0.0)
            start[job] = ready[job] + 5 if phase[job] != JobPhase.READY else np.nan
            end[job] = start[job] + random.uniform(1, 300) if phase[job] in (JobPhase.DONE, JobPhase.FAILED) else np.nan
    return Tonight(phase, ready, start, end)


def next_step(seen: Tonight, seed: int) -> tuple[Tonight, int]:
    """One job that is on is done, or red."""
    random = np.random.default_rng(seed)
    job = int(random.choice(np.flatnonzero(np.isin(seen.phase, (JobPhase.RUNS, JobPhase.READY, JobPhase.FAILED)))))
    phase, start, end = seen.phase.copy(), seen.start.copy(), seen.end.copy()
    start[job] = seen.ready[job] + 5 if np.isnan(start[job]) else start[job]
    phase[job] = JobPhase.FAILED if phase[job] == JobPhase.RUNS and random.random() < 0.3 else JobPhase.DONE
    end[job] = NOW - 1
    return replace(seen, phase=phase, start=start, end=end), job


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """No buffer is read before it is written."""
    monkeypatch.setattr(looks, "unwritten", lambda *shape: np.full(shape, np.nan, np.float32))


def same(simulation: SimulationRun, other: SimulationRun) -> bool:
    return simulation.finish.tobytes() == other.finish.tobytes() and simulation.ends.tobytes() == other.ends.tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_computing_below_a_change_finds_what_a_full_computation_finds(seed: int) -> None:
    of_night = an_estate(seed)
    tonight = tonight_so_far(of_night, seed)
    seen = run_simulation(tonight, NOW, of_night)
    assert of_night.chunks > 1, "failures are drawn"
    for step in range(8):
        tonight, job = next_step(tonight, 100 * seed + step)
        recompute_finishes(seen, tonight, [job], seen.finish)
        whole = simulate(tonight, NOW, of_night, seen.draws, seen.shift)
        assert seen.finish.tobytes() == whole.finish.tobytes()
    assert np.isfinite(seen.finish).all()


def test_the_same_night_has_the_same_samples_and_nothing_jitters() -> None:
    of_night, again = an_estate(1), an_estate(1)
    tonight = tonight_so_far(of_night, 1)
    seen = run_simulation(tonight, NOW, of_night)
    assert same(seen, run_simulation(tonight, NOW, again))
    before = seen.finish.copy()
    recompute_finishes(seen, tonight, np.flatnonzero(tonight.phase != JobPhase.WAITS).tolist(), seen.finish)
    assert before.tobytes() == seen.finish.tobytes()


def test_jobs_outside_the_change_keep_every_sample() -> None:
    of_night = an_estate(2)
    tonight = tonight_so_far(of_night, 2)
    seen = run_simulation(tonight, NOW, of_night)
    before = seen.finish.copy()
    after, job = next_step(tonight, 5)
    below, ahead = {job}, [job]
    while ahead:
        here = ahead.pop()
        new = {number for number, of in enumerate(of_night.graph.upstreams) if here in of} - below
        below |= new
        ahead += new
    recompute_finishes(seen, after, [job], seen.finish)
    moved = np.flatnonzero((seen.finish != before).any(axis=(0, 2)))
    assert {int(of_night.plan.order[place]) for place in moved} <= below


def test_a_run_that_holds_one_chunk_has_the_same_service_finishes() -> None:
    of_night = an_estate(0)
    tonight = tonight_so_far(of_night, 0)
    whole, part = run_simulation(tonight, NOW, of_night), run_simulation(tonight, NOW, of_night, chunks=1)
    assert whole.ends.tobytes() == part.ends.tobytes()
    assert whole.finish[:1].tobytes() == part.finish.tobytes()
    assert part.finish.shape[0] * CHUNK < part.ends.shape[0] * CHUNK


def test_other_numbers_for_the_jobs_draw_the_same_failures() -> None:
    names = [f"job{number}" for number in range(40)]
    order = np.random.default_rng(1).permutation(40)
    shares, takes = np.full(40, 0.05), np.full(40, 100.0)
    future_failures = draw_failures(shares, takes, REPAIR, seeds(names, 40), 1024)
    other = draw_failures(shares, takes, REPAIR, seeds([names[item] for item in order], 40), 1024)
    for job in range(40):
        mine, values = (
            of.sample[of.spans(np.array([at]))]
            for of, at in ((future_failures, job), (other, int(np.argsort(order)[job])))
        )
        assert np.array_equal(mine, values)


def test_how_often_a_job_fails_is_its_own_share_drawn_to_the_estates_the_more_the_fewer_its_nights() -> None:
    repairs = np.full((100, 3), np.nan)
    repairs[:10, 0], repairs[0, 2] = 600.0, 600.0
    often, never, once = shares_failing(repairs, np.array([100, 100, 1]))
    assert (often, never, once) == pytest.approx((0.096, 0.005, 0.146), abs=0.001)
    assert [0.0] == list(shares_failing(repairs[:, 1:2], np.array([100]))), "none ever failed"


def test_a_job_that_never_failed_is_not_blamed_for_one_beside_it_that_often_does() -> None:
    repairs = np.full((30, 3), np.nan)
    repairs[::3, 0] = 1200.0
    often, never, also_never = shares_failing(repairs, np.full(3, 30))
    assert often == pytest.approx(1 / 3, abs=0.02)
    assert never == also_never < 0.01
    repairs[::3, 1:] = 1200.0
    assert shares_failing(repairs, np.full(3, 30)) == pytest.approx(np.full(3, 1 / 3)), "where all are alike they agree"


def test_as_many_samples_fail_as_nights_did_and_no_two_jobs_fail_together_more_than_chance_has_it() -> None:
    coming = draw_failures(np.array([0.05, 0.05, 0.0]), np.full(3, 100.0), REPAIR, seeds(["a", "b", "c"], 3), 1024)
    first, second, never = (set(coming.sample[coming.spans(np.array([at]))].tolist()) for at in range(3))
    assert 51 == pytest.approx(len(first), abs=1)
    assert not never
    assert len(first & second) <= 10


def test_a_job_that_fails_one_night_in_twenty_is_a_risk_before_it_does() -> None:
    """It takes 600 s, 25 minutes until the restart: a deadline that it makes by far is missed one night in twenty."""
    takes, repairs = np.full((60, 1), 600.0), np.full((60, 1), np.nan)
    repairs[::20] = 1500.0
    nothing = np.array([np.nan])
    waiting = Tonight(np.array([JobPhase.WAITS]), nothing, nothing, nothing)
    promise = ServicePromise("payments", np.array([0]), 1200.0)
    of_night = prepare_night(
        NightHistory(takes, np.zeros_like(takes), repairs), SimulationGraph([[]], np.zeros(1)), [0]
    )
    assert p_late(run_simulation(waiting, 0.0, of_night), promise) == pytest.approx(0.05, abs=0.02)
    started = Tonight(np.array([JobPhase.RUNS]), np.zeros(1), np.zeros(1), nothing)
    nearly_through = p_late(run_simulation(started, 590.0, of_night), promise)
    assert nearly_through < 0.02, "most of the time in which it may fail is over"


def test_a_job_of_a_pool_is_ready_with_its_own_upstreams_whatever_layers_the_pool_goes_through() -> None:
    """0 and 3 share a slot; 3 waits for 1 and 2, and is ready long after 0 is through."""
    takes, nothing = np.tile([100.0, 300.0, 200.0, 50.0], (20, 1)), np.full(4, np.nan)
    past = NightHistory(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))
    graph = SimulationGraph([[], [], [], [1, 2]], np.zeros(4), pools=[SlotPool(1, [0, 3])])
    seen = run_simulation(
        Tonight(np.full(4, JobPhase.WAITS), nothing, nothing, nothing), 0.0, prepare_night(past, graph, [0, 3])
    )
    assert [100.0, 350.0] == pytest.approx([float(np.median(seen.samples(job).finish)) for job in (0, 3)], abs=10.0)
    assert 0.0 == seen.queued.waits.max()


def test_small_graphs_of_one_shape_have_one_plan_and_a_pool_of_one_of_them_is_not_the_others() -> None:
    upstreams: list[list[int]] = [[], [0], [0], [1, 2]]
    first = plan_layers(upstreams, [3])
    assert first is plan_layers([*map(list, upstreams)], [3])
    assert first is not plan_layers(upstreams, [2])
    takes = np.full((20, 4), 100.0)
    past = NightHistory(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))
    pooled = prepare_night(past, SimulationGraph(upstreams, np.zeros(4), pools=[SlotPool(1, [1, 2])]), [3])
    assert [1] == [slots for slots, _ in pooled.plan.pools]
    assert () == plan_layers(upstreams, [3]).pools


def test_a_pool_of_one_slot_runs_its_jobs_one_after_the_other() -> None:
    """Three chains of one job each meet in a pool; each takes 100 s."""
    takes, nothing = np.full((20, 3), 100.0), np.full(3, np.nan)
    past = NightHistory(takes, np.tile([0.0, 100.0, 200.0], (20, 1)), np.full(takes.shape, np.nan))
    waiting = Tonight(np.full(3, JobPhase.WAITS), nothing, nothing, nothing)
    ends = {}
    for slots in (1, 2, 3):
        of_night = prepare_night(
            past, SimulationGraph([[], [], []], np.zeros(3), pools=[SlotPool(slots, [0, 1, 2])]), [0, 1, 2]
        )
        seen = run_simulation(waiting, 0.0, of_night)
        ends[slots] = sorted(float(np.median(seen.samples(job).finish)) for job in range(3))
    assert ends[1] == pytest.approx([100.0, 200.0, 300.0], abs=2)
    assert ends[2] == pytest.approx([100.0, 100.0, 200.0], abs=2)
    assert ends[3] == pytest.approx([100.0, 100.0, 100.0], abs=2)


def test_a_slot_that_is_held_is_waited_for_and_more_time_never_ends_it_earlier() -> None:
    takes, nothing = np.full((20, 2), 100.0), np.full(2, np.nan)
    past = NightHistory(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))
    of_night = prepare_night(past, SimulationGraph([[], []], np.zeros(2), pools=[SlotPool(1, [0, 1])]), [0, 1])
    ready = np.zeros(2)
    results = []
    for now in (10.0, 60.0, 150.0, 300.0):
        tonight = Tonight(np.array([JobPhase.RUNS, JobPhase.READY]), ready, np.array([0.0, np.nan]), nothing)
        results.append(float(np.median(run_simulation(tonight, now, of_night).samples(1).finish)))
    assert results[0] == pytest.approx(200.0, abs=5)
    assert results == sorted(results)


def test_a_job_without_history_takes_what_is_declared_else_the_median_of_the_estate() -> None:
    random = np.random.default_rng(1)
    takes = np.array([100.0, 110.0, 1000.0, 1100.0, 1.0, 1.0, 1.0]) * np.exp(0.05 * random.standard_normal((30, 7)))
    takes[:, 4:] = np.nan
    past = NightHistory(
        takes, np.zeros_like(takes), np.full(takes.shape, np.nan),
        declared=np.array([np.nan] * 4 + [600.0, np.nan, np.nan]),
    )  # fmt: skip
    nothing = np.full(7, np.nan)
    of_night = prepare_night(past, SimulationGraph([[] for _ in range(7)], np.zeros(7)), range(7))
    seen = run_simulation(Tonight(np.full(7, JobPhase.WAITS), nothing, nothing, nothing), 0.0, of_night)
    usual = [float(np.median(seen.samples(job).finish)) for job in (4, 5, 6)]
    assert usual == pytest.approx([600.0, 330.0, 330.0], rel=0.15)
    assert np.std(seen.samples(5).finish) > 5 * np.std(seen.samples(2).finish), "nobody knows it, so it may take much"


@pytest.mark.parametrize("seed", range(3))
def test_more_elapsed_time_makes_no_finish_earlier_where_nothing_fails(seed: int) -> None:
    nothing_fails = draw_failures(np.zeros(0), np.zeros(0), REPAIR, np.zeros(0, np.uint64), CHUNK)
    of_night = replace(an_estate(seed), failures=nothing_fails)
    of_night = replace(of_night, failures=replace(of_night.failures, first=np.zeros(of_night.plan.size + 1, np.intp)))
    tonight = tonight_so_far(of_night, seed)
    first = run_simulation(tonight, NOW, of_night)
    before = first.finish
    for now in (NOW + 60, NOW + 600, NOW + 6000):
        after = simulate(tonight, now, of_night, first.draws, first.shift).finish
        assert (after >= before - 0.01).all()
        before = after


def test_a_job_of_few_nights_may_well_take_another_time_than_it_did() -> None:
    """It took 100 s each time; after one night nobody knows, after thirty one does."""
    widths = []
    for nights in (1, 3, 30):
        takes, nothing = np.full((30, 1), np.nan), np.array([np.nan])
        takes[-nights:] = 100.0
        of_night = prepare_night(
            NightHistory(takes, np.zeros_like(takes), np.full(takes.shape, np.nan)),
            SimulationGraph([[]], np.zeros(1)),
            [0],
        )
        seen = run_simulation(Tonight(np.array([JobPhase.WAITS]), nothing, nothing, nothing), 0.0, of_night)
        widths.append(float(np.std(seen.samples(0).finish)))
    assert widths[0] > 1.3 * widths[1] > 10 * widths[2]
